//! Outlines of cells in the plane of longitude and latitude, as GeoJSON wants them (RFC 7946): cut at the antimeridian, rings
//! counterclockwise, and around a pole closed along the map's rim.
//!
//! `client/src/outline.ts` makes the same cut for pages. The test "GeoJSON is that of SQL, corners to a billionth of a degree" in
//! `client/test/e2e/relay.test.ts` holds them together.

use crate::CellIndex;
use h3o::{LatLng, Vertex};
use std::f64::consts::PI;

/// A point of the plane, in degrees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    pub lng: f64,
    pub lat: f64,
    pub name: Name,
}

/// A closed line; its last point is joined to its first.
pub type Ring = Vec<Point>;

/// Tells that two points are one, seen from two neighbours, whose coordinates may differ in the last bits. Points of an outline
/// without names all have the default one.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Name {
    kind: Kind,
    /// The H3 vertices between which the point lies, or twice the one that it is; of a corner of the map its place.
    ends: [u64; 2],
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
enum Kind {
    #[default]
    Vertex,
    /// Where the edge of a cell crosses an edge of the icosahedron, it has a corner.
    Crease,
    /// Where it is cut at 180 degrees.
    East,
    /// Where it is cut at −180 degrees.
    West,
    /// A corner of the map.
    Pole,
}

impl Name {
    fn vertex(vertex: u64) -> Self {
        Self { kind: Kind::Vertex, ends: [vertex; 2] }
    }

    /// A point between two points that lie on one edge of a cell.
    fn between(kind: Kind, from: Self, to: Self) -> Self {
        let mut ends = match (from.kind, to.kind) {
            (Kind::Crease, _) => from.ends,
            (_, Kind::Crease) => to.ends,
            _ => [from.ends[0], to.ends[0]],
        };
        ends.sort_unstable();
        Self { kind, ends }
    }
}

/// The outline of a cell.
pub struct Outline {
    /// Neither cut nor jumping: where it crosses the antimeridian, longitudes go on beyond 180 or −180 degrees. Around a pole it
    /// runs from one side of the map to the other, and its last two points lead back along the pole.
    ring: Ring,
    has_pole: bool,
}

impl Outline {
    /// The outline of a cell; its points have no names.
    #[must_use]
    pub fn of(cell: CellIndex) -> Self {
        Self::flat(cell.boundary().iter().map(|corner| point(*corner, Name::default())).collect())
    }

    /// The outline of a cell, in whose points its neighbours' outlines can be recognised.
    #[must_use]
    pub fn named(cell: CellIndex) -> Self {
        let boundary = cell.boundary();
        let vertices: Vec<_> = (0..6).filter_map(|i| cell.vertex(Vertex::try_from(i).ok()?)).collect();
        // The boundary begins with the first vertex and passes them in order. A point that is not the next one is a crease; far
        // below any edge's length and far above what rounding moves a vertex.
        let near = cell.resolution().edge_length_rads() * 1e-5;
        let mut next = 0;
        let mut ring = Ring::with_capacity(boundary.len());
        for corner in boundary.iter() {
            let is_vertex = boundary.len() == vertices.len()
                || vertices.get(next).is_some_and(|vertex| corner.distance_rads(LatLng::from(*vertex)) < near);
            let number = |i: usize| vertices.get(i % vertices.len().max(1)).map_or(0, |vertex| u64::from(*vertex));
            let name = if is_vertex {
                next += 1;
                Name::vertex(number(next - 1))
            } else {
                Name::between(
                    Kind::Crease,
                    Name::vertex(number((next + vertices.len()).saturating_sub(1))),
                    Name::vertex(number(next)),
                )
            };
            ring.push(point(*corner, name));
        }
        Self::flat(ring)
    }

    fn flat(mut ring: Ring) -> Self {
        // Each longitude within half a turn of the one before.
        let mut turns = 0.0;
        let mut before = ring.first().map_or(0.0, |first| first.lng);
        for point in &mut ring {
            turns += turn(before, point.lng);
            before = point.lng;
            point.lng += turns;
        }
        // Going round once adds up to a whole turn about a pole, and to none elsewhere.
        turns += turn(before, ring.first().map_or(before, |first| first.lng));
        match turns {
            0.0 => Self { ring, has_pole: false },
            turns => Self { ring: around_pole(&ring, turns), has_pole: true },
        }
    }

