"""Nothing waits in a fold, and nothing waits for ever: ends, retentions, strangers' locks, workers that fail or are stopped."""

import time

import psycopg
import pytest

from testkit import oracle
from testkit.harness import eventually, running
from testkit.oracle import Vote
from testkit.poison import Poison

VOTE = "SELECT record_vote('other', 'home')"
WORKERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type LIKE 'vote_agg%'"


@pytest.fixture(scope="module")
def cluster(new_cluster):
    return new_cluster(**{"vote_agg.worker_idle_exit": "'1s'", "vote_agg.ballot_retention": "'1s'"})


@pytest.fixture(scope="module")
def lasting(new_cluster):
    """A server whose worker does not leave during a test."""
    return new_cluster()


def status(db, match):
    return db.value("SELECT status FROM vote_agg.live_stats() WHERE match_id = %s", match)


def has_left(db):
    return not db.sql(WORKERS)


def finalized(db, match):
    """Asks the table, because a read of the match would start a worker."""
    return db.value("SELECT count(*) FROM vote_agg.match WHERE match_id = %s AND finalized_at IS NOT NULL", match) == 1


def test_an_end_is_final_although_nobody_votes(db):
    """close_match starts a worker; one that is running stays for what ends within the hour; ballots are erased when due."""
    db.sql("SELECT cast_vote('m', 'ann', 'home')")
    eventually("the worker has left", lambda: has_left(db))
    db.sql("SELECT close_match('m')")
    eventually("the match is final", lambda: finalized(db, "m"))
    eventually("its ballots are erased", lambda: db.value("SELECT count(*) FROM vote_agg.ballot") == 0)
    eventually("the worker has left", lambda: has_left(db))
    db.sql("SELECT open_match('n', closes_at => clock_timestamp() + interval '4 s')")
    eventually("the match is final", lambda: finalized(db, "n"))


@pytest.mark.parametrize("how", ["idle", "prepared"])
def test_a_purge_waits_without_holding_folds_up(db, how):
    """Somebody has changed a ballot and does not commit: the purge waits, every other match is folded, and then it goes on."""
    db.sql("SELECT cast_vote('m', 'ann', 'home'), cast_vote('m', 'bob', 'home')")
    with db.connect() as voter, db.connect() as purger:
        voter.execute("BEGIN")
        voter.execute("SELECT cast_vote('m', 'ann', 'away')")
        if how == "prepared":
            voter.execute(f"PREPARE TRANSACTION '{db.name}'")

        def purge(_stop):
            return purger.execute("SELECT purge_match('m')").fetchone()[0]

        with running(purge):
            waits = "SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted"
            eventually("the purge waits", lambda: db.value(waits, purger.info.backend_pid) > 0)
            for votes in (1, 2, 3):
                db.sql(VOTE)
                query = "SELECT total_votes FROM get_realtime_stats('other') WHERE seq > 0 AND total_votes = %s"
                eventually("the vote is folded", lambda n=votes: db.sql(query, n) and db.pending() <= 3)
            folded = "SELECT votes[1] FROM vote_agg.feed WHERE match_id = 'other' ORDER BY seq DESC LIMIT 1"
            eventually("all of them are", lambda: db.value(folded) == 3)
            voter.execute(f"COMMIT PREPARED '{db.name}'" if how == "prepared" else "COMMIT")
    db.settle()
    with db.connect() as session:
        ballots = session.execute("SELECT count(*) FROM vote_agg.ballot").fetchone()[0]
        total = session.execute("SELECT coalesce(sum(total_votes), 0) FROM get_realtime_stats('m')").fetchone()[0]
        assert ballots == total, "each ballot that is left counts once"
        assert not session.execute("SELECT check_name FROM verify_match('m') WHERE NOT ok").fetchall()


def test_a_strangers_lock_sets_one_match_aside(db):
    """A superuser's SELECT FOR UPDATE on a row of ours: that match waits and says for whom, the others don't, and it heals."""
    db.sql("SELECT record_vote('locked', 'home', '872a1072bffffff', 'US'), record_vote('other', 'home')")
    db.settle()
    with db.connect() as stranger:
        stranger.execute("BEGIN")
        stranger.execute("SELECT FROM vote_agg.country_aggregate WHERE match_id = 'locked' FOR UPDATE")
        db.sql("SELECT record_vote('locked', 'home', '872a1072bffffff', 'US')")

        def aside():
            db.sql(VOTE)
            return db.sql("SELECT reason FROM vote_agg.stat_aside WHERE match_id = 'locked'")

        ((reason,),) = eventually("the match is set aside", aside)
        assert f"process {stranger.info.backend_pid} holds" in reason and "country_aggregate" in reason
        pending = "SELECT sum(rows) FROM vote_agg.stat_pending WHERE heap <> 'pending_aside'"
        eventually("the others are folded", lambda: db.value(pending) == 0)
        stranger.execute("ROLLBACK")
    eventually("it is back", lambda: db.value("SELECT set_aside IS NULL FROM vote_agg.stat_fold"))
    vote = Vote("locked", "home", int("872a1072bffffff", 16), "US")
    with db.connect() as session:
        assert not oracle.differences(session, "locked", [vote] * 2, True)


