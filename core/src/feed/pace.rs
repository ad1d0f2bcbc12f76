//! How long a folder rests after a fold that found votes.
//!
//! After a quiet time a fold comes with the first vote. The gap to the next one grows with the votes that come in, up to the longest
//! gap. So a vote in a quiet match is told at once, and a popular match ten times a second, however popular it is.

use std::time::Duration;

/// At so many votes a longest gap, and more, folds rest for the longest gap.
const MANY: f64 = 50.0;

/// The shortest gap, as a part of the longest one.
const SHORTEST: f64 = 1.0 / 16.0;

/// What a folder knows of the votes that come in.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Votes in a longest gap. What came before such a gap is forgotten.
    votes: f64,
}

impl Pace {
    /// The gap from the begin of a fold to that of the next one: `votes` came in `time`, since the fold before.
    pub fn gap(&mut self, votes: i64, time: Duration, longest: Duration) -> Duration {
        #[allow(clippy::cast_precision_loss, reason = "a rate")]
        let votes = votes as f64;
        let share = time.div_duration_f64(longest);
        // A part of a gap tells of that part; a whole one of all.
        self.votes = self.votes * (1.0 - share).max(0.0) + votes / share.max(1.0);
        longest.mul_f64((self.votes / MANY).clamp(SHORTEST, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(100);

    /// The gap that folds come to where so many votes arrive a second.
    fn settled(votes_a_second: f64) -> Duration {
        let (mut pace, mut gap) = (Pace::default(), LONGEST);
        for _ in 0..100 {
            #[allow(clippy::cast_possible_truncation, reason = "a test")]
            let votes = (votes_a_second * gap.as_secs_f64()).round() as i64;
            gap = pace.gap(votes, gap, LONGEST);
        }
        gap
    }

    #[test]
    fn the_gap_is_the_part_of_many_votes_that_came_in_a_longest_gap() {
        let gap = |before, votes, time| Pace { votes: before }.gap(votes, time, LONGEST);
        // 25 votes of 50: 40 half of which are too old and 5 new ones, or the half of 50 in twice the time.
        assert_eq!(gap(40.0, 5, LONGEST / 2), LONGEST / 2);
        assert_eq!((gap(40.0, 25, LONGEST), gap(40.0, 50, LONGEST * 2)), (LONGEST / 2, LONGEST / 2));
    }

    #[test]
    fn the_gap_grows_with_the_votes() {
        assert_eq!(settled(0.0), LONGEST.mul_f64(SHORTEST));
        assert!(settled(100.0) <= Duration::from_millis(30), "{:?}", settled(100.0));
        assert_eq!(settled(600.0), LONGEST);
        assert_eq!(settled(1e6), LONGEST);
        let mut pace = Pace::default();
        assert_eq!(pace.gap(1, Duration::ZERO, LONGEST), LONGEST.mul_f64(SHORTEST), "the first one");
        assert_eq!(pace.gap(1_000_000, Duration::ZERO, LONGEST), LONGEST, "at the begin of a rush");
        assert_eq!(pace.gap(1, LONGEST * 2, LONGEST), LONGEST.mul_f64(SHORTEST), "after a quiet time");
    }
}
