//! GeoJSON (RFC 7946), written as text. Coordinates have nine decimals, a tenth of a millimetre.

use crate::outline::{Outline, Point, Ring};
use crate::tally::Counts;
use crate::territory::Territory;
use crate::{CellIndex, dominance, tally};
use serde_json::to_string;

/// About what a cell takes: seven corners and its properties.
const BYTES_A_CELL: usize = 400;

/// Appends features to a FeatureCollection.
pub struct Collection {
    /// Each team's name as JSON.
    teams: Vec<String>,
    text: String,
    is_empty: bool,
}

impl Collection {
    /// An empty collection with room for about so many cells; `teams` in the order of the counts.
    #[must_use]
    pub fn new(teams: &[String], cells: usize) -> Self {
        let quoted = teams.iter().map(|team| to_string(team).unwrap_or_default()).collect();
        let mut text = String::with_capacity(cells.min(1_000_000) * BYTES_A_CELL);
        text.push_str(r#"{"type":"FeatureCollection","features":["#);
        Self { teams: quoted, text, is_empty: true }
    }

    /// How long the text is so far, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// Appends a cell.
    ///
    /// # Errors
    /// [`crate::Error::ManyVotes`] when the sum of its votes leaves 64 bits.
    pub fn add_cell(&mut self, cell: CellIndex, votes: &Counts) -> Result<(), crate::Error> {
        self.begin();
        self.text.push_str(r#","id":""#);
        let start = self.text.len();
        push_display(&mut self.text, cell);
        let name = start..self.text.len();
        self.text.push_str(r#"","geometry":"#);
        push_geometry(&mut self.text, cell);
        self.text.push_str(r#","properties":{"h3_index":""#);
        self.text.extend_from_within(name);
        self.text.push_str(r#"","resolution":"#);
        push_display(&mut self.text, u8::from(cell.resolution()));
        self.end(votes)
    }

    /// Appends a territory of cells of one resolution, with the sum of their votes.
    ///
    /// # Errors
    /// [`crate::Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn add_territory(&mut self, territory: &Territory, cells: &[(CellIndex, Counts)]) -> Result<(), crate::Error> {
        let mut votes = Counts::new();
        let own = || territory.cells.iter().filter_map(|place| cells.get(*place));
        own().try_for_each(|(_, more)| tally::add_all(&mut votes, more))?;
        self.begin();
        self.text.push_str(r#","geometry":"#);
        push_surfaces(&mut self.text, territory.surfaces.iter().map(|surface| (&surface.shell, &surface.holes[..])));
        self.text.push_str(r#","properties":{"cells":"#);
        push_display(&mut self.text, territory.cells.len());
        if let Some((cell, _)) = own().next() {
            self.text.push_str(r#","resolution":"#);
            push_display(&mut self.text, u8::from(cell.resolution()));
        }
        self.end(&votes)
    }

    fn begin(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.text.push(',');
        }
        self.text.push_str(r#"{"type":"Feature""#);
    }

    fn end(&mut self, votes: &Counts) -> Result<(), crate::Error> {
        self.text.push_str(r#","votes":{"#);
        let some = self.teams.iter().zip(votes).filter(|(_, votes)| **votes != 0);
        for (i, (team, votes)) in some.enumerate() {
            if i > 0 {
                self.text.push(',');
            }
            self.text.push_str(team);
            self.text.push(':');
            push_display(&mut self.text, votes);
        }
        self.text.push_str(r#"},"total":"#);
        push_display(&mut self.text, tally::total(votes)?);
        self.text.push_str(r#","leader":"#);
        let leader = dominance::leader(votes).and_then(|place| self.teams.get(place));
        self.text.push_str(leader.map_or("null", |team| team));
        self.text.push_str(r#","dominance":"#);
        push_display(&mut self.text, dominance::dominance(votes));
        self.text.push_str("}}");
        Ok(())
    }

    /// The text.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.text.push_str("]}");
        self.text
    }
}

/// A cell as a GeoJSON geometry: a Polygon, or a MultiPolygon where the antimeridian cuts it.
#[must_use]
pub fn geometry(cell: CellIndex) -> String {
    let mut text = String::with_capacity(256);
    push_geometry(&mut text, cell);
    text
}

fn push_geometry(text: &mut String, cell: CellIndex) {
    let rings = Outline::of(cell).cut();
    push_surfaces(text, rings.iter().map(|ring| (ring, &[][..])));
}

fn push_surfaces<'a>(text: &mut String, surfaces: impl ExactSizeIterator<Item = (&'a Ring, &'a [Ring])>) {
    let is_one = surfaces.len() == 1;
    text.push_str(if is_one { r#"{"type":"Polygon","coordinates":"# } else { r#"{"type":"MultiPolygon","coordinates":["# });
    for (i, (shell, holes)) in surfaces.enumerate() {
        text.push_str(if i > 0 { ",[" } else { "[" });
        push_ring(text, shell);
        for hole in holes {
            text.push(',');
            push_ring(text, hole);
        }
        text.push(']');
    }
    text.push_str(if is_one { "}" } else { "]}" });
}

fn push_ring(text: &mut String, ring: &[Point]) {
    text.push('[');
    for (i, point) in ring.iter().chain(ring.first()).enumerate() {
        text.push_str(if i > 0 { ",[" } else { "[" });
        push_degrees(text, point.lng);
        text.push(',');
        push_degrees(text, point.lat);
        text.push(']');
    }
    text.push(']');
}

/// Degrees with nine decimals, without zeros at the end. Written digit by digit: through `fmt` it is a third of a GeoJSON's cost.
fn push_degrees(text: &mut String, degrees: f64) {
    const UNIT: u64 = 1_000_000_000;
    // At most 360 degrees: far below what fits.
    let billionths = (degrees.abs() * UNIT as f64).round() as u64;
    let (mut whole, mut rest) = ((billionths / UNIT) as u32, (billionths % UNIT) as u32);
    // A sign, three digits, the point, nine digits.
    let mut buffer = [b'.'; 14];
    for place in buffer[5..].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let mut start = 4;
    while start == 4 || whole > 0 {
        start -= 1;
        buffer[start] = b'0' + (whole % 10) as u8;
        whole /= 10;
    }
    if degrees < 0.0 && billionths > 0 {
        start -= 1;
        buffer[start] = b'-';
    }
    let is_part = |digit: &u8| *digit != b'0';
    let end = buffer[5..].iter().rposition(is_part).map_or(4, |last| 6 + last);
    text.push_str(std::str::from_utf8(&buffer[start..end]).unwrap_or_default());
}

fn push_display(text: &mut String, value: impl std::fmt::Display) {
    use std::fmt::Write;
    // Writing to a String cannot fail.
    let _ = write!(text, "{value}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn degrees_are_written_as_they_are() {
        for (degrees, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (-180.0, "-180"),
            (90.0, "90"),
            (1.5, "1.5"),
            (-0.25, "-0.25"),
            (12.000_000_001, "12.000000001"),
            (-73.123_456_789_4, "-73.123456789"),
            (0.999_999_999_9, "1"),
            (-1e-12, "0"),
        ] {
            let mut written = String::new();
            push_degrees(&mut written, degrees);
            assert_eq!(written, text);
        }
    }

    #[test]
    fn a_collection_is_json() {
        let teams = ["home \"A\"".to_owned(), "away".to_owned()];
        assert_eq!(Collection::new(&teams, 1).finish(), r#"{"type":"FeatureCollection","features":[]}"#);
        let cell = crate::parse_cell(b"872a1072bffffff").expect("a cell");
        let fiji = crate::geo::parse_point(-17.0, 180.0).expect("a point").to_cell(crate::Resolution::Two);
        let mut collection = Collection::new(&teams, 1);
        collection.add_cell(cell, &vec![3, 1]).expect("small");
        collection.add_cell(fiji, &vec![2, 2]).expect("small");
        let cells = [(cell, vec![3, 1]), (fiji, vec![2])];
        for territory in crate::territory::merge(&[cell, fiji], || ()) {
            collection.add_territory(&territory, &cells).expect("small");
        }
        let json: Value = serde_json::from_str(&collection.finish()).expect("JSON");
        let features = json["features"].as_array().expect("a list");
        assert_eq!(features.len(), 4);
        assert_eq!(features[0]["id"], "872a1072bffffff");
        assert_eq!(features[0]["geometry"]["coordinates"][0].as_array().map(Vec::len), Some(7));
        assert_eq!(features[0]["properties"]["votes"], serde_json::json!({"home \"A\"": 3, "away": 1}));
        assert_eq!(features[0]["properties"]["leader"], teams[0]);
        assert_eq!(features[0]["properties"]["dominance"], 0.5);
        assert_eq!(features[1]["geometry"]["type"], "MultiPolygon");
        assert_eq!(features[1]["properties"]["leader"], Value::Null);
        assert_eq!((&features[2]["properties"]["cells"], &features[3]["properties"]["total"]), (&1.into(), &2.into()));
        assert_eq!(features[3]["geometry"], features[1]["geometry"]);
    }
}
