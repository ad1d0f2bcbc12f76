-- What vote_agg.status() says: fine, and each check once its cause is there.
LOAD 'vote_agg';
SET vote_agg.worker = off;
SET client_min_messages = error;
\set SHOW_CONTEXT never
\pset format unaligned
\pset tuples_only on
SELECT vote_agg.fold() >= 0;
-- numbers and names of the place left out
CREATE FUNCTION seen(VARIADIC names text[]) RETURNS TABLE (check_name text, state text, detail text, hint text) LANGUAGE sql AS $$
    SELECT s.check_name, s.state, regexp_replace(regexp_replace(s.detail, '[0-9]+([.][0-9]+)*', 'N', 'g'), 'N (kB|MB|bytes)', 'N B'),
           regexp_replace(s.hint, '[0-9]+([.][0-9]+)*', 'N', 'g')
    FROM vote_agg.status() s WHERE s.check_name = ANY (names) $$;
SELECT check_name FROM vote_agg.status();
SELECT * FROM seen('version', 'worker', 'lag', 'fold', 'set aside', 'pending', 'triggers', 'attached');

-- another script than the library's
BEGIN;
UPDATE pg_extension SET extversion = '0.0.9' WHERE extname = 'vote_agg';
SELECT * FROM seen('version');
ROLLBACK;

-- votes that wait: not at all (the clock was set back), over five seconds and a fold interval, over a minute
BEGIN;
INSERT INTO vote_agg.pending_1 SELECT NULL, 1, statement_timestamp() + interval '1 hour', 0, true, 'status', 'home', NULL;
SELECT * FROM seen('worker', 'lag');
INSERT INTO vote_agg.pending_2 SELECT NULL, 1, statement_timestamp() - interval '10 s', 0, true, 'status', 'home', NULL;
SELECT * FROM seen('worker', 'lag');
SET LOCAL vote_agg.worker = on;
SELECT * FROM seen('worker');
INSERT INTO vote_agg.pending_1 SELECT NULL, 1, statement_timestamp() - interval '65 s', 0, true, 'status', 'home', NULL;
SELECT check_name, state FROM seen('lag');
-- behind a transaction that holds folds up
SELECT purge_match('nobody');
SELECT * FROM seen('lag');
ROLLBACK;
-- those of a match that is set aside are told elsewhere
BEGIN;
INSERT INTO vote_agg.pending_aside SELECT NULL, 1, statement_timestamp() - interval '1 day', 0, true, 'status', 'home', NULL;
SELECT check_name, state FROM seen('worker', 'lag');
ROLLBACK;

-- a fold that failed as a whole
BEGIN;
SELECT record_vote('status', 'home'), vote_agg.fold();
UPDATE vote_agg.fold_log SET last_error = 'the disk is full' WHERE id = (SELECT max(id) FROM vote_agg.fold_log);
SELECT * FROM seen('fold', 'set aside');
ROLLBACK;

-- matches that are set aside
SET vote_agg.max_teams = 100;
SELECT bulk_increment('status "1"', (SELECT array_agg('team ' || n) FROM generate_series(1, 11) n));
SELECT bulk_increment('status 2', (SELECT array_agg('team ' || n) FROM generate_series(1, 11) n));
SET vote_agg.max_teams = 1;
SELECT vote_agg.fold();
SELECT * FROM seen('fold', 'set aside');
RESET vote_agg.max_teams;
SELECT vote_agg.fold(), purge_match('status "1"'), purge_match('status 2');
SELECT * FROM seen('fold', 'set aside');

-- pending that is long on disk: eight times as large as a turn, and larger
BEGIN;
INSERT INTO vote_agg.pending_1 SELECT NULL, 1, statement_timestamp(), 0, true, 'status', 'home', NULL FROM generate_series(1, 200000);
SET LOCAL vote_agg.turn_size = '64MB';
SELECT * FROM seen('pending');
SET LOCAL vote_agg.turn_size = '1MB';
SELECT check_name, state, split_part(detail, ',', 1), hint FROM seen('pending');
ROLLBACK;

-- disabled triggers: of a table, a partition, for replicas only; event triggers
CREATE SCHEMA status;
CREATE TABLE status.v (id int, match_id text, team_choice text) PARTITION BY RANGE (id);
CREATE TABLE status.v1 PARTITION OF status.v FOR VALUES FROM (0) TO (10);
CREATE TABLE status.other (match_id text, team_choice text);
SELECT attach_votes('status.v');
CREATE FUNCTION status.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER own AFTER INSERT ON status.v1 FOR EACH STATEMENT EXECUTE FUNCTION status.nothing();
ALTER TABLE status.v1 DISABLE TRIGGER own;
SELECT * FROM seen('triggers');
ALTER TABLE status.v DISABLE TRIGGER vote_agg_insert;
ALTER TABLE status.v1 ENABLE REPLICA TRIGGER vote_agg_delete;
ALTER EVENT TRIGGER vote_agg_watch_tables DISABLE;
SELECT check_name, state, replace(detail, '"', ''), hint FROM seen('triggers');
ALTER EVENT TRIGGER vote_agg_watch_tables ENABLE;
ALTER TABLE status.v ENABLE TRIGGER vote_agg_insert;
ALTER TABLE status.v1 ENABLE ALWAYS TRIGGER vote_agg_delete;
SELECT * FROM seen('triggers');
SELECT detach_votes('status.v');
DROP SCHEMA status CASCADE;

-- settings, of the session and of a role
SET synchronous_commit = off;
CREATE ROLE "status role";
ALTER ROLE "status role" SET session_replication_role = replica;
SELECT state <> 'ok', detail LIKE '%synchronous_commit = off in this session%',
       detail LIKE '%session_replication_role = replica for role "status role"%',
       hint LIKE '%Without synchronous_commit a crash loses votes.%', hint LIKE '%no trigger counts an attached table%' FROM seen('settings');
RESET synchronous_commit;
DROP ROLE "status role";
SELECT detail LIKE '%status role%' FROM seen('settings');

-- rights: those who read
CREATE ROLE status_reader;
SET ROLE status_reader;
SELECT count(*) FROM vote_agg.status();
RESET ROLE;
SELECT vote_agg.grant_reader('status_reader');
SET ROLE status_reader;
SELECT count(*) FROM vote_agg.status();
RESET ROLE;
DROP OWNED BY status_reader;
DROP ROLE status_reader;
DROP FUNCTION seen;
