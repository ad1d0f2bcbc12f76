-- Ballots: each voter has one shard in a match, so that two votes of one voter meet.

CREATE FUNCTION @extschema@.cast_vote(match_id text, voter_id text, team_choice text, h3_index text DEFAULT NULL,
    country_code text DEFAULT NULL)
RETURNS text LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_voter(match_id, voter_id);
$$;
CREATE FUNCTION @extschema@.cast_vote(match_id text, voter_id text, team_choice text, h3_index bigint,
    country_code text DEFAULT NULL)
RETURNS text LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_voter(match_id, voter_id);
$$;
CREATE FUNCTION @extschema@.rpc_cast_vote(match_id text, voter_id text, team_choice text, h3_index text DEFAULT NULL,
    country_code text DEFAULT NULL)
RETURNS text LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_voter(match_id, voter_id);
$$;
CREATE FUNCTION @extschema@.retract_vote(match_id text, voter_id text)
RETURNS boolean LANGUAGE plproxy VOLATILE AS $$
    CLUSTER vote_agg_front.guard();
    RUN ON vote_agg_front.slot_of_voter(match_id, voter_id);
$$;

-- PL/Proxy mixes the rows of two calls of a set-returning function in one SELECT list. So none is called but in FROM.
CREATE FUNCTION vote_agg_front.vote_of(a_match text, a_voter text)
RETURNS TABLE (team_choice text, h3_index text, country_code text, turn bigint) LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    RUN ON vote_agg_front.slot_of_voter(a_match, a_voter);
    TARGET @extschema@.get_vote;
$$;
COMMENT ON FUNCTION vote_agg_front.vote_of(text, text) IS 'get_vote of the shard of the voter (internal)';
CREATE FUNCTION @extschema@.get_vote(match_id text, voter_id text)
RETURNS TABLE (team_choice text, h3_index text, country_code text, turn bigint)
LANGUAGE sql STABLE PARALLEL UNSAFE ROWS 1 SET search_path = pg_catalog, pg_temp AS $$
    SELECT * FROM vote_agg_front.vote_of($1, $2)
$$;

CREATE FUNCTION vote_agg_front.slots_of_voters(match_ids text[], voter_ids text[])
RETURNS integer[] LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT array_agg(coalesce(p.home, vote_agg_front.shard_of(o.voter_id, p.shards), 0) ORDER BY o.n)
    FROM unnest($1, $2) WITH ORDINALITY AS o(match_id, voter_id, n)
    LEFT JOIN vote_agg_front.placement AS p ON p.match_id = o.match_id
$$;
COMMENT ON FUNCTION vote_agg_front.slots_of_voters(text[], text[]) IS
'The shards that have the ballots of voters, one an element (internal)';

CREATE FUNCTION vote_agg_front.cast_votes_on(a_slot integer, a_matches text[], a_voters text[], a_teams text[],
    a_cells bigint[], a_countries text[], a_turns bigint[])
RETURNS TABLE (element integer, outcome text, sqlstate text, message text, hint text) LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    RUN ON a_slot;
    SELECT c.element AS element, c.outcome AS outcome, c.sqlstate AS sqlstate, c.message AS message, c.hint AS hint
    FROM @extschema@.cast_votes(a_matches, a_voters, a_teams, a_cells, a_countries, a_turns) AS c;
$$;
COMMENT ON FUNCTION vote_agg_front.cast_votes_on(integer, text[], text[], text[], bigint[], text[], bigint[]) IS
'cast_votes on one shard (internal)';

CREATE FUNCTION vote_agg_front.cast_votes_split(a_slots integer[], a_places integer[], a_matches text[],
    a_voters text[], a_teams text[], a_cells bigint[], a_countries text[], a_turns bigint[])
RETURNS TABLE (element integer, outcome text, sqlstate text, message text, hint text) LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    SPLIT a_slots, a_places, a_matches, a_voters, a_teams, a_cells, a_countries, a_turns;
    RUN ON a_slots;
    SELECT (a_places)[c.element] AS element, c.outcome AS outcome, c.sqlstate AS sqlstate, c.message AS message,
        c.hint AS hint
    FROM @extschema@.cast_votes(a_matches, a_voters, a_teams, a_cells, a_countries, a_turns) AS c;
