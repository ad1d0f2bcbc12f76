//! Changes of leader, announced with hysteresis. Two sides that are level to a few votes overtake each other all the time. Only
//! a lead that chance does not explain is news.
//!
//! Of `total` votes that fall to two teams like a coin, the difference has a standard deviation of the square root of `total`
//! (a symmetric random walk). The margin is a multiple of that, so one number suits a cell of ten votes and a match of ten
//! million. The changes that are announced grow with the logarithm of the votes instead of with their root.

use crate::Error;
use crate::vote::dominance;

/// The announced leader, by number of team, once `votes` are counted; `before` is the one announced before.
///
/// Another team takes over when it leads strictly, by at least `margin` times the square root of all votes. It has to be so far
/// ahead of the one announced before or, where there is none, of the second. With a margin of 0 every strict leader is announced. Where
/// nobody has votes, nobody leads.
#[must_use]
pub fn leader(before: Option<usize>, votes: &[i64], margin: f64) -> Option<usize> {
    let total: i128 = votes.iter().map(|votes| i128::from((*votes).max(0))).sum();
    if total == 0 {
        return None;
    }
    let Some(first) = dominance::leader(votes) else { return before };
    let rival = match before {
        Some(before) => votes.get(before).copied().unwrap_or(0),
        None => votes.iter().enumerate().filter(|(team, _)| *team != first).map(|(_, votes)| *votes).max().unwrap_or(0),
    };
    let lead = i128::from(votes[first]) - i128::from(rival.max(0));
    // 64 bits of votes in a double: the last digits of a total beyond 2^53 decide nothing here.
    if lead as f64 >= margin * (total as f64).sqrt() { Some(first) } else { before }
}

/// The leader of a match as it was announced, and how that came about.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Lead {
    /// The leader announced last, by number of team.
    pub leader: Option<usize>,
    /// How often one team took the lead from another.
    pub changes: i64,
    /// The last of those changes.
    pub last: Option<LeadChange>,
}

/// One team took the lead from another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeadChange {
    /// Microseconds since PostgreSQL's epoch.
    pub at: i64,
    pub from: usize,
    pub to: usize,
}

impl Lead {
    /// The same once `leader` was announced at `at`.
    #[must_use]
    pub fn after(self, leader: Option<usize>, at: i64) -> Self {
        match (self.leader, leader) {
            (Some(from), Some(to)) if from != to => {
                Self { leader, changes: self.changes + 1, last: Some(LeadChange { at, from, to }) }
            }
            _ => Self { leader, ..self },
        }
    }
}

/// The most changes that one read of those from before returns.
pub const MAX_READ: i64 = 1_000;

/// How many of them a reader asks for.
///
/// # Errors
/// [`Error::Null`] and [`Error::Range`], with the name of the argument.
pub fn parse_max(what: &'static str, most: Option<i64>) -> Result<i64, Error> {
    match most.ok_or(Error::Null { what })? {
        most @ 1..=MAX_READ => Ok(most),
        most => Err(Error::Range { what, value: most.to_string(), range: "between 1 and 1000" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_has_one_to_a_thousand_changes() {
        assert_eq!((parse_max("max", Some(1)), parse_max("max", Some(1_000))), (Ok(1), Ok(1_000)));
        for most in [i64::MIN, 0, 1_001, i64::MAX] {
            let text = format!("max must be between 1 and 1000, not {most}");
            assert_eq!(parse_max("max", Some(most)).map_err(|e| e.to_string()), Err(text));
        }
        assert_eq!(parse_max("max", None), Err(Error::Null { what: "max" }));
    }

    fn announced(states: &[&[i64]], margin: f64) -> Vec<Option<usize>> {
        let mut leader_now = None;
        states
            .iter()
            .map(|votes| {
                leader_now = leader(leader_now, votes, margin);
                leader_now
            })
            .collect()
    }

    #[test]
    fn a_hair_is_no_news_and_a_lead_is() {
        let race: &[&[i64]] = &[&[], &[0, 0], &[1, 0], &[1, 1], &[1, 2], &[1, 3], &[3, 3], &[4, 3], &[5, 3], &[6, 3]];
        let (home, away) = (Some(0), Some(1));
        assert_eq!(announced(race, 1.0), [None, None, home, home, home, away, away, away, away, home]);
        assert_eq!(announced(race, 0.0), [None, None, home, home, away, away, away, home, home, home]);
        assert_eq!(announced(race, 1e9), [None; 10]);
    }

    #[test]
    fn the_first_leader_has_to_lead_the_second() {
        assert_eq!(announced(&[&[50, 49], &[60, 49]], 1.0), [None, Some(0)]);
        assert_eq!(announced(&[&[50, 49, 0]], 0.0), [Some(0)]);
    }

    #[test]
    fn who_is_beaten_by_two_that_are_level_leads_until_one_of_them_does() {
        assert_eq!(announced(&[&[50, 0, 0], &[50, 100, 100], &[50, 100, 101]], 1.0), [Some(0), Some(0), Some(2)]);
    }

    #[test]
    fn votes_taken_back_leave_nobody() {
        assert_eq!(announced(&[&[3, 0], &[0, 0], &[0, 1]], 1.0), [Some(0), None, Some(1)]);
        // below zero, as a cell may be whose clock went back: no panic, no leader without votes
        assert_eq!(announced(&[&[-3, -1], &[-3, 1], &[i64::MIN, i64::MAX]], 1.0), [None, Some(1), Some(1)]);
        // a team that is not in the list has none
        assert_eq!(leader(Some(7), &[4], 1.0), Some(0));
    }

    #[test]
    fn big_numbers_stay_exact_enough() {
        let half = i64::MAX / 2;
        assert_eq!(leader(Some(0), &[half - 1_000_000, half], 1.0), Some(0));
        assert_eq!(leader(Some(0), &[half - 4_000_000_000, half], 1.0), Some(1));
    }

    #[test]
    fn a_coin_flip_race_is_announced_a_few_times() {
        let (mut state, mut votes) = (1u64, [0i64; 2]);
        let (mut strict, mut hysteresis) = (Lead::default(), Lead::default());
        for at in 0..1_000_000 {
            // Knuth's linear congruential generator; its top bit is as fair as a coin.
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            votes[(state >> 63) as usize] += 1;
            strict = strict.after(leader(strict.leader, &votes, 0.0), at);
            hysteresis = hysteresis.after(leader(hysteresis.leader, &votes, 1.0), at);
        }
        assert!(strict.changes > 50, "{strict:?}");
        assert!((1..=15).contains(&hysteresis.changes), "{hysteresis:?}");
        let last = hysteresis.last.expect("a change");
        assert_eq!(hysteresis.leader, Some(last.to));
        assert_ne!(last.from, last.to);
    }

    #[test]
    fn only_a_lead_that_was_somebodys_changes() {
        let none = Lead::default();
        let home = none.after(Some(0), 5);
        assert_eq!(home, Lead { leader: Some(0), ..none });
        assert_eq!(home.after(Some(0), 6), home);
        let away = home.after(Some(1), 7);
        assert_eq!(away, Lead { leader: Some(1), changes: 1, last: Some(LeadChange { at: 7, from: 0, to: 1 }) });
        // all votes taken back, then another first leader: no change of lead
        assert_eq!(away.after(None, 8).after(Some(0), 9), Lead { leader: Some(0), ..away });
    }
}
