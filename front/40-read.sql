-- Reading: a match at home is read there, a spread one on all shards at once, and the answers are added up. Each call
-- is exact; two calls are two moments, in one statement too. A shard that does not answer makes the call fail.

CREATE FUNCTION vote_agg_front.is_home(a_slot integer, a_match text)
RETURNS boolean LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    RUN ON a_slot;
    SELECT EXISTS (SELECT FROM vote_agg.placements(a_match) AS p WHERE p.shards IS NULL) AS is_home;
$$;
COMMENT ON FUNCTION vote_agg_front.is_home(integer, text) IS 'Is a match at home on a shard? (internal)';

CREATE FUNCTION vote_agg_front.slots_to_read(match_id text)
RETURNS integer[] LANGUAGE plpgsql STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p vote_agg_front.placement;
BEGIN
    SELECT * INTO p FROM vote_agg_front.placement AS q WHERE q.match_id = $1;
    -- Another front may have purged the match and opened it elsewhere.
    IF p.home IS NOT NULL AND vote_agg_front.is_home(p.home, match_id) THEN
        RETURN ARRAY[p.home];
    END IF;
    RETURN vote_agg_front.slots(greatest(vote_agg_front.shards(), 1));
END
$$;
COMMENT ON FUNCTION vote_agg_front.slots_to_read(text) IS 'The shards that may have votes of a match (internal)';

CREATE FUNCTION @extschema@.calculate_dominance(votes jsonb)
RETURNS double precision LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS '$libdir/vote_agg', 'calculate_dominance_wrapper';

CREATE FUNCTION vote_agg_front.merged(places text[], votes jsonb[])
RETURNS TABLE (place text, total_votes bigint, votes jsonb, leader text, dominance double precision)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 1000 SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.place, s.total, s.votes, CASE WHEN s.n[1] > greatest(s.n[2], 0) THEN s.teams[1] END,
           CASE WHEN s.total > 0 AND s.n[1] > greatest(s.n[2], 0)
                THEN (s.n[1] - greatest(s.n[2], 0))::float8 / s.total ELSE 0 END
    FROM (
        SELECT t.place, coalesce(sum(t.n), 0)::bigint AS total,
               coalesce(jsonb_object_agg(t.team, t.n) FILTER (WHERE t.team IS NOT NULL), '{}') AS votes,
               array_agg(t.n ORDER BY t.n DESC NULLS LAST) AS n, array_agg(t.team ORDER BY t.n DESC NULLS LAST) AS teams
        FROM (
            SELECT p.place, e.key AS team, sum(e.value::bigint) AS n
            FROM unnest($1, $2) AS p(place, votes) LEFT JOIN LATERAL jsonb_each_text(p.votes) AS e ON true
            GROUP BY 1, 2) AS t
        GROUP BY 1) AS s
$$;
COMMENT ON FUNCTION vote_agg_front.merged(text[], jsonb[]) IS
'Votes by team of places, of which some come several times: their sums, leaders and dominance (internal)';

CREATE FUNCTION vote_agg_front.stats_on(a_match text, a_slots integer[])
RETURNS TABLE (status text, total_votes bigint, votes jsonb, leader text, dominance double precision,
    votes_per_minute bigint, active_cells bigint, active_countries bigint, last_vote_at text, seq bigint, epoch text,
    votes_last_minute bigint, votes_last_5_minutes bigint, lead_changes bigint, last_lead_change_at text,
    last_lead_change_from text, last_lead_change_to text)
LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    SPLIT a_slots;
    RUN ON a_slots;
    SELECT s.status AS status, s.total_votes AS total_votes, s.votes AS votes, s.leader AS leader,
        s.dominance AS dominance, s.votes_per_minute AS votes_per_minute, s.active_cells AS active_cells,
        s.active_countries AS active_countries, pg_catalog.to_json(s.last_vote_at) #>> '{}' AS last_vote_at,
        s.seq AS seq, s.epoch AS epoch, s.votes_last_minute AS votes_last_minute,
        s.votes_last_5_minutes AS votes_last_5_minutes, s.lead_changes AS lead_changes,
        pg_catalog.to_json(s.last_lead_change_at) #>> '{}' AS last_lead_change_at,
        s.last_lead_change_from AS last_lead_change_from, s.last_lead_change_to AS last_lead_change_to
    FROM @extschema@.get_realtime_stats(a_match) AS s;
