//! Reading: the folded totals plus what is pending, both in the snapshot of the statement that asks.

use crate::error::{Result, invalid, refused};
use crate::fold::aggregate::Table;
use crate::fold::feed::Head;
use crate::matches::{self, Match};
use crate::pending::heap::{Next, OpenHeap};
use crate::pending::state::State;
use crate::pg::counts::Counts;
use crate::pg::jsonb_in;
use crate::pg::jsonb_out::Jsonb;
use crate::pg::spi::{self, Plan, Sees, Spi};
use crate::pg::tables::{now, statement_snapshot};
use crate::read::known;
use crate::session::memory;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::{SetOfIterator, TableIterator};
use pgrx::{IntoDatum, name, pg_extern, pg_sys};
use std::collections::{BTreeMap, BTreeSet};
use vote_agg_core::feed::message::Votes;
use vote_agg_core::feed::timeline::{RECENT, Recent};
use vote_agg_core::vote::cell::{cell_from_bits, cell_to_bits, roll_up};
use vote_agg_core::vote::dominance;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::{self, Tally};
use vote_agg_core::{CellIndex, Country, Resolution, parse_resolution};

thread_local! {
    static CELLS: Plan = const { Plan::new(
        "SELECT h3_index, votes FROM vote_agg.h3_aggregate WHERE match_id = $1",
        &[pg_sys::TEXTOID]) };
    static COUNTRIES: Plan = const { Plan::new(
        "SELECT country_code, votes FROM vote_agg.country_aggregate WHERE match_id = $1",
        &[pg_sys::TEXTOID]) };
    // From one name of the feed's key to the next, instead of over all its rows.
    static MATCHES: Plan = const { Plan::new(
        "WITH RECURSIVE fed(id) AS (
            SELECT (SELECT f.match_id FROM vote_agg.feed f ORDER BY f.match_id LIMIT 1)
            UNION ALL
            SELECT (SELECT f.match_id FROM vote_agg.feed f WHERE f.match_id > fed.id ORDER BY f.match_id LIMIT 1)
            FROM fed WHERE fed.id IS NOT NULL)
         SELECT id FROM fed WHERE id IS NOT NULL UNION SELECT match_id FROM vote_agg.match",
        &[]) };
}

/// A match at one moment: what is folded, and what came since.
pub struct Moment {
    pub opened: Option<Match>,
    pub head: Head,
    pub pending: Tally,
}

impl Moment {
    /// As the calling statement sees it.
    ///
    /// # Errors
    /// XX000 naming a pending row that no vote can have written; 22003 when a sum leaves 64 bits.
    pub fn of(spi: &Spi, match_id: &str) -> Result<Self> {
        let mut moment = Self::folded(spi, match_id)?;
        moment.pending = Tally::new(moment.head.teams.clone());
        each_pending(|row| {
            if row.match_id == match_id.as_bytes()
                && let Some(vote) = row.vote()?
            {
                moment.pending.add(&vote).map_err(|e| refused(&e))?;
            }
            Ok(())
        })?;
        Ok(moment)
    }

    /// The same without what is pending.
    ///
    /// # Errors
    /// XX000 when a row makes no sense.
    pub fn folded(spi: &Spi, match_id: &str) -> Result<Self> {
        let opened = matches::find(memory::tables()?.matches, match_id, statement_snapshot())?;
        let head = Head::load(spi, match_id, Sees::TheCallersMoment)?;
        let pending = Tally::new(head.teams.clone());
        Ok(Self { opened, head, pending })
    }

    pub fn status(&self) -> &'static str {
        match &self.opened {
            Some(opened) => opened.status(now()),
            None if self.head.seq == 0 && self.pending.distinct() == 0 => "unknown",
            None => "open",
        }
    }

    /// Its teams, those first that pending votes are the first for last.
    pub fn teams(&self) -> &[String] {
        self.pending.teams()
    }

    /// The votes that are pending.
    pub fn totals_pending(&self) -> Result<i64> {
        self.pending.totals().and_then(|totals| tally::total(&totals)).map_err(|e| refused(&e))
    }

    /// The votes by team.
    ///
    /// # Errors
    /// 22003 when a sum leaves 64 bits.
    pub fn totals(&self) -> Result<tally::Counts> {
        let mut totals = self.head.votes.clone();
        let pending = self.pending.totals().and_then(|more| tally::add_all(&mut totals, &more));
        pending.map_err(|e| refused(&e))?;
        totals.resize(self.teams().len(), 0);
        Ok(totals)
    }

    /// The votes of the newest minutes.
    pub fn recent(&self) -> Result<Recent> {
        self.head.recent.after(&self.pending.minutes()).map_err(|e| refused(&e))
    }

    /// Every cell's votes, rolled up, in order of cells.
    pub fn cells(&self, spi: &Spi, match_id: &str, resolution: Option<Resolution>) -> Result<Vec<(CellIndex, tally::Counts)>> {
        let mut cells = self.pending.cells().map_err(|e| refused(&e))?;
        spi.each(&CELLS, &[match_id.into_datum()], |row| {
            let cell = cell_from_bits(row.need(1)?).map_err(|e| refused(&e))?;
            cells.push((cell, row.need::<Counts>(2)?.0));
            Ok(())
        })?;
        if let Some(resolution) = resolution {
            cells.iter_mut().for_each(|(cell, _)| *cell = roll_up(*cell, resolution));
        }
        tally::merged(cells).map_err(|e| refused(&e))
    }

    pub fn countries(&self, spi: &Spi, match_id: &str) -> Result<BTreeMap<Country, tally::Counts>> {
        let mut countries: BTreeMap<Country, tally::Counts> = BTreeMap::new();
        for row in spi.run(&COUNTRIES, &[match_id.into_datum()], Sees::TheCallersMoment)?.iter() {
            let country = Country::parse(row.need::<String>(1)?.as_bytes()).map_err(|e| refused(&e))?;
            countries.insert(country, row.need::<Counts>(2)?.0);
        }
        for (country, votes) in self.pending.countries().map_err(|e| refused(&e))? {
            tally::add_all(countries.entry(country).or_default(), &votes).map_err(|e| refused(&e))?;
        }
        countries.retain(|_, votes| votes.iter().any(|votes| *votes != 0));
        Ok(countries)
    }
}

