"""sqlsmith, and random calls of each function, against a database with open, closed, ballot and attached matches: no crash, no bug,
and everything adds up."""

import contextlib
import itertools
import os

import psycopg
import pytest

from pg_test.soak import own, smith
from testkit.harness import SEED, random_for, running

SECONDS = float(os.environ.get("SMITH_SECONDS", 600))
SESSIONS = 3
LONG = 300  # from so many seconds on, each function must have been called with success, and with a refusal


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
    db.sql(smith.ATTACHED)
    seeds, calls = itertools.count(SEED), smith.Calls(db)
    cluster.planted.append("could not serialize access due to concurrent update")  # own.py looks whose it is

    def session(stop):
        while not stop.is_set():
            statements = smith.statements(model, next(seeds))
            with db.cluster.connect(db.name, user="smith", options="-c statement_timeout=5s") as session:
                for statement in statements:
                    if stop.is_set():
                        return
                    calls.execute(session, statement)
            # A random call may have closed one of them meanwhile, or named its teams.
            with contextlib.suppress(psycopg.errors.ObjectNotInPrerequisiteState, psycopg.errors.UndefinedObject):
                db.sql(smith.MATCHES)
            with contextlib.suppress(psycopg.errors.ObjectNotInPrerequisiteState, psycopg.errors.LockNotAvailable):
                db.sql(smith.ATTACHED)

    # Some are the operator's alone.
    callers = [own.caller(calls, user, random_for("own", user)) for user in ("smith", "postgres")]
    with running(*[session] * SESSIONS, *callers) as stop:
        stop.wait(SECONDS)
    succeeded = calls.succeeded()
    print(f"{calls.states.total()} statements: {dict(calls.states)}")
    for name in sorted(calls.names):
        print(f"{name}: {succeeded[name]} succeeded, {calls.refused[name]} refused")
    assert succeeded.total() and calls.refused, "none of our functions was called"
    never = {name for name in calls.names if not succeeded[name]}, {name for name in calls.names - own.TAKES_ALL if not calls.refused[name]}
    print(f"never with success: {sorted(never[0])}; never refused: {sorted(never[1])}")
    if SECONDS >= LONG:
        assert never == (set(), set())
    db.settle()
    for (match,) in db.sql("SELECT vote_agg.matches()"):
        assert not db.failed_checks(match), match
