//! Mistakes in the columns of an attached table.

use crate::error::{quoted, refused_with};
use crate::pg::catalog::{shown, type_name};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, function_name, pg_sys};
use vote_agg_core::Error;

/// A mistake in a value of a column.
#[track_caller]
pub fn refused_in(column: &str, error: Error) -> ErrorReport {
    let message = format!("column {}: {error}", quoted(column));
    refused_with(&error, message)
}

/// A column that a table lacks.
#[track_caller]
pub fn no_column(table: pg_sys::Oid, column: &str) -> ErrorReport {
    let code = PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN;
    ErrorReport::new(code, format!("column {} of table {} does not exist", quoted(column), shown(table)), function_name!())
        .set_hint("Pass the names of the table's own columns to attach_votes.")
}

/// A column whose type can't be read as one of `kinds`.
#[track_caller]
pub fn mismatched(column: &str, given: pg_sys::Oid, kinds: impl Iterator<Item = pg_sys::Oid>) -> ErrorReport {
    let kinds: Vec<String> = kinds.map(type_name).collect();
    let code = PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH;
    ErrorReport::new(code, format!("column {} of type {} can't be counted", quoted(column), type_name(given)), function_name!())
        .set_detail("A row that is deleted must read as it did when it was inserted.")
        .set_hint(format!(
            "Its type has to be {0}, or to have an immutable cast to {0} that is written in C. A stored generated column can stand in for it.",
            kinds.join(" or ")
        ))
}
