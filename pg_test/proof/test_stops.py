"""Nothing waits in a fold, and nothing waits for ever: ends, retentions, strangers' locks, workers that fail or are stopped."""

import time

import psycopg
import pytest

from testkit import oracle
from testkit.harness import eventually, running
from testkit.oracle import Vote

VOTE = "SELECT record_vote('other', 'home')"
WORKERS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type LIKE 'vote_agg%'"


@pytest.fixture(scope="module")
def cluster(new_cluster):
    return new_cluster(**{"vote_agg.worker_idle_exit": "'1s'", "vote_agg.ballot_retention": "'1s'"})


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


def test_stop_worker(cluster, new_database):
    """Then the database can be copied, renamed and dropped."""
    db = new_database(cluster)
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


KINDS = ("row", "sum", "trigger", "teams", "lock")


def test_twenty_of_a_thousand(cluster, new_database):
    """Matches poisoned in five ways, in the same folds as all others: the 980 are folded, the 20 named, and then they heal."""
    db = new_database(cluster)
    db.configure(worker="off", max_teams=10)
    poisoned = [f"poison {kind} {n}" for kind in KINDS for n in range(4)]
    healthy = [f"match {n}" for n in range(980)]
    with db.connect() as session, db.connect() as stranger:

        def vote(matches):
            elements = "SELECT jsonb_agg(jsonb_build_object('match_id', m, 'team_choice', 'home', 'country_code', 'FR')) FROM unnest(%s::text[]) m"
            session.execute(f"SELECT bulk_increment(({elements}))", (matches,))

        vote(poisoned + healthy)
        db.settle()
        for n in range(4):
            session.execute(
                "INSERT INTO vote_agg.pending_1 (h3_index, votes, at, source, in_total, match_id, team_choice) VALUES"
                " (1, 1, now(), 0, true, %s, 'home')", (f"poison row {n}",))
            session.execute(
                "INSERT INTO vote_agg.pending_1 (votes, at, source, in_total, match_id, team_choice)"
                " SELECT 9000000000000000000, now(), 0, true, %s, 'home' FROM generate_series(1, 2)", (f"poison sum {n}",))
            for half in (0, 60):
                with db.connect() as crowd:
                    teams = f"SELECT array_agg('team ' || i) FROM generate_series({half}, {half} + 59) i"
                    crowd.execute("SET vote_agg.max_teams = 1000")
                    crowd.execute(f"SELECT bulk_increment(%s, ({teams}))", (f"poison teams {n}",))
        session.execute("CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'poison'; END $$")
        session.execute(
            "CREATE TRIGGER poison BEFORE UPDATE ON vote_agg.country_aggregate FOR EACH ROW"
            " WHEN (NEW.match_id LIKE 'poison trigger %') EXECUTE FUNCTION poison()")
        stranger.execute("BEGIN")
        stranger.execute("SELECT FROM vote_agg.country_aggregate WHERE match_id LIKE 'poison lock%' FOR UPDATE")
        db.sql(f"ALTER DATABASE {db.name} RESET vote_agg.worker")
        with db.connect() as waker:
            waker.execute("SELECT total_votes FROM get_realtime_stats('match 1')")
        for _ in range(3):
            vote(poisoned + healthy)
        folded = "SELECT count(*) FROM vote_agg.live_stats() WHERE match_id LIKE 'match %' AND total_votes = 4"
        pending = "SELECT sum(rows) FROM vote_agg.stat_pending WHERE heap <> 'pending_aside'"
        eventually("the others are folded", lambda: db.value(pending) == 0)
        assert db.value(folded) == 980
        named = "SELECT set_aside FROM vote_agg.stat_fold"
        assert sorted(eventually("the poisoned are named", lambda: db.value(named))) == sorted(poisoned)
        # The causes go.
        stranger.execute("ROLLBACK")
        session.execute("DROP TRIGGER poison ON vote_agg.country_aggregate")
        session.execute("DELETE FROM vote_agg.pending_aside WHERE h3_index = 1 OR votes > 1000000000000000000")
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
