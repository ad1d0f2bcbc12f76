"""The background worker: started by votes, one a database, gone when told, and never needed for a vote to be safe."""

import threading
import time

import psycopg
import pytest

from testkit import oracle
from testkit.debugger import Debugger
from testkit.harness import eventually, running
from testkit.oracle import Vote

ONE = Vote("m", "home")
VOTE = "SELECT record_vote('m', 'home')"
IS_WORKER = "backend_type ~ 'vote_agg'"
BROKEN = """
INSERT INTO vote_agg.pending_1 (h3_index, votes, at, source, in_total, match_id, team_choice) VALUES (1, 1, now(), 0, true, 'b', 'home')
"""


@pytest.fixture(scope="module")
def cluster(new_cluster):
    return new_cluster(**{"vote_agg.worker_idle_exit": "'1s'"})


def workers(db):
    return [pid for (pid,) in db.sql(f"SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND {IS_WORKER}")]


def running_worker(db):
    """The worker, which may come and go between two looks. Votes in another match start one then, as looks do not."""
    return eventually("a worker runs", lambda: (db.sql("SELECT record_vote('another', 'home')"), db.worker())[1])


def folded(db):
    return eventually("the worker has folded everything", lambda: db.pending() == 0 or None)


def equals(db, votes, folded=False):
    with db.connect() as session:
        assert not oracle.differences(session, "m", [ONE] * votes, folded)


def test_64_sessions_start_one(cluster, db, new_database):
    """All at once, none having seen a worker. The slots that are left are enough for another database's worker."""
    barrier = threading.Barrier(64)

    def vote(_stop):
        with db.connect() as session:
            session.execute("LOAD 'vote_agg'")
            barrier.wait()
            session.execute(VOTE)

    with running(*[vote] * 64):
        pass
    running_worker(db)
    eventually("one worker stays", lambda: len(workers(db)) <= 1)
    other = new_database(cluster)
    other.sql(VOTE)
    folded(other)
    folded(db)
    equals(db, 64, folded=True)


def test_two_databases_have_a_worker_each(cluster, new_database):
    first, second = new_database(cluster), new_database(cluster)
    with first.connect() as one, second.connect() as two:
        for _ in range(3):
            one.execute(VOTE)
        two.execute(VOTE)
        folded(first)
        folded(second)
        equals(first, 3, folded=True)
        equals(second, 1, folded=True)
        pids = set()

        def both():
            one.execute(VOTE)
            two.execute(VOTE)
            pids.update({first.worker(), second.worker()})
            return len(pids - {None}) >= 2 and first.worker() and second.worker()

        eventually("both run", both)
        assert first.worker() != second.worker()


def test_it_leaves_when_idle_and_comes_back(db):
    db.sql(VOTE)
    pid = running_worker(db)
    eventually("it leaves", lambda: not workers(db) and db.worker() is None)
    db.sql(VOTE)
    assert running_worker(db) != pid, "another one runs"
    folded(db)
    equals(db, 2, folded=True)


@pytest.mark.parametrize("hold", ["LOCK TABLE vote_agg.feed IN EXCLUSIVE MODE", "SELECT rebuild_match('other')"], ids=["lock", "rebuild"])
def test_votes_that_come_while_it_leaves_are_folded_in_the_end(db, hold):
    """A session that saw the worker a moment ago looks for none. So a worker that gave its lock up, and cannot fold, stays."""
    of_worker = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 21 AND granted AND database = %s"
    number = db.value("SELECT oid FROM pg_database WHERE datname = current_database()")
    # By plain SQL: who reads pending votes by a function starts a worker.
    counted = "SELECT coalesce(max(votes[1]), 0) FROM vote_agg.feed WHERE match_id = 'm'"
    db.sql(f"{VOTE}, cast_vote('other', 'ann', 'home')")
    with db.connect() as voter, db.connect() as stranger, db.connect() as watcher:

        def holders():
            """Who has the worker's lock, while a session looks for it as often as one that votes does."""
            voter.execute("BEGIN")
            voter.execute(VOTE)
            voter.execute("ROLLBACK")
            return [pid for (pid,) in watcher.execute(of_worker, (number,)) if pid != voter.info.backend_pid]

        # In one round the session may look just then, and start another worker.
        for votes in range(2, 7):
            eventually("a worker has its lock", holders)
            eventually("it has given its lock up", lambda: not holders())
            stranger.execute("BEGIN")
            stranger.execute(hold)
            voter.execute(VOTE)
            time.sleep(3)  # for longer than a worker that has given up its lock stays
            stranger.execute("ROLLBACK")
            eventually("the vote is folded", lambda n=votes: watcher.execute(counted).fetchone()[0] == n)
        equals(db, votes, folded=True)


def test_the_first_vote_after_a_quiet_time_is_folded_at_once(new_cluster, new_database):
    """The commit wakes the worker: by itself it would fold once a minute. A rolled back vote and a prepared one wake nobody, and
    the next one that commits does."""
    db = new_database(new_cluster(**{"vote_agg.fold_interval": "'1min'"}))
    db.sql(VOTE)
    folded(db)
    with db.connect() as session:
        started = time.monotonic()
        for name in ("ROLLBACK", "PREPARE TRANSACTION 'later'"):
            time.sleep(6)  # for longer than the gap after a fold of one vote: the worker listens
            session.execute("BEGIN")
            session.execute(VOTE)
            session.execute(name)
            if name != "ROLLBACK":
                session.execute("ROLLBACK PREPARED 'later'")
            session.execute(VOTE)
            folded(db)
        assert time.monotonic() - started < 60, "a vote waited for a fold of the worker's own"
    equals(db, 3, folded=True)


