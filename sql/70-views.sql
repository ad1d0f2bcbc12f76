-- Views for people: one row each thing, made for \watch.

CREATE FUNCTION vote_agg.matches()
RETURNS SETOF text LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100 COST 1000 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'matches_wrapper';
COMMENT ON FUNCTION vote_agg.matches() IS 'Every match that was opened or has votes';

CREATE FUNCTION vote_agg.live_stats(OUT match_id text, OUT status text, OUT total_votes bigint, OUT votes jsonb, OUT leader text,
    OUT dominance double precision, OUT votes_per_minute bigint, OUT active_cells bigint, OUT active_countries bigint,
    OUT last_vote_at timestamptz)
RETURNS SETOF record LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100 COST 10000 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'live_stats_wrapper';
COMMENT ON FUNCTION vote_agg.live_stats() IS
'Every match at this moment, in one look at what is pending; the numbers of a match that cannot be read are NULL';

CREATE VIEW vote_agg.live AS
SELECT s.match_id, s.status, s.total_votes, s.votes, s.leader, pg_catalog.round(s.dominance::numeric, 4) AS dominance,
       s.votes_per_minute, s.active_cells, s.active_countries, s.last_vote_at
FROM vote_agg.live_stats() AS s
ORDER BY s.total_votes DESC NULLS LAST, s.match_id;
COMMENT ON VIEW vote_agg.live IS 'Every match at this moment; the numbers of a match that cannot be read are NULL';

CREATE FUNCTION vote_agg.pending_stats(OUT heap text, OUT is_current boolean, OUT rows bigint, OUT bytes bigint,
    OUT low_water_bytes bigint, OUT oldest_at timestamptz)
RETURNS SETOF record LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 3 COST 1000 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pending_stats_wrapper';
COMMENT ON FUNCTION vote_agg.pending_stats() IS 'What is pending in each heap';

CREATE VIEW vote_agg.stat_pending AS
SELECT p.heap, p.is_current, p.rows, p.bytes, p.low_water_bytes, p.oldest_at FROM vote_agg.pending_stats() AS p;
COMMENT ON VIEW vote_agg.stat_pending IS
'What is pending: visible rows, the heap''s size on disk, how much of it lies below low water, the oldest row';

CREATE FUNCTION vote_agg.fold_holder(OUT held_by text, OUT held_since timestamptz)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 1 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    -- 20 is the class of the lock that folds take in turn, and purges and rebuilds to the end of their transaction.
    SELECT 'process ' || l.pid, a.xact_start
    FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.objsubid = 20 AND l.granted AND a.backend_type <> 'vote_agg worker'
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
    LIMIT 1
$$;
COMMENT ON FUNCTION vote_agg.fold_holder() IS
'The transaction, other than the worker''s, that no fold can run beside, and when it began';

CREATE VIEW vote_agg.stat_fold AS
SELECT coalesce(f.folds, 0) AS folds, coalesce(f.total_rows, 0) AS rows, f.last_at AS last_fold_at, f.last_rows,
       f.last_duration_ms, f.last_lag_ms AS lag_ms, w.pid AS worker_pid, f.last_error, f.last_error_at,
       (SELECT pg_catalog.array_agg(a.match_id ORDER BY a.since, a.match_id) FROM vote_agg.aside a) AS set_aside,
       h.held_by, h.held_since
FROM (VALUES (1)) AS one(row)
LEFT JOIN LATERAL (SELECT * FROM vote_agg.fold_log ORDER BY id DESC LIMIT 1) AS f ON true
LEFT JOIN LATERAL (
    -- The worker holds this lock as long as it lives; 21 is its class in locks of the extension.
    SELECT l.pid FROM pg_catalog.pg_locks l
    WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.objsubid OPERATOR(pg_catalog.=) 21 AND l.granted
      AND l.database OPERATOR(pg_catalog.=) (
          SELECT d.oid FROM pg_catalog.pg_database d
          WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
    LIMIT 1) AS w ON true
LEFT JOIN vote_agg.fold_holder() AS h ON true;
COMMENT ON VIEW vote_agg.stat_fold IS
'The folder: folds and rows so far, the last fold''s rows, duration and lag (age of its '
'oldest vote when it was done), the worker''s process, the last error, the matches that are '
'set aside because they could not be folded, and the transaction that holds folds up';
COMMENT ON COLUMN vote_agg.stat_fold.lag_ms IS
'Age in milliseconds of the oldest vote of the last fold when that fold was done';
COMMENT ON COLUMN vote_agg.stat_fold.worker_pid IS
'Process id of the background worker of this database; NULL: none is running';
COMMENT ON COLUMN vote_agg.stat_fold.set_aside IS
'Matches that could not be folded, the oldest first; vote_agg.stat_aside says why. NULL: none';
COMMENT ON COLUMN vote_agg.stat_fold.held_by IS
'Who holds folds up: a purge, a rebuild or a fold in a transaction that goes on; NULL: nobody';

CREATE VIEW vote_agg.stat_aside AS
SELECT a.match_id, a.since, a.tries, a.next_try, a.reason FROM vote_agg.aside AS a;
COMMENT ON VIEW vote_agg.stat_aside IS
'Matches that could not be folded: since when, how often they were tried, when they will be again, and why the last try failed. Their votes are counted in every read';
