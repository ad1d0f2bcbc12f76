//! The tally of one match: what a set of votes adds up to, by team, cell, country and minute.
//!
//! Every count is a list with one number a team, in the match's order of teams; a list that ends early means zeros. The fold
//! and the reads share this one way of adding.

pub use crate::vote::arrivals::{Arrival, Arrivals, Source, Vote};
use crate::vote::change::{self, Change, Sums};
use crate::vote::counts::sum;
pub use crate::vote::counts::{Counts, add, add_all, merged, total};
use crate::{CellIndex, Country, Error};
use foldhash::{HashMap, HashMapExt};
use std::collections::BTreeMap;
use std::hash::Hash;

/// The most votes that one call, element or row counts. Nine million such calls fit into a 64-bit total.
pub const MAX_VOTES: i64 = 1_000_000_000_000;

/// The microseconds of a time line bucket.
pub const MINUTE: i64 = 60_000_000;

/// Checks a number of votes: 1 to [`MAX_VOTES`].
///
/// # Errors
/// [`Error::Null`], [`Error::NoVotes`] or [`Error::ManyVotes`].
pub fn parse_votes(votes: Option<i64>) -> Result<i64, Error> {
    match votes.ok_or(Error::Null { what: "votes" })? {
        votes if votes < 1 => Err(Error::NoVotes { votes }),
        votes if votes > MAX_VOTES => Err(Error::ManyVotes { votes: votes.into() }),
        votes => Ok(votes),
    }
}

/// What one minute brought: in total (empty where nothing counts there), and by country.
#[derive(Debug, Default)]
struct Minute {
    totals: Sums,
    countries: HashMap<Country, Sums>,
}

/// Votes of one match, summed as they come.
#[derive(Debug, Default)]
pub struct Tally {
    arrivals: Arrivals,
    minutes: BTreeMap<i64, Minute>,
    sources: BTreeMap<Source, i64>,
    first_at: Option<i64>,
    last_at: Option<i64>,
}

impl Tally {
    /// An empty tally of a match whose teams are already numbered.
    #[must_use]
    pub fn new(teams: Vec<String>) -> Self {
        Self { arrivals: Arrivals::new(teams), ..Self::default() }
    }

