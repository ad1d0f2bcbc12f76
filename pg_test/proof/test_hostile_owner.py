"""A hostile owner, and a hostile writer: whatever they make, no right is gained, and nothing is left in anybody's session."""

import psycopg
import pytest

import traps
from testkit.harness import ATTEMPTS, eventually, random_for

ROLES = """
CREATE ROLE mallory LOGIN;
CREATE ROLE trudy LOGIN;
"""
RIGHTS = """
GRANT CREATE ON DATABASE {database} TO mallory;
GRANT ALL ON SCHEMA public TO mallory;
GRANT USAGE ON SCHEMA vote_agg TO mallory;
GRANT EXECUTE ON FUNCTION public.attach_votes, public.detach_votes TO mallory;
SELECT vote_agg.grant_writer('trudy'), vote_agg.grant_reader('trudy');
"""

# Rights, in whatever form they come; none of this may change. Read by a session of its own, whose path is safe.
STATE = """
SELECT 'role', r.rolname::text, r::text FROM pg_authid r
UNION ALL SELECT 'member', m.roleid::regrole::text, concat(m.member::regrole, m.admin_option) FROM pg_auth_members m
UNION ALL SELECT 'setting', s.setrole::text, s::text FROM pg_db_role_setting s
UNION ALL SELECT 'schema', n.nspname::text, concat(n.nspowner, n.nspacl) FROM pg_namespace n WHERE n.nspname IN ('vote_agg', 'public')
UNION ALL SELECT 'function', p.oid::regprocedure::text, concat(p.proowner, p.proacl, p.prosrc, p.proconfig, p.prosecdef)
    FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.deptype = 'e' AND d.classid = 'pg_proc'::regclass
UNION ALL SELECT 'table', c.oid::regclass::text, concat(c.relowner, c.relacl, c.relrowsecurity, c.relhasrules)
    FROM pg_class c WHERE c.relnamespace = 'vote_agg'::regnamespace AND c.relkind <> 'i'
UNION ALL SELECT 'event trigger', e.evtname::text, concat(e.evtowner, e.evtenabled, e.evtfoid) FROM pg_event_trigger e
UNION ALL SELECT 'superuser''s', c.oid::regclass::text, '' FROM pg_class c JOIN pg_authid r ON r.oid = c.relowner
    WHERE r.rolsuper AND c.relnamespace <> ALL (ARRAY['pg_catalog', 'information_schema', 'vote_agg', 'pg_toast']::regnamespace[])
ORDER BY 1, 2, 3
"""

# What a session is made of, without an operator that could be somebody else's.
SESSION = (
    "SELECT name, setting FROM pg_catalog.pg_show_all_settings()",
    "SELECT pg_catalog.current_setting('evil.left', true)",
    "SELECT * FROM pg_catalog.pg_prepared_statement()",
    "SELECT * FROM pg_catalog.pg_cursor()",
    "SELECT pg_catalog.pg_my_temp_schema()",
    "SELECT * FROM pg_catalog.pg_listening_channels()",
    "SELECT current_user, session_user",
    "SELECT locktype, classid, objid, objsubid, pid FROM pg_catalog.pg_lock_status()",
)
CHANGING = {"application_name", "transaction_isolation"}


def session_of(connection):
    """What the session is; its own statements leave no trace in that."""
    found = []
    for query in SESSION:
        rows = connection.execute(query, prepare=False).fetchall()
        if "pg_lock_status" in query:
            rows = [row for row in rows if row[0] == "advisory" and row[4] == connection.info.backend_pid]
        found += [(query, *map(str, row)) for row in rows if row[0] not in CHANGING]
    return set(found)


def attempt(connection, statements):
    """Runs them one by one; a refusal is as good as a success, a broken invariant is not."""
    for sql in statements:
        try:
            connection.execute(sql.encode(), prepare=False)
        except psycopg.errors.InternalError_ as error:
            raise AssertionError(f"{sql}: {error}") from error
        except psycopg.Error:
            connection.rollback()