$$;
COMMENT ON FUNCTION vote_agg_front.stats_on(text, integer[]) IS 'get_realtime_stats of shards (internal)';

CREATE FUNCTION @extschema@.get_realtime_stats(match_id text,
    OUT status text, OUT total_votes bigint, OUT votes jsonb, OUT leader text, OUT dominance double precision,
    OUT votes_per_minute bigint, OUT active_cells bigint, OUT active_countries bigint, OUT last_vote_at timestamptz,
    OUT seq bigint, OUT epoch text, OUT votes_last_minute bigint, OUT votes_last_5_minutes bigint,
    OUT lead_changes bigint, OUT last_lead_change_at timestamptz,
    OUT last_lead_change_from text, OUT last_lead_change_to text)
RETURNS SETOF record LANGUAGE plpgsql STABLE PARALLEL UNSAFE ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    slots integer[] := vote_agg_front.slots_to_read(match_id);
BEGIN
    IF cardinality(slots) = 1 THEN
        RETURN QUERY SELECT s.status, s.total_votes, s.votes, s.leader, s.dominance, s.votes_per_minute, s.active_cells,
            s.active_countries, s.last_vote_at::timestamptz, s.seq, s.epoch, s.votes_last_minute,
            s.votes_last_5_minutes, s.lead_changes, s.last_lead_change_at::timestamptz, s.last_lead_change_from,
            s.last_lead_change_to
        FROM vote_agg_front.stats_on($1, slots) AS s;
        RETURN;
    END IF;
    -- How many cells have votes, seq, epoch and changes of leader are of one shard each: the sum of them is none.
    RETURN QUERY
        SELECT a.status, m.total_votes, m.votes, m.leader, m.dominance, a.votes_per_minute, NULL::bigint, NULL::bigint,
            a.last_vote_at, NULL::bigint, NULL::text, a.votes_last_minute, a.votes_last_5_minutes, NULL::bigint,
            NULL::timestamptz, NULL::text, NULL::text
        FROM (
            SELECT CASE
                    WHEN bool_and(s.status = 'unknown') THEN 'unknown'
                    WHEN bool_and(s.status IN ('final', 'unknown')) THEN 'final'
                    WHEN bool_or(s.status = 'open') THEN 'open'
                    WHEN bool_or(s.status = 'scheduled') THEN 'scheduled'
                    ELSE 'closed' END AS status,
                array_agg(NULL::text) AS places, array_agg(s.votes) AS all_votes,
                sum(s.votes_per_minute)::bigint AS votes_per_minute, max(s.last_vote_at::timestamptz) AS last_vote_at,
                sum(s.votes_last_minute)::bigint AS votes_last_minute,
                sum(s.votes_last_5_minutes)::bigint AS votes_last_5_minutes
            FROM vote_agg_front.stats_on($1, slots) AS s) AS a
        CROSS JOIN LATERAL vote_agg_front.merged(a.places, a.all_votes) AS m;
END
$$;

CREATE FUNCTION vote_agg_front.cells_on(a_match text, a_resolution integer, a_min bigint, a_max integer,
    a_bbox double precision[], a_leader text, a_smooth integer, a_slots integer[])
RETURNS TABLE (h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text,
    dominance double precision)
LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    SPLIT a_slots;
    RUN ON a_slots;
    SELECT c.h3_index AS h3_index, c.resolution AS resolution, c.total_votes AS total_votes, c.votes AS votes,
        c.leader AS leader, c.dominance AS dominance
    FROM @extschema@.get_match_aggregates(a_match, a_resolution, a_min, a_max, a_bbox, a_leader, a_smooth) AS c;
$$;
COMMENT ON FUNCTION
    vote_agg_front.cells_on(text, integer, bigint, integer, double precision[], text, integer, integer[]) IS
'get_match_aggregates of shards (internal)';

