"""Prepared votes outlive everything: crashes of one process, of the postmaster, and the primary's end. Others end them much later.

PROOF_KILLS crashes by the death of a random child and PROOF_CRASHES (a quarter as many) of the postmaster, mixed. Now and then
a synchronous standby takes over. Three of ten transactions are prepared and left alone, to be ended by another session some deaths later.
Matches are closed meanwhile, and must become final with every vote that was cast in time. After that no number of theirs changes.
Each vote has a row in the table `journal` in its transaction, which tells what was committed.
"""

import time

import psycopg
import pytest

import pending_heaps
import vote_calls
from testkit import oracle
from testkit.cluster import Cluster
from testkit.harness import CRASHES, KILLS, Database, crash, eventually, faults, kill, random_for, running

VOTERS = 4
PROMOTE_EVERY = 25  # deaths
CALM_EVERY = 3
GONE = (psycopg.OperationalError,)  # the connection broke, or the server said why it breaks it
CLOSED = psycopg.errors.ObjectNotInPrerequisiteState
JOURNAL = """
CREATE TABLE journal (id text PRIMARY KEY, match text, team text, cell bigint, country text, votes bigint, in_total bool);
"""
SETTINGS = {
    "vote_agg.fold_interval": "'10ms'",
    "vote_agg.feed_retention": "'10d'",
    "wal_level": "replica",
    "max_prepared_transactions": 400,
}
NOTE = "INSERT INTO journal VALUES (%s, %s, %s, %s, %s, %s, %s)"


