-- Least privilege: nobody touches tables, PUBLIC runs pure functions only, two grants hand out the rest.
LOAD 'vote_agg';
SET vote_agg.worker = off;
SELECT record_vote('p', 'home', '872a1072bffffff', 'us');
CREATE ROLE vote_agg_nobody;
CREATE ROLE vote_agg_reader;
CREATE ROLE vote_agg_writer;
SELECT vote_agg.grant_reader('vote_agg_reader'), vote_agg.grant_writer('vote_agg_writer');
CREATE TABLE rights AS
SELECT r.role, p.oid::regprocedure::text AS function FROM (VALUES ('vote_agg_nobody'), ('vote_agg_reader'), ('vote_agg_writer')) r(role), pg_proc p
JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e'
JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'vote_agg'
WHERE has_function_privilege(r.role, p.oid, 'EXECUTE');
SELECT * FROM rights ORDER BY role, function COLLATE "C";
SELECT role, c.oid::regclass, has_table_privilege(role, c.oid, 'SELECT') AS can_select,
       has_table_privilege(role, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER') AS can_write
FROM (VALUES ('vote_agg_nobody'), ('vote_agg_reader'), ('vote_agg_writer')) r(role), pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'vote_agg' AND c.relkind IN ('r', 'v') AND (
    has_table_privilege(role, c.oid, 'SELECT') OR has_table_privilege(role, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'))
ORDER BY role, c.oid::regclass::text COLLATE "C";
\set VERBOSITY default
\set SHOW_CONTEXT never
SET ROLE vote_agg_nobody;
SELECT record_vote('p', 'home');
SELECT * FROM get_realtime_stats('p');
SELECT * FROM vote_agg.live;
SELECT calculate_dominance('{"a": 1}');
SET ROLE vote_agg_writer;
SELECT record_vote('p', 'away');
SELECT bulk_increment('p', ARRAY['away']);
SELECT * FROM get_realtime_stats('p');
SELECT open_match('p');
SELECT vote_agg.fold();
SELECT vote_agg.grant_writer('vote_agg_nobody');
INSERT INTO vote_agg.pending_1 DEFAULT VALUES;
SET vote_agg.auto_open = off;
SET vote_agg.worker = on;
SET ROLE vote_agg_reader;
SELECT total_votes FROM get_realtime_stats('p');
SELECT total_votes FROM vote_agg.live WHERE match_id = 'p';
SELECT count(*) FROM vote_agg.stat_fold, vote_agg.stat_pending;
SELECT count(*) FROM get_match_aggregates('p'), get_country_aggregates('p'), get_match_timeline('p') WHERE get_match_snapshot('p') IS NOT NULL;
SELECT count(*) FROM get_match_flips('p');
SELECT record_vote('p', 'away');
SELECT purge_match('p');
SELECT * FROM vote_agg.feed;
SELECT vote_agg.grant_reader('no such role');
RESET ROLE;
SELECT vote_agg.grant_reader('no such role');
SELECT vote_agg.grant_reader(NULL);
-- tricks with names do not reach inside
CREATE SCHEMA trap;
CREATE FUNCTION trap.unpack(bytea) RETURNS TABLE (key bigint, votes bigint[]) LANGUAGE sql AS 'SELECT 1/0, NULL::bigint[]';
CREATE FUNCTION trap.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS 'SELECT now() + 1/0 * interval ''1 day''';
SET search_path = trap, public, pg_catalog;
SELECT vote_agg.fold();
SELECT total_votes FROM public.get_realtime_stats('p');
SELECT public.close_match('p');
RESET search_path;
DROP SCHEMA trap CASCADE;
SELECT purge_match('p');
DROP TABLE rights;
-- what is granted is taken back, and nothing of the other set or given one by one
CREATE ROLE vote_agg_both;
SELECT vote_agg.grant_reader('vote_agg_both'), vote_agg.grant_writer('vote_agg_both');
GRANT EXECUTE ON FUNCTION vote_agg.fold() TO vote_agg_both;
CREATE FUNCTION left_to(name) RETURNS TABLE (functions bigint, views bigint, schemas text) LANGUAGE sql AS $$
    SELECT (SELECT count(*) FROM pg_proc, aclexplode(proacl) a WHERE a.grantee = $1::regrole),
           (SELECT count(*) FROM pg_class, aclexplode(relacl) a WHERE a.grantee = $1::regrole),
           (SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace, aclexplode(nspacl) a WHERE a.grantee = $1::regrole) $$;
SELECT * FROM left_to('vote_agg_both');
SELECT vote_agg.revoke_writer('vote_agg_both');
SELECT * FROM left_to('vote_agg_both');
SELECT vote_agg.grant_writer('vote_agg_both'), vote_agg.revoke_reader('vote_agg_both');
SELECT * FROM left_to('vote_agg_both');
REVOKE EXECUTE ON FUNCTION vote_agg.fold() FROM vote_agg_both;
SELECT vote_agg.revoke_reader('vote_agg_both'), vote_agg.revoke_writer('vote_agg_both');
SELECT * FROM left_to('vote_agg_both');
DROP ROLE vote_agg_both;
SELECT vote_agg.revoke_reader('no such role');
SELECT vote_agg.revoke_writer(NULL);
SET ROLE vote_agg_reader;
SELECT vote_agg.revoke_writer('vote_agg_writer');
SELECT vote_agg.set_rights('vote_agg_reader', 'writer', true);
RESET ROLE;
-- A puller hands on what shards say, and no more.
CREATE ROLE vote_agg_puller;
SELECT vote_agg.grant_puller('vote_agg_puller');
SELECT * FROM left_to('vote_agg_puller');
SET ROLE vote_agg_puller;
SELECT * FROM vote_agg.get_shard('x');
SELECT vote_agg.note_shard('x', now(), 0);
SELECT vote_agg.apply_pull('x', 1, NULL, 0, '{}');
SELECT vote_agg.follow('x');
SELECT vote_agg.get_heads();
SELECT * FROM vote_agg.stat_shards;
RESET ROLE;
SELECT vote_agg.revoke_puller('vote_agg_puller');
SELECT * FROM left_to('vote_agg_puller');
DROP ROLE vote_agg_puller;
DROP FUNCTION left_to(name);
DROP OWNED BY vote_agg_reader, vote_agg_writer;
DROP ROLE vote_agg_nobody, vote_agg_reader, vote_agg_writer;
