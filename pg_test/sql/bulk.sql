-- Many votes in one call: all or nothing, and only distinct sums are appended.
LOAD 'vote_agg';
SET vote_agg.worker = off;
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT bulk_increment('[]'::jsonb);
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": "home"},
    {"match_id": "bulk", "team_choice": "home", "h3_index": "8f2a1072b59b0db", "resolution": 7, "country_code": "us", "votes": 2},
    {"matchId": "bulk", "teamChoice": "home", "h3Index": "872a1072bffffff", "countryCode": "US", "votes": 3},
    {"match_id": "bulk", "team_choice": "away", "h3_index": 608725951823478783, "country_code": null, "votes": null},
    {"match_id": "bulk 2", "team_choice": "x", "votes": 7}]');
SELECT match_id, total_votes, votes FROM vote_agg.live ORDER BY 1;
SELECT h3_index, votes FROM get_match_aggregates('bulk');
-- 5 elements, 4 distinct sums: one row each
SELECT sum(rows) FROM vote_agg.stat_pending;
SELECT bulk_increment('bulk', ARRAY['home', 'away', 'home', 'home'], ARRAY[608725951823478783, NULL, 608725951823478783, NULL], ARRAY['us', 'fr', 'US', NULL], ARRAY[1, 10, 100, 1000]);
SELECT bulk_increment('bulk', ARRAY['home', 'third']);
SELECT bulk_increment('bulk', ARRAY[]::text[]);
SELECT bulk_update_aggregates('[{"match_id": "bulk", "team_choice": "third"}]'), bulk_update_aggregates('bulk', ARRAY['third']);
SELECT country_code, votes FROM get_country_aggregates('bulk') ORDER BY 1;
SELECT total_votes, votes FROM get_realtime_stats('bulk');
-- each refusal names the element, and counts nothing of the call
SELECT bulk_increment(NULL::jsonb);
SELECT bulk_increment('{}');
SELECT bulk_increment('3');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": "home"}, 7]');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": "home"}, {"team_choice": "home"}]');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": ""}]');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": "home", "voterid": "x"}]');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": "home", "votes": "3"}]');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": "home", "votes": 1.5}]');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": "home", "votes": 0}]');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": "home", "votes": 1000000000001}]');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": "home", "votes": 99999999999999999999}]');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": ["home"]}]');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": "home", "h3_index": true}]');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": "home", "h3_index": "872a1072bffffff", "resolution": 9}]');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": "home", "country_code": "EU"}]');
SELECT bulk_increment(NULL, ARRAY['home']);
SELECT bulk_increment('bulk', NULL::text[]);
SELECT bulk_increment('bulk', ARRAY['home', NULL]);
SELECT bulk_increment('bulk', ARRAY['home', 'away'], ARRAY[608725951823478783]);
SELECT bulk_increment('bulk', ARRAY['home', 'away'], NULL, ARRAY['fr', 'xx']);
SELECT bulk_increment('bulk', ARRAY['home', 'away'], NULL, NULL, ARRAY[1, NULL]);
SELECT bulk_increment('bulk', ARRAY['home', 'away'], ARRAY[608725951823478783, 1]);
SELECT total_votes, votes FROM get_realtime_stats('bulk');
-- a match that refuses a vote is named with the first element that it refuses, in either form
SELECT open_match('listed', ARRAY['home', 'away']), open_match('over', NULL, '2000-01-01', '2001-01-01'), open_match('early', NULL, '2999-01-01');
SELECT bulk_increment('[{"match_id": "bulk", "team_choice": "home"}, {"match_id": "over", "team_choice": "a"}, {"match_id": "listed", "team_choice": "third"}]');
SELECT bulk_increment('[{"match_id": "listed", "team_choice": "home"}, {"match_id": "listed", "team_choice": "third"}, {"match_id": "early", "team_choice": "a"}]');
SELECT bulk_increment('[{"match_id": "listed", "team_choice": "home"}, {"matchId": "early", "teamChoice": "a", "voterId": "ann"}]');
SELECT bulk_increment('listed', ARRAY['home', 'away', 'third', 'fourth']);
SELECT bulk_increment('over', ARRAY['home']);
SET vote_agg.auto_open = off;
SELECT bulk_increment('[{"match_id": "listed", "team_choice": "home"}, {"match_id": "unheard of", "team_choice": "a"}]');
RESET vote_agg.auto_open;
SET vote_agg.max_teams = 3;
SELECT bulk_increment('free', ARRAY['a', 'b', 'a', 'c', 'd', 'e']);
SELECT bulk_increment('free', ARRAY['a', 'b', 'a', 'c']);
SELECT bulk_increment('[{"match_id": "listed", "team_choice": "home"}, {"match_id": "free", "team_choice": "a"}, {"match_id": "free", "team_choice": "d"}]');
RESET vote_agg.max_teams;
SELECT purge_match('free'), purge_match('listed'), purge_match('over'), purge_match('early');
-- big: 100,000 votes over 7^4 cells, against a plain recount
CREATE TEMP TABLE big AS
SELECT CASE WHEN i % 3 = 0 THEN 'home' ELSE 'away' END AS team, 608725921037287423 + (i % 7)::bigint * (1::bigint << 33)
    + (i / 7 % 7)::bigint * (1::bigint << 30) + (i / 49 % 7)::bigint * (1::bigint << 27) + (i / 343 % 7)::bigint * (1::bigint << 24) AS cell
FROM generate_series(1, 100000) i;
SELECT bulk_increment('big', array_agg(team), array_agg(cell)) FROM big;
SELECT bulk_increment(jsonb_agg(jsonb_build_object('match_id', 'big', 'team_choice', team, 'h3_index', lpad(to_hex(cell), 15, '0')))) FROM big;
SELECT vote_agg.fold() BETWEEN 4802 AND 9700;
CREATE TEMP VIEW counted AS SELECT h3_index, total_votes FROM get_match_aggregates('big');
CREATE TEMP VIEW recounted AS SELECT to_hex(cell) AS h3_index, 2 * count(*) AS total_votes FROM big GROUP BY cell;
SELECT count(*) FROM ((TABLE counted EXCEPT ALL TABLE recounted) UNION ALL (TABLE recounted EXCEPT ALL TABLE counted)) d;
SELECT total_votes, votes, active_cells FROM get_realtime_stats('big');
SELECT purge_match('bulk'), purge_match('bulk 2'), purge_match('big');
