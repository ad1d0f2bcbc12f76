//! The current transaction.

#![allow(unsafe_code, reason = "the transaction's state is the server's own")]

use crate::error::Result;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, pg_guard, pg_sys};
use std::cell::Cell;
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

/// Could a ROLLBACK of the caller's take back what runs now? A block, a savepoint, a message of several statements, a part that
/// catches errors.
pub fn is_in_block() -> bool {
    // SAFETY: reads the transaction's state.
    unsafe { pg_sys::IsTransactionBlock() || pg_sys::IsSubTransaction() }
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

/// Lets the commit of this transaction wait as if it had written something. It tells its client of what others have committed: that
/// must be as durable, on this server's disk and on its standbys, as what it would have written itself.
pub fn commit_as_a_writer() {
    // SAFETY: a record that says nothing; recovery passes over it. Its place lies after the commits that this transaction saw.
    unsafe {
        pg_sys::GetTopTransactionId();
        pg_sys::XLogBeginInsert();
        pg_sys::XLogInsert(pg_sys::RmgrIds::RM_XLOG_ID as pg_sys::RmgrId, pg_sys::XLOG_NOOP as u8);
    }
}

thread_local! {
    static AT_END: Cell<Option<fn(bool)>> = const { Cell::new(None) };
}

/// Calls `ended` when a transaction ends, or a part of one is rolled back: with whether what it did stays. It must not fail. Once a
/// process.
pub fn at_end(ended: fn(bool)) {
    AT_END.set(Some(ended));
    // SAFETY: the callbacks call a function of ours, which neither allocates nor raises an error.
    unsafe {
        pg_sys::RegisterXactCallback(Some(end), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(end_of_part), std::ptr::null_mut());
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn end(event: pg_sys::XactEvent::Type, _nothing: *mut std::ffi::c_void) {
    let stays = match event {
        pg_sys::XactEvent::XACT_EVENT_COMMIT | pg_sys::XactEvent::XACT_EVENT_PREPARE => true,
        pg_sys::XactEvent::XACT_EVENT_ABORT => false,
        _ => return,
    };
    if let Some(ended) = AT_END.get() {
        ended(stays);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn end_of_part(
    event: pg_sys::SubXactEvent::Type,
    _part: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _nothing: *mut std::ffi::c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB
        && let Some(ended) = AT_END.get()
    {
        ended(false);
    }
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