/// Shows every pending row that the calling statement sees.
fn each_pending(mut see: impl FnMut(&crate::pending::heap::Found) -> Result<()>) -> Result<()> {
    let (tables, snapshot) = (memory::tables()?, statement_snapshot());
    let state = State::newest(&tables, snapshot)?;
    for heap in state.heaps() {
        let open = OpenHeap::open(tables.heap(heap), pg_sys::AccessShareLock)?;
        open.visit(open.first_block(state.mark(heap)), snapshot, |row| see(row).map(|()| Next::Go))?;
    }
    Ok(())
}

/// The name of a match.
///
/// # Errors
/// 22023 when it is none.
pub fn named(match_id: Option<&[u8]>) -> Result<&str> {
    parse_name("match_id", match_id).map_err(|e| refused(&e))
}

/// Parses a resolution that may be missing.
pub fn resolution_of(value: Option<i32>) -> Result<Option<Resolution>> {
    value.map(|value| parse_resolution(value.into())).transpose().map_err(|e| refused(&e))
}

/// A time as SQL has it.
pub fn time(microseconds: i64) -> Option<TimestampWithTimeZone> {
    TimestampWithTimeZone::try_from(microseconds).ok()
}

/// Votes by team as jsonb, only teams that have some.
///
/// # Errors
/// Those of the format.
pub fn votes_json(teams: &[String], votes: &[i64]) -> Result<Jsonb> {
    Jsonb::of(&Votes::some(teams, votes))
}

/// See the COMMENT in sql/read.sql.
#[pg_extern(sql = false)]
fn get_realtime_stats(
    match_id: Option<&[u8]>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(status, String),
            name!(total_votes, i64),
            name!(votes, Jsonb),
            name!(leader, Option<String>),
            name!(dominance, f64),
            name!(votes_per_minute, i64),
            name!(active_cells, i64),
            name!(active_countries, i64),
            name!(last_vote_at, Option<TimestampWithTimeZone>),
            name!(seq, i64),
            name!(epoch, Option<String>),
            name!(votes_last_minute, i64),
            name!(votes_last_5_minutes, i64),
            name!(lead_changes, i64),
            name!(last_lead_change_at, Option<TimestampWithTimeZone>),
            name!(last_lead_change_from, Option<String>),
            name!(last_lead_change_to, Option<String>),
        ),
    >,
> {
    let match_id = named(match_id)?;
    spi::connect(|spi| {
        let moment = Moment::of(spi, match_id)?;
        let (recent, lead, now) = (moment.recent()?, moment.head.lead, now());
        let last = |minutes| recent.last(minutes, now).map_err(|e| refused(&e));
        let (teams, totals) = (moment.teams(), moment.totals()?);
        let cells = moment.pending.totals_by(|vote| vote.cell.map(cell_to_bits)).map_err(|e| refused(&e))?;
        let countries = moment.pending.totals_by(|vote| vote.country.map(|country| country.number().into()));
        let countries = countries.map_err(|e| refused(&e))?;
        let new_cells = known::count_new(spi, Table::Cells, match_id, &moment.head, cells)?;
        let new_countries = known::count_new(spi, Table::Countries, match_id, &moment.head, countries)?;
        Ok(TableIterator::once((
            moment.status().to_owned(),
            tally::total(&totals).map_err(|e| refused(&e))?,
            Jsonb::of(&Votes::all(teams, &totals))?,
            dominance::leader(&totals).and_then(|place| teams.get(place).cloned()),
            dominance::dominance(&totals),
            recent.per_minute(now),
            moment.head.cells + new_cells,
            moment.head.countries + new_countries,
            moment.pending.last_at().max(moment.head.last_vote_at).and_then(time),
            moment.head.seq,
            moment.head.epoch.clone(),
            last(1)?,
            last(RECENT)?,
            lead.changes,
            lead.last.and_then(|last| time(last.at)),
            lead.last.and_then(|last| teams.get(last.from).cloned()),
            lead.last.and_then(|last| teams.get(last.to).cloned()),
        )))
    })
}

