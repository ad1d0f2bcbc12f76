-- One name each, for callers that tell functions apart by their names and those of their arguments only (PostgREST).
-- A function that takes a cell as text has a twin of the same name that takes 64 bits. These have none: a cell is text
-- here.

CREATE FUNCTION @extschema@.rpc_record_vote(match_id text, team_choice text, h3_index text DEFAULT NULL,
    country_code text DEFAULT NULL, votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'record_vote_wrapper';
COMMENT ON FUNCTION @extschema@.rpc_record_vote(text, text, text, text, bigint) IS
'record_vote under a name that no other function has';
REVOKE ALL ON FUNCTION @extschema@.rpc_record_vote(text, text, text, text, bigint) FROM PUBLIC;

CREATE FUNCTION @extschema@.rpc_increment_h3_aggregate(match_id text, h3_index text, resolution integer,
    team_choice text, votes bigint DEFAULT 1)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'increment_h3_aggregate_wrapper';
COMMENT ON FUNCTION @extschema@.rpc_increment_h3_aggregate(text, text, integer, text, bigint) IS
'increment_h3_aggregate under a name that no other function has';
REVOKE ALL ON FUNCTION @extschema@.rpc_increment_h3_aggregate(text, text, integer, text, bigint) FROM PUBLIC;

CREATE FUNCTION @extschema@.rpc_cast_vote(match_id text, voter_id text, team_choice text, h3_index text DEFAULT NULL,
    country_code text DEFAULT NULL)
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'cast_vote_wrapper';
COMMENT ON FUNCTION @extschema@.rpc_cast_vote(text, text, text, text, text) IS
'cast_vote under a name that no other function has';
REVOKE ALL ON FUNCTION @extschema@.rpc_cast_vote(text, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.rpc_get_cell(match_id text, h3_index text)
RETURNS TABLE (relation text, h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text,
    dominance double precision) LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 14 COST 1000 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS 'MODULE_PATHNAME', 'get_cell_wrapper';
COMMENT ON FUNCTION @extschema@.rpc_get_cell(text, text) IS
'get_cell under a name that no other function has';
REVOKE ALL ON FUNCTION @extschema@.rpc_get_cell(text, text) FROM PUBLIC;

CREATE FUNCTION @extschema@.rpc_h3_neighbors(h3_index text, k integer DEFAULT 1)
RETURNS SETOF text LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 6 AS 'MODULE_PATHNAME', 'h3_neighbors_wrapper';
COMMENT ON FUNCTION @extschema@.rpc_h3_neighbors(text, integer) IS
'h3_neighbors under a name that no other function has';

CREATE FUNCTION @extschema@.rpc_h3_parent(h3_index text, resolution integer)
RETURNS text LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'h3_parent_wrapper';
COMMENT ON FUNCTION @extschema@.rpc_h3_parent(text, integer) IS
'h3_parent under a name that no other function has';

CREATE FUNCTION @extschema@.rpc_h3_to_geojson(h3_index text)
RETURNS json LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'h3_to_geojson_wrapper';
COMMENT ON FUNCTION @extschema@.rpc_h3_to_geojson(text) IS
'h3_to_geojson under a name that no other function has';
