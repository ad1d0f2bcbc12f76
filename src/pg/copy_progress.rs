//! Progress of long work, shown among the running copies (`pg_stat_progress_copy`), where `vote_agg.stat_attach` finds it.

#![allow(unsafe_code, reason = "writes this process's own entry of the server's statistics")]

use pgrx::pg_sys;

/// Begins to show work on a table. It ends with the transaction at the latest.
pub fn start(table: pg_sys::Oid) {
    // SAFETY: this process's own entry.
    unsafe { pg_sys::pgstat_progress_start_command(pg_sys::ProgressCommandType::PROGRESS_COMMAND_COPY, table) };
}

/// Shows the rows so far.
pub fn update(rows: i64) {
    // SAFETY: a number in this process's own entry.
    unsafe { pg_sys::pgstat_progress_update_param(pg_sys::PROGRESS_COPY_TUPLES_PROCESSED as i32, rows) };
}

/// Ends it.
pub fn end() {
    // SAFETY: this process's own entry.
    unsafe { pg_sys::pgstat_progress_end_command() };
}
