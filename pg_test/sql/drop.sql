-- Gone without a trace, and back in a schema of one's choice in the same session.
LOAD 'vote_agg';
SET vote_agg.worker = off;
SELECT record_vote('d', 'home');
SELECT vote_agg.fold();
PREPARE vote AS SELECT record_vote('d', 'home');
EXECUTE vote;
DROP EXTENSION vote_agg;
SELECT count(*) FROM pg_namespace WHERE nspname = 'vote_agg';
SELECT count(*) FROM pg_proc WHERE probin LIKE '%vote_agg%';
\set VERBOSITY sqlstate
EXECUTE vote;
SELECT record_vote('d', 'home');
CREATE SCHEMA "Votes of the World";
CREATE EXTENSION vote_agg SCHEMA "Votes of the World";
SET search_path = "Votes of the World";
\set VERBOSITY default
SELECT record_vote('d', 'home', '872a1072bffffff', 'fr');
SELECT vote_agg.fold();
SELECT record_vote('d', 'away');
SELECT total_votes, seq FROM get_realtime_stats('d');
SELECT match_id, total_votes FROM vote_agg.live;
CREATE ROLE vote_agg_reader;
SELECT vote_agg.grant_reader('vote_agg_reader'), vote_agg.grant_writer('vote_agg_reader');
SET ROLE vote_agg_reader;
SELECT total_votes FROM get_realtime_stats('d');
RESET ROLE;
DROP OWNED BY vote_agg_reader;
DROP ROLE vote_agg_reader;
\set VERBOSITY sqlstate
ALTER EXTENSION vote_agg SET SCHEMA public;
CREATE EXTENSION vote_agg;
DROP SCHEMA "Votes of the World" CASCADE;
SELECT count(*) FROM pg_extension WHERE extname = 'vote_agg';
