//! Counting the rows of attached tables: what a statement changed, or all that a table holds.

#![allow(unsafe_code, reason = "triggers, tuple stores and scans are the server's own interfaces")]

use crate::attached::column::{Reader, Slot};
use crate::attached::delta;
use crate::attached::source::{self, Attached, State};
use crate::error::{Result, forbidden, not_now, refused, shown};
use crate::pending::heap::{self, Place};
use crate::pg::tables;
use crate::pg::tables::{Latest, Table};
use crate::session::memory;
use crate::worker::process;
use pgrx::pg_sys::panic::{ErrorReport, ErrorReportable};
use pgrx::{pg_guard, pg_sys};
use std::collections::BTreeMap;
use std::ffi::CStr;
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
        Self { source, at: tables::now(), tallies: BTreeMap::new(), last: None, rows: 0 }
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
        self.tally_of(match_id).add(vote).map_err(|e| refused(&e))
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

    /// Adds every row of a table itself (not of its partitions) that `snapshot` sees in these blocks (those that end past the
    /// table's end: to its end); calls `progress` now and then.
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
    fn add_store(
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
        self.each(heap::append)
    }

    /// Only checks that it could be appended.
    ///
    /// # Errors
    /// Those of [`Counter::append`].
    fn check(self) -> Result<()> {
        self.each(memory::check_votes)
    }

    fn each(mut self, act: impl Fn(&str, &[Vote]) -> Result<()>) -> Result<()> {
        self.put_back();
        let at = tables::now();
        for (match_id, tally) in &self.tallies {
            let votes: Vec<Vote> = tally.votes(self.source, at).collect();
            if !votes.is_empty() {
                act(match_id, &votes).map_err(about_rows)?;
            }
        }
        process::ensure(at);
        Ok(())
    }
}

/// A refusal of the match, told to somebody who changed a row.
fn about_rows(error: ErrorReport) -> ErrorReport {
    if error.hint() == Some(memory::ELSEWHERE) {
        return error.set_hint("Rows of this match can be changed once their table is detached with detach_votes.");
    }
    error
}

/// What the function of our triggers is called with.
struct Fired<'a> {
    data: &'a pg_sys::TriggerData,
}

/// The triggers that `attach_votes` makes: their names tell which one is meant to do what.
pub const TRIGGERS: [&CStr; 4] = [c"vote_agg_insert", c"vote_agg_update", c"vote_agg_delete", c"vote_agg_truncate"];

/// The trigger for each row of a table that is being filled: only that one is told the row's place.
pub const ROW_TRIGGER: &CStr = c"vote_agg_fill";

/// A trigger in partitions that never fires. In PostgreSQL 18, a row that MERGE updates after it has inserted one comes to the
/// statement's trigger as the inserted one again, but not where a trigger could have changed the inserted row.
pub const MERGE_TRIGGER: &CStr = c"vote_agg_merge";

