"""Attaching a big table while it is written to: counted exactly once, whoever writes, cancels or crashes meanwhile."""

import re
import threading

import psycopg
import pytest

from testkit import harness
from testkit.harness import PATIENCE, SECONDS, SESSIONS, eventually, random_for, running

ROWS = 40_000  # more than the 8 MB that are counted at once
COLUMNS = "id bigserial, k int, match_id text, team text, h3 bigint, cc text, pad text DEFAULT repeat('x', {pad})"
FILL = (
    "INSERT INTO {} (k, match_id, team, h3, cc) SELECT i %% 4, 'm' || i %% 3, 'team ' || i %% 5, 608725951823478783, "
    "(ARRAY['FR', 'DE', NULL])[1 + i %% 3] FROM generate_series(1, %s) AS i"
)
PAUSE = 20240721
# Read and state are of one moment, so that the change from nothing to all is either over or not yet.
MOMENT = """
SELECT s.state, (SELECT coalesce(sum(total_votes), 0) FROM vote_agg.matches() AS m(match_id), get_realtime_stats(m.match_id) WHERE m.match_id LIKE 'm_'),
       (SELECT count(*) FROM big), (SELECT count(h3) FROM big), (SELECT coalesce(sum(a.total_votes), 0) FROM vote_agg.matches() AS m(match_id), get_match_aggregates(m.match_id) a WHERE m.match_id LIKE 'm_')
FROM vote_agg.source s
"""
BY_TEAM = "SELECT m.match_id, v.key, v.value::bigint FROM vote_agg.matches() AS m(match_id), get_realtime_stats(m.match_id) s, jsonb_each_text(s.votes) v WHERE v.value <> '0' AND m.match_id LIKE 'm_'"
RECOUNT = "SELECT match_id, team, count(*) FROM big GROUP BY 1, 2"


def make(db, partitioned=False, rows=ROWS, pad=250, fillfactor=100):
    columns, storage = COLUMNS.format(pad=pad), f"WITH (fillfactor = {fillfactor})"
    with db.connect() as session:
        if partitioned:
            session.execute(f"CREATE TABLE big ({columns}, PRIMARY KEY (id, k)) PARTITION BY LIST (k)")
            for k in range(4):
                session.execute(f"CREATE TABLE big_{k} PARTITION OF big FOR VALUES IN ({k}) {storage}")
        else:
            session.execute(f"CREATE TABLE big ({columns}, PRIMARY KEY (id, k)) {storage}")
        session.execute(FILL.format("big"), (rows,))
        session.execute("ANALYZE big")


def attach(db):
    db.sql("SELECT attach_votes('big', team_choice => 'team', h3_index => 'h3', country_code => 'cc')")


def state(db):
    return db.value("SELECT state FROM vote_agg.source")


def is_exact(db):
    with db.connect() as session:
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        current, total, rows, placed, cells = session.execute(MOMENT).fetchone()
        assert (current, total, cells) == ("live", rows, placed)
        assert set(session.execute(BY_TEAM)) == set(session.execute(RECOUNT))


def writer(db, number, partitioned):
    """Changes rows of its own in every way, in transactions of every length and end; leaves its partition for another."""

    def run(stop):
        rng = random_for("writer", number)
        table = f"big_{number % 4}" if partitioned and number % 2 else "big"
        mine = f"id % {SESSIONS} = {number}" + (f" AND k = {number % 4}" if table != "big" else "")
        changes = (
            f"INSERT INTO {table} (k, match_id, team) SELECT {number % 4}, 'm' || i, 'team ' || i FROM generate_series(0, {rng.randrange(3)}) i",
            f"UPDATE {table} SET team = 'team ' || id % 7, pad = '' WHERE {mine} AND id % 100 = {{}}",
            f"UPDATE {table} SET match_id = 'm' || id % 4 WHERE {mine} AND id % 100 = {{}}",
            f"DELETE FROM {table} WHERE {mine} AND id % 1000 = {{}}",
        )
        with db.connect() as session:
            while not stop.is_set():
                session.execute("BEGIN")
                for _ in range(rng.choice((1, 1, 1, 4))):
                    session.execute(rng.choice(changes).format(rng.randrange(100)).encode())
                stop.wait(rng.choice((0, 0, 0, 0.02)))
                session.execute(rng.choice(("COMMIT", "COMMIT", "ROLLBACK")))

    return run


def watcher(db, seen):
    """At any moment all of the table is counted, or none of it."""

    def run(stop):
        with db.connect() as session:
            session.execute("SET jit = off")
            while not stop.is_set():
                session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                for current, total, rows, placed, cells in session.execute(MOMENT):
                    assert (total, cells) == ((0, 0) if current == "filling" else (rows, placed)), current
                    seen.add(current)
                session.execute("ROLLBACK")

    return run


