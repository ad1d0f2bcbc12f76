//! Adding sums to the aggregate tables.
//!
//! A folding process remembers where the newest version of each row lies. While an old snapshot is open no version can be
//! removed, and a row that changes ten times a second is found through its key only behind all of them: after five
//! minutes 3,000 dead versions a row. At its place it is found at once. A row that is not there any more (somebody else
//! folded, the match was purged, the fold was rolled back) is added by key, as if it were new.

use crate::counts::{self, Counts, Entry};
use crate::error::{Result, broken};
use crate::spi::{Plan, Rows, Sees, Spi};
use foldhash::HashMap;
use pgrx::{IntoDatum, pg_sys};
use std::cell::RefCell;
use std::thread::LocalKey;
use vote_agg_core::tally;

/// How many places a process remembers before it starts again: some 30 MB.
const MAX_PLACES: usize = 1_000_000;

const TYPES: &[pg_sys::Oid] = &[pg_sys::TEXTOID, pg_sys::BYTEAOID];

thread_local! {
    static UPDATE_CELLS: Plan = const { Plan::new(
        "UPDATE vote_agg.h3_aggregate a SET votes = vote_agg.add_votes(a.votes, u.votes) FROM vote_agg.unpack($2) u
         WHERE a.ctid = u.place AND a.match_id = $1 AND a.h3_index = u.key
         RETURNING a.votes, a.ctid, u.key", TYPES) };
    static INSERT_CELLS: Plan = const { Plan::new(
        "INSERT INTO vote_agg.h3_aggregate AS a (match_id, h3_index, votes)
         SELECT $1, u.key, u.votes FROM vote_agg.unpack($2) u
         ON CONFLICT (match_id, h3_index) DO UPDATE SET votes = vote_agg.add_votes(a.votes, excluded.votes)
         RETURNING a.votes, a.ctid", TYPES) };
    static UPDATE_COUNTRIES: Plan = const { Plan::new(
        "UPDATE vote_agg.country_aggregate a SET votes = vote_agg.add_votes(a.votes, u.votes) FROM vote_agg.unpack($2) u
         WHERE a.ctid = u.place AND a.match_id = $1
           AND a.country_code = pg_catalog.chr((u.key / 256)::integer) || pg_catalog.chr((u.key % 256)::integer)
         RETURNING a.votes, a.ctid, u.key", TYPES) };
    static INSERT_COUNTRIES: Plan = const { Plan::new(
        "INSERT INTO vote_agg.country_aggregate AS a (match_id, country_code, votes)
         SELECT $1, pg_catalog.chr((u.key / 256)::integer) || pg_catalog.chr((u.key % 256)::integer), u.votes
         FROM vote_agg.unpack($2) u
         ON CONFLICT (match_id, country_code) DO UPDATE SET votes = vote_agg.add_votes(a.votes, excluded.votes)
         RETURNING a.votes, a.ctid", TYPES) };
    static UPDATE_MINUTES: Plan = const { Plan::new(
        "UPDATE vote_agg.timeline a SET votes = vote_agg.add_votes(a.votes, u.votes) FROM vote_agg.unpack($2) u
         WHERE a.ctid = u.place AND a.match_id = $1
           AND a.bucket = timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => u.key::integer)
         RETURNING a.votes, a.ctid, u.key", TYPES) };
    static INSERT_MINUTES: Plan = const { Plan::new(
        "INSERT INTO vote_agg.timeline AS a (match_id, bucket, votes)
         SELECT $1, timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => u.key::integer), u.votes
         FROM vote_agg.unpack($2) u
         ON CONFLICT (match_id, bucket) DO UPDATE SET votes = vote_agg.add_votes(a.votes, excluded.votes)
         RETURNING a.votes, a.ctid", TYPES) };
    static PLACES: RefCell<HashMap<(Table, String), HashMap<i64, pg_sys::ItemPointerData>>> = RefCell::default();
}

/// A table whose rows are counts by key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Table {
    /// By cell: the key is its 64 bits.
    Cells,
    /// By country: the key is its two letters as a number.
    Countries,
    /// By minute since 2000-01-01 UTC.
    Minutes,
}

impl Table {
    const fn plans(self) -> (&'static LocalKey<Plan>, &'static LocalKey<Plan>) {
        match self {
            Self::Cells => (&UPDATE_CELLS, &INSERT_CELLS),
            Self::Countries => (&UPDATE_COUNTRIES, &INSERT_COUNTRIES),
            Self::Minutes => (&UPDATE_MINUTES, &INSERT_MINUTES),
        }
    }
}

/// Adds the changes, which are in order of their keys, each key once; returns the new counts in the same order.
///
/// # Errors
/// 22003 when a count leaves 64 bits; XX000 when a row is neither found nor made.
pub fn add(
    spi: &Spi,
    table: Table,
    match_id: &str,
    teams: usize,
    changes: &[(i64, tally::Counts)],
) -> Result<Vec<tally::Counts>> {
    // Taken out while in use: after an error the process remembers nothing, which is always right.
    let mut all = PLACES.take();
    if all.values().map(HashMap::len).sum::<usize>() > MAX_PLACES {
        all.clear();
    }
    let places = all.entry((table, match_id.to_owned())).or_default();
    let (update, insert) = table.plans();
    let mut totals: Vec<Option<tally::Counts>> = vec![None; changes.len()];

    let known: Vec<Entry> = changes.iter().filter_map(|(key, votes)| Some((*key, *places.get(key)?, votes))).collect();
    if !known.is_empty() {
        for row in run(spi, update, match_id, teams, &known)?.iter() {
            let key = row.need(3)?;
            let position = changes.binary_search_by_key(&key, |(key, _)| *key);
            let position = position.map_err(|_| broken(format!("a fold changed the row of {key}, which it did not mean to")))?;
            totals[position] = Some(row.need::<Counts>(1)?.0);
            places.insert(key, row.need(2)?);
        }
    }
    let others: Vec<usize> = (0..changes.len()).filter(|i| totals[*i].is_none()).collect();
    if !others.is_empty() {
        let nowhere = pg_sys::ItemPointerData::default();
        let entries: Vec<Entry> = others.iter().map(|i| (changes[*i].0, nowhere, &changes[*i].1)).collect();
        for (i, row) in others.iter().zip(run(spi, insert, match_id, teams, &entries)?.iter()) {
            totals[*i] = Some(row.need::<Counts>(1)?.0);
            places.insert(changes[*i].0, row.need(2)?);
        }
    }
    PLACES.set(all);
    let lost = || broken(format!("a fold of match {} did not reach every row", crate::error::quoted(match_id)));
    totals.into_iter().map(|total| total.ok_or_else(lost)).collect()
}

fn run<'s>(spi: &'s Spi, plan: &'static LocalKey<Plan>, match_id: &str, teams: usize, entries: &[Entry]) -> Result<Rows<'s>> {
    let packed = counts::pack(teams, entries);
    spi.run(plan, &[match_id.into_datum(), packed.as_slice().into_datum()], Sees::Now)
}
