-- Folding pending votes into the aggregates, and telling everyone.

CREATE FUNCTION vote_agg.add_votes(bigint[], bigint[])
RETURNS bigint[] LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'add_votes_wrapper';
COMMENT ON FUNCTION vote_agg.add_votes(bigint[], bigint[]) IS 'The sum of two lists of counts, team by team (internal)';

CREATE FUNCTION vote_agg.leader_after(votes bigint[], change bigint[], leader integer, margin double precision)
RETURNS integer LANGUAGE c IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'leader_after_wrapper';
COMMENT ON FUNCTION vote_agg.leader_after(bigint[], bigint[], integer, double precision) IS
'The leader that is told once change is added to votes; leader: the one told before (internal)';

CREATE FUNCTION vote_agg.unpack(packed bytea)
RETURNS TABLE (key bigint, place tid, votes bigint[]) LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE ROWS 10
AS 'MODULE_PATHNAME', 'unpack_wrapper';
COMMENT ON FUNCTION vote_agg.unpack(bytea) IS
'The lists of counts that a fold passes to its statements in one value (internal)';

CREATE FUNCTION vote_agg.fold()
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS 'MODULE_PATHNAME', 'fold_wrapper';
COMMENT ON FUNCTION vote_agg.fold() IS
'Folds all pending votes that this transaction can see; returns the rows folded, 0 when somebody else is folding';

CREATE FUNCTION vote_agg.new_history()
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'new_history_wrapper';
COMMENT ON FUNCTION vote_agg.new_history() IS
'Begins new histories: every epoch changes, and followers start from a snapshot. For data that went back in a way that the server '
'cannot tell: a snapshot of its disks that was brought back, rows restored into tables that were there';
