//! Which cells a match has in its aggregates already, as far as this session saw: so that `active_cells` need not look up
//! every pending cell at each read. Measured at 8,000 votes/s over 100,000 cells: a read costs 0.4 ms of processor time instead of 2.
//!
//! A folded cell stays until the match is purged, and then its history has another beginning (`born`).

use crate::counts::Counts;
use crate::error::Result;
use crate::feed::Head;
use crate::spi::{Plan, Sees, Spi};
use foldhash::{HashMap, HashSet};
use pgrx::{IntoDatum, pg_sys};
use std::cell::RefCell;

/// How many cells a session remembers, of all matches together, before it starts again: some 5 MB.
const MAX_CELLS: usize = 200_000;

thread_local! {
    static FIND: Plan = const { Plan::new(
        "SELECT h3_index FROM vote_agg.h3_aggregate WHERE match_id = $1 AND h3_index = ANY ($2)",
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID]) };
    static KNOWN: RefCell<HashMap<String, Known>> = RefCell::new(HashMap::with_hasher(foldhash::fast::RandomState::default()));
}

#[derive(Default)]
struct Known {
    born: Option<i64>,
    /// They were seen when the match was at this seq: an older snapshot may not have them.
    seq: i64,
    cells: HashSet<i64>,
}

/// How many of the `cells` are not in the aggregates of the match, as the calling statement sees them.
///
/// # Errors
/// Those of the server.
pub fn count_new(spi: &Spi, match_id: &str, head: &Head, cells: impl Iterator<Item = i64>) -> Result<i64> {
    // Taken out while in use, so that an error that passes through leaves nothing borrowed.
    let mut matches = KNOWN.take();
    if matches.values().map(|known| known.cells.len()).sum::<usize>() > MAX_CELLS {
        matches.clear();
    }
    let known = matches.entry(match_id.to_owned()).or_default();
    if known.born != head.born || head.seq < known.seq {
        *known = Known { born: head.born, ..Known::default() };
    }
    known.seq = head.seq;
    let unknown: Vec<i64> = cells.filter(|cell| !known.cells.contains(cell)).collect();
    let mut new = unknown.len() as i64;
    if new > 0 && head.seq > 0 {
        for row in spi.run(&FIND, &[match_id.into_datum(), Counts(unknown).into_datum()], Sees::TheCallersMoment)?.iter() {
            known.cells.insert(row.need(1)?);
            new -= 1;
        }
    }
    KNOWN.set(matches);
    Ok(new)
}
