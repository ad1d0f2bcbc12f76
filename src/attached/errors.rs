//! Tables that are not attached, and mistakes in the columns of those that are.

use crate::error::{quoted, unknown};
use crate::pg::catalog::{shown, type_name};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, function_name, pg_sys};
use vote_agg_core::Error;

/// A table whose rows are not counted.
#[track_caller]
pub fn not_attached(table: pg_sys::Oid) -> ErrorReport {
    unknown(format!("table {} is not attached", shown(table)), "The attached tables are listed in vote_agg.stat_attach.".into())
}

/// A mistake in a value of a column: the row is no vote.
pub struct BadValue {
    column: String,
    error: Error,
}

impl BadValue {
    /// Of the column of this name.
    pub fn of(column: &str, error: Error) -> Self {
        Self { column: column.to_owned(), error }
    }

    /// The same in a row that is stored in a table, at this place (`ctid`).
    #[track_caller]
    pub fn in_row(self, table: pg_sys::Oid, place: &str) -> ErrorReport {
        let Self { column, error } = self;
        let table = shown(table);
        error.report(format!("row {place} of table {table}: column {}: {error}", quoted(&column))).set_hint(format!(
            "Repair or delete the row WHERE ctid = '{place}'. While the table is filled, the fill goes on by itself then."
        ))
    }
}

impl From<BadValue> for ErrorReport {
    #[track_caller]
    fn from(bad: BadValue) -> Self {
        let BadValue { column, error } = bad;
        error.report(format!("column {}: {error}", quoted(&column)))
    }
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
