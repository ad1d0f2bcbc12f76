//! Smoothing: who leads around a cell, where a cell alone has too few votes to tell.

use crate::tally::{Counts, total};
use crate::{CellIndex, Error, dominance};
use foldhash::HashMap;

/// The most rings that can be asked for.
pub const MAX_RINGS: i32 = 5;

/// The leader (its place) and the dominance of each cell's neighbourhood, in the order of `cells`: the votes of a cell `d` steps
/// away weigh `rings + 1 − d`, so with 1 ring the cell itself twice as much as each neighbour. Neighbours have the same
/// resolution.
///
/// # Errors
/// [`Error::ManyVotes`] when a weighted sum leaves 64 bits.
pub fn smooth(cells: &[(CellIndex, Counts)], rings: u32) -> Result<Vec<(Option<usize>, f64)>, Error> {
    let places: HashMap<CellIndex, &Counts> = cells.iter().map(|(cell, votes)| (*cell, votes)).collect();
    let mut smoothed = Vec::with_capacity(cells.len());
    for (cell, _) in cells {
        let mut sums: Vec<i128> = Vec::new();
        for (near, distance) in cell.grid_disk_distances::<Vec<_>>(rings) {
            let Some(votes) = places.get(&near) else { continue };
            sums.resize(sums.len().max(votes.len()), 0);
            for (sum, votes) in sums.iter_mut().zip(votes.iter()) {
                *sum += i128::from(*votes) * i128::from(rings + 1 - distance);
            }
        }
        let sums: Result<Counts, Error> =
            sums.into_iter().map(|votes| i64::try_from(votes).map_err(|_| Error::ManyVotes { votes })).collect();
        let sums = sums?;
        total(&sums)?;
        smoothed.push((dominance::leader(&sums), dominance::dominance(&sums)));
    }
    Ok(smoothed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> (CellIndex, Vec<CellIndex>) {
        let cell = crate::parse_cell(b"872a1072bffffff").expect("a cell");
        (cell, crate::geo::neighbors(cell, 2).expect("two steps"))
    }

    #[test]
    fn without_rings_each_cell_speaks_for_itself() {
        let (cell, near) = around();
        assert_eq!(smooth(&[], 0), Ok(vec![]));
        assert_eq!(smooth(&[(cell, vec![3, 1]), (near[0], vec![0, 5])], 0), Ok(vec![(Some(0), 0.5), (Some(1), 1.0)]));
    }

    #[test]
    fn neighbours_weigh_less_the_farther_they_are() {
        let (cell, near) = around();
        // one ring: 2·[1, 0] + 1·[0, 3] = [2, 3]; the other way 2·[0, 3] + 1·[1, 0] = [1, 6]
        assert_eq!(smooth(&[(cell, vec![1]), (near[0], vec![0, 3])], 1), Ok(vec![(Some(1), 0.2), (Some(1), 5.0 / 7.0)]));
        // two rings: 3·[2] + 1·[0, 6] is a tie for the cell itself
        let far = near[17];
        assert_eq!(smooth(&[(cell, vec![2]), (far, vec![0, 6])], 2).map(|s| s[0]), Ok((None, 0.0)));
        assert_eq!(smooth(&[(cell, vec![2]), (far, vec![0, 6])], 1).map(|s| s[0]), Ok((Some(0), 1.0)));
        assert!(smooth(&[(cell, vec![i64::MAX])], 1).is_err());
    }

    #[test]
    fn other_resolutions_are_no_neighbours() {
        let (cell, _) = around();
        let parent = crate::cell::roll_up(cell, crate::Resolution::Six);
        assert_eq!(smooth(&[(cell, vec![1]), (parent, vec![0, 9])], 2).map(|s| s[0]), Ok((Some(0), 1.0)));
    }
}
