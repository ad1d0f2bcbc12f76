-- Attached tables: whatever changes what a counted row says is counted, or refused with the reason.
LOAD 'vote_agg';
SET vote_agg.worker = off;
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE SCHEMA watch;
SET search_path = watch, public;
CREATE FUNCTION seen(m text) RETURNS TABLE (read jsonb, rows jsonb) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT
        (SELECT coalesce(jsonb_object_agg(k, v) FILTER (WHERE v <> '0'), '{}')
         FROM get_realtime_stats(m) s, jsonb_each(s.votes) e(k, v)),
        (SELECT coalesce(jsonb_object_agg(r.team_choice, r.votes), '{}') FROM (
            SELECT r.team_choice, sum(r.votes) AS votes FROM vote_agg.recount_sources(m) r GROUP BY 1) r);
END $$;

-- a MERGE that moves rows to another partition, with every set of actions
CREATE TABLE v (id int, m text, t text) PARTITION BY RANGE (id);
CREATE TABLE v1 PARTITION OF v FOR VALUES FROM (0) TO (10);
CREATE TABLE v2 PARTITION OF v FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
CREATE TABLE v2a PARTITION OF v2 FOR VALUES FROM (10) TO (15);
CREATE TABLE v2b PARTITION OF v2 FOR VALUES FROM (15) TO (20);
SELECT attach_votes('v', 'm', 't');
INSERT INTO v VALUES (1, 'x', 'red'), (2, 'x', 'blue'), (3, 'x', 'green'), (10, 'x', 'far');
MERGE INTO v USING (VALUES (1, 'red'), (4, 'new')) n(i, team) ON id = i
    WHEN MATCHED THEN UPDATE SET id = 11, t = team WHEN NOT MATCHED THEN INSERT VALUES (i, 'x', team);
SELECT * FROM seen('x');
MERGE INTO v USING (VALUES (2, 'black')) n(i, team) ON id = i WHEN MATCHED THEN UPDATE SET id = 12, t = team;
SELECT * FROM seen('x');
MERGE INTO v USING (VALUES (3, 'white'), (4, 'gone')) n(i, team) ON id = i
    WHEN MATCHED AND team = 'gone' THEN DELETE WHEN MATCHED THEN UPDATE SET id = 13, t = team;
SELECT * FROM seen('x');
MERGE INTO v USING (VALUES (11, 'back'), (12, 'gone'), (5, 'new')) n(i, team) ON id = i
    WHEN MATCHED AND team = 'gone' THEN DELETE WHEN MATCHED THEN UPDATE SET id = 1, t = team
    WHEN NOT MATCHED THEN INSERT VALUES (i, 'x', team);
SELECT * FROM seen('x');
MERGE INTO v2 USING (VALUES (10, 'moved')) n(i, team) ON id = i WHEN MATCHED THEN UPDATE SET id = 16, t = team;
SELECT * FROM seen('x');
-- in a function, prepared, and with triggers of one's own, which fire for what the MERGE names only
CREATE FUNCTION move(a int, b int) RETURNS void LANGUAGE sql AS
'MERGE INTO watch.v USING (VALUES (a)) n(i) ON id = i WHEN MATCHED THEN UPDATE SET id = b, t = ''f''';
SELECT move(16, 6);
CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE NOTICE '% of %', TG_OP, (SELECT count(*) FROM o); RETURN NULL; END $$;
CREATE TRIGGER told AFTER DELETE ON v REFERENCING OLD TABLE AS o FOR EACH STATEMENT EXECUTE FUNCTION told();
PREPARE move AS MERGE INTO v USING (VALUES (6)) n(i) ON id = i WHEN MATCHED THEN UPDATE SET id = 17, t = 'p';
EXECUTE move;
DO $$ BEGIN EXECUTE
    'EXPLAIN ANALYZE MERGE INTO v USING (VALUES (17)) n(i) ON id = i WHEN MATCHED THEN UPDATE SET id = 7, t = ''explained''';
