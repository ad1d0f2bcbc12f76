//! The time lines of a match put right. No source knows when its votes came. So the minutes that are there stay, and the votes
//! that they lack come in the minute of the rebuild.

use crate::error::Result;
use crate::fold::aggregate::{self, Aggregate, Target};
use crate::fold::retention;
use crate::pg::bigints::Bigints;
use crate::pg::spi::{Plan, Sees, Spi};
use pgrx::{IntoDatum, pg_sys};
use std::collections::BTreeMap;
use vote_agg_core::Country;
use vote_agg_core::vote::change;
use vote_agg_core::vote::tally::{self, MINUTE};

thread_local! {
    static LINES: Plan = const { Plan::new(
        "SELECT NULL AS country_code, CASE WHEN pg_catalog.isfinite(bucket) THEN bucket END AS bucket, votes, kept_from FROM vote_agg.timeline WHERE match_id = $1
         UNION ALL
         SELECT country_code, CASE WHEN pg_catalog.isfinite(bucket) THEN bucket END, votes, NULL
         FROM vote_agg.country_timeline WHERE match_id = $1", &[pg_sys::TEXTOID]) };
    static CLEAR: Plan = const { Plan::new(
        "WITH c AS (DELETE FROM vote_agg.country_timeline WHERE match_id = $1)
         DELETE FROM vote_agg.timeline WHERE match_id = $1", &[pg_sys::TEXTOID]) };
}

/// Bigints by country; those of the whole match have none.
type ByCountry = BTreeMap<Option<Country>, tally::Counts>;

/// The time lines of a match and of its countries.
#[derive(Default)]
pub struct Timelines {
    /// Where they start, when retention has erased their beginning.
    kept_from: Option<i64>,
    opening: ByCountry,
    minutes: BTreeMap<i64, ByCountry>,
}

impl Timelines {
    /// As they are, with rows of the same key added up; those of no country that there is are left out.
    ///
    /// # Errors
    /// 22003 when a sum leaves 64 bits.
    pub fn read(spi: &Spi, match_id: &str) -> Result<Self> {
        let mut lines = Self::default();
        for row in spi.run(&LINES, &[match_id.into_datum()], Sees::TheCallersMoment)?.iter() {
            let country: Option<String> = row.get("country_code")?;
            let Ok(country) = country.map(|code| Country::parse(code.as_bytes())).transpose() else { continue };
            let start = row.time("bucket")?;
            let line = match start {
                None => &mut lines.opening,
                Some(start) => lines.minutes.entry(start - start.rem_euclid(MINUTE)).or_default(),
            };
            let votes = row.need::<Bigints>("votes")?.0;
            tally::add_all(line.entry(country).or_default(), &votes)?;
            lines.kept_from = lines.kept_from.max(row.time("kept_from")?);
        }
        if lines.kept_from.is_none() {
            lines.opening.clear();
        }
        Ok(lines)
    }

    /// Adds to the minute of `at` what they lack to add up to `totals`.
    ///
    /// # Errors
    /// 22003 when a sum leaves 64 bits.
    pub fn complete(&mut self, totals: ByCountry, teams: usize, at: i64) -> Result<()> {
        let mut lacking = totals;
        for line in std::iter::once(&mut self.opening).chain(self.minutes.values_mut()) {
            for (country, votes) in line {
                votes.truncate(teams);
                let less: tally::Counts = votes.iter().map(|votes| votes.wrapping_neg()).collect();
                tally::add_all(lacking.entry(*country).or_default(), &less)?;
            }
        }
        lacking.retain(|_, votes| votes.iter().any(|votes| *votes != 0));
        for (country, votes) in lacking {
            let minute = self.minutes.entry(at - at.rem_euclid(MINUTE)).or_default();
            tally::add_all(minute.entry(country).or_default(), &votes)?;
        }
        Ok(())
    }

    /// The votes of the whole match by minute, in order of time.
    pub fn minute_changes(&self) -> Vec<(i64, change::Change)> {
        self.whole().map(|(start, votes)| (start, change::of(votes))).collect()
    }

    /// Replaces the rows.
    ///
    /// # Errors
    /// Those of the server.
    pub fn write(&self, spi: &Spi, target: Target) -> Result<()> {
        let match_id = target.match_id;
        spi.run(&CLEAR, &[match_id.into_datum()], Sees::Now)?;
        if let Some(kept_from) = self.kept_from {
            retention::open(spi, match_id, kept_from, self.opening.get(&None).cloned().unwrap_or_default())?;
        }
        let balances = self.opening.iter().filter_map(|(country, votes)| Some((country.as_ref()?.number(), votes.clone())));
        retention::open_countries(spi, match_id, &balances.collect())?;
        let minutes: Vec<_> = self.whole().map(|(start, votes)| (start / MINUTE, votes.clone())).collect();
        aggregate::add_counts(spi, Aggregate::Minutes, target, &minutes)?;
        let countries = self.minutes.iter().flat_map(|(start, line)| {
            let mut line: Vec<_> = line.iter().filter_map(|(country, votes)| Some((country.as_ref()?.number(), votes))).collect();
            line.sort_unstable_by_key(|(number, _)| *number);
            line.into_iter().map(|(number, votes)| (aggregate::country_minute(*start, number), votes.clone()))
        });
        aggregate::add_counts(spi, Aggregate::CountryMinutes, target, &countries.collect::<Vec<_>>())
    }

    fn whole(&self) -> impl Iterator<Item = (i64, &tally::Counts)> {
        self.minutes.iter().filter_map(|(start, line)| Some((*start, line.get(&None)?)))
    }
}
