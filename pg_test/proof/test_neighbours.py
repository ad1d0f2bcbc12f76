"""Ordinary neighbours: settings of the database, another owner, other defaults, SERIALIZABLE sessions."""

import itertools

import psycopg
import pytest

import vote_calls
from testkit import oracle
from testkit.harness import eventually
from testkit.oracle import Vote

ONE = Vote("m", "home", oracle.cell(5, 1, 2), "FR")

# What ALTER DATABASE … SET may say for the application's own sake.
SETTINGS = {
    "role": "neighbour",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "idle_session_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "transaction_timeout": "1ms",
    "search_path": "nowhere",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on",
    "synchronous_commit": "off",
    "row_security": "off",
    "jit": "on",
    "exit_on_error": "on",
    "session_replication_role": "replica",
    "enable_nestloop": "off",
    "enable_indexscan": "off",
    "enable_tidscan": "off",
    "plan_cache_mode": "force_generic_plan",
    "TimeZone": "Asia/Kathmandu",
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "sql_standard",
    "default_table_access_method": "heap2",
    "client_min_messages": "error",
}



def vote(db):
    with db.connect() as session:
        session.execute(*vote_calls.record(ONE))


@pytest.fixture(scope="module")
def neighbour(cluster):
    """A role that may vote and no more."""
    cluster.sql("CREATE ROLE neighbour LOGIN")
    return "neighbour"


def test_settings_of_the_database_are_for_the_application(cluster, db, neighbour):
    """Each one, and then all together: the worker, which they reach as well, folds all the same."""
    db.sql("CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler")
    db.sql(f"SELECT vote_agg.grant_writer('{neighbour}')")
    known = {name for (name,) in db.sql("SELECT name FROM pg_settings")} | {"role"}
    settings = [(name, value) for name, value in SETTINGS.items() if name in known]
    votes = 0
    for chosen in [*([setting] for setting in settings), settings]:
        for name, value in chosen:
            cluster.sql(f"ALTER DATABASE {db.name} SET {name} = '{value}'")
        eventually("the worker leaves", lambda: stop(cluster, db))
        # The session of the test itself goes without them.
        options = " ".join(f"-c {name}={value}" for name, value in DEFAULTS.items() if name in known)
        with db.connect(options=options) as session:

            def voted_and_folded():
                nonlocal votes
                session.execute(*vote_calls.record(ONE))
                votes += 1
                return eventually_pending(session) == 0

            eventually(f"the worker folds with {chosen}", voted_and_folded)
            assert not oracle.differences(session, "m", [ONE] * votes, folded=True), chosen
        cluster.sql(f"ALTER DATABASE {db.name} RESET ALL")


def test_work_that_takes_longer_than_a_transaction_may(cluster, db):
    """transaction_timeout of the database (17 and later) ends neither a fold of many cells nor the count of a table."""
    if not db.sql("SELECT FROM pg_settings WHERE name = 'transaction_timeout'"):
        pytest.skip("this server has no transaction_timeout")
    options = "-c transaction_timeout=0"
    with db.connect(options=options) as session:
        session.execute("CREATE TABLE counted (match_id text, team_choice text)")
        session.execute("INSERT INTO counted SELECT 't', 'home' FROM generate_series(1, 300000)")
        cluster.sql(f"ALTER DATABASE {db.name} SET transaction_timeout = '50ms'")
        session.execute(
            "SELECT bulk_increment('m', array_agg('home'::text), array_agg(cell)) FROM"
            " (SELECT cell FROM h3_neighbors(608725951823478783::bigint, 250) cell LIMIT 150000) c"
        )
        session.execute("SELECT attach_votes('counted')")
        eventually("the votes are folded", lambda: eventually_pending(session) == 0)
        eventually("the table is counted", lambda: session.execute("SELECT state FROM vote_agg.stat_attach").fetchone()[0] == "live")
        eventually("its votes are folded", lambda: eventually_pending(session) == 0)
        assert session.execute("SELECT total_votes, active_cells FROM get_realtime_stats('m')").fetchone() == (150_000, 150_000)
        assert session.execute("SELECT total_votes FROM get_realtime_stats('t')").fetchone() == (300_000,)


DEFAULTS = {
    "role": "none",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "transaction_timeout": "0",
    "search_path": "public",
    "default_transaction_isolation": "read\\ committed",
    "default_transaction_read_only": "off",
    "default_transaction_deferrable": "off",
    "row_security": "on",
    "exit_on_error": "off",
    "session_replication_role": "origin",
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
}


def eventually_pending(session):
    session.execute("SELECT pg_sleep(0.1)")
    return session.execute("SELECT sum(rows) FROM vote_agg.stat_pending").fetchone()[0]


