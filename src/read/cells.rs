//! The cells of a match: all of them, those in a box, the top ones, and one in its surroundings.

use crate::error::{Result, invalid};
use crate::pg::bigints::Bigints;
use crate::pg::cell::AnyCell;
use crate::pg::jsonb_out::Jsonb;
use crate::pg::spi::{self, Plan, Sees, Spi};
use crate::read::collected::{CellCounts, Collected};
use crate::read::moment::{Moment, named, resolution_of, votes_json};
use pgrx::iter::TableIterator;
use pgrx::{IntoDatum, name, pg_extern, pg_sys};
use std::cmp::Reverse;
use vote_agg_core::geo::bbox::{Bbox, everything, ranges};
use vote_agg_core::geo::points;
use vote_agg_core::geo::points::{parse_number, spacing};
use vote_agg_core::geo::smooth::{self, MAX_RINGS};
use vote_agg_core::vote::cell::{cell_from_bits, roll_up};
use vote_agg_core::vote::dominance;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally;
use vote_agg_core::{CellIndex, Error, Resolution};

thread_local! {
    // Which of the ranges hold anything; each is one look into the index.
    static STORED: Plan = const { Plan::new(
        "SELECT r.n::integer FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) WITH ORDINALITY AS r(low, high, n) WHERE (
            SELECT true FROM vote_agg.h3_aggregate a WHERE a.match_id = $1 AND a.h3_index >= r.low AND a.h3_index <= r.high
            ORDER BY a.h3_index LIMIT 1)",
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID, pg_sys::INT8ARRAYOID]) };
    // OFFSET keeps the planner from turning this into a scan of the whole match joined to the ranges.
    static IN_RANGES: Plan = const { Plan::new(
        "SELECT c.h3_index, c.votes FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3)) AS r(low, high)
         CROSS JOIN LATERAL (
            SELECT a.h3_index, a.votes FROM vote_agg.h3_aggregate a
            WHERE a.match_id = $1 AND a.h3_index >= r.low AND a.h3_index <= r.high OFFSET 0) AS c",
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID, pg_sys::INT8ARRAYOID]) };
}

impl Moment {
    /// Adds to `cells` the votes of all stored cells in the ranges that `wanted` names for each resolution that has any.
    fn cells_in(spi: &Spi, match_id: &str, wanted: impl Fn(Resolution) -> Vec<(i64, i64)>, cells: &mut Collected) -> Result<()> {
        let (lows, highs) = (0..=15).filter_map(|r| Resolution::try_from(r).ok()).map(everything).unzip();
        let args = [match_id.into_datum(), Bigints(lows).into_datum(), Bigints(highs).into_datum()];
        let stored: Vec<i32> = spi.run(&STORED, &args, Sees::TheCallersMoment)?.values()?;
        let stored = stored.into_iter().filter_map(|n| Resolution::try_from(u8::try_from(n - 1).ok()?).ok());
        let (lows, highs): (Vec<_>, Vec<_>) = stored.flat_map(wanted).unzip();
        spi.each(&IN_RANGES, &[match_id.into_datum(), Bigints(lows).into_datum(), Bigints(highs).into_datum()], |row| {
            cells.add(cell_from_bits(row.need("h3_index")?)?, row.need::<Bigints>("votes")?.0)
        })
    }

    /// The cells that may touch the box, or lie up to `rings` steps away from it, rolled up. Each of these has all its votes.
    /// Other cells may be among them, perhaps not with all their votes. Without a box, all cells.
    pub fn cells_near(
        &self,
        spi: &Spi,
        match_id: &str,
        resolution: Option<Resolution>,
        bbox: Option<&Bbox>,
        rings: u32,
    ) -> Result<CellCounts> {
        let Some(bbox) = bbox else { return self.cells(spi, match_id, resolution) };
        let wanted = |stored: Resolution| {
            let shown = resolution.map_or(stored, |resolution| resolution.min(stored));
            ranges(&bbox.padded(f64::from(rings) * spacing(shown)).cover(shown), stored)
        };
        let mut cells = Collected::new(resolution, &self.pending)?;
        Self::cells_in(spi, match_id, wanted, &mut cells)?;
        cells.in_order()
    }
}

