//! The triggers of an attached table: their names, and making, stopping and dropping them.

use crate::attached::registry::SourceState;
use crate::error::Result;
use crate::pg::catalog::{self, shown};
use crate::pg::merge;
use crate::pg::spi::{Plan, Sees, Spi};
use crate::pg::table::Table;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, function_name, pg_sys};
use std::ffi::{CStr, CString};

thread_local! {
    static MADE: Plan = const { Plan::new(
        "SELECT t.tgname::text FROM pg_catalog.pg_trigger t
         WHERE t.tgrelid = $1 AND t.tgfoid = 'vote_agg.count_rows()'::regprocedure", &[pg_sys::OIDOID]) };
    static ENABLED: Plan = const { Plan::new(
        "SELECT 1 FROM pg_catalog.pg_trigger t WHERE t.tgrelid = $1 AND t.tgname = 'vote_agg_fill'
           AND t.tgenabled <> 'D' AND t.tgfoid = 'vote_agg.count_rows()'::regprocedure", &[pg_sys::OIDOID]) };
}

/// The triggers that `attach_votes` makes: their names tell which one is meant to do what.
pub const TRIGGERS: [&CStr; 4] = [c"vote_agg_insert", c"vote_agg_update", c"vote_agg_delete", c"vote_agg_truncate"];

/// Those of them for rows that a MERGE may move to another partition.
pub const OF_ROWS: merge::Triggers = merge::Triggers { insert: TRIGGERS[0], delete: TRIGGERS[2] };

/// The trigger for each row of a table that is being filled: only that one is told the row's place.
pub const ROW_TRIGGER: &CStr = c"vote_agg_fill";

/// A trigger in partitions that never fires. In PostgreSQL 18, a row that MERGE updates right after an insert comes to the
/// statement's trigger as the inserted row again. It does not where a trigger could have changed the inserted row.
pub const MERGE_TRIGGER: &CStr = c"vote_agg_merge";

/// A trigger of partitioned tables that counts nothing. It has the library loaded, and so its hook set (pg/merge.rs), before a
/// MERGE can move a row.
pub const MOVE_TRIGGER: &CStr = c"vote_agg_move";

/// Would changes go uncounted without the trigger of this name?
pub fn counts(name: &CStr, state: SourceState) -> bool {
    TRIGGERS.contains(&name)
        || [MERGE_TRIGGER, MOVE_TRIGGER].contains(&name)
        || (name == ROW_TRIGGER && state == SourceState::Filling)
}

/// The triggers of ours that a table has.
fn made(spi: &Spi, table: pg_sys::Oid) -> Result<Vec<String>> {
    spi.run(&MADE, &[Some(table.into())], Sees::Now)?.values()
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
    if !has_rows {
        wanted.push((MOVE_TRIGGER, "BEFORE UPDATE ON {} FOR EACH STATEMENT"));
    }
    let (had, called) = (made(spi, table)?, shown(table));
    for (name, when) in &wanted {
        let name = name.to_string_lossy();
        if !had.contains(&name.to_string()) {
            let when = when.replace("{}", &called);
            spi.command(&format!("CREATE TRIGGER {name} {when} EXECUTE FUNCTION vote_agg.count_rows()"))?;
            spi.command(&format!("ALTER TRIGGER {name} ON {called} DEPENDS ON EXTENSION vote_agg"))?;
        }
    }
    let has = made(spi, table)?;
    if wanted.iter().all(|(name, _)| has.contains(&name.to_string_lossy().to_string())) { Ok(()) } else { Err(renamed(table)) }
}

/// A command names the table, which is locked; its schema is not, and may get another name meanwhile.
fn renamed(table: pg_sys::Oid) -> ErrorReport {
    let code = PgSqlErrorCode::ERRCODE_OBJECT_IN_USE;
    ErrorReport::new(code, format!("the schema of table {} was renamed meanwhile", shown(table)), function_name!())
        .set_hint("Try again.")
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
    spi.command(&format!("ALTER TABLE {} DISABLE TRIGGER {name}", shown(table)))?;
    if spi.run(&ENABLED, &[Some(table.into())], Sees::Now)?.count() == 0 { Ok(()) } else { Err(renamed(table)) }
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
    if made(spi, table)?.is_empty() { Ok(()) } else { Err(renamed(table)) }
}
