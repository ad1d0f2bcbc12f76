//! Which cells and countries a match has in its aggregates already, as far as this session saw: so that a read of the stats
//! need not look up every pending one. Measured at 8,000 votes/s over 100,000 cells: it costs 0.4 ms of processor time
//! instead of 2.
//!
//! What is folded stays until the match is purged, and then its history has another beginning (`born`).

#![allow(unsafe_code, reason = "reads the transaction's state")]

use crate::aggregate::Table;
use crate::counts::Counts;
use crate::error::Result;
use crate::feed::Head;
use crate::spi::{Plan, Sees, Spi};
use foldhash::{HashMap, HashSet};
use pgrx::{IntoDatum, pg_sys};
use std::cell::RefCell;

/// How many keys a session remembers, of all matches together, before it starts again: some 5 MB.
const MAX_KEYS: usize = 200_000;

thread_local! {
    // From the newest version of each row backwards: forwards, a reader would pass all those that an old snapshot keeps.
    // A range of one key, because an order by keys that are equal to something is no order for the planner.
    static FIND_CELLS: Plan = const { Plan::new(
        "SELECT k.key FROM pg_catalog.unnest($2) AS k(key) WHERE (
            SELECT true FROM vote_agg.h3_aggregate a WHERE a.match_id = $1 AND a.h3_index >= k.key AND a.h3_index <= k.key
            ORDER BY a.h3_index DESC LIMIT 1)",
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID]) };
    static FIND_COUNTRIES: Plan = const { Plan::new(
        "SELECT c.key FROM (
            SELECT k.key, pg_catalog.chr((k.key / 256)::integer) || pg_catalog.chr((k.key % 256)::integer) AS code
            FROM pg_catalog.unnest($2) AS k(key)) c WHERE (
            SELECT true FROM vote_agg.country_aggregate a
            WHERE a.match_id = $1 AND a.country_code >= c.code AND a.country_code <= c.code ORDER BY a.country_code DESC LIMIT 1)",
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID]) };
    static KNOWN: RefCell<HashMap<(Table, String), Known>> = RefCell::new(HashMap::with_hasher(foldhash::fast::RandomState::default()));
}

#[derive(Default)]
struct Known {
    born: Option<i64>,
    /// They were seen when the match was at this seq: an older snapshot may not have them.
    seq: i64,
    keys: HashSet<i64>,
}

/// How many of the keys (as in [`Table`]) are not in the match's aggregates, as the calling statement sees them.
///
/// # Errors
/// Those of the server.
pub fn count_new(spi: &Spi, table: Table, match_id: &str, head: &Head, keys: impl Iterator<Item = i64>) -> Result<i64> {
    // Taken out while in use, so that an error that passes through leaves nothing borrowed.
    let mut matches = KNOWN.take();
    if matches.values().map(|known| known.keys.len()).sum::<usize>() > MAX_KEYS {
        matches.clear();
    }
    let known = matches.entry((table, match_id.to_owned())).or_default();
    if known.born != head.born || head.seq < known.seq {
        *known = Known { born: head.born, ..Known::default() };
    }
    // What this transaction itself folded may never be.
    // SAFETY: reads the transaction's state.
    let may_remember = unsafe { pg_sys::GetCurrentTransactionIdIfAny() } == pg_sys::InvalidTransactionId;
    if may_remember {
        known.seq = head.seq;
    }
    let unknown: Vec<i64> = keys.filter(|key| !known.keys.contains(key)).collect();
    let mut new = unknown.len() as i64;
    if new > 0 && head.seq > 0 {
        let find = if table == Table::Cells { &FIND_CELLS } else { &FIND_COUNTRIES };
        for row in spi.run(find, &[match_id.into_datum(), Counts(unknown).into_datum()], Sees::TheCallersMoment)?.iter() {
            if may_remember {
                known.keys.insert(row.need(1)?);
            }
            new -= 1;
        }
    }
    KNOWN.set(matches);
    Ok(new)
}
