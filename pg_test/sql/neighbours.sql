-- Ordinary neighbours in the same database: publications, indexes and triggers that came and went, another name of the schema.
LOAD 'vote_agg';
SET vote_agg.worker = off;
SET client_min_messages = error;
\set SHOW_CONTEXT never

-- A publication of all tables, as change data capture makes it: folds, purges and fills go on.
SELECT record_vote('pub', 'home', '872a1072bffffff', 'us'), vote_agg.fold();
CREATE PUBLICATION neighbour FOR ALL TABLES;
SELECT record_vote('pub', 'away', '872a1072bffffff', 'us'), cast_vote('pub', 'ann', 'home', '872a1072bffffff', 'us'), vote_agg.fold();
SELECT cast_vote('pub', 'ann', 'away'), retract_vote('pub', 'ann'), vote_agg.fold();
SELECT total_votes, votes, active_cells FROM get_realtime_stats('pub');
SELECT check_name FROM verify_match('pub') WHERE NOT ok;
CREATE TABLE pub_votes (match_id text, team_choice text, filler text);
INSERT INTO pub_votes SELECT 'pub', 'home', repeat('x', 1500) FROM generate_series(1, 6000);
SELECT attach_votes('pub_votes'), vote_agg.fill();
SELECT vote_agg.fold(), total_votes FROM get_realtime_stats('pub');
SELECT detach_votes('pub_votes'), purge_match('pub');
DROP TABLE pub_votes;
DROP PUBLICATION neighbour;

-- An index or a trigger is refused as long as it is there, and forgotten when it has gone.
CREATE INDEX neighbour ON vote_agg.pending_1 (match_id);
SELECT record_vote('index', 'home');
SELECT * FROM get_realtime_stats('index');
DROP INDEX vote_agg.neighbour;
CREATE FUNCTION neighbour() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER neighbour BEFORE INSERT ON vote_agg.pending_1 FOR EACH ROW EXECUTE FUNCTION neighbour();
SELECT record_vote('index', 'home');
DROP TRIGGER neighbour ON vote_agg.pending_1;
CREATE TRIGGER neighbour BEFORE INSERT ON vote_agg.ballot FOR EACH ROW EXECUTE FUNCTION neighbour();
SELECT cast_vote('index', 'ann', 'home');
DROP TRIGGER neighbour ON vote_agg.ballot;
DROP FUNCTION neighbour();
SELECT record_vote('index', 'home'), cast_vote('index', 'ann', 'home'), vote_agg.fold();
SELECT total_votes FROM get_realtime_stats('index');

-- Our schema under another name.
CREATE ROLE vote_agg_neighbour;
ALTER SCHEMA public RENAME TO "our v@tes";
SELECT vote_agg.grant_reader('vote_agg_neighbour'), vote_agg.grant_writer('vote_agg_neighbour');
SET ROLE vote_agg_neighbour;
SELECT "our v@tes".record_vote('index', 'home', '872a1072bffffff');
SELECT total_votes FROM "our v@tes".get_realtime_stats('index');
RESET ROLE;
SELECT check_name FROM "our v@tes".verify_match('index') WHERE NOT ok;
SELECT count(*) FROM "our v@tes".verify_match('index');
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA "our v@tes", vote_agg FROM vote_agg_neighbour;
REVOKE ALL ON ALL TABLES IN SCHEMA vote_agg FROM vote_agg_neighbour;
REVOKE ALL ON SCHEMA "our v@tes", vote_agg FROM vote_agg_neighbour;
DROP ROLE vote_agg_neighbour;
ALTER SCHEMA "our v@tes" RENAME TO public;
SELECT vote_agg.fold();
