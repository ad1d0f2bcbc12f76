"""vote_agg.status() on real servers: all is well, and what regression tests cannot bring about."""

import pytest

from testkit.harness import eventually
from testkit.server_clock import ServerClock

VOTE = "SELECT record_vote('m', 'home')"
OLD_VOTE = "INSERT INTO vote_agg.pending_1 SELECT NULL, 1, now() - interval '10 s', 0, true, 'm', 'home', NULL"


def checks(db, **options):
    with db.connect(**options) as session:
        rows = session.execute("SELECT check_name, state, detail, hint FROM vote_agg.status()").fetchall()
    return {name: (state, detail, hint) for name, state, detail, hint in rows}


def check(db, name):
    return checks(db)[name]


@pytest.fixture(scope="module")
def cluster(new_cluster):
    """A server as in production, whose clock `cluster.clock` sets."""
    cluster = new_cluster(fsync="on")
    cluster.clock = ServerClock(cluster.path)
    cluster.stop()
    with cluster.clock.environment():
        cluster.start()
    return cluster


def test_all_is_well(db):
    """With a worker at work, no check says anything else; and each check says that it is fine."""
    with db.connect() as session:

        def folded():
            session.execute(VOTE)
            return db.worker() is not None

        eventually("a worker folds", folded)

        def well():
            found = checks(db)
            return found if {state for state, _, _ in found.values()} == {"ok"} else None

        found = eventually("all is well", well)
        assert all(detail and hint is None for _, detail, hint in found.values()), found
        assert found["worker"][1] == f"process {db.worker()}"


def test_where_no_worker_can_run(new_cluster, new_database):
    db = new_database(new_cluster(max_worker_processes=0))
    db.sql(OLD_VOTE)
    state, _, hint = check(db, "worker")
    assert state == "fail" and "max_worker_processes, which is 0" in hint and "vote_agg.fold()" in hint
    assert "max_worker_processes = 0 in this session" in check(db, "settings")[1]
    assert db.value("SELECT vote_agg.fold()") == 1
    found = checks(db)
    assert found["worker"][0] == found["lag"][0] == "ok"


def test_a_prepared_transaction_that_nobody_ends(cluster, still):
    with still.connect() as session:
        session.execute("BEGIN")
        session.execute(VOTE)
        session.execute("PREPARE TRANSACTION 'it''s left'")
    try:
        assert check(still, "prepared")[0] == "ok"
        cluster.clock.set(3600)
        state, detail, hint = check(still, "prepared")
        assert state == "warn" and "1 prepared over a minute ago, the oldest 'it''s left'" in detail and "ROLLBACK PREPARED" in hint
    finally:
        cluster.clock.set(0)
        still.sql("ROLLBACK PREPARED 'it''s left'")
    assert check(still, "prepared")[0] == "ok"


def test_the_holder_of_an_old_snapshot_is_named(still):
    """Dead rows stay for it: pending is long on disk, and the check says for whom."""
    with still.connect(autocommit=False) as old:
        old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        pid = old.execute("SELECT pg_backend_pid()").fetchone()[0]
        still.sql("INSERT INTO vote_agg.pending_1 SELECT NULL, 1, now(), 0, true, 'm', 'home', NULL FROM generate_series(1, 200000)")
        still.configure(turn_size="1MB")

        def is_named():
            # For a moment somebody else's snapshot, such as autovacuum's, may be older.
            state, detail, hint = check(still, "pending")
            return hint if state == "warn" and detail.endswith(f"held by process {pid}") else None

        hint = eventually("the holder is named", is_named)
        assert "end the transaction" in hint


def test_a_table_that_cannot_be_counted(cluster, db):
    """The reason of its fill is told; the trigger that a counted table has left is no finding."""
    cluster.planted.append("an attached table could not be counted")
    db.sql("CREATE TABLE counted (match_id text, team_choice text, lat float8, lng float8, note text)")
    db.sql("INSERT INTO counted SELECT 'm', 'home', 1, 1, repeat('x', 1000) FROM generate_series(1, 10000)")
    db.sql("INSERT INTO counted VALUES ('m', 'home', 95, 1)")
    db.sql("SELECT attach_votes('counted', latitude => 'lat', longitude => 'lng', resolution => 5)")
    state, detail, hint = eventually("the fill has failed", lambda: (found := check(db, "attached"))[0] == "fail" and found)
    assert detail.startswith("public.counted: ") and "95" in detail and "tried again" in hint
    db.sql("SELECT detach_votes('counted')")
    assert check(db, "attached")[0] == "ok"
    db.sql("DELETE FROM counted WHERE lat > 90")
    db.sql("SELECT purge_match('m')")
    db.sql("SELECT attach_votes('counted', latitude => 'lat', longitude => 'lng', resolution => 5)")
    eventually("it is counted", lambda: db.value("SELECT state FROM vote_agg.stat_attach") == "live")
    assert db.value("SELECT tgenabled FROM pg_trigger WHERE tgname = 'vote_agg_fill'") == "D"
    found = checks(db)
    assert found["triggers"][0] == found["attached"][0] == "ok", found


def test_settings_of_databases_and_roles(cluster, db, new_database):
    other = new_database(cluster)
    cluster.sql("CREATE ROLE hasty LOGIN")
    try:
        cluster.sql(f"ALTER DATABASE {other.name} SET synchronous_commit = off")
        assert check(db, "settings")[0] == "ok"
        cluster.sql(f"ALTER ROLE hasty IN DATABASE {db.name} SET synchronous_commit = off")
        state, detail, hint = check(db, "settings")
        assert (state, detail) == ("warn", f"synchronous_commit = off for role hasty in database {db.name}")
        assert "loses votes" in hint
        cluster.sql("ALTER ROLE hasty RESET ALL")
    finally:
        cluster.sql("DROP ROLE hasty")
