-- Views for people: one row each thing, made for \watch.

CREATE FUNCTION vote_agg.matches()
RETURNS SETOF text LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100 COST 1000 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'matches_wrapper';
COMMENT ON FUNCTION vote_agg.matches() IS 'Every match that was opened or has votes';

CREATE FUNCTION vote_agg.live_stats(OUT match_id text, OUT status text, OUT total_votes bigint, OUT votes jsonb,
    OUT leader text, OUT dominance double precision, OUT votes_per_minute bigint, OUT active_cells bigint,
    OUT active_countries bigint, OUT last_vote_at timestamptz)
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

CREATE FUNCTION vote_agg.lock_holders(OUT holder text, OUT lock text, OUT since timestamptz, OUT stops_folds boolean)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce('process ' || l.pid, 'prepared transaction ' || pg_catalog.quote_literal(p.gid),
                    'a prepared transaction'),
           CASE WHEN l.granted THEN 'holds ' ELSE 'waits for ' END || l.mode || ' on ' || c.relname,
           coalesce(a.xact_start, p.prepared), m.stops_folds
    FROM pg_catalog.pg_locks l
    JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind = 'r'
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'vote_agg'
    LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    LEFT JOIN pg_catalog.pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid'
          AND x.virtualtransaction = l.virtualtransaction
    LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = x.transactionid
    -- A fold reads two of our tables, and writes to most. A process that waits for such a lock is in its way as well.
    CROSS JOIN LATERAL (SELECT CASE
        WHEN c.relname IN ('match', 'history') THEN l.mode = 'AccessExclusiveLock'
        WHEN c.relname IN ('pending_1', 'pending_2', 'pending_aside', 'feed', 'fold_log', 'h3_aggregate',
                           'country_aggregate', 'timeline', 'country_timeline', 'flip', 'aside')
            THEN l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
        ELSE false END AS stops_folds) AS m
    WHERE l.locktype = 'relation' AND coalesce(a.backend_type, '') <> 'vote_agg worker'
      AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
      -- Nobody who only reads or votes holds rows that a fold needs.
      AND (m.stops_folds OR (l.granted AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
           AND l.mode <> 'AccessShareLock'
           AND (l.mode <> 'RowExclusiveLock' OR c.relname NOT IN ('pending_1', 'pending_2', 'ballot'))))
$$;
COMMENT ON FUNCTION vote_agg.lock_holders() IS
'Transactions that may be in the way of a fold: those that hold a table of ours, or rows of one (internal)';

CREATE FUNCTION vote_agg.is_restoring()
RETURNS boolean LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT NOT w.is_called AND (
        EXISTS (SELECT FROM vote_agg.feed) OR EXISTS (SELECT FROM vote_agg.h3_aggregate)
        OR EXISTS (SELECT FROM vote_agg.country_aggregate)
        OR EXISTS (
            -- Anybody may take that name; only a superuser can fill our tables.
            SELECT FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid AND r.rolsuper
            WHERE a.application_name = 'pg_restore' AND a.datid =
                (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())))
    FROM vote_agg.whole w
$$;
COMMENT ON FUNCTION vote_agg.is_restoring() IS
'Is a dump of votes being restored here? Asked before anything was folded (internal)';

CREATE FUNCTION vote_agg.fold_holder(OUT held_by text, OUT held_since timestamptz)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 1 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    SELECT h.holder, h.since FROM (
        -- 20 is the class of the lock that folds take in turn, and purges and rebuilds to the end of their transaction.
        SELECT 1 AS rank, 'process ' || l.pid AS holder, a.xact_start AS since
        FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.objsubid = 20 AND l.granted AND a.backend_type <> 'vote_agg worker'
          AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
        UNION ALL
        SELECT 2, h.holder || ' ' || h.lock, h.since FROM vote_agg.lock_holders() AS h
        -- Rows are held by many that are in nobody's way. The worker knows that it waits.
        WHERE h.stops_folds OR EXISTS (
            SELECT FROM pg_catalog.pg_stat_activity w
            WHERE w.backend_type = 'vote_agg worker' AND w.query = 'folding votes, once a lock is free' AND w.datid =
                (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()))
        UNION ALL
        SELECT 3, 'a dump that is being restored', NULL
        WHERE vote_agg.is_restoring()
        ) AS h
    ORDER BY h.rank, h.since LIMIT 1
$$;
COMMENT ON FUNCTION vote_agg.fold_holder() IS
'The transaction, other than the worker''s, that no fold can run beside, and when it began';

CREATE VIEW vote_agg.stat_fold AS
SELECT coalesce(f.folds, 0) AS folds, coalesce(f.total_rows, 0) AS rows, f.last_at AS last_fold_at, f.last_rows,
       f.last_duration_ms, f.last_lag_ms AS lag_ms, w.pid AS worker_pid, f.last_error, f.last_error_at,
       (SELECT pg_catalog.array_agg(a.match_id ORDER BY a.since, a.match_id) FROM vote_agg.aside a) AS set_aside,
       h.held_by, h.held_since,
       -- Less than nothing after the clock was set back.
       (SELECT greatest(0, 1000 OPERATOR(pg_catalog.*) extract(
                epoch FROM pg_catalog.statement_timestamp() OPERATOR(pg_catalog.-) pg_catalog.min(p.oldest_at))
            )::double precision
        FROM vote_agg.pending_stats() AS p WHERE p.heap OPERATOR(pg_catalog.<>) 'pending_aside') AS waiting_ms
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
'set aside because they could not be folded, the transaction that holds folds up, and the age of '
'the oldest vote that waits';
COMMENT ON COLUMN vote_agg.stat_fold.lag_ms IS
'Age in milliseconds of the oldest vote of the last fold when that fold was done';
COMMENT ON COLUMN vote_agg.stat_fold.waiting_ms IS
'Age in milliseconds of the oldest vote that waits for a fold, in matches that are not set aside; 0: none waits';
COMMENT ON COLUMN vote_agg.stat_fold.worker_pid IS
'Process id of the background worker of this database; NULL: none is running';
COMMENT ON COLUMN vote_agg.stat_fold.set_aside IS
'Matches that could not be folded, the oldest first; vote_agg.stat_aside says why. NULL: none';
COMMENT ON COLUMN vote_agg.stat_fold.held_by IS
'Who holds folds up: a purge, a rebuild or a fold in a transaction that goes on, or a lock on our tables; NULL: nobody';

CREATE VIEW vote_agg.stat_aside AS
SELECT a.match_id, a.since, a.tries, a.next_try, a.reason FROM vote_agg.aside AS a;
COMMENT ON VIEW vote_agg.stat_aside IS
'Matches that could not be folded: since when, how often they were tried, when they will be again, and why the last '
'try failed. Their votes are counted in every read';
