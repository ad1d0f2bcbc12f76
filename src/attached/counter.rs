//! Sums by match of rows that came and went.

#![allow(unsafe_code, reason = "tuple stores and scans are the server's own interfaces")]

use crate::attached::columns::{Reader, Slot};
use crate::attached::registry::Attached;
use crate::error::{Result, refused};
use crate::pg::clock;
use crate::pg::table::Table;
use crate::session::{launch, match_row, memory};
use crate::write::append;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use std::collections::BTreeMap;
use std::ops::Range;
use vote_agg_core::vote::tally::{Source, Tally, Vote};

/// All blocks of a table.
pub const WHOLE: Range<u32> = 0..pg_sys::InvalidBlockNumber;

/// Sums by match of rows that came and went.
pub struct Counter {
    source: Source,
    at: i64,
    tallies: BTreeMap<String, Tally>,
    /// Neighbours are mostly of one match: it is kept at hand.
    last: Option<(String, Tally)>,
    pub rows: i64,
}

impl Counter {
    /// Counts nothing yet.
    pub fn new(source: Source) -> Self {
        Self { source, at: clock::now(), tallies: BTreeMap::new(), last: None, rows: 0 }
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
        self.tally_of(match_id).add(vote).map_err(refused)
    }

    fn tally_of(&mut self, match_id: &str) -> &mut Tally {
        if self.last.as_ref().is_none_or(|(last, _)| last != match_id) {
            self.put_back();
        }
        let tallies = &mut self.tallies;
        let last = self
            .last
            .get_or_insert_with(|| tallies.remove_entry(match_id).unwrap_or_else(|| (match_id.to_owned(), Tally::default())));
        &mut last.1
    }

    fn put_back(&mut self) {
        self.tallies.extend(self.last.take());
    }

    /// Adds a row `times` (1: it came, -1: it went), if it is a vote, of the match `only` where one is given.
    ///
    /// # Errors
    /// Those of [`Reader::read`], and 22003.
    pub fn add_row(&mut self, reader: &mut Reader, slot: &Slot, times: i64, only: Option<&str>) -> Result<()> {
        self.rows += 1;
        if self.rows % 1_024 == 0 {
            pgrx::check_for_interrupts!();
        }
        let (source, at) = (self.source, self.at);
        match reader.read(slot)? {
            Some(row) if only.is_none_or(|only| row.match_id == only) => self.add(row.match_id, &row.times(times, source, at)),
            _ => Ok(()),
        }
    }

    /// Adds every row of a table itself, not of its partitions, that `snapshot` sees in these blocks. Blocks that end past the
    /// end of the table mean: to its end. Calls `progress` now and then.
    ///
    /// # Errors
    /// Those of [`Counter::add_row`].
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
        if !table.has_storage() {
            return Ok(());
        }
        let mut reader = Reader::new(&attached.columns);
        // SAFETY: a scan of the open table; a row is not used after the next is asked for. The table is locked against
        // becoming shorter meanwhile.
        unsafe {
            let slot = pg_sys::table_slot_create(table.as_ptr(), std::ptr::null_mut());
            let flags = pg_sys::ScanOptions::SO_TYPE_SEQSCAN
                | pg_sys::ScanOptions::SO_ALLOW_STRAT
                | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
            let scan = pg_sys::heap_beginscan(table.as_ptr(), snapshot, 0, std::ptr::null_mut(), std::ptr::null_mut(), flags);
            let end = (*scan.cast::<pg_sys::HeapScanDescData>()).rs_nblocks.min(blocks.end);
            pg_sys::heap_setscanlimits(scan, blocks.start, end.saturating_sub(blocks.start));
            while pg_sys::heap_getnextslot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
                self.add_row(&mut reader, &Slot::new(slot), times, only)?;
                if self.rows % 10_000 == 0 {
                    progress(self.rows);
                }
            }
            pg_sys::heap_endscan(scan);
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
        Ok(())
    }

    /// Adds every row of a statement's transition table.
    pub fn add_store(
        &mut self,
        store: *mut pg_sys::Tuplestorestate,
        table: pg_sys::Relation,
        attached: &Attached,
        times: i64,
    ) -> Result<()> {
        let mut reader = Reader::new(&attached.columns);
        // SAFETY: the store belongs to the trigger's call and holds rows of the table. Its first read pointer is nobody
        // else's: queries over it make their own.
        unsafe {
            let slot = pg_sys::MakeSingleTupleTableSlot((*table).rd_att, &raw const pg_sys::TTSOpsMinimalTuple);
            pg_sys::tuplestore_select_read_pointer(store, 0);
            pg_sys::tuplestore_rescan(store);
            while pg_sys::tuplestore_gettupleslot(store, true, false, slot) {
                self.add_row(&mut reader, &Slot::new(slot), times, None)?;
            }
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
        Ok(())
    }

    /// Adds what another has counted.
    ///
    /// # Errors
    /// 22003 when a sum leaves 64 bits.
    pub fn add_all(&mut self, other: Self) -> Result<()> {
        self.put_back();
        if self.tallies.is_empty() {
            *self = Self { rows: self.rows + other.rows, ..other };
            return Ok(());
        }
        self.rows += other.rows;
        let (source, at) = (self.source, self.at);
        for (match_id, tally) in other.tallies() {
            tally.votes(source, at).try_for_each(|vote| self.add(&match_id, &vote))?;
        }
        Ok(())
    }

    /// The sums by match.
    pub fn tallies(mut self) -> BTreeMap<String, Tally> {
        self.put_back();
        self.tallies
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
        for (match_id, tally) in &self.tallies {
            let votes: Vec<Vote> = tally.votes(self.source, at).collect();
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
    if error.hint() == Some(match_row::ELSEWHERE) {
        return error.set_hint("Rows of this match can be changed once their table is detached with detach_votes.");
    }
    error
}