    /// Adds one row.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn add(&mut self, vote: &Vote) -> Result<(), Error> {
        let team = self.arrivals.add(vote)?;
        let source = self.sources.entry(vote.source).or_insert(0);
        *source = sum(*source, vote.votes)?;
        if vote.in_total || vote.country.is_some() {
            let minute = self.minutes.entry(vote.at - vote.at.rem_euclid(MINUTE)).or_default();
            if vote.in_total {
                minute.totals.add(team, vote.votes)?;
            }
            if let Some(country) = vote.country {
                minute.countries.entry(country).or_default().add(team, vote.votes)?;
            }
        }
        if vote.in_total {
            self.last_at = self.last_at.max(Some(vote.at));
        }
        self.first_at = Some(self.first_at.map_or(vote.at, |first| first.min(vote.at)));
        Ok(())
    }

    /// The match's teams by number: those it started with, then the new ones in order of appearance.
    #[must_use]
    pub fn teams(&self) -> &[String] {
        self.arrivals.teams()
    }

    /// When the oldest row was written.
    #[must_use]
    pub const fn first_at(&self) -> Option<i64> {
        self.first_at
    }

    /// The start of the first minute that changed, of the match or a country.
    #[must_use]
    pub fn first_minute(&self) -> Option<i64> {
        self.minutes.keys().next().copied()
    }

    /// When the newest row that counts in the total was written.
    #[must_use]
    pub const fn last_at(&self) -> Option<i64> {
        self.last_at
    }

    /// What came, alike votes summed.
    #[must_use]
    pub const fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// How many distinct arrivals there are.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.arrivals.distinct()
    }

    /// The change of the match's totals.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn totals(&self) -> Result<Counts, Error> {
        let mut totals = Counts::new();
        for (team, votes) in self.minutes.values().flat_map(|minute| minute.totals.change()) {
            add(&mut totals, team, votes)?;
        }
        Ok(totals)
    }

    /// The change of what is in the total without a cell.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn unplaced(&self) -> Result<Counts, Error> {
        let mut unplaced = Counts::new();
        for (arrival, votes) in self.arrivals.iter().filter(|(arrival, _)| arrival.in_total && arrival.cell.is_none()) {
            add(&mut unplaced, arrival.team, *votes)?;
        }
        Ok(unplaced)
    }

    /// The change by cell, in order of the cells' 64 bits.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn cell_changes(&self) -> Result<Vec<(CellIndex, Change)>, Error> {
        self.grouped(|arrival| arrival.cell, |cell| (*cell).into())
    }

    /// The same as lists of counts.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn cells(&self) -> Result<Vec<(CellIndex, Counts)>, Error> {
        self.cell_changes().map(change::all_counts)
    }

    /// The change by country, in order of codes.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn country_changes(&self) -> Result<Vec<(Country, Change)>, Error> {
        self.grouped(|arrival| arrival.country, |country| country.number().into())
    }

    /// The same as lists of counts.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn countries(&self) -> Result<Vec<(Country, Counts)>, Error> {
        self.country_changes().map(change::all_counts)
    }

    /// The change by place over all teams, in no order.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn totals_by<K: Eq + Hash>(&self, place: impl Fn(&Arrival) -> Option<K>) -> Result<HashMap<K, i64>, Error> {
        let mut totals = HashMap::with_capacity(self.distinct());
        for (arrival, votes) in self.arrivals.iter() {
            if let Some(place) = place(arrival) {
                let total = totals.entry(place).or_insert(0);
                *total = sum(*total, *votes)?;
            }
        }
        Ok(totals)
    }

    /// The change by minute, in order of time.
    #[must_use]
    pub fn minute_changes(&self) -> Vec<(i64, Change)> {
        let counted = self.minutes.iter().filter(|(_, minute)| !minute.totals.is_empty());
        counted.map(|(start, minute)| (*start, minute.totals.change())).collect()
    }

    /// The change by minute and country, in order of time and then of codes.
    #[must_use]
    pub fn country_minute_changes(&self) -> Vec<((i64, Country), Change)> {
        let mut changes = Vec::new();
        for (start, minute) in &self.minutes {
            let first = changes.len();
            changes.extend(minute.countries.iter().map(|(country, sums)| ((*start, *country), sums.change())));
            changes[first..].sort_unstable_by_key(|((_, country), _)| country.number());
        }
        changes
    }

    /// The change by source. Votes that say only from which country a counted vote came are in it.
    #[must_use]
    pub const fn sources(&self) -> &BTreeMap<Source, i64> {
        &self.sources
    }

    fn grouped<K: Copy + Eq>(
        &self,
        key: impl Fn(&Arrival) -> Option<K>,
        number: impl Fn(&K) -> u64,
    ) -> Result<Vec<(K, Change)>, Error> {
        let keyed = self.arrivals.iter().filter_map(|(arrival, votes)| Some((key(arrival)?, arrival.team, *votes)));
        let mut keyed: Vec<_> = keyed.collect();
        keyed.sort_unstable_by_key(|(key, team, _)| (number(key), *team));
        let mut groups: Vec<(K, Change)> = Vec::new();
        for (key, team, votes) in keyed {
            let group = match groups.last_mut() {
                Some((last, group)) if *last == key => group,
                _ => {
                    groups.push((key, Change::with_capacity(1)));
                    let Some((_, group)) = groups.last_mut() else { continue };
                    group
                }
            };
            match group.last_mut() {
                Some((last, count)) if *last == team => *count = sum(*count, votes)?,
                _ => group.push((team, votes)),
            }
        }
        Ok(groups)
    }
}

#[cfg(test)]
mod tests;
