-- Small inputs, each right or refused; and callers that tell functions apart by their names and those of their arguments only.
SET vote_agg.worker = off;
LOAD 'vote_agg';
SET vote_agg.worker = off;

-- a resolution is one with or without a cell
SELECT bulk_increment('[{"match_id": "s", "team_choice": "a", "resolution": 99}]');
SELECT bulk_increment('[{"match_id": "s", "team_choice": "a", "resolution": -1}]');
SELECT bulk_increment('[{"match_id": "s", "team_choice": "a", "resolution": 16, "h3_index": null}]');
SELECT bulk_increment('[{"match_id": "s", "team_choice": "a", "resolution": 15}, {"match_id": "s", "team_choice": "a", "resolution": 0}]');
-- each key has two spellings, and one value
SELECT bulk_increment('[{"match_id": "s", "matchId": "n", "team_choice": "a"}]');
SELECT bulk_increment('[{"match_id": "s", "team_choice": "a"}, {"match_id": "s", "team_choice": "a", "voterId": "v", "voter_id": "v"}]');
SELECT bulk_increment('[{"match_id": "s", "matchId": null, "team_choice": "a", "teamChoice": null}]');
-- whole numbers are whole however they are written
SELECT bulk_increment('[{"match_id": "s", "team_choice": "a", "votes": 1.0}, {"match_id": "s", "team_choice": "a", "votes": 1e2},
    {"match_id": "s", "team_choice": "a", "votes": 2.50e1}, {"match_id": "s", "team_choice": "a", "votes": 3.000, "resolution": 7.0, "h3_index": 608725951823478783.0}]');
SELECT bulk_increment('[{"match_id": "s", "team_choice": "a", "votes": 1.01}]');
SELECT bulk_increment('[{"match_id": "s", "team_choice": "a", "votes": 0.0}]');
SELECT bulk_increment('[{"match_id": "s", "team_choice": "a", "votes": 9223372036854775808.0}]');
SELECT calculate_dominance('{"a": 3.0, "b": 1e0}');
SELECT total_votes FROM get_realtime_stats('s');

-- a bucket of whole weeks begins on a Monday, as those of date_trunc
SET timezone = 'UTC';
SELECT record_vote('week', 'a'), record_vote('old', 'a'), record_vote('old', 'b');
SELECT vote_agg.fold() > 0 AS folded;
UPDATE vote_agg.timeline SET bucket = '2026-07-19 23:59' WHERE match_id = 'week';
SELECT to_char(bucket_start, 'Dy') AS starts, bucket_start, date_trunc('week', timestamptz '2026-07-19 23:59') FROM get_match_timeline('week', '7 days');
SELECT to_char(bucket_start, 'Dy') AS starts, bucket_start FROM get_match_timeline('week', '14 days');
SELECT to_char(bucket_start, 'Dy') AS starts, bucket_start FROM get_match_timeline('week', '1 day');

-- a time line has 100,000 rows at most: 50,000 minutes with two teams
UPDATE vote_agg.timeline SET bucket = '2020-01-01' WHERE match_id = 'old';
INSERT INTO vote_agg.timeline VALUES ('old', timestamptz '2020-01-01' + interval '49998 minutes', '{0,0}');
SELECT count(*) FROM get_match_timeline('old');
UPDATE vote_agg.timeline SET bucket = bucket + interval '1 minute' WHERE match_id = 'old' AND bucket > '2020-01-01';
SELECT count(*) FROM get_match_timeline('old');
UPDATE vote_agg.timeline SET bucket = bucket + interval '1 minute' WHERE match_id = 'old' AND bucket > '2020-01-01';
SELECT count(*) FROM get_match_timeline('old');
SELECT count(*) FROM get_match_timeline('old', "from" => '2020-01-01 00:01');
SELECT count(*) FROM get_match_timeline('old', '2 minutes');
SELECT count(*) > 0 AS by_day FROM get_match_timeline('old', '1 day');

