//! The ballot box: one row a voter a match, written below SQL.
//!
//! Its unique key decides which of two first votes of a voter is the first. The order is that of INSERT … ON CONFLICT
//! (speculative insertion, `ExecInsert` in PostgreSQL's nodeModifyTable.c):
//! 1. look for a row;
//! 2. insert one that others can tell is not sure yet, then its key;
//! 3. take the row back if another one was faster.
//!
//! SQL would do the same, but fail with 40001 above READ COMMITTED, even between different voters: its look leaves a predicate
//! lock. A look that sees every row (SNAPSHOT_DIRTY) leaves none. More in docs/design/ballots.md.

#![allow(unsafe_code, reason = "speculative insertion and row locks are the server's own interface")]

use crate::error::{Result, broken, refused};
use crate::pg::table::Table;
use crate::session::memory;
use pgrx::{FromDatum, IntoDatum, PgSqlErrorCode, pg_sys};
use vote_agg_core::vote::cell;
use vote_agg_core::{CellIndex, Country};

/// The columns of `vote_agg.ballot`: h3_index, match_id, voter_id, team_choice, country_code.
const COLUMNS: usize = 5;

/// Where a voter's vote counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Choice {
    pub team: String,
    pub cell: Option<CellIndex>,
    pub country: Option<Country>,
}

/// What became of a ballot.
pub enum Cast {
    /// The voter's first.
    Counted,
    /// The voter's vote was this already.
    Unchanged,
    /// The vote was another one, which is given.
    Changed(Choice),
    /// There is another vote, and it may not be changed.
    Refused,
}

/// What became of a try to lock a row.
enum Locked {
    Mine,
    /// Another transaction changed or deleted it.
    Gone,
    /// Another transaction is at work on it.
    Busy,
}

/// The open table of ballots and its key.
pub struct BallotBox {
    table: Table,
    key: pg_sys::Relation,
    /// Holds what the server allocates for one ballot: a bulk call casts many.
    scratch: pg_sys::MemoryContext,
}

/// A voter in a match.
#[derive(Clone, Copy)]
pub struct Voter<'a> {
    pub match_id: &'a str,
    pub voter_id: &'a str,
}

/// A row that is in the table, for sure or not yet.
struct Found {
    tuple: pg_sys::HeapTuple,
    /// Another transaction that is inserting it; with a token when it may still take it back by itself.
    inserter: pg_sys::TransactionId,
    token: u32,
    /// Another transaction that is changing or deleting it.
    changer: pg_sys::TransactionId,
}

impl BallotBox {
    /// Opens it for writing, which only DDL waits for.
    ///
    /// # Errors
    /// 55000 where somebody added a trigger or an index, which would be passed over here.
    pub fn open() -> Result<Self> {
        let table = Table::open(memory::tables()?.ballot, pg_sys::RowExclusiveLock);
        // SAFETY: an open relation has its pg_class row; the list of its indexes is a copy.
        unsafe {
            let key = table.primary_key();
            let indexes = pg_sys::RelationGetIndexList(table.as_ptr());
            let is_plain = !table.has_trigger() && (*indexes).length == 1;
            if !is_plain || key == pg_sys::InvalidOid {
                return Err(pgrx::pg_sys::panic::ErrorReport::new(
                    PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                    "the table of ballots is not a plain table with one key any more",
                    pgrx::function_name!(),
                )
                .set_detail("Ballots are written below SQL, where triggers and other indexes would be passed over.")
                .set_hint("Drop what was added to vote_agg.ballot."));
            }
            let scratch = pg_sys::AllocSetContextCreateExtended(
                pg_sys::CurrentMemoryContext,
                c"vote_agg ballot".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
            );
            Ok(Self { table, key: pg_sys::index_open(key, pg_sys::RowExclusiveLock as i32), scratch })
        }
    }

    /// Casts a voter's vote. Waits for another transaction of the same voter, for nobody else.
    ///
    /// # Errors
    /// XX000 for a ballot that nobody can have cast.
    pub fn cast(&self, voter: Voter, choice: &Choice, may_change: bool) -> Result<Cast> {
        self.in_scratch(|| self.cast_in_scratch(voter, choice, may_change))
    }

