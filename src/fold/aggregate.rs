//! Adding sums to the aggregate tables.
//!
//! While an old snapshot is open no version of a row can be removed. A row that changes ten times a second has 3,000 dead
//! versions after five minutes, and a look-up by key passes over all of them. So a folding process remembers where the newest
//! version of each row lies, and updates it there. A row that is not there any more (another process folded, the match was
//! purged, the fold was rolled back) is looked up by key.
//!
//! The keys are unique because one process folds at a time, not by a constraint. A unique index would look at every dead
//! version again at each update that leaves its page (bench/RESULTS.md, places and no unique keys).

use crate::error::{Result, broken};
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

// The packed changes, the margin of a lead.
const TYPES: &[pg_sys::Oid] = &[pg_sys::BYTEAOID, pg_sys::FLOAT8OID];

thread_local! {
    // IS NOT DISTINCT FROM keeps the planner from the index: it would reach for the match's rows instead of the places.
    static UPDATE_CELLS: Plan = const { Plan::new(
        "UPDATE vote_agg.h3_aggregate a SET votes = vote_agg.add_votes(a.votes, u.change), seq = u.seq, leader_before = a.leader,
             leader = vote_agg.leader_after(a.votes, u.change, a.leader, $2) FROM vote_agg.unpack($1) u
         WHERE a.ctid = u.place AND a.match_id IS NOT DISTINCT FROM u.match_id AND a.h3_index IS NOT DISTINCT FROM u.key
         RETURNING u.number, a.votes, a.leader_before, a.leader, a.ctid", TYPES) };
    static INSERT_CELLS: Plan = const { Plan::new(
        "INSERT INTO vote_agg.h3_aggregate (match_id, h3_index, seq, votes, leader)
         SELECT u.match_id, u.key, u.seq, vote_agg.add_votes('{}', u.change), vote_agg.leader_after(NULL, u.change, NULL, $2)
         FROM vote_agg.unpack($1) u RETURNING votes, leader_before, leader, ctid", TYPES) };
    static FIND_CELLS: Plan = const { Plan::new(
        "SELECT u.number, a.ctid FROM vote_agg.unpack($1) u JOIN vote_agg.h3_aggregate a ON a.match_id = u.match_id
           AND a.h3_index = u.key", TYPES) };
    static UPDATE_COUNTRIES: Plan = const { Plan::new(
        "UPDATE vote_agg.country_aggregate a SET votes = vote_agg.add_votes(a.votes, u.change), seq = u.seq, leader_before = a.leader,
             leader = vote_agg.leader_after(a.votes, u.change, a.leader, $2) FROM vote_agg.unpack($1) u
         WHERE a.ctid = u.place AND a.match_id IS NOT DISTINCT FROM u.match_id
           AND a.country_code IS NOT DISTINCT FROM pg_catalog.chr((u.key / 256)::integer) || pg_catalog.chr((u.key % 256)::integer)
         RETURNING u.number, a.votes, a.leader_before, a.leader, a.ctid", TYPES) };
    static INSERT_COUNTRIES: Plan = const { Plan::new(
        "INSERT INTO vote_agg.country_aggregate (match_id, country_code, seq, votes, leader)
         SELECT u.match_id, pg_catalog.chr((u.key / 256)::integer) || pg_catalog.chr((u.key % 256)::integer), u.seq,
                vote_agg.add_votes('{}', u.change), vote_agg.leader_after(NULL, u.change, NULL, $2)
         FROM vote_agg.unpack($1) u RETURNING votes, leader_before, leader, ctid", TYPES) };
    static FIND_COUNTRIES: Plan = const { Plan::new(
        "SELECT u.number, a.ctid FROM vote_agg.unpack($1) u JOIN vote_agg.country_aggregate a ON a.match_id = u.match_id
           AND a.country_code = pg_catalog.chr((u.key / 256)::integer) || pg_catalog.chr((u.key % 256)::integer)", TYPES) };
    static UPDATE_MINUTES: Plan = const { Plan::new(
        "UPDATE vote_agg.timeline a SET votes = vote_agg.add_votes(a.votes, u.change) FROM vote_agg.unpack($1) u
         WHERE a.ctid = u.place AND a.match_id IS NOT DISTINCT FROM u.match_id
           AND a.bucket IS NOT DISTINCT FROM timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => u.key::integer)
         RETURNING u.number, a.votes, a.ctid", TYPES) };
    static INSERT_MINUTES: Plan = const { Plan::new(
        "INSERT INTO vote_agg.timeline (match_id, bucket, votes)
         SELECT u.match_id, timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => u.key::integer),
                vote_agg.add_votes('{}', u.change)
         FROM vote_agg.unpack($1) u RETURNING votes, ctid", TYPES) };
    static FIND_MINUTES: Plan = const { Plan::new(
        "SELECT u.number, a.ctid FROM vote_agg.unpack($1) u JOIN vote_agg.timeline a ON a.match_id = u.match_id
           AND a.bucket = timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => u.key::integer)", TYPES) };
    static UPDATE_COUNTRY_MINUTES: Plan = const { Plan::new(
        "UPDATE vote_agg.country_timeline a SET votes = vote_agg.add_votes(a.votes, u.change) FROM vote_agg.unpack($1) u
         WHERE a.ctid = u.place AND a.match_id IS NOT DISTINCT FROM u.match_id
           AND a.bucket IS NOT DISTINCT FROM timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => (u.key >> 16)::integer)
           AND a.country_code IS NOT DISTINCT FROM pg_catalog.chr(((u.key >> 8) & 255)::integer) || pg_catalog.chr((u.key & 255)::integer)
         RETURNING u.number, a.votes, a.ctid", TYPES) };
    static INSERT_COUNTRY_MINUTES: Plan = const { Plan::new(
        "INSERT INTO vote_agg.country_timeline (match_id, bucket, country_code, votes)
         SELECT u.match_id, timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => (u.key >> 16)::integer),
                pg_catalog.chr(((u.key >> 8) & 255)::integer) || pg_catalog.chr((u.key & 255)::integer), vote_agg.add_votes('{}', u.change)
         FROM vote_agg.unpack($1) u RETURNING votes, ctid", TYPES) };
    static FIND_COUNTRY_MINUTES: Plan = const { Plan::new(
        "SELECT u.number, a.ctid FROM vote_agg.unpack($1) u JOIN vote_agg.country_timeline a ON a.match_id = u.match_id
           AND a.bucket = timestamptz '2000-01-01 00:00:00+00' + pg_catalog.make_interval(mins => (u.key >> 16)::integer)
           AND a.country_code = pg_catalog.chr(((u.key >> 8) & 255)::integer) || pg_catalog.chr((u.key & 255)::integer)", TYPES) };
    static PLACES: RefCell<Remembered> = RefCell::default();
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
    fn of(row: &Row, target: &Target, table: Aggregate) -> Result<Self> {
        let leader = |column| {
            if table.minute(0).is_none() { row.get(column).map(bigints::team_of) } else { Ok(None) }
        };
        let votes = row.need::<Bigints>("votes")?.0;
        let total = tally::total(&votes)?;
        let named = if target.wants_names { change::of(&votes) } else { Change::new() };
        Ok(Self { total, named, leader_before: leader("leader_before")?, leader: leader("leader")? })
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

/// What is added to the rows of one match.
pub struct Addition<'a> {
    pub target: Target<'a>,
    /// In order of their keys (as numbers), each key once.
    pub changes: Vec<(i64, Change)>,
}

/// Adds lists of counts to one match, as [`add`] adds changes.
///
/// # Errors
/// Those of [`add`].
pub fn add_counts(spi: &Spi, table: Aggregate, target: Target, counts: &[(i64, tally::Counts)]) -> Result<()> {
    let changes = counts.iter().map(|(key, counts)| (*key, change::of(counts))).collect();
    add(spi, table, &[Addition { target, changes }]).map(|_| ())
}

/// Adds changes to any number of matches, each match once; returns the new sums of each in the order of its changes.
///
/// # Errors
/// 22003 when a count leaves 64 bits; XX000 when a row is neither found nor made.
pub fn add(spi: &Spi, table: Aggregate, additions: &[Addition]) -> Result<Vec<Vec<Sum>>> {
    // Taken out while in use: after an error the process remembers nothing of these matches, which is always right.
    let mut places: Vec<Places> = PLACES.with_borrow_mut(|all| additions.iter().map(|a| all.take(&a.key(table))).collect());
    let rows = additions.iter().enumerate().flat_map(|(owner, addition)| {
        addition.changes.iter().map(move |(key, change)| ToAdd { owner, target: &addition.target, key: *key, change })
    });
    let rows: Vec<ToAdd> = rows.collect();
    let mut sums: Vec<Vec<Sum>> = additions.iter().map(|addition| Vec::with_capacity(addition.changes.len())).collect();
    let mut rest = rows.as_slice();
    while !rest.is_empty() {
        let (some, others) = rest.split_at(as_many_as_fit(rest));
        for (row, sum) in some.iter().zip(add_some(spi, table, some, &mut places)?) {
            sums[row.owner].push(sum);
        }
        rest = others;
    }
    for (addition, mut places) in additions.iter().zip(places) {
        if let Some(newest) = addition.changes.last().and_then(|(key, _)| table.minute(*key)) {
            places.retain(|key, _| table.minute(*key).is_none_or(|minute| minute > newest - MINUTES_REMEMBERED));
        }
        PLACES.with_borrow_mut(|all| all.put(addition.key(table), places));
    }
    Ok(sums)
}

impl Addition<'_> {
    fn key(&self, table: Aggregate) -> (Aggregate, String) {
        (table, self.target.match_id.to_owned())
    }
}

/// The change of one row, and whose it is.
struct ToAdd<'a> {
    /// The place of its match among the additions.
    owner: usize,
    target: &'a Target<'a>,
    key: i64,
    change: &'a Change,
}

/// How many of the rows one statement takes: at least one.
fn as_many_as_fit(rows: &[ToAdd]) -> usize {
    let mut numbers = 0;
    let fit = rows.iter().take_while(|row| {
        numbers += row.target.teams;
        numbers <= MAX_NUMBERS
    });
    fit.count().max(1)
}

type Places = HashMap<i64, pg_sys::ItemPointerData>;

/// The places of rows, by match. Their number is kept beside them: a fold of many matches asks for it for each of them.
#[derive(Default)]
struct Remembered {
    by_match: HashMap<(Aggregate, String), Places>,
    /// How many places; each match counts as one more.
    count: usize,
}

impl Remembered {
    fn take(&mut self, of: &(Aggregate, String)) -> Places {
        let Some(places) = self.by_match.remove(of) else { return Places::default() };
        self.count -= places.len() + 1;
        places
    }

    /// `of` was taken before.
    fn put(&mut self, of: (Aggregate, String), places: Places) {
        if self.count > MAX_PLACES {
            *self = Self::default();
        }
        self.count += places.len() + 1;
        self.by_match.insert(of, places);
    }
}

/// Adds as many changes as one statement takes; `places` are those of all matches.
fn add_some(spi: &Spi, table: Aggregate, rows: &[ToAdd], places: &mut [Places]) -> Result<Vec<Sum>> {
    let plans = table.plans();
    let mut sums: Vec<Option<Sum>> = rows.iter().map(|_| None).collect();
    update(spi, table, rows, places, &mut sums)?;
    let missing = nowhere(rows, &sums);
    if !missing.is_empty() {
        for entry in &missing {
            places[rows[entry.number].owner].remove(&entry.key);
        }
        for row in run(spi, plans.find, &missing)?.iter() {
            let found = numbered(rows, &row)?;
            places[rows[found].owner].insert(rows[found].key, row.need("ctid")?);
        }
        update(spi, table, rows, places, &mut sums)?;
        let new = nowhere(rows, &sums);
        if !new.is_empty() {
            for (entry, row) in new.iter().zip(run(spi, plans.insert, &new)?.iter()) {
                let made = &rows[entry.number];
                sums[entry.number] = Some(Sum::of(&row, made.target, table)?);
                places[made.owner].insert(made.key, row.need("ctid")?);
            }
        }
    }
    let lost =
        |row: &ToAdd| broken(format!("a fold of match {} did not reach every row", crate::error::quoted(row.target.match_id)));
    rows.iter().zip(sums).map(|(row, sum)| sum.ok_or_else(|| lost(row))).collect()
}

/// Entries of the rows that have no sum yet, without a place.
fn nowhere<'a>(rows: &[ToAdd<'a>], sums: &[Option<Sum>]) -> Vec<Entry<'a>> {
    let open = rows.iter().zip(sums).enumerate().filter(|(_, (_, sum))| sum.is_none());
    open.map(|(number, (row, _))| row.entry(number, pg_sys::ItemPointerData::default())).collect()
}

/// Which of the rows a row of a statement is about.
fn numbered(rows: &[ToAdd], row: &Row) -> Result<usize> {
    let number: i64 = row.need("number")?;
    let is_ours = |number: &usize| *number < rows.len();
    usize::try_from(number)
        .ok()
        .filter(is_ours)
        .ok_or_else(|| broken(format!("a fold met row {number}, which it did not ask for")))
}

impl<'a> ToAdd<'a> {
    const fn entry(&self, number: usize, place: pg_sys::ItemPointerData) -> Entry<'a> {
        Entry { match_id: self.target.match_id, seq: self.target.seq, number, key: self.key, place, change: self.change }
    }
}

/// Updates those rows that have a place and no sum yet, as far as they are there.
fn update(spi: &Spi, table: Aggregate, rows: &[ToAdd], places: &mut [Places], sums: &mut [Option<Sum>]) -> Result<()> {
    let open = rows.iter().zip(&*sums).enumerate().filter(|(_, (_, sum))| sum.is_none());
    let placed = open.filter_map(|(number, (row, _))| Some(row.entry(number, *places[row.owner].get(&row.key)?)));
    let entries: Vec<Entry> = placed.collect();
    if entries.is_empty() {
        return Ok(());
    }
    tidy(table, entries.iter().map(|entry| block_of(&entry.place)).collect());
    for row in run(spi, table.plans().update, &entries)?.iter() {
        let number = numbered(rows, &row)?;
        sums[number] = Some(Sum::of(&row, rows[number].target, table)?);
        places[rows[number].owner].insert(rows[number].key, row.need("ctid")?);
    }
    Ok(())
}

/// Removes dead versions from pages, so that new ones fit beside the old (and need no index entry). The server does that
/// by itself where a row is reached by index or scan, but not where it is reached by place.
fn tidy(table: Aggregate, blocks: BTreeSet<u32>) {
    let Some(table) = tables::find(table.name()) else { return };
    table::Table::open(table, pg_sys::RowExclusiveLock).prune(blocks.into_iter());
}

fn run<'s>(spi: &'s Spi, plan: &'static LocalKey<Plan>, entries: &[Entry]) -> Result<Rows<'s>> {
    let packed = bigints::pack(entries);
    spi.run(plan, &[packed.as_slice().into_datum(), settings::flip_margin().into_datum()], Sees::Now)
}
