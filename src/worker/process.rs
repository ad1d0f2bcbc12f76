//! The background worker: folds again and again as long as votes come in.
//!
//! It needs no preloading. The first session that records a vote and finds no worker starts one; it leaves when nothing
//! came for a while. Whatever happens to it, votes are safe in pending and reads count them.

#![allow(unsafe_code, reason = "background workers, signals and transactions are the server's own interfaces")]

use crate::attached::filler::Filler;
use crate::error::{Result, broken};
use crate::fold::once;
use crate::pending::low_water;
use crate::pg::lock::Lock;
use crate::pg::tables;
use crate::settings;
use pgrx::bgworkers::{BackgroundWorkerBuilder, BgWorkerStartTime};
use pgrx::pg_sys::panic::CaughtError;
#[cfg(not(feature = "pg18"))]
use pgrx::pg_sys::pqsignal;
#[cfg(feature = "pg18")]
use pgrx::pg_sys::pqsignal_be as pqsignal;
use pgrx::{IntoDatum, PgLogLevel, PgTryBuilder, ereport, pg_guard, pg_sys};
use std::cell::Cell;
use std::ffi::{CStr, CString};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// How often a session looks whether a worker is running, in microseconds.
const LOOK_EVERY: i64 = 1_000_000;

/// How long the session that started a worker waits for it to take its lock.
const START_UP: Duration = Duration::from_millis(200);

/// How long a worker that gave up its lock still folds: longer than [`LOOK_EVERY`], so that a session whose last look
/// found it running has either looked again or is seen by it.
const LINGER: Duration = Duration::from_millis(1_500);

/// The longest time between two tries after failures.
pub const MAX_BACK_OFF: Duration = Duration::from_secs(30);

/// What the process list says.
pub const FOLDING: &CStr = c"folding votes";

thread_local! {
    static LOOKED_AT: Cell<i64> = const { Cell::new(i64::MIN) };
    static WARNED: Cell<bool> = const { Cell::new(false) };
}

fn builder() -> BackgroundWorkerBuilder {
    process("vote_agg worker", "vote_agg_worker_main")
}

/// A background process of ours, of a name and a main function.
pub fn process(name: &str, function: &str) -> BackgroundWorkerBuilder {
    BackgroundWorkerBuilder::new(name).set_type(name).set_library("vote_agg").set_function(function).enable_spi_access()
}

/// Registers the workers of `vote_agg.databases` when the library is preloaded.
pub fn preload() {
    // SAFETY: a flag of the server.
    if !unsafe { pg_sys::process_shared_preload_libraries_in_progress } {
        return;
    }
    for database in settings::databases() {
        builder()
            .set_start_time(BgWorkerStartTime::RecoveryFinished)
            .set_restart_time(Some(Duration::from_secs(5)))
            .set_extra(&database)
            .load();
    }
}

/// Starts a worker for this database if none is running; looks at most once a second. `now` in microseconds.
pub fn ensure(now: i64) {
    if now.saturating_sub(LOOKED_AT.get()) < LOOK_EVERY || !settings::worker() {
        return;
    }
    LOOKED_AT.set(now);
    if !Lock::Worker.try_for_session() {
        return;
    }
    Lock::Worker.release();
    // One session at a time: many that saw none at once would use up every worker slot. It lets go when the worker is there,
    // some milliseconds later, and not at the end of its transaction, which may be days away.
    if !Lock::Launch.try_for_session() {
        return;
    }
    // SAFETY: set when the process connected.
    let database = unsafe { pg_sys::MyDatabaseId };
    let is_started = builder().set_argument(database.into_datum()).load_dynamic().is_ok();
    if is_started {
        let started = Instant::now();
        while Lock::Worker.try_for_session() {
            Lock::Worker.release();
            if started.elapsed() >= START_UP {
                break;
            }
            pause(Duration::from_millis(2));
        }
    }
    Lock::Launch.release();
    if !is_started && !WARNED.replace(true) {
        ereport!(
            PgLogLevel::WARNING,
            pgrx::PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            "no background worker slot is free to fold votes",
            "Votes are counted and read all the same, but the feed waits. Raise max_worker_processes, or call vote_agg.fold() again and again."
        );
    }
}

