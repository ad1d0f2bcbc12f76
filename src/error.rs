//! Errors as SQL sees them: SQLSTATE, the value, the reason in DETAIL, the remedy in HINT.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, function_name};
use vote_agg_core::vote::element::Refusal;
use vote_agg_core::{Error, Kind};

/// What every function here returns.
pub type Result<T> = std::result::Result<T, ErrorReport>;

/// A mistake in a value.
#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "as map_err hands it on")]
pub fn refused(error: Error) -> ErrorReport {
    refused_with(&error, error.to_string())
}

/// A mistake in a value of the element at `position` (from 1; 0: the whole) of a bulk call.
#[track_caller]
pub fn refused_at(position: usize, error: Error) -> ErrorReport {
    refused_with(&error, Refusal { position, error: error.clone() }.to_string())
}

/// A mistake in a value, in other words than its own.
#[track_caller]
pub fn refused_with(error: &Error, message: String) -> ErrorReport {
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

/// Somebody without the right to do it.
#[track_caller]
pub fn forbidden(message: String, hint: &str) -> ErrorReport {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message, function_name!()).set_hint(hint)
}
