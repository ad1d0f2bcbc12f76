//! The leader, and how clear the lead is.

/// The place of the strict leader in `votes`; `None` when nobody has votes or the first two are level.
#[must_use]
pub fn leader(votes: &[i64]) -> Option<usize> {
    let (place, first, second) = first_two(votes);
    (first > second).then_some(place)
}

/// (leader − runner-up) ÷ total, 0 to 1; 0 in a tie or without votes.
#[must_use]
pub fn dominance(votes: &[i64]) -> f64 {
    let (_, first, second) = first_two(votes);
    let total: i128 = votes.iter().map(|v| i128::from(*v)).sum();
    // Totals stay far below 2^53, where f64 is exact.
    if total > 0 { (i128::from(first) - i128::from(second)) as f64 / total as f64 } else { 0.0 }
}

/// The place of the first, its votes, and those of the second. Below zero they count as none.
fn first_two(votes: &[i64]) -> (usize, i64, i64) {
    votes.iter().enumerate().fold(
        (0, 0, 0),
        |(place, first, second), (i, &v)| {
            if v > first { (i, v, first) } else { (place, first, second.max(v)) }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tie_has_no_leader() {
        assert_eq!((leader(&[]), dominance(&[])), (None, 0.0));
        assert_eq!((leader(&[0, 0]), dominance(&[0, 0])), (None, 0.0));
        assert_eq!((leader(&[3, 3, 1]), dominance(&[3, 3, 1])), (None, 0.0));
        assert_eq!((leader(&[1, 3, 3]), dominance(&[1, 3, 3])), (None, 0.0));
    }

    #[test]
    fn without_votes_nobody_leads() {
        assert_eq!((leader(&[-3, -1]), leader(&[-3, 1])), (None, Some(1)));
    }

    #[test]
    fn lead_over_total() {
        assert_eq!((leader(&[5]), dominance(&[5])), (Some(0), 1.0));
        assert_eq!((leader(&[1, 3, 0]), dominance(&[1, 3, 0])), (Some(1), 0.5));
        assert_eq!((leader(&[6, 1, 3]), dominance(&[6, 1, 3])), (Some(0), 0.3));
    }
}
