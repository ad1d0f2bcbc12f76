//! Changes of counts: the teams to which something was added, and nothing of the others. Of a thousand teams most have no votes
//! in a cell, and a list with a number for each would take cells times teams.

use crate::Error;
use crate::vote::counts::{Counts, add, sum};
use std::collections::BTreeMap;

/// What was added by team, in order of teams.
pub type Change = Vec<(usize, i64)>;

/// The sum over the teams of a change.
///
/// # Errors
/// [`Error::ManyVotes`] when it leaves 64 bits.
pub fn total(change: &[(usize, i64)]) -> Result<i64, Error> {
    change.iter().try_fold(0, |total, (_, votes)| sum(total, *votes))
}

/// A list of counts as a change from nothing.
#[must_use]
pub fn of(counts: &[i64]) -> Change {
    counts.iter().copied().enumerate().filter(|(_, votes)| *votes != 0).collect()
}

/// A change from nothing as a list of counts.
#[must_use]
pub fn counts(change: &[(usize, i64)]) -> Counts {
    let mut counts = vec![0; change.last().map_or(0, |(team, _)| team + 1)];
    change.iter().for_each(|(team, votes)| counts[*team] = *votes);
    counts
}

/// The same for the changes of many places.
pub(crate) fn all_counts<K>(changes: Vec<(K, Change)>) -> Vec<(K, Counts)> {
    changes.into_iter().map(|(place, change)| (place, counts(&change))).collect()
}

/// Teams from this one on are found by their number, and have no place of their own.
const FIRST_TEAMS: usize = 64;

/// Sums by team: a place for each of the first teams, which is fast, and none for the others where they have no votes.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    first: Counts,
    others: BTreeMap<usize, i64>,
}

impl Sums {
    /// Adds `votes` to the sum of `team`.
    pub(crate) fn add(&mut self, team: usize, votes: i64) -> Result<(), Error> {
        if team < FIRST_TEAMS {
            return add(&mut self.first, team, votes);
        }
        let count = self.others.entry(team).or_insert(0);
        *count = sum(*count, votes)?;
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.others.is_empty()
    }

    pub(crate) fn change(&self) -> Change {
        let first = self.first.iter().copied().enumerate().filter(|(_, votes)| *votes != 0);
        first.chain(self.others.iter().map(|(team, votes)| (*team, *votes))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_and_its_counts_say_the_same() {
        for list in [vec![], vec![0, 0, 5], vec![1, -2, 3]] {
            assert_eq!(counts(&of(&list)), list);
            assert_eq!(total(&of(&list)), crate::vote::counts::total(&list));
        }
        assert_eq!((of(&[0, 7, 0]), counts(&[(1, 7)])), (vec![(1, 7)], vec![0, 7]));
        assert_eq!(all_counts(vec![("x", vec![(1, 7)]), ("y", vec![])]), [("x", vec![0, 7]), ("y", vec![])]);
        assert!(total(&[(0, i64::MAX), (1, 1)]).is_err());
    }

    #[test]
    fn sums_of_first_and_other_teams_are_alike() {
        let mut sums = Sums::default();
        assert!(sums.is_empty() && sums.change().is_empty());
        for team in [FIRST_TEAMS, FIRST_TEAMS - 1, 1_000_000, FIRST_TEAMS, 0] {
            sums.add(team, 2).expect("small");
        }
        assert_eq!(sums.change(), [(0, 2), (FIRST_TEAMS - 1, 2), (FIRST_TEAMS, 4), (1_000_000, 2)]);
        assert_eq!((sums.first.len(), sums.others.len()), (FIRST_TEAMS, 2), "no place for the others where they have no votes");
        for team in [0, 1_000_000] {
            assert!(sums.add(team, i64::MAX).is_err());
        }
    }

    #[test]
    fn sums_of_one_team_are_not_empty() {
        for team in [0, FIRST_TEAMS] {
            let mut sums = Sums::default();
            sums.add(team, 1).expect("small");
            assert!(!sums.is_empty(), "{team}");
        }
    }
}
