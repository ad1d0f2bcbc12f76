"""Attached tables: whatever is done to them, what is read equals a plain recount of their rows."""

import collections
import time

import psycopg
import pytest

import table_statements
from test_dump import restore, target  # noqa: F401  (a fixture)
from testkit.harness import PATIENCE, SECONDS, STATEMENTS, random_for, running
from vote_calls import CELLS

REFUSALS = (
    psycopg.errors.ObjectNotInPrerequisiteState,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.WrongObjectType,
    psycopg.errors.DatatypeMismatch,
)
KINDS = {"INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE", "WITH", "ALTER", "CREATE", "DROP"}
CHECK_EVERY = 250 if STATEMENTS < 50_000 else 1_000


def run(session, sql, args):
    if sql.startswith("COPY"):
        with session.cursor().copy(sql) as copy:
            for row in args:
                copy.write_row(row)
    elif args or "%%" in sql:
        session.execute(sql, args)
    else:
        session.execute(sql.encode())


def attempt(session, statements, seen=None):
    """Runs them; returns how many, and whether a key stood in the way, which is as good a failure as any."""
    done = 0
    try:
        for sql, args in statements:
            done += 1
            run(session, sql, args)
            assert not sql.startswith(table_statements.REFUSED), sql
            if seen is not None:
                seen.add(sql.split()[0])
    except psycopg.errors.UniqueViolation:
        return done, True
    except (*REFUSALS,) as error:
        assert sql.startswith(table_statements.REFUSED) and "detach_votes" in (error.diag.message_hint or ""), f"{sql}: {error}"
        return done, True
    return done, False


def check(session, done):
    assert not session.execute(table_statements.DIFFERENCES.encode()).fetchall(), f"after {done} statements"


def prepare(session):
    session.execute("SET jit = off")  # compiling the check takes longer than it does
    session.execute("CREATE ACCESS METHOD app_heap TYPE TABLE HANDLER heap_tableam_handler")
    session.execute(table_statements.SCHEMA)
    for table in (table_statements.PLAIN, table_statements.PARTED):
        session.execute(table_statements.ATTACH, (table,))


def test_random_statements(still):
    """Alone, in transactions with savepoints that are rolled back, committed, or prepared and then one of both."""
    rng = random_for("source")
    done, checked, kinds, until = 0, 0, set(), time.monotonic() + PATIENCE
    with still.connect() as session:
        writer = table_statements.Writer(rng, session.info.server_version)
        session.execute("SET vote_agg.worker = off")
        prepare(session)
        while done < STATEMENTS or (not kinds >= KINDS and time.monotonic() < until):
            in_block, partitions = rng.randrange(4) == 0, set(writer.made)
            if in_block:
                session.execute("BEGIN")
            for _ in range(rng.randrange(1, 6) if in_block else 1):
                before = set(writer.made)
                if in_block:
                    session.execute("SAVEPOINT s")
                ran, fails = attempt(session, writer.statements(), kinds)
                done += ran
                fails = fails or (in_block and rng.randrange(6) == 0)
                if fails:
                    writer.made = before
                    if in_block:
                        session.execute("ROLLBACK TO s")
            if in_block:
                end = rng.choice(("COMMIT", "ROLLBACK", "PREPARE TRANSACTION 'p'"))
                session.execute(end)
                if end.startswith("PREPARE"):
                    end = rng.choice(("COMMIT", "ROLLBACK"))
                    session.execute(f"{end} PREPARED 'p'")
                if end == "ROLLBACK":
                    writer.made = partitions
            if rng.randrange(20) == 0:
                session.execute("SELECT vote_agg.fold()")
            if done - checked >= CHECK_EVERY:
                checked = done
                check(session, done)
        check(session, done)
        session.execute("SELECT vote_agg.fold()")
        check(session, done)
        assert kinds >= KINDS


# What happens to sessions that get in each other's way: they give up, or find a row, a table or a type gone.
BESIDE = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.UniqueViolation,
    psycopg.errors.ForeignKeyViolation,
    psycopg.errors.SerializationFailure,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedObject,
)


def changes(db, number, choose, done):
    """Transactions of the statements that `choose` makes. Each is done as a whole or not at all; `done` counts the former."""

    def run_all(stop):
        writer = table_statements.Writer(random_for("beside", number))
        writer.next_person = number * 1_000_000
        with db.connect() as session:
            # Shorter than deadlock_timeout: who waits in a circle lets go.
            session.execute("SET lock_timeout = '200ms'")
            while not stop.is_set():
                made = set(writer.made)
                try:
                    with session.transaction():
                        for sql, args in choose(writer):
                            if sql.startswith(table_statements.REFUSED):
                                with pytest.raises((*REFUSALS, *BESIDE)), session.transaction():
                                    run(session, sql, args)
                            else:
                                run(session, sql, args)
                    done[choose.__name__] += 1
                except BESIDE:
                    writer.made = made

    return run_all


