//! Sums by match of rows that came and went.

use crate::attached::columns::Reader;
use crate::attached::registry::Attached;
use crate::error::Result;
use crate::pg::clock;
use crate::pg::slot::{self, Slot};
use crate::pg::table::Table;
use crate::pg::trigger::Transition;
use crate::session::{launch, match_row, memory};
use crate::write::append;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use std::collections::BTreeMap;
use std::ops::Range;
use vote_agg_core::vote::arrivals::{Arrivals, Source, Vote};

/// Sums by match of rows that came and went.
pub struct Counter {
    source: Source,
    at: i64,
    matches: BTreeMap<String, Arrivals>,
    /// Neighbours are mostly of one match: it is kept at hand.
    last: Option<(String, Arrivals)>,
    pub rows: i64,
}

impl Counter {
    /// Counts nothing yet.
    pub fn new(source: Source) -> Self {
        Self { source, at: clock::now(), matches: BTreeMap::new(), last: None, rows: 0 }
    }

    /// What is counted.
    pub const fn source(&self) -> Source {
        self.source
    }

    /// Adds votes of a match.
    ///
    /// # Errors
    /// 22003 when a sum leaves 64 bits.
    pub fn add(&mut self, match_id: &str, vote: &Vote) -> Result<()> {
        self.arrivals_of(match_id).add(vote)?;
        Ok(())
    }

    fn arrivals_of(&mut self, match_id: &str) -> &mut Arrivals {
        if self.last.as_ref().is_none_or(|(last, _)| last != match_id) {
            self.put_back();
        }
        let matches = &mut self.matches;
        let last = self
            .last
            .get_or_insert_with(|| matches.remove_entry(match_id).unwrap_or_else(|| (match_id.to_owned(), Arrivals::default())));
        &mut last.1
    }

    fn put_back(&mut self) {
        self.matches.extend(self.last.take());
    }

    /// Adds a row `times` (1: it came, -1: it went), if it is a vote, of the match `only` where one is given. `stored` is the table
    /// that it lies in, for one that does.
    ///
    /// A row that goes and has a value that no vote has was never counted: it came behind the back of the triggers, or is still to
    /// be counted by a fill.
    ///
    /// # Errors
    /// 22023 naming a row that came, its column and value, and 22003.
    fn add_row(
        &mut self,
        reader: &mut Reader,
        slot: &Slot,
        times: i64,
        only: Option<&str>,
        stored: Option<pg_sys::Oid>,
    ) -> Result<()> {
        self.rows += 1;
        if self.rows % 1_024 == 0 {
            pgrx::check_for_interrupts!();
        }
        let (source, at) = (self.source, self.at);
        match (reader.read(slot), stored) {
            (Ok(Some(row)), _) if only.is_none_or(|only| row.match_id == only) => {
                self.add(row.match_id, &row.times(times, source, at))
            }
            (Ok(_), _) => Ok(()),
            (Err(_), _) if times < 0 => Ok(()),
            (Err(bad), Some(table)) => Err(bad.in_row(table, &slot.place())),
            (Err(bad), None) => Err(bad.into()),
        }
    }

    /// Adds every row that [`slot::each_in`] shows. Calls `progress` now and then.
    ///
    /// # Errors
    /// 22023 naming a row, its column and value, and 22003.
    #[allow(clippy::too_many_arguments, reason = "what is read, how it counts, and who is told")]
    pub fn add_table(
        &mut self,
        table: &Table,
        blocks: Range<u32>,
        attached: &Attached,
        snapshot: pg_sys::Snapshot,
        times: i64,
        only: Option<&str>,
        mut progress: impl FnMut(i64),
    ) -> Result<()> {
        let mut reader = Reader::new(&attached.columns);
        slot::each_in(table, blocks, snapshot, |row| {
            self.add_row(&mut reader, row, times, only, Some(table.oid()))?;
            if self.rows % 10_000 == 0 {
                progress(self.rows);
            }
            Ok(())
        })
    }

    /// Adds every row of a statement's transition table.
    ///
    /// # Errors
    /// 22023 naming a column and its value, and 22003.
    pub fn add_transition(&mut self, rows: &Transition, attached: &Attached, times: i64) -> Result<()> {
        let mut reader = Reader::new(&attached.columns);
        rows.each(|row| self.add_row(&mut reader, row, times, None, None))
    }

    /// Adds what another has counted.
    ///
    /// # Errors
    /// 22003 when a sum leaves 64 bits.
    pub fn add_all(&mut self, other: Self) -> Result<()> {
        self.put_back();
        if self.matches.is_empty() {
            *self = Self { rows: self.rows + other.rows, ..other };
            return Ok(());
        }
        self.rows += other.rows;
        let (source, at) = (self.source, self.at);
        for (match_id, arrivals) in other.matches() {
            arrivals.votes(source, at).try_for_each(|vote| self.add(&match_id, &vote))?;
        }
        Ok(())
    }

    /// The sums by match.
    pub fn matches(mut self) -> BTreeMap<String, Arrivals> {
        self.put_back();
        self.matches
    }

    /// Appends what the sums come to, to pending. Sums that are nothing leave nothing.
    ///
    /// # Errors
    /// 55000 for a match that is closed, 42704 for a team or match that may not be voted for.
    pub fn append(self) -> Result<()> {
        self.each(append::append)
    }

    /// Only checks that it could be appended.
    ///
    /// # Errors
    /// Those of [`Counter::append`].
    pub fn check(self) -> Result<()> {
        self.each(memory::check_votes)
    }

    fn each(mut self, act: impl Fn(&str, &[Vote]) -> Result<()>) -> Result<()> {
        self.put_back();
        let at = clock::now();
        for (match_id, arrivals) in &self.matches {
            let votes: Vec<Vote> = arrivals.votes(self.source, at).collect();
            if !votes.is_empty() {
                act(match_id, &votes).map_err(about_rows)?;
            }
        }
        launch::ensure(at);
        Ok(())
    }
}

/// A refusal of the match, told to somebody who changed a row.
pub fn about_rows(error: ErrorReport) -> ErrorReport {
    if error.hint().is_some_and(match_row::is_about_time) {
        return error.set_hint(
            "Rows of this match can be changed once their table is detached with detach_votes; once it is final, \
             vote_agg.erase_rows deletes them.",
        );
    }
    error
}
