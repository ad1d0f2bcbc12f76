-- The state of the whole in one look. A DBA runs it first, and a monitor reads it.

CREATE FUNCTION vote_agg.library_version()
RETURNS text LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'library_version_wrapper';
COMMENT ON FUNCTION vote_agg.library_version() IS 'The version of the library that this session has loaded (internal)';

CREATE FUNCTION vote_agg.unfit_settings(OUT name text, OUT place text, OUT state text, OUT reason text)
RETURNS SETOF record LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 1 COST 1000 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    WITH setting AS (
        SELECT s.name, s.setting AS value, 'in this session' AS place FROM pg_catalog.pg_settings s
        UNION ALL
        SELECT pg_catalog.split_part(c.setting, '=', 1), pg_catalog.split_part(c.setting, '=', 2),
               'for ' || pg_catalog.concat_ws(' in ', 'role ' || pg_catalog.quote_ident(a.rolname),
                                              'database ' || pg_catalog.quote_ident(d.datname))
        FROM pg_catalog.pg_db_role_setting r CROSS JOIN LATERAL pg_catalog.unnest(r.setconfig) AS c(setting)
        LEFT JOIN pg_catalog.pg_roles a ON a.oid = r.setrole
        LEFT JOIN pg_catalog.pg_database d ON d.oid = r.setdatabase
        WHERE r.setdatabase = 0 OR d.datname = pg_catalog.current_database()
    )
    SELECT s.name || ' = ' || s.value, s.place, u.state, u.reason
    FROM setting s JOIN (VALUES
        ('fsync', '{off,false,no,0}'::text[], 'fail', 'Without fsync a crash of the machine loses votes.'),
        ('synchronous_commit', '{off,false,no,0}', 'warn', 'Without synchronous_commit a crash loses votes.'),
        ('autovacuum', '{off,false,no,0}', 'warn', 'Without autovacuum our tables keep their dead rows.'),
        ('max_worker_processes', '{0}', 'warn', 'Without worker processes somebody has to call vote_agg.fold().'),
        ('session_replication_role', '{replica}', 'warn', 'In the role replica no trigger counts an attached table.'),
        ('event_triggers', '{off,false,no,0}', 'warn', 'Without event triggers changes of attached tables pass unseen.')
    ) AS u(name, bad, state, reason) ON s.name = u.name AND pg_catalog.lower(s.value) = ANY (u.bad)
$$;
COMMENT ON FUNCTION vote_agg.unfit_settings() IS
'Settings of the server, of this database and of roles that break a promise, and why (internal)';

CREATE FUNCTION vote_agg.stopped_triggers()
RETURNS SETOF text LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 1 COST 1000 SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'trigger ' || t.tgname || ' on ' || t.tgrelid::regclass
    FROM vote_agg.source s JOIN pg_catalog.pg_trigger t ON t.tgrelid = s.relation
      OR t.tgrelid IN (SELECT p.relid FROM pg_catalog.pg_partition_tree(s.relation) p)
    -- D: disabled; R: fires in replicas only.
    WHERE s.state <> 'detached' AND t.tgfoid = 'vote_agg.count_rows()'::regprocedure AND t.tgenabled IN ('D', 'R')
      -- Stopped once its table is counted.
      AND (t.tgname <> 'vote_agg_fill' OR s.state = 'filling')
    UNION ALL
    SELECT 'event trigger ' || e.evtname FROM pg_catalog.pg_event_trigger e
    JOIN pg_catalog.pg_proc p ON p.oid = e.evtfoid JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'vote_agg' AND e.evtenabled IN ('D', 'R')
$$;
COMMENT ON FUNCTION vote_agg.stopped_triggers() IS
'Triggers of attached tables, and event triggers of ours, that somebody disabled (internal)';

CREATE FUNCTION vote_agg.oldest_snapshot()
RETURNS text LANGUAGE sql STABLE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT h.holder FROM (
        SELECT 'process ' || a.pid AS holder, pg_catalog.age(a.backend_xmin) AS age FROM pg_catalog.pg_stat_activity a
        WHERE a.pid <> pg_catalog.pg_backend_pid()
          AND coalesce(a.datname = pg_catalog.current_database(), a.backend_type = 'walsender')
        UNION ALL
        SELECT 'prepared transaction ' || pg_catalog.quote_literal(p.gid), pg_catalog.age(p.transaction)
        FROM pg_catalog.pg_prepared_xacts p WHERE p.database = pg_catalog.current_database()
        UNION ALL
        SELECT 'replication slot ' || pg_catalog.quote_literal(s.slot_name), pg_catalog.age(s.xmin)
        FROM pg_catalog.pg_replication_slots s
        ) AS h
    WHERE h.age IS NOT NULL ORDER BY h.age DESC LIMIT 1