-- all matches at one look at what is pending, as each by itself
CREATE TABLE parts AS SELECT bulk_increment(json_agg(json_build_object('match_id', 'm' || i % 40, 'team_choice', 't' || i % 7,
    'h3_index', CASE WHEN i % 3 = 0 THEN '872a1072bffffff' END, 'country_code', CASE WHEN i % 5 = 0 THEN 'FR' END))::jsonb) FROM generate_series(1, 999) i;
SELECT open_match('empty', '{x,y}');
SELECT count(*) AS matches FROM vote_agg.live;
SELECT vote_agg.fold() > 0 AS folded;
SELECT bulk_increment('[{"match_id": "m3", "team_choice": "new"}, {"match_id": "fresh", "team_choice": "a", "country_code": "FR"}]');
WITH one AS (
    SELECT m.match_id, s.status, s.total_votes, s.votes, s.leader, round(s.dominance::numeric, 4), s.votes_per_minute, s.active_cells, s.active_countries, s.last_vote_at
    FROM vote_agg.matches() m(match_id), get_realtime_stats(m.match_id) s)
(TABLE one EXCEPT ALL SELECT * FROM vote_agg.live) UNION ALL (SELECT * FROM vote_agg.live EXCEPT ALL TABLE one);

-- under a name without a twin
SELECT p.proname, count(*) FROM pg_proc p WHERE p.proname ~ '^(rpc_|match_tile)' GROUP BY 1 ORDER BY 1;
SELECT t.oid::regprocedure AS twin, r.oid::regprocedure AS rpc, t.proargnames = r.proargnames AND t.provolatile = r.provolatile
    AND t.prosecdef = r.prosecdef AND pg_get_expr(t.proargdefaults, 0) IS NOT DISTINCT FROM pg_get_expr(r.proargdefaults, 0) AS same
FROM pg_proc r JOIN pg_proc t ON t.proname = substr(r.proname, 5) AND t.proargtypes = r.proargtypes WHERE r.proname LIKE 'rpc\_%' ORDER BY 1;
SELECT rpc_record_vote(match_id => 'rpc', team_choice => 'a', h3_index => '872a1072bffffff');
SELECT rpc_cast_vote(match_id => 'rpc', voter_id => 'v', team_choice => 'b');
SELECT rpc_increment_h3_aggregate(match_id => 'rpc', h3_index => '872a1072bffffff', resolution => 5, team_choice => 'a', votes => 2);
SELECT votes FROM get_realtime_stats('rpc');
SELECT count(*) FROM rpc_get_cell(match_id => 'rpc', h3_index => '872a1072bffffff');
SELECT count(*) FROM rpc_h3_neighbors(h3_index => '872a1072bffffff');
SELECT rpc_h3_parent(h3_index => '872a1072bffffff', resolution => 5), rpc_h3_to_geojson(h3_index => '872a1072bffffff') IS NOT NULL AS drawn;
SELECT match_tile_query(0, 0, 0, '{"match_id": "rpc", "other": 1}') = get_match_tile('rpc', 0, 0, 0) AS same,
       match_tile_query(z => 0, x => 0, y => 0, query => '{"match_id": "rpc", "layer": "mine"}') = get_match_tile('rpc', 0, 0, 0, 'mine') AS named;
SELECT match_tile_query(0, 0, 0, '{}');
SELECT match_tile_query(0, 0, 0, NULL);
CREATE ROLE vote_agg_rpc;
SELECT vote_agg.grant_writer('vote_agg_rpc'), vote_agg.grant_reader('vote_agg_rpc');
SET ROLE vote_agg_rpc;
SELECT rpc_record_vote('rpc', 'a'), rpc_cast_vote('rpc', 'w', 'a'), length(match_tile_query(0, 0, 0, '{"match_id": "rpc"}')) > 0 AS tile;
SELECT count(*) > 1 AS live FROM vote_agg.live;
RESET ROLE;
DROP OWNED BY vote_agg_rpc;
DROP ROLE vote_agg_rpc;
DROP TABLE parts;
SELECT count(purge_match(m)) > 1 AS purged FROM vote_agg.matches() AS m;
