-- A match's life: opened, scheduled, closed, final, purged.
LOAD 'vote_agg';
SET vote_agg.worker = off;
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT open_match('m', ARRAY['home', 'away']);
SELECT status, total_votes, votes FROM get_realtime_stats('m');
SELECT record_vote('m', 'home');
SELECT record_vote('m', 'Home');
SELECT bulk_increment('m', ARRAY['home', 'nobody']);
-- opened again with other teams
SELECT open_match('m', ARRAY['home', 'away', 'draw']);
SELECT record_vote('m', 'draw');
SELECT votes FROM get_realtime_stats('m');
-- not yet, and no longer
SELECT open_match('m', NULL, 'infinity');
\set VERBOSITY sqlstate
SELECT record_vote('m', 'home');
SELECT open_match('m', NULL, NULL, '2020-01-01');
SELECT record_vote('m', 'home');
\set VERBOSITY default
SELECT status FROM get_realtime_stats('m');
SELECT open_match('m', NULL, '2021-01-01', '2020-01-01 00:00+00');
SELECT open_match('m', NULL, '2020-01-01', 'infinity');
SELECT record_vote('m', 'anybody');
SELECT close_match('m');
\set VERBOSITY sqlstate
SELECT record_vote('m', 'home');
SELECT bulk_increment('m', ARRAY['home']);
SELECT increment_country_aggregate('m', 'FR', 'home');
\set VERBOSITY default
SELECT status, votes FROM get_realtime_stats('m');
-- closing again is harmless; opening again is refused
SELECT close_match('m');
SELECT open_match('m');
-- the first fold counts and lists who may still be voting, the next finds them gone
SELECT vote_agg.fold(), (SELECT status FROM get_realtime_stats('m'));
SELECT vote_agg.fold();
SELECT status, total_votes FROM get_realtime_stats('m');
SELECT seq, body ->> 'final' AS final, (body -> 'stats' -> 'votes')::jsonb AS votes FROM get_match_changes('m', 0);
SELECT close_match('m');
SELECT count(*) FROM get_match_changes('m', 0);
-- a rolled back closing does not close
SELECT record_vote('r', 'home');
BEGIN;
SELECT close_match('r');
\set VERBOSITY sqlstate
SAVEPOINT s;
SELECT record_vote('r', 'home');
ROLLBACK;
\set VERBOSITY default
SELECT record_vote('r', 'home');
-- closed before anything was voted, and never opened
SELECT open_match('empty');
SELECT close_match('empty');
SELECT close_match('nobody voted here');
SELECT vote_agg.fold(), vote_agg.fold();
SELECT seq, body -> 'stats' AS stats, body ->> 'final' AS final FROM get_match_changes('empty', 0);
-- auto_open
SET vote_agg.auto_open = off;
SELECT record_vote('unheard of', 'home');
SELECT open_match('heard of');
SELECT record_vote('heard of', 'home');
RESET vote_agg.auto_open;
SELECT record_vote('unheard of', 'home');
-- arguments
SELECT open_match(NULL);
SELECT open_match('');
SELECT open_match('t', ARRAY[]::text[]);
SELECT open_match('t', ARRAY['a', 'a']);
SELECT open_match('t', ARRAY['a', NULL]);
SELECT open_match('t', ARRAY['a', E'b\n']);
SELECT close_match(NULL);
SELECT purge_match(NULL);
-- purging erases folded and pending votes, and what comes back is new
SELECT record_vote('m2', 'home', '872a1072bffffff', 'fr', 5);
SELECT vote_agg.fold();
SELECT record_vote('m2', 'home', '872a1072bffffff', 'fr', 6);
SELECT epoch AS old_epoch FROM get_realtime_stats('m2') \gset
SELECT purge_match('m2');
SELECT purge_match('m2');
SELECT status, total_votes, seq FROM get_realtime_stats('m2');
SELECT count(*) FROM get_match_aggregates('m2');
SELECT record_vote('m2', 'home');
SELECT vote_agg.fold();
SELECT total_votes, seq, epoch <> :'old_epoch' AS another FROM get_realtime_stats('m2');
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT purge_match('m2');
ROLLBACK;
SELECT sum(purge_match(match_id)) FROM vote_agg.matches() match_id;
