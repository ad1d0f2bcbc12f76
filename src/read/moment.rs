//! Reading: the folded totals plus what is pending, both in the snapshot of the statement that asks.

use crate::error::Result;
use crate::fold::feed::Head;
use crate::fold::history::History;
use crate::pending::fold_log::FoldLog;
use crate::pending::heap::{Next, OpenHeap};
use crate::pg::bigints::Bigints;
use crate::pg::clock::now;
use crate::pg::jsonb_out::Jsonb;
use crate::pg::snapshot::statement_snapshot;
use crate::pg::spi::{Plan, Sees, Spi};
use crate::read::collected::{COUNTRIES, CellCounts, Collected, Countries};
use crate::session::match_row::{self, Match};
use crate::session::{launch, memory};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::{IntoDatum, pg_sys};
use std::collections::{BTreeMap, BTreeSet};
use vote_agg_core::feed::message::Votes;
use vote_agg_core::feed::timeline::Recent;
use vote_agg_core::vote::cell::cell_from_bits;
use vote_agg_core::vote::change;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::{self, Tally};
use vote_agg_core::{Country, Resolution, parse_resolution};

thread_local! {
    static CELLS: Plan = const { Plan::new(
        "SELECT h3_index, votes FROM vote_agg.h3_aggregate WHERE match_id = $1",
        &[pg_sys::TEXTOID]) };
    static COUNTRY_VOTES: Plan = const { Plan::new(
        "SELECT country_code, votes FROM vote_agg.country_aggregate WHERE match_id = $1",
        &[pg_sys::TEXTOID]) };
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
                moment.pending.add(&vote)?;
            }
            Ok(())
        })?;
        Ok(moment)
    }

    /// Shows all matches one by one, those of `names` and those that have pending votes: `None` for one that cannot be read.
    /// Only those with pending votes are held together.
    ///
    /// # Errors
    /// Those of `see` and of the server.
    pub fn each(spi: &Spi, mut names: BTreeSet<String>, mut see: impl FnMut(String, Option<Self>) -> Result<()>) -> Result<()> {
        let begin = |match_id: &str| Self::folded(spi, match_id).ok();
        let mut matches: BTreeMap<String, Option<Self>> = BTreeMap::new();
        each_pending(|row| {
            if row.match_id.is_empty() {
                return Ok(());
            }
            let name = row.match_name();
            if !matches.contains_key(&*name) {
                matches.insert(name.to_string(), begin(&name));
            }
            if let Some(found) = matches.get_mut(&*name)
                && let Some(moment) = found
                && let Ok(Some(vote)) = row.vote()
                && moment.pending.add(&vote).is_ok()
            {
                return Ok(());
            }
            matches.insert(name.into_owned(), None);
            Ok(())
        })?;
        names.extend(matches.keys().cloned());
        names.into_iter().try_for_each(|name| {
            let moment = matches.remove(&name).unwrap_or_else(|| begin(&name));
            see(name, moment)
        })
    }

    /// The same without what is pending.
    ///
    /// # Errors
    /// XX000 when a row makes no sense.
    pub fn folded(spi: &Spi, match_id: &str) -> Result<Self> {
        let tables = memory::tables()?;
        let opened = match_row::find(tables.matches, match_id, statement_snapshot())?;
        launch::ensure_at_first();
        if opened.as_ref().is_some_and(|opened| opened.status(now()) == "closed") {
            launch::ensure(now());
        }
        let mut head = Head::load(spi, match_id, Sees::TheCallersMoment)?;
        // That of the newest message may be the one before a fork.
        if let Some(born) = head.born {
            head.epoch = Some(History::now()?.epoch(match_id, born));
        }
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

    /// Its teams, in the order of their first votes: teams with pending votes alone come last.
    pub fn teams(&self) -> &[String] {
        self.pending.teams()
    }

    /// The votes that are pending.
    pub fn totals_pending(&self) -> Result<i64> {
        Ok(self.pending.totals().and_then(|totals| tally::total(&totals))?)
    }

    /// The votes by team.
    ///
    /// # Errors
    /// 22003 when a sum leaves 64 bits.
    pub fn totals(&self) -> Result<tally::Counts> {
        let mut totals = self.head.votes.clone();
        let pending = self.pending.totals().and_then(|more| tally::add_all(&mut totals, &more));
        pending?;
        totals.resize(self.teams().len(), 0);
        Ok(totals)
    }

    /// The votes in the minute that ends now.
    pub fn per_minute(&self) -> Result<i64> {
        let now = now();
        Ok(self.recent(now)?.per_minute(now))
    }

    /// The votes of the newest minutes.
    pub fn recent(&self, now: i64) -> Result<Recent> {
        Ok(self.head.recent.after(&self.pending.minute_changes(), now)?)
    }

    /// Every cell's votes, rolled up, in order of cells.
    ///
    /// # Errors
    /// Those of [`Collected`].
    pub fn cells(&self, spi: &Spi, match_id: &str, resolution: Option<Resolution>) -> Result<CellCounts> {
        let mut cells = Collected::new(resolution, &self.pending)?;
        spi.each(&CELLS, &[match_id.into_datum()], |row| {
            cells.add(cell_from_bits(row.need("h3_index")?)?, row.need::<Bigints>("votes")?.0)
        })?;
        cells.in_order()
    }

    /// Every country's votes, in order of codes.
    ///
    /// # Errors
    /// Those of [`Countries`].
    pub fn countries(&self, spi: &Spi, match_id: &str) -> Result<BTreeMap<Country, tally::Counts>> {
        let mut countries = Countries::new(&COUNTRIES);
        spi.each(&COUNTRY_VOTES, &[match_id.into_datum()], |row| {
            let country = Country::parse(row.need::<String>("country_code")?.as_bytes())?;
            countries.add(country, row.need::<Bigints>("votes")?.0)
        })?;
        for (country, change) in self.pending.country_changes()? {
            countries.add(country, change::counts(&change))?;
        }
        Ok(countries.all().filter(|(_, votes)| votes.iter().any(|votes| *votes != 0)).collect())
    }
}

/// Shows every pending row that the calling statement sees.
pub fn each_pending(mut see: impl FnMut(&crate::pending::row::PendingRow) -> Result<()>) -> Result<()> {
    let (tables, snapshot) = (memory::tables()?, statement_snapshot());
    let state = FoldLog::newest(&tables, snapshot)?;
    let mut is_something = false;
    for heap in state.heaps() {
        let open = OpenHeap::open(heap.of(&tables), pg_sys::AccessShareLock)?;
        open.visit(open.first_block(state.mark(heap)), snapshot, |row| {
            is_something |= !row.match_id.is_empty();
            see(row).map(|()| Next::Go)
        })?;
    }
    if is_something {
        launch::ensure(now());
    }
    Ok(())
}

/// The name of a match.
///
/// # Errors
/// 22023 when it is none.
pub fn named(match_id: Option<&[u8]>) -> Result<&str> {
    Ok(parse_name("match_id", match_id)?)
}

/// Parses a resolution that may be missing.
pub fn resolution_of(value: Option<i32>) -> Result<Option<Resolution>> {
    Ok(value.map(|value| parse_resolution(value.into())).transpose()?)
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
        let total = tally::total(&votes)?;
        if total >= min_votes.unwrap_or(1) {
            rows.push((place, total, votes));
        }
    }
    rows.sort_unstable_by_key(|(place, total, _)| (std::cmp::Reverse(*total), number(place)));
    Ok(rows)
}