def test_statements_beside_each_other(cluster, still):
    """Writers, and a session that changes the tables themselves, at the same time."""
    # The server's word for a row that another session has moved to another partition meanwhile.
    cluster.planted.append("due to concurrent update")

    def defines(writer):
        return writer.rng.choice((writer.partition, writer.unseen, writer.harmless, writer.truncate))()

    def writes(writer):
        kinds = (writer.insert, writer.upsert, writer.merge, writer.merge, writer.update, writer.update, writer.delete, writer.chain, writer.person, writer.copy)
        return writer.rng.choice(kinds)()

    done, rounds, until = collections.Counter(), 0, time.monotonic() + PATIENCE
    with still.connect() as session:
        prepare(session)

        def is_enough():
            return done["writes"] > 100 and done["defines"] > 5

        while rounds < max(2, int(SECONDS / 5)) or (not is_enough() and time.monotonic() < until):
            rounds += 1
            writers = [changes(still, n, writes, done) for n in range(1, 5)]
            with running(changes(still, 0, defines, done), *writers) as stop:
                stop.wait(3)
            check(session, "many")
            session.execute("SELECT vote_agg.fold()")
            check(session, "a fold after many")
            # Partitions that were made stay, and are not known to the next round's writers.
            for k in range(10, 14):
                if session.execute("SELECT to_regclass(%s)", (f"app.part_{k}",)).fetchone()[0]:
                    session.execute(f"TRUNCATE app.part_{k}")
                    session.execute(f"DROP TABLE app.part_{k}")
    assert is_enough(), done


def hostile(rng):
    """A name full of what should be quoted; the longest are cut by the server in the middle of a character."""
    parts = ('"', "'", "\\", "$", "$$", "\n", ";", "--", "%", "{}", "%I", " ", ".", "é", "漢", "🗳", "a", "B", "/*", "\t", "x" * 20)
    return "".join(rng.choice(parts) for _ in range(rng.randrange(1, 40)))


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def cut(name):
    """As the server cuts a name."""
    return name.encode()[:63].decode(errors="ignore")


def test_hostile_names(still):
    """1,000 tables whose names and columns' names try to break out of quotes are attached, counted and detached."""
    rng = random_for("names")
    schema = quoted(cut(hostile(rng) + "s"))
    with still.connect() as session:
        session.execute("SET client_min_messages = error")
        session.execute(f"CREATE SCHEMA {schema}".encode())
        for n in range(1_000):
            match, table = f"m{n}", f"{schema}.{quoted(hostile(rng))}"
            names = []
            while len(names) < 5:
                name = hostile(rng)
                if cut(name) not in map(cut, names):
                    names.append(name)
            columns = ", ".join(f"{quoted(name)} text" for name in names)
            session.execute(f"CREATE TABLE {table} ({columns}, UNIQUE ({quoted(names[0])}, {quoted(names[4])}))".encode())
            session.execute(f"ALTER TABLE {table} ALTER {quoted(names[4])} SET NOT NULL".encode())
            session.execute(
                "SELECT attach_votes(%s::regclass, %s::name, %s::name, %s::name, %s::name, %s::name)", (table, *names)
            )
            values = [(match, "home", f"{CELLS[5]:x}", "FR", str(i)) for i in range(3)]
            row = "(%s, %s, %s, %s, %s)"
            insert = f"INSERT INTO {table.replace('%', '%%')} VALUES {row}, {row}, {row}"
            session.execute(insert.encode(), [value for one in values for value in one])
            session.execute(f"DELETE FROM {table} WHERE {quoted(names[4])} = '1'".encode())
            recount = session.execute("SELECT team_choice, country_code, votes FROM vote_agg.recount_sources(%s)", (match,)).fetchall()
            assert recount == [("home", "FR", 2)], table
            assert session.execute("SELECT total_votes FROM get_realtime_stats(%s)", (match,)).fetchone() == (2,), table
            session.execute("SELECT detach_votes(%s::regclass)", (table,))
            session.execute(f"DELETE FROM {table}".encode())
            session.execute(f"DROP TABLE {table}".encode())
        assert session.execute("SELECT count(*) FROM vote_agg.source").fetchone() == (0,)
        total = session.execute("SELECT sum(total_votes), count(*) FROM vote_agg.live").fetchone()
        assert total == (2_000, 1_000)


@pytest.mark.parametrize("way", ["plain", "custom"])
def test_dump_and_restore(still, target, way):  # noqa: F811
    """A restored database counts on from where it was, exactly."""
    writer = table_statements.Writer(random_for("restore", way))
    with still.connect() as session:
        prepare(session)
        for _ in range(60):
            attempt(session, writer.statements())
        session.execute("SELECT vote_agg.fold()")
        attempt(session, writer.insert())
        check(session, "dumping")
    restore(still, target, way)
    with target.connect() as session:
        session.execute("SET jit = off")
        check(session, "restoring")
        for _ in range(300):
            attempt(session, writer.statements())
        check(session, "300 more")
        session.execute("SELECT vote_agg.fold()")
        check(session, "folding")
        session.execute("DROP EXTENSION vote_agg")
        session.execute(f"INSERT INTO {table_statements.PLAIN} (k) VALUES (1)")


def test_invalid_rows_change_nothing(still):
    with still.connect() as session:
        prepare(session)
        session.execute(f"INSERT INTO {table_statements.PLAIN} (k, match_id, team) VALUES (1, 'a', 'home')")
        for column, value in (("h3", 1), ("cc", "QQ"), ("team", ""), ("match_id", "x" * 201), ("match_id", "a\tb")):
            with pytest.raises(psycopg.errors.InvalidParameterValue, match=f'column "{column}"'):
                session.execute(f"UPDATE {table_statements.PLAIN} SET {column} = %s", (value,))
        check(session, "refusals")
