"""A hostile house: the regression, isolation and proof suites among neighbours, settings and clocks (houses.py)."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from pg_test.hostile import houses
from testkit.cluster import PG_CONFIG, Cluster
from testkit.house import Guests, Steps

ROOT = pathlib.Path(__file__).parents[2]
BINDIR = pathlib.Path(subprocess.check_output([PG_CONFIG, "--bindir"], text=True).strip())
DRIVERS = pathlib.Path(subprocess.check_output([PG_CONFIG, "--pgxs"], text=True).strip()).parents[1] / "test"
VERSION = int(re.search(r"\d+", subprocess.check_output([PG_CONFIG, "--version"], text=True))[0])
# Those in which the worker folds, ballots are cast, tables are filled and followers follow, each for a moment.
PROOFS = (
    "test_concurrency.py", "test_ballots.py::test_a_purge_among_ballots", "test_feed.py::test_followers_that_come_late_and_stay_away",
    "test_source_fill.py::test_attached_while_everybody_writes", "test_worker.py::test_it_leaves_when_idle_and_comes_back",
    "test_close.py::test_closing_waits_for_voters_in_flight", "test_timeline.py::test_the_servers_clock_decides",
)
BRIEF = {"PROOF_SECONDS": "5", "PROOF_SESSIONS": "8", "PROOF_VOTERS": "50", "PROOF_KILLS": "1", "PROOF_DAMAGES": "5", "PROOF_STATEMENTS": "500"}


def listed(variable):
    """A variable of the Makefile, as make itself sees it."""
    return subprocess.check_output(["make", "-s", "--no-print-directory", "-C", ROOT, f"print-{variable}"], text=True).split()


def run_driver(house, driver, tests, extension=False):
    """pg_regress or pg_isolation_regress in a furnished database."""
    output = ROOT / "build" / "hostile" / house.name.replace(" ", "-") / driver
    with Cluster(house=house) as cluster, Steps(cluster):
        house.furnish(cluster, "hostile")
        options = cluster.options
        if extension:
            cluster.sql("CREATE EXTENSION IF NOT EXISTS vote_agg", dbname="hostile")
        if driver == "isolation":
            # As installcheck has it: the specs fold themselves, and any session that reads would start a worker.
            options += " -c vote_agg.worker=off"
        environment = {**os.environ, "PGHOST": str(cluster.path), "PGUSER": "postgres", "PGOPTIONS": options.strip()}
        command = [
            DRIVERS / driver / {"regress": "pg_regress", "isolation": "pg_isolation_regress"}[driver], f"--bindir={BINDIR}",
            f"--inputdir={ROOT / 'pg_test'}", f"--outputdir={output}", "--dbname=hostile", "--use-existing", *tests,
        ]
        output.mkdir(parents=True, exist_ok=True)
        with Guests(cluster, "hostile"):
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False)
        diffs = output / "regression.diffs"
        assert done.returncode == 0, done.stdout[-2000:] + (diffs.read_text(errors="replace")[:8000] if diffs.exists() else "")
        assert "terminated by signal" not in cluster.log_text(), cluster.log_tail()


def regression(house):
    # The first test creates the extension, where it is among them.
    run_driver(house, "regress", [test for test in listed("REGRESS") if test not in house.without], extension="surface" in house.without)


def isolation(house):
    run_driver(house, "isolation", [spec for spec in listed("ISOLATION") if spec not in house.without], extension=True)


def proof(house):
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *(f"pg_test/proof/{proof}" for proof in PROOFS)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **BRIEF, "HOUSE": house.name}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:]


def matrix():
    for house in houses.ALL:
        for suite in (regression, isolation, proof):
            if suite.__name__ in house.suites:
                red = [pytest.mark.xfail(strict=True, reason="known")] if suite.__name__ in house.red else []
                yield pytest.param(house, suite, marks=red, id=f"{house.name}-{suite.__name__}")


@pytest.mark.parametrize("house, suite", matrix())
def test_suite_in_house(house, suite):
    if not house.since <= VERSION <= house.until:
        pytest.skip(f"PostgreSQL {house.since} to {house.until} have it")
    suite(house)