CREATE FUNCTION vote_agg_front.cells(a_match text, a_resolution integer, a_min bigint, a_max integer,
    a_bbox double precision[], a_leader text, a_smooth integer)
RETURNS TABLE (h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text,
    dominance double precision)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE ROWS 1000 SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    slots integer[] := vote_agg_front.slots_to_read(a_match);
BEGIN
    IF cardinality(slots) = 1 THEN
        RETURN QUERY SELECT * FROM vote_agg_front.cells_on(a_match, a_resolution, a_min, a_max, a_bbox, a_leader,
            a_smooth, slots);
        RETURN;
    END IF;
    IF a_smooth BETWEEN 1 AND 5 THEN
        RAISE feature_not_supported USING
            MESSAGE = 'a front smooths no match that is on many shards',
            HINT = 'Leave smooth out, or ask the root.';
    END IF;
    -- What a shard refuses goes there: a number below zero, a name that is none.
    RETURN QUERY
        SELECT m.place, r.resolution, m.total_votes, m.votes, m.leader, m.dominance
        FROM (SELECT array_agg(c.h3_index) AS places, array_agg(c.votes) AS votes,
                     jsonb_object_agg(c.h3_index, c.resolution) AS resolutions
              FROM vote_agg_front.cells_on(a_match, a_resolution, 1, CASE WHEN a_max < 0 THEN a_max END, a_bbox,
                  CASE WHEN NOT vote_agg_front.is_name(a_leader) THEN a_leader END, a_smooth, slots) AS c) AS a
        CROSS JOIN LATERAL vote_agg_front.merged(a.places, a.votes) AS m
        CROSS JOIN LATERAL (SELECT (a.resolutions ->> m.place)::integer AS resolution) AS r
        WHERE m.total_votes >= coalesce(a_min, 1) AND (a_leader IS NULL OR m.leader = a_leader)
        ORDER BY m.total_votes DESC, m.place COLLATE "C"
        LIMIT CASE WHEN a_max >= 0 THEN a_max END;
END
$$;
COMMENT ON FUNCTION vote_agg_front.cells(text, integer, bigint, integer, double precision[], text, integer) IS
'The cells of get_match_aggregates, added up (internal)';

CREATE FUNCTION @extschema@.get_match_aggregates(match_id text, resolution integer DEFAULT NULL,
    min_votes bigint DEFAULT 1, max_cells integer DEFAULT NULL,
    bbox double precision[] DEFAULT NULL, leader text DEFAULT NULL, smooth integer DEFAULT 0)
RETURNS TABLE (h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text,
    dominance double precision)
LANGUAGE sql STABLE PARALLEL UNSAFE ROWS 1000 SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM vote_agg_front.cells($1, $2, $3, $4, $5, $6, $7)
$$;

CREATE FUNCTION vote_agg_front.is_name(name text)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT octet_length($1) BETWEEN 1 AND 200 AND $1 !~ '[\u0001-\u001f\u007f-\u009f]'
$$;
COMMENT ON FUNCTION vote_agg_front.is_name(text) IS 'Can it be a name of a team? (internal)';

CREATE FUNCTION @extschema@.get_top_cells(match_id text, n integer, team text DEFAULT NULL, by text DEFAULT 'votes')
RETURNS TABLE (h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text,
    dominance double precision)
LANGUAGE plpgsql STABLE PARALLEL UNSAFE ROWS 10 SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF $4 IS NULL OR $4 NOT IN ('votes', 'dominance') THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('by must be "votes" or "dominance", not %s', coalesce('"' || $4 || '"', 'NULL')),
            HINT = 'Pass one of the two.';
    ELSIF $2 < 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('n must not be negative, not %s', $2),
            HINT = 'Pass how many to keep, or NULL for all.';
    ELSIF NOT vote_agg_front.is_name($3) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'team is no name',
            HINT = 'Names have 1 to 200 bytes of UTF-8 without control characters.';
    END IF;
    RETURN QUERY
        SELECT c.* FROM @extschema@.get_match_aggregates($1) AS c
        CROSS JOIN LATERAL (
            SELECT CASE WHEN $3 IS NULL THEN c.total_votes ELSE coalesce((c.votes ->> $3)::bigint, 0) END
                AS of_team) AS t
        WHERE CASE WHEN $4 = 'votes' THEN t.of_team > 0 ELSE $3 IS NULL OR c.leader = $3 END
        ORDER BY CASE WHEN $4 = 'dominance' THEN c.dominance END DESC, t.of_team DESC, c.h3_index COLLATE "C" LIMIT $2;
