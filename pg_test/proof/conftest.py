"""Fixtures: a server for each file of proofs, a fresh database for each proof, and how to repeat a run that failed."""

import contextlib
import itertools
import os

import pytest

from pg_test.hostile import houses
from testkit import harness
from testkit.cluster import Cluster
from testkit.house import PLAIN, Steps

SETTINGS = {
    # %e is the SQLSTATE, which harness.faults looks for.
    "log_line_prefix": "'%m [%p] %e %b %d '",
    "vote_agg.feed_retention": "'1d'",  # longer than any clock here steps
}
names = (f"proof_{n}" for n in itertools.count(1))


@pytest.fixture(scope="module")
def new_cluster():
    """Starts clusters; at the end they go, and none of their logs may show a fault. The environment names their house."""
    clusters, house = [], houses.NAMED[os.environ.get("HOUSE", PLAIN.name)]

    def start(**settings):
        cluster = Cluster(house=house, **{**SETTINGS, **settings})
        cluster.planted = []  # parts of the lines that a test brings about on purpose
        clusters.append(cluster)
        cluster.start()
        clocks.enter_context(Steps(cluster))
        return cluster

    with contextlib.ExitStack() as clocks:
        yield start
    found = []
    for cluster in clusters:
        found += [line for line in harness.faults(cluster.log_text()) if not any(part in line for part in cluster.planted)]
        cluster.__exit__()
    assert not found, "\n".join(found)


@pytest.fixture(scope="module")
def cluster(new_cluster):
    return new_cluster()


@pytest.fixture
def new_database():
    """Makes fresh databases in a cluster that the caller names."""
    databases = []

    def create(cluster, **options):
        databases.append(harness.Database(cluster, next(names)))
        return databases[-1].create(**options)

    yield create
    for database in databases:
        database.drop()


@pytest.fixture
def db(cluster, new_database):
    """A fresh database whose worker folds."""
    return new_database(cluster)


@pytest.fixture
def still(db):
    """A fresh database where only the test itself folds."""
    db.configure(worker="off")
    return db


@pytest.fixture
def front(cluster, new_database):
    """A front with two shards."""
    from shards import Front

    made = Front(new_database(cluster, extension=False), [new_database(cluster) for _ in range(2)])
    yield made
    made.close()


def parameters():
    names = ("SEED", "SECONDS", "KILLS", "CRASHES", "SESSIONS", "VOTERS", "CELLS", "STATEMENTS", "DAMAGES", "ATTEMPTS", "READS")
    return " ".join(f"PROOF_{name}={getattr(harness, name)}" for name in names)


def pytest_report_header():
    return parameters()


def pytest_terminal_summary(terminalreporter):
    for report in terminalreporter.stats.get("failed", []) + terminalreporter.stats.get("error", []):
        terminalreporter.write_line(f"repeat with: {parameters()} build/venv/bin/python -m pytest '{report.nodeid}'")
