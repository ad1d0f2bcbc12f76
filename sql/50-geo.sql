-- Cells and points: pure functions, which anybody may run. Each that takes a cell as text has a twin that takes its
-- 64 bits, without a default up to that argument, so that no call is ambiguous.

CREATE FUNCTION @extschema@.h3_neighbors(h3_index text, k integer DEFAULT 1)
RETURNS SETOF text LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 6 AS 'MODULE_PATHNAME', 'h3_neighbors_wrapper';
COMMENT ON FUNCTION @extschema@.h3_neighbors(text, integer) IS
'The cells up to k steps (0 to 500) away, nearest first, without the cell itself; a pentagon has five neighbours';

CREATE FUNCTION @extschema@.h3_neighbors(h3_index bigint, k integer DEFAULT 1)
RETURNS SETOF bigint LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 6 AS 'MODULE_PATHNAME', 'h3_neighbors_wrapper';
COMMENT ON FUNCTION @extschema@.h3_neighbors(bigint, integer) IS
'The cells up to k steps (0 to 500) away, nearest first, without the cell itself; a pentagon has five neighbours';

CREATE FUNCTION @extschema@.h3_parent(h3_index text, resolution integer)
RETURNS text LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'h3_parent_wrapper';
COMMENT ON FUNCTION @extschema@.h3_parent(text, integer) IS
'The cell of a resolution (0 up to the cell''s own) that the cell belongs to';

CREATE FUNCTION @extschema@.h3_parent(h3_index bigint, resolution integer)
RETURNS bigint LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'h3_parent_wrapper';
COMMENT ON FUNCTION @extschema@.h3_parent(bigint, integer) IS
'The cell of a resolution (0 up to the cell''s own) that the cell belongs to';

CREATE FUNCTION @extschema@.h3_from_lat_lng(lat double precision, lng double precision, resolution integer)
RETURNS text LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'h3_from_lat_lng_wrapper';
COMMENT ON FUNCTION @extschema@.h3_from_lat_lng(double precision, double precision, integer) IS
'The cell of a resolution (0 to 15) around a point, in degrees; lat runs from -90 to 90, lng goes round the world';

CREATE FUNCTION @extschema@.h3_to_geojson(h3_index text)
RETURNS json LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'h3_to_geojson_wrapper';
COMMENT ON FUNCTION @extschema@.h3_to_geojson(text) IS
'The cell as a GeoJSON geometry (RFC 7946): a Polygon, or a MultiPolygon where the antimeridian cuts it';

CREATE FUNCTION @extschema@.h3_to_geojson(h3_index bigint)
RETURNS json LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'h3_to_geojson_wrapper';
COMMENT ON FUNCTION @extschema@.h3_to_geojson(bigint) IS
'The cell as a GeoJSON geometry (RFC 7946): a Polygon, or a MultiPolygon where the antimeridian cuts it';
