-- Writing: calls for a match go to its home, or to any one of its shards. The functions have the names, arguments and
-- results of vote_agg's. A shard's refusal keeps its SQLSTATE.

CREATE FUNCTION @extschema@.record_vote(match_id text, team_choice text, h3_index text DEFAULT NULL,
    country_code text DEFAULT NULL, votes bigint DEFAULT 1)
RETURNS void LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_call(match_id);
$$;
CREATE FUNCTION @extschema@.record_vote(match_id text, team_choice text, h3_index bigint,
    country_code text DEFAULT NULL, votes bigint DEFAULT 1)
RETURNS void LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_call(match_id);
$$;
CREATE FUNCTION @extschema@.rpc_record_vote(match_id text, team_choice text, h3_index text DEFAULT NULL,
    country_code text DEFAULT NULL, votes bigint DEFAULT 1)
RETURNS void LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_call(match_id);
$$;
CREATE FUNCTION @extschema@.increment_h3_aggregate(match_id text, h3_index text, resolution integer, team_choice text,
    votes bigint DEFAULT 1)
RETURNS void LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_call(match_id);
$$;
CREATE FUNCTION @extschema@.increment_h3_aggregate(match_id text, h3_index bigint, resolution integer,
    team_choice text, votes bigint DEFAULT 1)
RETURNS void LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_call(match_id);
$$;
CREATE FUNCTION @extschema@.update_h3_aggregate(match_id text, h3_index text, resolution integer, team_choice text,
    votes bigint DEFAULT 1)
RETURNS void LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_call(match_id);
$$;
CREATE FUNCTION @extschema@.update_h3_aggregate(match_id text, h3_index bigint, resolution integer, team_choice text,
    votes bigint DEFAULT 1)
RETURNS void LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_call(match_id);
$$;
CREATE FUNCTION @extschema@.rpc_increment_h3_aggregate(match_id text, h3_index text, resolution integer,
    team_choice text, votes bigint DEFAULT 1)
RETURNS void LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_call(match_id);
$$;
CREATE FUNCTION @extschema@.increment_country_aggregate(match_id text, country_code text, team_choice text,
    votes bigint DEFAULT 1)
RETURNS void LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_call(match_id);
$$;
CREATE FUNCTION @extschema@.update_country_aggregate(match_id text, country_code text, team_choice text,
    votes bigint DEFAULT 1)
RETURNS void LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_call(match_id);
$$;
CREATE FUNCTION @extschema@.bulk_increment(match_id text, team_choices text[], h3_indexes bigint[] DEFAULT NULL,
    country_codes text[] DEFAULT NULL, votes bigint[] DEFAULT NULL)
RETURNS bigint LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_call(match_id);
$$;
CREATE FUNCTION @extschema@.bulk_update_aggregates(match_id text, team_choices text[],
    h3_indexes bigint[] DEFAULT NULL, country_codes text[] DEFAULT NULL, votes bigint[] DEFAULT NULL)
RETURNS bigint LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_call(match_id);
$$;

-- A call with the matches of its elements inside. It counts all or nothing, so one shard has to take all of it.

CREATE FUNCTION vote_agg_front.slot_of_bulk(votes jsonb)
RETURNS integer LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    homes integer[];
    calls integer;
BEGIN
    -- What is no array of objects goes to a shard, which says so.
    IF jsonb_typeof($1) IS DISTINCT FROM 'array' THEN
        RETURN 0;
    END IF;
    IF jsonb_path_exists($1, '$[*] ? (@.voter_id != null || @.voterId != null)') THEN
        RAISE feature_not_supported USING
            MESSAGE = 'a front takes no voter_id in a bulk call',
            DETAIL = 'A bulk call counts all or nothing, and its voters may be on several shards.',
            HINT = 'Use cast_votes, which settles each voter by itself.';
    END IF;
    -- A match that is not known here has no home: any shard refuses it.
    SELECT array_agg(DISTINCT p.home) FILTER (WHERE p.home IS NOT NULL), min(p.calls) INTO homes, calls
    FROM (SELECT DISTINCT coalesce(e ->> 'match_id', e ->> 'matchId') AS match_id
          FROM jsonb_array_elements($1) AS e WHERE jsonb_typeof(e) = 'object') AS e
    LEFT JOIN vote_agg_front.placement AS p ON p.match_id = e.match_id;
    IF cardinality(homes) > 1 OR homes[1] >= calls THEN
        RAISE feature_not_supported USING
            MESSAGE = 'the matches of this call are at home on several shards',
            DETAIL = 'A bulk call counts all or nothing, and shards commit by themselves.',
            HINT = 'Make one call a match, or use record_votes, which settles each element by itself.';
    END IF;
    RETURN coalesce(homes[1], vote_agg_front.any_of(calls), 0);
END
$$;
COMMENT ON FUNCTION vote_agg_front.slot_of_bulk(jsonb) IS 'The shard that takes a bulk call (internal)';

