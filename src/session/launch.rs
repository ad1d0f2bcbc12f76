//! Starting the background worker: a session that finds none, and something to do, starts it.

use crate::pg::lock::Lock;
use crate::pg::process::process;
use crate::pg::{clock, database, wake};
use crate::settings;
use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::{IntoDatum, PgLogLevel, ereport};
use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How often a session looks whether a worker is running, in microseconds.
const LOOK_EVERY: u64 = 1_000_000;

/// When a session looks again that found another one starting a worker.
const LOOK_SOON: u64 = 100_000;

/// How long a worker may take from when it was asked for until it has its lock. Until then no other one is asked for.
const START_UP: Duration = Duration::from_secs(1);

thread_local! {
    static LOOKED_AT: Cell<i64> = const { Cell::new(i64::MIN) };
    static WARNED: Cell<bool> = const { Cell::new(false) };
}

/// The worker's process.
pub const WORKER: &str = "vote_agg worker";

/// The same, to be started.
pub fn builder() -> BackgroundWorkerBuilder {
    process(WORKER)
}

/// Lets the commit of this transaction wake the worker. Starts one for this database if none is running; looks at most once a
/// second. `now` in microseconds. Waits for nothing, and holds nothing once it is back.
pub fn ensure(now: i64) {
    wake::at_commit();
    // A clock that was set back is no reason to wait until it gets there again.
    if now.abs_diff(LOOKED_AT.get()) < LOOK_EVERY || !settings::worker() || database::is_standby() {
        return;
    }
    LOOKED_AT.set(now);
    if !Lock::Worker.try_for_session() {
        wake::look_for(WORKER);
        return;
    }
    Lock::Worker.release();
    if !is_my_turn().unwrap_or(true) {
        LOOKED_AT.set(now.saturating_sub_unsigned(LOOK_EVERY - LOOK_SOON));
        return;
    }
    let is_started = builder().set_argument(database::oid().into_datum()).load_dynamic().is_ok();
    if !is_started && !WARNED.replace(true) {
        ereport!(
            PgLogLevel::WARNING,
            pgrx::PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            "no background worker slot is free to fold votes",
            "Votes are counted and read all the same, but the feed waits. Raise max_worker_processes, or call vote_agg.fold() again and again."
        );
    }
}

/// The same at the first call of a function in a session, which may come after a restart with votes pending.
pub fn ensure_at_first() {
    if LOOKED_AT.get() == i64::MIN {
        ensure(clock::now());
    }
}

/// Looks again at the next vote: the extension may be another one by now.
pub fn look_again() {
    LOOKED_AT.set(i64::MIN);
}

/// Where sessions leave word that a worker was asked for. The folder is the server's own for such files; it is in no backup.
fn note() -> PathBuf {
    PathBuf::from(format!("pg_stat_tmp/vote_agg.{}.start", database::oid().to_u32()))
}

/// Is nobody else starting a worker? Many sessions that saw none at once would use up every worker slot. A file and no
/// lock of the server: one session's transaction may be cancelled, prepared, or go on for days.
fn is_my_turn() -> io::Result<bool> {
    match OpenOptions::new().write(true).create_new(true).open(note()) {
        Ok(_) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let file = File::options().write(true).open(note())?;
    // Given back when the file is closed, or the process ends.
    if file.try_lock().is_err() {
        return Ok(false);
    }
    let (asked, now) = (file.metadata()?.modified()?, SystemTime::now());
    // A clock that was set back is no reason to wait.
    if now.duration_since(asked).is_ok_and(|age| age < START_UP) {
        return Ok(false);
    }
    file.set_modified(now)?;
    Ok(true)
}

/// Says that the worker that was asked for is there.
pub fn started() {
    // Where it cannot be removed, it is old in a second.
    let _ = std::fs::remove_file(note());
}
