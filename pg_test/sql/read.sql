-- Reading: roll-up, filters, order, time line, snapshot.
LOAD 'vote_agg';
SET vote_agg.worker = off;
\set VERBOSITY default
\set SHOW_CONTEXT never
-- cells of several resolutions, folded and pending
SELECT bulk_increment('read', ARRAY['home', 'away', 'home', 'away', 'home'],
    ARRAY[('x872a1072bffffff')::bit(60)::bigint, ('x872a10728ffffff')::bit(60)::bigint, ('x832a10fffffffff')::bit(60)::bigint, ('x8001fffffffffff')::bit(60)::bigint, NULL],
    ARRAY['us', 'us', 'us', 'no', NULL], ARRAY[10, 4, 3, 3, 1]);
SELECT vote_agg.fold();
SELECT record_vote('read', 'away', '8f2a1072b59b0db', 'CA', 2);
SELECT h3_index, resolution, total_votes, votes, leader, round(dominance::numeric, 3) FROM get_match_aggregates('read');
SELECT h3_index, resolution, total_votes, votes, leader, round(dominance::numeric, 3) FROM get_match_aggregates('read', 7);
SELECT h3_index, resolution, total_votes FROM get_match_aggregates('read', 3);
SELECT h3_index, resolution, total_votes FROM get_match_aggregates('read', 0);
-- every resolution sums to the same
SELECT count(DISTINCT sum) FROM (SELECT r, sum(total_votes) FROM generate_series(0, 15) r, get_match_aggregates('read', r) GROUP BY r) s;
SELECT h3_index, total_votes FROM get_match_aggregates('read', NULL, 4);
SELECT h3_index, total_votes FROM get_match_aggregates('read', NULL, NULL, 2);
SELECT h3_index, total_votes FROM get_match_aggregates('read', max_cells => 0);
SELECT country_code, total_votes, votes, leader FROM get_country_aggregates('read');
SELECT country_code FROM get_country_aggregates('read', 4);
SELECT status, total_votes, votes, leader, round(dominance::numeric, 4), active_cells, active_countries, seq FROM get_realtime_stats('read');
SELECT votes_per_minute <= total_votes AS rate, last_vote_at > now() - interval '1 hour' AS recent FROM get_realtime_stats('read');
SELECT team_choice, sum(votes), max(running_total) FROM get_match_timeline('read', '1 day') GROUP BY 1 ORDER BY 1;
-- a snapshot is the folded state; its pending vote is not in it
SELECT s::jsonb - 'epoch' - 'at' - 'stats' AS snapshot, s -> 'stats' -> 'total' AS total FROM get_match_snapshot('read') s;
SELECT (s -> 'cells')::jsonb AS cells, s -> 'resolution' AS resolution FROM get_match_snapshot('read', 3) s;
SELECT s ->> 'epoch' = (SELECT epoch FROM get_realtime_stats('read')) AS same FROM get_match_snapshot('read') s;
-- a transaction that has voted reads its own votes, all from one moment
BEGIN;
SELECT record_vote('read', 'home', '872a1072bffffff', 'us', 100);
SELECT total_votes FROM get_realtime_stats('read');
SELECT sum(total_votes) FROM get_match_aggregates('read');
ROLLBACK;
BEGIN READ ONLY;
SELECT total_votes FROM get_realtime_stats('read');
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_transaction_id;
ROLLBACK;
-- pure
SELECT calculate_dominance('{}'), calculate_dominance('{"a": 3}'), calculate_dominance('{"a": 3, "b": 3}'), calculate_dominance('{"a": 6, "b": 1, "c": 3}'), calculate_dominance(NULL);
SELECT calculate_dominance('{"a": -1}');
SELECT calculate_dominance('{"a": "x"}');
-- refused
SELECT * FROM get_match_aggregates('read', 16);
SELECT * FROM get_match_aggregates('read', -1);
SELECT * FROM get_match_aggregates(NULL);
SELECT * FROM get_match_aggregates('read', NULL, NULL, -1);
SELECT * FROM get_match_snapshot('read', 99);
SELECT * FROM get_match_timeline('read', '30 seconds');
SELECT * FROM get_match_timeline('read', '90 seconds');
SELECT * FROM get_match_timeline('read', '1 month');
SELECT * FROM get_match_timeline('read', NULL);
SELECT * FROM get_realtime_stats('');
SELECT purge_match('read');
-- beside parallel workers, in a session that remembers nothing yet
CREATE TABLE crowd AS SELECT i FROM generate_series(1, 10000) i;
SELECT record_vote('beside', 'home', '872a1072bffffff', 'fr', 3);
\c
LOAD 'vote_agg';
SET vote_agg.worker = off;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT c.n, s.total_votes, s.active_cells, a.h3_index FROM (SELECT count(*) AS n FROM crowd) c,
    LATERAL get_realtime_stats(CASE WHEN c.n > 0 THEN 'beside' END) s, LATERAL get_match_aggregates(CASE WHEN c.n > 0 THEN 'beside' END) a;
DROP TABLE crowd;
SELECT purge_match('beside');
