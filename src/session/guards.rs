//! Transactions in which a function may not run.

#![allow(unsafe_code, reason = "raises the server's own errors, reads the transaction's level")]

use crate::error::Result;
use pgrx::{PgSqlErrorCode, pg_sys};

/// Refuses to write where nothing may be written: a read-only transaction, a standby, a parallel worker.
pub fn prevent_read_only(function: &std::ffi::CStr) {
    // SAFETY: raises the server's own errors (25006, 25000).
    unsafe {
        pg_sys::PreventCommandIfReadOnly(function.as_ptr());
        pg_sys::PreventCommandIfParallelMode(function.as_ptr());
    }
}

/// Refuses isolation levels whose snapshot would be too old for a fold or purge.
///
/// # Errors
/// 25001 above READ COMMITTED.
pub fn require_read_committed(function: &str) -> Result<()> {
    // SAFETY: the transaction's level, a variable of the server.
    if unsafe { pg_sys::XactIsoLevel } > pg_sys::XACT_READ_COMMITTED as i32 {
        return Err(pgrx::pg_sys::panic::ErrorReport::new(
            PgSqlErrorCode::ERRCODE_ACTIVE_SQL_TRANSACTION,
            format!("{function} must run at isolation level READ COMMITTED"),
            pgrx::function_name!(),
        )
        .set_hint("Call it in a transaction of its own."));
    }
    Ok(())
}
