-- Reading the time line: votes by bucket, and the match as it stood at an earlier time. Exact like all reads
-- (see 40-read.sql).

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
