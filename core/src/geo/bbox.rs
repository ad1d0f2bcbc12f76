//! Bounding boxes, and which stored cells may lie in one.
//!
//! The 64 bits of a cell begin with its resolution, its base cell and then a digit for each step down. So all cells of one
//! resolution below a given cell are one range of numbers, and a box costs a few ranges of an index however many cells a match has.

use crate::geo::points::reach;
use crate::{CellIndex, Error};
use h3o::{LatLng, Resolution};

/// The most cells that [`Bbox::cover`] returns, and with that the most ranges that an index is asked for. More would fit the
/// box closer: this many hold 1.7 times the cells in a box of a hundredth of the world, less in a smaller one.
const MAX_COVER: usize = 256;

/// A box of longitudes and latitudes, in degrees; its sides belong to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bbox {
    west: f64,
    /// How far it goes east, 0 to 360.
    width: f64,
    south: f64,
    north: f64,
}

impl Bbox {
    /// Checks `[west, south, east, north]`, as in GeoJSON (RFC 7946): longitudes within ±180, latitudes within ±90. A box whose
    /// west is above its east crosses the antimeridian.
    ///
    /// # Errors
    /// [`Error::Bbox`].
    pub fn parse(degrees: &[Option<f64>]) -> Result<Self, Error> {
        let refuse = || {
            let shown: Vec<_> =
                degrees.iter().map(|number| number.map_or_else(|| "NULL".to_owned(), |n| n.to_string())).collect();
            Error::Bbox { value: format!("{{{}}}", shown.join(", ")) }
        };
        let [Some(west), Some(south), Some(east), Some(north)] = *degrees else { return Err(refuse()) };
        let is_lng = |lng: f64| (-180.0..=180.0).contains(&lng);
        let is_lat = |lat: f64| (-90.0..=90.0).contains(&lat);
        if !(is_lng(west) && is_lng(east) && is_lat(south) && is_lat(north) && south <= north) {
            return Err(refuse());
        }
        Ok(Self::new(west, south, if west > east { east - west + 360.0 } else { east - west }, north))
    }

    /// The box from `west` that goes `width` degrees east.
    #[must_use]
    pub const fn new(west: f64, south: f64, width: f64, north: f64) -> Self {
        Self { west, width, south, north }
    }

    /// Is the point in the box?
    #[must_use]
    pub fn contains(&self, point: LatLng) -> bool {
        let east_of_west = (point.lng() - self.west).rem_euclid(360.0);
        (self.south..=self.north).contains(&point.lat()) && east_of_west <= self.width
    }

    /// A box that holds every point within `angle` (radians) of this one.
    #[must_use]
    pub fn padded(&self, angle: f64) -> Self {
        let degrees = angle.to_degrees();
        let (south, north) = ((self.south - degrees).max(-90.0), (self.north + degrees).min(90.0));
        // As many degrees of longitude as a circle of that size spans where meridians lie closest; all of them around a pole.
        let farthest = self.south.abs().max(self.north.abs());
        let sine = angle.sin() / farthest.to_radians().cos();
        let pad = if farthest + degrees < 90.0 && sine < 1.0 { sine.asin().to_degrees() } else { 180.0 };
        if self.width + 2.0 * pad >= 360.0 {
            Self { west: -180.0, width: 360.0, south, north }
        } else {
            Self { west: self.west - pad, width: self.width + 2.0 * pad, south, north }
        }
    }

    /// Cells that together are above every cell, of resolution `finest` or finer, any part of which lies in the box. All have the
    /// same resolution, `finest` or a coarser one.
    #[must_use]
    pub fn cover(&self, finest: Resolution) -> Vec<CellIndex> {
        let touching = |cells: &mut dyn Iterator<Item = CellIndex>, resolution| {
            let padded = self.padded(reach(resolution));
            cells.filter(|cell| padded.contains((*cell).into())).collect::<Vec<_>>()
        };
        let mut cover = touching(&mut CellIndex::base_cells(), Resolution::Zero);
        for resolution in Resolution::range(Resolution::One, finest) {
            let finer = touching(&mut cover.iter().flat_map(|cell| cell.children(resolution)), resolution);
            if finer.len() > MAX_COVER {
                break;
            }
            cover = finer;
        }
        cover.sort_unstable_by_key(|cell| u64::from(*cell));
        cover
    }
}

