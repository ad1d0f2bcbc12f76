-- Where matches are. A front holds no votes: only this table, which can be read from the shards again at any time.

CREATE SCHEMA vote_agg_front;
COMMENT ON SCHEMA vote_agg_front IS 'vote_agg_front: where matches are, and the operator''s functions';

CREATE TABLE vote_agg_front.placement (
    match_id text COLLATE "C" PRIMARY KEY,
    home integer,
    shards integer,
    calls integer,
    CHECK ((home IS NULL) OPERATOR(pg_catalog.=) (shards IS NOT NULL)),
    CHECK ((calls IS NULL) OPERATOR(pg_catalog.=) (shards IS NULL))
);
COMMENT ON TABLE vote_agg_front.placement IS 'Where each match is: at home on one shard, or spread over many';
COMMENT ON COLUMN vote_agg_front.placement.home IS 'The shard, from 0, that has all of the match';
COMMENT ON COLUMN vote_agg_front.placement.shards IS 'Of a spread match: how many shards share its voters';
COMMENT ON COLUMN vote_agg_front.placement.calls IS 'Of a spread match: how many shards take its calls';
SELECT pg_catalog.pg_extension_config_dump('vote_agg_front.placement', '');

CREATE FUNCTION vote_agg_front.guard()
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS '$libdir/vote_agg', 'front_guard_wrapper';
COMMENT ON FUNCTION vote_agg_front.guard() IS
'Refuses to write where a ROLLBACK would not reach the shards; else the name of the server that lists them (internal)';

CREATE FUNCTION vote_agg_front.shard_of(voter_id text, shards integer)
RETURNS integer LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS '$libdir/vote_agg', 'shard_of_wrapper';
COMMENT ON FUNCTION vote_agg_front.shard_of(text, integer) IS
'The shard, from 0, that has the ballots of a voter where a match is on so many (1 to 1024)';

CREATE FUNCTION vote_agg_front.shards()
RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*)::integer FROM pg_foreign_server s CROSS JOIN LATERAL unnest(s.srvoptions) AS o(option)
    WHERE s.srvname = 'vote_agg_shards' AND o.option ~ '^p[0-9]+='
$$;
COMMENT ON FUNCTION vote_agg_front.shards() IS 'How many shards this front knows';

-- A match that is not known here goes to the first shard, which refuses it in its own words.

CREATE FUNCTION vote_agg_front.slot_of_call(match_id text)
RETURNS integer LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE AS $$
DECLARE
    p vote_agg_front.placement;
BEGIN
    SELECT * INTO p FROM vote_agg_front.placement AS q WHERE q.match_id OPERATOR(pg_catalog.=) $1 COLLATE "C";
    RETURN coalesce(p.home, vote_agg_front.any_of(p.calls), 0);
END
$$;
COMMENT ON FUNCTION vote_agg_front.slot_of_call(text) IS
'The shard that takes a call for a match: its home, or any one (internal)';

CREATE FUNCTION vote_agg_front.any_of(shards integer)
RETURNS integer LANGUAGE sql STRICT VOLATILE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT floor(random() * $1)::integer
$$;
COMMENT ON FUNCTION vote_agg_front.any_of(integer) IS 'Any one of so many shards (internal)';

CREATE FUNCTION vote_agg_front.slot_of_voter(match_id text, voter_id text)
RETURNS integer LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
DECLARE
    p vote_agg_front.placement;
BEGIN
    SELECT * INTO p FROM vote_agg_front.placement AS q WHERE q.match_id OPERATOR(pg_catalog.=) $1 COLLATE "C";
    RETURN coalesce(p.home, vote_agg_front.shard_of($2, p.shards), 0);
END
$$;
COMMENT ON FUNCTION vote_agg_front.slot_of_voter(text, text) IS
'The shard that has the ballot of a voter in a match (internal)';

CREATE FUNCTION vote_agg_front.ask_placements(a_match text, a_slots integer[])
RETURNS TABLE (slot integer, match_id text, shard integer, shards integer, teams text[], opens_at text, closes_at text,
    changes_allowed boolean, is_open boolean)
LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    SPLIT a_slots;
    RUN ON a_slots;
    SELECT (a_slots)[1] AS slot, p.match_id AS match_id, p.shard AS shard, p.shards AS shards, p.teams AS teams,
        pg_catalog.to_json(p.opens_at) #>> '{}' AS opens_at, pg_catalog.to_json(p.closes_at) #>> '{}' AS closes_at,
        p.changes_allowed AS changes_allowed, p.is_open AS is_open
    FROM vote_agg.placements(a_match) AS p;
$$;
COMMENT ON FUNCTION vote_agg_front.ask_placements(text, integer[]) IS
'What shards say of a match (NULL: all). Times travel as ISO 8601, whatever DateStyle a shard has (internal)';

CREATE FUNCTION vote_agg_front.slots(shards integer)
RETURNS integer[] LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(n), '{}') FROM generate_series(0, $1 - 1) AS n
$$;
COMMENT ON FUNCTION vote_agg_front.slots(integer) IS 'The numbers of so many shards (internal)';

-- learn() and reload() read what is the truth: each shard knows "number i of n".

CREATE FUNCTION vote_agg_front.read_placements(match_id text)
RETURNS SETOF vote_agg_front.placement LANGUAGE plpgsql STABLE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p record;
BEGIN
    FOR p IN
        SELECT a.match_id, count(*) AS places, count(a.shards) AS placed, min(a.slot) AS home, min(a.shards) AS shards,
               bool_and(a.shards IS NULL OR a.slot = a.shard) AS is_in_order, min(a.shards) = max(a.shards) AS is_one
        FROM vote_agg_front.ask_placements($1, vote_agg_front.slots(vote_agg_front.shards())) AS a GROUP BY 1
    LOOP
        IF p.placed = 0 AND p.places = 1 THEN
            RETURN QUERY SELECT p.match_id, p.home, NULL::integer, NULL::integer;
        ELSIF p.placed < p.places THEN
            RAISE object_not_in_prerequisite_state USING
                MESSAGE = format('match "%s" is on several shards that do not know of each other', p.match_id),
                DETAIL = 'It was opened on a shard itself, or by fronts that do not have the same shards.',
                HINT = 'Purge it on the shards where it does not belong.';
        ELSIF NOT p.is_in_order OR NOT p.is_one THEN
            RAISE object_not_in_prerequisite_state USING
                MESSAGE = format('the shards of match "%s" have other numbers than those of this front', p.match_id),
                HINT = 'Every front lists the shards in the same order.';
        ELSIF p.places >= p.shards THEN
            RETURN QUERY SELECT p.match_id, NULL::integer, p.shards, p.places::integer;
        END IF;
        -- Else not all shards have opened it yet.
    END LOOP;
END
$$;
COMMENT ON FUNCTION vote_agg_front.read_placements(text) IS
'Where a match is (NULL: each), as its shards say (internal)';

CREATE FUNCTION vote_agg_front.reload()
RETURNS bigint LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found vote_agg_front.placement[] := ARRAY(SELECT p FROM vote_agg_front.read_placements(NULL) AS p);
BEGIN
    LOCK TABLE vote_agg_front.placement IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM vote_agg_front.placement;
    INSERT INTO vote_agg_front.placement SELECT (f).* FROM unnest(found) AS f;
    RETURN cardinality(found);
END
$$;
COMMENT ON FUNCTION vote_agg_front.reload() IS
'Reads from the shards where each match is, and returns how many there are: after another front opened or purged one';
