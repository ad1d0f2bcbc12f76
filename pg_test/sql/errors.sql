-- Each SQLSTATE of a user's mistake, with value, reason and remedy; nothing of a refused call is counted.
LOAD 'vote_agg';
SET vote_agg.worker = off;
\set VERBOSITY verbose
\set SHOW_CONTEXT never
SELECT record_vote(NULL, 'home');
SELECT record_vote('e', NULL);
SELECT record_vote('', 'home');
SELECT record_vote('e', '');
SELECT record_vote(repeat('x', 201), 'home');
SELECT record_vote('e', repeat('é', 101));
SELECT record_vote(E'tab\there', 'home');
SELECT record_vote('e', U&'\0085');
SELECT record_vote('e', 'home', 'not a cell');
SELECT record_vote('e', 'home', NULL::text, 'UK');
SELECT record_vote('e', 'home', NULL::text, 'fra');
SELECT record_vote('e', 'home', NULL::text, '');
SELECT record_vote('e', 'home', NULL::text, NULL, 0);
SELECT record_vote('e', 'home', NULL::text, NULL, -5);
SELECT record_vote('e', 'home', NULL::text, NULL, NULL);
SELECT record_vote('e', 'home', NULL::text, NULL, 1000000000001);
SELECT increment_country_aggregate('e', NULL, 'home');
SELECT increment_country_aggregate('e', 'zz', 'home', 0);
SELECT increment_country_aggregate('e', 'xk', NULL);
BEGIN READ ONLY;
SELECT record_vote('e', 'home');
ROLLBACK;
BEGIN READ ONLY;
SELECT bulk_increment('[]');
ROLLBACK;
BEGIN READ ONLY;
SELECT open_match('e');
ROLLBACK;
-- a total that would leave 64 bits is refused by the fold, and nothing is lost
SELECT count(record_vote('e', 'home', NULL::text, NULL, 1000000000000)) FROM generate_series(1, 3);
SELECT total_votes FROM get_realtime_stats('e');
-- somebody made pending something else
CREATE INDEX hurdle ON vote_agg.pending_1 (match_id);
SELECT record_vote('e', 'home') WHERE (SELECT is_current FROM vote_agg.stat_pending WHERE heap = 'pending_1');
DROP INDEX vote_agg.hurdle;
VACUUM vote_agg.pending_1;
SELECT record_vote('e', 'home');
SELECT purge_match('e');
