//! Pending votes: two heaps that take turns, written and read below SQL.
//!
//! A vote is one `heap_insert`: no index, no row lock, no query. Three rules make low water (see docs/design/low-water.md) right;
//! they are kept here and in low_water.rs, in the order of fold/once.rs:
//! 1. A writer locks the heap, then looks where it ends, then appends at most [`SLACK`] blocks below that end.
//! 2. A fold appends an anchor, a row without a match, and then lists the holders of a writer's lock. Once those are gone,
//!    and a fold has drained what they wrote, the mark moves to `SLACK` blocks below the anchor's end.
//! 3. The anchor stays until the mark that stands on the next one counts. While it lives neither VACUUM nor a crash makes
//!    the file shorter, so a writer that locks the heap after the listing looks at an end that is not below the anchor's.

#![allow(unsafe_code, reason = "appends, scans and deletes of a heap are the server's own interface")]

use crate::error::{Result, broken};
use crate::pending::dead_pages::DeadPages;
use crate::pending::fold_log::Mark;
use crate::pending::row::{COLUMNS, Column, MOST_COLUMNS, PendingRow, RowPlace, RowValues};
use crate::pg::form;
use crate::pg::table::{Table, block_of};
use crate::settings;
use pgrx::{PgSqlErrorCode, pg_sys};
use std::ops::Range;
use vote_agg_core::Country;
use vote_agg_core::vote::cell;
use vote_agg_core::vote::tally::{Source, Vote};

/// How far below the end of the heap a session may go on filling the block it began. Many sessions extend the heap at the
/// same time. With 0, each would leave its block half empty and move to the last one: 0.86 of a bare INSERT's speed instead
/// of 0.94. Reads pass over this many blocks.
pub const SLACK: u32 = 128;

/// What a visitor of rows wants next.
pub enum Next {
    Go,
    Stop,
}

/// An open heap.
pub struct OpenHeap(Table);

impl OpenHeap {
    /// Opens the heap in a lock mode.
    ///
    /// # Errors
    /// 55000 where somebody made it something else than a plain table without indexes and triggers.
    pub fn open(table: pg_sys::Oid, mode: u32) -> Result<Self> {
        let table = Table::open(table, mode);
        // SAFETY: an open relation has its pg_class row.
        let class = unsafe { &*(*table.as_ptr()).rd_rel };
        let is_plain = class.relkind == pg_sys::RELKIND_RELATION as std::ffi::c_char
            && class.relam == pg_sys::HEAP_TABLE_AM_OID
            && !table.has_index()
            && !table.has_trigger()
            // SAFETY: the form of an open relation.
            && [COLUMNS.len(), MOST_COLUMNS].contains(&unsafe { form::width(table.row_form()) });
        if is_plain {
            return Ok(Self(table));
        }
        Err(pgrx::pg_sys::panic::ErrorReport::new(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            "a heap of pending votes is not a plain table any more",
            pgrx::function_name!(),
        )
        .set_detail("Votes are appended below SQL, where indexes, triggers and other storage would be passed over.")
        .set_hint("Drop what was added to vote_agg.pending_1, vote_agg.pending_2 and vote_agg.pending_aside."))
    }

    /// Checks that its columns are those that votes are written to by place.
    ///
    /// # Errors
    /// XX000 where they are others.
    pub fn check_columns(&self) -> Result<()> {
        // SAFETY: the form of an open relation.
        unsafe { form::check(self.0.row_form(), &COLUMNS) }
    }

    /// Its size in blocks.
    pub fn blocks(&self) -> u32 {
        self.0.blocks()
    }

    /// Its file.
    pub fn file(&self) -> u32 {
        self.0.file().to_u32()
    }

    /// The first block that can hold rows that count.
    pub fn first_block(&self, mark: Mark) -> u32 {
        if mark.file == self.file() { mark.block } else { 0 }
    }

    /// Rule 1: forgets the block that this session was filling when it lies too far below the end.
    pub fn look_at_end(&self) {
        self.forget_block_below(self.blocks().saturating_sub(SLACK));
        settings::pause(settings::Pause::VoteLooked);
    }

