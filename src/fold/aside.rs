//! Matches that are set aside: a fold could not count them, and goes on without them. Their votes wait in a heap of their
//! own, are in every read, and are tried again with growing pauses.

use crate::error::{Result, quoted};
use crate::pending::row::PendingRow;
use crate::pg::process;
use crate::pg::spi::{Insert, Plan, Sees, Spi, time, value};
use pgrx::{IntoDatum, pg_sys};
use std::collections::BTreeMap;

/// The pause after the first failure and the longest one, in microseconds.
const FIRST_PAUSE: i64 = 1_000_000;
const LONGEST_PAUSE: i64 = 30_000_000;

/// The most that one fold tries again, so that all others don't wait for many of them.
const MOST_DUE: usize = 10;

thread_local! {
    static ALL: Plan = const { Plan::new("SELECT match_id, tries, next_try FROM vote_agg.aside", &[]) };
    static PUT: Insert = const { Insert::or("vote_agg.aside",
        "ON CONFLICT (match_id) DO UPDATE SET tries = excluded.tries, next_try = excluded.next_try, reason = excluded.reason") };
    static FREE: Plan = const { Plan::new("DELETE FROM vote_agg.aside WHERE match_id = $1", &[pg_sys::TEXTOID]) };
}

/// How often a match was tried, and when it will be again.
struct Tries {
    count: i64,
    next: i64,
}

/// The matches that are set aside.
#[derive(Default)]
pub struct Aside {
    matches: BTreeMap<String, Tries>,
    /// What this fold has to say of them.
    troubles: Vec<String>,
}

impl Aside {
    /// Reads which they are.
    ///
    /// # Errors
    /// Those of the server.
    pub fn load(spi: &Spi) -> Result<Self> {
        let mut matches = BTreeMap::new();
        for row in spi.run(&ALL, &[], Sees::Now)?.iter() {
            let tries = Tries { count: row.need("tries")?, next: row.time("next_try")?.unwrap_or_default() };
            matches.insert(row.need("match_id")?, tries);
        }
        Ok(Self { matches, troubles: Vec::new() })
    }

    /// How many there are.
    pub fn count(&self) -> i64 {
        i64::try_from(self.matches.len()).unwrap_or(i64::MAX)
    }

    /// Is this one of them?
    pub fn holds(&self, match_id: &str) -> bool {
        self.matches.contains_key(match_id)
    }

    /// Does a row belong to one of them?
    pub fn holds_row(&self, row: &PendingRow) -> bool {
        !self.matches.is_empty() && self.holds(&row.match_name())
    }

    /// Those to be tried now: a few of those whose pause is over, the longest waiting first, or all.
    pub fn due(&self, at: i64, all: bool) -> Vec<String> {
        let mut due: Vec<_> = self.matches.iter().filter(|(_, tries)| all || tries.next <= at).collect();
        due.sort_by_key(|(_, tries)| tries.next);
        due.truncate(if all { usize::MAX } else { MOST_DUE });
        due.into_iter().map(|(match_id, _)| match_id.clone()).collect()
    }

    /// Sets a match aside, or leaves it there for longer.
    ///
    /// # Errors
    /// Those of the server.
    pub fn put(&mut self, spi: &Spi, match_id: &str, at: i64, reason: &str) -> Result<()> {
        let count = self.matches.get(match_id).map_or(0, |tries| tries.count) + 1;
        let pause = FIRST_PAUSE.saturating_mul(1 << (count - 1).clamp(0, 30)).min(LONGEST_PAUSE);
        let next = at + pause;
        spi.insert(
            &PUT,
            &[
                value("match_id", match_id),
                time("since", at),
                value("tries", count),
                time("next_try", next),
                value("reason", reason),
            ],
        )?;
        self.matches.insert(match_id.to_owned(), Tries { count, next });
        let trouble = format!("match {} is set aside: {reason}", quoted(match_id));
        if count == 1 {
            process::warn(&trouble, "Its votes are in every read, and it is tried again with growing pauses. All others go on.");
        }
        self.troubles.push(trouble);
        Ok(())
    }

    /// What there is to say of those that could not be folded now.
    pub fn troubles(&mut self) -> Vec<String> {
        std::mem::take(&mut self.troubles)
    }

    /// Takes a match back that could be folded.
    ///
    /// # Errors
    /// Those of the server.
    pub fn free(&mut self, spi: &Spi, match_id: &str) -> Result<()> {
        spi.run(&FREE, &[match_id.into_datum()], Sees::Now)?;
        self.matches.remove(match_id);
        Ok(())
    }
}
