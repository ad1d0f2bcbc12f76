//! The process that fills attached tables, one after the other. It is not the worker, so that the feed goes on meanwhile; the
//! worker starts it.

use crate::attached::fill;
use crate::pg::database;
use crate::pg::process::{FOLDING, MAX_BACK_OFF, connect, exit, in_transaction, note, process, report};
use pgrx::{IntoDatum, pg_sys};
use std::time::{Duration, Instant};

/// Its process.
pub const FILLER: &str = "vote_agg filler";

/// What it does. The argument is the database.
pub fn main(database: pg_sys::Datum) {
    connect(database);
    loop {
        match in_transaction(c"counting an attached table", || fill::next(None, Some(1))) {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(failure) => {
                report("an attached table could not be counted", &failure, "It waits, and is tried again.");
                note(|| fill::note_failure(&failure.text));
                break;
            }
        }
    }
    exit();
}

/// Sees to it that attached tables are filled.
#[derive(Default)]
pub struct Filler {
    /// When it was last looked, and whether a table waits.
    looked: Option<(Instant, bool)>,
    /// When the process was last started, and how long to wait then: it may be at work, or fail again and again.
    started: Option<(Instant, Duration)>,
}

impl Filler {
    /// Looks once a second and starts the process; true when a table waits.
    pub fn run(&mut self) -> bool {
        if let Some((at, waits)) = self.looked
            && at.elapsed() < Duration::from_secs(1)
        {
            return waits;
        }
        let waits = in_transaction(FOLDING, fill::is_waiting).unwrap_or(false);
        self.looked = Some((Instant::now(), waits));
        if !waits {
            self.started = None;
            return false;
        }
        let wait = match self.started {
            Some((at, wait)) if at.elapsed() < wait => return true,
            Some((_, wait)) => (wait * 2).min(MAX_BACK_OFF),
            None => Duration::from_secs(1),
        };
        self.started = Some((Instant::now(), wait));
        // Where no slot is free now, one may be later.
        let _ = process(FILLER).set_argument(database::oid().into_datum()).load_dynamic();
        true
    }
}