# What a stranger does to a table of ours, and whether votes get through meanwhile.
HOLDS = {
    "totals": ("LOCK TABLE vote_agg.h3_aggregate IN SHARE MODE", "h3_aggregate"),
    "feed": ("LOCK TABLE vote_agg.feed IN EXCLUSIVE MODE", "feed"),
    "log": ("LOCK TABLE vote_agg.fold_log IN SHARE ROW EXCLUSIVE MODE", "fold_log"),
    "heap": ("LOCK TABLE vote_agg.pending_2 IN SHARE MODE", "pending_2"),
    "prepared": ("LOCK TABLE vote_agg.timeline IN SHARE MODE", "timeline"),
    "rewrite": ("LOCK TABLE vote_agg.pending_1 IN ACCESS EXCLUSIVE MODE", "pending_1"),  # waits for a voter, all others for it
}


@pytest.mark.parametrize("how", HOLDS)
def test_a_busy_fold_is_told_once(lasting, new_database, how):
    """Somebody changes a table of ours: folds wait for him, and say so once. No match is set aside, and nothing has failed."""
    statement, table = HOLDS[how]
    db = new_database(lasting)
    votes = "SELECT bulk_increment((SELECT jsonb_agg(jsonb_build_object('match_id', 'match ' || n, 'team_choice', 'home', "
    votes += "'h3_index', '872a1072bffffff', 'country_code', 'US')) FROM generate_series(1, 5) n))"
    db.sql(votes)
    eventually("it is folded", lambda: db.pending() == 0)
    worker = db.worker()

    def told(text):
        return [line for line in lasting.log_text().splitlines() if text in line and f"[{worker}]" in line]

    waits = (
        "SELECT waitstart FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE a.backend_type = 'vote_agg worker' AND a.datname = current_database() AND NOT l.granted AND waitstart IS NOT NULL"
    )
    with db.connect() as stranger, db.connect() as voter:
        voter.execute("BEGIN")
        voter.execute(votes)
        stranger.execute("BEGIN")

        def hold(_stop):
            stranger.execute(statement)

        with running(hold):
            if how == "rewrite":
                waiting = "SELECT count(*) FROM pg_locks WHERE pid = %s AND NOT granted"
                eventually("it waits for the voter", lambda: db.value(waiting, stranger.info.backend_pid))
            else:
                holding = "SELECT count(*) FROM pg_locks WHERE pid = %s AND granted AND relation = %s::regclass"
                eventually("it has the table", lambda: db.value(holding, stranger.info.backend_pid, f"vote_agg.{table}"))
                voter.execute("COMMIT")
                if how == "prepared":
                    stranger.execute(f"PREPARE TRANSACTION '{db.name}'")
            tries = set()
            eventually("the worker tries again and again", lambda: tries.update(db.sql(waits)) or len(tries) >= 3)
            # One try waits more than once, and the first is told when it is over.
            eventually("it is told", lambda: told("votes wait to be folded"))
            held_by, held_since, aside, error = db.sql("SELECT held_by, held_since < now(), set_aside, last_error FROM vote_agg.stat_fold")[0]
            who = f"prepared transaction '{db.name}'" if how == "prepared" else f"process {stranger.info.backend_pid}"
            assert held_by.startswith(who) and held_by.endswith(f" on {table}") and held_since
            assert aside is None and error is None
            if how == "rewrite":
                voter.execute("COMMIT")
            stranger.execute(f"ROLLBACK PREPARED '{db.name}'" if how == "prepared" else "ROLLBACK")
    eventually("it is folded", lambda: db.pending() == 0)
    (begun,) = told("votes wait to be folded")
    assert " 55P03 " in begun and f"on {table}" in begun
    assert len(eventually("the end is told", lambda: told("votes are folded again"))) == 1
    assert db.sql("SELECT held_by, set_aside, last_error FROM vote_agg.stat_fold") == [(None, None, None)]
    assert not told("set aside") and not told("could not be")
    with db.connect() as session:
        vote = Vote("match 1", "home", int("872a1072bffffff", 16), "US")
        assert not oracle.differences(session, "match 1", [vote] * 2, True)


