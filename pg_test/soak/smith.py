"""sqlsmith's random statements, made of our functions.

sqlsmith calls what its catalog shows, at random. Here the catalog shows a wrapper of each of our functions, which returns text, and a few aggregates:
so functions that return sets or nothing are called as well, anywhere in a statement.
"""

import collections
import re
import subprocess
import threading

import psycopg

CHUNK = 500  # statements that a process of sqlsmith makes
SHOWN = """
DO $$ BEGIN CREATE ROLE smith LOGIN; EXCEPTION WHEN duplicate_object THEN END $$;
CREATE SCHEMA smith AUTHORIZATION smith;
GRANT USAGE ON SCHEMA vote_agg TO smith;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public, vote_agg TO smith;
GRANT SELECT ON vote_agg.live TO smith;
ALTER ROLE smith SET search_path = smith, pg_catalog, public;
DO $do$
DECLARE
    f record;
BEGIN
    FOR f IN SELECT p.oid::regproc AS function, p.proname AS name, p.pronargs AS arguments, p.prorettype = 'void'::regtype AS is_void,
                    (SELECT coalesce(string_agg(t::regtype::text, ', ' ORDER BY n), '') FROM unnest(p.proargtypes) WITH ORDINALITY a(t, n)) AS types,
                    p.pronamespace::regnamespace AS schema
             FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
             JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'vote_agg'
             WHERE p.prorettype::regtype::text NOT IN ('trigger', 'event_trigger')
    LOOP
        EXECUTE format('CREATE FUNCTION smith.%I(%s) RETURNS text LANGUAGE sql AS $f$ SELECT %s FROM %s.%I(%s) AS x $f$',
            f.name, f.types, CASE WHEN f.is_void THEN 'count(*)::text' ELSE 'string_agg(x::text, $s$ $s$)' END, f.schema, f.name,
            (SELECT string_agg('$' || n, ', ') FROM generate_series(1, f.arguments) n));
    END LOOP;
END
$do$;
-- sqlsmith reads pg_proc without a schema, so it finds this one first.
CREATE VIEW smith.pg_proc AS
SELECT * FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'smith'::regnamespace OR (p.prokind = 'a' AND p.proname IN ('count', 'max', 'min'));
-- One word is a match, a team, a voter and a cell, another one a country as well: so most calls are right.
CREATE TABLE smith.words (place text, land text);
INSERT INTO smith.words VALUES ('872a1072bffffff', 'FR'), ('open', 'US'), ('closed', 'votes');
CREATE TABLE smith.numbers (bits bigint, one integer, small smallint, x double precision, at timestamptz, minute interval, yes boolean);
INSERT INTO smith.numbers VALUES (608247482345586687, 1, 1, 0.5, now(), '1 minute', true), (1, 3, 2, 40.7, now() + '1 day', '5 minutes', false);
CREATE TABLE smith.lists (teams text[], cells bigint[], box double precision[], votes jsonb, packed bytea);
INSERT INTO smith.lists VALUES ('{home,away}', '{608247482345586687,null}', '{-180,-90,180,90}', '[{"matchId": "FR", "teamChoice": "home"}]', ''), ('{FR}', '{1}', '{1}', '{"home": 1}', NULL);
CREATE TABLE smith.attachable (match_id text, team_choice text);
ALTER TABLE smith.attachable OWNER TO smith;
INSERT INTO smith.attachable SELECT 'attached', 'home' FROM generate_series(1, 100);
CREATE TABLE smith.counted (match_id text NOT NULL, team_choice text NOT NULL);
INSERT INTO smith.counted VALUES ('attached', 'home');
CREATE TABLE smith.names (source regclass, source_oid oid, match_column name, team_column name);
INSERT INTO smith.names VALUES ('smith.attachable', 'smith.attachable'::regclass, 'match_id', 'team_choice'), ('smith.words', 1, 'smith', 'smith');
GRANT SELECT ON ALL TABLES IN SCHEMA smith TO smith;
"""
# For the database that statements are made from, and never executed in: sqlsmith would spend most of them on operators of types
# that we do not have.
FEWER = """
SET allow_system_table_mods = on;
DELETE FROM pg_catalog.pg_operator o WHERE NOT ARRAY[o.oprleft, o.oprright, o.oprresult] <@ ARRAY[
    'bool', '"char"', 'name', 'oid', 'regclass', 'int2', 'int4', 'int8', 'float8', 'text', 'timestamptz', 'interval', 'jsonb'
]::regtype[]::oid[];
"""
# A random call may have detached it.
ATTACHED = "SELECT attach_votes('smith.counted') WHERE NOT EXISTS (SELECT FROM vote_agg.source WHERE relation = 'smith.counted'::regclass AND state <> 'detached')"
# Open, closed, with ballots, attached: what calls of all kinds need.
MATCHES = """
SELECT purge_match(m) FROM unnest(ARRAY['872a1072bffffff', 'FR', 'US', 'votes', 'open', 'closed']) m;
SELECT open_match('open', ARRAY['872a1072bffffff', 'FR', 'home']), open_match('closed'), record_vote('closed', 'home'), close_match('closed');
SELECT cast_vote(m, 'FR', 'home', '872a1072bffffff', 'US') FROM unnest(ARRAY['872a1072bffffff', 'FR', 'open']) m;
"""


def statements(database, seed):
    """A chunk of statements, the same for each seed."""
    command = ["sqlsmith", f"--target={database.cluster.dsn(database.name, 'smith')}", "--dry-run", "--exclude-catalog", f"--seed={seed}", f"--max-queries={CHUNK}"]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    return [statement for statement in re.split(r";\n", made.stdout) if statement.strip()]


class Calls:
    """What became of calls, by the function's name: how many succeeded, how many were refused by our code."""

    def __init__(self, database):
        self.database, self.lock = database, threading.Lock()
        self.names = {name for (name,) in database.sql("SELECT proname FROM smith.pg_proc WHERE prokind = 'f'")}
        self.refused, self.states = collections.Counter(), collections.Counter()
        self.context = re.compile(rf'SQL function "({"|".join(self.names)})"')

    def execute(self, session, statement):
        try:
            session.execute(statement)
            state = "00000"
        except psycopg.OperationalError as error:
            if error.sqlstate is None:
                raise  # the server went away
            state = error.sqlstate
        except psycopg.Error as error:
            state = error.sqlstate
            # The innermost wrapper is the first that the context names. Errors of ours name a file of ours.
            wrapper = self.context.search(error.diag.context or "")
            if wrapper and (error.diag.source_file or "").endswith(".rs"):
                with self.lock:
                    self.refused[wrapper[1]] += 1
        with self.lock:
            self.states[state] += 1

    def note(self, name, state):
        """A call that stood alone. What was cancelled, or waited for a lock in vain, is no refusal."""
        with self.lock:
            self.states[state] += 1
            self.refused[name] += state not in ("00000", "57014", "55P03")

    def succeeded(self):
        query = "SELECT funcname, sum(calls) FROM pg_stat_user_functions WHERE schemaname IN ('public', 'vote_agg') GROUP BY 1"
        return collections.Counter(dict(self.database.sql(query)))
