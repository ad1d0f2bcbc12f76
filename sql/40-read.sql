-- Reading: aggregates plus what is pending, in the caller's snapshot, so exact at any moment. STABLE and without a
-- transaction id, so they run on a hot standby too. SECURITY DEFINER, because nobody reads the tables directly.

CREATE FUNCTION @extschema@.get_realtime_stats(match_id text,
    OUT status text, OUT total_votes bigint, OUT votes jsonb, OUT leader text, OUT dominance double precision,
    OUT votes_per_minute bigint, OUT active_cells bigint, OUT active_countries bigint, OUT last_vote_at timestamptz,
    OUT seq bigint, OUT epoch text, OUT votes_last_minute bigint, OUT votes_last_5_minutes bigint,
    OUT lead_changes bigint, OUT last_lead_change_at timestamptz,
    OUT last_lead_change_from text, OUT last_lead_change_to text)
RETURNS SETOF record LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1 COST 100 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_realtime_stats_wrapper';
COMMENT ON FUNCTION @extschema@.get_realtime_stats(text) IS
'The match at this moment, one row, at a cost that does not grow with its votes or cells; votes_last_minute and '
'votes_last_5_minutes are those of the last whole minutes, lead changes those announced by the last fold';
REVOKE ALL ON FUNCTION @extschema@.get_realtime_stats(text) FROM PUBLIC;

CREATE FUNCTION @extschema@.get_match_aggregates(match_id text, resolution integer DEFAULT NULL,
    min_votes bigint DEFAULT 1, max_cells integer DEFAULT NULL,
    bbox double precision[] DEFAULT NULL, leader text DEFAULT NULL, smooth integer DEFAULT 0)
RETURNS TABLE (h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text,
    dominance double precision)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1000 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_aggregates_wrapper';
COMMENT ON FUNCTION
    @extschema@.get_match_aggregates(text, integer, bigint, integer, double precision[], text, integer) IS
'The match by cell, rolled up to resolution (coarser cells stay as they are), biggest first; max_cells keeps the '
'biggest. bbox {west, south, east, north} in degrees keeps cells whose centre is in it (west above east crosses the '
'antimeridian), leader those where that team leads. smooth rings (0 to 5) let the neighbourhood decide who leads and '
'by how much, where a cell d steps away weighs smooth + 1 - d; votes stay as they were counted';
REVOKE ALL ON FUNCTION
    @extschema@.get_match_aggregates(text, integer, bigint, integer, double precision[], text, integer) FROM PUBLIC;

CREATE FUNCTION @extschema@.get_country_aggregates(match_id text, min_votes bigint DEFAULT 1)
RETURNS TABLE (country_code text, total_votes bigint, votes jsonb, leader text, dominance double precision)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 200 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_country_aggregates_wrapper';
COMMENT ON FUNCTION @extschema@.get_country_aggregates(text, bigint) IS 'The match by country, biggest first';
REVOKE ALL ON FUNCTION @extschema@.get_country_aggregates(text, bigint) FROM PUBLIC;

CREATE FUNCTION @extschema@.get_match_changes(match_id text, since_seq bigint)
RETURNS TABLE (seq bigint, at timestamptz, body json, resync boolean)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_changes_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_changes(text, bigint) IS
'The feed past since_seq; where that is no longer (or not yet) '
'known, one row with resync = true: start from a snapshot';
REVOKE ALL ON FUNCTION @extschema@.get_match_changes(text, bigint) FROM PUBLIC;

CREATE FUNCTION @extschema@.get_match_snapshot(match_id text, resolution integer DEFAULT NULL)
RETURNS json LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_snapshot_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_snapshot(text, integer) IS
'The folded state of the match with its seq and epoch: what a '
'follower starts from, then applying changes past that seq';
REVOKE ALL ON FUNCTION @extschema@.get_match_snapshot(text, integer) FROM PUBLIC;

CREATE FUNCTION @extschema@.get_match_update(match_id text, since_seq bigint)
RETURNS json LANGUAGE c STABLE PARALLEL RESTRICTED COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_update_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_update(text, bigint) IS
'All that changed after since_seq (0: everything) as one message with prev = since_seq, however '
'much it is and whatever the feed still keeps; without what arrived and changes of leader. Where '
'only a snapshot helps it says "resync": true. NULL before the first fold';
REVOKE ALL ON FUNCTION @extschema@.get_match_update(text, bigint) FROM PUBLIC;

CREATE FUNCTION @extschema@.calculate_dominance(votes jsonb)
RETURNS double precision LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'calculate_dominance_wrapper';
COMMENT ON FUNCTION @extschema@.calculate_dominance(jsonb) IS
'(leader - runner-up) / total of votes by team, 0 to 1; 0 in a tie or without votes';