def stop(cluster, db):
    """Ends the database's worker; true once it has gone."""
    mine = "datname = %s AND backend_type LIKE 'vote_agg%%'"
    cluster.sql(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {mine}", db.name)
    return not cluster.sql(f"SELECT FROM pg_stat_activity WHERE {mine}", db.name)


def test_the_database_owner_dumps(cluster, still, neighbour):
    """An owner who is no superuser gets the same dump as a superuser, and may not write to what is dumped."""
    vote(still)
    still.sql("SELECT cast_vote('m', 'ann', 'home'), open_match('declared', ARRAY['a'])")
    still.settle()
    vote(still)
    server = ("-h", cluster.path, "-d", still.name)
    with pytest.raises(RuntimeError, match="permission denied|may lack SELECT privilege"):
        cluster.run("pg_dump", *server, "-U", neighbour)
    cluster.sql(f"ALTER DATABASE {still.name} OWNER TO {neighbour}")

    def dump(user):
        lines = cluster.run("pg_dump", *server, "-U", user).splitlines()
        return [line for line in lines if "restrict" not in line]  # a random key in newer versions

    assert dump(neighbour) == dump("postgres")
    with still.connect(user=neighbour) as session:
        for table in ("ballot", "pending_1", "feed", "match"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(f"DELETE FROM vote_agg.{table}")


def test_other_defaults_when_it_is_created(cluster, new_database):
    """Another access method and tablespace for new tables: what is read below SQL is a heap, and counts."""
    db = new_database(cluster, extension=False)
    db.configure(worker="off")
    db.sql("CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler")
    db.sql(f"ALTER DATABASE {db.name} SET default_table_access_method = heap2")
    db.sql("CREATE EXTENSION vote_agg")
    vote(db)
    db.settle()
    vote(db)
    with db.connect() as session:
        assert not oracle.differences(session, "m", [ONE] * 2)
        query = "SELECT relname FROM pg_class JOIN pg_am a ON a.oid = relam WHERE amname = 'heap2'"
        assert not session.execute(query).fetchall()


LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


@pytest.mark.parametrize("ballot", [False, True])
def test_no_voter_fails_because_of_others(still, ballot):
    """A voter beside somebody who opens another match and a reader, all SERIALIZABLE: whoever ends when, the vote counts."""
    vote(still)
    query = "SELECT cast_vote('m', %s, 'home')" if ballot else "SELECT record_vote('m', 'home', NULL::text, NULL, length(%s) - 6)"
    votes = 1
    for n, order in enumerate(itertools.permutations(("voter", "opener", "reader"))):
        with still.connect() as voter, still.connect() as opener, still.connect() as reader:
            sessions = {"voter": voter, "opener": opener, "reader": reader}
            for session in sessions.values():
                session.execute("SET default_transaction_isolation = serializable")
            voter.execute("BEGIN")
            voter.execute(query, (f"voter {n}",))
            locks = "SELECT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE mode = 'SIReadLock' AND pid = %s"
            assert not still.sql(locks, voter.info.backend_pid), "a vote leaves no predicate lock"
            opener.execute("BEGIN")
            reader.execute("BEGIN")
            opener.execute("SELECT open_match(%s), total_votes FROM get_realtime_stats('m')", (f"tomorrow {n}",))
            reader.execute("SELECT total_votes FROM get_realtime_stats('m')")
            for who in order:
                if who == "voter":
                    voter.execute("COMMIT")
                    votes += 1
                    continue
                try:
                    sessions[who].execute("COMMIT")
                except psycopg.errors.SerializationFailure:
                    sessions[who].execute("ROLLBACK")
    assert still.value("SELECT total_votes FROM get_realtime_stats('m')") == votes


def test_names_in_a_database_of_one_byte_a_character(cluster, new_database):
    """LATIN1: names of ASCII characters count as ever. Others are refused, and change nothing."""
    db = new_database(cluster, extension=False)
    cluster.sql(f"DROP DATABASE {db.name}")
    cluster.sql(f"CREATE DATABASE {db.name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    db.sql("CREATE EXTENSION vote_agg")
    vote(db)
    with db.connect() as session:
        for match, team in (("été", "home"), ("m", "équipe")):
            with pytest.raises(psycopg.Error) as refusal:
                session.execute("SELECT record_vote(%s, %s)", (match, team))
            assert refusal.value.sqlstate == "22023", refusal.value
        db.settle()
        assert not oracle.differences(session, "m", [ONE], folded=True)
        assert session.execute("SELECT array_agg(m) FROM vote_agg.matches() m").fetchone()[0] == ["m"]


@pytest.fixture(scope="module")
def logical(new_cluster):
    return new_cluster(wal_level="logical")


def test_our_tables_are_replicated_into_another_database(logical, new_database):
    """A publication of our schema and a subscription to it: votes and folds go on, and the copy has what is folded."""
    db, copy = new_database(logical), new_database(logical)
    copy.configure(worker="off")
    tables = ("match", "feed", "h3_aggregate", "country_aggregate", "timeline", "country_timeline", "flip", "ballot")
    db.sql("CREATE PUBLICATION ours FOR TABLE " + ", ".join(f"vote_agg.{table}" for table in tables))
    db.sql(f"SELECT pg_create_logical_replication_slot('{db.name}', 'pgoutput')")
    connection = f"host={logical.path} port={logical.port} user=postgres dbname={db.name}"
    copy.sql(f"CREATE SUBSCRIPTION ours CONNECTION '{connection}' PUBLICATION ours WITH (create_slot = false, slot_name = '{db.name}', copy_data = false)")
    try:
        journal = [Vote("m", team, ONE.cell, "FR") for team in ("home", "away")] * 20
        with db.connect() as session:
            session.execute("SELECT cast_vote('ballots', 'ann', 'home')")
            for one in journal:
                session.execute(*vote_calls.record(one))
            session.execute("SELECT cast_vote('ballots', 'ann', 'away')")
        db.settle()
        for table in tables:
            rows = f"SELECT md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM vote_agg.{table} t"
            eventually(f"{table} is there", lambda rows=rows: copy.sql(rows) == db.sql(rows))
        with db.connect() as session, copy.connect() as reader:
            assert not oracle.differences(session, "m", journal, folded=True)
            assert not oracle.differences(reader, "m", journal, folded=True)
    finally:
        copy.sql("DROP SUBSCRIPTION ours")
