//! Why a part of the work failed, in a form that outlives the transaction: the SQLSTATE, message and detail.

use pgrx::PgSqlErrorCode;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use std::fmt;

/// Why something failed.
pub struct Failure {
    pub code: PgSqlErrorCode,
    pub text: String,
}

impl Failure {
    /// What an error said that was raised.
    pub fn caught(error: &CaughtError) -> Self {
        let (CaughtError::PostgresError(report)
        | CaughtError::ErrorReport(report)
        | CaughtError::RustPanic { ereport: report, .. }) = error;
        let (message, detail) = (report.message(), report.detail());
        let text = detail.map_or_else(|| message.to_owned(), |detail| format!("{message} ({detail})"));
        Self { code: report.sql_error_code(), text }
    }

    /// A bug of ours.
    pub fn broken(text: &str) -> Self {
        Self { code: PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, text: text.to_owned() }
    }

    /// Would everything else fail as well? A statement that was cancelled, a server that shuts down, a full disk.
    pub fn is_everyones(&self) -> bool {
        matches!(
            self.code,
            PgSqlErrorCode::ERRCODE_QUERY_CANCELED
                | PgSqlErrorCode::ERRCODE_ADMIN_SHUTDOWN
                | PgSqlErrorCode::ERRCODE_CRASH_SHUTDOWN
                | PgSqlErrorCode::ERRCODE_DATABASE_DROPPED
                | PgSqlErrorCode::ERRCODE_DISK_FULL
        )
    }

    /// Did it wait for a lock in vain?
    pub fn is_locked_out(&self) -> bool {
        matches!(self.code, PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE | PgSqlErrorCode::ERRCODE_T_R_DEADLOCK_DETECTED)
    }

    /// The failure as an error of the whole.
    pub fn into_report(self) -> ErrorReport {
        ErrorReport::new(self.code, self.text, pgrx::function_name!())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