    fn cast_in_scratch(&self, voter: Voter, choice: &Choice, may_change: bool) -> Result<Cast> {
        loop {
            pgrx::check_for_interrupts!();
            let Some(found) = self.find(voter, None) else {
                if self.insert(voter, choice) {
                    return Ok(Cast::Counted);
                }
                continue;
            };
            if self.wait_for_others(&found) {
                continue;
            }
            let old = self.choice(found.tuple)?;
            if old == *choice {
                return Ok(Cast::Unchanged);
            }
            if !may_change {
                return Ok(Cast::Refused);
            }
            if self.lock(found.tuple, pg_sys::LockTupleMode::LockTupleNoKeyExclusive)? {
                let tuple = self.form(voter, choice);
                // SAFETY: the row is locked by this transaction, so nobody changes it meanwhile.
                unsafe {
                    pg_sys::CatalogTupleUpdate(self.table.as_ptr(), &raw mut (*found.tuple).t_self, tuple);
                    pg_sys::CommandCounterIncrement();
                }
                return Ok(Cast::Changed(old));
            }
        }
    }

    /// Takes a voter's vote out and returns it; `None` where there is none.
    ///
    /// # Errors
    /// XX000 for a ballot that nobody can have cast.
    pub fn retract(&self, voter: Voter) -> Result<Option<Choice>> {
        loop {
            pgrx::check_for_interrupts!();
            let Some(found) = self.find(voter, None) else { return Ok(None) };
            if self.wait_for_others(&found) {
                continue;
            }
            let old = self.choice(found.tuple)?;
            if self.delete(found.tuple)? {
                return Ok(Some(old));
            }
        }
    }

    /// Deletes the match's ballots that `snapshot` sees. One that was changed or retracted since stays as it is now, and
    /// `missed` is told what it was: the change has taken that out of the totals. Waits for nobody: returns the place of the
    /// first ballot at which another transaction is at work, and has not gone on from there.
    ///
    /// # Errors
    /// XX000 for a ballot that nobody can have cast.
    pub fn erase(
        &self,
        match_id: &str,
        snapshot: pg_sys::Snapshot,
        mut missed: impl FnMut(Choice),
    ) -> Result<Option<pg_sys::ItemPointerData>> {
        let mut busy = None;
        self.table.visit(&[(2, match_id)], snapshot, |tuple| {
            pgrx::check_for_interrupts!();
            match self.try_lock(tuple, pg_sys::LockTupleMode::LockTupleExclusive, pg_sys::LockWaitPolicy::LockWaitSkip)? {
                Locked::Mine => self.delete_locked(tuple),
                Locked::Gone => missed(self.choice(tuple)?),
                // SAFETY: the tuple is valid while it is shown.
                Locked::Busy => busy = Some(unsafe { (*tuple).t_self }),
            }
            Ok(busy.is_none())
        })?;
        Ok(busy)
    }

    /// Waits until nobody else is at work on the ballot at a place.
    ///
    /// # Errors
    /// XX000 when the server cannot tell.
    pub fn wait_at(&self, place: pg_sys::ItemPointerData) -> Result<()> {
        let mut tuple = pg_sys::HeapTupleData { t_self: place, ..Default::default() };
        self.lock(&raw mut tuple, pg_sys::LockTupleMode::LockTupleExclusive).map(|_| ())
    }