    fn forget_block_below(&self, block: u32) {
        // SAFETY: an open relation; the target block is this session's own note. `blocks` has opened its storage, if
        // nothing else did.
        unsafe {
            let storage = (*self.0.as_ptr()).rd_smgr;
            if !storage.is_null() && (*storage).smgr_targblock < block {
                (*storage).smgr_targblock = pg_sys::InvalidBlockNumber;
            }
        }
    }

    /// Appends one vote at the end.
    pub fn insert(&self, match_id: &str, vote: &Vote) {
        self.insert_at(match_id, vote, None);
    }

    /// The same, with the place that the heaps of fills ask for.
    pub fn insert_at(&self, match_id: &str, vote: &Vote, place: Option<RowPlace>) {
        self.append(
            match_id,
            vote.cell.map(cell::cell_to_bits),
            vote.votes,
            vote.at,
            vote.source,
            vote.in_total,
            vote.team,
            vote.country.as_ref(),
            place,
        );
    }

    /// Appends an anchor at the very end: no match, no votes. Returns its block.
    pub fn insert_anchor(&self, at: i64) -> u32 {
        self.forget_block_below(self.blocks());
        self.append("", None, 0, at, Source::CALL, false, "", None, None)
    }

    #[allow(clippy::too_many_arguments, reason = "one a column")]
    fn append(
        &self,
        match_id: &str,
        cell: Option<i64>,
        votes: i64,
        at: i64,
        source: Source,
        in_total: bool,
        team: &str,
        country: Option<&Country>,
        place: Option<RowPlace>,
    ) -> u32 {
        let mut values = RowValues::none();
        if let Some(cell) = cell {
            values.set(Column::Cell, cell);
        }
        values.set(Column::Votes, votes);
        values.set(Column::At, at);
        values.set(Column::Source, source.0);
        values.set(Column::InTotal, in_total);
        values.set_text(Column::Match, match_id);
        values.set_text(Column::Team, team);
        if let Some(country) = country {
            values.set_text(Column::Country, country.as_str());
        }
        if let Some(place) = place {
            values.set(Column::Relation, place.relation);
            values.set(Column::Block, i64::from(place.block));
        }
        // SAFETY: the values are those of the table's columns; the tuple lives in the current memory context until the
        // caller's is reset, and is freed here at once. HEAP_INSERT_SKIP_FSM: rule 1, never into a gap further down.
        unsafe {
            let tuple = values.row().write(self.0.row_form());
            let command = pg_sys::GetCurrentCommandId(true);
            pg_sys::heap_insert(self.0.as_ptr(), tuple, command, pg_sys::HEAP_INSERT_SKIP_FSM as i32, std::ptr::null_mut());
            let block = block_of(&(*tuple).t_self);
            pg_sys::pfree(tuple.cast());
            for text in [Column::Match, Column::Team, Column::Country] {
                values.row().free_text(text as usize);
            }
            block
        }
    }

    /// Shows every row from block `first` on that `snapshot` sees.
    ///
    /// # Errors
    /// The visitor's, and XX000 naming a row that no vote can have written.
    pub fn visit(&self, first: u32, snapshot: pg_sys::Snapshot, mut see: impl FnMut(&PendingRow) -> Result<Next>) -> Result<()> {
        let end = self.blocks();
        let mut dead = DeadPages::take(&self.0, first);
        let mut start = first;
        loop {
            let blocks = dead.next(&self.0, snapshot, start..end);
            start = blocks.end;
            if blocks.is_empty() || matches!(self.visit_blocks(blocks, snapshot, &mut dead, &mut see)?, Next::Stop) {
                break;
            }
        }
        dead.put_back(&self.0);
        Ok(())
    }