    /// The rings on a map that goes round the world three times, from −540 to 540 degrees.
    #[must_use]
    pub fn thrice(&self) -> Vec<Ring> {
        match self.ring.split_last_chunk::<2>() {
            Some((line, [from, to])) if self.has_pole => {
                let turn = from.lng.signum() * 360.0;
                let mut ring: Ring = [-turn, 0.0, turn].into_iter().flat_map(|degrees| moved(line, degrees)).collect();
                ring.extend([Point { lng: from.lng + turn, ..*from }, Point { lng: to.lng - turn, ..*to }]);
                vec![ring]
            }
            _ => [-360.0, 0.0, 360.0].into_iter().map(|degrees| moved(&self.ring, degrees).collect()).collect(),
        }
    }

    /// The rings that lie between −180 and 180 degrees: one, or the two parts of a cell on the antimeridian.
    #[must_use]
    pub fn cut(self) -> Vec<Ring> {
        let is_beyond_east = self.ring.iter().any(|point| point.lng > 180.0);
        let is_beyond_west = self.ring.iter().any(|point| point.lng < -180.0);
        match (self.has_pole, is_beyond_east, is_beyond_west) {
            (true, ..) | (_, false, false) => vec![self.ring],
            (_, true, _) => halves(&self.ring, 180.0),
            (_, _, true) => halves(&self.ring, -180.0),
        }
    }
}

/// Does this boundary stay clear of the antimeridian and of the poles, as nearly all do? Then it is its own outline.
#[must_use]
pub fn is_plain(boundary: &[LatLng]) -> bool {
    let next = boundary.iter().cycle().skip(1);
    boundary.iter().zip(next).all(|(from, to)| turn(from.lng(), to.lng()) == 0.0)
}

/// A part of the plane, moved by `degrees` of longitude.
fn moved(points: &[Point], degrees: f64) -> impl Iterator<Item = Point> {
    points.iter().map(move |point| Point { lng: point.lng + degrees, ..*point })
}

fn point(at: LatLng, name: Name) -> Point {
    Point { lng: at.lng(), lat: at.lat(), name }
}

/// What to add to the longitudes that follow, so that the step from one to the next is the short way round.
fn turn(from: f64, to: f64) -> f64 {
    if to - from > 180.0 {
        -360.0
    } else if to - from < -180.0 {
        360.0
    } else {
        0.0
    }
}

/// The outline of a cell that holds a pole: the ring from one side of the map to the other, closed along the pole. `turns` is 360
/// degrees around the north pole, −360 around the south pole.
fn around_pole(ring: &[Point], turns: f64) -> Ring {
    let side = turns.signum() * 180.0;
    let pole = turns.signum() * 90.0;
    // Each longitude is on the map again.
    let mut line: Ring = ring.iter().map(|point| Point { lng: point.lng + turn(0.0, point.lng), ..*point }).collect();
    // It begins behind the step that leaves the map.
    let leaves = (0..line.len()).find(|i| turn(line[*i].lng, line[(i + 1) % line.len()].lng) != 0.0);
    line.rotate_left(leaves.map_or(0, |i| (i + 1) % ring.len()));
    if let (Some(first), Some(last)) = (line.first().copied(), line.last().copied()) {
        let cut = crossing(last, Point { lng: first.lng + turns, ..first }, side);
        line.insert(0, at_side(cut, -side, last, first));
        line.push(at_side(cut, side, last, first));
        let corner = |lng: f64| Point { lng, lat: pole, name: Name { kind: Kind::Pole, ends: [lng.to_bits(), pole.to_bits()] } };
        line.extend([corner(side), corner(-side)]);
    }
    line
}

fn at_side(lat: f64, side: f64, from: Point, to: Point) -> Point {
    let kind = if side.is_sign_positive() { Kind::East } else { Kind::West };
    Point { lng: side, lat, name: Name::between(kind, from.name, to.name) }
}

/// The latitude at which the great circle through two points crosses a meridian: edges of cells are arcs of great circles, so
/// that the parts of a cell have its area.
fn crossing(from: Point, to: Point, meridian: f64) -> f64 {
    let (a, b) = ((from.lng - meridian).to_radians(), (to.lng - meridian).to_radians());
    // From the determinant of three vectors in one plane.
    let tangent = (to.lat.to_radians().tan() * -a.sin() + from.lat.to_radians().tan() * b.sin()) / (b - a).sin();
    if (b - a).abs() < PI { tangent.atan().to_degrees() } else { from.lat }
}

