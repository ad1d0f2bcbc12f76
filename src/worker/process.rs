//! The background worker: folds again and again as long as votes come in.
//!
//! It needs no preloading. The first session that records a vote and finds no worker starts one; it leaves when nothing
//! came for a while. Whatever happens to it, votes are safe in pending and reads count them.

use crate::attached::fill_process::Filler;
use crate::error::Result;
use crate::fold::due;
use crate::fold::once::{self, Done, Tries};
use crate::pending::low_water;
use crate::pg::extension;
use crate::pg::failure::Failure;
use crate::pg::lock::Lock;
use crate::pg::process::{FOLDING, MAX_BACK_OFF, connect, exit, in_transaction, note, pause, reload_settings, report, rest, set};
use crate::pg::vacuum::Vacuum;
use crate::session::launch;
use crate::settings;
use crate::worker::busy::Busy;
use pgrx::pg_sys;
use std::time::{Duration, Instant};
use vote_agg_core::feed::pace::Pace;

/// How long a worker that gave up its lock still folds. It is longer than [`LOOK_EVERY`]: a session whose last look found the
/// worker running has either looked again, or this worker sees its votes.
const LINGER: Duration = Duration::from_millis(1_500);

/// The shortest time between two tries for a lock.
const BUSY_PAUSE: Duration = Duration::from_millis(200);

/// The longest time between two looks while nothing comes. The commit of a vote ends it; this is for what wakes nobody, such as
/// the end of a prepared transaction.
const LONGEST_QUIET: Duration = Duration::from_secs(1);

/// The worker's process. The argument is the database.
pub fn main(database: pg_sys::Datum) {
    connect(database);
    // A fold tries locks: it waits for no other lock for longer (as vote_agg.fold()).
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
    let mut busy = Busy::default();
    let mut vacuum = Vacuum::default();
    let mut filler = Filler::default();
    let mut pace = Pace::default();
    let mut folded_at = Instant::now();
    loop {
        let started = Instant::now();
        let mut gap = settings::fold_interval();
        let (mut is_quiet, mut is_ending) = (true, false);
        match in_transaction(busy.activity(), fold) {
            Ok(Fold::Gone) => return,
            Ok(Fold::KeptOut) => {
                filler.run();
                last_vote = Instant::now();
                if !is_back(&mut leaving) {
                    return;
                }
            }
            Ok(Fold::Done(done)) => {
                failures = 0;
                busy.end();
                is_ending = done.is_ending;
                if done.rows > 0 {
                    gap = pace.gap(done.rows, started - folded_at, gap);
                    (folded_at, is_quiet) = (started, false);
                }
                if filler.run() || done.rows > 0 {
                    last_vote = Instant::now();
                    if !is_back(&mut leaving) {
                        return;
                    }
                }
                if done.more {
                    continue;
                }
                vacuum.run(done.to_vacuum);
            }
            // It stays: nobody else comes to fold when the lock is free.
            Err(failure) if failure.is_locked_out() => {
                last_vote = Instant::now();
                if !is_back(&mut leaving) {
                    return;
                }
                busy.begin(&failure);
                gap = gap.max(started.elapsed() + BUSY_PAUSE);
                is_quiet = false;
            }
            Err(failure) => {
                failures += 1;
                gap = (gap * 2u32.saturating_pow(failures.min(16))).min(MAX_BACK_OFF);
                is_quiet = false;
                report_failure(&failure);
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
                    || match in_transaction(FOLDING, fold) {
                        Ok(Fold::Gone) => false,
                        Ok(Fold::KeptOut) => true,
                        Ok(Fold::Done(done)) => done.rows > 0,
                        Err(failure) => failure.is_locked_out(),
                    };
                if !stays || !is_back(&mut leaving) {
                    return;
                }
                last_vote = Instant::now();
            }
            _ => {}
        }
        if is_quiet {
            // It looks ever more rarely, unless a match is to become final, or it is about to leave.
            let quiet = if leaving.is_none() && !is_ending { last_vote.elapsed() / 10 } else { Duration::ZERO };
            pause(gap.max(quiet.min(LONGEST_QUIET)).saturating_sub(started.elapsed()));
        } else {
            rest(gap.saturating_sub(started.elapsed()));
        }
        reload_settings();
    }
}

/// What came of one try.
enum Fold {
    /// DROP EXTENSION.
    Gone,
    /// Somebody else folds, purges or rebuilds. What is pending was not looked at.
    KeptOut,
    Done(Done),
}

fn fold() -> Result<Fold> {
    if !extension::hold() {
        return Ok(Fold::Gone);
    }
    // To the end of the transaction, so the fold has it too.
    if Lock::Fold.try_for_transaction() { once::run(Tries::Due).map(Fold::Done) } else { Ok(Fold::KeptOut) }
}

/// Takes the lock again that a worker which was leaving gave up. False where another worker came meanwhile.
fn is_back(leaving: &mut Option<Instant>) -> bool {
    leaving.take().is_none() || in_transaction(FOLDING, || Ok(Lock::Worker.try_for_session())).unwrap_or(false)
}

fn report_failure(failure: &Failure) {
    report("votes could not be folded", failure, "They stay pending and are tried again.");
    note(|| once::note_failure(&failure.text));
}
