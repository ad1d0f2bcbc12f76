//! A worker that waits for a lock on our tables: somebody changes one of them. It says so once, and once more when it folds
//! again. That is no failure: the work of a DBA takes its time, and nothing is wrong.

use crate::fold::holders;
use crate::pg::failure::Failure;
use crate::pg::process::{FOLDING, in_transaction};
use crate::pg::spi;
use pgrx::{PgLogLevel, PgSqlErrorCode, ereport};
use std::ffi::CStr;
use std::time::Instant;

/// What the process list says meanwhile; vote_agg.fold_holder() looks for it.
const WAITING: &CStr = c"folding votes, once a lock is free";

/// Since when it waits.
#[derive(Default)]
pub struct Busy(Option<Instant>);

impl Busy {
    /// What the next fold is called in the process list.
    pub const fn activity(&self) -> &'static CStr {
        if self.0.is_some() { WAITING } else { FOLDING }
    }

    /// A fold did not get a lock.
    pub fn begin(&mut self, failure: &Failure) {
        if self.0.is_some() {
            return;
        }
        self.0 = Some(Instant::now());
        let named = in_transaction(WAITING, || spi::connect(|spi| holders::name(spi, &failure.text)));
        let reason = named.unwrap_or_else(|_| failure.text.clone());
        ereport!(
            PgLogLevel::WARNING,
            failure.code,
            format!("votes wait to be folded: {reason}"),
            "They stay pending and are in every read. vote_agg.stat_fold says who is waited for.".to_owned()
        );
    }

    /// A fold was done.
    pub fn end(&mut self) {
        if let Some(since) = self.0.take() {
            let seconds = since.elapsed().as_secs_f64();
            ereport!(
                PgLogLevel::LOG,
                PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
                format!("votes are folded again: the lock was free after {seconds:.1} s")
            );
        }
    }
}
