-- Rights. PUBLIC may execute pure functions and nothing else; a DBA hands out two sets, and takes them back.
-- @ stands for the extension's schema, which may have been renamed since.

CREATE FUNCTION vote_agg.set_rights(role name, kind text, is_granted boolean)
RETURNS void LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    verb text := CASE WHEN is_granted THEN 'GRANT ' ELSE 'REVOKE ' END;
    somebody text := CASE WHEN is_granted THEN ' TO ' ELSE ' FROM ' END || pg_catalog.quote_ident(role);
    home oid := (SELECT e.extnamespace FROM pg_catalog.pg_extension e WHERE e.extname = 'vote_agg');
    rights text[] := CASE kind WHEN 'reader' THEN ARRAY[
        'SELECT ON vote_agg.live, vote_agg.stat_fold, vote_agg.stat_pending, vote_agg.stat_attach,
        vote_agg.stat_aside, vote_agg.stat_shards',
        'EXECUTE ON FUNCTION
        @.get_realtime_stats(text),
        @.get_match_aggregates(text, integer, bigint, integer, double precision[], text, integer),
        @.get_top_cells(text, integer, text, text),
        @.get_cell(text, text),
        @.get_cell(text, bigint),
        @.get_match_geojson(text, integer, bigint, double precision[], boolean),
        @.get_match_tile(text, integer, integer, integer, text),
        @.match_tile(integer, integer, integer, text, text),
        @.get_country_aggregates(text, bigint),
        @.get_match_timeline(text, interval, timestamptz, timestamptz),
        @.get_match_at(text, timestamptz),
        @.get_match_flips(text, timestamptz, integer),
        @.get_match_changes(text, bigint),
        @.get_match_update(text, bigint),
        @.get_match_snapshot(text, integer),
        @.match_tile_query(integer, integer, integer, json),
        @.rpc_get_cell(text, text),
        vote_agg.matches(),
        vote_agg.live_stats(),
        vote_agg.pending_stats(),
        vote_agg.attach_stats(),
        vote_agg.fold_holder(),
        vote_agg.get_heads(text),
        vote_agg.get_match_rows(text, text, bigint),
        vote_agg.status()'] WHEN 'puller' THEN ARRAY[
        'EXECUTE ON FUNCTION
        vote_agg.get_shard(text),
        vote_agg.apply_pull(text, bigint, text, bigint, json),
        vote_agg.note_shard(text, timestamptz, bigint, text)'] ELSE ARRAY[
        'EXECUTE ON FUNCTION
        @.record_vote(text, text, text, text, bigint),
        @.record_vote(text, text, bigint, text, bigint),
        @.increment_h3_aggregate(text, text, integer, text, bigint),
        @.increment_h3_aggregate(text, bigint, integer, text, bigint),
        @.update_h3_aggregate(text, text, integer, text, bigint),
        @.update_h3_aggregate(text, bigint, integer, text, bigint),
        @.increment_country_aggregate(text, text, text, bigint),
        @.update_country_aggregate(text, text, text, bigint),
        @.bulk_increment(jsonb),
        @.bulk_increment(text, text[], bigint[], text[], bigint[]),
        @.bulk_update_aggregates(jsonb),
        @.bulk_update_aggregates(text, text[], bigint[], text[], bigint[]),
        @.cast_vote(text, text, text, text, text),
        @.cast_vote(text, text, text, bigint, text),
        @.retract_vote(text, text),
        @.cast_votes(text[], text[], text[], bigint[], text[], bigint[]),
        @.retract_votes(text[], text[], bigint[]),
        @.record_votes(text[], text[], bigint[], text[], bigint[]),
        @.get_vote(text, text),
        @.check_door(text),
        @.rpc_record_vote(text, text, text, text, bigint),
        @.rpc_increment_h3_aggregate(text, text, integer, text, bigint),
        @.rpc_cast_vote(text, text, text, text, text)'] END;
    what text;
    place record;
BEGIN
    -- One after the other: of two GRANTs on one object at the same time one fails. No stranger can take this lock, and
    -- neither votes, reads nor folds wait for it.
    LOCK TABLE vote_agg.history IN SHARE UPDATE EXCLUSIVE MODE;
    FOREACH what IN ARRAY rights LOOP
        EXECUTE verb || pg_catalog.replace(what, '@', home::regnamespace::text) || somebody;
    END LOOP;
    FOR place IN
        SELECT n.oid, n.nspname FROM pg_catalog.pg_namespace n
        WHERE CASE kind WHEN 'reader' THEN n.oid = home OR n.nspname = 'vote_agg'
                        WHEN 'puller' THEN n.nspname = 'vote_agg' ELSE n.oid = home END
    LOOP
        -- Functions of ours there may be left to the role, of the other set or given one by one.
        CONTINUE WHEN NOT is_granted AND EXISTS (
            SELECT FROM pg_catalog.pg_proc p
            JOIN pg_catalog.pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
            JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'vote_agg'
            CROSS JOIN LATERAL pg_catalog.aclexplode(p.proacl) AS a
            JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
            WHERE p.pronamespace = place.oid AND r.rolname = set_rights.role);
        EXECUTE verb || 'USAGE ON SCHEMA ' || pg_catalog.quote_ident(place.nspname) || somebody;
    END LOOP;
END
$$;
COMMENT ON FUNCTION vote_agg.set_rights(name, text, boolean) IS
'Gives a role the rights of a reader, a writer or a puller, or takes them away (internal)';

CREATE FUNCTION vote_agg.grant_reader(role name)
RETURNS void LANGUAGE sql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT vote_agg.set_rights(role, 'reader', true)
$$;
COMMENT ON FUNCTION vote_agg.grant_reader(name) IS 'Lets a role call the read functions and select from the views';

CREATE FUNCTION vote_agg.grant_writer(role name)
RETURNS void LANGUAGE sql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT vote_agg.set_rights(role, 'writer', true)
$$;
COMMENT ON FUNCTION vote_agg.grant_writer(name) IS 'Lets a role call the functions that record votes';

CREATE FUNCTION vote_agg.revoke_reader(role name)
RETURNS void LANGUAGE sql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT vote_agg.set_rights(role, 'reader', false)
$$;
COMMENT ON FUNCTION vote_agg.revoke_reader(name) IS 'Takes from a role what vote_agg.grant_reader gave it';

CREATE FUNCTION vote_agg.revoke_writer(role name)
RETURNS void LANGUAGE sql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT vote_agg.set_rights(role, 'writer', false)
$$;
COMMENT ON FUNCTION vote_agg.revoke_writer(name) IS 'Takes from a role what vote_agg.grant_writer gave it';

CREATE FUNCTION vote_agg.grant_puller(role name)
RETURNS void LANGUAGE sql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT vote_agg.set_rights(role, 'puller', true)
$$;
COMMENT ON FUNCTION vote_agg.grant_puller(name) IS
'Lets a role hand on what shards say: it decides how many votes they have';

CREATE FUNCTION vote_agg.revoke_puller(role name)
RETURNS void LANGUAGE sql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT vote_agg.set_rights(role, 'puller', false)
$$;
COMMENT ON FUNCTION vote_agg.revoke_puller(name) IS 'Takes from a role what vote_agg.grant_puller gave it';

-- All of this schema. Functions elsewhere have their REVOKE beside them.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA vote_agg FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA vote_agg FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA vote_agg FROM PUBLIC;

-- A dump reads the tables that it carries, and a database's owner makes one too, without being a superuser.
GRANT USAGE ON SCHEMA vote_agg TO pg_database_owner;
GRANT SELECT ON vote_agg.match, vote_agg.pending_1, vote_agg.pending_2, vote_agg.pending_aside, vote_agg.aside,
    vote_agg.ballot, vote_agg.door, vote_agg.h3_aggregate, vote_agg.country_aggregate, vote_agg.timeline,
    vote_agg.country_timeline, vote_agg.feed, vote_agg.flip,
    vote_agg.purged, vote_agg.fold_log, vote_agg.history, vote_agg.whole,
    vote_agg.source, vote_agg.source_number, vote_agg.erased,
    vote_agg.source_delta, vote_agg.source_sum, vote_agg.source_part,
    vote_agg.shard, vote_agg.shard_head, vote_agg.mirror
    TO pg_database_owner;
