//! Which tables can be attached: those whose every change can be seen by a statement's trigger.

use crate::attached::columns::{ColumnNames, Columns};
use crate::attached::errors::no_column;
use crate::error::{Result, forbidden, not_now, quoted};
use crate::pg::catalog::{self, shown};
use crate::pg::spi::{self, Plan, Sees};
use crate::pg::table::Table;
use crate::pg::{family, role, tables};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, function_name, pg_sys};
use std::ffi::{CStr, CString};

thread_local! {
    static HAS_KEY: Plan = const { Plan::new(
        "SELECT 1 FROM pg_catalog.pg_index i
         WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 2
           AND ((i.indkey[0] = $2 AND i.indkey[1] = $3) OR (i.indkey[0] = $3 AND i.indkey[1] = $2))
           AND (SELECT a.attnotnull FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1 AND a.attnum = $3)
           AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint c WHERE c.conrelid = $1 AND c.contype = 'n'
                           AND $3 = ANY (c.conkey) AND NOT c.convalidated)",
        &[pg_sys::OIDOID, pg_sys::INT2OID, pg_sys::INT2OID]) };
}

/// Refuses a table that is not the current role's own.
///
/// # Errors
/// 42P01 where there is none, 42501.
pub fn check_owner(table: pg_sys::Oid) -> Result<()> {
    if catalog::kind(table) == 0 {
        let code = PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE;
        return Err(ErrorReport::new(code, format!("table {} does not exist", table.to_u32()), function_name!()));
    }
    if !role::owns(table) {
        return Err(forbidden(
            format!("must be owner of table {}", shown(table)),
            "Only a table's owner may attach it, detach it, or erase rows of it.",
        ));
    }
    Ok(())
}

/// Refuses a table, given with its partitions, whose votes can't be counted.
///
/// # Errors
/// 42809 for what is no plain or partitioned table, 42703 and 42804 for its columns, 55000 where the key for one voter,
/// one vote is missing.
pub fn check(family: &[pg_sys::Oid], names: &ColumnNames, voter: Option<&CString>) -> Result<()> {
    let Some((table, parts)) = family.split_first() else { return Ok(()) };
    if family::is_child(*table) {
        return Err(if catalog::is_partition(*table) {
            wrong(*table, "is a partition", "Attach the partitioned table, which counts its partitions with it.")
        } else {
            wrong(*table, "inherits from another table", "A statement on that one would change rows here unseen.")
        });
    }
    if catalog::kind(*table) == pg_sys::RELKIND_RELATION && !parts.is_empty() {
        return Err(wrong(*table, "has tables that inherit from it", "Use a partitioned table instead."));
    }
    for member in family {
        check_member(*member)?;
        Columns::find(*member, names)?;
    }
    voter.map_or(Ok(()), |voter| check_key(*table, &names.match_id, voter))
}

fn check_member(table: pg_sys::Oid) -> Result<()> {
    const KINDS: [(u8, &str); 7] = [
        (pg_sys::RELKIND_VIEW, "is a view"),
        (pg_sys::RELKIND_MATVIEW, "is a materialized view"),
        (pg_sys::RELKIND_FOREIGN_TABLE, "is a foreign table"),
        (pg_sys::RELKIND_SEQUENCE, "is a sequence"),
        (pg_sys::RELKIND_INDEX, "is an index"),
        (pg_sys::RELKIND_PARTITIONED_INDEX, "is an index"),
        (pg_sys::RELKIND_COMPOSITE_TYPE, "is a type"),
    ];
    if let Some((_, is)) = KINDS.iter().find(|(known, _)| *known == catalog::kind(table)) {
        return Err(wrong(table, is, "Attach the table in which the votes are stored."));
    }
    let storage = Table::open(table, pg_sys::AccessShareLock);
    if storage.has_storage() && !storage.is_heap() {
        return Err(wrong(table, "is stored by another access method", "Only tables of the access method heap can be read."));
    }
    let ours = tables::find(c"source");
    if catalog::is_system(table, ours) {
        return Err(wrong(table, "is a table of the system", "Attach a table of your own."));
    }
    match catalog::persistence(table) {
        pg_sys::RELPERSISTENCE_PERMANENT => Ok(()),
        pg_sys::RELPERSISTENCE_TEMP => {
            Err(wrong(table, "is temporary", "Its rows would go without a trace; use a permanent table."))
        }
        _ => Err(wrong(table, "is unlogged", "A crash would empty it unseen; use ALTER TABLE … SET LOGGED first.")),
    }
}

/// One voter, one vote is the table's own business: its unique key decides.
///
/// # Errors
/// 55000 where it is missing.
pub fn check_key(table: pg_sys::Oid, match_id: &CStr, voter: &CStr) -> Result<()> {
    let numbers = [match_id, voter].map(|name| catalog::column_number(table, name));
    if numbers[1] <= 0 {
        return Err(no_column(table, &voter.to_string_lossy()));
    }
    let args = [Some(table.into()), Some(numbers[0].into()), Some(numbers[1].into())];
    if spi::connect(|spi| Ok(spi.run(&HAS_KEY, &args, Sees::Now)?.count() > 0))? {
        return Ok(());
    }
    let (match_id, voter) = (quoted(&match_id.to_string_lossy()), quoted(&voter.to_string_lossy()));
    Err(not_now(
        format!("table {} does not keep one vote a voter", shown(table)),
        format!("It has no unique key over exactly ({match_id}, {voter}) that is valid and not partial, with {voter} NOT NULL."),
        "Add such a key, or leave voter_id out: then every row counts.",
    ))
}

fn wrong(table: pg_sys::Oid, is: &str, hint: &str) -> ErrorReport {
    let message = format!("{} {is} and can't be attached", shown(table));
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, message, function_name!()).set_hint(hint)
}