/// The parts west and east of a meridian, each moved to where the map has it.
fn halves(ring: &[Point], meridian: f64) -> Vec<Ring> {
    let (mut west, mut east) = (Ring::new(), Ring::new());
    let (to_west, to_east) = if meridian.is_sign_positive() { (0.0, -360.0) } else { (360.0, 0.0) };
    for (i, here) in ring.iter().enumerate() {
        let next = ring[(i + 1) % ring.len()];
        if here.lng <= meridian {
            west.push(Point { lng: here.lng + to_west, ..*here });
        } else {
            east.push(Point { lng: here.lng + to_east, ..*here });
        }
        if (here.lng <= meridian) != (next.lng <= meridian) {
            let lat = crossing(*here, next, meridian);
            west.push(at_side(lat, 180.0, *here, next));
            east.push(at_side(lat, -180.0, *here, next));
        }
    }
    vec![west, east]
}

/// Twice the area of a ring in the plane, in square degrees: above 0 where it runs counterclockwise.
#[must_use]
pub fn double_area(ring: &[Point]) -> f64 {
    let Some(first) = ring.first() else { return 0.0 };
    let cross = |a: &Point, b: &Point| (a.lng - first.lng) * (b.lat - first.lat) - (b.lng - first.lng) * (a.lat - first.lat);
    ring.windows(2).map(|pair| cross(&pair[0], &pair[1])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Resolution;
    use std::collections::HashMap;

    fn cells(resolution: Resolution) -> impl Iterator<Item = CellIndex> {
        CellIndex::base_cells().flat_map(move |base| base.children(resolution))
    }

    #[test]
    fn an_ordinary_cell_keeps_its_corners() {
        let cell = crate::parse_cell(b"872a1072bffffff").expect("a cell");
        let rings = Outline::of(cell).cut();
        let corners: Vec<_> = rings[0].iter().map(|point| (point.lat, point.lng)).collect();
        assert_eq!(corners, cell.boundary().iter().map(|corner| (corner.lat(), corner.lng())).collect::<Vec<_>>());
        assert_eq!((rings.len(), double_area(&rings[0]) > 0.0), (1, true));
    }

    #[test]
    fn every_ring_is_on_the_map_and_counterclockwise() {
        let (mut parts, mut poles) = (0, 0);
        for resolution in [Resolution::Zero, Resolution::One, Resolution::Two, Resolution::Three] {
            for cell in cells(resolution) {
                let outline = Outline::of(cell);
                let has_pole = outline.has_pole;
                poles += usize::from(has_pole);
                let rings = outline.cut();
                parts += rings.len() - 1;
                assert_eq!(is_plain(&cell.boundary()), rings.len() == 1 && !has_pole, "{cell}");
                for ring in rings {
                    assert!(ring.len() >= 3 && double_area(&ring) > 0.0, "{cell} {ring:?}");
                    assert!(ring.iter().all(|point| point.lng.abs() <= 180.0 && point.lat.abs() <= 90.0), "{cell} {ring:?}");
                    assert!(
                        ring.windows(2).all(|pair| (pair[0].lng - pair[1].lng).abs() < 180.0 || pair[0].lat.abs() == 90.0),
                        "{cell}"
                    );
                    let sides = ring.iter().filter(|point| point.lng.abs() == 180.0).count();
                    assert!(sides <= 4, "{cell} crosses the antimeridian more than once: {ring:?}");
                }
            }
        }
        assert_eq!((poles, parts > 100), (8, true), "{parts}");
    }

    #[test]
    fn the_world_goes_on_at_the_sides_of_the_map() {
        for cell in cells(Resolution::One) {
            let (map, world) = (Outline::of(cell).cut(), Outline::of(cell).thrice());
            let area = |rings: &[Ring]| rings.iter().map(|ring| double_area(ring)).sum::<f64>();
            // Cut along a great circle, a cell is a little larger on the map.
            assert!((area(&world) / area(&map) - 3.0).abs() < 0.3, "{cell} {world:?}");
            let Outline { ring, has_pole } = Outline::of(cell);
            if has_pole {
                assert_eq!(world.len(), 1);
                assert!(world[0].iter().all(|point| point.lng.abs() <= 540.0));
                assert!([-540.0, 540.0].iter().all(|side| world[0].iter().filter(|point| point.lng == *side).count() == 2));
            } else {
                let begins: Vec<_> = world.iter().map(|ring| ring[0].lng).collect();
                assert_eq!(begins, [-360.0, 0.0, 360.0].map(|degrees| ring[0].lng + degrees));
            }
        }
    }

    #[test]
    fn each_edge_is_named_alike_from_both_its_sides() {
        for resolution in [Resolution::Zero, Resolution::One, Resolution::Two, Resolution::Three] {
            let mut edges: HashMap<[Name; 2], [Point; 2]> = HashMap::new();
            for cell in cells(resolution) {
                let rings = Outline::named(cell).cut();
                for (from, to) in rings.iter().flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1))) {
                    assert!(edges.insert([from.name, to.name], [*from, *to]).is_none(), "{cell}");
                }
            }
            // Beyond the rim of the map there is nothing.
            let is_on_rim = |ends: &[Point]| ends.iter().all(|point| point.lng.abs() == 180.0);
            for ([from, to], [a, b]) in edges.iter().filter(|(_, ends)| !is_on_rim(*ends)) {
                let [d, c] = edges.get(&[*to, *from]).expect("the other side");
                for (here, there) in [(a, c), (b, d)] {
                    let apart = turn(here.lng, there.lng) + there.lng - here.lng;
                    assert!(
                        apart.rem_euclid(360.0).min(-apart.rem_euclid(360.0) + 360.0) < 1e-9
                            && (here.lat - there.lat).abs() < 1e-9
                    );
                }
            }
        }
    }

    #[test]
    fn great_circles_cross_where_they_should() {
        let at = |lng, lat| Point { lng, lat, name: Name::default() };
        assert!((crossing(at(170.0, 10.0), at(190.0, -10.0), 180.0)).abs() < 1e-12);
        assert!((crossing(at(135.0, 45.0), at(225.0, 45.0), 180.0) - 2f64.sqrt().atan().to_degrees()).abs() < 1e-12);
        assert!((crossing(at(179.0, 80.0), at(181.0, 80.0), 180.0) - 80.0) > 0.0);
        assert_eq!(crossing(at(90.0, 10.0), at(270.0, 20.0), 180.0), 10.0, "half a turn is no one great circle");
    }

    #[test]
    fn a_turn_brings_the_next_longitude_within_half_a_turn() {
        let turns = [(10.0, 20.0), (-90.0, 90.0), (90.0, -90.0), (-90.0, 90.5), (90.5, -90.0)].map(|(from, to)| turn(from, to));
        assert_eq!(turns, [0.0, 0.0, 0.0, -360.0, 360.0]);
    }

    #[test]
    fn only_a_ring_that_goes_beyond_the_side_of_the_map_is_cut() {
        let parts = |lng: f64| {
            let corners = [(lng.signum() * 170.0, 0.0), (lng, 5.0), (lng.signum() * 170.0, 10.0)];
            let ring = corners.map(|(lng, lat)| Point { lng, lat, name: Name::default() }).to_vec();
            Outline { ring, has_pole: false }.cut().len()
        };
        assert_eq!([180.0, -180.0, 180.1, -180.1].map(parts), [1, 1, 2, 2]);
    }

    #[test]
    fn an_area_is_above_zero_counterclockwise() {
        let area = |corners: &[(f64, f64)]| {
            double_area(
                &corners.iter().map(|(lng, lat)| Point { lng: *lng, lat: *lat, name: Name::default() }).collect::<Vec<_>>(),
            )
        };
        // (3, 1) × (1, 5), and a square of 2 by 3.
        assert_eq!(area(&[(10.0, 20.0), (13.0, 21.0), (11.0, 25.0)]), 14.0);
        assert_eq!(area(&[(-1.0, -1.0), (1.0, -1.0), (1.0, 2.0), (-1.0, 2.0)]), 12.0);
        assert_eq!(area(&[(-1.0, 2.0), (1.0, 2.0), (1.0, -1.0), (-1.0, -1.0)]), -12.0);
        assert_eq!(area(&[]), 0.0);
    }
}