END
$$;

CREATE FUNCTION vote_agg_front.cell_on(a_match text, a_cell text, a_slots integer[])
RETURNS TABLE (n bigint, relation text, h3_index text, resolution integer, votes jsonb) LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    SPLIT a_slots;
    RUN ON a_slots;
    SELECT c.n AS n, c.relation AS relation, c.h3_index AS h3_index, c.resolution AS resolution, c.votes AS votes
    FROM @extschema@.get_cell(a_match, a_cell) WITH ORDINALITY
        AS c(relation, h3_index, resolution, total_votes, votes, leader, dominance, n);
$$;
COMMENT ON FUNCTION vote_agg_front.cell_on(text, text, integer[]) IS 'get_cell of shards (internal)';

CREATE FUNCTION @extschema@.get_cell(match_id text, h3_index text)
RETURNS TABLE (relation text, h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text,
    dominance double precision)
LANGUAGE sql STABLE PARALLEL UNSAFE ROWS 14 SET search_path = pg_catalog, pg_temp AS $$
    WITH a AS MATERIALIZED (SELECT * FROM vote_agg_front.cell_on($1, $2, vote_agg_front.slots_to_read($1))),
        b AS (SELECT array_agg(a.n::text) AS places, array_agg(a.votes) AS votes FROM a)
    SELECT p.relation, p.h3_index, p.resolution, m.total_votes, m.votes, m.leader, m.dominance
    FROM b CROSS JOIN LATERAL vote_agg_front.merged(b.places, b.votes) AS m
    JOIN (SELECT DISTINCT a.n, a.relation, a.h3_index, a.resolution FROM a) AS p ON p.n = m.place::bigint
    ORDER BY p.n
$$;
CREATE FUNCTION @extschema@.get_cell(match_id text, h3_index bigint)
RETURNS TABLE (relation text, h3_index text, resolution integer, total_votes bigint, votes jsonb, leader text,
    dominance double precision)
LANGUAGE sql STABLE PARALLEL UNSAFE ROWS 14 SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM @extschema@.get_cell($1, to_hex($2))
$$;

CREATE FUNCTION vote_agg_front.countries_on(a_match text, a_slots integer[])
RETURNS TABLE (country_code text, votes jsonb) LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    SPLIT a_slots;
    RUN ON a_slots;
    SELECT c.country_code AS country_code, c.votes AS votes FROM @extschema@.get_country_aggregates(a_match, 1) AS c;
$$;
COMMENT ON FUNCTION vote_agg_front.countries_on(text, integer[]) IS 'get_country_aggregates of shards (internal)';

CREATE FUNCTION @extschema@.get_country_aggregates(match_id text, min_votes bigint DEFAULT 1)
RETURNS TABLE (country_code text, total_votes bigint, votes jsonb, leader text, dominance double precision)
LANGUAGE sql STABLE PARALLEL UNSAFE ROWS 200 SET search_path = pg_catalog, pg_temp AS $$
    SELECT m.* FROM (
        SELECT array_agg(c.country_code) AS places, array_agg(c.votes) AS votes
        FROM vote_agg_front.countries_on($1, vote_agg_front.slots_to_read($1)) AS c) AS a
    CROSS JOIN LATERAL vote_agg_front.merged(a.places, a.votes) AS m
    WHERE m.total_votes >= coalesce($2, 1) ORDER BY m.total_votes DESC, m.place COLLATE "C"
$$;

CREATE FUNCTION vote_agg_front.at_on(a_match text, a_ts text, a_slots integer[])
RETURNS TABLE (as_of text, country_code text, votes jsonb) LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    SPLIT a_slots;
    RUN ON a_slots;
    SELECT pg_catalog.to_json(c.as_of) #>> '{}' AS as_of, c.country_code AS country_code, c.votes AS votes
    FROM @extschema@.get_match_at(a_match, a_ts::timestamptz) AS c;