@pytest.mark.parametrize("point", ["fold:sized", "fold:drained", "fold:done"])
def test_sigterm_in_the_middle_of_a_fold(db, point):
    """It goes at once, wherever it stands; its fold is as if it had never been."""
    db.configure(test_pause=point)
    with Debugger(db) as debugger, db.connect() as session:
        session.execute("SET vote_agg.test_pause = 'off'")
        for _ in range(3):
            session.execute(VOTE)
        pid = eventually("a worker runs", db.worker)
        eventually("the worker stands still", lambda: debugger.stands(pid))
        assert session.execute("SELECT pg_terminate_backend(%s)", (pid,)).fetchone()[0]
        eventually("it goes", lambda: pid not in workers(db))
        equals(db, 3)
        db.sql(f"ALTER DATABASE {db.name} RESET vote_agg.test_pause")
        debugger.go_on()
    db.sql(VOTE)
    folded(db)
    equals(db, 4, folded=True)


@pytest.mark.parametrize("how", ["idle", "prepared"])
def test_the_transaction_that_started_it_is_still_open(db, how):
    """When the worker has gone, anybody else's vote starts the next one."""
    with db.connect() as starter, db.connect() as other:
        starter.execute("BEGIN")
        starter.execute(VOTE)
        pid = eventually("a worker runs", db.worker)
        if how == "prepared":
            starter.execute(f"PREPARE TRANSACTION '{db.name}'")
        other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        eventually("it goes", lambda: not workers(db))
        votes = 0

        def voted_and_folded():
            nonlocal votes
            other.execute(VOTE)
            votes += 1
            return db.pending() == 0

        eventually("another worker folds", voted_and_folded)
        starter.execute(f"COMMIT PREPARED '{db.name}'" if how == "prepared" else "COMMIT")
        folded(db)
        equals(db, votes + 1, folded=True)


def test_autovacuum_hears_of_its_deletes(db):
    """A worker that does not report leaves the heaps to grow for ever."""
    db.sql(VOTE)
    folded(db)
    query = "SELECT sum(n_tup_del) FROM pg_stat_user_tables WHERE schemaname = 'vote_agg' AND relname ~ '^pending_'"
    eventually("the deletes are in the statistics", lambda: db.value(query) > 0)


def test_a_broken_row(cluster, db):
    """A superuser's mistake: its match is set aside and named, votes are taken, all others are folded, and it heals by itself."""
    cluster.planted.append('of match "b" is broken')
    with db.connect() as session:
        session.execute(VOTE)
        folded(db)
        session.execute("SELECT record_vote('b', 'home')")
        session.execute(BROKEN)

        votes = 1

        def vote():
            nonlocal votes
            session.execute(VOTE)
            votes += 1

        def aside():
            vote()
            return session.execute("SELECT set_aside, last_error FROM vote_agg.stat_fold WHERE set_aside IS NOT NULL").fetchone()

        names, error = eventually("the match is set aside", aside)
        assert names == ["b"] and "broken" in error
        pending = "SELECT sum(rows) FROM vote_agg.stat_pending WHERE heap <> 'pending_aside'"
        eventually("the other match is folded", lambda: db.value(pending) == 0)
        equals(db, votes, folded=True)
        eventually("it was tried again", lambda: db.value("SELECT tries FROM vote_agg.stat_aside") > 1)
        assert session.execute("DELETE FROM vote_agg.pending_aside WHERE h3_index = 1").rowcount == 1
        eventually("it is back", lambda: db.value("SELECT set_aside IS NULL FROM vote_agg.stat_fold") and db.pending() == 0)
        assert not oracle.differences(session, "b", [Vote("b", "home")], True)
        equals(db, votes, folded=True)


def test_drop_extension_while_it_runs(db):
    db.sql(VOTE)
    running_worker(db)
    db.sql("DROP EXTENSION vote_agg")
    eventually("it has left", lambda: not workers(db))
    db.sql("CREATE EXTENSION vote_agg")
    db.sql(VOTE)
    folded(db)
    equals(db, 1, folded=True)


def test_drop_and_create_in_sessions_that_have_voted(db):
    """What a session remembers of the old tables must not outlive them."""
    with db.connect() as session, db.connect() as other:
        session.execute(VOTE)
        other.execute("DROP EXTENSION vote_agg")
        with pytest.raises(psycopg.errors.UndefinedFunction):
            session.execute(VOTE)
        other.execute("CREATE EXTENSION vote_agg")
        votes = 0

        def voted_and_folded():
            nonlocal votes
            session.execute(VOTE)
            votes += 1
            return db.pending() == 0

        eventually("a new worker folds", voted_and_folded)
        equals(db, votes, folded=True)


def test_drop_database_while_it_runs(cluster, new_database):
    forced, patient = new_database(cluster), new_database(cluster)
    for db in (forced, patient):
        db.sql(VOTE)
        running_worker(db)
    cluster.sql(f"DROP DATABASE {forced.name} WITH (FORCE)")

    def dropped():
        try:
            cluster.sql(f"DROP DATABASE {patient.name}")
        except psycopg.errors.ObjectInUse:
            return False
        return True

    eventually("the idle worker leaves and the database goes", dropped)
