//! Points, neighbours and distances on the sphere.

use crate::{CellIndex, Error};
use h3o::{LatLng, Resolution};

/// The most steps that [`neighbors`] goes: 751,500 cells.
pub const MAX_STEPS: i64 = 500;

/// Checks a point: a latitude of −90 to 90 degrees, and any finite longitude.
///
/// # Errors
/// [`Error::Range`].
pub fn parse_point(lat: f64, lng: f64) -> Result<LatLng, Error> {
    let refuse = |what, value: f64, range| Error::Range { what, value: value.to_string(), range };
    if !(-90.0..=90.0).contains(&lat) {
        return Err(refuse("lat", lat, "between -90 and 90"));
    }
    LatLng::new(lat, lng).map_err(|_| refuse("lng", lng, "a finite number"))
}

/// Checks a number that has a range.
///
/// # Errors
/// [`Error::Null`] or [`Error::Range`].
pub fn parse_number(what: &'static str, value: Option<i32>, low: i32, high: i32, range: &'static str) -> Result<i32, Error> {
    match value.ok_or(Error::Null { what })? {
        value if (low..=high).contains(&value) => Ok(value),
        value => Err(Error::Range { what, value: value.to_string(), range }),
    }
}

/// The cells that are up to `steps` away, the nearest first and those as near in order of their 64 bits. The cell itself is not
/// among them.
///
/// # Errors
/// [`Error::Range`] when `steps` is below 0 or above [`MAX_STEPS`].
pub fn neighbors(cell: CellIndex, steps: i64) -> Result<Vec<CellIndex>, Error> {
    let steps = u32::try_from(steps).ok().filter(|steps| i64::from(*steps) <= MAX_STEPS).ok_or_else(|| Error::Range {
        what: "k",
        value: steps.to_string(),
        range: "between 0 and 500",
    })?;
    let mut disk: Vec<(CellIndex, u32)> = cell.grid_disk_distances(steps);
    disk.retain(|(other, _)| *other != cell);
    disk.sort_unstable_by_key(|(other, distance)| (*distance, u64::from(*other)));
    Ok(disk.into_iter().map(|(other, _)| other).collect())
}

/// More than the angle, in radians, between a cell's centre and any point of the cell or of a cell below it, whatever its
/// resolution. Cells stick out of the cell they belong to, by the tests to 1.14 mean edges from its centre.
#[must_use]
pub const fn reach(resolution: Resolution) -> f64 {
    1.3 * resolution.edge_length_rads()
}