def test_a_worker_that_fails_leaves(cluster, db):
    """While every fold fails there is one worker at most, and it goes; when the cause is gone the next one folds."""
    cluster.planted += ["votes could not be folded", "the failure could not be noted"]
    db.sql(VOTE)
    eventually("it is folded", lambda: db.pending() == 0)
    db.sql("ALTER TABLE vote_agg.fold_log ADD CONSTRAINT nothing CHECK (false) NOT VALID")
    votes, most = 1, 0
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        db.sql(VOTE)
        votes += 1
        most = max(most, len(db.sql(WORKERS)))
        time.sleep(0.2)
    assert most <= 2, f"{most} processes"
    db.sql("ALTER TABLE vote_agg.fold_log DROP CONSTRAINT nothing")
    db.sql(VOTE)
    eventually("all are folded", lambda: db.pending() == 0)
    with db.connect() as session:
        assert not oracle.differences(session, "other", [Vote("other", "home")] * (votes + 1), True)


def test_a_cancelled_vote_leaves_nothing(db):
    """A vote that starts a worker waits for nothing; what is cancelled then holds no lock that others need."""
    eventually("no worker runs", lambda: has_left(db))
    with db.connect() as session:
        session.execute("SET statement_timeout = '1ms'")
        for _ in range(20):
            try:
                session.execute(VOTE)
            except psycopg.errors.QueryCanceled:
                pass
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = %s"
        assert db.value(held, session.info.backend_pid) == 0
        eventually("another session's vote is folded", lambda: (db.sql(VOTE), db.pending())[1] == 0)


def test_stop_worker(lasting, new_database):
    """Then the database can be copied, renamed and dropped."""
    db, cluster = new_database(lasting), lasting
    db.sql(VOTE)
    eventually("a worker runs", db.worker)
    cluster.sql(f"ALTER DATABASE {db.name} SET vote_agg.worker = off")
    assert db.value("SELECT vote_agg.stop_worker()") >= 1
    assert has_left(db) and db.value("SELECT vote_agg.stop_worker()") == 0
    cluster.sql(f"CREATE DATABASE {db.name}_copy TEMPLATE {db.name}")
    cluster.sql(f"ALTER DATABASE {db.name}_copy RENAME TO {db.name}_renamed")
    cluster.sql(f"DROP DATABASE {db.name}_renamed")
    with db.connect() as session:
        assert not oracle.differences(session, "other", [Vote("other", "home")])


def test_a_stranger_who_says_he_is_pg_restore(cluster, db):
    """Before anything was folded a worker waits for jobs that restore a dump. Others that take their name are not waited for."""
    cluster.sql("CREATE ROLE restorer LOGIN")
    with db.connect(user="restorer", application_name="pg_restore"):
        db.sql(VOTE)
        eventually("the first vote is folded", lambda: db.pending() == 0)


def test_strangers_who_notify_all_the_time(new_cluster, new_database):
    """Who notifies takes turns at the commit, each until it is on disk. A fold waits for its turn among many slow ones."""
    cluster = new_cluster(fsync="on")
    db = new_database(cluster)
    db.sql(VOTE)
    eventually("it is folded", lambda: db.pending() == 0)

    def notify(_stop):
        with cluster.connect() as session:
            # A slow disk: each flush of this session waits for others to join.
            session.execute("SET commit_delay = 100000")
            session.execute("SET commit_siblings = 0")
            session.execute("CREATE TEMP TABLE t (n int)")
            while not _stop.is_set():
                with session.transaction():
                    session.execute("INSERT INTO t VALUES (1)")
                    session.execute("SELECT txid_current(), pg_notify('stranger', 'x')")

    with running(*[notify] * 6):
        db.sql(VOTE)
        eventually("the vote is folded beside them", lambda: db.pending() == 0)
    assert db.value("SELECT last_error IS NULL FROM vote_agg.stat_fold")


