-- Opening and ending matches: on each shard of the match, one after the other. What some shards have not done is said,
-- and the same call may be repeated until all have. SECURITY DEFINER, because nobody else writes placement.

CREATE FUNCTION vote_agg_front.open_on(a_slot integer, a_match text, a_teams text[], a_opens text, a_closes text,
    a_changes boolean, a_shards integer)
RETURNS bigint LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    RUN ON a_slot;
    SELECT CASE WHEN a_shards IS NULL
        THEN pg_catalog.length(@extschema@.open_match(a_match, a_teams, a_opens::timestamptz, a_closes::timestamptz,
            a_changes)::text)
        ELSE pg_catalog.length(vote_agg.place_match(a_match, a_slot, a_shards, a_teams, a_opens::timestamptz,
            a_closes::timestamptz, a_changes)::text) END::bigint AS done;
$$;
COMMENT ON FUNCTION vote_agg_front.open_on(integer, text, text[], text, text, boolean, integer) IS
'Opens a match on one shard: at home, or as one of many shards (internal)';

CREATE FUNCTION vote_agg_front.close_on(a_slot integer, a_match text, a_shards integer)
RETURNS bigint LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    RUN ON a_slot;
    SELECT CASE WHEN a_slot < a_shards OR EXISTS (SELECT FROM vote_agg.placements(a_match))
        THEN 1 + pg_catalog.length(@extschema@.close_match(a_match)::text) ELSE 0 END::bigint AS done;
$$;
COMMENT ON FUNCTION vote_agg_front.close_on(integer, text, integer) IS
'close_match on one shard; from a_shards on one may have nothing of the match. How many have closed it (internal)';

CREATE FUNCTION vote_agg_front.purge_on(a_slot integer, a_match text)
RETURNS bigint LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    RUN ON a_slot;
    SELECT @extschema@.purge_match(a_match) AS erased;
$$;
COMMENT ON FUNCTION vote_agg_front.purge_on(integer, text) IS 'purge_match on one shard (internal)';

CREATE FUNCTION vote_agg_front.on_each(what text, slots integer[], match_id text, teams text[] DEFAULT NULL,
    opens_at timestamptz DEFAULT NULL, closes_at timestamptz DEFAULT NULL, changes_allowed boolean DEFAULT NULL,
    shards integer DEFAULT NULL)
RETURNS bigint LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    slot integer;
    total bigint := 0;
    done integer[] := '{}';
    failed integer[] := '{}';
    code text;
    said text;
    remedy text;
    why text;
    first_code text;
    first_remedy text;
    reasons text := '';
