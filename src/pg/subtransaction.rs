//! A part of a transaction that can fail alone.

#![allow(unsafe_code, reason = "subtransactions are the server's own interface")]

use crate::error::Result;
use crate::pg::process::text_of_caught;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport, ErrorReportable};
use pgrx::{PgSqlErrorCode, PgTryBuilder, pg_sys};
use std::panic::AssertUnwindSafe;

/// Why a part failed.
pub struct Failure {
    pub code: PgSqlErrorCode,
    pub text: String,
}

impl Failure {
    fn caught(error: &CaughtError) -> Self {
        let (CaughtError::PostgresError(report)
        | CaughtError::ErrorReport(report)
        | CaughtError::RustPanic { ereport: report, .. }) = error;
        Self { code: report.sql_error_code(), text: text_of_caught(error) }
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

/// Runs `act` in a subtransaction. An error takes back what it did, and nothing else.
pub fn attempt<T>(act: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    // SAFETY: as the server's own languages do it: begun and ended here, with the context and owner of before.
    let (context, owner) = unsafe {
        let before = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(before.0);
        before
    };
    // Raised here, once everything that `act` held is given back.
    let outcome = PgTryBuilder::new(AssertUnwindSafe(|| Ok(act().unwrap_or_report())))
        .catch_others(|error| Err(Failure::caught(&error)))
        .catch_rust_panic(|error| Err(Failure::caught(&error)))
        .execute();
    // SAFETY: as above. After an error nothing of the subtransaction is used any more.
    unsafe {
        pg_sys::MemoryContextSwitchTo(context);
        if outcome.is_ok() {
            pg_sys::ReleaseCurrentSubTransaction();
        } else {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
    }
    outcome
}