/// Looks again at the next vote: the extension may be another one by now.
pub fn look_again() {
    LOOKED_AT.set(i64::MIN);
}

unsafe extern "C-unwind" {
    /// The server's own handler: ends the process at the next check for interrupts, in the middle of a fold too. Declared
    /// here because a signal handler has to be a C function.
    fn die(signal: std::ffi::c_int);
    fn SignalHandlerForConfigReload(signal: std::ffi::c_int);
}

/// The worker's process. The argument is the database, or 0 where its name is in the extra data.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn vote_agg_worker_main(database: pg_sys::Datum) {
    connect(database);
    let is_first = in_transaction(FOLDING, || {
        // A session that is just looking may hold the lock for an instant.
        let got = (0..5).any(|_| Lock::Worker.try_for_session() || pause(Duration::from_millis(20)));
        Ok(got && tables::hold_extension())
    });
    if matches!(is_first, Ok(true)) {
        work();
    }
    // SAFETY: ends this process; 0 tells the server not to start it again.
    unsafe { pg_sys::proc_exit(0) };
}

/// Connects such a process to its database: by its number, or where that is 0 by the name in the extra data.
pub fn connect(database: pg_sys::Datum) {
    let option = |name: &CStr, value: &CStr| {
        // SAFETY: settings that exist, with valid values.
        unsafe {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            );
        }
    };
    // SAFETY: as the server's documentation of background workers prescribes; the handlers are C functions.
    unsafe {
        pqsignal(pg_sys::SIGTERM as i32, Some(die));
        pqsignal(pg_sys::SIGHUP as i32, Some(SignalHandlerForConfigReload));
        pg_sys::BackgroundWorkerUnblockSignals();
        if database.value() == 0 {
            let name = CStr::from_ptr((*pg_sys::MyBgworkerEntry).bgw_extra.as_ptr());
            pg_sys::BackgroundWorkerInitializeConnection(name.as_ptr(), std::ptr::null(), 0);
        } else {
            let database = pg_sys::Oid::from(u32::try_from(database.value()).unwrap_or(0));
            pg_sys::BackgroundWorkerInitializeConnectionByOid(database, pg_sys::InvalidOid, 0);
        }
    }
    // Whatever ALTER DATABASE or ALTER ROLE set for others.
    option(c"search_path", c"pg_catalog, pg_temp");
    option(c"default_transaction_isolation", c"read committed");
    option(c"default_transaction_read_only", c"off");
    option(c"session_replication_role", c"origin");
    option(c"lock_timeout", c"0");
    // Rows are reached by key or place, however small the tables were when a statement was planned (as vote_agg.fold()).
    option(c"enable_seqscan", c"off");
    option(c"enable_hashjoin", c"off");
    option(c"enable_mergejoin", c"off");
    // What is off counts as very dear, which would have plans compiled: 4 of the 10 ms that a fold took.
    option(c"jit", c"off");
}