    /// Frees what the server allocates meanwhile. After an error the abort does.
    fn in_scratch<T>(&self, act: impl FnOnce() -> T) -> T {
        // SAFETY: the context is this box's own; what `act` returns does not lie in it.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(self.scratch);
            let result = act();
            pg_sys::MemoryContextSwitchTo(before);
            pg_sys::MemoryContextReset(self.scratch);
            result
        }
    }

    /// The voter's row, leaving out the one at `except`.
    fn find(&self, voter: Voter, except: Option<pg_sys::ItemPointerData>) -> Option<Found> {
        let mut dirty = pg_sys::SnapshotData { snapshot_type: pg_sys::SnapshotType::SNAPSHOT_DIRTY, ..Default::default() };
        let snapshot = &raw mut dirty;
        let mut found = None;
        let keys = [(2, voter.match_id), (3, voter.voter_id)];
        let seen = self.table.visit(&keys, snapshot, |tuple| {
            // SAFETY: the tuple is valid while it is shown; the scan notes in the snapshot who is at work on it.
            unsafe {
                let mut tid = (*tuple).t_self;
                if except.is_some_and(|mut except| pg_sys::ItemPointerEquals(&mut except, &mut tid)) {
                    return Ok(true);
                }
                let (inserter, changer, token) = ((*snapshot).xmin, (*snapshot).xmax, (*snapshot).speculativeToken);
                found = Some(Found { tuple: pg_sys::heap_copytuple(tuple), inserter, token, changer });
            }
            Ok(false)
        });
        seen.ok().and(found)
    }

    /// Waits for the transaction that is at work on the row, if another one is; then the row is to be looked for again.
    fn wait_for_others(&self, found: &Found) -> bool {
        let none = pg_sys::InvalidTransactionId;
        // SAFETY: waits as the server does, with its deadlock detection.
        unsafe {
            if found.inserter != none && found.token != 0 {
                pg_sys::SpeculativeInsertionWait(found.inserter, found.token);
                return true;
            }
            let other = if found.inserter != none { found.inserter } else { found.changer };
            if other != none {
                let at = &raw mut (*found.tuple).t_self;
                pg_sys::XactLockTableWait(other, self.table.as_ptr(), at, pg_sys::XLTW_Oper::XLTW_InsertIndex);
            }
            other != none
        }
    }

    /// Inserts the voter's first ballot; false where another transaction was faster.
    fn insert(&self, voter: Voter, choice: &Choice) -> bool {
        let tuple = self.form(voter, choice);
        // SAFETY: the steps of a speculative insertion, in the server's order; after an error the abort undoes them.
        unsafe {
            let table = self.table.as_ptr();
            let me = pg_sys::GetCurrentTransactionId();
            let token = pg_sys::SpeculativeInsertionLockAcquire(me);
            let not_sure_yet = &mut (*(*tuple).t_data).t_ctid;
            pgrx::itemptr::item_pointer_set_all(not_sure_yet, token, pg_sys::SpecTokenOffsetNumber as u16);
            let command = pg_sys::GetCurrentCommandId(true);
            pg_sys::heap_insert(table, tuple, command, pg_sys::HEAP_INSERT_SPECULATIVE as i32, std::ptr::null_mut());
            let mut place = (*tuple).t_self;
            let mut key = [voter.match_id, voter.voter_id].map(|name| name.into_datum().unwrap_or(pg_sys::Datum::null()));
            let is_only = pg_sys::index_insert(
                self.key,
                key.as_mut_ptr(),
                [false; 2].as_mut_ptr(),
                &mut place,
                table,
                pg_sys::IndexUniqueCheck::UNIQUE_CHECK_PARTIAL,
                false,
                pg_sys::BuildIndexInfo(self.key),
            );
            let is_first = is_only || !self.has_other(voter, place, me);
            if is_first {
                pg_sys::heap_finish_speculative(table, &mut place);
            } else {
                pg_sys::heap_abort_speculative(table, &mut place);
            }
            pg_sys::SpeculativeInsertionLockRelease(me);
            if is_first {
                pg_sys::CommandCounterIncrement();
            }
            is_first
        }
    }

    /// Is there another row of the voter than the one just inserted? Of two that are both not sure yet the older
    /// transaction waits, so that one of them gets through.
    fn has_other(&self, voter: Voter, mine: pg_sys::ItemPointerData, me: pg_sys::TransactionId) -> bool {
        while let Some(other) = self.find(voter, Some(mine)) {
            // SAFETY: compares, and waits as the server does.
            unsafe {
                if other.token == 0 || !pg_sys::TransactionIdPrecedes(me, other.inserter) {
                    return true;
                }
                pg_sys::SpeculativeInsertionWait(other.inserter, other.token);
            }
        }
        false
    }

    /// Deletes a row; false where another transaction changed or deleted it since it was seen.
    fn delete(&self, tuple: pg_sys::HeapTuple) -> Result<bool> {
        let is_mine = self.lock(tuple, pg_sys::LockTupleMode::LockTupleExclusive)?;
        if is_mine {
            self.delete_locked(tuple);
        }
        Ok(is_mine)
    }

    fn delete_locked(&self, tuple: pg_sys::HeapTuple) {
        // SAFETY: the row is locked by this transaction.
        unsafe {
            let mut place = (*tuple).t_self;
            pg_sys::CatalogTupleDelete(self.table.as_ptr(), &mut place);
            pg_sys::CommandCounterIncrement();
        }
    }

    /// Locks a row, after the transactions that are at work on it; false where they changed or deleted it.
    fn lock(&self, tuple: pg_sys::HeapTuple, mode: pg_sys::LockTupleMode::Type) -> Result<bool> {
        Ok(matches!(self.try_lock(tuple, mode, pg_sys::LockWaitPolicy::LockWaitBlock)?, Locked::Mine))
    }

    fn try_lock(
        &self,
        tuple: pg_sys::HeapTuple,
        mode: pg_sys::LockTupleMode::Type,
        wait: pg_sys::LockWaitPolicy::Type,
    ) -> Result<Locked> {
        let mut buffer = pg_sys::InvalidBuffer as pg_sys::Buffer;
        let mut failure = pg_sys::TM_FailureData::default();
        // SAFETY: locks by place only: the rest of the structure is filled in; the buffer is given back.
        let result = unsafe {
            let mut target = pg_sys::HeapTupleData { t_self: (*tuple).t_self, ..Default::default() };
            let command = pg_sys::GetCurrentCommandId(true);
            let table = self.table.as_ptr();
            let result = pg_sys::heap_lock_tuple(table, &mut target, command, mode, wait, false, &mut buffer, &mut failure);
            pg_sys::ReleaseBuffer(buffer);
            result
        };
        match result {
            pg_sys::TM_Result::TM_Ok => Ok(Locked::Mine),
            pg_sys::TM_Result::TM_Updated | pg_sys::TM_Result::TM_Deleted => Ok(Locked::Gone),
            pg_sys::TM_Result::TM_WouldBlock => Ok(Locked::Busy),
            other => Err(broken(format!("a ballot could not be locked (code {other})"))),
        }
    }

    fn form(&self, voter: Voter, choice: &Choice) -> pg_sys::HeapTuple {
        let text = |value: &str| value.into_datum().unwrap_or(pg_sys::Datum::null());
        let country = choice.country.as_ref().map(Country::as_str);
        let mut nulls = [choice.cell.is_none(), false, false, false, country.is_none()];
        let mut values: [pg_sys::Datum; COLUMNS] = [
            choice.cell.map_or(0, cell::cell_to_bits).into(),
            text(voter.match_id),
            text(voter.voter_id),
            text(&choice.team),
            country.map_or(pg_sys::Datum::null(), text),
        ];
        // SAFETY: the values are those of the table's columns.
        unsafe { pg_sys::heap_form_tuple(self.table.row_form(), values.as_mut_ptr(), nulls.as_mut_ptr()) }
    }

    fn choice(&self, tuple: pg_sys::HeapTuple) -> Result<Choice> {
        let (mut values, mut nulls) = ([pg_sys::Datum::null(); COLUMNS], [true; COLUMNS]);
        // SAFETY: a row of this table, whose columns have these types.
        let (bits, team, country) = unsafe {
            pg_sys::heap_deform_tuple(tuple, self.table.row_form(), values.as_mut_ptr(), nulls.as_mut_ptr());
            let team = String::from_datum(values[3], nulls[3]).unwrap_or_default();
            (i64::from_datum(values[0], nulls[0]), team, String::from_datum(values[4], nulls[4]))
        };
        let cell = bits.map(cell::cell_from_bits).transpose().map_err(refused)?;
        let country = country.map(|code| Country::parse(code.as_bytes())).transpose().map_err(refused)?;
        Ok(Choice { team, cell, country })
    }
}

impl Drop for BallotBox {
    fn drop(&mut self) {
        // While an error passes through, the server closes the relation itself.
        if !std::thread::panicking() {
            // SAFETY: opened and made in `open`, closed and deleted once; the lock stays.
            unsafe {
                pg_sys::index_close(self.key, pg_sys::NoLock as i32);
                pg_sys::MemoryContextDelete(self.scratch);
            }
        }
    }
}
