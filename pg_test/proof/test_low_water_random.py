"""Low water at random, for PROOF_SECONDS: writers that linger, prepare and roll back, every kind of vacuum, old snapshots,
heaps that take turns all the time, the worker at its shortest interval.

Each transaction votes once in each of two matches, so every snapshot must show the same numbers for both. A reader knows
besides what was acknowledged before its snapshot and what was begun after it: its total must lie in between.
"""

import contextlib
import threading

import psycopg
import pytest

import pending_heaps
import vote_calls
from testkit import oracle
from testkit.harness import SECONDS, eventually, random_for, running

VOTERS = 8
READERS = 2
BOTH = """
SELECT coalesce((SELECT total_votes FROM get_realtime_stats('a')), 0),
       coalesce((SELECT total_votes FROM get_realtime_stats('b')), 0),
       coalesce((SELECT sum(total_votes) FROM get_match_aggregates('a')), 0),
       coalesce((SELECT sum(total_votes) FROM get_country_aggregates('b')), 0)
"""
TABLES = ("pending_1", "pending_2", "pending_1", "pending_2", "h3_aggregate", "country_aggregate", "timeline", "country_timeline", "feed", "fold_log")
VACUUMS = ("TRUNCATE", "TRUNCATE off", "FREEZE, TRUNCATE", "FULL")
TURN_SIZES = ("1MB", "2MB", "4MB")


@pytest.fixture(scope="module")
def cluster(new_cluster):
    cluster = new_cluster(**{"vote_agg.fold_interval": "'10ms'"})
    # The DBA of these proofs holds a heap for longer than a fold waits.
    cluster.planted += [f"could not be {what}: canceling statement due to lock timeout" for what in ("folded", "noted", "vacuumed")]
    return cluster


class Tally:
    """What was begun and what was acknowledged, in votes; and the journal."""

    def __init__(self):
        self.lock = threading.Lock()
        self.begun = self.acknowledged = 0
        self.journal = []

    def begin(self, votes):
        with self.lock:
            self.begun += votes

    def acknowledge(self, vote):
        with self.lock:
            self.acknowledged += vote.votes
            self.journal += [vote._replace(match=match) for match in "ab"]

    def give_up(self, votes):
        """Only for what nobody can have seen: a rollback that has been acknowledged."""
        with self.lock:
            self.begun -= votes


def voter(db, number, tally):
    """Votes, then lingers for anything from nothing to half a second before it ends its transaction in any way."""

    def run(stop):
        rng = random_for("voter", number)
        with db.connect() as session:
            while not stop.is_set():
                vote = vote_calls.placed_vote(rng, "a")._replace(votes=rng.randint(1, 5))
                rows = rng.choice((1, 1, 1, 50, 2000))
                in_total = vote._replace(votes=vote.votes * rows)
                tally.begin(in_total.votes)
                session.execute("BEGIN")
                for match in "ab":
                    query, params = vote_calls.record(vote._replace(match=match))
                    query = f"{query} FROM generate_series(1, {rows})"
                    session.execute(f"WITH v AS MATERIALIZED ({query}) SELECT count(*) FROM v", params)
                    if rng.random() < 0.3:
                        stop.wait(rng.random() / 2)
                commits, is_prepared = rng.random() < 0.8, rng.random() < 0.2
                if is_prepared:
                    session.execute(f"PREPARE TRANSACTION '{db.name} {number}'")
                    stop.wait(rng.random())
                end = "COMMIT" if commits else "ROLLBACK"
                session.execute(f"{end} PREPARED '{db.name} {number}'" if is_prepared else end)
                if commits:
                    tally.acknowledge(in_total)
                else:
                    tally.give_up(in_total.votes)

    return run


def reader(db, number, tally):
    """Looks at random moments; some of its snapshots grow old and are asked again and again."""

    def run(stop):
        rng = random_for("reader", number)
        with db.connect() as session:
            while not stop.is_set():
                session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                with tally.lock:
                    low = tally.acknowledged
                seen = numbers(session)
                with tally.lock:
                    high = tally.begun
                assert len(set(seen)) == 1, f"one snapshot, two totals: {seen}"
                assert seen[0] >= low, f"missed: {seen[0]} of at least {low}"
                assert seen[0] <= high, f"doubled: {seen[0]} of at most {high}"
                for _ in range(rng.choice((0, 0, 1, 8))):
                    stop.wait(rng.random() / 4)
                    assert numbers(session) == seen, "one snapshot changed"
                session.execute("ROLLBACK")

    return run


def numbers(session):
    return session.execute(BOTH).fetchone()


def vacuumer(db):
    """A DBA who vacuums all the time. Where he can't have a table at once he gives up: 55P03."""

    def run(stop):
        rng = random_for("vacuumer")
        with db.connect() as session:
            session.execute("SET lock_timeout = '200ms'")
            while not stop.wait(rng.random() / 4):
                try:
                    session.execute(f"VACUUM ({rng.choice(VACUUMS)}) vote_agg.{rng.choice(TABLES)}")
                except psycopg.errors.LockNotAvailable:
                    pass

    return run


def folder(db, heaps_seen):
    """Folds beside the worker, with ever another idea of when a heap is big."""

    def run(stop):
        rng = random_for("folder")
        with db.connect() as session:
            while not stop.wait(rng.random() / 10):
                session.execute(f"SET vote_agg.turn_size = '{rng.choice(TURN_SIZES)}'")
                with contextlib.suppress(psycopg.errors.LockNotAvailable):  # the vacuumer has a heap for itself
                    session.execute(pending_heaps.FOLD)
                heaps_seen.add(pending_heaps.current(db))

    return run


def test_no_reader_misses_or_doubles_a_vote(db):
    db.configure(turn_size=TURN_SIZES[0])
    tally, heaps_seen = Tally(), set()
    voters = [voter(db, number, tally) for number in range(VOTERS)]
    readers = [reader(db, number, tally) for number in range(READERS)]
    with running(*voters, *readers, vacuumer(db), folder(db, heaps_seen)) as stop:
        stop.wait(SECONDS)
        eventually("the heaps take turns", lambda: stop.is_set() or heaps_seen == {1, 2})
    with db.connect() as session:
        for match in "ab":
            assert not oracle.differences(session, match, tally.journal)
        db.settle()
        for match in "ab":
            assert not oracle.differences(session, match, tally.journal, folded=True)
    print(f"{tally.acknowledged} votes acknowledged")


def test_the_disk_space_comes_back(db):
    """By the worker alone, once the old snapshot that held it is gone."""
    db.configure(turn_size=TURN_SIZES[0])

    def sizes():
        return sorted(size for (size,) in db.sql("SELECT bytes FROM vote_agg.stat_pending WHERE heap <> 'pending_aside'"))

    with db.connect() as old:
        old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        then = oracle.observed(old, "m")
        journal = [pending_heaps.grow(db, 40_000), pending_heaps.grow(db, 40_000)]
        eventually("the other heap has its turn", lambda: pending_heaps.current(db) == 2)
        journal.append(pending_heaps.grow(db, 40_000))
        eventually("all is folded", lambda: db.pending() == 0)
        assert sizes()[0] > 0, "nothing was held back"
        assert then == oracle.observed(old, "m")

    def given_back():
        journal.append(pending_heaps.grow(db, 1))
        return sizes()[0] == 0

    eventually("a heap is empty on disk", given_back)
    pending_heaps.equals(db, journal)
