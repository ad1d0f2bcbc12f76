-- Reading the past. Votes by bucket, and the match as it stood at an earlier time, are exact like all reads (see
-- 40-read.sql). Changes of leader are those that folds have announced.

CREATE FUNCTION @extschema@.get_match_timeline(match_id text, bucket interval DEFAULT '1 minute',
    "from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (bucket_start timestamptz, team_choice text, votes bigint, running_total bigint)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_timeline_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_timeline(text, interval, timestamptz, timestamptz) IS
'Votes by bucket (whole minutes, UTC) and team, those without votes too, with the running total '
'from the match''s beginning; from the bucket that "from" lies in, before "to"';
REVOKE ALL ON FUNCTION @extschema@.get_match_timeline(text, interval, timestamptz, timestamptz) FROM PUBLIC;

CREATE FUNCTION @extschema@.get_match_at(match_id text, ts timestamptz)
RETURNS TABLE (as_of timestamptz, country_code text, total_votes bigint, votes jsonb, leader text,
    dominance double precision)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 200 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_at_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_at(text, timestamptz) IS
'The match (country_code NULL) and its countries, biggest first, as they stood when the '
'minute of ts began (as_of), by the clock of the calls that recorded votes';
REVOKE ALL ON FUNCTION @extschema@.get_match_at(text, timestamptz) FROM PUBLIC;

CREATE FUNCTION @extschema@.get_match_flips(match_id text, since timestamptz DEFAULT NULL, max_rows integer DEFAULT 100)
RETURNS TABLE (at timestamptz, seq bigint, scope text, country_code text, before text, after text)
LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100 COST 1000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'get_match_flips_wrapper';
COMMENT ON FUNCTION @extschema@.get_match_flips(text, timestamptz, integer) IS
'Changes of leader that the feed has announced, of the match and of its countries, newest first: those of folds that '
'began at since or later, max_rows at the most (1 to 1000). before is NULL for a first leader, after where all votes '
'there were taken back';
REVOKE ALL ON FUNCTION @extschema@.get_match_flips(text, timestamptz, integer) FROM PUBLIC;
