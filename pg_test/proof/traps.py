"""What a hostile owner of a table may make: code of her own wherever the server could run some, names that pass for others'."""

# What her code tries wherever it runs. `{}` is her schema.
ACTS = (
    "PERFORM pg_catalog.set_config('search_path', '{}, pg_catalog', false)",
    "PERFORM pg_catalog.set_config('search_path', '{}', true)",
    "PERFORM pg_catalog.set_config('session_replication_role', 'replica', false)",
    "PERFORM pg_catalog.set_config('role', 'mallory', false)",
    "PERFORM pg_catalog.set_config('statement_timeout', '1', false)",
    "PERFORM pg_catalog.set_config('default_transaction_read_only', 'on', false)",
    "PERFORM pg_catalog.set_config('evil.left', 'behind', false)",
    "PERFORM pg_catalog.set_config('vote_agg.worker', 'off', false)",
    "PERFORM pg_catalog.set_config('vote_agg.channel', 'evil', false)",
    "PERFORM pg_catalog.pg_advisory_lock(666)",
    "EXECUTE 'CREATE TEMP TABLE source AS SELECT 1 AS number'",
    "EXECUTE 'PREPARE evil AS SELECT 1'",
    "EXECUTE 'DECLARE evil CURSOR WITH HOLD FOR SELECT {}.act()'",
    "EXECUTE 'LISTEN evil'",
    "EXECUTE 'ALTER ROLE mallory SUPERUSER'",
    "EXECUTE 'GRANT pg_read_all_data TO mallory WITH ADMIN OPTION'",
    "EXECUTE 'CREATE ROLE mallory_2 SUPERUSER'",
    "EXECUTE 'UPDATE vote_agg.source SET state = ''detached'''",
    "EXECUTE 'INSERT INTO vote_agg.pending_1 VALUES (NULL, 1, now(), 0, true, ''m'', ''forged'', NULL)'",
    "EXECUTE 'GRANT ALL ON ALL TABLES IN SCHEMA vote_agg TO mallory'",
    "EXECUTE 'ALTER FUNCTION vote_agg.fold() OWNER TO mallory'",
)

TYPES = ("bigint", "integer", "smallint", "oid", "regclass", "text", "name", "boolean", "timestamptz", "regprocedure", "bigint[]", "text[]")
OPERATORS = ("=", "<>", "<", ">", "<=", ">=", "||", "+", "-", "~~", "@>", "&")
FUNCTIONS = (
    "nextval(regclass)", "clock_timestamp()", "array_position(smallint[], smallint)", "unnest(bigint[])", "sum(bigint)", "count(anyelement)",
    "format(text, text)", "to_regclass(text)", "starts_with(text, text)", "pg_notify(text, text)", "lpad(text, integer, text)",
    "pg_partition_tree(regclass)", "current_setting(text, boolean)", "quote_ident(text)", "to_hex(bigint)", "text(name)", "regclass(text)",
    "int8(integer)", "array_agg(bigint)", "pg_event_trigger_dropped_objects()", "cardinality(bigint[])", "greatest(bigint, bigint)",
)  # fmt: skip


def base(schema, acts):
    """Her schema with `act()`, which in anybody else's session tells so, even where that is rolled back, and then tries `acts`."""
    tries = "".join(f"        BEGIN {act.format(schema)}; EXCEPTION WHEN OTHERS THEN NULL; END;\n" for act in acts)
    return f"""
CREATE SCHEMA {schema};
GRANT ALL ON SCHEMA {schema} TO PUBLIC;
CREATE SEQUENCE {schema}.ran;
CREATE SEQUENCE {schema}.caught;
GRANT ALL ON ALL SEQUENCES IN SCHEMA {schema} TO PUBLIC;
CREATE FUNCTION {schema}.act() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM pg_catalog.nextval('{schema}.ran');
    IF session_user OPERATOR(pg_catalog.<>) 'mallory' OR current_user OPERATOR(pg_catalog.<>) 'mallory' THEN
        PERFORM pg_catalog.nextval('{schema}.caught');
        RAISE LOG 'caught: % as % in %', session_user, current_user, pg_catalog.current_query();
{tries}    END IF;
    RETURN true;
END $$;
CREATE TYPE {schema}.team AS ENUM ('red', 'blue', '''; DROP TABLE votes; --', '"', '\\', '%s {{}} $1');
CREATE FUNCTION {schema}.as_text({schema}.team) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
$$ BEGIN PERFORM {schema}.act(); RETURN pg_catalog.enum_out($1); END $$;
CREATE TYPE {schema}.pair AS (a bigint, b bigint);
CREATE FUNCTION {schema}.as_bigint({schema}.pair) RETURNS bigint LANGUAGE sql IMMUTABLE AS
$$ SELECT CASE WHEN {schema}.act() THEN 608725951823478783 END $$;
CREATE FUNCTION {schema}.as_float({schema}.pair) RETURNS float8 LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN {schema}.act() THEN 1 END::float8 $$;
CREATE FUNCTION {schema}.on_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM {schema}.act(); RETURN coalesce(new, old); END $$;
CREATE DOMAIN {schema}.checked AS text CHECK ({schema}.act());
CREATE DOMAIN {schema}.side AS {schema}.team CHECK ({schema}.act());
"""


