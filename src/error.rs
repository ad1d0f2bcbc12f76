//! Errors as SQL sees them: SQLSTATE, the value, the reason in DETAIL, the remedy in HINT.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, function_name, pg_sys};
use std::ffi::CStr;
use vote_agg_core::vote::element::Refusal;
use vote_agg_core::{Error, Kind};

/// What every function here returns.
pub type Result<T> = std::result::Result<T, ErrorReport>;

/// A mistake in a value.
#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "as map_err hands it on")]
pub fn refused(error: Error) -> ErrorReport {
    report(&error, error.to_string())
}

/// A mistake in a value of the element at `position` (from 1; 0: the whole) of a bulk call.
#[track_caller]
pub fn refused_at(position: usize, error: Error) -> ErrorReport {
    report(&error, Refusal { position, error: error.clone() }.to_string())
}

#[track_caller]
fn report(error: &Error, message: String) -> ErrorReport {
    let code = match error.kind() {
        Kind::Invalid => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        Kind::OutOfRange => PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
    };
    let report = ErrorReport::new(code, message, function_name!()).set_hint(error.hint());
    match error.detail() {
        Some(detail) => report.set_detail(detail),
        None => report,
    }
}

/// A mistake in a value that core doesn't know of.
#[track_caller]
pub fn invalid(message: String, hint: &str) -> ErrorReport {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message, function_name!()).set_hint(hint)
}

/// More than a value can hold.
#[track_caller]
pub fn too_large(message: String, hint: &str) -> ErrorReport {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message, function_name!()).set_hint(hint)
}

/// A match or team that does not exist.
#[track_caller]
pub fn unknown(message: String, hint: String) -> ErrorReport {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, message, function_name!()).set_hint(hint)
}

/// Tables that are not there.
#[track_caller]
pub fn no_extension() -> ErrorReport {
    unknown("extension vote_agg is not installed in this database".into(), "Run CREATE EXTENSION vote_agg.".into())
}

/// Something that the match's state forbids.
#[track_caller]
pub fn not_now(message: String, detail: String, hint: &str) -> ErrorReport {
    let code = PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
    ErrorReport::new(code, message, function_name!()).set_detail(detail).set_hint(hint)
}

/// A bug of ours, or tables that somebody edited.
#[track_caller]
pub fn broken(invariant: String) -> ErrorReport {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, invariant, function_name!())
}

/// `text` as an identifier or name inside a message.
pub fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// A mistake in a value of a column of an attached table.
#[track_caller]
pub fn refused_in(column: &str, error: Error) -> ErrorReport {
    report(&error, format!("column {}: {error}", quoted(column)))
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
        .set_hint(format!("Its type has to be {0}, or to have an immutable cast to {0}.", kinds.join(" or ")))
}

/// Somebody without the right to do it.
#[track_caller]
pub fn forbidden(message: String, hint: &str) -> ErrorReport {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message, function_name!()).set_hint(hint)
}

#[allow(unsafe_code, reason = "a look-up in the catalog")]
fn type_name(oid: pg_sys::Oid) -> String {
    // SAFETY: gives a text for any number.
    unsafe { CStr::from_ptr(pg_sys::format_type_be(oid)).to_string_lossy().into_owned() }
}

/// A table's name for messages, with its schema.
#[allow(unsafe_code, reason = "look-ups in the catalog")]
pub fn shown(table: pg_sys::Oid) -> String {
    // SAFETY: look-ups that give null for what does not exist.
    unsafe {
        let (name, schema) = (pg_sys::get_rel_name(table), pg_sys::get_namespace_name_or_temp(pg_sys::get_rel_namespace(table)));
        if name.is_null() || schema.is_null() {
            return table.to_u32().to_string();
        }
        CStr::from_ptr(pg_sys::quote_qualified_identifier(schema, name)).to_string_lossy().into_owned()
    }
}
