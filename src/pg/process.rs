//! Background processes: how they connect, run transactions, sleep and report.

#![allow(unsafe_code, reason = "background workers, signals and transactions are the server's own interfaces")]

use crate::error::Result;
use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::pg_sys::panic::CaughtError;
#[cfg(not(feature = "pg18"))]
use pgrx::pg_sys::pqsignal;
#[cfg(feature = "pg18")]
use pgrx::pg_sys::pqsignal_be as pqsignal;
use pgrx::{PgLogLevel, PgTryBuilder, ereport, pg_sys};
use std::ffi::CStr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// The longest time between two tries after failures.
pub const MAX_BACK_OFF: Duration = Duration::from_secs(30);

/// What the process list says.
pub const FOLDING: &CStr = c"folding votes";

/// A background process of ours, of a name and a main function.
pub fn process(name: &str, function: &str) -> BackgroundWorkerBuilder {
    BackgroundWorkerBuilder::new(name).set_type(name).set_library("vote_agg").set_function(function).enable_spi_access()
}

unsafe extern "C-unwind" {
    /// The server's own handler: ends the process at the next check for interrupts, in the middle of a fold too. Declared
    /// here because a signal handler has to be a C function.
    fn die(signal: std::ffi::c_int);
    fn SignalHandlerForConfigReload(signal: std::ffi::c_int);
}

/// The settings that a process of ours makes for itself: its role, the limits that would end its work, and its plans. ALTER
/// DATABASE, ALTER ROLE and the configuration say otherwise for other sessions.
const SETTINGS: &[(&CStr, &CStr)] = &[
    (c"role", c"none"),
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_deferrable", c"off"),
    (c"session_replication_role", c"origin"),
    (c"row_security", c"on"),
    (c"exit_on_error", c"off"),
    (c"statement_timeout", c"0"),
    (c"lock_timeout", c"0"),
    (c"idle_in_transaction_session_timeout", c"0"),
    (c"array_nulls", c"on"),
    (c"plan_cache_mode", c"auto"),
    (c"max_parallel_workers_per_gather", c"0"),
    // Rows are reached by key or place, however small the tables were when a statement was planned (as vote_agg.fold()).
    (c"enable_seqscan", c"off"),
    (c"enable_hashjoin", c"off"),
    (c"enable_mergejoin", c"off"),
    (c"enable_nestloop", c"on"),
    (c"enable_indexscan", c"on"),
    (c"enable_tidscan", c"on"),
    // A plan kind that is off counts as very dear, and so dear a plan would be compiled.
    (c"jit", c"off"),
];

/// Connects such a process to its database, given by its number; 0: to none, for a look at what all databases share.
pub fn connect(database: pg_sys::Datum) {
    // SAFETY: as the server's documentation of background workers prescribes; the handlers are C functions.
    unsafe {
        pqsignal(pg_sys::SIGTERM as i32, Some(die));
        pqsignal(pg_sys::SIGHUP as i32, Some(SignalHandlerForConfigReload));
        pg_sys::BackgroundWorkerUnblockSignals();
        let database = pg_sys::Oid::from(u32::try_from(database.value()).unwrap_or(0));
        pg_sys::BackgroundWorkerInitializeConnectionByOid(database, pg_sys::InvalidOid, 0);
    }
    for (name, value) in SETTINGS {
        set(name, value);
    }
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    set(c"transaction_timeout", c"0");
}

/// Changes a setting of this process.
pub fn set(name: &CStr, value: &CStr) {
    // SAFETY: settings that exist, with valid values.
    unsafe {
        pg_sys::SetConfigOption(name.as_ptr(), value.as_ptr(), pg_sys::GucContext::PGC_SUSET, pg_sys::GucSource::PGC_S_OVERRIDE);
    }
}

/// Sleeps, or ends the process when the server says so. Returns false, for use in conditions.
pub fn pause(time: Duration) -> bool {
    let events = (pg_sys::WL_LATCH_SET | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as i32;
    // SAFETY: the process's own latch.
    unsafe {
        let milliseconds = std::ffi::c_long::try_from(time.as_millis().max(1)).unwrap_or(std::ffi::c_long::MAX);
        pg_sys::WaitLatch(pg_sys::MyLatch, events, milliseconds, pg_sys::PG_WAIT_EXTENSION);
        pg_sys::ResetLatch(pg_sys::MyLatch);
    }
    pgrx::check_for_interrupts!();
    false
}

/// Takes over settings that a reload of the server's configuration changed.
pub fn reload_settings() {
    // SAFETY: between transactions, as the server itself does it.
    unsafe {
        if pg_sys::ConfigReloadPending != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

/// Tells the server's log of a failure.
pub fn report(message: &str, detail: &str) {
    ereport!(PgLogLevel::WARNING, pgrx::PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, message.to_owned(), detail.to_owned());
}

/// Tells the server's log, and whoever folds by hand, of something that somebody else has to mend.
pub fn warn(message: &str, detail: &str) {
    ereport!(PgLogLevel::WARNING, pgrx::PgSqlErrorCode::ERRCODE_WARNING, message.to_owned(), detail.to_owned());
}

/// Runs `act` in a transaction and commits it. Any error rolls it back and comes out as text.
pub fn in_transaction<T>(activity: &CStr, act: impl FnOnce() -> Result<T>) -> std::result::Result<T, String> {
    let mut committed = None;
    let result = PgTryBuilder::new(AssertUnwindSafe(|| {
        // SAFETY: one transaction at a time, begun and ended here; statistics are reported outside it.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
            pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, activity.as_ptr());
            let value = act().map_err(|error| text_of(error.message(), error.detail()))?;
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
            committed = Some(value);
        }
        Ok(())
    }))
    .catch_others(|error| Err(text_of_caught(&error)))
    .catch_rust_panic(|error| Err(text_of_caught(&error)))
    .execute();
    // SAFETY: as above.
    unsafe {
        if result.is_err() {
            pg_sys::AbortCurrentTransaction();
        }
        pg_sys::pgstat_report_stat(true);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
    }
    result.and_then(|()| committed.ok_or_else(|| "nothing was done".into()))
}

fn text_of(message: &str, detail: Option<&str>) -> String {
    detail.map_or_else(|| message.to_owned(), |detail| format!("{message} ({detail})"))
}

/// An error's message and detail.
pub fn text_of_caught(error: &CaughtError) -> String {
    match error {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => text_of(report.message(), report.detail()),
        CaughtError::RustPanic { ereport, .. } => text_of(ereport.message(), ereport.detail()),
    }
}

/// Keeps the reason of a failure where people look for it.
pub fn note(act: impl FnOnce() -> Result<()>) {
    if let Err(reason) = in_transaction(FOLDING, act) {
        ereport!(
            PgLogLevel::LOG,
            pgrx::PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
            format!("the failure could not be noted: {reason}")
        );
    }
}

/// Ends this process for good: the server does not start it again.
pub fn exit() -> ! {
    // SAFETY: outside a transaction; the server's own way out.
    unsafe { pg_sys::proc_exit(0) };
    // The bindings to PostgreSQL 18 do not say that it never returns.
    #[cfg(feature = "pg18")]
    std::process::abort()
}
