"""sqlsmith against a database with open, closed, ballot and attached matches: no crash, no bug, and everything adds up."""

import itertools
import os
import time

import pytest

from pg_test.soak import smith
from testkit.harness import SEED, running

SECONDS = float(os.environ.get("SMITH_SECONDS", 600))
SESSIONS = 3
LONG = 300  # from so many seconds on, half of the functions must have been called with success, and half with a refusal


@pytest.fixture(scope="module")
def cluster(new_cluster):
    return new_cluster(track_functions="'all'")


def test_random_statements(new_cluster, cluster, db, new_database):
    model = new_database(new_cluster(autovacuum="off"))  # its catalog is not whole
    model.is_patrolled = False
    model.sql(smith.SHOWN)
    model.sql(smith.FEWER)
    db.sql(smith.SHOWN)
    db.sql(smith.MATCHES)
    seeds, calls = itertools.count(SEED), smith.Calls(db)

    def session(stop):
        while not stop.is_set():
            statements = smith.statements(model, next(seeds))
            with db.cluster.connect(db.name, user="smith", options="-c statement_timeout=5s") as session:
                for statement in statements:
                    if stop.is_set():
                        return
                    calls.execute(session, statement)
            db.sql(smith.MATCHES)

    with running(*[session] * SESSIONS) as stop:
        stop.wait(SECONDS)
    succeeded = calls.succeeded()
    print(f"{calls.states.total()} statements: {dict(calls.states)}")
    for name in sorted(calls.names):
        print(f"{name}: {succeeded[name]} succeeded, {calls.refused[name]} refused")
    assert succeeded.total() and calls.refused, "none of our functions was called"
    if SECONDS >= LONG:
        reached = [sum(counts[name] > 0 for name in calls.names) for counts in (succeeded, calls.refused)]
        assert min(reached) >= len(calls.names) // 2, f"of {len(calls.names)} functions {reached[0]} succeeded and {reached[1]} were refused"
    db.settle()
    for (match,) in db.sql("SELECT vote_agg.matches()"):
        wrong = db.sql("SELECT * FROM verify_match(%s) WHERE NOT ok", match)
        assert not wrong, (match, wrong)