END $$;
SELECT * FROM seen('x');
DELETE FROM v WHERE id = 7;
DROP TRIGGER told ON v;
-- a closed match is protected from it
SELECT close_match('x') IS NULL AS closed;
\set VERBOSITY terse
MERGE INTO v USING (VALUES (1, 'late')) n(i, team) ON id = i WHEN MATCHED THEN UPDATE SET id = 14, t = team;
MERGE INTO v USING (VALUES (1, 'back')) n(i, team) ON id = i WHEN MATCHED THEN UPDATE SET id = 14, t = team;
\set VERBOSITY default
SELECT * FROM seen('x');

-- text that depends on a setting is not counted
CREATE DOMAIN number AS float4;
CREATE TABLE other (m text, a bytea, b float4, c float8, d point, e xml, f number, g money, h timestamptz, i interval, j date);
SELECT attach_votes('other', 'm', 'a');
SELECT attach_votes('other', 'm', 'b');
SELECT attach_votes('other', 'm', 'c');
SELECT attach_votes('other', 'm', 'd');
SELECT attach_votes('other', 'm', 'e');
SELECT attach_votes('other', 'm', 'f');
SELECT attach_votes('other', 'm', 'g');
SELECT attach_votes('other', 'm', 'h');
SELECT attach_votes('other', 'm', 'i');
SELECT attach_votes('other', 'm', 'j');
CREATE TABLE same (m uuid, a int, b numeric, c name, d "char", e bool, f inet, g macaddr, h bit(3), i char(3), j bigint);
INSERT INTO same VALUES ('00000000-0000-0000-0000-000000000001', 1, 1.50, 'n', 'c', true, '10.0.0.1', '08:00:2b:01:02:03', '101', 'x', 9);
DO $$
DECLARE name text;
BEGIN
    FOREACH name IN ARRAY '{a,b,c,d,e,f,g,h,i,j}'::text[] LOOP
        PERFORM attach_votes('watch.same', 'm', name::name);
        RAISE NOTICE '%', (SELECT read FROM watch.seen('00000000-0000-0000-0000-000000000001'));
        PERFORM detach_votes('watch.same');
        PERFORM purge_match('00000000-0000-0000-0000-000000000001');
    END LOOP;
END $$;

-- labels
CREATE TYPE team AS ENUM ('red', 'blue');
CREATE DOMAIN side AS team;
CREATE TYPE unused AS ENUM ('a');
CREATE TABLE e (m text, t side);
SELECT attach_votes('e', 'm', 't');
INSERT INTO e VALUES ('e', 'red');
ALTER TYPE team RENAME VALUE 'red' TO 'crimson';
ALTER TYPE unused RENAME VALUE 'a' TO 'b';
ALTER TYPE team ADD VALUE 'green';
ALTER TYPE team RENAME TO teams;
DELETE FROM e;
SELECT * FROM seen('e');

