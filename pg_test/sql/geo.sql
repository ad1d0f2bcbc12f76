-- Pure functions about cells and points: NULL in NULL out, twins, limits.
LOAD 'vote_agg';
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT count(*) FROM h3_neighbors(NULL::text);
SELECT h3_parent(NULL::text, 3), h3_parent('872a1072bffffff', NULL), h3_from_lat_lng(NULL, 0, 3), h3_to_geojson(NULL::bigint);
SELECT h3_neighbors('872a1072bffffff');
SELECT to_hex(h3_neighbors(608725951823478783));
SELECT count(*), count(DISTINCT n) FROM h3_neighbors('872a1072bffffff', 3) AS n;
SELECT count(*) FROM h3_neighbors('872a1072bffffff', 0);
SELECT count(*) FROM h3_neighbors('872a1072bffffff', 500);
-- a pentagon has five
SELECT count(*) FROM h3_neighbors('8009fffffffffff');
SELECT h3_parent('8f2a1072b59b0db', r) FROM generate_series(0, 15, 5) r;
SELECT h3_parent(608725951823478783, 3), to_hex(h3_parent(608725951823478783, 7));
SELECT r, h3_from_lat_lng(40.69, -74.04, r) FROM generate_series(0, 15, 5) r;
SELECT h3_from_lat_lng(90, 0, 2) = h3_from_lat_lng(90, 77, 2) AS pole, h3_from_lat_lng(-17, 180, 9) = h3_from_lat_lng(-17, -180, 9) AS antimeridian,
       h3_from_lat_lng(1, 361, 9) = h3_from_lat_lng(1, 1, 9) AS round_the_world;
SELECT h3_to_geojson('872a1072bffffff');
SELECT h3_to_geojson(608725951823478783)::text = h3_to_geojson('872a1072bffffff')::text AS twin;
-- a class III pentagon has ten corners; a cell on the antimeridian has two parts; around a pole runs the map's rim
SELECT json_array_length(h3_to_geojson('81083ffffffffff')->'coordinates'->0) - 1 AS corners;
SELECT h3_to_geojson(h3_from_lat_lng(-17, 180, 3));
SELECT h3_to_geojson(h3_from_lat_lng(-90, 0, 0));
-- what is refused
SELECT h3_neighbors('zebra');
\echo :SQLSTATE
SELECT h3_neighbors(0::bigint);
\echo :SQLSTATE
SELECT h3_neighbors('872a1072bffffff', -1);
\echo :SQLSTATE
SELECT h3_neighbors('872a1072bffffff', 501);
\echo :SQLSTATE
SELECT h3_parent('872a1072bffffff', 8);
\echo :SQLSTATE
SELECT h3_parent('872a1072bffffff', 16);
\echo :SQLSTATE
SELECT h3_parent(-1::bigint, 3);
\echo :SQLSTATE
SELECT h3_from_lat_lng(90.5, 0, 3);
\echo :SQLSTATE
SELECT h3_from_lat_lng('NaN', 0, 3);
\echo :SQLSTATE
SELECT h3_from_lat_lng(0, '-Infinity', 3);
\echo :SQLSTATE
SELECT h3_from_lat_lng(0, 0, -1);
\echo :SQLSTATE
SELECT h3_to_geojson('872a1072bffff0f');
\echo :SQLSTATE
