//! Adding sums to the aggregate tables.
//!
//! While an old snapshot is open no version of a row can be removed. A row that changes ten times a second has 3,000 dead
//! versions after five minutes, and a look-up by key passes over all of them. So a folding process remembers where the newest
//! version of each row lies, and updates it there. A row that is not there any more (another process folded, the match was
//! purged, the fold was rolled back) is looked up by key.
//!
//! The keys are unique because one process folds at a time, not by a constraint. A unique index would look at every dead
//! version again at each update that leaves its page (bench/RESULTS.md, places and no unique keys).

use crate::error::{Result, broken, refused};
use crate::pg::bigints::{self, Bigints, Entry};
use crate::pg::spi::{Plan, Row, Rows, Sees, Spi};
use crate::pg::table::{self, block_of};
use crate::pg::tables;
use crate::settings;
use foldhash::HashMap;
use pgrx::{IntoDatum, pg_sys};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::CStr;
use std::thread::LocalKey;
use vote_agg_core::vote::change::{self, Change};
use vote_agg_core::vote::tally;

/// How many places a process remembers before it starts again: some 30 MB.
const MAX_PLACES: usize = 1_000_000;

/// How many numbers one statement returns at most: rows times teams. 8 MB.
const MAX_NUMBERS: usize = 1_000_000;

/// For how many minutes a process remembers places by minute, counted back from the newest one of a fold. Votes for older
/// minutes are rare, and their rows are found by key.
const MINUTES_REMEMBERED: i64 = 5;

// The match, its packed changes, the margin of a lead, the seq of the fold.
const TYPES: &[pg_sys::Oid] = &[pg_sys::TEXTOID, pg_sys::BYTEAOID, pg_sys::FLOAT8OID, pg_sys::INT8OID];
const FIND_TYPES: &[pg_sys::Oid] = &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID];

