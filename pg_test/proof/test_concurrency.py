"""Many sessions vote, roll back, fail, prepare and are cancelled, at every isolation level; readers check all the while."""

import collections
import itertools

import psycopg
import pytest

import vote_calls
from testkit import oracle
from testkit.harness import SECONDS, SESSIONS, all_come, eventually, fold, random_for, running

LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
ENDS = ("COMMIT", "ROLLBACK", "COMMIT PREPARED", "ROLLBACK PREPARED")
EVENTS = (*ENDS, "rolled back to savepoint", "savepoint kept", "refused", "cancelled")
KEPT = (None, "savepoint kept")

# A session that cancels itself: a cancel from outside mostly finds it between two statements, where it does nothing.
CANCEL_MYSELF = "SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)"
CANCEL_THE_BUSY = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = ANY (%s) AND state = 'active'"

# One statement, one snapshot: every way of adding up the match's votes. All votes in it have a cell and a country.
WAYS = """
SELECT ARRAY[
    coalesce((SELECT total_votes FROM get_realtime_stats(%(match)s)), 0),
    coalesce((SELECT sum(v.value::bigint) FROM get_realtime_stats(%(match)s) s, jsonb_each_text(s.votes) v), 0),
    coalesce((SELECT sum(total_votes) FROM get_match_aggregates(%(match)s)), 0),
    coalesce((SELECT sum(total_votes) FROM get_match_aggregates(%(match)s, 5)), 0),
    coalesce((SELECT sum(total_votes) FROM get_match_aggregates(%(match)s, 0)), 0),
    coalesce((SELECT sum(total_votes) FROM get_country_aggregates(%(match)s)), 0),
    coalesce((SELECT sum(votes) FROM get_match_timeline(%(match)s)), 0),
    coalesce((SELECT total_votes FROM get_match_at(%(match)s, 'infinity') WHERE country_code IS NULL), 0),
    coalesce((SELECT sum(total_votes) FROM get_match_at(%(match)s, 'infinity') WHERE country_code IS NOT NULL), 0)]
"""


class Voter:
    """A session that votes in random transactions and remembers what was acknowledged."""

    def __init__(self, db, number):
        self.session = db.connect()
        self.pid = self.session.info.backend_pid
        self.rng = random_for("voter", number)
        self.names = (f"voter_{number}_{n}" for n in itertools.count())
        self.journal, self.events = [], collections.Counter()

    def run(self, stop):
        while not stop.is_set():
            try:
                self.transaction()
            except psycopg.errors.QueryCanceled:
                self.events["cancelled from outside"] += 1
                self.insist("ROLLBACK")

    def transaction(self):
        self.session.execute(f"BEGIN ISOLATION LEVEL {self.rng.choice(LEVELS)}")
        votes = [vote for _ in range(self.rng.randint(1, 6)) for vote in self.step()]
        end = self.rng.choice(ENDS)
        if "PREPARED" in end:
            name = next(self.names)
            self.session.execute(f"PREPARE TRANSACTION '{name}'")
            self.finish_prepared(f"{end} '{name}'")
        else:
            self.session.execute(end)
        self.events[end] += 1
        if end.startswith("COMMIT"):
            self.journal += votes

    def step(self):
        """One call, perhaps in a savepoint; returns the votes that stay."""
        match = self.rng.choice(("placed", "any"))
        statements, votes = vote_calls.some(self.rng, match, vote_calls.placed_vote if match == "placed" else vote_calls.any_vote)
        event = self.rng.choice((*KEPT, None, "rolled back to savepoint", "refused", "cancelled"))
        if event:
            self.session.execute("SAVEPOINT here")
        for statement in statements:
            self.session.execute(*statement)
        if event == "refused":
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                self.session.execute(*vote_calls.bad(self.rng, match))
        if event == "cancelled":
            with pytest.raises(psycopg.errors.QueryCanceled):
                self.session.execute(CANCEL_MYSELF)
        if event:
            self.session.execute("RELEASE SAVEPOINT here" if event == "savepoint kept" else "ROLLBACK TO SAVEPOINT here")
            self.events[event] += 1
        return votes if event in KEPT else []

    def insist(self, statement):
        """Runs a statement that must end what was begun, however often it is cancelled."""
        while True:
            try:
                return self.session.execute(statement)
            except psycopg.errors.QueryCanceled:
                self.events["cancelled from outside"] += 1

    def finish_prepared(self, statement):
        """A cancel may hit COMMIT PREPARED after it has done its work: then the transaction is not there any more."""
        cancelled = self.events["cancelled from outside"]
        try:
            self.insist(statement)
        except psycopg.errors.UndefinedObject:
            assert self.events["cancelled from outside"] > cancelled, f"{statement}: it was never there"


