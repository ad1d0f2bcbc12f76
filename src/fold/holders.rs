//! Who holds a lock that a fold waited for in vain.

use crate::error::Result;
use crate::pg::spi::{Plan, Sees, Spi};

thread_local! {
    // Whoever reads or votes is in nobody's way, nor is anybody who holds no more than that.
    static HOLDERS: Plan = const { Plan::new(
        "SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('%s holds %s on %s%s',
                CASE WHEN l.pid IS NULL THEN 'a prepared transaction' ELSE 'process ' || l.pid END, l.mode, c.relname,
                ' since ' || a.xact_start), '; ')
         FROM pg_catalog.pg_locks l
         JOIN pg_catalog.pg_class c ON c.oid = l.relation
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'vote_agg'
         LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
         WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
           AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
           AND c.relkind = 'r' AND l.mode <> 'AccessShareLock'
           AND (l.mode <> 'RowExclusiveLock' OR c.relname NOT IN ('pending_1', 'pending_2', 'ballot'))", &[]) };
}

/// The reason of a failure, and with it whom it waited for.
///
/// # Errors
/// Those of the server.
pub fn name(spi: &Spi, reason: &str) -> Result<String> {
    let rows = spi.run(&HOLDERS, &[], Sees::Now)?;
    let holders: Option<String> = rows.first().and_then(|row| row.get(1));
    Ok(holders.map_or_else(|| reason.to_owned(), |holders| format!("{reason}: {holders}")))
}