/// More than the angle, in radians, between the centres of two neighbours.
#[must_use]
pub const fn spacing(resolution: Resolution) -> f64 {
    2.6 * resolution.edge_length_rads()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::vote::cell::{coarsen, roll_up};
    use crate::vote::dominance;
    use crate::vote::tally;
    use proptest::prelude::*;

    /// Any cell, at any resolution.
    pub fn any_cell() -> impl Strategy<Value = CellIndex> {
        (-1.0..=1.0f64, -180.0..=180.0f64, 0..=15u8).prop_map(|(sine, lng, resolution)| {
            let point = parse_point(sine.asin().to_degrees(), lng).expect("a point");
            point.to_cell(Resolution::try_from(resolution).expect("0 to 15"))
        })
    }

    fn any_resolution() -> impl Strategy<Value = Resolution> {
        (0..=15u8).prop_map(|resolution| Resolution::try_from(resolution).expect("0 to 15"))
    }

    #[test]
    fn refuses_what_is_no_point() {
        for (lat, lng) in
            [(90.1, 0.0), (-91.0, 0.0), (f64::NAN, 0.0), (f64::INFINITY, 0.0), (0.0, f64::NAN), (0.0, f64::NEG_INFINITY)]
        {
            assert!(matches!(parse_point(lat, lng), Err(Error::Range { .. })), "{lat} {lng}");
        }
        assert!(parse_point(-90.0, 540.0).is_ok());
    }

    #[test]
    fn a_number_is_within_its_range() {
        let parse = |value| parse_number("z", value, -2, 24, "between -2 and 24").map_err(|error| error.to_string());
        assert_eq!([-2, 0, 7, 24].map(|number| parse(Some(number))), [Ok(-2), Ok(0), Ok(7), Ok(24)]);
        for number in [-3, 25, i32::MIN, i32::MAX] {
            assert_eq!(parse(Some(number)), Err(format!("z must be between -2 and 24, not {number}")));
        }
        assert_eq!(parse(None), Err("z must not be null".to_owned()));
    }

    #[test]
    fn neighbours_come_by_distance() {
        let cell = crate::parse_cell(b"872a1072bffffff").expect("a cell");
        assert_eq!(neighbors(cell, 0), Ok(vec![]));
        assert_eq!(neighbors(cell, 1).map(|cells| cells.len()), Ok(6));
        let two = neighbors(cell, 2).expect("in range");
        assert_eq!((two.len(), &two[..6]), (18, &neighbors(cell, 1).expect("in range")[..]));
        assert!(matches!(neighbors(cell, -1), Err(Error::Range { .. })));
        assert!(matches!(neighbors(cell, 501), Err(Error::Range { .. })));
        for pentagon in Resolution::Three.pentagons() {
            assert_eq!(neighbors(pentagon, 1).map(|cells| cells.len()), Ok(5));
        }
    }

    #[test]
    fn spacing_is_more_than_the_way_to_a_neighbour_and_not_much_more() {
        for resolution in (0..=4).map(|number| Resolution::try_from(number).expect("0 to 15")) {
            let mut farthest = 0.0f64;
            for cell in CellIndex::base_cells().map(|base| base.center_child(resolution).expect("a finer one")) {
                let center = LatLng::from(cell);
                for neighbor in neighbors(cell, 1).expect("in range") {
                    farthest = farthest.max(center.distance_rads(LatLng::from(neighbor)));
                }
            }
            assert!(farthest < spacing(resolution) && spacing(resolution) < 2.0 * farthest, "{resolution}: {farthest}");
        }
    }

    #[test]
    fn descendants_stay_within_reach() {
        // The corners of a cell, going down along its rim: digits of the same turn lead farthest out.
        let mut farthest = 0.0f64;
        let coarse = CellIndex::base_cells()
            .flat_map(|base| base.children(Resolution::One).chain([base]))
            .chain(Resolution::Two.pentagons());
        for base in coarse {
            let center = LatLng::from(base);
            let mut rim = vec![base];
            for _ in 0..6 {
                for cell in &rim {
                    for corner in cell.boundary().iter() {
                        farthest = farthest.max(center.distance_rads(*corner) / base.resolution().edge_length_rads());
                    }
                }
                let children =
                    rim.iter().flat_map(|cell| cell.resolution().succ().map(|next| cell.children(next)).into_iter().flatten());
                let mut children: Vec<_> = children.map(|cell| (center.distance_rads(cell.into()), cell)).collect();
                children.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
                rim = children.into_iter().take(12).map(|(_, cell)| cell).collect();
            }
        }
        assert!((1.1..1.15).contains(&farthest), "{farthest} edges");
        for resolution in (0..=15).map(|number| Resolution::try_from(number).expect("0 to 15")) {
            let edges = reach(resolution) / resolution.edge_length_rads();
            assert!((farthest..1.2 * farthest).contains(&edges), "{resolution}: a box costs what it reaches: {edges} edges");
        }
    }

    proptest! {
        #[test]
        fn neighbours_are_near(cell in any_cell()) {
            let center = LatLng::from(cell);
            for other in neighbors(cell, 1).expect("one step") {
                prop_assert!(center.distance_rads(other.into()) < spacing(cell.resolution()));
                prop_assert!(neighbors(other, 1).expect("one step").contains(&cell));
            }
        }

        #[test]
        fn any_descendant_is_within_reach(cell in any_cell(), resolution in any_resolution()) {
            let ancestor = roll_up(cell, resolution);
            for corner in cell.boundary().iter() {
                prop_assert!(LatLng::from(ancestor).distance_rads(*corner) < reach(ancestor.resolution()));
            }
        }

        #[test]
        fn a_parent_of_a_parent_is_a_parent(cell in any_cell(), near in any_resolution(), far in any_resolution()) {
            let (near, far) = (near.max(far), near.min(far));
            prop_assert_eq!(roll_up(roll_up(cell, near), far), roll_up(cell, far));
            prop_assert_eq!(roll_up(roll_up(cell, far), far), roll_up(cell, far));
            if let Ok(parent) = coarsen(cell, near) {
                prop_assert_eq!(coarsen(parent, far), coarsen(cell, far));
            }
        }

        #[test]
        fn rolling_up_keeps_sums_and_order(
            votes in prop::collection::vec((any_cell(), prop::collection::vec(1..1_000_000i64, 0..4)), 0..50),
            resolution in any_resolution(),
        ) {
            let mut sums = tally::Counts::new();
            for (_, counts) in &votes {
                tally::add_all(&mut sums, counts).expect("small");
            }
            let fine = tally::merged(votes).expect("small");
            let rolled = tally::merged(fine.iter().map(|(cell, counts)| (roll_up(*cell, resolution), counts.clone())).collect());
            let rolled = rolled.expect("small");
            prop_assert!(rolled.windows(2).all(|pair| u64::from(pair[0].0) < u64::from(pair[1].0)));
            let mut again = tally::Counts::new();
            for (cell, counts) in &rolled {
                tally::add_all(&mut again, counts).expect("small");
                let below = fine.iter().filter(|(other, _)| roll_up(*other, resolution) == *cell);
                let below: i64 = below.map(|(_, counts)| counts.iter().sum::<i64>()).sum();
                prop_assert_eq!(tally::total(counts), Ok(below));
                prop_assert!((0.0..=1.0).contains(&dominance::dominance(counts)));
            }
            prop_assert_eq!(again, sums);
            let twice = tally::merged(rolled.iter().map(|(cell, counts)| (roll_up(*cell, resolution), counts.clone())).collect());
            prop_assert_eq!(twice, Ok(rolled));
        }
    }
}
