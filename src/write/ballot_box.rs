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

use crate::error::{Result, broken};
use crate::pg::form;
use crate::pg::table::Table;
use crate::session::memory;
use crate::write::ballot_row::{self, Voter};
use pgrx::{IntoDatum, PgSqlErrorCode, pg_sys};
use std::collections::HashMap;
use vote_agg_core::vote::ballot::{Ballot, Choice, Outcome, Step};

/// What to do where another transaction is at work on the voter's ballot.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Wait {
    ForTheVoter,
    /// A statement with the votes of many: one voter must not hold up the others, and no two such statements each other.
    Never,
}

/// What became of a voter's ballot, and what it said before.
pub struct Cast {
    pub outcome: Outcome,
    pub before: Option<Choice>,
}

/// What became of a try to lock a row.
enum Locked {
    Mine,
    /// Another transaction changed or deleted it.
    Gone,
    /// Another transaction is at work on it: this one, or one of several that have the number together.
    Busy(pg_sys::TransactionId),
}

/// Ballots at which others are at work: one place a transaction.
pub type Busy = HashMap<u32, pg_sys::ItemPointerData>;

/// The open table of ballots and its key.
pub struct BallotBox {
    table: Table,
    key: pg_sys::Relation,
    /// Holds what the server allocates for one ballot: a bulk call casts many.
    scratch: pg_sys::MemoryContext,
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
            form::check(table.row_form(), &ballot_row::COLUMNS)?;
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

    /// Does with a voter's ballot what `decide` says, which gets the ballot that is kept; returns that step too. `None`: another
    /// transaction is at work on it, and this one does not wait.
    ///
    /// # Errors
    /// XX000 for a ballot that nobody can have cast.
    pub fn cast(
        &self,
        voter: Voter,
        wait: Wait,
        decide: impl Fn(Option<&Ballot>) -> (Outcome, Step),
    ) -> Result<Option<(Cast, Step)>> {
        self.in_scratch(|| self.cast_in_scratch(voter, wait, decide))
    }

    fn cast_in_scratch(
        &self,
        voter: Voter,
        wait: Wait,
        decide: impl Fn(Option<&Ballot>) -> (Outcome, Step),
    ) -> Result<Option<(Cast, Step)>> {
        loop {
            pgrx::check_for_interrupts!();
            let Some(found) = self.find(voter, None) else {
                let (outcome, step) = decide(None);
                let is_done = if let Step::Write(ballot) = &step { self.insert(voter, ballot) } else { true };
                if is_done {
                    return Ok(Some((Cast { outcome, before: None }, step)));
                }
                continue;
            };
            if wait == Wait::Never && found.is_held() {
                return Ok(None);
            }
            if self.wait_for_others(&found) {
                continue;
            }
            let kept = self.ballot(found.tuple)?;
            let (outcome, step) = decide(Some(&kept));
            let mode = match &step {
                Step::Keep => return Ok(Some((Cast { outcome, before: kept.choice }, step))),
                Step::Write(_) => pg_sys::LockTupleMode::LockTupleNoKeyExclusive,
                Step::Delete => pg_sys::LockTupleMode::LockTupleExclusive,
            };
            match self.try_lock(found.tuple, mode, wait.policy())? {
                Locked::Mine => {}
                Locked::Gone => continue,
                Locked::Busy(_) => return Ok(None),
            }
            match &step {
                Step::Keep => {}
                Step::Write(ballot) => self.update_locked(found.tuple, voter, ballot),
                Step::Delete => self.delete_locked(found.tuple),
            }
            return Ok(Some((Cast { outcome, before: kept.choice }, step)));
        }
    }

    /// Deletes the match's ballots that `snapshot` sees. One that was changed or retracted since stays as it is now, and
    /// `missed` is told what it was: the change has taken that out of the totals. So does one at which another transaction is at
    /// work, whatever becomes of that. Waits for nobody, and returns those that are at work.
    ///
    /// # Errors
    /// XX000 for a ballot that nobody can have cast.
    pub fn erase(&self, match_id: &str, snapshot: pg_sys::Snapshot, mut missed: impl FnMut(Choice)) -> Result<Busy> {
        let mut busy = Busy::new();
        self.table.visit(&[("match_id", match_id)], snapshot, |tuple| {
            pgrx::check_for_interrupts!();
            match self.try_lock(tuple, pg_sys::LockTupleMode::LockTupleExclusive, pg_sys::LockWaitPolicy::LockWaitSkip)? {
                Locked::Mine => self.delete_locked(tuple),
                Locked::Gone => self.ballot(tuple)?.choice.into_iter().for_each(&mut missed),
                Locked::Busy(other) => {
                    self.ballot(tuple)?.choice.into_iter().for_each(&mut missed);
                    // SAFETY: the tuple is valid while it is shown.
                    busy.entry(other.into_inner()).or_insert(unsafe { (*tuple).t_self });
                }
            }
            Ok(true)
        })?;
        Ok(busy)
    }

    /// Waits until nobody else is at work on the ballot at a place.
    ///
    /// # Errors
    /// XX000 when the server cannot tell.
    pub fn wait_at(&self, place: pg_sys::ItemPointerData) -> Result<()> {
        let mut tuple = pg_sys::HeapTupleData { t_self: place, ..Default::default() };
        self.try_lock(&raw mut tuple, pg_sys::LockTupleMode::LockTupleExclusive, pg_sys::LockWaitPolicy::LockWaitBlock)
            .map(|_| ())
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
        let keys = [("match_id", voter.match_id), ("voter_id", voter.voter_id)];
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
    fn insert(&self, voter: Voter, ballot: &Ballot) -> bool {
        let tuple = ballot_row::form(&self.table, voter, ballot);
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

    fn update_locked(&self, tuple: pg_sys::HeapTuple, voter: Voter, ballot: &Ballot) {
        let new = ballot_row::form(&self.table, voter, ballot);
        // SAFETY: the row is locked by this transaction, so nobody changes it meanwhile.
        unsafe {
            pg_sys::CatalogTupleUpdate(self.table.as_ptr(), &raw mut (*tuple).t_self, new);
            pg_sys::CommandCounterIncrement();
        }
    }

    fn delete_locked(&self, tuple: pg_sys::HeapTuple) {
        // SAFETY: the row is locked by this transaction.
        unsafe {
            let mut place = (*tuple).t_self;
            pg_sys::CatalogTupleDelete(self.table.as_ptr(), &mut place);
            pg_sys::CommandCounterIncrement();
        }
    }

    /// Locks a row. Where `wait` says so, after the transactions that are at work on it.
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
            pg_sys::TM_Result::TM_WouldBlock => Ok(Locked::Busy(failure.xmax)),
            other => Err(broken(format!("a ballot could not be locked (code {other})"))),
        }
    }

    fn ballot(&self, tuple: pg_sys::HeapTuple) -> Result<Ballot> {
        ballot_row::read(&self.table, tuple)
    }
}

impl Wait {
    const fn policy(self) -> pg_sys::LockWaitPolicy::Type {
        match self {
            Self::ForTheVoter => pg_sys::LockWaitPolicy::LockWaitBlock,
            Self::Never => pg_sys::LockWaitPolicy::LockWaitSkip,
        }
    }
}

impl Found {
    /// Does another transaction hold it until its end? One that may still take back what it inserts is done in a moment.
    fn is_held(&self) -> bool {
        self.token == 0 && (self.inserter != pg_sys::InvalidTransactionId || self.changer != pg_sys::InvalidTransactionId)
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