$$;
COMMENT ON FUNCTION vote_agg.oldest_snapshot() IS
'Another session, prepared transaction or slot that keeps dead rows the longest; NULL: none does (internal)';

CREATE FUNCTION vote_agg.status()
RETURNS TABLE (check_name text, state text, detail text, hint text)
LANGUAGE sql STABLE PARALLEL RESTRICTED ROWS 10 COST 100000 SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
WITH fold AS MATERIALIZED (
    SELECT f.worker_pid, f.last_error, f.last_error_at, f.set_aside, f.held_by FROM vote_agg.stat_fold f
), waiting AS MATERIALIZED (
    -- Less than nothing after the clock was set back.
    SELECT greatest(0, extract(epoch FROM statement_timestamp()
                               - pg_catalog.min(p.oldest_at) FILTER (WHERE p.heap <> 'pending_aside'))) AS seconds,
           pg_catalog.sum(p.rows) AS rows, pg_catalog.sum(p.bytes) AS bytes
    FROM vote_agg.pending_stats() p
), own AS MATERIALIZED (
    -- Unknown until the library is loaded, which pending_stats() does.
    SELECT coalesce(pg_catalog.current_setting('vote_agg.worker', true), 'on') = 'off' AS is_off,
           extract(epoch FROM coalesce(pg_catalog.current_setting('vote_agg.fold_interval', true), '100ms')::interval)
               AS gap,
           pg_catalog.pg_size_bytes(coalesce(pg_catalog.current_setting('vote_agg.turn_size', true), '64MB')) AS turn,
           pg_catalog.pg_is_in_recovery() AS is_standby
), version AS MATERIALIZED (
    SELECT e.extversion AS script, vote_agg.library_version() AS library
    FROM pg_catalog.pg_extension e WHERE e.extname = 'vote_agg'
), left_over AS MATERIALIZED (
    SELECT pg_catalog.count(*) AS number, pg_catalog.min(p.prepared) AS since,
           (pg_catalog.array_agg(p.gid ORDER BY p.prepared))[1] AS gid
    FROM pg_catalog.pg_prepared_xacts p
    WHERE p.database = pg_catalog.current_database() AND p.prepared < statement_timestamp() - interval '1 minute'
), finding(check_name, state, detail, hint) AS (
    SELECT 'version', 'fail', 'the library is ' || v.library || ', the objects in the database are ' || v.script,
           'Run ALTER EXTENSION vote_agg UPDATE. Where that finds nothing to do, install the files of '
           || v.script || ' or newer, and connect again.'
    FROM version v WHERE v.library <> v.script
    UNION ALL
    SELECT 'worker', 'fail', 'no worker runs, and the oldest vote waits for ' || w.seconds::bigint || ' s',
           CASE WHEN o.is_off THEN 'vote_agg.worker is off: switch it on, or call vote_agg.fold() again and again.'
                ELSE 'Raise max_worker_processes, which is ' || pg_catalog.current_setting('max_worker_processes')
                     || ', or call vote_agg.fold() again and again.' END
    FROM fold f, waiting w, own o WHERE f.worker_pid IS NULL AND NOT o.is_standby AND w.seconds >= 5 + o.gap
    UNION ALL
    SELECT 'lag', CASE WHEN w.seconds >= 60 + o.gap THEN 'fail' ELSE 'warn' END,
           'the oldest vote waits for ' || w.seconds::bigint || ' s' || coalesce(', behind ' || f.held_by, ''),
           CASE WHEN f.held_by IS NOT NULL THEN 'End that transaction, or wait for its end.'
                WHEN o.is_standby THEN 'Look at the primary, and at the lag of replication.'
                ELSE 'Look at the checks worker and fold. Reads count the votes all the same.' END
    FROM fold f, waiting w, own o WHERE w.seconds >= 5 + o.gap
    UNION ALL
    SELECT 'fold', 'fail', 'the last fold failed: ' || f.last_error,
           'Remove the cause; it is tried again by itself. Reads count the votes all the same.'
    FROM fold f WHERE f.last_error IS NOT NULL AND f.set_aside IS NULL
    UNION ALL
    SELECT 'set aside', 'fail', pg_catalog.count(*) || ', the oldest ' || pg_catalog.to_json(
               (pg_catalog.array_agg(a.match_id ORDER BY a.since, a.match_id))[1]) || ': '
           || (pg_catalog.array_agg(a.reason ORDER BY a.since, a.match_id))[1],
           'Remove the cause, which vote_agg.stat_aside tells; each match is tried again by itself.'
    FROM vote_agg.aside a HAVING pg_catalog.count(*) > 0
    UNION ALL
    SELECT 'pending', 'warn', pg_catalog.pg_size_pretty(w.bytes) || ' on disk for ' || w.rows || ' rows'
           || coalesce(', with the oldest snapshot held by ' || vote_agg.oldest_snapshot(), ''),
           'Dead rows stay while a snapshot sees them: end the transaction, or drop the slot, that holds it.'
    FROM waiting w, own o WHERE w.bytes > 8 * o.turn
    UNION ALL
    SELECT 'prepared', 'warn', l.number || ' prepared over a minute ago, the oldest ' || pg_catalog.quote_literal(l.gid)
           || ' ' || extract(epoch FROM statement_timestamp() - l.since)::bigint || ' s ago',
           'Run COMMIT PREPARED or ROLLBACK PREPARED. Until then a match that it voted in does not become final.'
    FROM left_over l WHERE l.number > 0
    UNION ALL
    SELECT 'triggers', 'fail', pg_catalog.string_agg(t.name, ', ' ORDER BY t.name COLLATE "C") || ' disabled',
           'Enable them (ALTER TABLE … ENABLE TRIGGER, ALTER EVENT TRIGGER … ENABLE). Rows that passed '
           'meanwhile are not counted: verify_match shows them, and rebuild_match counts again.'
    FROM vote_agg.stopped_triggers() AS t(name) HAVING pg_catalog.count(*) > 0
    UNION ALL
    SELECT 'attached', 'fail', pg_catalog.string_agg(a.source || ': ' || a.last_error, '; ' ORDER BY a.attached_at),
           'Remove the cause; the table is tried again by itself. None of its old rows is counted until then.'
    FROM vote_agg.attach_stats() a WHERE a.state = 'filling' AND a.last_error IS NOT NULL HAVING pg_catalog.count(*) > 0
    UNION ALL
    SELECT 'shards', CASE WHEN bool_or(s.lag_s >= 5 OR s.alarms > 0) THEN 'fail' ELSE 'warn' END,
           pg_catalog.string_agg(pg_catalog.concat_ws(', ', s.shard || ' answered ' || s.lag_s::bigint || ' s ago',
               CASE WHEN pg_catalog.abs(s.skew_ms) > 1000 THEN 'its clock is ' || s.skew_ms::bigint || ' ms ahead' END,
               CASE WHEN s.alarms > 0 THEN s.alarms || ' matches changed after they were final here' END,
               s.last_error), '; ' ORDER BY s.shard),
           'Look at the shard and at the puller. The votes of other shards come all the same; those of this one come '
           'when it answers. Let all clocks follow one time server.'
    FROM vote_agg.stat_shards s WHERE s.left_at IS NULL
     AND (s.lag_s >= 5 OR s.alarms > 0 OR s.last_error IS NOT NULL OR pg_catalog.abs(s.skew_ms) > 1000)
    HAVING pg_catalog.count(*) > 0
    UNION ALL
    SELECT 'settings', pg_catalog.min(u.state),
           pg_catalog.string_agg(u.name || ' ' || u.place, ', ' ORDER BY u.name, u.place),
           pg_catalog.string_agg(DISTINCT u.reason, ' ')
    FROM vote_agg.unfit_settings() u HAVING pg_catalog.count(*) > 0
)
SELECT c.name, coalesce(n.state, 'ok'), coalesce(n.detail, c.fine), n.hint
FROM fold f, waiting w, own o, version v CROSS JOIN LATERAL (VALUES
    (1, 'version', v.script),
    (2, 'worker', CASE WHEN o.is_standby THEN 'a standby: the primary folds'
                       WHEN f.worker_pid IS NOT NULL THEN 'process ' || f.worker_pid
                       ELSE 'none runs, and no vote waits for one' END),
    (3, 'lag', 'the oldest vote waits for ' || w.seconds::bigint || ' s'),
    (4, 'fold', 'no fold has failed since the last that succeeded'),
    (5, 'set aside', 'no match'),
    (6, 'pending', pg_catalog.pg_size_pretty(w.bytes) || ' on disk for ' || w.rows || ' rows'),
    (7, 'prepared', 'none that is a minute old'),
    (8, 'triggers', 'none is disabled'),
    (9, 'attached', 'no table that could not be counted'),
    (10, 'shards', CASE WHEN EXISTS (SELECT FROM vote_agg.shard) THEN 'each has just answered'
                        ELSE 'none is followed' END),
    (11, 'settings', 'none that breaks a promise')
) AS c(rank, name, fine) LEFT JOIN finding n ON n.check_name = c.name
ORDER BY c.rank
$$;
COMMENT ON FUNCTION vote_agg.status() IS
'One row a check: its state (ok, warn, fail), what was found, and what to do. A DBA runs it first';
