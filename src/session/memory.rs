//! The memory of a session, so that a vote costs no look-up: table numbers, which heap takes votes, which matches are
//! open. Dropped as a whole when a relcache invalidation of one of the tables says that something changed.

use crate::error::{Refused, Result};
use crate::pending::fold_log::FoldLog;
use crate::pending::turn::Heap;
use crate::pg::snapshot::Snapshot;
use crate::pg::table::Table;
use crate::pg::tables::Tables;
use crate::pg::{clock, relcache, table, transaction};
use crate::session::admission::{Admissions, Terms};
use crate::session::launch;
use crate::settings;
use pgrx::{Uuid, pg_sys};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use vote_agg_core::vote::tally::Vote;

thread_local! {
    static MEMORY: RefCell<Option<Memory>> = const { RefCell::new(None) };
    static WATCHED: Cell<[pg_sys::Oid; 5]> = const { Cell::new([pg_sys::InvalidOid; 5]) };
    static VALID: Cell<bool> = const { Cell::new(false) };
    /// Has this transaction brought teams that a rollback has to forget?
    static HAS_NEW_TEAMS: Cell<bool> = const { Cell::new(false) };
}

struct Memory {
    tables: Tables,
    /// The heap whose turn it is; `None` until a vote asks. Reads never do: they may run beside parallel workers, where no
    /// snapshot of this very moment can be taken.
    current: Option<Heap>,
    admissions: Admissions,
    history: Option<Rc<HistoryRow>>,
}

/// The row of `vote_agg.history`, which epochs are made of.
#[derive(Default)]
pub struct HistoryRow {
    pub id: String,
    /// Where the last fold was.
    pub place: String,
}

impl HistoryRow {
    /// As of this very moment: what a statement's older snapshot sees must not stay in memory.
    fn newest(table: pg_sys::Oid) -> Result<Self> {
        let open = Table::open(table, pg_sys::AccessShareLock);
        let rows = open.rows(Snapshot::latest_of(table).as_ptr());
        let Some(row) = rows.last() else { return Ok(Self::default()) };
        Ok(Self { id: row.need::<Uuid>("id")?.to_string(), place: row.get("place")?.unwrap_or_default() })
    }
}

impl Memory {
    /// The heap whose turn it is, and its table.
    fn current(&mut self) -> Result<(Heap, pg_sys::Oid)> {
        let heap = match self.current {
            Some(heap) => heap,
            None => FoldLog::newest(&self.tables, Snapshot::latest().as_ptr())?.current,
        };
        self.current = Some(heap);
        Ok((heap, heap.of(&self.tables)))
    }
}

/// Asks the server to tell when a table changes. Once a process.
pub fn watch() {
    relcache::watch(changed);
    transaction::at_end(forget_new_teams);
}

/// Runs inside the server's invalidation code, where nothing may fail: it compares and sets a flag.
extern "C-unwind" fn changed(_: pg_sys::Datum, table: pg_sys::Oid) {
    if table == pg_sys::InvalidOid || WATCHED.get().contains(&table) {
        VALID.set(false);
    }
}

/// Tells every session, when this transaction commits, to forget what it remembers.
pub fn invalidate(tables: &Tables) {
    relcache::invalidate(tables.matches);
}

/// The numbers of our tables, from memory.
///
/// # Errors
/// 42704 where the extension is not installed (any more).
pub fn tables() -> Result<Tables> {
    with_memory(|memory| Ok(memory.tables))
}

/// What epochs are made of.
///
/// # Errors
/// 42704 where the extension is not installed (any more).
pub fn history() -> Result<Rc<HistoryRow>> {
    with_memory(|memory| {
        let table = memory.tables.history;
        let history = match memory.history.take() {
            Some(history) => history,
            None => Rc::new(HistoryRow::newest(table)?),
        };
        memory.history = Some(Rc::clone(&history));
        Ok(history)
    })
}