    fn visit_blocks(
        &self,
        blocks: Range<u32>,
        snapshot: pg_sys::Snapshot,
        dead: &mut DeadPages,
        see: &mut impl FnMut(&PendingRow) -> Result<Next>,
    ) -> Result<Next> {
        // The first block that the scan has not told of yet.
        let mut untold = blocks.start;
        let mut learn =
            |until: u32| (std::mem::replace(&mut untold, until + 1)..until).for_each(|block| dead.learn(&self.0, block));
        let mut next = Next::Go;
        let flags = pg_sys::ScanOptions::SO_TYPE_TIDRANGESCAN | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
        // SAFETY: the scan's rows stay pinned until the next one is asked for, and are not kept longer.
        unsafe {
            let table = self.0.as_ptr();
            let scan = pg_sys::heap_beginscan(table, snapshot, 0, std::ptr::null_mut(), std::ptr::null_mut(), flags);
            pg_sys::heap_setscanlimits(scan, blocks.start, blocks.end - blocks.start);
            let mut values = RowValues::none();
            let mut block = pg_sys::InvalidBlockNumber;
            loop {
                let tuple = pg_sys::heap_getnext(scan, pg_sys::ScanDirection::ForwardScanDirection);
                if tuple.is_null() {
                    learn(blocks.end);
                    break;
                }
                let seen = block_of(&(*tuple).t_self);
                if seen != block {
                    block = seen;
                    learn(block);
                    pgrx::check_for_interrupts!();
                }
                values.row().read(tuple, self.0.row_form());
                let found = PendingRow::new((*tuple).t_self, &values);
                if matches!(see(&found)?, Next::Stop) {
                    next = Next::Stop;
                    break;
                }
            }
            pg_sys::heap_endscan(scan);
        }
        Ok(next)
    }

    /// Shows the row at a place, if `snapshot` sees it.
    ///
    /// # Errors
    /// The visitor's.
    pub fn fetch(
        &self,
        tid: &pg_sys::ItemPointerData,
        snapshot: pg_sys::Snapshot,
        see: impl FnOnce(&PendingRow) -> Result<()>,
    ) -> Result<()> {
        let mut tuple = pg_sys::HeapTupleData { t_self: *tid, ..Default::default() };
        let mut buffer = pg_sys::InvalidBuffer as pg_sys::Buffer;
        let mut values = RowValues::none();
        // SAFETY: the row stays pinned until the buffer is given back, and is not kept longer.
        unsafe {
            if !pg_sys::heap_fetch(self.0.as_ptr(), snapshot, &mut tuple, &mut buffer, false) {
                return Ok(());
            }
            values.row().read(&raw mut tuple, self.0.row_form());
            let seen = see(&PendingRow::new(*tid, &values));
            pg_sys::ReleaseBuffer(buffer);
            seen
        }
    }

    /// Appends a row of another heap as it is.
    pub fn insert_copy(&self, row: &PendingRow) {
        let mut values = *row.values();
        // SAFETY: the heaps of pending have one form.
        unsafe {
            let tuple = values.row().write(self.0.row_form());
            let command = pg_sys::GetCurrentCommandId(true);
            pg_sys::heap_insert(self.0.as_ptr(), tuple, command, pg_sys::HEAP_INSERT_SKIP_FSM as i32, std::ptr::null_mut());
            pg_sys::pfree(tuple.cast());
        }
    }

    /// Deletes a row. False when somebody edited it away since it was seen.
    ///
    /// # Errors
    /// XX000 when the row was changed in place, which nobody should do.
    pub fn delete(&self, tid: &pg_sys::ItemPointerData) -> Result<bool> {
        let mut tid = *tid;
        let mut failure = pg_sys::TM_FailureData::default();
        // SAFETY: a row of this open relation.
        let result = unsafe {
            let command = pg_sys::GetCurrentCommandId(true);
            pg_sys::heap_delete(self.0.as_ptr(), &mut tid, command, std::ptr::null_mut(), true, &mut failure, false)
        };
        match result {
            pg_sys::TM_Result::TM_Ok => Ok(true),
            pg_sys::TM_Result::TM_Deleted => Ok(false),
            other => Err(broken(format!("a pending vote was changed while it was folded (code {other})"))),
        }
    }
}
