"""A fill that is cancelled, killed or crashes goes on after the parts that are done, whatever happened to the table meanwhile."""

import time

import psycopg
import pytest

import table_statements
import test_source_fill as fill
from test_crash_under_load import GONE
from test_source_fill import PAUSE, Fill, attach, state, waits, watcher, writer
from testkit import harness
from testkit.harness import KILLS, SECONDS, eventually, random_for, running

# A row or two on each page: many parts, little to read.
PART = 16
PAGES = 1_400
DIFFERENCES = table_statements.differences("SELECT match_id, team, h3, cc FROM big")


def make(db, partitioned=False):
    fill.make(db, partitioned, rows=PAGES, pad=600, fillfactor=15)


def kept(db):
    return db.value("SELECT rows_kept FROM vote_agg.stat_attach") or 0


def check(db):
    with db.connect() as session:
        session.execute("SET jit = off")
        session.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        assert session.execute("SELECT state FROM vote_agg.source").fetchone() == ("live",)
        assert not session.execute(DIFFERENCES).fetchall()
        for match, in session.execute("SELECT match_id FROM vote_agg.matches() AS m(match_id)").fetchall():
            assert not session.execute("SELECT * FROM verify_match(%s) WHERE NOT ok", (match,)).fetchall()
    for table in ("source_delta", "source_sum", "source_part"):
        assert db.value(f"SELECT count(*) FROM vote_agg.{table}") == 0, table


def rows_scanned(db):
    """By the server's own count, which nothing of ours writes."""
    return db.value("SELECT pg_stat_get_tuples_returned('big'::regclass)")


def test_parts_that_are_done_are_not_read_again(cluster, still):
    make(still)
    still.configure(test_fill_part=PART)
    attach(still)
    done = sum(still.value("SELECT vote_agg.fill('big', parts => 1)") for _ in range(5))
    done += still.value("SELECT vote_agg.fill(parts => 3)")
    assert 0 < done < PAGES / 2
    assert still.sql("SELECT rows_kept, rows_read, state, percent > 0 FROM vote_agg.stat_attach") == [(done, done, "filling", True)]
    assert still.value("SELECT count(*) FROM vote_agg.live") == 0
    for end in ("cancel", "kill", "crash"):
        with still.connect() as tester:
            tester.execute("SELECT pg_advisory_lock(%s)", (PAUSE,))
            rest = Fill(still, "fill:counted")
            waits(still, rest.pid, "advisory")
            assert still.sql("SELECT rows_kept, rows_read FROM vote_agg.stat_attach") == [(done, PAGES)]
            if end == "cancel":
                still.sql("SELECT pg_cancel_backend(%s)", rest.pid)
            elif end == "kill":
                harness.kill(cluster, rest.pid)
            else:
                cluster.kill()
                cluster.start()
            rest.result()
        assert kept(still) == done
    before = rows_scanned(still)
    assert still.value("SELECT vote_agg.fill()") == PAGES - done
    eventually("the scan is in the statistics", lambda: rows_scanned(still) - before >= PAGES - done)
    assert rows_scanned(still) - before == PAGES - done
    check(still)
    assert still.value("SELECT vote_agg.fill()") is None


def test_a_new_file_is_begun_again(still):
    """Blocks mean nothing in it; the other partitions keep what is done."""
    make(still, partitioned=True)
    still.configure(test_fill_part=PART)
    attach(still)
    while still.value("SELECT count(*) FROM vote_agg.source_part") < 3:
        still.sql("SELECT vote_agg.fill(parts => 1)")
    first, second, third = (row[0] for row in still.sql("SELECT relation::text FROM vote_agg.source_part ORDER BY relation"))
    each = PAGES // 4
    before = kept(still)
    still.sql(f"VACUUM FULL {first}")
    assert still.value("SELECT vote_agg.fill(parts => 1)") > 0
    assert before - each < kept(still) < before, "only the new file's rows are read again"
    still.sql(f"TRUNCATE {second}")
    # What goes and comes back is another: nobody saw what became of it meanwhile.
    still.sql(f"ALTER TABLE big DETACH PARTITION {third}")
    still.sql(f"DELETE FROM {third} WHERE id % 3 = 0")
    still.sql(f"ALTER TABLE big ATTACH PARTITION {third} FOR VALUES IN ({third[-1]})")
    while still.value("SELECT vote_agg.fill(parts => 1)") is not None:
        pass
    check(still)