-- columns that go with something else, or come back as others
CREATE DOMAIN d AS text;
CREATE TABLE b (m text, t d, note text);
SELECT attach_votes('b', 'm', 't');
INSERT INTO b VALUES ('y', 'a');
DROP DOMAIN d CASCADE;
ALTER TABLE b DROP COLUMN t, ADD COLUMN t text DEFAULT 'z';
CREATE SCHEMA more;
CREATE DOMAIN more.d AS text;
CREATE TABLE c (m more.d, t text);
SELECT attach_votes('c', 'm', 't');
DROP SCHEMA more CASCADE;
ALTER TABLE b DROP COLUMN note;
-- a type of one's own with its tables
CREATE TYPE typed AS (m text, t varchar(5), note text);
CREATE TABLE of_type OF typed;
SELECT attach_votes('of_type', 'm', 't');
INSERT INTO of_type VALUES ('of', 'a');
ALTER TYPE typed RENAME ATTRIBUTE t TO u CASCADE;
ALTER TYPE typed DROP ATTRIBUTE t CASCADE;
ALTER TYPE typed ALTER ATTRIBUTE t TYPE varchar(3) CASCADE;
ALTER TYPE typed ALTER ATTRIBUTE t TYPE text CASCADE;
ALTER TYPE typed DROP ATTRIBUTE note CASCADE;
-- other values
CREATE TABLE w (m text, t varchar(5), cell bigint, note int, g text GENERATED ALWAYS AS (upper(t)) STORED);
SELECT attach_votes('w', 'm', 't', 'cell', 'g');
INSERT INTO w (m, t) VALUES ('w', 'fr');
ALTER TABLE w ALTER t TYPE text USING 'x' || t;
ALTER TABLE w ALTER m TYPE varchar;
ALTER TABLE w ALTER note TYPE bigint;
ALTER TABLE w ALTER m TYPE char(50);
-- the expression of a generated column, from PostgreSQL 17 on
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 170000 THEN
        EXECUTE 'ALTER TABLE w ALTER g SET EXPRESSION AS (lower(t))';
        RAISE 'it is not refused';
    END IF;
EXCEPTION WHEN object_not_in_prerequisite_state THEN NULL;
END $$;
ALTER TABLE w ALTER note TYPE text USING 'n';
ALTER TABLE w ALTER g DROP EXPRESSION;
ALTER TABLE w ALTER g TYPE text USING 'DE';
ALTER TABLE w ALTER t TYPE text USING 'x' || t;
ALTER TABLE w ADD more timestamptz DEFAULT clock_timestamp();
CREATE TABLE whole (m int, t text);
SELECT attach_votes('whole', 'm', 't');
INSERT INTO whole VALUES (-1, 'a');
ALTER TABLE whole ALTER m TYPE oid;
SELECT * FROM seen('w');
SELECT country_code, votes FROM get_country_aggregates('w');
DELETE FROM w;
SELECT * FROM seen('w');

-- casts
CREATE CAST (teams AS text) WITH INOUT;
CREATE CAST (teams AS integer) WITH INOUT;
DROP CAST (teams AS integer);
CREATE TYPE pair AS (b bigint);
CREATE CAST (pair AS text) WITH INOUT;
DROP CAST (pair AS text);

-- how it is stored
CREATE ACCESS METHOD watch_heap TYPE TABLE HANDLER heap_tableam_handler;
ALTER TABLE w SET ACCESS METHOD watch_heap;
SET default_table_access_method = watch_heap;
CREATE TABLE v3 PARTITION OF v FOR VALUES FROM (20) TO (30);
RESET default_table_access_method;
ALTER TABLE w SET UNLOGGED;

-- what it stands on
DROP TRIGGER vote_agg_update ON v;
DROP TRIGGER vote_agg_move ON v2;
CREATE TABLE k (m text NOT NULL, t text, voter text NOT NULL);
CREATE UNIQUE INDEX k_once ON k (m, voter);
CREATE INDEX k_more ON k (t);
SELECT attach_votes('k', 'm', 't', voter_id => 'voter');
DROP INDEX k_once;
DROP INDEX k_more;
CREATE UNIQUE INDEX k_again ON k (voter, m);
DROP INDEX k_once;
ALTER TABLE k DROP COLUMN voter;
ALTER TABLE k ALTER voter DROP NOT NULL;

-- detached, everything goes
SELECT detach_votes(source) FROM vote_agg.stat_attach;
ALTER TYPE teams RENAME VALUE 'red' TO 'crimson';
CREATE CAST (teams AS text) WITH INOUT;
DROP CAST (teams AS text);
ALTER TABLE w ALTER t TYPE text USING 'x' || t;
SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'vote_agg%';
SELECT count(purge_match(m)) FROM vote_agg.matches() AS m;
RESET search_path;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA watch, more CASCADE;
DROP ACCESS METHOD watch_heap;
SELECT count(*) FROM vote_agg.source;