def owned(rng, n):
    """Everything that the owner does in one attempt before the DBA comes."""
    schema, partitioned, big = f"evil_{n}", rng.randrange(3) == 0, rng.randrange(8) == 0
    table = f"{schema}.votes"
    yield from [traps.base(schema, rng.sample(traps.ACTS, 4))]
    yield from traps.casts(rng, schema)
    key = "PARTITION BY RANGE (id)" if partitioned else ""
    yield (
        f"CREATE TABLE {table} (id int, m text, t text, s {schema}.side, c {schema}.team, k {schema}.checked, p {schema}.pair, cell bigint, pad text) {key}"
    )
    if partitioned:
        yield f"CREATE TABLE {schema}.part_1 PARTITION OF {table} FOR VALUES FROM (MINVALUE) TO (5)"
        yield f"CREATE TABLE {schema}.part_2 PARTITION OF {table} FOR VALUES FROM (5) TO (MAXVALUE)"
    rows, pad = (6_500, "repeat('x', 1500)") if big else (10, "''")
    insert = f"INSERT INTO {table} (id, m, t, s, c, k, p, pad) SELECT i %% 10, 'm', 'red', 'red', 'blue', 'checked', ROW(1, 2)::{schema}.pair, {pad}"
    insert = insert.replace("%%", "%") + f" FROM generate_series(1, {rows}) i"
    yield insert
    yield from traps.traps(rng, schema, table)
    yield from traps.names(rng, schema, schema)
    if rng.randrange(2):
        yield from traps.names(rng, schema, "public")
    yield from traps.settings(rng, schema)
    for _ in range(3):  # until one combination is taken
        team = rng.choice(("t", "s", "c", "k", "p", "made"))
        cell = rng.choice(("", "", ", h3_index => 'cell'", ", h3_index => 'p'", ", latitude => 'p', longitude => 'p', resolution => 5"))
        yield f"SELECT public.attach_votes('{table}', 'm', '{team}'{cell})"
    yield f"SELECT public.attach_votes('{table}', 'm', 't')"
    yield from rng.sample(
        (
            insert.replace(str(rows), "5"),
            f"UPDATE {table} SET t = 'blue', c = 'red', id = 9 - id",
            f"DELETE FROM {table} WHERE id = 3",
            f"MERGE INTO {table} v USING (VALUES (1), (77)) n(i) ON v.id = n.i WHEN MATCHED THEN UPDATE SET id = 8 WHEN NOT MATCHED THEN INSERT (id, m, t, c) VALUES (n.i, 'm', 'red', 'red')",
            f"TRUNCATE {table}",
            f"ALTER TYPE {schema}.team RENAME VALUE 'red' TO 'crimson'",
            f"ALTER TABLE {table} ALTER t TYPE varchar USING {schema}.act()::text",
            f"ALTER TABLE {table} ALTER c TYPE text",
            f"CREATE CAST ({schema}.team AS bigint) WITH INOUT",
            f"ALTER TABLE {table} DISABLE TRIGGER ALL",
            f"DROP TRIGGER vote_agg_update ON {table}",
            f"SELECT vote_agg.count_rows()",
            f"SELECT public.detach_votes('{table}')",
            f"SELECT public.attach_votes('vote_agg.match'), public.attach_votes('vote_agg.pending_1', 'match_id', 'team_choice')",
            f"ALTER SCHEMA {schema} RENAME TO {schema}",
            f"CREATE TABLE {schema}.part_3 PARTITION OF {table} FOR VALUES FROM (100) TO (200)",
        ),
        rng.randrange(1, 6),
    )


def writes(rng, n):
    """What a hostile writer does, who owns nothing."""
    names = ("m", "'; DROP SCHEMA vote_agg CASCADE; --", '"', "$$", "\\", "%s", "{}", "'||'", "Ü", "m\t", "", "x" * 300)
    quote = lambda text: "'" + text.replace("'", "''") + "'"  # noqa: E731
    yield from traps.settings(rng, "pg_temp")
    yield "CREATE TEMP TABLE pending_1 (match_id text)"
    yield "CREATE FUNCTION pg_temp.act() RETURNS boolean LANGUAGE sql AS 'SELECT true'"
    for _ in range(5):
        match, team, voter = (quote(rng.choice(names)) for _ in range(3))
        yield rng.choice(
            (
                f"SELECT public.record_vote({match}, {team})",
                f"SELECT public.cast_vote({match}, {voter}, {team})",
                f"SELECT public.retract_vote({match}, {voter})",
                f"SELECT public.bulk_increment(pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('match_id', {match}::text, 'team_choice', {team}::text)))",
                f"SELECT * FROM public.get_realtime_stats({match})",
                f"SELECT * FROM public.get_match_snapshot({match})",
                f"SELECT public.purge_match({match})",
                f"SELECT * FROM public.verify_match({match})",
                f"INSERT INTO vote_agg.pending_1 VALUES (NULL, 1, now(), 0, true, {match}, {team}, NULL)",
                "SELECT vote_agg.fold()",
                "SELECT vote_agg.fill()",
                f"SELECT public.attach_votes('evil_{n}.votes', 'm', 't')",
                f"SELECT public.detach_votes('evil_{n}.votes')",
            )
        )