CREATE FUNCTION @extschema@.bulk_increment(votes jsonb)
RETURNS bigint LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_bulk(votes);
$$;
CREATE FUNCTION @extschema@.bulk_update_aggregates(votes jsonb)
RETURNS bigint LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_bulk(votes);
$$;

-- Elements with an outcome each: split by shard, asked at once, and put in order again. An array that is NULL, or as
-- long as no other one, goes to one shard as it is, which refuses the call in its own words.

CREATE FUNCTION vote_agg_front.record_votes_on(a_slot integer, a_matches text[], a_teams text[], a_cells bigint[],
    a_countries text[], a_votes bigint[])
RETURNS TABLE (element integer, outcome text, sqlstate text, message text, hint text) LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    RUN ON a_slot;
    SELECT c.element AS element, c.outcome AS outcome, c.sqlstate AS sqlstate, c.message AS message, c.hint AS hint
    FROM @extschema@.record_votes(a_matches, a_teams, a_cells, a_countries, a_votes) AS c;
$$;
COMMENT ON FUNCTION vote_agg_front.record_votes_on(integer, text[], text[], bigint[], text[], bigint[]) IS
'record_votes on one shard (internal)';

CREATE FUNCTION vote_agg_front.record_votes_split(a_slots integer[], a_places integer[], a_matches text[],
    a_teams text[], a_cells bigint[], a_countries text[], a_votes bigint[])
RETURNS TABLE (element integer, outcome text, sqlstate text, message text, hint text) LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    SPLIT a_slots, a_places, a_matches, a_teams, a_cells, a_countries, a_votes;
    RUN ON a_slots;
    SELECT (a_places)[c.element] AS element, c.outcome AS outcome, c.sqlstate AS sqlstate, c.message AS message,
        c.hint AS hint
    FROM @extschema@.record_votes(a_matches, a_teams, a_cells, a_countries, a_votes) AS c;
$$;
COMMENT ON FUNCTION vote_agg_front.record_votes_split(integer[], integer[], text[], text[], bigint[], text[], bigint[])
IS 'record_votes on the shards of the elements (internal)';

CREATE FUNCTION @extschema@.record_votes(match_ids text[], team_choices text[], h3_indexes bigint[] DEFAULT NULL,
    country_codes text[] DEFAULT NULL, votes bigint[] DEFAULT NULL)
RETURNS TABLE (element integer, outcome text, sqlstate text, message text, hint text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE ROWS 1000 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    length integer := cardinality($1);
    any_one float8 := random();
    slots integer[];
BEGIN
    PERFORM vote_agg_front.guard();
    IF NOT coalesce(vote_agg_front.is_split(length, array_ndims($1), cardinality($2), cardinality($3), cardinality($4),
                                            cardinality($5)), false) THEN
        RETURN QUERY SELECT * FROM vote_agg_front.record_votes_on(0, $1, $2, $3, $4, $5);
        RETURN;
    END IF;
    slots := (SELECT array_agg(coalesce(p.home, floor(any_one * p.calls)::integer, 0) ORDER BY o.n)
              FROM unnest($1) WITH ORDINALITY AS o(match_id, n)
              LEFT JOIN vote_agg_front.placement AS p ON p.match_id = o.match_id);
    RETURN QUERY SELECT * FROM vote_agg_front.record_votes_split(slots, vote_agg_front.numbers(length), $1, $2,
        coalesce($3, array_fill(NULL::bigint, ARRAY[length])), coalesce($4, array_fill(NULL::text, ARRAY[length])),
        coalesce($5, array_fill(1::bigint, ARRAY[length]))) AS s ORDER BY s.element;
END
$$;

CREATE FUNCTION vote_agg_front.is_split(length integer, dimensions integer, VARIADIC others integer[])
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT length > 0 AND length <= 10000 AND dimensions = 1 AND others[1] = length
        AND (SELECT bool_and(n IS NULL OR n = length) FROM unnest(others) AS n)
$$;
COMMENT ON FUNCTION vote_agg_front.is_split(integer, integer, integer[]) IS
'Can arrays of these lengths be split? Others are to be as long as the first; the first of them is needed (internal)';

CREATE FUNCTION vote_agg_front.numbers(length integer)
RETURNS integer[] LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT array_agg(n) FROM generate_series(1, length) AS n
$$;
COMMENT ON FUNCTION vote_agg_front.numbers(integer) IS 'The numbers from 1 on (internal)';

CREATE FUNCTION @extschema@.attach_votes(source regclass, match_id name DEFAULT 'match_id',
    team_choice name DEFAULT 'team_choice', h3_index name DEFAULT NULL, country_code name DEFAULT NULL,
    voter_id name DEFAULT NULL, latitude name DEFAULT NULL, longitude name DEFAULT NULL,
    resolution integer DEFAULT NULL)
RETURNS void LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE feature_not_supported USING
        MESSAGE = 'a front has no votes, and counts no table',
        DETAIL = 'A table that is attached is counted by its own transactions.',
        HINT = 'Send the votes by cast_votes; or attach the table on the shard that has the match.';
END
$$;