impl Fired<'_> {
    fn count(&self) -> Result<()> {
        let data = self.data;
        // SAFETY: the relation of a trigger's call is open.
        let table = unsafe { (*data.tg_relation).rd_id };
        let is_before = data.tg_event & pg_sys::TRIGGER_EVENT_TIMINGMASK == pg_sys::TRIGGER_EVENT_BEFORE;
        if data.tg_event & pg_sys::TRIGGER_EVENT_ROW != 0 {
            return self.note(table, is_before);
        }
        let (name, is_whole) = match data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK {
            pg_sys::TRIGGER_EVENT_INSERT => (TRIGGERS[0], !is_before && !data.tg_newtable.is_null()),
            pg_sys::TRIGGER_EVENT_UPDATE => {
                (TRIGGERS[1], !is_before && !data.tg_newtable.is_null() && !data.tg_oldtable.is_null())
            }
            pg_sys::TRIGGER_EVENT_DELETE => (TRIGGERS[2], !is_before && !data.tg_oldtable.is_null()),
            _ => (TRIGGERS[3], is_before),
        };
        // SAFETY: the trigger's own name.
        let is_ours = unsafe { CStr::from_ptr((*data.tg_trigger).tgname) } == name && is_whole;
        let Some(attached) = source::find(table)?.filter(|_| is_ours) else { return Err(no_such_trigger(table)) };
        let is_filling = attached.state == State::Filling;
        if is_filling && name != TRIGGERS[3] {
            return Ok(());
        }
        let mut counter = Counter::new(attached.source);
        if name == TRIGGERS[3] {
            // Every partition that is emptied has its own call. Nobody else is at the table now: the latest snapshot sees
            // all that goes, in a transaction with an older one too.
            let table = Table::open(table, pg_sys::NoLock);
            counter.add_table(&table, WHOLE, &attached, Latest::take().as_ptr(), -1, None, |_| ())?;
            if is_filling {
                // Another file, so the fill of this table begins again.
                return counter.check();
            }
        } else {
            for (store, times) in [(data.tg_oldtable, -1), (data.tg_newtable, 1)] {
                if !store.is_null() {
                    counter.add_store(store, data.tg_relation, &attached, times)?;
                }
            }
        }
        counter.append()
    }

    /// Notes what happened to one row, and where.
    fn note(&self, table: pg_sys::Oid, is_before: bool) -> Result<()> {
        let data = self.data;
        // SAFETY: the trigger's own name.
        let is_ours = unsafe { CStr::from_ptr((*data.tg_trigger).tgname) } == ROW_TRIGGER && !is_before;
        let Some(attached) = source::find(table)?.filter(|_| is_ours) else { return Err(no_such_trigger(table)) };
        if attached.state != State::Filling {
            return Ok(());
        }
        let (first, second) = (data.tg_trigslot, data.tg_newslot);
        let (old, new) = match data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK {
            pg_sys::TRIGGER_EVENT_INSERT => (None, Some(first)),
            pg_sys::TRIGGER_EVENT_UPDATE => (Some(first), Some(second)),
            _ => (Some(first), None),
        };
        let (mut old_reader, mut new_reader) = (Reader::new(&attached.columns), Reader::new(&attached.columns));
        // SAFETY: rows of the trigger's call.
        let slot = |slot| unsafe { Slot::new(slot) };
        let old_row = old.map_or(Ok(None), |old| old_reader.read(&slot(old)))?;
        let new_row = new.map_or(Ok(None), |new| new_reader.read(&slot(new)))?;
        // SAFETY: as above; they are stored in the table.
        let place =
            |slot: *mut pg_sys::TupleTableSlot| Place { relation: table, block: heap::block_of(unsafe { &(*slot).tts_tid }) };
        let at = tables::now();
        let gone = old.zip(old_row.as_ref()).map(|(slot, row)| (row.match_id, row.times(-1, attached.source, at), place(slot)));
        let came = new.zip(new_row.as_ref()).map(|(slot, row)| (row.match_id, row.times(1, attached.source, at), place(slot)));
        // The same vote in another place changes nothing of a match, which may be closed.
        delta::note(gone.into_iter().chain(came).collect(), old_row != new_row).map_err(about_rows)?;
        process::ensure(at);
        Ok(())
    }
}

fn no_such_trigger(table: pg_sys::Oid) -> ErrorReport {
    forbidden(
        format!("table {} is not attached by this trigger", shown(table)),
        "Drop the trigger, and attach the table with attach_votes.",
    )
}

/// See the COMMENT in sql/source.sql. Written out, because it takes a trigger's or no arguments.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn count_rows_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the server's call; the context's type tells what it is.
    let data = unsafe { (*call).context.cast::<pg_sys::TriggerData>().as_ref() };
    let fired = data.filter(|data| data.type_ == pg_sys::NodeTag::T_TriggerData).map(|data| Fired { data });
    let counted = match fired {
        Some(fired) => fired.count(),
        None => {
            Err(not_now("this function only counts as a trigger".into(), "It was called by a query.".into(), "Use attach_votes."))
        }
    };
    counted.unwrap_or_report();
    pg_sys::Datum::null()
}

/// Tells the server how the function above is called.
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_count_rows_wrapper() -> &'static pg_sys::Pg_finfo_record {
    const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}