def canceller(db, voters, rng):
    def run(stop):
        with db.connect() as session:
            while not stop.wait(0.01):
                pids = [voter.pid for voter in rng.sample(voters, len(voters) // 2)]
                session.execute(CANCEL_THE_BUSY, (pids,))

    return run


def reader(db, number):
    """Checks that all ways of adding up agree, in one statement or twice in one snapshot."""

    def run(stop):
        rng = random_for("reader", number)
        with db.connect() as session:
            while not stop.is_set():
                session.execute(f"BEGIN ISOLATION LEVEL {rng.choice(LEVELS)} READ ONLY")
                frozen = "read committed" != session.execute("SHOW transaction_isolation").fetchone()[0]
                ways = session.execute(WAYS, {"match": "placed"}).fetchone()[0]
                assert len(set(ways)) == 1, f"in one snapshot: {ways}"
                if frozen:
                    stop.wait(rng.random() / 4)
                    assert ways == session.execute(WAYS, {"match": "placed"}).fetchone()[0], "one snapshot changed"
                session.execute("ROLLBACK")

    return run


def folder(db):
    """Somebody else who folds, besides the worker."""

    def run(stop):
        with db.connect() as session:
            session.execute("SET default_transaction_isolation = 'read committed'")
            while not stop.wait(0.05):
                fold(session)

    return run


def test_every_acknowledged_vote_is_counted_once(cluster, db):
    # What a DBA may set for the database must not reach the worker's folds.
    cluster.sql(f"ALTER DATABASE {db.name} SET default_transaction_isolation = 'serializable'")
    voters = [Voter(db, n) for n in range(SESSIONS)]
    readers = [reader(db, n) for n in range(2)]
    with running(*(v.run for v in voters), *readers, canceller(db, voters, random_for("canceller")), folder(db)) as stop:
        stop.wait(SECONDS)
        all_come(stop, EVENTS, [voter.events for voter in voters])

    events = sum((voter.events for voter in voters), collections.Counter())
    print(dict(events))
    assert not set(EVENTS) - set(events), "some kind of event never came"
    journal = [vote for voter in voters for vote in voter.journal]
    with db.connect() as session:
        for match in ("placed", "any"):
            assert not oracle.differences(session, match, journal)
        eventually("the worker folds the rest", lambda: db.pending() == 0)
        for match in ("placed", "any"):
            assert not oracle.differences(session, match, journal, folded=True)
    assert db.value("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 0
    for voter in voters:
        voter.session.close()


def test_nothing_is_nothing(still):
    """The zero-row case: a match that nobody knows reads as empty, not as an error."""
    with still.connect() as session:
        assert not oracle.differences(session, "unheard-of", [], folded=True)
        session.execute(*vote_calls.record(oracle.Vote("heard-of", "home")))
        assert oracle.differences(session, "heard-of", []), "the oracle must see a vote that the journal lacks"
        assert not oracle.differences(session, "heard-of", [oracle.Vote("heard-of", "home")])
        assert not oracle.differences(session, "unheard-of", [])


def test_a_prepared_vote_holds_nobody_up(still):
    """Others vote in the same cell and fold while one vote is prepared; it is read once it is committed."""
    vote = oracle.Vote("m", "home", vote_calls.CELLS[0], "FR")
    with still.connect() as session, still.connect() as other:
        session.execute("BEGIN")
        session.execute(*vote_calls.record(vote))
        session.execute("PREPARE TRANSACTION 'held'")
        other.execute("SET lock_timeout = '1ms'")
        for n in range(1, 4):
            other.execute(*vote_calls.record_text(vote))
            assert other.execute("SELECT vote_agg.fold()").fetchone()[0] == 1
            assert not oracle.differences(other, "m", [vote] * n)
        session.execute("COMMIT PREPARED 'held'")
        assert not oracle.differences(other, "m", [vote] * 4)
        still.settle()
        assert not oracle.differences(other, "m", [vote] * 4, folded=True)


def test_a_fold_that_was_rolled_back_leaves_nothing_behind(still):
    """Whatever a session remembers of it for speed is forgotten: other folds give the same seq to other content."""
    votes = [oracle.Vote("m", "home", cell, country) for cell, country in zip(vote_calls.CELLS[5:9], vote_calls.COUNTRIES)]
    with still.connect() as session, still.connect() as other:
        for how in ("ROLLBACK", "ROLLBACK TO SAVEPOINT s"):
            other.execute(*vote_calls.record(votes[2]))
            other.execute("SELECT vote_agg.fold()")
            session.execute("BEGIN")
            session.execute("SAVEPOINT s")
            session.execute(*vote_calls.record(votes[0]))
            session.execute("SELECT vote_agg.fold()")
            session.execute(*vote_calls.record(votes[0]))
            assert session.execute("SELECT active_cells, active_countries FROM get_realtime_stats('m')").fetchone() == (2, 2)
            session.execute(how)
            if how != "ROLLBACK":
                session.execute("COMMIT")
            other.execute(*vote_calls.record(votes[1]))
            other.execute("SELECT vote_agg.fold()")
            other.execute(*vote_calls.record(votes[0]))
            for reader in (other, session):
                assert not oracle.differences(reader, "m", votes[:3])
            session.execute("SELECT vote_agg.fold()")
            session.execute("SELECT purge_match('m')")
            for reader in (other, session):
                assert not oracle.differences(reader, "m", [])


def test_rights_are_granted_by_several_at_once(cluster, db):
    """GRANTs on one object at the same time would fail with XX000."""
    for role in ("reads", "writes"):
        cluster.sql(f"CREATE ROLE {role}")

    def grant(statement):
        def run(_stop):
            with db.connect() as session:
                for _ in range(50):
                    session.execute(statement)

        return run

    calls = ("grant_reader('reads')", "grant_writer('writes')", "grant_reader('writes')", "revoke_writer('writes')", "revoke_reader('reads')")
    with running(*(grant(f"SELECT vote_agg.{call}") for call in calls)):
        pass
    db.sql("DROP OWNED BY reads, writes")
    for role in ("reads", "writes"):
        cluster.sql(f"DROP ROLE {role}")