class Changer:
    """Anything that may happen to a table between two parts of its fill."""

    def __init__(self, db, rng, partitioned):
        self.db, self.rng, self.partitioned, self.extra = db, rng, partitioned, 4
        self.session = None

    def some(self):
        rng, share = self.rng, self.rng.choice((3, 30, 300))
        where = f"id % {share} = {rng.randrange(share)}"
        table = f"big_{rng.randrange(4)}" if self.partitioned and rng.randrange(2) else "big"
        yield from ((f"UPDATE {table} SET team = 'team ' || id % 7, pad = repeat('y', (id % 900)::int) WHERE {where}",) * 6)
        yield from ((f"UPDATE {table} SET match_id = 'm' || id % 4, cc = 'US' WHERE {where}",) * 3)
        yield from ((f"DELETE FROM {table} WHERE {where}",) * 2)
        yield from ((f"INSERT INTO big (k, match_id, team, cc) SELECT i % 4, 'm1', 'team ' || i, 'BR' FROM generate_series(1, {rng.randrange(200)}) i",) * 3)
        yield from ((f"MERGE INTO {table} b USING generate_series(1, 300) i ON b.id = i WHEN MATCHED AND i % 2 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET team = 'merged'",) * 1)
        if self.partitioned:
            yield from ((f"UPDATE big SET k = (k + 1) % 4 WHERE {where}",) * 3)

    def alone(self):
        rng = self.rng
        table = f"big_{rng.randrange(4)}" if self.partitioned else "big"
        yield from (f"VACUUM {table}", f"VACUUM {table}", f"VACUUM (FREEZE) {table}", f"VACUUM FULL {table}", f"CLUSTER {table} USING {table}_pkey")
        yield from (f"TRUNCATE {table}", f"ALTER TABLE {table} SET (fillfactor = {rng.randrange(10, 60)})")
        if self.partitioned and rng.randrange(2):
            yield f"CREATE TABLE big_{self.extra} PARTITION OF big FOR VALUES IN ({self.extra})"
            yield f"ALTER TABLE big DETACH PARTITION big_{rng.randrange(4)}"

    def back(self, statement):
        """What was detached changes unseen and comes back."""
        table = statement.split()[-1]
        self.db.sql(f"UPDATE {table} SET team = 'unseen' WHERE id % 3 = 0")
        self.db.sql(f"DELETE FROM {table} WHERE id % 3 = 1")
        self.db.sql(f"ALTER TABLE big ATTACH PARTITION {table} FOR VALUES IN ({table[4:]})")

    def finish(self):
        if self.session:
            self.session.execute(self.rng.choice(("COMMIT", "COMMIT", "ROLLBACK")))
            self.session.close()
            self.session = None

    def define(self):
        """What nobody may be in the middle of."""
        self.finish()
        statement = self.rng.choice(list(self.alone()))
        self.db.sql(statement)
        self.extra += statement.startswith("CREATE")
        if "DETACH" in statement:
            self.back(statement)

    def write(self):
        """Some statements, in a transaction that may stay open. Two would wait for each other's rows, for ever in this one thread."""
        rng = self.rng
        for _ in range(rng.randrange(3)):
            if not self.session:
                self.session = self.db.connect()
                self.session.execute("BEGIN")
            self.session.execute("SAVEPOINT s")
            self.session.execute(rng.choice(list(self.some())))
            if rng.random() < 0.2:
                self.session.execute("ROLLBACK TO s")
            if rng.random() < 0.4:
                self.finish()


