"""Votes through PgBouncer in transaction mode: many clients, few sessions, each statement perhaps in another one."""

import collections

import psycopg
import pytest

import vote_calls
from testkit import oracle
from testkit.harness import SECONDS, SESSIONS, eventually, random_for, running
from testkit.pooler import PORT, bouncer


@pytest.fixture
def through_bouncer(cluster, db):
    """Connects a client to `db` through PgBouncer, without named prepared statements, which it can't carry over."""

    def connect():
        return psycopg.connect(
            f"host={cluster.path} port={PORT} dbname={db.name} user=postgres", autocommit=True, prepare_threshold=None
        )

    with bouncer(cluster, "postgres"):
        yield connect


def test_every_vote_counts_once(db, through_bouncer):
    journals, backends = [[] for _ in range(SESSIONS)], collections.defaultdict(set)

    def client(number):
        def run(stop):
            rng = random_for("client", number)
            with through_bouncer() as session:
                while not stop.is_set():
                    statements, votes = vote_calls.some(rng, "m", vote_calls.any_vote)
                    if rng.random() < 0.3 and len(statements) == 1:
                        session.execute(*statements[0])
                        journals[number] += votes
                        continue
                    session.execute("BEGIN")
                    backends[number].add(session.execute("SELECT pg_backend_pid()").fetchone()[0])
                    for statement in statements:
                        session.execute(*statement)
                    if rng.random() < 0.3:
                        session.execute("SAVEPOINT s")
                        with pytest.raises(psycopg.errors.InvalidParameterValue):
                            session.execute(*vote_calls.bad(rng, "m"))
                        session.execute("ROLLBACK TO SAVEPOINT s")
                    if rng.random() < 0.2:
                        session.execute("ROLLBACK")
                    else:
                        session.execute("COMMIT")
                        journals[number] += votes

        return run

    with running(*map(client, range(SESSIONS))) as stop:
        stop.wait(SECONDS / 4)
    assert max(map(len, backends.values())) > 1, "each client had a session of its own: nothing was pooled"
    journal = sum(journals, [])
    with db.connect() as session:
        assert not oracle.differences(session, "m", journal)
        db.settle()
        assert not oracle.differences(session, "m", journal, folded=True)


def test_a_close_is_seen_through_every_pooled_session(db, through_bouncer):
    """The cache of open matches is a session's; none may be behind."""
    sessions = [through_bouncer() for _ in range(8)]
    for session in sessions:
        session.execute("BEGIN")
        session.execute("SELECT record_vote('m', 'home')")
        session.execute("COMMIT")
    sessions[0].execute("SELECT close_match('m')")
    for session in sessions * 2:
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            session.execute("SELECT record_vote('m', 'home')")
    with db.connect() as direct:
        assert not oracle.differences(direct, "m", [oracle.Vote("m", "home")] * 8)
    for session in sessions:
        session.close()
