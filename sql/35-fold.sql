-- Folding pending votes into the aggregates, and telling everyone.

-- A change is pairs of a team's number and its votes: of many teams most have none in a cell.
CREATE FUNCTION vote_agg.add_votes(votes bigint[], change bigint[])
RETURNS bigint[] LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'add_votes_wrapper';
COMMENT ON FUNCTION vote_agg.add_votes(bigint[], bigint[]) IS
'A list of counts once a change is added to it (internal)';

CREATE FUNCTION vote_agg.leader_after(votes bigint[], change bigint[], leader integer, margin double precision)
RETURNS integer LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'leader_after_wrapper';
COMMENT ON FUNCTION vote_agg.leader_after(bigint[], bigint[], integer, double precision) IS
'The announced leader once change is added to votes; leader: the one announced before (internal)';

CREATE FUNCTION vote_agg.unpack(packed bytea)
RETURNS TABLE (match_id text, seq bigint, number bigint, key bigint, place tid, change bigint[])
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 10
AS 'MODULE_PATHNAME', 'unpack_wrapper';
COMMENT ON FUNCTION vote_agg.unpack(bytea) IS
'The changes that a fold passes to its statements in one value (internal)';

CREATE FUNCTION vote_agg.fold()
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
-- A fold tries locks: it waits for no other lock for longer.
SET lock_timeout = '100ms'
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS 'MODULE_PATHNAME', 'fold_wrapper';
COMMENT ON FUNCTION vote_agg.fold() IS
'Folds all pending votes that this transaction can see, those of matches that are set aside too; '
'returns the rows folded, 0 when somebody else is folding';

CREATE FUNCTION vote_agg.stop_worker()
RETURNS bigint LANGUAGE sql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM (
        SELECT pg_catalog.pg_terminate_backend(a.pid, 10000) AS is_gone FROM pg_catalog.pg_stat_activity a
        WHERE a.backend_type IN ('vote_agg worker', 'vote_agg filler') AND a.datid =
            (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) OFFSET 0) AS s
    WHERE s.is_gone
$$;
COMMENT ON FUNCTION vote_agg.stop_worker() IS
'Ends the background processes of this database, so that it can be dropped, renamed or used as a template; '
'returns how many there were. The next vote or read starts the worker again, unless vote_agg.worker is off';

CREATE FUNCTION vote_agg.new_history()
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'new_history_wrapper';
COMMENT ON FUNCTION vote_agg.new_history() IS
'Begins new histories: every epoch changes, and followers start from a snapshot. For data that went back in a way '
'that the server cannot tell: a snapshot of its disks that was brought back, rows restored into tables that were there';
