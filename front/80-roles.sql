-- Rights: as in vote_agg, PUBLIC may do nothing and a DBA hands out two sets. What a role may do on the shards
-- is decided there, for the user of its mapping.

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA vote_agg_front FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA vote_agg_front FROM PUBLIC;

-- Those of the extension's schema that are no pure ones.
DO $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid FROM pg_catalog.pg_proc p
        JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid
        JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid AND e.extname = 'vote_agg_front' AND d.deptype = 'e'
        WHERE p.pronamespace = e.extnamespace AND p.provolatile <> 'i'
    LOOP
        EXECUTE pg_catalog.format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', f);
    END LOOP;
END
$$;

CREATE FUNCTION vote_agg_front.set_rights(role name, is_reader boolean, is_granted boolean)
RETURNS void LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    verb text := CASE WHEN is_granted THEN 'GRANT ' ELSE 'REVOKE ' END;
    somebody text := CASE WHEN is_granted THEN ' TO ' ELSE ' FROM ' END || quote_ident(role);
    home oid := (SELECT e.extnamespace FROM pg_extension e WHERE e.extname = 'vote_agg_front');
    writers text[] := '{record_vote,rpc_record_vote,increment_h3_aggregate,update_h3_aggregate,
        rpc_increment_h3_aggregate,increment_country_aggregate,update_country_aggregate,bulk_increment,
        bulk_update_aggregates,record_votes,cast_vote,rpc_cast_vote,retract_vote,get_vote,cast_votes,retract_votes}';
    readers text[] := '{get_realtime_stats,get_match_aggregates,get_top_cells,get_cell,get_country_aggregates,
        get_match_at,get_match_timeline}';
    to_write text[] := '{guard,slot_of_call,any_of,slot_of_voter,shard_of,slot_of_bulk,slots_of_voters,is_split,numbers,
        record_votes_on,record_votes_split,cast_votes_on,cast_votes_split,retract_votes_on,retract_votes_split,
        vote_of}';
    to_read text[] := '{shards,slots,is_home,slots_to_read,merged,is_name,stats_on,cells,cells_on,cell_on,countries_on,
        at_on,line_on}';
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
        JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'vote_agg_front' AND d.deptype = 'e'
        WHERE p.pronamespace = home AND p.proname = ANY (CASE WHEN is_reader THEN readers ELSE writers END)
           OR p.pronamespace = 'vote_agg_front'::regnamespace
              AND p.proname = ANY (CASE WHEN is_reader THEN to_read ELSE to_write END)
    LOOP
        EXECUTE verb || 'EXECUTE ON FUNCTION ' || f || somebody;
    END LOOP;
    -- One who has both sets keeps what the other one needs.
    IF is_granted OR NOT EXISTS (
        SELECT FROM pg_proc p CROSS JOIN LATERAL aclexplode(p.proacl) AS a JOIN pg_roles r ON r.oid = a.grantee
        WHERE p.pronamespace = 'vote_agg_front'::regnamespace AND r.rolname = set_rights.role) THEN
        EXECUTE verb || 'USAGE ON SCHEMA vote_agg_front, ' || home::regnamespace || somebody;
        EXECUTE verb || 'SELECT ON vote_agg_front.placement' || somebody;
        EXECUTE verb || 'USAGE ON FOREIGN SERVER vote_agg_shards' || somebody;
    END IF;
END
$$;
COMMENT ON FUNCTION vote_agg_front.set_rights(name, boolean, boolean) IS
'Gives a role the rights of a reader or a writer, or takes them away (internal)';

CREATE FUNCTION vote_agg_front.grant_reader(role name)
RETURNS void LANGUAGE sql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT vote_agg_front.set_rights(role, true, true)
$$;
COMMENT ON FUNCTION vote_agg_front.grant_reader(name) IS 'Lets a role call the read functions; after the first shard';
CREATE FUNCTION vote_agg_front.grant_writer(role name)
RETURNS void LANGUAGE sql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT vote_agg_front.set_rights(role, false, true)
$$;
COMMENT ON FUNCTION vote_agg_front.grant_writer(name) IS
'Lets a role call the functions that record votes; after the first shard';
CREATE FUNCTION vote_agg_front.revoke_reader(role name)
RETURNS void LANGUAGE sql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT vote_agg_front.set_rights(role, true, false)
$$;
COMMENT ON FUNCTION vote_agg_front.revoke_reader(name) IS 'Takes from a role what grant_reader gave it';
CREATE FUNCTION vote_agg_front.revoke_writer(role name)
RETURNS void LANGUAGE sql STRICT VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT vote_agg_front.set_rights(role, false, false)
$$;
COMMENT ON FUNCTION vote_agg_front.revoke_writer(name) IS 'Takes from a role what grant_writer gave it';

REVOKE ALL ON FUNCTION vote_agg_front.set_rights(name, boolean, boolean), vote_agg_front.grant_reader(name),
    vote_agg_front.grant_writer(name), vote_agg_front.revoke_reader(name), vote_agg_front.revoke_writer(name)
    FROM PUBLIC;