DBA = (
    "SELECT * FROM public.verify_match('m')",
    "SELECT * FROM vote_agg.recount_sources('m')",
    "SELECT public.rebuild_match('m')",
    "SELECT vote_agg.fill()",
    "SELECT vote_agg.fold()",
    "SELECT * FROM vote_agg.stat_attach",
    "SELECT * FROM vote_agg.live",
    "SELECT * FROM vote_agg.stat_fold",
    "SELECT public.purge_match('m')",
    "ALTER TABLE {}.votes ADD COLUMN by_dba int",
    "ALTER TABLE {}.votes DROP COLUMN m",
    "ALTER TYPE {}.team RENAME VALUE 'blue' TO 'navy'",
    "SELECT public.detach_votes('{}.votes')",
    "SELECT public.attach_votes('{}.votes', 'm', 't')",
)


@pytest.fixture
def house(new_cluster, new_database):
    # Autovacuum runs expressions of her indexes as her, which is the server's own affair.
    cluster = new_cluster(autovacuum="off")
    cluster.sql(ROLES)
    db = new_database(cluster)
    db.sql(RIGHTS.format(database=db.name))
    # What the proof itself asks must mean what it says. The DBA's session has the path of somebody careless.
    cluster.sql("ALTER ROLE postgres SET search_path = pg_catalog")
    yield db
    db.drop()
    cluster.sql("DROP ROLE IF EXISTS mallory, trudy, mallory_2")


def test_hostile_owner_and_writer(house):
    """A DBA's session, and the processes of the extension, meet all that a hostile owner makes."""
    rng, caught, ran, attached = random_for("hostile"), 0, 0, 0
    rights = set(house.sql(STATE))
    with house.connect() as dba:
        # What comes with a library that is loaded is there before.
        dba.execute("SET client_min_messages = error; LOAD 'vote_agg'; LOAD 'plpgsql'; DO 'BEGIN END'")
        session = session_of(dba)
        for n in range(ATTEMPTS):
            schema = f"evil_{n}"
            with house.connect(user="mallory") as mallory, house.connect(user="trudy") as trudy:
                attempt(mallory, owned(rng, n))
                attempt(trudy, writes(rng, n))
            pending = "SELECT count(*) FROM vote_agg.source WHERE state = 'filling' AND last_error IS NULL"
            attached += house.value("SELECT count(*) FROM vote_agg.source WHERE state <> 'detached'")
            eventually("fills end or fail", lambda: not house.value(pending))
            ours = rng.sample(DBA, rng.randrange(3, 9))
            attempt(dba, [f"SET search_path = {schema}, public"])
            attempt(dba, [sql.format(schema) for sql in ours])
            attempt(dba, ["RESET search_path"])
            assert not session_of(dba) ^ session, f"attempt {n}"
            assert not set(house.sql(STATE)) ^ rights, f"attempt {n}"
            caught += house.value(f"SELECT is_called::int FROM {schema}.caught")
            ran += house.value(f"SELECT is_called::int FROM {schema}.ran")
            log = [line for line in house.cluster.log_text().splitlines() if "caught: " in line]
            assert not caught, f"attempt {n}: code of the owner ran in another's session, or with other rights: {log[:3]}"
            assert not house.sql("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 666"), f"attempt {n}"
            # The owner cleans up, in her own session: a DBA who dropped this would run nothing of hers either.
            with house.connect(user="mallory") as mallory:
                mallory.execute("SET client_min_messages = error")
                attempt(mallory, ["DROP OWNED BY mallory CASCADE"])
            house.sql(RIGHTS.format(database=house.name))
            house.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            for (match,) in house.sql("SELECT m FROM vote_agg.matches() AS m"):
                house.sql("SELECT public.purge_match(%s)", match)
    assert ran > ATTEMPTS / 4 and attached > ATTEMPTS / 4, f"{ran}, {attached}: too few of the attempts came as far as that"
