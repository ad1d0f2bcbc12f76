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
'What get_realtime_stats says of every match, at a cost by matches plus pending rows';

CREATE VIEW vote_agg.live AS
SELECT s.match_id, s.status, s.total_votes, s.votes, s.leader, pg_catalog.round(s.dominance::numeric, 4) AS dominance,
       s.votes_per_minute, s.active_cells, s.active_countries, s.last_vote_at
FROM vote_agg.live_stats() AS s
ORDER BY s.total_votes DESC, s.match_id;
COMMENT ON VIEW vote_agg.live IS 'Every match at this moment';

CREATE FUNCTION vote_agg.pending_stats(OUT heap text, OUT is_current boolean, OUT rows bigint, OUT bytes bigint,
    OUT low_water_bytes bigint, OUT oldest_at timestamptz)
RETURNS SETOF record LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 2 COST 1000 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pending_stats_wrapper';
COMMENT ON FUNCTION vote_agg.pending_stats() IS 'What is pending in each of the two heaps';

CREATE VIEW vote_agg.stat_pending AS
SELECT p.heap, p.is_current, p.rows, p.bytes, p.low_water_bytes, p.oldest_at FROM vote_agg.pending_stats() AS p;
COMMENT ON VIEW vote_agg.stat_pending IS
'What is pending: visible rows, the heap''s size on disk, how much of it lies below low water, the oldest row';

CREATE VIEW vote_agg.stat_fold AS
SELECT coalesce(f.folds, 0) AS folds, coalesce(f.total_rows, 0) AS rows, f.last_at AS last_fold_at, f.last_rows,
       f.last_duration_ms, f.last_lag_ms AS lag_ms, w.pid AS worker_pid, f.last_error, f.last_error_at
FROM (VALUES (1)) AS one(row)
LEFT JOIN LATERAL (SELECT * FROM vote_agg.fold_log ORDER BY id DESC LIMIT 1) AS f ON true
LEFT JOIN LATERAL (
    -- The worker holds this lock as long as it lives; 21 is its class in locks of the extension.
    SELECT l.pid FROM pg_catalog.pg_locks l
    WHERE l.locktype OPERATOR(pg_catalog.=) 'advisory' AND l.objsubid OPERATOR(pg_catalog.=) 21 AND l.granted
      AND l.database OPERATOR(pg_catalog.=) (
          SELECT d.oid FROM pg_catalog.pg_database d
          WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database())
    LIMIT 1) AS w ON true;
COMMENT ON VIEW vote_agg.stat_fold IS
'The folder: folds and rows so far, the last fold''s rows, duration and lag (age of its '
'oldest vote when it was done), the worker''s process, the last error';
COMMENT ON COLUMN vote_agg.stat_fold.lag_ms IS
'Age in milliseconds of the oldest vote of the last fold when that fold was done';
COMMENT ON COLUMN vote_agg.stat_fold.worker_pid IS
'Process id of the background worker of this database; NULL: none is running';
