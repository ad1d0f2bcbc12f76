//! Low water and the turns of the two heaps: rules 2 and 3 of heap.rs. Called by a fold, in its transaction.

use crate::error::Result;
use crate::pending::fold_log::{FoldLog, Mark};
use crate::pending::heap::{OpenHeap, SLACK};
use crate::pg::database;
use crate::pg::spi::{self, Plan, Sees, Spi};
use crate::pg::table::block_of;
use crate::pg::tables::Tables;
use crate::settings::{self, Pause};
use pgrx::{IntoDatum, pg_sys};
use vote_agg_core::writers::are_gone;

/// Low water moves in steps of at least this many blocks: each costs an anchor.
const STEP: u32 = 16;

thread_local! {
    // Each by the name that `are_gone` knows it by.
    static WRITERS: Plan = const { Plan::new(
        "SELECT l.virtualtransaction FROM pg_catalog.pg_locks l
         WHERE l.locktype = 'relation' AND l.database = $1
           AND l.relation = $2 AND l.mode = 'RowExclusiveLock'
           AND ($3 OR l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid())",
        &[pg_sys::OIDOID, pg_sys::OIDOID, pg_sys::BOOLOID]) };
}

/// Which other transactions hold `table` for writing.
pub fn writers_of(spi: &Spi, table: pg_sys::Oid) -> Result<Vec<String>> {
    writers(spi, table, false)
}

/// Does any transaction hold `table` for writing, this one included?
pub fn is_written(spi: &Spi, table: pg_sys::Oid) -> Result<bool> {
    Ok(!writers(spi, table, true)?.is_empty())
}

fn writers(spi: &Spi, table: pg_sys::Oid, with_own: bool) -> Result<Vec<String>> {
    spi.run(&WRITERS, &[database::oid().into_datum(), table.into_datum(), with_own.into_datum()], Sees::Now)?.values()
}

/// Does any other transaction hold one of the heaps, or the registry of matches, for writing?
///
/// # Errors
/// Those of the server.
pub fn is_anybody_voting() -> Result<bool> {
    let tables = Tables::find()?;
    spi::connect(|spi| {
        for table in [tables.heaps[0], tables.heaps[1], tables.matches] {
            if !writers_of(spi, table)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    })
}

/// The writers of the heaps, seen before the snapshot that drains.
pub struct Writers {
    /// A mark waits for nobody any more.
    gone: bool,
    /// Nobody is left in the other heap.
    pub other_is_left: bool,
}

impl Writers {
    /// Looks.
    ///
    /// # Errors
    /// Those of the server.
    pub fn look(spi: &Spi, tables: &Tables, state: &FoldLog) -> Result<Self> {
        let gone = state.sized.is_some() && are_gone(&state.waiting, &writers_of(spi, state.current.of(tables))?);
        let other_is_left = !state.drained && writers_of(spi, state.current.other().of(tables))?.is_empty();
        Ok(Self { gone, other_is_left })
    }
}

/// Moves the mark of the current heap to where it may go, and notes where it may go next. The `anchors` were found by the
/// drain that followed the look at the `writers`. Returns whether a next mark was noted that waits for nobody.
///
/// # Errors
/// XX000 when somebody edited an anchor; those of the server.
pub fn move_mark(
    spi: &Spi,
    table: pg_sys::Oid,
    state: &mut FoldLog,
    writers: &Writers,
    current: &OpenHeap,
    anchors: &[pg_sys::ItemPointerData],
    at: i64,
) -> Result<bool> {
    let is_this_file = state.mark(state.current).file == current.file();
    match state.sized {
        Some(sized) if is_this_file && writers.gone => {
            for anchor in anchors.iter().filter(|tid| block_of(tid) != sized - 1) {
                current.delete(anchor)?;
            }
            state.set_mark(state.current, Mark { file: current.file(), block: sized - SLACK });
            forget_waiting(state);
        }
        Some(_) if !is_this_file => forget_waiting(state),
        _ => {}
    }
    let mark = current.first_block(state.mark(state.current));
    if state.sized.is_none() && current.blocks() >= mark + SLACK + STEP {
        // The order matters: from the anchor on, the heap cannot get shorter; then the writers. One that locks it later looks later.
        state.sized = Some(current.insert_anchor(at) + 1);
        settings::pause(Pause::FoldSized);
        state.waiting = writers_of(spi, table)?;
        // The file that this is about.
        state.set_mark(state.current, Mark { file: current.file(), block: mark });
        return Ok(state.waiting.is_empty());
    }
    Ok(false)
}

fn forget_waiting(state: &mut FoldLog) {
    state.sized = None;
    state.waiting = Vec::new();
}

/// Gives the turn to the other heap, which is empty. Votes that did not hear of it yet still go into this one, which is
/// drained until nobody is left in it.
pub fn turn(state: &mut FoldLog, other: &OpenHeap) {
    state.current = state.current.other();
    state.set_mark(state.current, Mark { file: other.file(), block: 0 });
    state.drained = false;
    forget_waiting(state);
}
