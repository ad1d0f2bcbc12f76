-- One vote at a time, seen at once, in every total; rolled back, in none.
LOAD 'vote_agg';
SET vote_agg.worker = off;
SET vote_agg.test_pause = off;
-- nothing yet
SELECT status, total_votes, votes, leader, dominance, votes_per_minute, active_cells, active_countries, last_vote_at, seq, epoch FROM get_realtime_stats('vote');
SELECT * FROM get_match_aggregates('vote');
SELECT * FROM get_country_aggregates('vote');
SELECT * FROM get_match_timeline('vote');
-- pending only
SELECT record_vote('vote', 'home', '872a1072bffffff', 'us');
SELECT record_vote('vote', 'away', '872a1072bffffff', 'US', 3);
SELECT record_vote('vote', 'away');
SELECT record_vote(match_id => 'vote', team_choice => 'home', country_code => 'fr', votes => 10);
SELECT increment_country_aggregate('vote', 'FR', 'home', 2);
SELECT increment_h3_aggregate('vote', '871fb4662ffffff', 7, 'home', 5);
SELECT update_h3_aggregate('vote', '871fb4662ffffff', 7, 'home'), update_country_aggregate('vote', 'de', 'away');
CREATE VIEW numbers AS SELECT * FROM (
SELECT 'stats' AS what, status AS place, total_votes AS n, votes, leader, round(dominance::numeric, 4) AS dominance, active_cells || ' ' || active_countries AS more
FROM get_realtime_stats('vote')
UNION ALL SELECT 'cell', h3_index, total_votes, votes, leader, round(dominance::numeric, 4), resolution::text FROM get_match_aggregates('vote')
UNION ALL SELECT 'country', country_code, total_votes, votes, leader, round(dominance::numeric, 4), NULL FROM get_country_aggregates('vote')
UNION ALL SELECT 'timeline', team_choice, sum(votes), NULL, NULL, NULL, max(running_total)::text FROM get_match_timeline('vote') GROUP BY team_choice) n
ORDER BY what DESC, place COLLATE "C";
SELECT * FROM numbers;
-- rolled back, as a whole and in part
BEGIN;
SELECT record_vote('vote', 'home', '872a1072bffffff', 'us');
SAVEPOINT s;
SELECT record_vote('vote', 'new team', '8001fffffffffff', 'jp', 1000);
SELECT total_votes FROM get_realtime_stats('vote');
ROLLBACK TO s;
SELECT total_votes FROM get_realtime_stats('vote');
ROLLBACK;
SELECT * FROM numbers EXCEPT ALL SELECT * FROM numbers;
SELECT total_votes FROM get_realtime_stats('vote');
-- folded: the same numbers
CREATE TABLE before AS SELECT * FROM numbers;
SELECT vote_agg.fold();
SELECT vote_agg.fold();
SELECT heap, is_current, rows FROM vote_agg.stat_pending;
(TABLE numbers EXCEPT ALL TABLE before) UNION ALL (TABLE before EXCEPT ALL TABLE numbers);
-- folded and pending together
SELECT record_vote('vote', 'third', '871fb4662ffffff', 'fr');
SELECT * FROM numbers;
DROP VIEW numbers;
DROP TABLE before;
-- names of every kind, and the limits
SELECT record_vote('Côte d''Ivoire – "final"; DROP TABLE x', E'\\back$$slash', NULL::text, 'CI');
SELECT record_vote(repeat('m', 200), repeat('é', 100));
SELECT record_vote('a', 'b', NULL::text, NULL, 1000000000000);
SELECT match_id, total_votes, votes FROM vote_agg.live ORDER BY match_id COLLATE "C";
SELECT purge_match('vote'), purge_match('Côte d''Ivoire – "final"; DROP TABLE x'), purge_match(repeat('m', 200)), purge_match('a');
SELECT count(*) FROM vote_agg.live;