/// The heap that takes votes now. The lock comes before the look that decides. It keeps the heap from being emptied for good.
/// A fold that gives the turn to the other heap waits for the sessions in this one that may have missed it.
///
/// # Errors
/// 42704 where the extension is not installed (any more).
pub fn lock_current_heap() -> Result<pg_sys::Oid> {
    loop {
        let (heap, table) = with_memory(Memory::current)?;
        // Conflicts only with DDL and VACUUM FULL.
        table::lock(table, pg_sys::RowExclusiveLock);
        settings::pause(settings::Pause::VoteLocked);
        // A lock that the transaction had already accepts no messages by itself.
        relcache::accept_messages();
        if with_memory(Memory::current)? == (heap, table) {
            return Ok(table);
        }
    }
}

/// Checks that votes count now. Those that are taken back need no team that may still be voted for.
///
/// # Errors
/// Those of [`check_match`], as errors of the whole.
pub fn check_votes(match_id: &str, votes: &[Vote]) -> Result<()> {
    let teams = votes.iter().filter(|vote| vote.votes > 0).map(|vote| vote.team);
    check_match(match_id, teams, clock::now())??;
    Ok(())
}

/// Checks that a vote for one of `teams` counts now; returns the match's terms, or why it does not count. Both
/// are of one look: the next lock that the caller takes may empty the memory.
///
/// # Errors
/// Those of [`Admissions::remember`]. The refusals are those of [`Admissions::check`].
pub fn check_match<'a>(
    match_id: &str,
    teams: impl Iterator<Item = &'a str>,
    now: i64,
) -> Result<std::result::Result<Terms, Refused>> {
    with_memory(|memory| {
        memory.admissions.remember(memory.tables.matches, match_id)?;
        Ok(memory.admissions.check(match_id, teams, now).map(|(terms, new)| {
            if !new.is_empty() {
                HAS_NEW_TEAMS.set(true);
                memory.admissions.add_teams(match_id, new.into_iter());
            }
            terms
        }))
    })
}

/// The same, but a vote that may yet be refused takes no place among the match's teams: see [`add_team`].
///
/// # Errors
/// Those of [`check_match`].
pub fn ask_match<'a>(
    match_id: &str,
    teams: impl Iterator<Item = &'a str>,
    now: i64,
) -> Result<std::result::Result<Terms, Refused>> {
    with_memory(|memory| {
        memory.admissions.remember(memory.tables.matches, match_id)?;
        Ok(memory.admissions.check(match_id, teams, now).map(|(terms, _)| terms))
    })
}

/// Remembers the team of a vote that counts.
///
/// # Errors
/// 42704 where the extension is not installed (any more).
pub fn add_team(match_id: &str, team: Option<&str>) -> Result<()> {
    HAS_NEW_TEAMS.set(true);
    with_memory(|memory| {
        memory.admissions.add_teams(match_id, team.into_iter());
        Ok(())
    })
}

/// At the end of a transaction. After a rollback: votes that never counted must not keep others out of a match.
fn forget_new_teams(stays: bool) {
    if HAS_NEW_TEAMS.replace(false) && !stays {
        VALID.set(false);
    }
}

fn with_memory<T>(act: impl FnOnce(&mut Memory) -> Result<T>) -> Result<T> {
    // The flag is set before anything is read: what changes meanwhile clears it again.
    if !VALID.replace(true) {
        MEMORY.set(None);
    }
    // Taken out while in use, so that an error that passes through leaves nothing borrowed or half done.
    let mut memory = match MEMORY.take() {
        Some(memory) => memory,
        None => {
            let tables = Tables::find().inspect_err(|_| VALID.set(false))?;
            launch::look_again();
            WATCHED.set([tables.matches, tables.heaps[0], tables.heaps[1], tables.ballot, tables.history]);
            Memory { tables, current: None, admissions: Admissions::default(), history: None }
        }
    };
    let result = act(&mut memory);
    MEMORY.set(Some(memory));
    result
}
