//! Votes for one match, with one sum for all that are alike. A call appends no more than these sums.
//!
//! Teams are numbered in the order in which they first appear in the match.

use crate::vote::counts::sum;
use crate::{CellIndex, Country, Error};
use foldhash::HashMap;
use std::hash::{Hash, Hasher};

/// A row of pending.
#[derive(Clone, Copy, Debug)]
pub struct Vote<'a> {
    pub team: &'a str,
    pub cell: Option<CellIndex>,
    pub country: Option<Country>,
    /// How many; below zero where a ballot is taken back.
    pub votes: i64,
    /// Counts in the match's total too. False where a row only says from which country a counted vote came.
    pub in_total: bool,
    /// Where it came from: what can be counted again from there.
    pub source: Source,
    /// Microseconds since PostgreSQL's epoch.
    pub at: i64,
}

/// Where votes came from. The numbers of attached tables start at 2.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Source(pub i16);

impl Source {
    /// A call that recorded them, which nothing remembers.
    pub const CALL: Self = Self(0);
    /// Ballots.
    pub const BALLOT: Self = Self(1);
}

/// Votes that are alike in all of these fields are one entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Arrival {
    pub team: usize,
    pub cell: Option<CellIndex>,
    pub country: Option<Country>,
    pub in_total: bool,
}

impl Hash for Arrival {
    /// Two words instead of seven: this is half of what counting a row costs.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.cell.map_or(0, u64::from));
        let country = self.country.map_or(0, Country::number);
        state.write_u64((self.team as u64) << 32 | u64::from(country) << 1 | u64::from(self.in_total));
    }
}

/// Votes of one match, alike ones summed as they come.
#[derive(Debug, Default)]
pub struct Arrivals {
    teams: Vec<String>,
    numbers: HashMap<String, usize>,
    sums: HashMap<Arrival, i64>,
    total: i64,
}

impl Arrivals {
    /// Nothing yet, of a match whose teams are already numbered.
    #[must_use]
    pub fn new(teams: Vec<String>) -> Self {
        let numbers = teams.iter().cloned().enumerate().map(|(number, team)| (team, number)).collect();
        Self { teams, numbers, ..Self::default() }
    }

    /// Adds one row. Returns the number of its team.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn add(&mut self, vote: &Vote) -> Result<usize, Error> {
        let team = self.number(vote.team);
        let arrival = Arrival { team, cell: vote.cell, country: vote.country, in_total: vote.in_total };
        let votes = self.sums.entry(arrival).or_insert(0);
        *votes = sum(*votes, vote.votes)?;
        self.total = sum(self.total, vote.votes)?;
        Ok(team)
    }

    fn number(&mut self, team: &str) -> usize {
        if let Some(number) = self.numbers.get(team) {
            return *number;
        }
        let number = self.teams.len();
        self.teams.push(team.to_owned());
        self.numbers.insert(team.to_owned(), number);
        number
    }

    /// The match's teams by number: those it started with, then the new ones in order of appearance.
    #[must_use]
    pub fn teams(&self) -> &[String] {
        &self.teams
    }

    /// How many distinct arrivals there are.
    #[must_use]
    pub fn distinct(&self) -> usize {
        self.sums.len()
    }

    /// All votes that came, whether they count in the match's total or not.
    #[must_use]
    pub const fn total(&self) -> i64 {
        self.total
    }

    /// What came, alike votes summed, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&Arrival, &i64)> {
        self.sums.iter()
    }

    /// The same in a fixed order.
    #[must_use]
    pub fn sorted(&self) -> Vec<(Arrival, i64)> {
        let mut arrivals: Vec<_> = self.sums.iter().map(|(arrival, votes)| (*arrival, *votes)).collect();
        arrivals.sort_unstable_by_key(|(a, _)| (a.team, a.cell.map(u64::from), a.country, a.in_total));
        arrivals
    }

    /// What came, as rows of pending; what came to nothing is left out.
    pub fn votes(&self, source: Source, at: i64) -> impl Iterator<Item = Vote<'_>> {
        self.sorted().into_iter().filter(|(_, votes)| *votes != 0).map(move |(arrival, votes)| Vote {
            team: &self.teams[arrival.team],
            cell: arrival.cell,
            country: arrival.country,
            votes,
            in_total: arrival.in_total,
            source,
            at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_cell;

    fn vote(team: &str) -> Vote<'_> {
        Vote { team, cell: None, country: None, votes: 1, in_total: true, source: Source::CALL, at: 0 }
    }

    #[test]
    fn alike_votes_are_one_sum() {
        let (cell, country) = (parse_cell(b"872a1072bffffff").ok(), Country::parse(b"FR").ok());
        let mut arrivals = Arrivals::new(vec!["away".into()]);
        for (team, cell, votes) in [("home", cell, 3), ("away", None, 1), ("away", None, -1), ("home", cell, 4)] {
            let number = arrivals.add(&Vote { cell, country, votes, ..vote(team) }).expect("small");
            assert_eq!(arrivals.teams()[number], team);
        }
        assert_eq!(
            (arrivals.teams(), arrivals.distinct(), arrivals.total()),
            (&["away".to_owned(), "home".to_owned()][..], 2, 7)
        );
        let rows: Vec<_> = arrivals.votes(Source(7), 5).collect();
        assert_eq!(rows.len(), 1, "what came to nothing is left out");
        let row = rows[0];
        assert_eq!((row.team, row.cell, row.country, row.votes, row.in_total), ("home", cell, country, 7, true));
        assert_eq!((row.source, row.at), (Source(7), 5));
    }

    #[test]
    fn what_differs_in_anything_is_apart_and_in_order() {
        let (cell, country) = (parse_cell(b"872a1072bffffff").ok(), Country::parse(b"FR").ok());
        let mut arrivals = Arrivals::default();
        for vote in [
            vote("home"),
            Vote { country, in_total: false, ..vote("home") },
            Vote { country, ..vote("home") },
            Vote { cell, country, ..vote("home") },
            vote("away"),
        ] {
            arrivals.add(&vote).expect("small");
        }
        let sorted: Vec<_> = arrivals.sorted().into_iter().map(|(a, n)| (a.team, a.cell, a.country, a.in_total, n)).collect();
        let (none, home) = (None, 0);
        assert_eq!(
            sorted,
            [
                (home, none, None, true, 1),
                (home, none, country, false, 1),
                (home, none, country, true, 1),
                (home, cell, country, true, 1),
                (1, none, None, true, 1)
            ]
        );
        assert_eq!(arrivals.iter().map(|(_, votes)| *votes).sum::<i64>(), arrivals.total());
    }

    #[test]
    fn no_sum_wraps_and_no_total() {
        let mut arrivals = Arrivals::default();
        arrivals.add(&Vote { votes: i64::MAX, ..vote("home") }).expect("fits");
        let refused = Error::ManyVotes { votes: i128::from(i64::MAX) + 1 };
        assert_eq!(arrivals.add(&vote("home")), Err(refused.clone()));
        assert_eq!(arrivals.add(&vote("away")), Err(refused), "not that of a team alone");
    }
}