$$;
COMMENT ON FUNCTION vote_agg_front.at_on(text, text, integer[]) IS 'get_match_at of shards (internal)';

CREATE FUNCTION @extschema@.get_match_at(match_id text, ts timestamptz)
RETURNS TABLE (as_of timestamptz, country_code text, total_votes bigint, votes jsonb, leader text,
    dominance double precision)
LANGUAGE sql STABLE PARALLEL UNSAFE ROWS 200 SET search_path = pg_catalog, pg_temp AS $$
    SELECT a.as_of, m.* FROM (
        SELECT max(c.as_of::timestamptz) AS as_of, array_agg(c.country_code) AS places, array_agg(c.votes) AS votes
        FROM vote_agg_front.at_on($1, to_json($2) #>> '{}', vote_agg_front.slots_to_read($1)) AS c) AS a
    CROSS JOIN LATERAL vote_agg_front.merged(a.places, a.votes) AS m
    WHERE m.place IS NULL OR m.total_votes > 0 ORDER BY m.place IS NOT NULL, m.total_votes DESC, m.place COLLATE "C"
$$;

-- The whole line of each shard up to the end: what it counted before "from" is in the running total.
CREATE FUNCTION vote_agg_front.line_on(a_match text, a_bucket interval, a_to text, a_slots integer[])
RETURNS TABLE (slot integer, bucket_start text, team_choice text, votes bigint, running_total bigint)
LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    SPLIT a_slots;
    RUN ON a_slots;
    SELECT (a_slots)[1] AS slot, pg_catalog.to_json(t.bucket_start) #>> '{}' AS bucket_start,
        t.team_choice AS team_choice, t.votes AS votes, t.running_total AS running_total
    FROM @extschema@.get_match_timeline(a_match, a_bucket, NULL, a_to::timestamptz) AS t;
$$;
COMMENT ON FUNCTION vote_agg_front.line_on(text, interval, text, integer[]) IS
'get_match_timeline of shards (internal)';

CREATE FUNCTION @extschema@.get_match_timeline(match_id text, bucket interval DEFAULT '1 minute',
    "from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL)
RETURNS TABLE (bucket_start timestamptz, team_choice text, votes bigint, running_total bigint)
LANGUAGE sql STABLE PARALLEL UNSAFE ROWS 100 SET search_path = pg_catalog, pg_temp SET intervalstyle = iso_8601 AS $$
    WITH line AS MATERIALIZED (
        SELECT l.slot, l.bucket_start::timestamptz AS bucket_start, l.team_choice, l.votes, l.running_total
        FROM vote_agg_front.line_on($1, $2, to_json($4) #>> '{}', vote_agg_front.slots_to_read($1)) AS l),
    opened AS (
        SELECT o.team_choice, sum(o.before) AS before FROM (
            SELECT DISTINCT ON (l.slot, l.team_choice) l.team_choice, l.running_total - l.votes AS before
            FROM line AS l ORDER BY l.slot, l.team_choice, l.bucket_start) AS o
        GROUP BY 1),
    sums AS (
        SELECT b.bucket_start, o.team_choice, coalesce(sum(l.votes), 0) AS votes, o.before
        FROM (SELECT generate_series(min(l.bucket_start), max(l.bucket_start), $2) AS bucket_start FROM line AS l) AS b
        CROSS JOIN opened AS o
        LEFT JOIN line AS l ON l.bucket_start = b.bucket_start AND l.team_choice = o.team_choice
        GROUP BY 1, 2, 4)
    SELECT r.* FROM (
        SELECT s.bucket_start, s.team_choice, s.votes::bigint,
               (s.before + sum(s.votes) OVER (PARTITION BY s.team_choice ORDER BY s.bucket_start))::bigint
        FROM sums AS s) AS r
    WHERE $3 IS NULL OR r.bucket_start + $2 > $3
    ORDER BY 1, 2
$$;
