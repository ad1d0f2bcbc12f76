//! Mapbox vector tiles, version 2.1 (<https://github.com/mapbox/vector-tile-spec>): a square of the Web Mercator map, in which
//! each cell is one polygon.

use crate::geo::bbox::Bbox;
use crate::geo::outline::{Outline, Point};
use crate::vote::dominance;
use crate::vote::tally::{self, Counts};
use crate::{CellIndex, Error};
use h3o::Resolution;
use mvt::{GeomEncoder, GeomType};
use std::f64::consts::PI;

/// A tile's side in its own units.
const EXTENT: f64 = 4096.0;
/// How far cells are drawn beyond the tile's sides, so that their outlines don't show there.
const BUFFER: f64 = 64.0;
/// Where the map ends, nearly: beyond, Mercator goes to infinity.
const HIGHEST: f64 = 89.9;

/// The resolution of the cells in a tile, by zoom: one step finer for each √7 by which the map grows. At zoom 0 a hexagon is
/// about a fiftieth of a tile wide. A tile at the equator holds some 500 to 3,000 of them. The live page draws all of a match
/// and not tiles, so it has its own steps: `client/map/src/resolution.ts`.
const RESOLUTIONS: [u8; 25] = [1, 1, 2, 3, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 10, 11, 12, 13, 13, 14, 15, 15, 15, 15, 15];

/// A tile's place on the map.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    zoom: u8,
    x: u32,
    y: u32,
}

impl Place {
    /// Checks a place: zoom 0 to 24, `x` and `y` from 0 to 2^zoom − 1, counted from the north-west.
    ///
    /// # Errors
    /// [`Error::Null`] or [`Error::Range`].
    pub fn parse(zoom: Option<i32>, x: Option<i32>, y: Option<i32>) -> Result<Self, Error> {
        let zoom = crate::geo::points::parse_number("z", zoom, 0, 24, "between 0 and 24")?;
        let last = (1 << zoom) - 1;
        let x = crate::geo::points::parse_number("x", x, 0, last, "between 0 and 2^z - 1")?;
        let y = crate::geo::points::parse_number("y", y, 0, last, "between 0 and 2^z - 1")?;
        Ok(Self { zoom: zoom.unsigned_abs() as u8, x: x.unsigned_abs(), y: y.unsigned_abs() })
    }

    /// The resolution of its cells.
    ///
    /// # Errors
    /// Those of [`crate::parse_resolution`]; there is none for a place that was checked.
    pub fn resolution(self) -> Result<Resolution, Error> {
        crate::parse_resolution(RESOLUTIONS.get(usize::from(self.zoom)).copied().unwrap_or(15).into())
    }

    fn tiles(self) -> f64 {
        f64::from(1u32 << self.zoom)
    }

    /// The part of the world that is drawn in it, its buffer included.
    #[must_use]
    pub fn bbox(self) -> Bbox {
        let lat = |y: f64| {
            let turns = (f64::from(self.y) + y / EXTENT) / self.tiles();
            // The map's ends stand for all that lies beyond.
            if turns <= 0.0 {
                90.0
            } else if turns >= 1.0 {
                -90.0
            } else {
                (PI * (1.0 - 2.0 * turns)).sinh().atan().to_degrees()
            }
        };
        let width = (360.0 * (1.0 + 2.0 * BUFFER / EXTENT) / self.tiles()).min(360.0);
        let west = (f64::from(self.x) - BUFFER / EXTENT) / self.tiles() * 360.0 - 180.0;
        Bbox::new(west, lat(EXTENT + BUFFER), width, lat(-BUFFER))
    }

    /// Where a point lies, in the tile's units.
    fn project(self, point: &Point) -> (f64, f64) {
        let lat = point.lat.clamp(-HIGHEST, HIGHEST).to_radians();
        let (x, y) = ((point.lng + 180.0) / 360.0, (1.0 - lat.tan().asinh() / PI) / 2.0);
        ((x * self.tiles() - f64::from(self.x)) * EXTENT, (y * self.tiles() - f64::from(self.y)) * EXTENT)
    }

    /// The parts of a cell in the tile, each clockwise as one sees it. At the map's sides a cell may be in it twice.
    fn rings(self, cell: CellIndex) -> Vec<Vec<Corner>> {
        let mut parts: Vec<Vec<Corner>> =
            Outline::of(cell).thrice().iter().map(|ring| ring.iter().map(|point| self.project(point)).collect()).collect();
        for side in [Side::Left, Side::Right, Side::Top, Side::Bottom] {
            parts = parts.into_iter().flat_map(|part| side.clip(part)).collect();
        }
        let mut rings = Vec::new();
        for corners in parts {
            let mut rounded: Vec<Corner> = corners.into_iter().map(|(x, y)| (x.round(), y.round())).collect();
            straighten(&mut rounded);
            let area = double_area(&rounded);
            if area != 0.0 {
                // Counterclockwise on the globe, with north up, is against the clock here too: the sign of the area tells.
                if area.is_sign_negative() {
                    rounded.reverse();
                }
                rings.push(rounded);
            }
        }
        rings
    }
}

/// A point in a tile's units; y grows downwards.
type Corner = (f64, f64);

/// Twice the area of a ring: above 0 where it runs clockwise as one sees it.
fn double_area(ring: &[Corner]) -> f64 {
    ring.iter().zip(ring.iter().cycle().skip(1)).map(|(a, b)| a.0 * b.1 - b.0 * a.1).sum()
}

