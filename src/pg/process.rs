//! Background processes: how they connect, run transactions, sleep and report.

#![allow(unsafe_code, reason = "background workers, signals and transactions are the server's own interfaces")]

use crate::error::Result;
use crate::pg::failure::Failure;
use crate::pg::lock::Patience;
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder};
use pgrx::pg_sys::panic::ErrorReportable;
#[cfg(not(feature = "pg18"))]
use pgrx::pg_sys::pqsignal;
#[cfg(feature = "pg18")]
use pgrx::pg_sys::pqsignal_be as pqsignal;
use pgrx::{PgLogLevel, PgTryBuilder, ereport, pg_guard, pg_sys};
use std::cell::RefCell;
use std::ffi::CStr;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// The longest time between two tries after failures.
pub const MAX_BACK_OFF: Duration = Duration::from_secs(30);

/// How long a commit waits, in milliseconds, for its turn among all who notify: one holds up the next until it is on disk.
/// A commit that gave up soon would never get there beside many of them.
const COMMIT_PATIENCE: i32 = 10_000;

/// The longest sleep without a look for the server's word.
const DEAF: Duration = Duration::from_millis(100);

/// What the process list says.
pub const FOLDING: &CStr = c"folding votes";

thread_local! {
    static MAINS: RefCell<Vec<(&'static str, fn(pg_sys::Datum))>> = const { RefCell::new(Vec::new()) };
}

/// Says what a background process of this name does with its argument. Called when the library is loaded, which each such
/// process does first.
pub fn define(name: &'static str, main: fn(pg_sys::Datum)) {
    MAINS.with_borrow_mut(|mains| mains.push((name, main)));
}

/// A background process of a name that is defined.
pub fn process(name: &str) -> BackgroundWorkerBuilder {
    BackgroundWorkerBuilder::new(name).set_type(name).set_library("vote_agg").set_function("vote_agg_main").enable_spi_access()
}

/// Where each of our processes begins: the server finds it by its name.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn vote_agg_main(argument: pg_sys::Datum) {
    let name = BackgroundWorker::get_name();
    let main = MAINS.with_borrow(|mains| mains.iter().find(|(known, _)| *known == name).map(|(_, main)| *main));
    if let Some(main) = main {
        main(argument);
    }
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

/// Sleeps without listening to the latch: who sets it meanwhile wakes nobody, and costs nothing. Looks for the server's word ten times a
/// second. The next [`pause`] listens again.
pub fn rest(time: Duration) {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now()).min(DEAF);
        let events = (pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH) as i32;
        // SAFETY: the process's own latch, which is reset before the caller looks for what it was set for.
        unsafe {
            if !left.is_zero() {
                let milliseconds = std::ffi::c_long::try_from(left.as_millis().max(1)).unwrap_or(1);
                pg_sys::WaitLatch(pg_sys::MyLatch, events, milliseconds, pg_sys::PG_WAIT_EXTENSION);
            }
            pg_sys::ResetLatch(pg_sys::MyLatch);
        }
        pgrx::check_for_interrupts!();
        // SAFETY: a variable of this process, which its signal handler sets.
        if left < DEAF || unsafe { pg_sys::ConfigReloadPending } != 0 {
            return;
        }
    }
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

/// Tells the server's log of a failure, with its SQLSTATE.
pub fn report(what: &str, failure: &Failure, detail: &str) {
    ereport!(PgLogLevel::WARNING, failure.code, format!("{what}: {failure}"), detail.to_owned());
}

/// Tells the server's log, and a caller of fold(), of something that somebody else has to mend.
pub fn warn(message: &str, detail: &str) {
    ereport!(PgLogLevel::WARNING, pgrx::PgSqlErrorCode::ERRCODE_WARNING, message.to_owned(), detail.to_owned());
}

/// Runs `act` in a transaction and commits it. Any error rolls it back.
pub fn in_transaction<T>(activity: &CStr, act: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    let mut committed = None;
    let result = PgTryBuilder::new(AssertUnwindSafe(|| {
        // SAFETY: one transaction at a time, begun and ended here; statistics are reported outside it.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
            pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, activity.as_ptr());
            let value = act().unwrap_or_report();
            pg_sys::PopActiveSnapshot();
            let _patience = Patience::of(COMMIT_PATIENCE);
            pg_sys::CommitTransactionCommand();
            committed = Some(value);
        }
        Ok(())
    }))
    .catch_others(|error| Err(Failure::caught(&error)))
    .catch_rust_panic(|error| Err(Failure::caught(&error)))
    .execute();
    // SAFETY: as above.
    unsafe {
        if result.is_err() {
            pg_sys::AbortCurrentTransaction();
        }
        pg_sys::pgstat_report_stat(true);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
    }
    result.and_then(|()| committed.ok_or_else(|| Failure::broken("nothing was done")))
}

/// Keeps the reason of a failure where people look for it.
pub fn note(act: impl FnOnce() -> Result<()>) {
    if let Err(failure) = in_transaction(FOLDING, act) {
        ereport!(PgLogLevel::LOG, failure.code, format!("the failure could not be noted: {failure}"));
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
