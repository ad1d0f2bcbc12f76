//! Smoothing: who leads around a cell, where a cell alone has too few votes to tell.

use crate::vote::dominance;
use crate::vote::tally::Counts;
use crate::{CellIndex, Error};
use foldhash::HashMap;

/// The most rings that can be asked for.
pub const MAX_RINGS: i32 = 5;

/// The cells of a match, to look around in.
pub struct Surroundings<'a>(HashMap<CellIndex, &'a Counts>);

impl<'a> Surroundings<'a> {
    /// Of cells that differ.
    #[must_use]
    pub fn new(cells: &'a [(CellIndex, Counts)]) -> Self {
        Self(cells.iter().map(|(cell, votes)| (*cell, votes)).collect())
    }

    /// The leader (its place) and the dominance of a cell's neighbourhood. The votes of a cell `d` steps away weigh
    /// `rings + 1 − d`: with 1 ring the cell itself weighs twice as much as each neighbour. Neighbours have the same resolution.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a weighted sum leaves 64 bits.
    pub fn smooth(&self, cell: CellIndex, rings: u32) -> Result<(Option<usize>, f64), Error> {
        let mut sums: Vec<i128> = Vec::new();
        for (near, distance) in cell.grid_disk_distances::<Vec<_>>(rings) {
            let Some(votes) = self.0.get(&near) else { continue };
            sums.resize(sums.len().max(votes.len()), 0);
            for (sum, votes) in sums.iter_mut().zip(votes.iter()) {
                *sum += i128::from(*votes) * i128::from(rings + 1 - distance);
            }
        }
        let sums: Counts = sums
            .into_iter()
            .map(|votes| i64::try_from(votes).map_err(|_| Error::ManyVotes { votes }))
            .collect::<Result<_, _>>()?;
        Ok((dominance::leader(&sums), dominance::dominance(&sums)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> (CellIndex, Vec<CellIndex>) {
        let cell = crate::parse_cell(b"872a1072bffffff").expect("a cell");
        (cell, crate::geo::points::neighbors(cell, 2).expect("two steps"))
    }

    fn smooth(cells: &[(CellIndex, Counts)], rings: u32) -> Result<Vec<(Option<usize>, f64)>, Error> {
        let around = Surroundings::new(cells);
        cells.iter().map(|(cell, _)| around.smooth(*cell, rings)).collect()
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
        let parent = crate::vote::cell::roll_up(cell, crate::Resolution::Six);
        assert_eq!(smooth(&[(cell, vec![1]), (parent, vec![0, 9])], 2).map(|s| s[0]), Ok((Some(0), 1.0)));
    }
}
