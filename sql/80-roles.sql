-- Rights. PUBLIC may execute pure functions and nothing else; a DBA hands out two sets.
-- @ stands for the extension's schema, which may have been renamed since.

CREATE FUNCTION vote_agg.grant_reader(role name)
RETURNS void LANGUAGE plpgsql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    home text := (SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e
        JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vote_agg');
BEGIN
    EXECUTE pg_catalog.replace('GRANT USAGE ON SCHEMA vote_agg, @ TO ', '@', home) || pg_catalog.quote_ident(role);
    EXECUTE 'GRANT SELECT ON vote_agg.live, vote_agg.stat_fold, vote_agg.stat_pending, vote_agg.stat_attach, vote_agg.stat_aside
        TO ' || pg_catalog.quote_ident(role);
    EXECUTE pg_catalog.replace('GRANT EXECUTE ON FUNCTION
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
        @.get_match_changes(text, bigint),
        @.get_match_update(text, bigint),
        @.get_match_snapshot(text, integer),
        @.match_tile_query(integer, integer, integer, json),
        @.rpc_get_cell(text, text),
        vote_agg.matches(),
        vote_agg.live_stats(),
        vote_agg.pending_stats(),
        vote_agg.attach_stats(),
        vote_agg.fold_holder()
        TO ', '@', home) || pg_catalog.quote_ident(role);
END
$$;
COMMENT ON FUNCTION vote_agg.grant_reader(name) IS 'Lets a role call the read functions and select from the views';

CREATE FUNCTION vote_agg.grant_writer(role name)
RETURNS void LANGUAGE plpgsql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    home text := (SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e
        JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vote_agg');
BEGIN
    EXECUTE pg_catalog.replace('GRANT USAGE ON SCHEMA @ TO ', '@', home) || pg_catalog.quote_ident(role);
    EXECUTE pg_catalog.replace('GRANT EXECUTE ON FUNCTION
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
        @.rpc_record_vote(text, text, text, text, bigint),
        @.rpc_increment_h3_aggregate(text, text, integer, text, bigint),
        @.rpc_cast_vote(text, text, text, text, text)
        TO ', '@', home) || pg_catalog.quote_ident(role);
END
$$;
COMMENT ON FUNCTION vote_agg.grant_writer(name) IS 'Lets a role call the functions that record votes';

-- All of this schema. Functions elsewhere have their REVOKE beside them.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA vote_agg FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA vote_agg FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA vote_agg FROM PUBLIC;

-- A dump reads the tables that it carries, and the owner of a database who makes one may be no superuser.
GRANT USAGE ON SCHEMA vote_agg TO pg_database_owner;
GRANT SELECT ON vote_agg.match, vote_agg.pending_1, vote_agg.pending_2, vote_agg.pending_aside, vote_agg.aside,
    vote_agg.ballot, vote_agg.h3_aggregate, vote_agg.country_aggregate, vote_agg.timeline, vote_agg.country_timeline,
    vote_agg.feed, vote_agg.fold_log, vote_agg.history,
    vote_agg.source, vote_agg.source_number, vote_agg.source_delta, vote_agg.source_sum, vote_agg.source_part
    TO pg_database_owner;