/// The ranges, from the lowest to the highest number, that hold all cells of resolution `stored` below `cells`, which are in
/// order; ranges without a number between them are one.
#[must_use]
pub fn ranges(cells: &[CellIndex], stored: Resolution) -> Vec<(i64, i64)> {
    let mut ranges: Vec<(i64, i64)> = Vec::with_capacity(cells.len());
    let mut before = None;
    for cell in cells.iter().filter(|cell| cell.resolution() <= stored) {
        let (first, last) = ends(*cell, stored);
        match ranges.last_mut() {
            Some(range) if before == Some(count_below(*cell)) => range.1 = last,
            _ => ranges.push((first, last)),
        }
        before = Some(count_below(*cell) + 1);
    }
    ranges
}

/// All that may be stored at a resolution.
#[must_use]
pub fn everything(stored: Resolution) -> (i64, i64) {
    let ends = (CellIndex::first(stored), CellIndex::last(stored));
    (crate::vote::cell::cell_to_bits(ends.0), crate::vote::cell::cell_to_bits(ends.1))
}

/// How many numbers of the cell's resolution are lower, those included that a pentagon leaves out. (Not h3o's `succ`: it steps
/// into what a pentagon leaves out.)
fn count_below(cell: CellIndex) -> u64 {
    let (number, resolution) = (u64::from(cell), u32::from(u8::from(cell.resolution())));
    let base = number >> 45 & 0x7f;
    (1..=resolution).fold(base, |count, place| count * 7 + (number >> (3 * (15 - place)) & 7))
}