/// Parses `{west, south, east, north}`.
pub fn bbox_of(degrees: Option<Vec<Option<f64>>>) -> Result<Option<Bbox>> {
    Ok(degrees.map(|degrees| Bbox::parse(&degrees)).transpose()?)
}

/// Is the cell's centre in the box?
pub fn is_in(cell: CellIndex, bbox: Option<&Bbox>) -> bool {
    bbox.is_none_or(|bbox| bbox.contains(cell.into()))
}

/// A cell and its leader.
struct Shown {
    cell: CellIndex,
    total: i64,
    votes: tally::Counts,
    leader: Option<usize>,
    dominance: f64,
}

impl Shown {
    fn of(cell: CellIndex, votes: tally::Counts) -> Result<Self> {
        let total = tally::total(&votes)?;
        Ok(Self { cell, total, leader: dominance::leader(&votes), dominance: dominance::dominance(&votes), votes })
    }

    fn row(&self, teams: &[String]) -> Result<(String, i32, i64, Jsonb, Option<String>, f64)> {
        let leader = self.leader.and_then(|place| teams.get(place).cloned());
        let resolution = i32::from(u8::from(self.cell.resolution()));
        Ok((self.cell.to_string(), resolution, self.total, votes_json(teams, &self.votes)?, leader, self.dominance))
    }
}

fn how_many(what: &str, number: Option<i32>) -> Result<usize> {
    number.map_or(Ok(usize::MAX), |number| {
        usize::try_from(number)
            .map_err(|_| invalid(format!("{what} must not be negative, not {number}"), "Pass how many to keep, or NULL for all."))
    })
}

/// See the COMMENT in sql/40-read.sql.
#[pg_extern(sql = false)]
fn get_match_aggregates(
    match_id: Option<&[u8]>,
    resolution: Option<i32>,
    min_votes: Option<i64>,
    max_cells: Option<i32>,
    bbox: Option<Vec<Option<f64>>>,
    leader: Option<&[u8]>,
    smooth_rings: Option<i32>,
) -> Result<Rows> {
    let (match_id, resolution, bbox) = (named(match_id)?, resolution_of(resolution)?, bbox_of(bbox)?);
    let (max, min_votes) = (how_many("max_cells", max_cells)?, min_votes.unwrap_or(1));
    let leader = leader.map(|team| parse_name("leader", Some(team))).transpose()?;
    let rings = parse_number("smooth", Some(smooth_rings.unwrap_or(0)), 0, MAX_RINGS, "between 0 and 5 rings")?;
    let rings = rings.unsigned_abs();
    let (teams, rows) = spi::connect(|spi| {
        let moment = Moment::of(spi, match_id)?;
        let cells = moment.cells_near(spi, match_id, resolution, bbox.as_ref(), rings)?;
        let around = (rings > 0).then(|| smooth::Surroundings::new(&cells));
        let mut rows = Vec::new();
        for (done, (cell, votes)) in cells.iter().enumerate().filter(|(_, (cell, _))| is_in(*cell, bbox.as_ref())) {
            if done.is_multiple_of(1_024) {
                pgrx::check_for_interrupts!();
            }
            let mut row = Shown::of(*cell, votes.clone())?;
            if let Some(around) = &around {
                (row.leader, row.dominance) = around.smooth(*cell, rings)?;
            }
            let leads = |team| row.leader.and_then(|place| moment.teams().get(place)).is_some_and(|name| name == team);
            if row.total >= min_votes && leader.is_none_or(leads) {
                rows.push(row);
            }
        }
        Ok((moment.teams().to_vec(), rows))
    })?;
    shown(rows, max, &teams, |row| (Reverse(row.total), u64::from(row.cell)))
}

type Rows = TableIterator<
    'static,
    (
        name!(h3_index, String),
        name!(resolution, i32),
        name!(total_votes, i64),
        name!(votes, Jsonb),
        name!(leader, Option<String>),
        name!(dominance, f64),
    ),
>;

fn shown<K: Ord>(mut rows: Vec<Shown>, max: usize, teams: &[String], order: impl Fn(&Shown) -> K) -> Result<Rows> {
    rows.sort_by_key(order);
    rows.truncate(max);
    Ok(TableIterator::new(rows.iter().map(|row| row.row(teams)).collect::<Result<Vec<_>>>()?))
}

