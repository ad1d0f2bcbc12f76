//! Announced leaders across a rebuild: what was announced stays so, and what the recount changes is announced.

use crate::error::Result;
use crate::fold::flips::Announced;
use crate::pg::bigints::{number_of, team_of};
use crate::pg::spi::{Plan, Sees, Spi};
use crate::settings;
use pgrx::{IntoDatum, pg_sys};
use std::collections::{BTreeMap, BTreeSet};
use vote_agg_core::Country;

thread_local! {
    static CELLS: Plan = const { Plan::new(
        "SELECT h3_index, leader FROM vote_agg.h3_aggregate WHERE match_id = $1 AND leader >= 0 AND leader < $2",
        &[pg_sys::TEXTOID, pg_sys::INT8OID]) };
    static COUNTRIES: Plan = const { Plan::new(
        "SELECT country_code, leader FROM vote_agg.country_aggregate WHERE match_id = $1 AND leader >= 0 AND leader < $2",
        &[pg_sys::TEXTOID, pg_sys::INT8OID]) };
    static KEEP_CELLS: Plan = const { Plan::new(
        "UPDATE vote_agg.h3_aggregate a SET leader_before = o.leader, leader = vote_agg.leader_after(a.votes, '{}', o.leader, $4)
         FROM unnest($2, $3) AS o(h3_index, leader) WHERE a.match_id = $1 AND a.h3_index = o.h3_index",
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID, pg_sys::INT4ARRAYOID, pg_sys::FLOAT8OID]) };
    static KEEP_COUNTRIES: Plan = const { Plan::new(
        "UPDATE vote_agg.country_aggregate a SET leader_before = o.leader, leader = vote_agg.leader_after(a.votes, '{}', o.leader, $4)
         FROM unnest($2, $3) AS o(country_code, leader) WHERE a.match_id = $1 AND a.country_code = o.country_code",
        &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::INT4ARRAYOID, pg_sys::FLOAT8OID]) };
}

/// Who leads in the cells and countries of a match, as it was announced.
pub struct Leaders {
    cells: (Vec<i64>, Vec<i32>),
    countries: BTreeMap<Country, usize>,
}

impl Leaders {
    /// As the rows have them, of a match with so many teams. What makes no sense there is left out: a rebuild mends it.
    ///
    /// # Errors
    /// Those of the server.
    pub fn read(spi: &Spi, match_id: &str, teams: usize) -> Result<Self> {
        let mut cells = (Vec::new(), Vec::new());
        spi.each(&CELLS, &of_match(match_id, teams), |row| {
            cells.0.push(row.need("h3_index")?);
            cells.1.push(row.need("leader")?);
            Ok(())
        })?;
        Ok(Self { cells, countries: of_countries(spi, match_id, teams)? })
    }

    /// Goes on from these in the rows that were counted again. Returns what changed in countries.
    ///
    /// # Errors
    /// Those of the server.
    pub fn keep(self, spi: &Spi, match_id: &str, teams: usize) -> Result<Vec<Announced>> {
        let margin = settings::flip_margin();
        let (cells, leaders) = self.cells;
        spi.run(&KEEP_CELLS, &[match_id.into_datum(), cells.into_datum(), leaders.into_datum(), margin.into_datum()], Sees::Now)?;
        let codes: Vec<_> = self.countries.keys().map(ToString::to_string).collect();
        let leaders: Vec<_> = self.countries.values().map(|team| number_of(Some(*team))).collect();
        spi.run(
            &KEEP_COUNTRIES,
            &[match_id.into_datum(), codes.into_datum(), leaders.into_datum(), margin.into_datum()],
            Sees::Now,
        )?;
        let now = of_countries(spi, match_id, teams)?;
        let all: BTreeSet<_> = self.countries.keys().chain(now.keys()).copied().collect();
        let lead = |country: Country| Announced {
            country: Some(country),
            before: self.countries.get(&country).copied(),
            after: now.get(&country).copied(),
        };
        Ok(all.into_iter().map(lead).filter(|lead| lead.before != lead.after).collect())
    }
}

fn of_match(match_id: &str, teams: usize) -> [Option<pg_sys::Datum>; 2] {
    [match_id.into_datum(), i64::try_from(teams).ok().into_datum()]
}

fn of_countries(spi: &Spi, match_id: &str, teams: usize) -> Result<BTreeMap<Country, usize>> {
    let mut leaders = BTreeMap::new();
    for row in spi.run(&COUNTRIES, &of_match(match_id, teams), Sees::Now)?.iter() {
        let country = Country::parse(row.need::<String>("country_code")?.as_bytes()).ok();
        leaders.extend(country.zip(team_of(row.get("leader")?)));
    }
    Ok(leaders)
}
