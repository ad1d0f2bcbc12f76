-- Maps: the match by cell as a map wants it. Like all reads, exact at any moment (see 40-read.sql).

CREATE FUNCTION @extschema@.get_top_cells(match_id text, n integer, team text DEFAULT NULL, by text DEFAULT 'votes')
RETURNS TABLE (h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text,
    dominance double precision)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_top_cells_wrapper';
COMMENT ON FUNCTION @extschema@.get_top_cells(text, integer, text, text) IS
'The n first cells (NULL: all) by votes, those of a team where one is named; or '
'by dominance, of the cells where that team leads; then by votes';
REVOKE ALL ON FUNCTION @extschema@.get_top_cells(text, integer, text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.get_cell(match_id text, h3_index text)
RETURNS TABLE (relation text, h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text,
    dominance double precision)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 14 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_cell_wrapper';
COMMENT ON FUNCTION @extschema@.get_cell(text, text) IS
'A cell (relation self), its parents up to resolution 0 (parent) and its '
'neighbours (neighbor), each with the votes of all cells in it';
REVOKE ALL ON FUNCTION @extschema@.get_cell(text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.get_cell(match_id text, h3_index bigint)
RETURNS TABLE (relation text, h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text,
    dominance double precision)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 14 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_cell_wrapper';
COMMENT ON FUNCTION @extschema@.get_cell(text, bigint) IS
'A cell (relation self), its parents up to resolution 0 (parent) and its '
'neighbours (neighbor), each with the votes of all cells in it';
REVOKE ALL ON FUNCTION @extschema@.get_cell(text, bigint) FROM PUBLIC;

CREATE FUNCTION @extschema@.get_match_geojson(match_id text, resolution integer DEFAULT NULL,
    min_votes bigint DEFAULT 1,
    bbox double precision[] DEFAULT NULL, territories boolean DEFAULT false)
RETURNS json LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_geojson_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_geojson(text, integer, bigint, double precision[], boolean) IS
'The match as a GeoJSON FeatureCollection (RFC 7946): the cells that get_match_aggregates returns for the same '
'arguments, with h3_index, resolution, votes, total, leader, dominance; or, as territories, cells that touch and '
'have one leader as one outline, with cells, resolution, votes, total, leader, dominance';
REVOKE ALL ON FUNCTION @extschema@.get_match_geojson(text, integer, bigint, double precision[], boolean) FROM PUBLIC;

CREATE FUNCTION @extschema@.get_match_tile(match_id text, z integer, x integer, y integer, layer text DEFAULT 'votes')
RETURNS bytea LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_tile_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_tile(text, integer, integer, integer, text) IS
'The match in a tile of the Web Mercator map, as a Mapbox vector tile 2.1 (extent 4096, buffer 64): cells of '
'resolution 1 at zoom 0, one finer for each √7 by which the map grows, with h3_index, total, leader (none in a '
'tie), dominance, and votes_ with a team''s name for each team; empty where no cell is';
REVOKE ALL ON FUNCTION @extschema@.get_match_tile(text, integer, integer, integer, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.match_tile(z integer, x integer, y integer, match_id text, layer text DEFAULT 'votes')
RETURNS bytea LANGUAGE c STABLE PARALLEL RESTRICTED COST 10000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'match_tile_wrapper';
COMMENT ON FUNCTION @extschema@.match_tile(integer, integer, integer, text, text) IS
'The tile of get_match_tile for tile servers that call a function layer, f(z, x, y, …) returns bytea';
REVOKE ALL ON FUNCTION @extschema@.match_tile(integer, integer, integer, text, text) FROM PUBLIC;

-- Bound when it is made, so that the extension's schema can be renamed.
CREATE FUNCTION @extschema@.match_tile_query(z integer, x integer, y integer, query json)
RETURNS bytea LANGUAGE sql STABLE PARALLEL RESTRICTED COST 10000 SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT @extschema@.match_tile($1, $2, $3, pg_catalog.json_extract_path_text($4, 'match_id'),
        coalesce(pg_catalog.json_extract_path_text($4, 'layer'), 'votes'));
END;
COMMENT ON FUNCTION @extschema@.match_tile_query(integer, integer, integer, json) IS
'match_tile for tile servers that pass the query of an address as json (Martin): match_id, and layer unless it is '
'votes';
REVOKE ALL ON FUNCTION @extschema@.match_tile_query(integer, integer, integer, json) FROM PUBLIC;
