//! The memory of a session, so that a vote costs no look-up: table numbers, which heap takes votes, which matches are
//! open. Dropped as a whole when a relcache invalidation of one of the tables says that something changed.

use crate::error::{Result, quoted, too_large, unknown};
use crate::pending::fold_log::FoldLog;
use crate::pending::turn::Heap;
use crate::pg::snapshot::Snapshot;
use crate::pg::table::Table;
use crate::pg::tables::Tables;
use crate::pg::{clock, relcache, table};
use crate::session::{launch, match_row};
use crate::settings;
use foldhash::HashSet;
use pgrx::{Uuid, pg_sys};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use vote_agg_core::vote::tally::Vote;

/// How many matches a session remembers before it forgets them all and starts again.
const MAX_MATCHES: usize = 1_000;

/// The same for teams, of all matches together: some 10 MB.
const MAX_TEAMS: usize = 100_000;

thread_local! {
    static MEMORY: RefCell<Option<Memory>> = const { RefCell::new(None) };
    static WATCHED: Cell<[pg_sys::Oid; 5]> = const { Cell::new([pg_sys::InvalidOid; 5]) };
    static VALID: Cell<bool> = const { Cell::new(false) };
}

struct Memory {
    tables: Tables,
    /// The heap whose turn it is; `None` until a vote asks. Reads never do: they may run beside parallel workers, where no
    /// snapshot of this very moment can be taken.
    current: Option<Heap>,
    matches: HashMap<String, Known>,
    /// How many teams of all these.
    teams: usize,
    history: Option<Rc<HistoryRow>>,
}

/// What a session knows of a match.
struct Known {
    /// `None`: nobody opened it, the first vote does.
    opened: Option<match_row::Match>,
    /// The teams that this session was asked to vote for, where any are allowed.
    teams: HashSet<String>,
}

impl Known {
    /// Checks that the match does not get too many teams, as far as this session can tell; returns how many are new to it.
    /// One whose vote is rolled back later stays known.
    fn check_teams<'a>(&mut self, match_id: &str, teams: impl Iterator<Item = &'a str>) -> Result<usize> {
        let mut new: HashSet<&str> = HashSet::default();
        for team in teams {
            if self.teams.contains(team) || !new.insert(team) {
                continue;
            }
            let most = settings::max_teams();
            if self.teams.len() + new.len() > most {
                return Err(too_large(
                    format!("match {} has {most} teams, which is the most: {} would be one more", quoted(match_id), quoted(team)),
                    "Open the match with its teams, or raise vote_agg.max_teams.",
                ));
            }
        }
        self.teams.extend(new.iter().map(|team| (*team).to_owned()));
        Ok(new.len())
    }
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
    fn newest(table: pg_sys::Oid) -> Self {
        let rows = Table::open(table, pg_sys::AccessShareLock).rows(Snapshot::latest_of(table).as_ptr());
        rows.last().map_or_else(Self::default, |row| Self {
            id: row.get::<Uuid>(1).map(|id| id.to_string()).unwrap_or_default(),
            place: row.get(2).unwrap_or_default(),
        })
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
        Ok(Rc::clone(memory.history.get_or_insert_with(|| Rc::new(HistoryRow::newest(table)))))
    })
}

/// The heap that takes votes now. The lock comes before the look that decides. It keeps the heap from being emptied for good:
/// a fold that gives the turn to the other heap waits until no session that may have missed it is left in this one.
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
/// Those of [`check_match`].
pub fn check_votes(match_id: &str, votes: &[Vote]) -> Result<()> {
    let teams = votes.iter().filter(|vote| vote.votes > 0).map(|vote| vote.team);
    check_match(match_id, teams, clock::now()).map(|_| ())
}

/// Checks that a vote for one of `teams` counts now; returns whether voters may change their ballots. Both are of one look: the
/// next lock that the caller takes may empty the memory.
///
/// # Errors
/// 42704 for an unknown match (auto_open off) or team, 55000 outside the match's time, 54000 for too many teams.
pub fn check_match<'a>(match_id: &str, teams: impl Iterator<Item = &'a str>, now: i64) -> Result<bool> {
    with_memory(|memory| {
        if !memory.matches.contains_key(match_id) {
            if memory.matches.len() >= MAX_MATCHES || memory.teams >= MAX_TEAMS {
                memory.matches.clear();
                memory.teams = 0;
            }
            let opened = match_row::find(memory.tables.matches, match_id, Snapshot::latest().as_ptr())?;
            memory.matches.insert(match_id.to_owned(), Known { opened, teams: HashSet::default() });
        }
        let Some(known) = memory.matches.get_mut(match_id) else { return Ok(true) };
        match &known.opened {
            Some(opened) => {
                let may_change = opened.changes_allowed;
                if opened.teams.is_some() {
                    opened.check(match_id, teams, now)?;
                } else {
                    opened.check(match_id, std::iter::empty(), now)?;
                    memory.teams += known.check_teams(match_id, teams)?;
                }
                Ok(may_change)
            }
            None if settings::auto_open() => {
                memory.teams += known.check_teams(match_id, teams)?;
                Ok(true)
            }
            None => Err(unknown(
                format!("match {} does not exist", quoted(match_id)),
                "Open it with open_match, or set vote_agg.auto_open = on.".into(),
            )),
        }
    })
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
            Memory { tables, current: None, matches: HashMap::new(), teams: 0, history: None }
        }
    };
    let result = act(&mut memory);
    MEMORY.set(Some(memory));
    result
}