/// Takes out corners on a straight line. Rounding a thin part makes lines that go back on themselves, which no ring may have.
fn straighten(ring: &mut Vec<Corner>) {
    let (mut at, mut kept) = (0, 0);
    while kept < ring.len() {
        let count = ring.len();
        let (a, b, c) = (ring[(at + count - 1) % count], ring[at], ring[(at + 1) % count]);
        if (b.0 - a.0) * (c.1 - b.1) == (b.1 - a.1) * (c.0 - b.0) {
            ring.remove(at);
            // The corner before this one has another neighbour now.
            (at, kept) = (at.saturating_sub(1), 0);
        } else {
            (at, kept) = (at + 1, kept + 1);
        }
        if at >= ring.len() {
            at = 0;
        }
    }
}

/// A side of the square that is drawn.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
    Top,
    Bottom,
}

impl Side {
    /// How far inside a point lies.
    fn depth(self, (x, y): Corner) -> f64 {
        match self {
            Self::Left => x + BUFFER,
            Self::Right => EXTENT + BUFFER - x,
            Self::Top => y + BUFFER,
            Self::Bottom => EXTENT + BUFFER - y,
        }
    }

    /// Where a point of the line lies on it.
    fn along(self, (x, y): Corner) -> f64 {
        match self {
            Self::Left | Self::Right => y,
            Self::Top | Self::Bottom => x,
        }
    }

    /// The parts of a polygon on the inner side of the line.
    fn clip(self, ring: Vec<Corner>) -> Vec<Vec<Corner>> {
        let is_inside = |corner: &Corner| self.depth(*corner) >= 0.0;
        let count = ring.len();
        let Some(start) = (0..count).find(|i| is_inside(&ring[*i]) && !is_inside(&ring[(i + count - 1) % count])) else {
            return if ring.first().is_some_and(is_inside) { vec![ring] } else { Vec::new() };
        };
        // Pieces of the ring, each from where it comes in to where it goes out.
        let mut pieces: Vec<Vec<Corner>> = Vec::new();
        for i in start..start + count {
            let (before, here, next) = (ring[(i + count - 1) % count], ring[i % count], ring[(i + 1) % count]);
            if !is_inside(&here) {
                continue;
            }
            if !is_inside(&before) {
                pieces.push(vec![self.crossing(before, here)]);
            }
            if let Some(piece) = pieces.last_mut() {
                piece.push(here);
                if !is_inside(&next) {
                    piece.push(self.crossing(here, next));
                }
            }
        }
        // Along the line the polygon lies between the first and the second crossing, the third and the fourth, and so on.
        let mut crossings: Vec<(f64, usize, bool)> = Vec::with_capacity(2 * pieces.len());
        for (place, piece) in pieces.iter().enumerate() {
            crossings.extend(piece.first().map(|corner| (self.along(*corner), place, true)));
            crossings.extend(piece.last().map(|corner| (self.along(*corner), place, false)));
        }
        crossings.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut follows = vec![0; pieces.len()];
        for pair in crossings.chunks_exact(2) {
            match (pair[0], pair[1]) {
                ((_, comes, true), (_, goes, false)) | ((_, goes, false), (_, comes, true)) => follows[goes] = comes,
                // Level crossings, sorted either way.
                ((_, one, _), (_, other, _)) => (follows[one], follows[other]) = (one, other),
            }
        }
        let mut parts = Vec::new();
        for first in 0..pieces.len() {
            let (mut part, mut at) = (Vec::new(), first);
            while !pieces[at].is_empty() {
                part.append(&mut pieces[at]);
                at = follows[at];
            }
            parts.extend((!part.is_empty()).then_some(part));
        }
        parts
    }

    fn crossing(self, from: Corner, to: Corner) -> Corner {
        let share = self.depth(from) / (self.depth(from) - self.depth(to));
        (from.0 + (to.0 - from.0) * share, from.1 + (to.1 - from.1) * share)
    }
}

/// The cells as a tile with one layer; nothing where none of them is in it. The properties of a cell: `h3_index`, `total`,
/// `leader` (none in a tie), `dominance`, and `votes_` with a team's name for each team that has votes there.
///
/// # Errors
/// [`Error::ManyVotes`] when a sum leaves 64 bits.
pub fn encode(place: Place, layer: &str, teams: &[String], cells: &[(CellIndex, Counts)]) -> Result<Vec<u8>, Error> {
    let keys: Vec<String> = teams.iter().map(|team| format!("votes_{team}")).collect();
    let mut tile = mvt::Tile::new(EXTENT as u32);
    let mut layer = tile.create_layer(layer);
    for (cell, votes) in cells {
        let Some(geometry) = geometry(&place.rings(*cell)) else { continue };
        let mut feature = layer.into_feature(geometry);
        feature.add_tag_string("h3_index", &cell.to_string());
        feature.add_tag_int("total", tally::total(votes)?);
        if let Some(leader) = dominance::leader(votes).and_then(|place| teams.get(place)) {
            feature.add_tag_string("leader", leader);
        }
        feature.add_tag_double("dominance", dominance::dominance(votes));
        for (key, votes) in keys.iter().zip(votes).filter(|(_, votes)| **votes != 0) {
            feature.add_tag_int(key, *votes);
        }
        layer = feature.into_layer();
    }
    if layer.num_features() == 0 {
        return Ok(Vec::new());
    }
    // Fails for a second layer of the same name or another extent.
    Ok(tile.add_layer(layer).and_then(|()| tile.to_bytes()).unwrap_or_default())
}

fn geometry(rings: &[Vec<Corner>]) -> Option<mvt::GeomData> {
    let mut encoder = GeomEncoder::new(GeomType::Polygon);
    for ring in rings {
        for (x, y) in ring {
            encoder.add_point(*x, *y).ok()?;
        }
        encoder.complete_geom().ok()?;
    }
    // Complete already: `encode` would close the last ring twice.
    encoder.encode().ok().filter(|data| !data.is_empty())
}

#[cfg(test)]
mod tests;