$$;
COMMENT ON FUNCTION
    vote_agg_front.cast_votes_split(integer[], integer[], text[], text[], text[], bigint[], text[], bigint[]) IS
'cast_votes on the shards of the voters (internal)';

CREATE FUNCTION @extschema@.cast_votes(match_ids text[], voter_ids text[], team_choices text[],
    h3_indexes bigint[] DEFAULT NULL, country_codes text[] DEFAULT NULL, turns bigint[] DEFAULT NULL)
RETURNS TABLE (element integer, outcome text, sqlstate text, message text, hint text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE ROWS 1000 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    length integer := cardinality($1);
BEGIN
    PERFORM vote_agg_front.guard();
    IF cardinality($3) IS NULL
        OR NOT coalesce(vote_agg_front.is_split(length, array_ndims($1), cardinality($2), cardinality($3),
                                                cardinality($4), cardinality($5), cardinality($6)), false) THEN
        RETURN QUERY SELECT * FROM vote_agg_front.cast_votes_on(0, $1, $2, $3, $4, $5, $6);
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM vote_agg_front.cast_votes_split(vote_agg_front.slots_of_voters($1, $2),
        vote_agg_front.numbers(length), $1, $2, $3, coalesce($4, array_fill(NULL::bigint, ARRAY[length])),
        coalesce($5, array_fill(NULL::text, ARRAY[length])),
        coalesce($6, array_fill(NULL::bigint, ARRAY[length]))) AS s ORDER BY s.element;
END
$$;

CREATE FUNCTION vote_agg_front.retract_votes_on(a_slot integer, a_matches text[], a_voters text[], a_turns bigint[])
RETURNS TABLE (element integer, outcome text, sqlstate text, message text, hint text) LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    RUN ON a_slot;
    SELECT c.element AS element, c.outcome AS outcome, c.sqlstate AS sqlstate, c.message AS message, c.hint AS hint
    FROM @extschema@.retract_votes(a_matches, a_voters, a_turns) AS c;
$$;
COMMENT ON FUNCTION vote_agg_front.retract_votes_on(integer, text[], text[], bigint[]) IS
'retract_votes on one shard (internal)';

CREATE FUNCTION vote_agg_front.retract_votes_split(a_slots integer[], a_places integer[], a_matches text[],
    a_voters text[], a_turns bigint[])
RETURNS TABLE (element integer, outcome text, sqlstate text, message text, hint text) LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    SPLIT a_slots, a_places, a_matches, a_voters, a_turns;
    RUN ON a_slots;
    SELECT (a_places)[c.element] AS element, c.outcome AS outcome, c.sqlstate AS sqlstate, c.message AS message,
        c.hint AS hint
    FROM @extschema@.retract_votes(a_matches, a_voters, a_turns) AS c;
$$;
COMMENT ON FUNCTION vote_agg_front.retract_votes_split(integer[], integer[], text[], text[], bigint[]) IS
'retract_votes on the shards of the voters (internal)';

CREATE FUNCTION @extschema@.retract_votes(match_ids text[], voter_ids text[], turns bigint[] DEFAULT NULL)
RETURNS TABLE (element integer, outcome text, sqlstate text, message text, hint text)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE ROWS 1000 SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    length integer := cardinality($1);
BEGIN
    PERFORM vote_agg_front.guard();
    IF NOT coalesce(vote_agg_front.is_split(length, array_ndims($1), cardinality($2), cardinality($3)), false) THEN
        RETURN QUERY SELECT * FROM vote_agg_front.retract_votes_on(0, $1, $2, $3);
        RETURN;
    END IF;
    RETURN QUERY SELECT * FROM vote_agg_front.retract_votes_split(vote_agg_front.slots_of_voters($1, $2),
        vote_agg_front.numbers(length), $1, $2, coalesce($3, array_fill(NULL::bigint, ARRAY[length]))) AS s
        ORDER BY s.element;
END
$$;
