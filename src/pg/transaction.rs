//! The current transaction.

#![allow(unsafe_code, reason = "the transaction's state is the server's own")]

use crate::error::Result;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, pg_sys};
use std::ffi::CStr;

/// Makes what this transaction did so far visible to the snapshots that it takes from now on.
pub fn see_own_changes() {
    // SAFETY: between two commands of ours.
    unsafe { pg_sys::CommandCounterIncrement() };
}

/// Has the transaction written anything?
pub fn has_id() -> bool {
    // SAFETY: reads the transaction's state.
    unsafe { pg_sys::GetCurrentTransactionIdIfAny() != pg_sys::InvalidTransactionId }
}

/// Refuses to write where nothing may be written: a read-only transaction, a standby, a parallel worker.
pub fn prevent_read_only(function: &CStr) {
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
        let message = format!("{function} must run at isolation level READ COMMITTED");
        let code = PgSqlErrorCode::ERRCODE_ACTIVE_SQL_TRANSACTION;
        return Err(ErrorReport::new(code, message, pgrx::function_name!()).set_hint("Call it in a transaction of its own."));
    }
    Ok(())
}

/// Makes the commit wait until it is on disk, whatever the role's settings say.
pub fn commit_durably() {
    // SAFETY: the setting exists, is anyone's to set, and the value is valid.
    unsafe {
        if pg_sys::synchronous_commit < pg_sys::SyncCommitLevel::SYNCHRONOUS_COMMIT_REMOTE_FLUSH as i32 {
            pg_sys::set_config_option(
                c"synchronous_commit".as_ptr(),
                c"on".as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_LOCAL,
                true,
                0,
                false,
            );
        }
    }
}
