//! The background worker: folds again and again as long as votes come in.
//!
//! It needs no preloading. The first session that records a vote and finds no worker starts one; it leaves when nothing
//! came for a while. Whatever happens to it, votes are safe in pending and reads count them.

use crate::attached::fill_process::Filler;
use crate::fold::once;
use crate::pending::low_water;
use crate::pg::lock::Lock;
use crate::pg::process::{FOLDING, MAX_BACK_OFF, connect, exit, in_transaction, note, pause, reload_settings, report};
use crate::pg::vacuum::Vacuum;
use crate::pg::{database, extension};
use crate::session::launch::builder;
use crate::settings;
use pgrx::bgworkers::BgWorkerStartTime;
use pgrx::{pg_guard, pg_sys};
use std::time::{Duration, Instant};

/// How long a worker that gave up its lock still folds. It is longer than [`LOOK_EVERY`]: a session whose last look found the
/// worker running has either looked again, or this worker sees its votes.
const LINGER: Duration = Duration::from_millis(1_500);

/// Registers the workers of `vote_agg.databases` when the library is preloaded.
pub fn preload() {
    if !database::is_preloading() {
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

/// The worker's process. The argument is the database, or 0 where its name is in the extra data.
#[pg_guard]
#[unsafe(no_mangle)]
#[allow(unsafe_code, reason = "the server finds it by its name")]
pub extern "C-unwind" fn vote_agg_worker_main(database: pg_sys::Datum) {
    connect(database);
    let is_first = in_transaction(FOLDING, || {
        // A session that is just looking may hold the lock for an instant.
        let got = (0..5).any(|_| Lock::Worker.try_for_session() || pause(Duration::from_millis(20)));
        Ok(got && extension::hold())
    });
    if matches!(is_first, Ok(true)) {
        work();
    }
    exit();
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
        match in_transaction(FOLDING, || if extension::hold() { once::run().map(Some) } else { Ok(None) }) {
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
                if !is_anybody_voting && matches!(in_transaction(FOLDING, once::run), Ok(done) if done.rows == 0) {
                    return;
                }
            }
            _ => {}
        }
        pause(rest.saturating_sub(started.elapsed()));
        reload_settings();
    }
}

fn report_failure(reason: &str) {
    report(&format!("votes could not be folded: {reason}"), "They stay pending and are tried again.");
    note(|| once::note_failure(reason));
}
