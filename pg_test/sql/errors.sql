-- Each SQLSTATE of a user's mistake, with value, reason and remedy; nothing of a refused call is counted.
LOAD 'vote_agg';
SET vote_agg.worker = off;
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT record_vote(NULL, 'home');
\echo :SQLSTATE
SELECT record_vote('e', NULL);
\echo :SQLSTATE
SELECT record_vote('', 'home');
\echo :SQLSTATE
SELECT record_vote('e', '');
\echo :SQLSTATE
SELECT record_vote(repeat('x', 201), 'home');
\echo :SQLSTATE
SELECT record_vote('e', repeat('é', 101));
\echo :SQLSTATE
SELECT record_vote(E'tab\there', 'home');
\echo :SQLSTATE
SELECT record_vote('e', U&'\0085');
\echo :SQLSTATE
SELECT record_vote('e', 'home', 'not a cell');
\echo :SQLSTATE
SELECT record_vote('e', 'home', NULL::text, 'UK');
\echo :SQLSTATE
SELECT record_vote('e', 'home', NULL::text, 'fra');
\echo :SQLSTATE
SELECT record_vote('e', 'home', NULL::text, '');
\echo :SQLSTATE
SELECT record_vote('e', 'home', NULL::text, NULL, 0);
\echo :SQLSTATE
SELECT record_vote('e', 'home', NULL::text, NULL, -5);
\echo :SQLSTATE
SELECT record_vote('e', 'home', NULL::text, NULL, NULL);
\echo :SQLSTATE
SELECT record_vote('e', 'home', NULL::text, NULL, 1000000000001);
\echo :SQLSTATE
SELECT increment_country_aggregate('e', NULL, 'home');
\echo :SQLSTATE
SELECT increment_country_aggregate('e', 'zz', 'home', 0);
\echo :SQLSTATE
SELECT increment_country_aggregate('e', 'xk', NULL);
\echo :SQLSTATE
SELECT * FROM get_match_flips('e', max_rows => 0);
\echo :SQLSTATE
SELECT * FROM get_match_flips('e', max_rows => NULL);
\echo :SQLSTATE
BEGIN READ ONLY;
SELECT record_vote('e', 'home');
\echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT bulk_increment('[]');
\echo :SQLSTATE
ROLLBACK;
BEGIN READ ONLY;
SELECT open_match('e');
\echo :SQLSTATE
ROLLBACK;
-- a total that would leave 64 bits is refused by the fold, and nothing is lost
SELECT count(record_vote('e', 'home', NULL::text, NULL, 1000000000000)) FROM generate_series(1, 3);
SELECT total_votes FROM get_realtime_stats('e');
-- somebody made pending something else
CREATE INDEX hurdle ON vote_agg.pending_1 (match_id);
SELECT record_vote('e', 'home') WHERE (SELECT is_current FROM vote_agg.stat_pending WHERE heap = 'pending_1');
\echo :SQLSTATE
DROP INDEX vote_agg.hurdle;
VACUUM vote_agg.pending_1;
SELECT record_vote('e', 'home');
\echo :SQLSTATE
-- or gave it, or the ballots, other columns: values are written below SQL by their places
BEGIN;
ALTER TABLE vote_agg.pending_1 ADD COLUMN more integer;
ALTER TABLE vote_agg.pending_2 ADD COLUMN more integer;
SELECT record_vote('e', 'home');
ROLLBACK;
BEGIN;
ALTER TABLE vote_agg.pending_1 RENAME COLUMN votes TO weights;
SELECT vote_agg.fold();
\echo :SQLSTATE
ROLLBACK;
BEGIN;
ALTER TABLE vote_agg.ballot RENAME COLUMN team_choice TO choice;
SELECT cast_vote('e', 'ann', 'home');
ROLLBACK;
SELECT purge_match('e');
