//! Errors as SQL sees them: SQLSTATE, the value, the reason in DETAIL, the remedy in HINT. A refused value
//! ([`vote_agg_core::Error`]) becomes one by `?`.

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, function_name};
use vote_agg_core::Error;

/// What every function here returns.
pub type Result<T> = std::result::Result<T, ErrorReport>;

/// The refusal of one vote. It keeps its SQLSTATE, which a report of the server does not tell: where many votes come in one call, each
/// has its own outcome.
pub struct Refused {
    pub code: PgSqlErrorCode,
    pub report: ErrorReport,
}

impl Refused {
    /// A mistake in a value.
    #[track_caller]
    pub fn value(error: Error) -> Self {
        Self { code: error.code(), report: error.into() }
    }

    /// More than a value can hold.
    #[track_caller]
    pub fn too_large(message: String, hint: &str) -> Self {
        Self { code: PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, report: too_large(message, hint) }
    }

    /// A match or team that does not exist.
    #[track_caller]
    pub fn unknown(message: String, hint: String) -> Self {
        Self { code: PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT, report: unknown(message, hint) }
    }

    /// Something that the match's state forbids.
    #[track_caller]
    pub fn not_now(message: String, detail: String, hint: &str) -> Self {
        Self { code: PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, report: not_now(message, detail, hint) }
    }

    /// A voter of another shard.
    #[track_caller]
    pub fn elsewhere(message: String, detail: String, hint: &str) -> Self {
        let code = PgSqlErrorCode::ERRCODE_CHECK_VIOLATION;
        Self { code, report: ErrorReport::new(code, message, function_name!()).set_detail(detail).set_hint(hint) }
    }

    /// The same, of an element of a call.
    #[track_caller]
    pub fn at_element(self, position: usize) -> ErrorReport {
        let Self { code, report } = self;
        let mut named = ErrorReport::new(code, format!("element {position}: {}", report.message()), function_name!());
        if let Some(detail) = report.detail() {
            named = named.set_detail(detail.to_owned());
        }
        if let Some(hint) = report.hint() {
            named = named.set_hint(hint.to_owned());
        }
        named
    }

    /// The five characters of the SQLSTATE. The server keeps six bits of each, the first one lowest.
    pub fn sqlstate(&self) -> String {
        let code = self.code as i32;
        (0..5).map(|i| char::from(b'0' + u8::try_from((code >> (6 * i)) & 0x3f).unwrap_or(0))).collect()
    }
}

impl From<Refused> for ErrorReport {
    fn from(refused: Refused) -> Self {
        refused.report
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
