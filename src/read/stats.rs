//! Numbers of a match, of its countries, of all matches and of pending.

use crate::error::{Result, invalid};
use crate::fold::aggregate::Aggregate;
use crate::pending::fold_log::FoldLog;
use crate::pending::heap::{Next, OpenHeap};
use crate::pending::turn::Heap;
use crate::pg::clock::now;
use crate::pg::jsonb_in;
use crate::pg::jsonb_out::Jsonb;
use crate::pg::snapshot::statement_snapshot;
use crate::pg::spi::{self, Plan, Sees, Spi};
use crate::read::collected::MATCHES;
use crate::read::moment::{Moment, each_pending, named, ranked, time, votes_json};
use crate::read::new_keys;
use crate::session::memory;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::{SetOfIterator, TableIterator};
use pgrx::{name, pg_extern, pg_sys};
use std::collections::BTreeSet;
use vote_agg_core::feed::message::Votes;
use vote_agg_core::feed::timeline::RECENT;
use vote_agg_core::vote::cell::cell_to_bits;
use vote_agg_core::vote::{dominance, tally};

thread_local! {
    // From one name of the feed's key to the next, instead of over all its rows.
    static NAMES: Plan = const { Plan::new(
        "WITH RECURSIVE fed(id) AS (
            SELECT (SELECT f.match_id FROM vote_agg.feed f ORDER BY f.match_id LIMIT 1)
            UNION ALL
            SELECT (SELECT f.match_id FROM vote_agg.feed f WHERE f.match_id > fed.id ORDER BY f.match_id LIMIT 1)
            FROM fed WHERE fed.id IS NOT NULL)
         SELECT id FROM fed WHERE id IS NOT NULL UNION SELECT match_id FROM vote_agg.match",
        &[]) };
}

/// The numbers of a match.
struct Stats {
    status: String,
    total: i64,
    votes: Jsonb,
    leader: Option<String>,
    dominance: f64,
    per_minute: i64,
    cells: i64,
    countries: i64,
    last_vote_at: Option<TimestampWithTimeZone>,
}

impl Stats {
    fn of(spi: &Spi, match_id: &str, moment: &Moment, now: i64) -> Result<Self> {
        let (teams, totals) = (moment.teams(), moment.totals()?);
        let cells = moment.pending.totals_by(|vote| vote.cell.map(cell_to_bits))?;
        let countries = moment.pending.totals_by(|vote| vote.country.map(|country| country.number().into()));
        let countries = countries?;
        let new_cells = new_keys::count(spi, Aggregate::Cells, match_id, &moment.head, cells)?;
        let new_countries = new_keys::count(spi, Aggregate::Countries, match_id, &moment.head, countries)?;
        Ok(Self {
            status: moment.status().to_owned(),
            total: tally::total(&totals)?,
            votes: Jsonb::of(&Votes::all(teams, &totals))?,
            leader: dominance::leader(&totals).and_then(|place| teams.get(place).cloned()),
            dominance: dominance::dominance(&totals),
            per_minute: moment.recent(now)?.per_minute(now),
            cells: moment.head.cells + new_cells,
            countries: moment.head.countries + new_countries,
            last_vote_at: moment.pending.last_at().max(moment.head.last_vote_at).and_then(time),
        })
    }
}

/// See the COMMENT in sql/40-read.sql.
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
        let now = now();
        let (recent, lead, teams) = (moment.recent(now)?, moment.head.lead, moment.teams());
        let last = |minutes| recent.last(minutes, now);
        let stats = Stats::of(spi, match_id, &moment, now)?;
        Ok(TableIterator::once((
            stats.status,
            stats.total,
            stats.votes,
            stats.leader,
            stats.dominance,
            stats.per_minute,
            stats.cells,
            stats.countries,
            stats.last_vote_at,
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

/// See the COMMENT in sql/70-views.sql.
#[pg_extern(sql = false)]
fn live_stats() -> Result<
    TableIterator<
        'static,
        (
            name!(match_id, String),
            name!(status, String),
            name!(total_votes, Option<i64>),
            name!(votes, Option<Jsonb>),
            name!(leader, Option<String>),
            name!(dominance, Option<f64>),
            name!(votes_per_minute, Option<i64>),
            name!(active_cells, Option<i64>),
            name!(active_countries, Option<i64>),
            name!(last_vote_at, Option<TimestampWithTimeZone>),
        ),
    >,
> {
    let (mut rows, mut numbers, now) = (Vec::new(), 0, now());
    spi::connect(|spi| {
        Moment::each(spi, names(spi)?, |match_id, moment| {
            numbers += moment.as_ref().map_or(0, |moment| moment.teams().len());
            MATCHES.check(numbers)?;
            // One that cannot be read hides none of the others.
            let (status, stats) = match moment {
                Some(moment) => (moment.status(), Stats::of(spi, &match_id, &moment, now).ok()),
                None => ("unknown", None),
            };
            let of = stats.as_ref();
            rows.push((
                match_id,
                status.to_owned(),
                of.map(|stats| stats.total),
                None,
                of.and_then(|stats| stats.leader.clone()),
                of.map(|stats| stats.dominance),
                of.map(|stats| stats.per_minute),
                of.map(|stats| stats.cells),
                of.map(|stats| stats.countries),
                of.and_then(|stats| stats.last_vote_at),
            ));
            if let (Some(row), Some(stats)) = (rows.last_mut(), stats) {
                row.3 = Some(stats.votes);
            }
            Ok(())
        })
    })?;
    Ok(TableIterator::new(rows))
}

/// The matches that were opened or folded.
fn names(spi: &Spi) -> Result<BTreeSet<String>> {
    Ok(spi.run(&NAMES, &[], Sees::TheCallersMoment)?.values()?.into_iter().collect())
}

/// See the COMMENT in sql/40-read.sql.
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

/// See the COMMENT in sql/70-views.sql.
#[pg_extern(sql = false)]
fn matches() -> Result<SetOfIterator<'static, String>> {
    let mut found = spi::connect(names)?;
    each_pending(|row| {
        if !row.match_id.is_empty() {
            found.insert(row.match_name().into_owned());
        }
        Ok(())
    })?;
    Ok(SetOfIterator::new(found))
}

/// See the COMMENT in sql/70-views.sql.
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
    let state = FoldLog::newest(&tables, snapshot)?;
    let block_size = i64::from(pg_sys::BLCKSZ);
    let mut shown = Vec::new();
    for heap in [Heap::One, Heap::Two, Heap::Aside] {
        let open = OpenHeap::open(heap.of(&tables), pg_sys::AccessShareLock)?;
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
        let name = heap.name().to_owned();
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

/// See the COMMENT in sql/40-read.sql.
#[pg_extern(sql = false)]
fn calculate_dominance(votes: jsonb_in::Jsonb<'_>) -> Result<f64> {
    let votes = votes.numbers()?;
    match votes.iter().find(|votes| **votes < 0) {
        Some(negative) => Err(invalid(format!("votes must not be negative, not {negative}"), "Pass numbers of votes from 0 up.")),
        None => Ok(dominance::dominance(&votes)),
    }
}
