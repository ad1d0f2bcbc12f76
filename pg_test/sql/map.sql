-- Maps: boxes, leaders, smoothing, top cells, one cell, GeoJSON, tiles.
LOAD 'vote_agg';
SET vote_agg.worker = off;
\set VERBOSITY default
\set SHOW_CONTEXT never
-- a match without votes
SELECT get_match_geojson('map'), get_match_geojson('map', territories => true), length(get_match_tile('map', 0, 0, 0)), length(match_tile(0, 0, 0, 'map'));
SELECT count(*) FROM get_match_aggregates('map', bbox => '{-180, -90, 180, 90}', smooth => 2), get_top_cells('map', 3);
SELECT relation, h3_index, total_votes, votes, leader FROM get_cell('map', '8001fffffffffff');
-- New York and a neighbour, Fiji on the antimeridian, a coarse cell; folded and pending
SELECT bulk_increment('map', ARRAY['home', 'away', 'home', 'away'],
    ARRAY[('x872a1072bffffff')::bit(60)::bigint, ('x872a10728ffffff')::bit(60)::bigint, ('x' || h3_from_lat_lng(-17, 180, 3))::bit(60)::bigint, ('x8001fffffffffff')::bit(60)::bigint],
    NULL, ARRAY[3, 10, 5, 2]);
SELECT vote_agg.fold();
SELECT record_vote('map', 'home', '872a1072bffffff'), record_vote('map', 'home'), record_vote('other', 'home', '872a1072bffffff');
SELECT h3_index, total_votes, votes, leader FROM get_match_aggregates('map', bbox => '{-75, 40, -73, 41}');
SELECT h3_index, total_votes, votes, leader FROM get_match_aggregates('map', 3, bbox => '{-76, 39, -72, 42}');
SELECT h3_index, total_votes FROM get_match_aggregates('map', bbox => '{170, -20, -170, 0}');
SELECT h3_index, total_votes FROM get_match_aggregates('map', leader => 'home');
SELECT h3_index, total_votes FROM get_match_aggregates('map', leader => 'nobody');
-- New York: 2 * 4 for home, 1 * 10 for away; its votes stay
SELECT h3_index, total_votes, votes, leader, round(dominance::numeric, 3) FROM get_match_aggregates('map', bbox => '{-75, 40, -73, 41}', smooth => 1);
SELECT h3_index, total_votes, leader FROM get_top_cells('map', 2);
SELECT h3_index, total_votes, leader FROM get_top_cells('map', 2, 'home');
SELECT h3_index, total_votes, leader, dominance FROM get_top_cells('map', 9, 'away', 'dominance');
SELECT relation, h3_index, total_votes, votes, leader FROM get_cell('map', '872a1072bffffff');
SELECT count(*), sum(total_votes) FROM get_cell('map', 608725951823478783);
SELECT f->'id', f->'geometry'->'type', (f->'properties')::jsonb AS properties FROM json_array_elements(get_match_geojson('map')->'features') f;
SELECT f->'id', (f->'properties')::jsonb AS properties FROM json_array_elements(get_match_geojson('map', 3, 5, '{-180, -90, 0, 90}')->'features') f;
SELECT f->'id', f->'geometry'->'type', (f->'properties')::jsonb AS properties FROM json_array_elements(get_match_geojson('map', 3, territories => true)->'features') f;
SELECT z, length(get_match_tile('map', z, floor((-74.03 + 180) / 360 * 2 ^ z)::int, floor((1 - asinh(tand(40.685)) / pi()) / 2 * 2 ^ z)::int)) > 0 AS has_cells FROM generate_series(0, 24, 3) z;
SELECT get_match_tile('map', 9, 300, 300) AS empty, get_match_tile('map', 0, 0, 0) = match_tile(0, 0, 0, 'map') AS same;
-- what is refused
SELECT * FROM get_match_aggregates('map', bbox => '{1, 2, 3}');
\echo :SQLSTATE
SELECT * FROM get_match_aggregates('map', bbox => '{-181, 0, 0, 1}');
\echo :SQLSTATE
SELECT * FROM get_match_aggregates('map', bbox => '{0, 1, 1, NULL}');
\echo :SQLSTATE
SELECT * FROM get_match_aggregates('map', smooth => 6);
\echo :SQLSTATE
SELECT * FROM get_match_aggregates('map', leader => '');
\echo :SQLSTATE
SELECT * FROM get_top_cells('map', -1);
\echo :SQLSTATE
SELECT * FROM get_top_cells('map', 1, by => 'beauty');
\echo :SQLSTATE
SELECT * FROM get_cell('map', 'zebra');
\echo :SQLSTATE
SELECT * FROM get_cell('map', NULL::bigint);
\echo :SQLSTATE
SELECT get_match_geojson(NULL);
\echo :SQLSTATE
SELECT get_match_tile('map', 25, 0, 0);
\echo :SQLSTATE
SELECT get_match_tile('map', 3, 8, 0);
\echo :SQLSTATE
SELECT get_match_tile('map', 3, 0, NULL);
\echo :SQLSTATE
SELECT get_match_tile('map', 3, 0, 0, NULL);
\echo :SQLSTATE
SELECT purge_match('map'), purge_match('other');
