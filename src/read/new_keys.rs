//! Cells and countries that a match has in its aggregates already, as far as this session saw. So a read of the stats need not
//! look up every pending one, which at 8,000 votes/s over 100,000 cells would take five times the processor time.
//!
//! A cell that has votes keeps them, with two exceptions. A ballot takes the last one away: the feed counts that (`emptied`).
//! The match is purged: then its history has another beginning (`born`).

use crate::error::Result;
use crate::fold::aggregate::Aggregate;
use crate::fold::feed::Head;
use crate::pg::bigints::Bigints;
use crate::pg::spi::{Plan, Sees, Spi};
use crate::pg::transaction;
use foldhash::{HashMap, HashSet};
use pgrx::{IntoDatum, pg_sys};
use std::cell::RefCell;
use std::collections::hash_map::Entry;
use vote_agg_core::vote::tally;

/// How many keys a session remembers, of all matches together, before it starts again: some 5 MB.
const MAX_KEYS: usize = 200_000;

thread_local! {
    // From the newest version of each row backwards: forwards, a reader would pass all those that an old snapshot keeps.
    // A range of one key, because an order by keys that are equal to something is no order for the planner.
    static FIND_CELLS: Plan = const { Plan::new(
        "SELECT k.key, (
            SELECT a.votes FROM vote_agg.h3_aggregate a WHERE a.match_id = $1 AND a.h3_index >= k.key AND a.h3_index <= k.key
            ORDER BY a.h3_index DESC LIMIT 1) AS votes FROM pg_catalog.unnest($2) AS k(key)",
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID]) };
    static FIND_COUNTRIES: Plan = const { Plan::new(
        "SELECT c.key, (
            SELECT a.votes FROM vote_agg.country_aggregate a
            WHERE a.match_id = $1 AND a.country_code >= c.code AND a.country_code <= c.code ORDER BY a.country_code DESC LIMIT 1) AS votes
         FROM (
            SELECT k.key, pg_catalog.chr((k.key / 256)::integer) || pg_catalog.chr((k.key % 256)::integer) AS code
            FROM pg_catalog.unnest($2) AS k(key)) c",
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID]) };
    static SEEN: RefCell<Seen> = RefCell::new(Seen::default());
}

/// What a session remembers.
#[derive(Default)]
struct Seen {
    matches: HashMap<(Aggregate, String), SeenKeys>,
    /// How many keys they have, and matches: counted as they come, for a read of all matches would add them up for each one.
    size: usize,
}

#[derive(Default)]
struct SeenKeys {
    born: Option<i64>,
    /// They were seen when the match was at this seq: an older snapshot may not have them.
    seq: i64,
    emptied: i64,
    /// Keys with folded votes.
    keys: HashSet<i64>,
}

/// How many keys (as in [`Aggregate`]) have votes with what is pending that had none folded, less those that lose their last.
/// `pending`: the votes of each key.
///
/// # Errors
/// Those of the server; 22003 when a sum leaves 64 bits.
pub fn count(spi: &Spi, table: Aggregate, match_id: &str, head: &Head, pending: HashMap<i64, i64>) -> Result<i64> {
    if pending.is_empty() {
        return Ok(0);
    }
    // Taken out while in use, so that an error that passes through leaves nothing borrowed.
    let mut seen = SEEN.take();
    if seen.size > MAX_KEYS {
        seen = Seen::default();
    }
    let known = match seen.matches.entry((table, match_id.to_owned())) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(none) => {
            seen.size += 1;
            none.insert(SeenKeys::default())
        }
    };
    if known.born != head.born || head.seq < known.seq || known.emptied != head.emptied {
        seen.size -= known.keys.len();
        *known = SeenKeys { born: head.born, emptied: head.emptied, ..SeenKeys::default() };
    }
    // A fold of this very transaction may be rolled back.
    let may_remember = !transaction::has_id();
    if may_remember {
        known.seq = head.seq;
    }
    let is_open = |(key, votes): &(i64, i64)| *votes < 0 || (*votes > 0 && !known.keys.contains(key));
    let open: HashMap<i64, i64> = pending.into_iter().filter(is_open).collect();
    let mut new = 0;
    if head.seq == 0 {
        new = open.values().filter(|votes| **votes > 0).count() as i64;
    } else if !open.is_empty() {
        let find = if table == Aggregate::Cells { &FIND_CELLS } else { &FIND_COUNTRIES };
        let keys = Bigints(open.keys().copied().collect());
        for row in spi.run(find, &[match_id.into_datum(), keys.into_datum()], Sees::TheCallersMoment)?.iter() {
            let key = row.need("key")?;
            let folded = row.get::<Bigints>("votes")?.map_or(Ok(0), |votes| tally::total(&votes.0))?;
            let total = tally::total(&[folded, open[&key]])?;
            new += i64::from(total > 0) - i64::from(folded > 0);
            if may_remember && folded > 0 {
                seen.size += usize::from(known.keys.insert(key));
            }
        }
    }
    SEEN.set(seen);
    Ok(new)
}