class Show:
    """The votes of all lives, and what is known of them."""

    def __init__(self, db, rng):
        self.db, self.rng, self.root = db, rng, db.cluster.path
        self.acknowledged, self.finals, self.clusters, self.marks = set(), {}, [], set()
        self.prepared = {}  # those that nobody has ended yet, with the death after which somebody does
        self.deaths = self.matches = self.outlived = 0
        self.killed = {"children": 0, "postmasters": 0}

    @property
    def match(self):
        return f"match {self.matches}"

    def voter(self, number):
        rng = random_for("outlives", self.deaths, number)

        def run(stop):
            try:
                with self.db.connect() as session:
                    for count in range(1_000_000):
                        if stop.is_set():
                            return
                        self.vote(session, rng, f"{self.deaths}/{number}/{count}")
            except GONE as gone:
                assert gone.sqlstate in (None, "57P01", "57P02", "57P03"), gone

        return run

    def vote(self, session, rng, name):
        vote = vote_calls.any_vote(rng, self.match)
        session.execute("BEGIN")
        try:
            session.execute(*vote_calls.record(vote))
        except CLOSED:
            session.execute("ROLLBACK")
            return
        session.execute(NOTE, (name, *vote))
        if rng.random() < 0.3 and len(self.prepared) < 300:
            session.execute(f"PREPARE TRANSACTION '{name}'")
            self.prepared[name] = self.deaths + rng.randint(1, 6)
        else:
            session.execute("COMMIT")
            self.acknowledged.add(name)

    def grow(self):
        """So many rows that a mark moves, in a match of their own."""
        with self.db.connect() as session, session.transaction():
            name, rows = f"rows {self.deaths}", 4 * pending_heaps.ROWS
            session.execute("SELECT count(*) FROM (SELECT record_vote('rows', 'away') FROM generate_series(1, %s) OFFSET 0) v", (rows,))
            session.execute(NOTE, (name, "rows", "away", None, None, rows, True))
        self.acknowledged.add(name)

    def live(self, die):
        """Votes until `die` has done its work; somebody closes the match now and then."""
        with running(*(self.voter(number) for number in range(VOTERS))):
            goal = len(self.acknowledged) + VOTERS
            eventually("votes are acknowledged", lambda: len(self.acknowledged) > goal)
            self.grow()
            if self.rng.random() < 0.4:
                self.db.sql("SELECT close_match(%s)", self.match)
                self.matches += 1
            time.sleep(self.rng.random() / 4)  # a random moment
            die()
        self.deaths += 1

    def kill_a_child(self):
        query = "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() ORDER BY pid"
        while not kill(self.db.cluster, self.rng.choice(self.db.sql(query))[0]):
            pass  # it was at its end already
        self.killed["children"] += 1

    def kill_postmaster(self):
        crash(self.db.cluster)
        self.killed["postmasters"] += 1

    def promote(self):
        """A synchronous standby takes over when the primary has died."""
        old = self.db.cluster
        path = self.root / f"standby_{self.deaths}"
        old.run("pg_basebackup", "-h", old.path, "-U", "postgres", "-D", path / "data", "-R", "-X", "stream", "-c", "fast", "--no-sync")
        other = Cluster(path)
        self.clusters.append(other.start())
        old.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        old.reload()
        eventually("it streams", lambda: old.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")[0][0])

        def take_over():
            old.kill()
            other.run("pg_ctl", "-D", other.data, "-w", "promote")
            self.db.cluster = other

        self.live(take_over)

    def end_prepared(self, all_of_them=False):
        """Those whose time has come, each by a session that did not prepare it."""
        there = {name for (name,) in self.db.sql("SELECT gid FROM pg_prepared_xacts WHERE database = %s", self.db.name)}
        assert set(self.prepared) <= there, "a prepared transaction outlives everything"
        # Prepared, but the server died before it could say so: as good as any other.
        for name in there - set(self.prepared):
            self.prepared[name] = self.deaths + 1
        with self.db.connect() as session:
            for name, until in list(self.prepared.items()):
                if until <= self.deaths or all_of_them:
                    how = self.rng.choice(("COMMIT", "COMMIT", "COMMIT", "ROLLBACK"))
                    session.execute(f"{how} PREPARED '{name}'")
                    del self.prepared[name]
                    self.outlived += int(name.split("/")[0]) < self.deaths
                    if how == "COMMIT":
                        self.acknowledged.add(name)

    def check(self, folded=False):
        """What is read equals the journal, which has all that was acknowledged; what is final stays; `seq` is whole."""
        with self.db.connect() as session:
            assert not self.acknowledged - {name for (name,) in session.execute("SELECT id FROM journal")}
            self.check_votes(session, folded)
            seqs = dict(self.whole(session.execute("SELECT match_id, count(*), max(seq), min(seq) FROM vote_agg.feed GROUP BY 1")))
            query = "SELECT file_1, mark_1, file_2, mark_2 FROM vote_agg.fold_log WHERE mark_1 + mark_2 > 0"
            self.marks |= set(session.execute(query))
            query = "SELECT match_id FROM vote_agg.match WHERE finalized_at IS NOT NULL"
            for (match,) in session.execute(query).fetchall():
                query = "SELECT total_votes, votes, status FROM get_realtime_stats(%s)"
                now = (seqs[match], session.execute(query, (match,)).fetchone())
                assert self.finals.setdefault(match, now) == now, match

    def check_votes(self, session, folded):
        """Of each match against the journal. Those that are final were compared after that, and once more at the end."""
        matches = [*(f"match {number}" for number in range(self.matches + 1)), "rows"]
        votes = {match: [] for match in matches if folded or match not in self.finals}
        query = "SELECT match, team, cell, country, votes, in_total FROM journal WHERE match = ANY(%s)"
        for row in session.execute(query, (list(votes),)):
            votes[row[0]].append(oracle.Vote(*row))
        for match, journal in votes.items():
            assert not oracle.differences(session, match, journal, folded), match

    @staticmethod
    def whole(rows):
        for match, count, newest, oldest in rows:
            assert (oldest, newest) == (1, count), f"the feed of {match} has {count} rows from {oldest} to {newest}"
            yield match, newest


@pytest.fixture
def show(new_cluster, new_database):
    cluster = new_cluster(**SETTINGS)
    db = new_database(cluster)
    db.sql(JOURNAL)
    db.configure(turn_size=pending_heaps.TURN_SIZE)
    show = Show(Database(cluster, db.name), random_for("outlives"))
    yield show
    for other in show.clusters:
        other.stop("immediate")
    assert not [line for other in show.clusters for line in faults(other.log_text())]


def test_prepared_votes_outlive_everything(show):
    deaths = KILLS + CRASHES
    for death in range(1, deaths + 1):
        # Spread evenly over all.
        is_crash = death * CRASHES // deaths > (death - 1) * CRASHES // deaths
        show.live(show.kill_postmaster if is_crash else show.kill_a_child)
        show.check()
        # Now and then all are ended, else no mark would move and no match would be final: somebody is always left.
        show.end_prepared(all_of_them=death % CALM_EVERY == 0)
        show.check()
        if death % PROMOTE_EVERY == 0 or death == deaths:
            show.promote()
            show.check()
            show.end_prepared()
    # It may be one that nobody has voted in yet.
    show.db.sql("SELECT open_match(%s)", show.match)
    show.db.sql("SELECT close_match(%s)", show.match)
    show.end_prepared(all_of_them=True)
    is_final = "SELECT count(*) = count(finalized_at) FROM vote_agg.match"
    eventually("every match is final", lambda: (show.db.fold(), show.db.value(is_final))[1])
    show.db.settle()
    show.check(folded=True)
    print(
        f"{len(show.acknowledged)} votes acknowledged, {show.outlived} of them prepared before a death, "
        f"{show.killed['children']} deaths of a child, {show.killed['postmasters']} of the postmaster, "
        f"{len(show.clusters)} promotions, {len(show.finals)} final matches, {len(show.marks)} marks"
    )
    assert show.killed == {"children": KILLS, "postmasters": CRASHES}
    # A mark moves for sure only where all prepared ones were ended on the way.
    assert show.outlived and show.finals and (show.marks or deaths < CALM_EVERY), "else nothing was shown"