@pytest.mark.parametrize("partitioned", [False, True])
def test_whatever_happens_between_parts(still, partitioned):
    still.configure(test_fill_part=PART)
    rounds, until = 0, time.monotonic() + SECONDS
    while rounds < 3 or time.monotonic() < until:
        rounds += 1
        rng = random_for("between", partitioned, rounds)
        make(still, partitioned)
        attach(still)
        changer, parts = Changer(still, rng, partitioned), 0
        while state(still) == "filling":
            changer.define() if rng.random() < 0.2 else changer.write()
            # The last part locks writers out, so it waits for a transaction that is open here: not for ever.
            if parts > 40 or rng.random() < 0.1:
                changer.finish()
            with still.connect() as session:
                session.execute(f"SET statement_timeout = {2_000 if changer.session else 0}")
                try:
                    session.execute("SELECT vote_agg.fill('big', parts => %s)", (rng.choice((1, 1, 1, 3)),))
                except psycopg.errors.QueryCanceled:
                    changer.finish()
            parts += 1
        changer.finish()
        check(still)
        changer.write()
        changer.finish()
        check(still)
        still.sql("SELECT detach_votes('big')")
        still.sql("DROP TABLE big")
        for (match,) in still.sql("SELECT match_id FROM vote_agg.matches() AS m(match_id)"):
            still.sql("SELECT purge_match(%s)", match)


def stubborn(run):
    """A job that a dying server ends is done."""

    def job(stop):
        try:
            run(stop)
        except GONE as gone:
            assert gone.sqlstate in (None, "57P01", "57P02", "57P03"), gone

    return job


@pytest.mark.parametrize("partitioned", [False, True])
def test_cancelled_and_killed_under_writers(new_cluster, new_database, partitioned):
    """The server's own filler, ended at random moments by everything that can end it; each life begins after the parts of the one before."""
    cluster = new_cluster()
    cluster.planted.append("an attached table could not be counted")
    db = new_database(cluster)
    db.configure(test_fill_part=PART, test_pause="fill:seen")
    rng, seen = random_for("killed", partitioned), set()
    make(db, partitioned)

    def hold():
        session = db.connect()
        session.execute("SELECT pg_advisory_lock(%s)", (PAUSE,))
        return session

    tester = hold()
    attach(db)
    ends = ["cancel", "kill", "crash"] * max(1, KILLS // 3)
    rng.shuffle(ends)
    waiting = "SELECT a.pid FROM pg_locks l, vote_agg.stat_attach a WHERE l.pid = a.pid AND NOT l.granted AND l.locktype = 'advisory'"
    for end in (*ends, None):
        before = kept(db)
        jobs = [stubborn(writer(db, n, partitioned)) for n in range(4)] + [stubborn(watcher(db, seen))]
        with running(*jobs) as stop:
            eventually("a filler waits", lambda: stop.is_set() or (db.sql(waiting) and "filling" in seen) or state(db) == "live")
            assert kept(db) >= before or state(db) == "live", "what is done stays done"
            if rng.randrange(2):
                db.sql(f"VACUUM {'big_1' if partitioned else 'big'}")
            tester.execute("SELECT pg_advisory_unlock(%s)", (PAUSE,))
            if end is None:
                eventually("the table is counted", lambda: stop.is_set() or "live" in seen)
                continue
            time.sleep(rng.random() * 0.05)
            tester.execute("SELECT pg_advisory_lock(%s)", (PAUSE,))
            filler = db.sql("SELECT pid FROM vote_agg.stat_attach WHERE pid IS NOT NULL")
            if end == "crash":
                cluster.kill()
                cluster.start()
            elif filler and end == "cancel":
                db.sql("SELECT pg_cancel_backend(%s)", filler[0][0])
            elif filler:
                harness.kill(cluster, filler[0][0])
        tester.close()
        tester = hold()
    tester.close()
    check(db)
    db.settle()
    check(db)
    assert seen == {"filling", "live"}