fn work() {
    let mut last_vote = Instant::now();
    let mut leaving: Option<Instant> = None;
    let mut failures = 0u32;
    let mut vacuum = Vacuum::default();
    let mut filler = Filler::default();
    loop {
        let started = Instant::now();
        let mut rest = settings::fold_interval();
        match in_transaction(FOLDING, || if tables::hold_extension() { once::once().map(Some) } else { Ok(None) }) {
            // DROP EXTENSION.
            Ok(None) => return,
            Ok(Some(done)) => {
                failures = 0;
                if filler.run() || done.rows > 0 {
                    last_vote = Instant::now();
                    // Back from leaving, unless another worker came meanwhile.
                    if leaving.take().is_some()
                        && !in_transaction(FOLDING, || Ok(Lock::Worker.try_for_session())).unwrap_or(false)
                    {
                        return;
                    }
                }
                if done.more {
                    continue;
                }
                vacuum.run(done.to_vacuum);
            }
            Err(reason) => {
                failures += 1;
                rest = (rest * 2u32.saturating_pow(failures.min(16))).min(MAX_BACK_OFF);
                report_failure(&reason);
            }
        }
        if !settings::worker() {
            return;
        }
        match leaving {
            None if last_vote.elapsed() >= settings::worker_idle_exit() => {
                // First the lock, then a last look: a session that still saw the lock has its vote in that look.
                Lock::Worker.release();
                leaving = Some(Instant::now());
            }
            Some(since) if since.elapsed() >= LINGER => {
                let is_anybody_voting = in_transaction(FOLDING, low_water::is_anybody_voting).unwrap_or(true);
                if !is_anybody_voting && matches!(in_transaction(FOLDING, once::once), Ok(done) if done.rows == 0) {
                    return;
                }
            }
            _ => {}
        }
        pause(rest.saturating_sub(started.elapsed()));
        reload_settings();
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

fn reload_settings() {
    // SAFETY: between transactions, as the server itself does it.
    unsafe {
        if pg_sys::ConfigReloadPending != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

fn report_failure(reason: &str) {
    report(&format!("votes could not be folded: {reason}"), "They stay pending and are tried again.");
    note(|| once::note_failure(reason));
}

/// Tells the server's log of a failure.
pub fn report(message: &str, detail: &str) {
    ereport!(PgLogLevel::WARNING, pgrx::PgSqlErrorCode::ERRCODE_INTERNAL_ERROR, message.to_owned(), detail.to_owned());
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

fn text_of_caught(error: &CaughtError) -> String {
    match error {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => text_of(report.message(), report.detail()),
        CaughtError::RustPanic { ereport, .. } => text_of(ereport.message(), ereport.detail()),
    }
}

/// Gives back the disk space of the heap whose turn is over.
#[derive(Default)]
struct Vacuum {
    /// When it was last tried, and how long to wait then: a snapshot that is open may keep the rows for hours.
    tried: Option<(Instant, Duration)>,
}

impl Vacuum {
    fn run(&mut self, heap: Option<pg_sys::Oid>) {
        let Some(heap) = heap else {
            self.tried = None;
            return;
        };
        let wait = match self.tried {
            Some((at, wait)) if at.elapsed() < wait => return,
            Some((_, wait)) => (wait * 2).min(MAX_BACK_OFF),
            None => Duration::from_secs(1),
        };
        self.tried = Some((Instant::now(), wait));
        if let Err(reason) = vacuum(heap) {
            ereport!(
                PgLogLevel::LOG,
                pgrx::PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                format!("pending could not be vacuumed: {reason}")
            );
        }
    }
}

/// VACUUM (TRUNCATE) of one heap. It runs transactions of its own, as it does when a client asks for it.
fn vacuum(heap: pg_sys::Oid) -> std::result::Result<(), String> {
    // SAFETY: a statement built by the server's own parser, in a memory context that outlives its transactions.
    let result = PgTryBuilder::new(AssertUnwindSafe(|| unsafe {
        pg_sys::StartTransactionCommand();
        let name = pg_sys::get_rel_name(heap);
        if name.is_null() {
            pg_sys::CommitTransactionCommand();
            return Ok(());
        }
        let sql = CString::new(format!("VACUUM (TRUNCATE) vote_agg.{}", CStr::from_ptr(name).to_string_lossy()));
        let sql = sql.map_err(|e| broken(e.to_string()).message().to_owned())?;
        let context = pg_sys::AllocSetContextCreateInternal(
            pg_sys::TopMemoryContext,
            c"vote_agg vacuum".as_ptr(),
            0,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        );
        pg_sys::MemoryContextSwitchTo(context);
        let statements = pg_sys::raw_parser(sql.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
        let statement = (*(*statements).elements).ptr_value.cast::<pg_sys::RawStmt>();
        let source = pg_sys::make_parsestate(std::ptr::null_mut());
        pg_sys::PortalContext = context;
        pg_sys::ExecVacuum(source, (*statement).stmt.cast(), true);
        pg_sys::CommitTransactionCommand();
        pg_sys::PortalContext = std::ptr::null_mut();
        pg_sys::MemoryContextDelete(context);
        Ok(())
    }))
    .catch_others(|error| Err(text_of_caught(&error)))
    .execute();
    // SAFETY: as above. After an error the context is left to the next vacuum's server-side limits: it is a few kilobytes.
    unsafe {
        if result.is_err() {
            pg_sys::AbortCurrentTransaction();
            pg_sys::PortalContext = std::ptr::null_mut();
        }
        pg_sys::pgstat_report_stat(true);
    }
    result
}