def casts(rng, schema):
    """Any of the casts that her columns could be read through."""
    yield from rng.sample(
        (
            f"CREATE CAST ({schema}.team AS text) WITH FUNCTION {schema}.as_text({schema}.team)",
            f"CREATE CAST ({schema}.pair AS bigint) WITH FUNCTION {schema}.as_bigint({schema}.pair)",
            f"CREATE CAST ({schema}.pair AS float8) WITH FUNCTION {schema}.as_float({schema}.pair)",
            f"CREATE CAST ({schema}.pair AS text) WITH INOUT",
        ),
        rng.randrange(5),
    )


def traps(rng, schema, table):
    """Code of hers on the table, each by chance. `table` has the columns id, m, t, s, c, p, cell, pad."""
    every = (
        f"ALTER TABLE {table} ALTER pad SET DEFAULT {schema}.act()::text",
        f"ALTER TABLE {table} ADD CHECK ({schema}.act())",
        f"ALTER TABLE {table} ADD made text GENERATED ALWAYS AS (CASE WHEN {schema}.act() THEN 'green' END) STORED",
        f"CREATE INDEX ON {table} (id) WHERE {schema}.act()",
        f"CREATE INDEX ON {table} (({schema}.act()))",
        f"CREATE STATISTICS {schema}.stat ON ({schema}.act()), id FROM {table}",
        f"CREATE TRIGGER a BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {schema}.on_row()",
        f"CREATE TRIGGER b AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {schema}.on_row()",
        f"CREATE CONSTRAINT TRIGGER c AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.on_row()",
        f"CREATE TRIGGER d BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {schema}.on_row()",
        f"CREATE RULE r AS ON INSERT TO {table} DO ALSO SELECT {schema}.act()",
        f"CREATE POLICY p ON {table} USING ({schema}.act())",
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f'CREATE COLLATION {schema}."C" (provider = icu, locale = \'und\', deterministic = false)',
        f"CREATE VIEW {schema}.view AS SELECT * FROM {table} WHERE {schema}.act()",
    )
    yield from rng.sample(every, rng.randrange(len(every)))
    if rng.randrange(10) == 0:
        yield f"CREATE TRIGGER vote_agg_insert AFTER INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {schema}.on_row()"


def names(rng, schema, place):
    """Operators, functions, types and tables in a schema that are called like those of the server or of the extension."""
    for left, right in {(rng.choice(TYPES), rng.choice(TYPES)) for _ in range(6)} | {("regclass", "oid"), ("smallint", "integer")}:
        name, symbol = f"op_{rng.randrange(10**9)}", rng.choice(OPERATORS)
        yield f"CREATE FUNCTION {place}.{name}({left}, {right}) RETURNS boolean LANGUAGE sql AS 'SELECT {schema}.act()'"
        yield f"CREATE OPERATOR {place}.{symbol} (LEFTARG = {left}, RIGHTARG = {right}, FUNCTION = {place}.{name})"
    for signature in rng.sample(FUNCTIONS, 6):
        yield f"CREATE FUNCTION {place}.{signature} RETURNS boolean LANGUAGE sql AS 'SELECT {schema}.act()'"
    for name in rng.sample(("text", "regclass", "int8", "bigint", "name", "oid"), 2):
        yield f'CREATE DOMAIN {place}."{name}" AS pg_catalog.text CHECK ({schema}.act())'
    for name in rng.sample(("source", "feed", "pending_1", "match", "pg_class", "pg_trigger", "fold_log"), 2):
        where = rng.choice((f"{place}.", "pg_temp."))
        yield f"CREATE TABLE {where}{name} (id int, number smallint, state text, match_id text, relation regclass)"
    yield "CREATE FUNCTION pg_temp.nextval(regclass) RETURNS bigint LANGUAGE sql AS 'SELECT 666::bigint'"


def settings(rng, schema):
    """Settings of her session."""
    path = rng.choice((f"{schema}, public", f"{schema}, pg_catalog, public", f"pg_temp, {schema}, pg_catalog", f"public, {schema}"))
    yield f"SET search_path = {path}"
    every = (
        "SET standard_conforming_strings = off",
        "SET escape_string_warning = off",
        "SET quote_all_identifiers = on",
        "SET check_function_bodies = off",
        "SET row_security = off",
        "SET transform_null_equals = on",
        "SET DateStyle = 'German'",
        "SET bytea_output = 'escape'",
        "SET extra_float_digits = -15",
        "SET default_table_access_method = 'heap'",
        "SET plan_cache_mode = force_generic_plan",
        "SET constraint_exclusion = on",
        "SET session_replication_role = replica",
        "SET vote_agg.test_pause = 'fold:done'",
    )
    yield from rng.sample(every, rng.randrange(6))
