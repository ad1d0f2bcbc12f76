//! Votes by team as lists, and their sums, which are refused where they leave 64 bits. A list that ends early means zeros.

use crate::Error;

/// One number a team, in the match's order of teams.
pub type Counts = Vec<i64>;

/// Adds `votes` to the count of `team`.
///
/// # Errors
/// [`Error::ManyVotes`] when the sum leaves 64 bits.
pub fn add(counts: &mut Counts, team: usize, votes: i64) -> Result<(), Error> {
    if counts.len() <= team {
        counts.resize(team + 1, 0);
    }
    counts[team] = sum(counts[team], votes)?;
    Ok(())
}

/// Adds `more` to `counts`, team by team.
///
/// # Errors
/// [`Error::ManyVotes`] when a sum leaves 64 bits.
pub fn add_all(counts: &mut Counts, more: &[i64]) -> Result<(), Error> {
    more.iter().enumerate().try_for_each(|(team, votes)| add(counts, team, *votes))
}

/// The sum over all teams.
///
/// # Errors
/// [`Error::ManyVotes`] when it leaves 64 bits.
pub fn total(counts: &[i64]) -> Result<i64, Error> {
    counts.iter().try_fold(0, |total, votes| sum(total, *votes))
}

/// The places in order, each once, with the sums of their votes; places without any are left out.
///
/// # Errors
/// [`Error::ManyVotes`] when a sum leaves 64 bits.
pub fn merged<K: Copy + Eq + Into<u64>>(mut places: Vec<(K, Counts)>) -> Result<Vec<(K, Counts)>, Error> {
    // By number: cells of different resolutions can be level in h3o's own order, and would not meet their like.
    places.sort_unstable_by_key(|(place, _)| (*place).into());
    let mut added = Ok(());
    places.dedup_by(|(place, votes), (last, sums)| {
        let is_same = last == place;
        if is_same && added.is_ok() {
            added = add_all(sums, votes);
        }
        is_same
    });
    added?;
    places.retain(|(_, votes)| votes.iter().any(|votes| *votes != 0));
    Ok(places)
}

pub(crate) fn sum(a: i64, b: i64) -> Result<i64, Error> {
    a.checked_add(b).ok_or(Error::ManyVotes { votes: i128::from(a) + i128::from(b) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_grow_with_their_teams() {
        let mut counts = Counts::new();
        add(&mut counts, 2, 5).expect("small");
        add(&mut counts, 0, 3).expect("small");
        add(&mut counts, 2, -1).expect("small");
        assert_eq!(counts, [3, 0, 4]);
        add_all(&mut counts, &[1, 2, 3, 4]).expect("small");
        assert_eq!((counts.as_slice(), total(&counts).expect("small")), ([4, 2, 7, 4].as_slice(), 17));
    }

    #[test]
    fn what_leaves_64_bits_is_refused_with_its_sum() {
        let beyond = |votes: i128| Err(Error::ManyVotes { votes });
        assert_eq!(sum(i64::MAX, 1), beyond(i128::from(i64::MAX) + 1));
        assert_eq!(sum(i64::MIN, -1), beyond(i128::from(i64::MIN) - 1));
        assert_eq!((sum(i64::MAX, -1), sum(3, 4)), (Ok(i64::MAX - 1), Ok(7)));
        assert!(total(&[i64::MAX, 1]).is_err() && add_all(&mut vec![i64::MAX], &[1]).is_err());
        assert!(merged(vec![(1_u64, vec![i64::MAX]), (1, vec![1])]).is_err());
    }

    #[test]
    fn places_are_merged_in_order_without_empty_ones() {
        let places = vec![(9_u64, vec![1]), (2, vec![1, -1]), (9, vec![0, 4]), (5, vec![2]), (5, vec![-2]), (2, vec![0, 1])];
        assert_eq!(merged(places), Ok(vec![(2, vec![1, 0]), (9, vec![1, 4])]));
    }
}
