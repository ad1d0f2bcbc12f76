-- Rights. PUBLIC may execute pure functions and nothing else; a DBA hands out two sets.

CREATE FUNCTION vote_agg.grant_reader(role name)
RETURNS void LANGUAGE plpgsql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE 'GRANT USAGE ON SCHEMA vote_agg, @extschema@ TO ' || pg_catalog.quote_ident(role);
    EXECUTE 'GRANT SELECT ON vote_agg.live, vote_agg.stat_fold, vote_agg.stat_pending, vote_agg.stat_attach
        TO ' || pg_catalog.quote_ident(role);
    EXECUTE 'GRANT EXECUTE ON FUNCTION
        @extschema@.get_realtime_stats(text),
        @extschema@.get_match_aggregates(text, integer, bigint, integer, double precision[], text, integer),
        @extschema@.get_top_cells(text, integer, text, text),
        @extschema@.get_cell(text, text),
        @extschema@.get_cell(text, bigint),
        @extschema@.get_match_geojson(text, integer, bigint, double precision[], boolean),
        @extschema@.get_match_tile(text, integer, integer, integer, text),
        @extschema@.match_tile(integer, integer, integer, text, text),
        @extschema@.get_country_aggregates(text, bigint),
        @extschema@.get_match_timeline(text, interval, timestamptz, timestamptz),
        @extschema@.get_match_at(text, timestamptz),
        @extschema@.get_match_changes(text, bigint),
        @extschema@.get_match_update(text, bigint),
        @extschema@.get_match_snapshot(text, integer),
        vote_agg.matches(),
        vote_agg.pending_stats(),
        vote_agg.attach_stats()
        TO ' || pg_catalog.quote_ident(role);
END
$$;
COMMENT ON FUNCTION vote_agg.grant_reader(name) IS 'Lets a role call the read functions and select from the views';

CREATE FUNCTION vote_agg.grant_writer(role name)
RETURNS void LANGUAGE plpgsql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE 'GRANT USAGE ON SCHEMA @extschema@ TO ' || pg_catalog.quote_ident(role);
    EXECUTE 'GRANT EXECUTE ON FUNCTION
        @extschema@.record_vote(text, text, text, text, bigint),
        @extschema@.record_vote(text, text, bigint, text, bigint),
        @extschema@.increment_h3_aggregate(text, text, integer, text, bigint),
        @extschema@.increment_h3_aggregate(text, bigint, integer, text, bigint),
        @extschema@.update_h3_aggregate(text, text, integer, text, bigint),
        @extschema@.update_h3_aggregate(text, bigint, integer, text, bigint),
        @extschema@.increment_country_aggregate(text, text, text, bigint),
        @extschema@.update_country_aggregate(text, text, text, bigint),
        @extschema@.bulk_increment(jsonb),
        @extschema@.bulk_increment(text, text[], bigint[], text[], bigint[]),
        @extschema@.bulk_update_aggregates(jsonb),
        @extschema@.bulk_update_aggregates(text, text[], bigint[], text[], bigint[]),
        @extschema@.cast_vote(text, text, text, text, text),
        @extschema@.cast_vote(text, text, text, bigint, text),
        @extschema@.retract_vote(text, text)
        TO ' || pg_catalog.quote_ident(role);
END
$$;
COMMENT ON FUNCTION vote_agg.grant_writer(name) IS 'Lets a role call the functions that record votes';

-- All of this schema. Functions elsewhere have their REVOKE beside them.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA vote_agg FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA vote_agg FROM PUBLIC;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA vote_agg FROM PUBLIC;
