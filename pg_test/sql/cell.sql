-- Cells as votes name them.
LOAD 'vote_agg';
SET vote_agg.worker = off;
\set VERBOSITY default
\set SHOW_CONTEXT never
-- text in either case, the bigint twin, resolutions 0 and 15, a pentagon, a cell at the antimeridian
SELECT record_vote('cells', 'home', '872a1072bffffff');
SELECT record_vote('cells', 'home', '872A1072BFFFFFF');
SELECT record_vote('cells', 'home', 608725951823478783::bigint);
SELECT record_vote('cells', 'home', '8001fffffffffff');
SELECT record_vote('cells', 'home', '8f2a1072b59b0db');
SELECT record_vote('cells', 'home', '8009fffffffffff');
SELECT record_vote('cells', 'home', '807ffffffffffff');
SELECT record_vote('cells', 'home', NULL::text);
SELECT record_vote('cells', 'home', NULL::bigint);
SELECT h3_index, resolution, total_votes FROM get_match_aggregates('cells') ORDER BY h3_index;
SELECT total_votes, active_cells FROM get_realtime_stats('cells');
-- what is no cell changes nothing
SELECT record_vote('cells', 'home', '');
SELECT record_vote('cells', 'home', 'zebra');
SELECT record_vote('cells', 'home', ' 872a1072bffffff');
SELECT record_vote('cells', 'home', '+872a1072bffffff');
SELECT record_vote('cells', 'home', '872a1072bffffff0');
SELECT record_vote('cells', 'home', '872a1072bffff0f');
SELECT record_vote('cells', 'home', 'ffffffffffffffff');
SELECT record_vote('cells', 'home', 0::bigint);
SELECT record_vote('cells', 'home', -1::bigint);
-- a deleted subsequence of a pentagon, and a directed edge
SELECT record_vote('cells', 'home', '81087ffffffffff');
SELECT record_vote('cells', 'home', '1172a1072bffffff');
-- coarsening
SELECT increment_h3_aggregate('coarse', '8f2a1072b59b0db', 0, 'home');
SELECT increment_h3_aggregate('coarse', '8f2a1072b59b0db', 15, 'home');
SELECT increment_h3_aggregate('coarse', '8f2a1072b59b0db', NULL, 'home');
SELECT increment_h3_aggregate('coarse', 608725951823478783::bigint, 3, 'away', 4);
SELECT increment_h3_aggregate('coarse', '872a1072bffffff', 8, 'home');
SELECT increment_h3_aggregate('coarse', '872a1072bffffff', 16, 'home');
SELECT increment_h3_aggregate('coarse', '872a1072bffffff', -1, 'home');
SELECT increment_h3_aggregate('coarse', NULL::text, 3, 'home');
SELECT h3_index, resolution, votes FROM get_match_aggregates('coarse') ORDER BY h3_index;
SELECT total_votes FROM get_realtime_stats('cells');
SELECT purge_match('cells'), purge_match('coarse');