/// See the COMMENT in sql/55-map.sql.
#[pg_extern(sql = false)]
fn get_top_cells(match_id: Option<&[u8]>, n: Option<i32>, team: Option<&[u8]>, by: Option<&str>) -> Result<Rows> {
    let (match_id, max) = (named(match_id)?, how_many("n", n)?);
    let team = team.map(|team| parse_name("team", Some(team))).transpose()?;
    let by_dominance = match by {
        Some("votes") => false,
        Some("dominance") => true,
        other => {
            let other = other.map_or("NULL".to_owned(), crate::error::quoted);
            return Err(invalid(format!("by must be \"votes\" or \"dominance\", not {other}"), "Pass one of the two."));
        }
    };
    let (teams, rows) = spi::connect(|spi| {
        let moment = Moment::of(spi, match_id)?;
        let rows = moment.cells(spi, match_id, None)?.into_iter().map(|(cell, votes)| Shown::of(cell, votes));
        Ok((moment.teams().to_vec(), rows.collect::<Result<Vec<_>>>()?))
    })?;
    // A team that has no votes anywhere has no place either.
    let place = team.map(|team| teams.iter().position(|name| name == team).unwrap_or(usize::MAX));
    let votes = |row: &Shown| place.map_or(row.total, |place| row.votes.get(place).copied().unwrap_or(0));
    let mut rows = rows;
    rows.retain(|row| if by_dominance { place.is_none() || row.leader == place } else { votes(row) > 0 });
    shown(rows, max, &teams, |row| {
        // Dominance is 0 to 1, where floats and their bits have the same order.
        let dominance = if by_dominance { row.dominance.to_bits() } else { 0 };
        (Reverse(dominance), Reverse(votes(row)), u64::from(row.cell))
    })
}

/// See the COMMENT in sql/55-map.sql.
#[pg_extern(sql = false)]
fn get_cell(match_id: Option<&[u8]>, h3_index: Option<AnyCell<'_>>) -> Result<Surroundings> {
    let cell = h3_index.ok_or(Error::Null { what: "h3_index" })?;
    surroundings(named(match_id)?, cell.parse()?)
}

type Surroundings = TableIterator<
    'static,
    (
        name!(relation, String),
        name!(h3_index, String),
        name!(resolution, i32),
        name!(total_votes, i64),
        name!(votes, Jsonb),
        name!(leader, Option<String>),
        name!(dominance, f64),
    ),
>;

/// The cell, its parents up to resolution 0 and its neighbours, each with the votes of all cells in it.
fn surroundings(match_id: &str, cell: CellIndex) -> Result<Surroundings> {
    let base = roll_up(cell, Resolution::Zero);
    let neighbors = points::neighbors(cell, 1)?;
    let parents = (0..u8::from(cell.resolution())).rev().filter_map(|r| cell.parent(Resolution::try_from(r).ok()?));
    let mut places: Vec<(&str, CellIndex, tally::Counts)> = vec![("self", cell, Vec::new())];
    places.extend(parents.map(|parent| ("parent", parent, Vec::new())));
    places.extend(neighbors.iter().map(|neighbor| ("neighbor", *neighbor, Vec::new())));
    let (teams, cells) = spi::connect(|spi| {
        let moment = Moment::of(spi, match_id)?;
        // All is below the base cell but some neighbours.
        let outside = neighbors.iter().copied().filter(|neighbor| roll_up(*neighbor, Resolution::Zero) != base);
        let apart: Vec<CellIndex> = outside.chain([base]).collect();
        let wanted = |stored| apart.iter().flat_map(|cell| ranges(&[*cell], stored)).collect();
        let mut cells = Collected::new(None, &moment.pending)?;
        Moment::cells_in(spi, match_id, wanted, &mut cells)?;
        Ok((moment.teams().to_vec(), cells.in_order()?))
    })?;
    for (stored, votes) in &cells {
        for (_, place, sums) in &mut places {
            if stored.parent(place.resolution()) == Some(*place) {
                tally::add_all(sums, votes)?;
            }
        }
    }
    let rows = places.into_iter().map(|(relation, cell, votes)| {
        let (h3_index, resolution, total, votes, leader, dominance) = Shown::of(cell, votes)?.row(&teams)?;
        Ok((relation.to_owned(), h3_index, resolution, total, votes, leader, dominance))
    });
    Ok(TableIterator::new(rows.collect::<Result<Vec<_>>>()?))
}