BEGIN
    FOREACH slot IN ARRAY slots LOOP
        BEGIN
            total := total + coalesce(CASE what
                WHEN 'open_match' THEN vote_agg_front.open_on(slot, match_id, teams, to_json(opens_at) #>> '{}',
                    to_json(closes_at) #>> '{}', changes_allowed, shards)
                WHEN 'close_match' THEN vote_agg_front.close_on(slot, match_id, shards)
                ELSE vote_agg_front.purge_on(slot, match_id) END, 0);
            done := done || slot;
        EXCEPTION WHEN OTHERS THEN
            IF cardinality(slots) = 1 THEN
                RAISE;
            END IF;
            GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, said = MESSAGE_TEXT, remedy = PG_EXCEPTION_HINT,
                why = PG_EXCEPTION_DETAIL;
            failed := failed || slot;
            first_code := coalesce(first_code, code);
            first_remedy := coalesce(first_remedy, nullif(remedy, ''));
            reasons := reasons || format(E'\nShard %s: %s %s', slot, said, why);
        END;
    END LOOP;
    IF failed <> '{}' THEN
        RAISE EXCEPTION USING ERRCODE = first_code,
            MESSAGE = format('%s of match "%s" was not done by shard %s', what, match_id,
                array_to_string(failed, ', ')),
            DETAIL = format('Done by shard: %s.', coalesce(nullif(array_to_string(done, ', '), ''), 'none')) || reasons,
            HINT = coalesce(first_remedy || ' ', '') || 'Call it again: what is done already is done no second time.';
    END IF;
    RETURN total;
END
$$;
COMMENT ON FUNCTION
    vote_agg_front.on_each(text, integer[], text, text[], timestamptz, timestamptz, boolean, integer) IS
'Does the same on each shard, and says which have not done it (internal)';

CREATE FUNCTION vote_agg_front.learn(match_id text)
RETURNS vote_agg_front.placement LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p vote_agg_front.placement;
BEGIN
    IF vote_agg_front.shards() = 0 THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = 'this front has no shards',
            HINT = 'Name them with vote_agg_front.add_shard.';
    END IF;
    -- No match has no name: a shard says so.
    IF match_id IS NOT NULL THEN
        SELECT * INTO p FROM vote_agg_front.read_placements(match_id);
        DELETE FROM vote_agg_front.placement AS q WHERE q.match_id = $1 AND p.match_id IS NULL;
        INSERT INTO vote_agg_front.placement AS q SELECT (p).* WHERE p.match_id IS NOT NULL
        ON CONFLICT ON CONSTRAINT placement_pkey DO UPDATE
            SET home = excluded.home, shards = excluded.shards, calls = excluded.calls
            WHERE (q.home, q.shards, q.calls) IS DISTINCT FROM (excluded.home, excluded.shards, excluded.calls);
    END IF;
    RETURN p;
END
$$;
COMMENT ON FUNCTION vote_agg_front.learn(text) IS
'Asks the shards where a match is, and remembers it; all NULL where no shard knows it (internal)';

CREATE FUNCTION vote_agg_front.check_place(p vote_agg_front.placement, match_id text, spread boolean)
RETURNS void LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF spread <> (p.shards IS NOT NULL) THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('match "%s" is %s', match_id,
                CASE WHEN spread THEN 'at home on shard ' || p.home ELSE 'spread over ' || p.shards || ' shards' END),
            DETAIL = 'A match stays where it was opened: a voter would have a second ballot elsewhere.',
            HINT = 'Leave spread out, purge the match, or open another one.';
    END IF;
END
$$;
COMMENT ON FUNCTION vote_agg_front.check_place(vote_agg_front.placement, text, boolean) IS
'Refuses another place than that of a match (internal)';

-- A match that is at home somewhere is spread nowhere: beside its home a spread opening fails, so nobody can have used
-- the places that it has got on other shards.
CREATE FUNCTION vote_agg_front.leave(match_id text)
RETURNS void LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT a.slot, bool_or(a.shards IS NULL) OVER () AS is_at_home, a.shards
        FROM vote_agg_front.ask_placements($1, vote_agg_front.slots(vote_agg_front.shards())) AS a
    LOOP
        IF found.is_at_home AND found.shards IS NOT NULL THEN
            PERFORM vote_agg_front.purge_on(found.slot, match_id);
        END IF;
    END LOOP;
END
$$;
COMMENT ON FUNCTION vote_agg_front.leave(text) IS
'Takes a spread match from the shards again where it turns out to be at home on one (internal)';

CREATE FUNCTION @extschema@.open_match(match_id text, teams text[] DEFAULT NULL, opens_at timestamptz DEFAULT NULL,
    closes_at timestamptz DEFAULT NULL, changes_allowed boolean DEFAULT true, spread boolean DEFAULT NULL)
RETURNS void LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p vote_agg_front.placement;
    all_shards integer;
    is_new boolean;
BEGIN
    PERFORM vote_agg_front.guard();
    p := vote_agg_front.learn(match_id);
    is_new := p.match_id IS NULL;
    all_shards := vote_agg_front.shards();
    IF NOT is_new THEN
        PERFORM vote_agg_front.check_place(p, match_id, spread);
    ELSE
        IF coalesce(spread, false) THEN
            p.shards := all_shards;
        ELSE
            p.home := coalesce(vote_agg_front.shard_of(match_id, all_shards), 0);
        END IF;
    END IF;
    BEGIN
        PERFORM vote_agg_front.on_each('open_match',
            CASE WHEN p.shards IS NULL THEN ARRAY[p.home] ELSE vote_agg_front.slots(all_shards) END,
            match_id, teams, opens_at, closes_at, changes_allowed, p.shards);
    EXCEPTION WHEN object_not_in_prerequisite_state THEN
        IF is_new AND p.shards IS NOT NULL THEN
            PERFORM vote_agg_front.leave(match_id);
        END IF;
        RAISE;
    END;
    -- Last: from now on votes come. Another front may have opened the match meanwhile.
    p := vote_agg_front.learn(match_id);
    IF p.match_id IS NULL THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('another front is opening or purging match "%s"', match_id),
            HINT = 'Call it again.';
    END IF;
    PERFORM vote_agg_front.check_place(p, match_id, spread);
END
$$;

CREATE FUNCTION @extschema@.close_match(match_id text)
RETURNS void LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    p vote_agg_front.placement;
BEGIN
    PERFORM vote_agg_front.guard();
    SELECT * INTO p FROM vote_agg_front.placement AS q WHERE q.match_id = $1;
    IF p.match_id IS NULL THEN
        p := vote_agg_front.learn(match_id);
    END IF;
    IF p.home IS NOT NULL THEN
        PERFORM vote_agg_front.on_each('close_match', ARRAY[p.home], match_id, shards => p.home + 1);
        RETURN;
    END IF;
    -- Else all shards: another front may have given it some that this one has not heard of, and of a match that not all
    -- have opened some do not know. Where nobody knows it, the first one says so.
    IF vote_agg_front.on_each('close_match', vote_agg_front.slots(vote_agg_front.shards()), match_id,
                              shards => coalesce(p.shards, 0)) = 0 THEN
        PERFORM vote_agg_front.on_each('close_match', ARRAY[0], match_id, shards => 1);
    END IF;
END
$$;

CREATE FUNCTION @extschema@.purge_match(match_id text)
RETURNS bigint LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    erased bigint;
BEGIN
    PERFORM vote_agg_front.guard();
    -- All of them: what a call that failed has left is on shards that the match is not known on any more.
    erased := vote_agg_front.on_each('purge_match', vote_agg_front.slots(vote_agg_front.shards()), match_id);
    PERFORM vote_agg_front.learn(match_id);
    RETURN erased;
END
$$;

-- Growing.

CREATE FUNCTION vote_agg_front.ask_shard(a_slot integer)
RETURNS TABLE (version text, auto_open boolean, encoding text, home text, identity text)
LANGUAGE plproxy VOLATILE AS $$
    CLUSTER 'vote_agg_shards';
    RUN ON a_slot;
    SELECT vote_agg.library_version() AS version,
        pg_catalog.current_setting('vote_agg.auto_open')::boolean AS auto_open,
        pg_catalog.current_setting('server_encoding') AS encoding,
        (SELECT e.extnamespace::regnamespace::text FROM pg_catalog.pg_extension e WHERE e.extname = 'vote_agg') AS home,
        pg_catalog.concat_ws('/', (SELECT c.system_identifier FROM pg_catalog.pg_control_system() c),
            pg_catalog.current_database()) AS identity;
$$;
COMMENT ON FUNCTION vote_agg_front.ask_shard(integer) IS 'What a shard is like (internal)';

CREATE FUNCTION vote_agg_front.add_shard(conninfo text)
RETURNS integer LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    slot integer := vote_agg_front.shards();
    shard record;
    here text := (SELECT e.extnamespace::regnamespace::text FROM pg_extension e WHERE e.extname = 'vote_agg_front');
BEGIN
    IF conninfo ~* '(^|\s)password\s*=' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'conninfo must not have a password',
            DETAIL = 'Every role can read the options of a server.',
            HINT = 'Put it into a user mapping of the server vote_agg_shards.';
    END IF;
    -- Without a host: another database of this server.
    IF conninfo !~* '(^|\s)(host|hostaddr|service)\s*=' THEN
        conninfo := format('%s host=%s port=%s', conninfo,
            split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'));
    END IF;
    IF EXISTS (SELECT FROM pg_foreign_server WHERE srvname = 'vote_agg_shards') THEN
        EXECUTE format('ALTER SERVER vote_agg_shards OPTIONS (ADD %I %L)', 'p' || slot, conninfo);
    ELSE
        EXECUTE format('CREATE SERVER vote_agg_shards FOREIGN DATA WRAPPER plproxy
            OPTIONS (connection_lifetime ''300'', modular_mapping ''1'', p0 %L)', conninfo);
        EXECUTE format('CREATE USER MAPPING FOR CURRENT_USER SERVER vote_agg_shards OPTIONS (user %L)', current_user);
    END IF;
    SELECT * INTO shard FROM vote_agg_front.ask_shard(slot);
    IF shard.auto_open OR shard.encoding <> 'UTF8' OR shard.home <> here THEN
        RAISE object_not_in_prerequisite_state USING
            MESSAGE = format('the database of shard %s can be no shard', slot),
            DETAIL = format('vote_agg.auto_open is %s there, the encoding %s, the schema of vote_agg %s.',
                CASE WHEN shard.auto_open THEN 'on' ELSE 'off' END, shard.encoding, shard.home),
            HINT = format('There: ALTER DATABASE … SET vote_agg.auto_open = off; encoding UTF8; schema %s.', here);
    END IF;
    -- It would be counted twice.
    FOR other IN 0 .. slot - 1 LOOP
        IF (SELECT a.identity FROM vote_agg_front.ask_shard(other) AS a) = shard.identity THEN
            RAISE duplicate_object USING
                MESSAGE = format('the database is shard %s already', other),
                HINT = 'Each shard is a database of its own.';
        END IF;
    END LOOP;
    RETURN slot;
END
$$;
COMMENT ON FUNCTION vote_agg_front.add_shard(text) IS
'Adds a shard to the server vote_agg_shards after looking at it, and returns its number; without a host it is another '
'database of this server. Open spread matches take it by vote_agg_front.extend()';

CREATE FUNCTION vote_agg_front.extend()
RETURNS bigint LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known record;
    extended bigint := 0;
    all_shards integer := vote_agg_front.shards();
BEGIN
    PERFORM vote_agg_front.guard();
    PERFORM vote_agg_front.reload();
    FOR known IN
        SELECT a.*, p.calls FROM vote_agg_front.ask_placements(NULL, ARRAY[0]) AS a
        JOIN vote_agg_front.placement AS p USING (match_id) WHERE a.is_open AND p.calls < all_shards
    LOOP
        PERFORM vote_agg_front.on_each('open_match', (vote_agg_front.slots(all_shards))[known.calls + 1:],
            known.match_id, known.teams, known.opens_at::timestamptz, known.closes_at::timestamptz,
            known.changes_allowed, known.shards);
        extended := extended + 1;
    END LOOP;
    PERFORM vote_agg_front.reload();
    RETURN extended;
END
$$;
COMMENT ON FUNCTION vote_agg_front.extend() IS
'Opens each open spread match on the shards that were added since, which take calls from then on; returns how many '
'matches. Ballots stay on the shards that the match was opened on';