thread_local! {
    // IS NOT DISTINCT FROM keeps the planner from the index: it would reach for the match's rows instead of the places.
    static UPDATE_CELLS: Plan = const { Plan::new(
        "UPDATE vote_agg.h3_aggregate a SET votes = vote_agg.add_votes(a.votes, u.change), seq = $4, leader_before = a.leader,
             leader = vote_agg.leader_after(a.votes, u.change, a.leader, $3) FROM vote_agg.unpack($2) u
         WHERE a.ctid = u.place AND a.match_id IS NOT DISTINCT FROM $1 AND a.h3_index IS NOT DISTINCT FROM u.key
         RETURNING a.votes, a.ctid, u.key, a.leader_before, a.leader", TYPES) };
    static INSERT_CELLS: Plan = const { Plan::new(
        "INSERT INTO vote_agg.h3_aggregate (match_id, h3_index, seq, votes, leader)
         SELECT $1, u.key, $4, vote_agg.add_votes('{}', u.change), vote_agg.leader_after(NULL, u.change, NULL, $3) FROM vote_agg.unpack($2) u
         RETURNING votes, ctid, NULL, leader_before, leader", TYPES) };
    static FIND_CELLS: Plan = const { Plan::new(
        "SELECT a.ctid, a.h3_index FROM vote_agg.h3_aggregate a WHERE a.match_id = $1 AND a.h3_index = ANY ($2)", FIND_TYPES) };
    static UPDATE_COUNTRIES: Plan = const { Plan::new(
        "UPDATE vote_agg.country_aggregate a SET votes = vote_agg.add_votes(a.votes, u.change), seq = $4, leader_before = a.leader,
             leader = vote_agg.leader_after(a.votes, u.change, a.leader, $3) FROM vote_agg.unpack($2) u
         WHERE a.ctid = u.place AND a.match_id IS NOT DISTINCT FROM $1
           AND a.country_code IS NOT DISTINCT FROM pg_catalog.chr((u.key / 256)::integer) || pg_catalog.chr((u.key % 256)::integer)
         RETURNING a.votes, a.ctid, u.key, a.leader_before, a.leader", TYPES) };
    static INSERT_COUNTRIES: Plan = const { Plan::new(
        "INSERT INTO vote_agg.country_aggregate (match_id, country_code, seq, votes, leader)
         SELECT $1, pg_catalog.chr((u.key / 256)::integer) || pg_catalog.chr((u.key % 256)::integer), $4, vote_agg.add_votes('{}', u.change),
                vote_agg.leader_after(NULL, u.change, NULL, $3)
         FROM vote_agg.unpack($2) u RETURNING votes, ctid, NULL, leader_before, leader", TYPES) };
    static FIND_COUNTRIES: Plan = const { Plan::new(
        "SELECT a.ctid, k.key FROM pg_catalog.unnest($2) AS k(key) JOIN vote_agg.country_aggregate a ON a.match_id = $1
           AND a.country_code = pg_catalog.chr((k.key / 256)::integer) || pg_catalog.chr((k.key % 256)::integer)", FIND_TYPES) };
    static UPDATE_MINUTES: Plan = const { Plan::new(
        "UPDATE vote_agg.timeline a SET votes = vote_agg.add_votes(a.votes, u.change) FROM vote_agg.unpack($2) u
         WHERE a.ctid = u.place AND a.match_id IS NOT DISTINCT FROM $1
           AND a.bucket IS NOT DISTINCT FROM timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => u.key::integer)
         RETURNING a.votes, a.ctid, u.key", TYPES) };
    static INSERT_MINUTES: Plan = const { Plan::new(
        "INSERT INTO vote_agg.timeline (match_id, bucket, votes)
         SELECT $1, timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => u.key::integer), vote_agg.add_votes('{}', u.change)
         FROM vote_agg.unpack($2) u RETURNING votes, ctid", TYPES) };
    static FIND_MINUTES: Plan = const { Plan::new(
        "SELECT a.ctid, k.key FROM pg_catalog.unnest($2) AS k(key) JOIN vote_agg.timeline a ON a.match_id = $1
           AND a.bucket = timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => k.key::integer)", FIND_TYPES) };
    static UPDATE_COUNTRY_MINUTES: Plan = const { Plan::new(
        "UPDATE vote_agg.country_timeline a SET votes = vote_agg.add_votes(a.votes, u.change) FROM vote_agg.unpack($2) u
         WHERE a.ctid = u.place AND a.match_id IS NOT DISTINCT FROM $1
           AND a.bucket IS NOT DISTINCT FROM timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => (u.key >> 16)::integer)
           AND a.country_code IS NOT DISTINCT FROM pg_catalog.chr(((u.key >> 8) & 255)::integer) || pg_catalog.chr((u.key & 255)::integer)
         RETURNING a.votes, a.ctid, u.key", TYPES) };
    static INSERT_COUNTRY_MINUTES: Plan = const { Plan::new(
        "INSERT INTO vote_agg.country_timeline (match_id, bucket, country_code, votes)
         SELECT $1, timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => (u.key >> 16)::integer),
                pg_catalog.chr(((u.key >> 8) & 255)::integer) || pg_catalog.chr((u.key & 255)::integer), vote_agg.add_votes('{}', u.change)
         FROM vote_agg.unpack($2) u RETURNING votes, ctid", TYPES) };
    static FIND_COUNTRY_MINUTES: Plan = const { Plan::new(
        "SELECT a.ctid, k.key FROM pg_catalog.unnest($2) AS k(key) JOIN vote_agg.country_timeline a ON a.match_id = $1
           AND a.bucket = timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => (k.key >> 16)::integer)
           AND a.country_code = pg_catalog.chr(((k.key >> 8) & 255)::integer) || pg_catalog.chr((k.key & 255)::integer)", FIND_TYPES) };
    static PLACES: RefCell<HashMap<(Aggregate, String), Places>> = RefCell::default();
}

/// A table whose rows are counts by key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Aggregate {
    /// By cell: the key is its 64 bits.
    Cells,
    /// By country: the key is its two letters as a number.
    Countries,
    /// By minute since 2000-01-01 UTC.
    Minutes,
    /// By minute and country: the minute times 65536, and the country's two letters as a number.
    CountryMinutes,
}

/// The key of a minute, given by its start, and a country, given by its number.
pub fn country_minute(start: i64, country: u16) -> i64 {
    ((start / tally::MINUTE) << 16) | i64::from(country)
}

/// What a row holds once a change is added.
pub struct Sum {
    /// Over all teams.
    pub total: i64,
    /// The votes of those teams that have some; of none where nobody asked.
    pub named: Change,
    /// the announced leader, and the one announced before, by number of team. Nobody where the key is a minute.
    pub leader: Option<usize>,
    pub leader_before: Option<usize>,
}

impl Sum {
    fn of(row: &Row, target: Target, table: Aggregate) -> Result<Self> {
        let leader = |column| if table.minute(0).is_none() { bigints::team_of(row.get(column)) } else { None };
        let votes = row.need::<Bigints>(1)?.0;
        let total = tally::total(&votes).map_err(refused)?;
        let named = if target.wants_names { change::of(&votes) } else { Change::new() };
        Ok(Self { total, named, leader_before: leader(4), leader: leader(5) })
    }
}

/// Updates rows at their places, finds places by key, makes new rows.
struct Plans {
    update: &'static LocalKey<Plan>,
    find: &'static LocalKey<Plan>,
    insert: &'static LocalKey<Plan>,
}

impl Aggregate {
    const fn name(self) -> &'static CStr {
        match self {
            Self::Cells => c"h3_aggregate",
            Self::Countries => c"country_aggregate",
            Self::Minutes => c"timeline",
            Self::CountryMinutes => c"country_timeline",
        }
    }

    /// The minute of a key, where it has one.
    const fn minute(self, key: i64) -> Option<i64> {
        match self {
            Self::Cells | Self::Countries => None,
            Self::Minutes => Some(key),
            Self::CountryMinutes => Some(key >> 16),
        }
    }

    const fn plans(self) -> Plans {
        match self {
            Self::Cells => Plans { update: &UPDATE_CELLS, find: &FIND_CELLS, insert: &INSERT_CELLS },
            Self::Countries => Plans { update: &UPDATE_COUNTRIES, find: &FIND_COUNTRIES, insert: &INSERT_COUNTRIES },
            Self::Minutes => Plans { update: &UPDATE_MINUTES, find: &FIND_MINUTES, insert: &INSERT_MINUTES },
            Self::CountryMinutes => {
                Plans { update: &UPDATE_COUNTRY_MINUTES, find: &FIND_COUNTRY_MINUTES, insert: &INSERT_COUNTRY_MINUTES }
            }
        }
    }
}

/// What is added to.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub match_id: &'a str,
    /// How many teams the counts are of.
    pub teams: usize,
    /// Whether the sums that come back name the teams and their votes.
    pub wants_names: bool,
    /// The seq of the fold that adds: cells and countries keep the fold that changed them last.
    pub seq: i64,
}

/// Adds lists of counts, as [`add`] adds changes.
///
/// # Errors
/// Those of [`add`].
pub fn add_counts(spi: &Spi, table: Aggregate, target: Target, counts: &[(i64, tally::Counts)]) -> Result<()> {
    let changes: Vec<(i64, Change)> = counts.iter().map(|(key, counts)| (*key, change::of(counts))).collect();
    add(spi, table, target, &changes).map(|_| ())
}

/// Adds the changes, which are in order of their keys (as numbers), each key once; returns the new sums in the same order.
///
/// # Errors
/// 22003 when a count leaves 64 bits; XX000 when a row is neither found nor made.
pub fn add(spi: &Spi, table: Aggregate, target: Target, changes: &[(i64, Change)]) -> Result<Vec<Sum>> {
    if PLACES.with_borrow(|all| all.values().map(HashMap::len).sum::<usize>()) > MAX_PLACES {
        PLACES.take();
    }
    // Taken out while in use: after an error the process remembers nothing of this match, which is always right.
    let key = || (table, target.match_id.to_owned());
    let mut places = PLACES.with_borrow_mut(|all| all.remove(&key())).unwrap_or_default();
    let mut sums = Vec::with_capacity(changes.len());
    for some in changes.chunks((MAX_NUMBERS / target.teams.max(1)).max(1)) {
        add_some(spi, table, target, some, &mut places, &mut sums)?;
    }
    if let Some(newest) = changes.last().and_then(|(key, _)| table.minute(*key)) {
        places.retain(|key, _| table.minute(*key).is_none_or(|minute| minute > newest - MINUTES_REMEMBERED));
    }
    PLACES.with_borrow_mut(|all| all.insert(key(), places));
    Ok(sums)
}

type Places = HashMap<i64, pg_sys::ItemPointerData>;

/// Adds as many changes as one statement takes.
fn add_some(
    spi: &Spi,
    table: Aggregate,
    target: Target,
    changes: &[(i64, Change)],
    places: &mut Places,
    sums: &mut Vec<Sum>,
) -> Result<()> {
    let (match_id, plans) = (target.match_id, table.plans());
    let mut totals: Vec<Option<Sum>> = changes.iter().map(|_| None).collect();

    update(spi, table, target, changes, places, &mut totals)?;
    let missing: Vec<i64> = changes.iter().zip(&totals).filter(|(_, total)| total.is_none()).map(|((key, _), _)| *key).collect();
    if !missing.is_empty() {
        for key in &missing {
            places.remove(key);
        }
        for row in spi.run(plans.find, &[match_id.into_datum(), Bigints(missing).into_datum()], Sees::Now)?.iter() {
            places.insert(row.need(2)?, row.need(1)?);
        }
        update(spi, table, target, changes, places, &mut totals)?;
    }
    let new: Vec<usize> = (0..changes.len()).filter(|i| totals[*i].is_none()).collect();
    if !new.is_empty() {
        let nowhere = pg_sys::ItemPointerData::default();
        let entries: Vec<Entry> = new.iter().map(|i| (changes[*i].0, nowhere, &changes[*i].1)).collect();
        for (i, row) in new.iter().zip(run(spi, plans.insert, target, &entries)?.iter()) {
            totals[*i] = Some(Sum::of(&row, target, table)?);
            places.insert(changes[*i].0, row.need(2)?);
        }
    }
    let lost = || broken(format!("a fold of match {} did not reach every row", crate::error::quoted(match_id)));
    for total in totals {
        sums.push(total.ok_or_else(lost)?);
    }
    Ok(())
}

/// Updates those rows that have a place and no total yet, as far as they are there.
fn update(
    spi: &Spi,
    table: Aggregate,
    target: Target,
    changes: &[(i64, Change)],
    places: &mut Places,
    totals: &mut [Option<Sum>],
) -> Result<()> {
    let open = changes.iter().zip(&*totals).filter(|(_, total)| total.is_none());
    let entries: Vec<Entry> = open.filter_map(|((key, votes), _)| Some((*key, *places.get(key)?, votes))).collect();
    if entries.is_empty() {
        return Ok(());
    }
    tidy(table, entries.iter().map(|(_, place, _)| block_of(place)).collect());
    for row in run(spi, table.plans().update, target, &entries)?.iter() {
        let key = row.need(3)?;
        let position = changes.binary_search_by_key(&key, |(key, _)| *key);
        let position = position.map_err(|_| broken(format!("a fold changed the row of {key}, which it did not mean to")))?;
        totals[position] = Some(Sum::of(&row, target, table)?);
        places.insert(key, row.need(2)?);
    }
    Ok(())
}

/// Removes dead versions from pages, so that new ones fit beside the old (and need no index entry). The server does that
/// by itself where a row is reached by index or scan, but not where it is reached by place.
fn tidy(table: Aggregate, blocks: BTreeSet<u32>) {
    let Some(table) = tables::find(table.name()) else { return };
    table::Table::open(table, pg_sys::RowExclusiveLock).prune(blocks.into_iter());
}

fn run<'s>(spi: &'s Spi, plan: &'static LocalKey<Plan>, target: Target, entries: &[Entry]) -> Result<Rows<'s>> {
    let packed = bigints::pack(entries);
    let args = [
        target.match_id.into_datum(),
        packed.as_slice().into_datum(),
        settings::flip_margin().into_datum(),
        target.seq.into_datum(),
    ];
    spi.run(plan, &args, Sees::Now)
}