@pytest.mark.parametrize("partitioned", [False, True])
def test_attached_while_everybody_writes(db, partitioned):
    db.configure(test_pause="fill:seen")
    make(db, partitioned)
    seen = set()
    with db.connect() as tester, running(*(writer(db, n, partitioned) for n in range(SESSIONS)), watcher(db, seen)) as stop:
        stop.wait(1)
        tester.execute("SELECT pg_advisory_lock(%s)", (PAUSE,))
        attach(db)
        eventually("somebody saw it while it was filled", lambda: stop.is_set() or "filling" in seen)
        tester.execute("SELECT pg_advisory_unlock(%s)", (PAUSE,))
        eventually("somebody saw it counted", lambda: stop.is_set() or "live" in seen)
        stop.wait(SECONDS / 10)
    assert seen == {"filling", "live"}
    is_exact(db)
    assert db.value("SELECT count(*) FROM vote_agg.source_delta") == 0
    db.settle()
    is_exact(db)


class Fill(threading.Thread):
    """A call of fill() that waits at a point until the test lets it go on."""

    def __init__(self, db, point):
        super().__init__()
        self.session, self.outcome = db.connect(), None
        self.session.execute("LOAD 'vote_agg'")
        self.session.execute(f"SET vote_agg.test_pause = '{point}'")
        self.pid = self.session.info.backend_pid
        self.start()

    def run(self):
        try:
            self.outcome = self.session.execute("SELECT vote_agg.fill()").fetchone()[0]
        except psycopg.Error as error:
            self.outcome = type(error)
        self.session.close()

    def result(self):
        self.join(PATIENCE)
        return self.outcome


def waits(db, pid, kind):
    query = "SELECT 1 FROM pg_locks WHERE pid = %s AND NOT granted AND locktype = %s"
    eventually(f"{pid} waits", lambda: db.sql(query, pid, kind))


@pytest.mark.parametrize("point", ["fill:seen", "fill:counted"])
def test_changes_during_the_fill_are_counted_once(still, point):
    """Between the snapshot and the count, and between the count and the lock: before, beside and after it."""
    make(still)
    with still.connect() as tester, still.connect() as open_before, still.connect() as late:
        attach(still)
        still.sql("UPDATE big SET team = 'early' WHERE id <= 10")
        open_before.execute("BEGIN")
        open_before.execute("DELETE FROM big WHERE id BETWEEN 11 AND 20")
        tester.execute("SELECT pg_advisory_lock(%s)", (PAUSE,))
        fill = Fill(still, point)
        waits(still, fill.pid, "advisory")
        open_before.execute("COMMIT")
        late.execute("INSERT INTO big (k, match_id, team) VALUES (1, 'm1', 'late')")
        late.execute("DELETE FROM big WHERE id <= 5")
        assert state(still) == "filling" and still.value("SELECT count(*) FROM vote_agg.live") == 0
        if point == "fill:counted":
            assert still.sql("SELECT rows_read > 0, percent > 0, pid FROM vote_agg.stat_attach") == [(True, True, fill.pid)]
        # One that wrote and sleeps keeps the fill waiting, and the fill keeps nobody else waiting for good.
        late.execute("BEGIN")
        late.execute("UPDATE big SET team = 'sleeps' WHERE id = 30")
        tester.execute("SELECT pg_advisory_unlock(%s)", (PAUSE,))
        waits(still, fill.pid, "relation")
        for n in range(3):
            still.sql("INSERT INTO big (k, match_id, team) VALUES (1, 'm1', %s)", f"beside {n}")
        assert fill.is_alive()
        late.execute("COMMIT")
        assert fill.result() >= ROWS - 10
    is_exact(still)
    assert still.value("SELECT vote_agg.fill()") is None


def test_a_fill_that_is_cancelled_or_crashes_is_resumed(cluster, still):
    make(still)
    attach(still)
    with still.connect() as tester:
        tester.execute("SELECT pg_advisory_lock(%s)", (PAUSE,))
        fill = Fill(still, "fill:counted")
        waits(still, fill.pid, "advisory")
        still.sql("UPDATE big SET team = 'meanwhile' WHERE id <= 7")
        still.sql("SELECT pg_cancel_backend(%s)", fill.pid)
        assert fill.result() is psycopg.errors.QueryCanceled
        assert state(still) == "filling" and still.value("SELECT count(*) FROM vote_agg.live") == 0
        fill = Fill(still, "fill:counted")
        waits(still, fill.pid, "advisory")
        still.sql("DELETE FROM big WHERE id BETWEEN 5 AND 12")
        harness.kill(cluster, fill.pid)
        fill.result()
    assert state(still) == "filling"
    still.sql("INSERT INTO big (k, match_id, team) VALUES (1, 'm1', 'after')")
    assert still.value("SELECT vote_agg.fill('big')") == ROWS - 7
    is_exact(still)