/// The lowest and the highest number that a cell of resolution `stored` below `cell` can have.
fn ends(cell: CellIndex, stored: Resolution) -> (i64, i64) {
    let (own, stored) = (u8::from(cell.resolution()), u8::from(stored));
    // Digits below the cell's own have 3 bits each, the last one lowest; all are 7 in the cell itself.
    let digits = |from: u8| (1u64 << (3 * (15 - u32::from(from)))) - 1;
    let free = digits(own) & !digits(stored);
    let number = u64::from(cell) & !(0xf << 52) | u64::from(stored) << 52;
    let sixes = 0o666_666_666_666_666 & free;
    ((number & !free).cast_signed(), (number & !free | sixes).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::points::tests::any_cell;
    use crate::vote::cell::{cell_to_bits, roll_up};
    use proptest::prelude::*;

    fn bbox(west: f64, south: f64, east: f64, north: f64) -> Bbox {
        Bbox::parse(&[Some(west), Some(south), Some(east), Some(north)]).expect("a box")
    }

    fn is_in(ranges: &[(i64, i64)], cell: CellIndex) -> bool {
        ranges.iter().any(|(first, last)| (*first..=*last).contains(&cell_to_bits(cell)))
    }

    #[test]
    fn refuses_what_is_no_box() {
        let bad: [&[Option<f64>]; 8] = [
            &[],
            &[Some(0.0); 3],
            &[Some(0.0); 5],
            &[Some(0.0), None, Some(1.0), Some(1.0)],
            &[Some(0.0), Some(2.0), Some(1.0), Some(1.0)],
            &[Some(f64::NAN), Some(0.0), Some(1.0), Some(1.0)],
            &[Some(-181.0), Some(0.0), Some(1.0), Some(1.0)],
            &[Some(0.0), Some(0.0), Some(1.0), Some(91.0)],
        ];
        for degrees in bad {
            assert!(matches!(Bbox::parse(degrees), Err(Error::Bbox { .. })), "{degrees:?}");
        }
        assert_eq!(
            Bbox::parse(&[Some(0.5), None]).map_err(|error| error.to_string()),
            Err("invalid bounding box: {0.5, NULL}".into())
        );
    }

    #[test]
    fn the_antimeridian_is_in_the_middle_of_a_box_across_it() {
        let at = |lat, lng| LatLng::new(lat, lng).expect("a point");
        let across = bbox(170.0, -10.0, -170.0, 10.0);
        assert!(across.contains(at(0.0, 180.0)) && across.contains(at(0.0, -180.0)) && across.contains(at(10.0, 170.0)));
        assert!(!across.contains(at(0.0, 0.0)) && !across.contains(at(11.0, 180.0)));
        let world = bbox(-180.0, -90.0, 180.0, 90.0);
        assert!(world.contains(at(90.0, 180.0)) && world.contains(at(-90.0, -180.0)));
    }

    #[test]
    fn a_padded_box_is_as_much_wider_as_its_farthest_parallel_needs() {
        let padded = bbox(10.0, 40.0, 20.0, 60.0).padded(2f64.to_radians());
        // asin(sin 2 / cos 60) is 4.0024 degrees.
        let right = Bbox::new(10.0 - 4.0024, 38.0, 10.0 + 2.0 * 4.0024, 62.0);
        for (is, should_be) in
            [(padded.west, right.west), (padded.width, right.width), (padded.south, right.south), (padded.north, right.north)]
        {
            assert!((is - should_be).abs() < 1e-3, "{padded:?}");
        }
        let south = bbox(10.0, -60.0, 20.0, -40.0).padded(2f64.to_radians());
        assert!((south.width - right.width).abs() < 1e-3, "the south is as far");
        let width = |width: f64| Bbox::new(0.0, 40.0, width, 60.0).padded(2f64.to_radians()).width;
        assert_eq!(width(352.0), 360.0, "it meets itself");
        assert!((width(351.9) - 359.9048).abs() < 1e-3);
        for (lat, angle) in [(87.0, 4.0), (0.0, 170.0), (-88.0, 2.5)] {
            let whole = bbox(10.0, lat, 20.0, lat).padded(f64::to_radians(angle));
            assert_eq!((whole.west, whole.width), (-180.0, 360.0), "{lat}");
            assert!(whole.south >= -90.0 && whole.north <= 90.0, "{lat}");
        }
    }

    #[test]
    fn a_box_may_be_a_meridian() {
        let at = |lng| LatLng::new(0.0, lng).expect("a point");
        let meridian = bbox(7.0, -10.0, 7.0, 10.0);
        assert!(meridian.contains(at(7.0)) && !meridian.contains(at(7.1)) && !meridian.contains(at(-173.0)));
    }

    #[test]
    fn a_cover_has_at_most_so_many_cells() {
        // The box grows by less than a cell, until one more would be too many.
        let covers = (200..1_200).map(|n| bbox(0.0, 0.0, f64::from(n) / 50.0, 10.0).cover(Resolution::Three));
        let sizes: Vec<_> = covers.map(|cover| (cover[0].resolution(), cover.len())).collect();
        assert_eq!(sizes.iter().map(|(_, cells)| *cells).max(), Some(MAX_COVER));
        assert!(sizes.iter().any(|(resolution, _)| *resolution == Resolution::Two));
    }

    #[test]
    fn the_whole_world_is_one_range() {
        let world = bbox(-180.0, -90.0, 180.0, 90.0).cover(Resolution::Seven);
        assert_eq!(world.len(), 122);
        assert_eq!(ranges(&world, Resolution::Seven).len(), 1);
        assert_eq!(ranges(&world, Resolution::Zero), [everything(Resolution::Zero)]);
    }

    #[test]
    fn pentagons_leave_gaps() {
        for (resolution, depth) in [(Resolution::One, 1), (Resolution::Two, 2), (Resolution::Three, 3)] {
            let all: Vec<_> = CellIndex::base_cells().flat_map(|base| base.children(resolution)).collect();
            let joint = ranges(&all, resolution);
            assert_eq!(joint.len(), 1 + 12 * depth, "one gap for each pentagon on each level");
            assert!(all.iter().all(|cell| is_in(&joint, *cell)));
        }
    }

    #[test]
    fn a_small_box_needs_a_few_small_ranges() {
        // A hundredth of the world.
        let cover = bbox(0.0, 30.0, 25.0, 47.0).cover(Resolution::Seven);
        let share = cover.len() as f64 / cover[0].resolution().cell_count() as f64;
        assert!(
            share < 0.02 && ranges(&cover, Resolution::Seven).len() < 100,
            "{share} {}",
            ranges(&cover, Resolution::Seven).len()
        );
    }

    proptest! {
        #[test]
        fn a_range_holds_what_is_below_and_nothing_else(cell in any_cell(), other in any_cell()) {
            for above in 0..=u8::from(cell.resolution()) {
                let above = roll_up(cell, Resolution::try_from(above).expect("0 to 15"));
                let below = ranges(&[above], cell.resolution());
                prop_assert!(is_in(&below, cell));
                // Cells at its rim too, which a range a little too long holds.
                for other in crate::geo::points::neighbors(cell, 1).expect("one step").into_iter().chain([other]) {
                    let is_below = other.resolution() == cell.resolution() && roll_up(other, above.resolution()) == above;
                    prop_assert_eq!(is_in(&below, other), is_below);
                }
                let (first, last) = everything(cell.resolution());
                prop_assert!((first..=last).contains(&below[0].0) && (first..=last).contains(&below[0].1));
            }
        }

        #[test]
        fn ranges_side_by_side_hold_the_same_as_each_alone(cell in any_cell(), other in any_cell()) {
            let parent = cell.resolution().pred().map_or(cell, |coarser| roll_up(cell, coarser));
            let siblings: Vec<_> = parent.children(cell.resolution()).collect();
            let joint = ranges(&siblings, cell.resolution());
            prop_assert_eq!(joint.len(), if parent.is_pentagon() && siblings.len() > 1 { 2 } else { 1 });
            prop_assert_eq!(is_in(&joint, other), siblings.contains(&other));
        }

        #[test]
        fn what_touches_a_box_is_covered(
            cell in any_cell(), corner in 0..6usize, w in 0.0..30.0f64, e in 0.0..30.0f64, s in 0.0..20.0f64, n in 0.0..20.0f64,
            finest in 0..=15u8,
        ) {
            let boundary = cell.boundary();
            let at = boundary[corner % boundary.len()];
            let lng = |lng: f64| (lng + 180.0).rem_euclid(360.0) - 180.0;
            let around = bbox(lng(at.lng() - w), (at.lat() - s).max(-90.0), lng(at.lng() + e), (at.lat() + n).min(90.0));
            let finest = Resolution::try_from(finest).expect("0 to 15").min(cell.resolution());
            let cover = around.cover(finest);
            prop_assert!(cover.contains(&roll_up(cell, cover[0].resolution())));
            prop_assert!(is_in(&ranges(&cover, cell.resolution()), cell));
        }

        #[test]
        fn padding_reaches_far_enough(cell in any_cell(), step in 0.0..1.0f64, south in -90.0..90.0f64, height in 0.0..60.0f64) {
            let inside = bbox(-20.0, south, 20.0, (south + height).min(90.0));
            let point = LatLng::from(cell);
            if inside.contains(point) {
                for other in crate::geo::points::neighbors(cell, 1).expect("one step") {
                    let angle = point.distance_rads(other.into());
                    prop_assert!(inside.padded(angle * (1.0 + step) + 1e-12).contains(other.into()));
                }
            }
        }
    }
}