/// Places with at least `min_votes` (NULL: 1), the biggest first, those as big by number.
///
/// # Errors
/// 22003 when a sum leaves 64 bits.
pub fn ranked<K>(
    places: impl IntoIterator<Item = (K, tally::Counts)>,
    min_votes: Option<i64>,
    number: impl Fn(&K) -> u64,
) -> Result<Vec<(K, i64, tally::Counts)>> {
    let mut rows = Vec::new();
    for (place, votes) in places {
        let total = tally::total(&votes).map_err(|e| refused(&e))?;
        if total >= min_votes.unwrap_or(1) {
            rows.push((place, total, votes));
        }
    }
    rows.sort_unstable_by_key(|(place, total, _)| (std::cmp::Reverse(*total), number(place)));
    Ok(rows)
}

/// See the COMMENT in sql/read.sql.
#[pg_extern(sql = false)]
fn get_country_aggregates(
    match_id: Option<&[u8]>,
    min_votes: Option<i64>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(country_code, String),
            name!(total_votes, i64),
            name!(votes, Jsonb),
            name!(leader, Option<String>),
            name!(dominance, f64),
        ),
    >,
> {
    let match_id = named(match_id)?;
    let (teams, rows) = spi::connect(|spi| {
        let moment = Moment::of(spi, match_id)?;
        let rows = ranked(moment.countries(spi, match_id)?, min_votes, |country| country.number().into())?;
        Ok((moment.teams().to_vec(), rows))
    })?;
    let shown = rows.into_iter().map(|(country, total, votes)| {
        let leader = dominance::leader(&votes).and_then(|place| teams.get(place).cloned());
        Ok((country.to_string(), total, votes_json(&teams, &votes)?, leader, dominance::dominance(&votes)))
    });
    Ok(TableIterator::new(shown.collect::<Result<Vec<_>>>()?))
}

/// See the COMMENT in sql/views.sql.
#[pg_extern(sql = false)]
fn matches() -> Result<SetOfIterator<'static, String>> {
    let mut names = BTreeSet::new();
    spi::connect(|spi| {
        for row in spi.run(&MATCHES, &[], Sees::TheCallersMoment)?.iter() {
            names.insert(row.need::<String>(1)?);
        }
        each_pending(|row| {
            if !row.match_id.is_empty() {
                names.insert(String::from_utf8_lossy(row.match_id).into_owned());
            }
            Ok(())
        })
    })?;
    Ok(SetOfIterator::new(names))
}

/// See the COMMENT in sql/views.sql.
#[pg_extern(sql = false)]
fn pending_stats() -> Result<
    TableIterator<
        'static,
        (
            name!(heap, String),
            name!(is_current, bool),
            name!(rows, i64),
            name!(bytes, i64),
            name!(low_water_bytes, i64),
            name!(oldest_at, Option<TimestampWithTimeZone>),
        ),
    >,
> {
    let (tables, snapshot) = (memory::tables()?, statement_snapshot());
    let state = State::newest(&tables, snapshot)?;
    let block_size = i64::from(pg_sys::BLCKSZ);
    let mut shown = Vec::new();
    for heap in [crate::pending::heap::Heap::One, crate::pending::heap::Heap::Two] {
        let open = OpenHeap::open(tables.heap(heap), pg_sys::AccessShareLock)?;
        let first = open.first_block(state.mark(heap));
        let (mut rows, mut oldest) = (0i64, None::<i64>);
        open.visit(first, snapshot, |row| {
            if !row.match_id.is_empty() {
                rows += 1;
                oldest = Some(oldest.map_or(row.at(), |at| at.min(row.at())));
            }
            Ok(Next::Go)
        })?;
        let bytes = i64::from(open.blocks()) * block_size;
        let name = format!("pending_{}", heap as u8);
        shown.push((
            name,
            state.current == heap,
            rows,
            bytes,
            i64::from(first.min(open.blocks())) * block_size,
            oldest.and_then(time),
        ));
    }
    Ok(TableIterator::new(shown))
}

/// See the COMMENT in sql/read.sql.
#[pg_extern(sql = false)]
fn calculate_dominance(votes: jsonb_in::Jsonb<'_>) -> Result<f64> {
    let votes = votes.numbers().map_err(|e| refused(&e))?;
    match votes.iter().find(|votes| **votes < 0) {
        Some(negative) => Err(invalid(format!("votes must not be negative, not {negative}"), "Pass numbers of votes from 0 up.")),
        None => Ok(dominance::dominance(&votes)),
    }
}
