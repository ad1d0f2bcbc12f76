//! The triggers of an attached table: their names, and making, stopping and dropping them.

use crate::attached::registry::SourceState;
use crate::error::Result;
use crate::pg::catalog::{self, shown};
use crate::pg::spi::{Plan, Sees, Spi};
use crate::pg::table::Table;
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

thread_local! {
    static MADE: Plan = const { Plan::new(
        "SELECT t.tgname::text FROM pg_catalog.pg_trigger t
         WHERE t.tgrelid = $1 AND t.tgfoid = 'vote_agg.count_rows()'::regprocedure", &[pg_sys::OIDOID]) };
}

/// The triggers that `attach_votes` makes: their names tell which one is meant to do what.
pub const TRIGGERS: [&CStr; 4] = [c"vote_agg_insert", c"vote_agg_update", c"vote_agg_delete", c"vote_agg_truncate"];

/// The trigger for each row of a table that is being filled: only that one is told the row's place.
pub const ROW_TRIGGER: &CStr = c"vote_agg_fill";

/// A trigger in partitions that never fires. In PostgreSQL 18, a row that MERGE updates after it has inserted one comes to the
/// statement's trigger as the inserted one again, but not where a trigger could have changed the inserted row.
pub const MERGE_TRIGGER: &CStr = c"vote_agg_merge";

/// The triggers of ours that a table has.
fn made(spi: &Spi, table: pg_sys::Oid) -> Result<Vec<String>> {
    spi.run(&MADE, &[Some(table.into())], Sees::Now)?.iter().map(|row| row.need(1)).collect()
}

/// Makes the triggers on one table, where they are missing. They go with the extension (and with it only).
///
/// # Errors
/// The server's own.
pub fn make(spi: &Spi, table: pg_sys::Oid, state: SourceState) -> Result<()> {
    const WHEN: [&str; 4] = [
        "AFTER INSERT ON {} REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT",
        "AFTER UPDATE ON {} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT",
        "AFTER DELETE ON {} REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT",
        "BEFORE TRUNCATE ON {} FOR EACH STATEMENT",
    ];
    // A row trigger on a partitioned table would make one in each partition; where rows are, we do that ourselves.
    let (has_rows, is_partition) = {
        let table = Table::open(table, pg_sys::NoLock);
        (table.has_storage(), table.is_partition())
    };
    let mut wanted: Vec<(&CStr, &str)> = TRIGGERS.into_iter().zip(WHEN).collect();
    if has_rows && state == SourceState::Filling {
        wanted.push((ROW_TRIGGER, "AFTER INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW"));
    }
    if has_rows && is_partition && cfg!(feature = "pg18") {
        wanted.push((MERGE_TRIGGER, "BEFORE INSERT ON {} FOR EACH ROW WHEN (false)"));
    }
    let (made, table) = (made(spi, table)?, shown(table));
    for (name, when) in wanted {
        let name = name.to_string_lossy();
        if !made.contains(&name.to_string()) {
            let when = when.replace("{}", &table);
            spi.command(&format!("CREATE TRIGGER {name} {when} EXECUTE FUNCTION vote_agg.count_rows()"))?;
            spi.command(&format!("ALTER TRIGGER {name} ON {table} DEPENDS ON EXTENSION vote_agg"))?;
        }
    }
    Ok(())
}

/// Stops the trigger for each row, once the table is counted. To drop it would mean to wait for everybody who reads the table.
///
/// # Errors
/// The server's own.
pub fn stop_row_trigger(spi: &Spi, table: pg_sys::Oid) -> Result<()> {
    let name = ROW_TRIGGER.to_string_lossy();
    if !made(spi, table)?.contains(&name.to_string()) {
        return Ok(());
    }
    spi.command(&format!("ALTER TABLE {} DISABLE TRIGGER {name}", shown(table)))
}

/// Drops them.
///
/// # Errors
/// The server's own.
pub fn drop_all(spi: &Spi, table: pg_sys::Oid) -> Result<()> {
    for name in made(spi, table)? {
        let name = CString::new(name).map_err(|e| crate::error::broken(e.to_string()))?;
        spi.command(&format!("DROP TRIGGER {} ON {}", catalog::identifier(&name), shown(table)))?;
    }
    Ok(())
}