def test_a_fill_that_is_refused_says_why(cluster, db):
    """A match that ended before its rows were counted; the worker tries again until it goes."""
    cluster.planted.append("an attached table could not be counted")
    make(db)
    db.sql("SELECT open_match('m2', NULL, '2000-01-01', '2001-01-01')")
    attach(db)
    query = "SELECT last_error FROM vote_agg.stat_attach"
    assert 'match "m2" is closed' in eventually("the reason is noted", lambda: db.value(query))
    assert state(db) == "filling" and db.value("SELECT coalesce(sum(total_votes), 0) FROM vote_agg.live") == 0
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        db.sql("DELETE FROM big WHERE match_id = 'm2'")
    db.sql("UPDATE big SET pad = repeat('y', 300) WHERE match_id = 'm2'")  # it changes no vote
    db.sql("SELECT purge_match('m2')")
    eventually("the table is counted", lambda: state(db) == "live")
    assert db.value(query) is None
    is_exact(db)


@pytest.mark.parametrize("partitioned", [False, True])
def test_a_bad_row_is_named_and_can_be_repaired_while_its_table_is_filled(still, partitioned):
    """A change of a row that cannot be counted takes nothing back; the fill counts what the row has become."""
    make(still, partitioned)
    still.sql("UPDATE big SET cc = 'XX' WHERE id IN (1, 5000, 20000, 39999)")
    attach(still)
    for repair in ("UPDATE {} SET cc = 'FR', match_id = 'm1'", "DELETE FROM {}", "UPDATE {} SET cc = NULL, team = NULL", "UPDATE {} SET cc = 'DE', k = 0"):
        with pytest.raises(psycopg.errors.InvalidParameterValue) as refused:
            still.sql("SELECT vote_agg.fill('big')")
        place, table = re.match(r'row (\(\d+,\d+\)) of table (\S+): column "cc": .*XX', str(refused.value)).groups()
        where = f" WHERE ctid = '{place}'"
        assert refused.value.diag.message_hint.startswith(f"Repair or delete the row{where}")
        assert still.value(f"SELECT cc FROM {table}" + where) == "XX"
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            still.sql(f"UPDATE {table} SET cc = 'YY'" + where)
        still.sql(repair.format(table if "k = 0" not in repair else "big") + where + (" AND cc = 'XX'" if "k = 0" in repair else ""))
    assert still.value("SELECT count(*) FROM big WHERE cc = 'XX'") == 0
    assert still.value("SELECT vote_agg.fill('big')") == ROWS - 1
    assert set(still.sql(BY_TEAM)) == set(still.sql(RECOUNT + " HAVING team IS NOT NULL"))
    assert still.sql("SELECT check_name FROM vote_agg.matches() AS m(match_id), verify_match(m.match_id) WHERE NOT ok") == []


def test_detached_before_it_is_filled(still):
    """Nothing was counted, nothing is left, and the table can be attached again."""
    make(still)
    attach(still)
    still.sql("DELETE FROM big WHERE id <= 10")
    assert still.value("SELECT count(*) FROM vote_agg.source_delta") > 0
    still.sql("SELECT detach_votes('big')")
    assert still.value("SELECT count(*) FROM vote_agg.source_delta") == 0
    assert still.value("SELECT vote_agg.fill()") is None
    still.sql("DELETE FROM big WHERE id <= 20")
    attach(still)
    assert still.value("SELECT vote_agg.fill()") == ROWS - 20
    is_exact(still)
    assert still.value("SELECT number FROM vote_agg.source") == 3


def test_drop_extension_waits_for_writers_and_not_in_a_circle(still):
    """A transaction that has changed the table and counts only now: the extension goes after it."""
    still.sql("CREATE TABLE big (match_id text, team text, h3 bigint, cc text)")
    attach(still)
    with still.connect() as voter, still.connect() as dropper:
        voter.execute("BEGIN")
        voter.execute("DELETE FROM big WHERE false")
        job = threading.Thread(target=dropper.execute, args=("DROP EXTENSION vote_agg",))
        job.start()
        waits(still, dropper.info.backend_pid, "relation")
        voter.execute("INSERT INTO big VALUES ('m', 'home')")
        voter.execute("COMMIT")
        job.join(PATIENCE)
    still.sql("INSERT INTO big VALUES ('m', 'home')")
    assert still.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'vote_agg%%'") == 0
