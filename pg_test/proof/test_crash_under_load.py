"""Servers, workers and sessions are killed under load: every acknowledged vote is there exactly once, and seq has no gap.

Each vote comes with a row of the table `journal` in the same transaction, so that after a crash the table tells which
of the commits that nobody acknowledged took place.
"""

import time

import psycopg
import pytest

import vote_calls
from testkit import oracle
from testkit.harness import KILLS, eventually, kill, random_for, running

MATCHES = ("final", "third place")
VOTERS = 8
GONE = (psycopg.OperationalError,)  # the connection broke, or the server said why it breaks it (57P01 to 57P03)

JOURNAL = """
CREATE TABLE journal (id text PRIMARY KEY, match text, team text, cell bigint, country text, votes bigint, in_total bool);
"""


class Voter:
    """Votes, and forgets what it does not know: a commit without an answer is left to the journal."""

    def __init__(self, db, name):
        self.db, self.name, self.rng = db, name, random_for("crash", name)
        self.acknowledged, self.count, self.left_one = [], 0, False

    def run(self, stop):
        try:
            with self.db.connect() as session:
                while not stop.is_set():
                    self.transaction(session)
        except GONE as gone:
            assert gone.sqlstate in (None, "57P01", "57P02", "57P03"), gone

    def transaction(self, session):
        match = self.rng.choice(MATCHES)
        statements, votes = vote_calls.some(self.rng, match, vote_calls.any_vote)
        ids = []
        session.execute("BEGIN")
        for statement in statements:
            session.execute(*statement)
        for vote in votes:
            self.count += 1
            ids.append(f"{self.name}/{self.count}")
            session.execute("INSERT INTO journal VALUES (%s, %s, %s, %s, %s, %s, %s)", (ids[-1], *vote))
        if self.rng.random() < 0.1:
            session.execute(f"PREPARE TRANSACTION '{ids[0]}'")
            if not self.left_one:
                self.left_one = True
                return  # somebody finishes it later, after the crash
            session.execute(f"COMMIT PREPARED '{ids[0]}'")
        else:
            session.execute("COMMIT")
        self.acknowledged += ids


class Listener:
    """Reads the feed under load. What it has seen must still be there after a crash."""

    def __init__(self, db):
        self.db, self.seen = db, {match: {} for match in MATCHES}

    def run(self, stop):
        try:
            with self.db.connect() as session:
                while not stop.wait(0.05):
                    self.look(session)
        except GONE as gone:
            assert gone.sqlstate in (None, "57P01", "57P02", "57P03"), gone

    def look(self, session):
        for match, seen in self.seen.items():
            query = "SELECT seq, body::text, resync FROM get_match_changes(%s, %s)"
            rows = session.execute(query, (match, len(seen))).fetchall()
            for seq, body, resync in rows:
                assert not resync and seq == len(seen) + 1, (match, seq, len(seen))
                seen[seq] = body

    def check(self, session):
        """All that was seen is in the feed, byte by byte, and the feed counts 1, 2, 3 …"""
        for match, seen in self.seen.items():
            query = "SELECT seq, epoch, body FROM vote_agg.feed WHERE match_id = %s ORDER BY seq"
            rows = session.execute(query, (match,)).fetchall()
            assert [seq for seq, _, _ in rows] == list(range(1, len(rows) + 1))
            assert len({epoch for _, epoch, _ in rows}) <= 1, "a crash begins no new history"
            assert not seen.items() - {seq: body for seq, _, body in rows}.items()


def finish_prepared(db, rng):
    for (name,) in db.sql("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()"):
        db.sql(f"{rng.choice(('COMMIT', 'ROLLBACK'))} PREPARED '{name}'")


def check(db, voters, listener):
    """What is counted equals the journal, and the journal has everything that was acknowledged."""
    with db.connect() as session:
        rows = session.execute("SELECT * FROM journal").fetchall()
        assert not {name for voter in voters for name in voter.acknowledged} - {row[0] for row in rows}
        journal = [oracle.Vote(*row[1:]) for row in rows]
        for match in MATCHES:
            assert not oracle.differences(session, match, journal)
        db.settle()
        for match in MATCHES:
            assert not oracle.differences(session, match, journal, folded=True)
        listener.check(session)


@pytest.fixture
def own(new_cluster, new_database):
    """A database in a cluster of its own: a crash hits everybody in it."""
    db = new_database(new_cluster())
    db.sql(JOURNAL)
    return db


def kill_postmaster(db):
    db.cluster.kill()
    db.cluster.start()


def kill_worker(db):
    while not kill(db.cluster, eventually("a worker runs", db.worker)):
        pass  # it was at its end already


def kill_voter(db):
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query ~ '^INSERT INTO journal'"
    while not kill(db.cluster, eventually("somebody votes", lambda: db.sql(query))[0][0]):
        pass


@pytest.mark.parametrize(
    ("how", "times"), [(kill_postmaster, KILLS), (kill_worker, max(1, KILLS // 2)), (kill_voter, max(1, KILLS // 2))]
)
def test_killed_under_load(own, how, times):
    rng = random_for(how.__name__)
    voters, listener = [], Listener(own)
    for life in range(times):
        voters += [Voter(own, f"{life}/{n}") for n in range(VOTERS)]
        with running(*(voter.run for voter in voters[-VOTERS:]), listener.run):
            eventually("votes are acknowledged", lambda: all(voter.acknowledged for voter in voters[-VOTERS:]))
            eventually("the worker folds", lambda: len(listener.seen[MATCHES[0]]) > 2 * life)
            time.sleep(rng.random())  # a random moment
            how(own)
        check(own, voters, listener)
        finish_prepared(own, rng)
        check(own, voters, listener)
    print(f"{sum(len(voter.acknowledged) for voter in voters)} votes acknowledged, {times} kills")


def test_the_worker_comes_back_after_a_crash(own):
    """With the next vote, whatever died."""
    own.sql("SELECT record_vote('final', 'home')")
    kill_worker(own)
    own.sql("SELECT record_vote('final', 'home')")
    eventually("the worker has folded both votes", lambda: own.pending() == 0)
    with own.connect() as session:
        assert not oracle.differences(session, "final", [oracle.Vote("final", "home")] * 2, folded=True)


def test_prepared_votes_survive_the_crash_of_a_server_that_was_folding(own):
    """A vote prepared before, committed after; folds in both lives."""
    votes = []
    for life in range(3):
        vote = oracle.Vote("final", "away", vote_calls.CELLS[life], "BR", 10**life)
        with own.connect() as session:
            session.execute("BEGIN")
            session.execute(*vote_calls.record(vote))
            session.execute(f"PREPARE TRANSACTION 'life {life}'")
        own.sql("SELECT record_vote('final', 'home')")
        votes.append(oracle.Vote("final", "home"))
        eventually("the worker folds", lambda: own.pending() == 0)
        kill_postmaster(own)
        with own.connect() as session:
            assert not oracle.differences(session, "final", votes)
            session.execute(f"COMMIT PREPARED 'life {life}'")
            votes.append(vote)
            assert not oracle.differences(session, "final", votes)
    own.settle()
    with own.connect() as session:
        assert not oracle.differences(session, "final", votes, folded=True)
