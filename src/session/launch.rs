//! Starting the background worker: the first session that records a vote and finds none starts it.

use crate::pg::database;
use crate::pg::lock::Lock;
use crate::pg::process::{pause, process};
use crate::settings;
use pgrx::bgworkers::BackgroundWorkerBuilder;
use pgrx::{IntoDatum, PgLogLevel, ereport};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How often a session looks whether a worker is running, in microseconds.
const LOOK_EVERY: u64 = 1_000_000;

/// How long the session that started a worker waits for it to take its lock.
const START_UP: Duration = Duration::from_millis(200);

thread_local! {
    static LOOKED_AT: Cell<i64> = const { Cell::new(i64::MIN) };
    static WARNED: Cell<bool> = const { Cell::new(false) };
}

/// The worker's process.
pub fn builder() -> BackgroundWorkerBuilder {
    process("vote_agg worker", "vote_agg_worker_main")
}

/// Starts a worker for this database if none is running; looks at most once a second. `now` in microseconds.
pub fn ensure(now: i64) {
    // A clock that was set back is no reason to wait until it gets there again.
    if now.abs_diff(LOOKED_AT.get()) < LOOK_EVERY || !settings::worker() {
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
    let is_started = builder().set_argument(database::oid().into_datum()).load_dynamic().is_ok();
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