def test_a_full_queue_of_notifications(new_cluster, new_database):
    """Anybody who may connect can listen, take none, and fill the queue. Folds go on, notify nobody, and say so."""
    cluster = new_cluster()
    if not cluster.sql("SELECT FROM pg_settings WHERE name = 'max_notify_queue_pages'"):
        pytest.skip("the queue of this server holds 8 GB")
    cluster.configure(max_notify_queue_pages=64)
    cluster.restart()
    db = new_database(cluster)
    db.sql(VOTE)
    eventually("it is folded", lambda: db.pending() == 0)
    with db.connect() as sleeper, db.connect() as filler:
        sleeper.execute("LISTEN stranger")
        sleeper.execute("BEGIN")
        sleeper.execute("SELECT 1")
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):
            for n in range(1_000):
                filler.execute("SELECT pg_notify('stranger', %s)", (f"{n}" + "x" * 7_000,))
        db.sql(VOTE)
        eventually("the vote is folded all the same", lambda: db.pending() == 0)
        assert "nobody was notified" in db.value("SELECT last_error FROM vote_agg.stat_fold")
        sleeper.execute("COMMIT")
    heard = []
    with db.connect() as listener:
        listener.add_notify_handler(lambda notification: heard.append(notification.payload))
        listener.execute("LISTEN vote_agg")
        eventually("the next fold rings", lambda: (db.sql(VOTE), listener.execute("SELECT 1"), heard)[2])
    eventually("nothing is wrong any more", lambda: db.value("SELECT last_error IS NULL FROM vote_agg.stat_fold"))


def test_twenty_of_a_thousand(cluster, new_database):
    """Matches poisoned in five ways, in the same folds as all others: the 980 are folded, the 20 named, and then they heal."""
    db = new_database(cluster)
    db.configure(worker="off", max_teams=10)
    poison, healthy = Poison(db.connect, 4), [f"match {n}" for n in range(980)]
    with db.connect() as session, db.connect() as stranger:

        def vote(matches):
            elements = "SELECT jsonb_agg(jsonb_build_object('match_id', m, 'team_choice', 'home', 'country_code', 'FR')) FROM unnest(%s::text[]) m"
            session.execute(f"SELECT bulk_increment(({elements}))", (matches,))

        vote(poison.names + healthy)
        db.settle()
        poison.pour(session, stranger)
        db.sql(f"ALTER DATABASE {db.name} RESET vote_agg.worker")
        with db.connect() as waker:
            waker.execute("SELECT total_votes FROM get_realtime_stats('match 1')")
        for _ in range(3):
            vote(poison.names + healthy)
        folded = "SELECT count(*) FROM vote_agg.live_stats() WHERE match_id LIKE 'match %' AND total_votes = 4"
        pending = "SELECT sum(rows) FROM vote_agg.stat_pending WHERE heap <> 'pending_aside'"
        eventually("the others are folded", lambda: db.value(pending) == 0)
        assert db.value(folded) == 980
        named = "SELECT set_aside FROM vote_agg.stat_fold"
        assert sorted(eventually("the poisoned are named", lambda: db.value(named))) == sorted(poison.names)
        poison.heal(session, stranger)
        cluster.sql(f"ALTER DATABASE {db.name} SET vote_agg.max_teams = 1000")
        db.sql("SELECT vote_agg.stop_worker()")
        # A read in a new session starts the worker that knows the new setting.
        read = "SELECT total_votes FROM get_realtime_stats('match 1')"
        eventually("all are back", lambda: (db.sql(read), db.value(named))[1] is None)
        eventually("all is folded", lambda: db.pending() == 0)
        wrong = "SELECT match_id, total_votes FROM vote_agg.live_stats() WHERE total_votes <> 4 AND match_id NOT LIKE 'poison teams %'"
        assert not session.execute(wrong).fetchall()
        totals = "SELECT count(*) FROM vote_agg.live_stats() WHERE match_id LIKE 'poison teams %' AND total_votes = 124"
        assert session.execute(totals).fetchone()[0] == 4


def test_changes_of_leader_past_their_time_go_although_nobody_votes(new_cluster, new_database):
    """The worker stays for them, as for the minutes, which are gone already."""
    db = new_database(new_cluster(**{"vote_agg.worker_idle_exit": "'1s'", "vote_agg.timeline_retention": 120}))
    flips = "SELECT count(*) FROM vote_agg.flip"
    db.sql("SELECT record_vote('m', 'home')")
    eventually("the first leader is announced", lambda: db.value(flips) == 1)
    eventually("the worker has left", lambda: has_left(db))
    db.sql("UPDATE vote_agg.flip SET at = now() - interval '1 day'")
    db.sql(VOTE)  # the worker that comes has looked for what is past its time not long ago
    eventually("they are erased", lambda: db.value(f"{flips} WHERE at < now() - interval '2 h'") == 0)
