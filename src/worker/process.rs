//! The background worker: folds again and again as long as votes come in.
//!
//! It needs no preloading. The first session that records a vote and finds no worker starts one; it leaves when nothing
//! came for a while. Whatever happens to it, votes are safe in pending and reads count them.

use crate::attached::fill_process::Filler;
use crate::fold::due;
use crate::fold::once::{self, Tries};
use crate::pending::low_water;
use crate::pg::extension;
use crate::pg::lock::Lock;
use crate::pg::process::{FOLDING, MAX_BACK_OFF, connect, exit, in_transaction, note, pause, reload_settings, report, set};
use crate::pg::vacuum::Vacuum;
use crate::session::launch;
use crate::settings;
use pgrx::{pg_guard, pg_sys};
use std::time::{Duration, Instant};

/// How long a worker that gave up its lock still folds. It is longer than [`LOOK_EVERY`]: a session whose last look found the
/// worker running has either looked again, or this worker sees its votes.
const LINGER: Duration = Duration::from_millis(1_500);

/// The worker's process. The argument is the database.
#[pg_guard]
#[unsafe(no_mangle)]
#[allow(unsafe_code, reason = "the server finds it by its name")]
pub extern "C-unwind" fn vote_agg_worker_main(database: pg_sys::Datum) {
    connect(database);
    // What a fold needs is tried: it waits for nobody's lock for longer (as vote_agg.fold()).
    set(c"lock_timeout", c"100ms");
    let is_first = in_transaction(FOLDING, || {
        // A session that is just looking may hold the lock for an instant.
        let got = (0..5).any(|_| Lock::Worker.try_for_session() || pause(Duration::from_millis(20)));
        Ok(got && extension::hold())
    });
    if matches!(is_first, Ok(true)) {
        launch::started();
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
        match in_transaction(FOLDING, || if extension::hold() { once::run(Tries::Due).map(Some) } else { Ok(None) }) {
            // DROP EXTENSION.
            Ok(None) => return,
            Ok(Some(done)) => {
                failures = 0;
                if filler.run() || done.rows > 0 {
                    last_vote = Instant::now();
                    if leaving.take().is_some() && !is_back() {
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
                if failures > 0 {
                    // The next call of a session starts another one, with whatever has been set since.
                    return;
                }
                if in_transaction(FOLDING, due::is_something).unwrap_or(false) {
                    last_vote = Instant::now();
                } else {
                    // First the lock, then a last look: a session that still saw the lock has its vote in that look.
                    Lock::Worker.release();
                    leaving = Some(Instant::now());
                }
            }
            Some(since) if since.elapsed() >= LINGER => {
                let stays = in_transaction(FOLDING, || Ok(low_water::is_anybody_voting()? || due::is_something()?));
                let stays = stays.unwrap_or(false)
                    || matches!(in_transaction(FOLDING, || once::run(Tries::Due)), Ok(done) if done.rows > 0);
                if !stays || !is_back() {
                    return;
                }
                (leaving, last_vote) = (None, Instant::now());
            }
            _ => {}
        }
        pause(rest.saturating_sub(started.elapsed()));
        reload_settings();
    }
}

/// Takes the lock again that a worker which was leaving gave up. False where another worker came meanwhile.
fn is_back() -> bool {
    in_transaction(FOLDING, || Ok(Lock::Worker.try_for_session())).unwrap_or(false)
}

fn report_failure(reason: &str) {
    report(&format!("votes could not be folded: {reason}"), "They stay pending and are tried again.");
    note(|| once::note_failure(reason));
}
