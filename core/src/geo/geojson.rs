//! GeoJSON (RFC 7946), written as text. Coordinates have nine decimals, a tenth of a millimetre.

use crate::CellIndex;
use crate::geo::outline::{Outline, Ring, is_plain};
use crate::geo::territory::Territory;
use crate::vote::dominance;
use crate::vote::tally;
use crate::vote::tally::Counts;
use serde_json::to_string;

/// About what a cell takes: seven corners and its properties.
const BYTES_A_CELL: usize = 640;

/// Appends features to a FeatureCollection.
pub struct Collection {
    /// Each team's name as JSON.
    teams: Vec<String>,
    text: Text,
    is_empty: bool,
}

impl Collection {
    /// An empty collection with room for about so many cells; `teams` in the order of the counts.
    #[must_use]
    pub fn new(teams: &[String], cells: usize) -> Self {
        let quoted = teams.iter().map(|team| to_string(team).unwrap_or_default()).collect();
        let mut text = Text(Vec::with_capacity(cells.min(100_000) * BYTES_A_CELL));
        text.push(r#"{"type":"FeatureCollection","features":["#);
        Self { teams: quoted, text, is_empty: true }
    }

    /// How long the text is so far, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.text.0.len()
    }

    /// Appends a cell.
    ///
    /// # Errors
    /// [`crate::Error::ManyVotes`] when the sum of its votes leaves 64 bits.
    pub fn add_cell(&mut self, cell: CellIndex, votes: &Counts) -> Result<(), crate::Error> {
        self.begin();
        self.text.push(r#","id":""#);
        let start = self.text.0.len();
        self.text.push_cell(cell);
        let name = start..self.text.0.len();
        self.text.push(r#"","geometry":"#);
        push_geometry(&mut self.text, cell);
        self.text.push(r#","properties":{"h3_index":""#);
        self.text.0.extend_from_within(name);
        self.text.push(r#"","resolution":"#);
        self.text.push_number(u8::from(cell.resolution()).into());
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
        self.text.push(r#","geometry":"#);
        push_surfaces(&mut self.text, territory.surfaces.iter().map(|surface| (&surface.shell, &surface.holes[..])));
        self.text.push(r#","properties":{"cells":"#);
        self.text.push_display(territory.cells.len());
        if let Some((cell, _)) = own().next() {
            self.text.push(r#","resolution":"#);
            self.text.push_number(u8::from(cell.resolution()).into());
        }
        self.end(&votes)
    }

    fn begin(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.text.push(",");
        }
        self.text.push(r#"{"type":"Feature""#);
    }

    fn end(&mut self, votes: &Counts) -> Result<(), crate::Error> {
        self.text.push(r#","votes":{"#);
        let some = self.teams.iter().zip(votes).filter(|(_, votes)| **votes != 0);
        for (i, (team, votes)) in some.enumerate() {
            if i > 0 {
                self.text.push(",");
            }
            self.text.push(team);
            self.text.push(":");
            self.text.push_number(*votes);
        }
        self.text.push(r#"},"total":"#);
        self.text.push_number(tally::total(votes)?);
        self.text.push(r#","leader":"#);
        let leader = dominance::leader(votes).and_then(|place| self.teams.get(place));
        self.text.push(leader.map_or("null", |team| team));
        self.text.push(r#","dominance":"#);
        self.text.push_display(dominance::dominance(votes));
        self.text.push("}}");
        Ok(())
    }

    /// The text.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.text.push("]}");
        self.text.finish()
    }
}

/// A cell as a GeoJSON geometry: a Polygon, or a MultiPolygon where the antimeridian cuts it.
#[must_use]
pub fn geometry(cell: CellIndex) -> String {
    let mut text = Text::default();
    push_geometry(&mut text, cell);
    text.finish()
}

fn push_geometry(text: &mut Text, cell: CellIndex) {
    let boundary = cell.boundary();
    if is_plain(&boundary) {
        text.push(r#"{"type":"Polygon","coordinates":["#);
        text.push_ring(boundary.iter().map(|corner| (corner.lng(), corner.lat())));
        text.push("]}");
        return;
    }
    let rings = Outline::of(cell).cut();
    push_surfaces(text, rings.iter().map(|ring| (ring, &[][..])));
}

fn push_surfaces<'a>(text: &mut Text, surfaces: impl ExactSizeIterator<Item = (&'a Ring, &'a [Ring])>) {
    let is_one = surfaces.len() == 1;
    text.push(if is_one { r#"{"type":"Polygon","coordinates":"# } else { r#"{"type":"MultiPolygon","coordinates":["# });
    for (i, (shell, holes)) in surfaces.enumerate() {
        text.push(if i > 0 { ",[" } else { "[" });
        text.push_ring(shell.iter().map(|point| (point.lng, point.lat)));
        for hole in holes {
            text.push(",");
            text.push_ring(hole.iter().map(|point| (point.lng, point.lat)));
        }
        text.push("]");
    }
    text.push(if is_one { "}" } else { "]}" });
}

/// Text as bytes: coordinates are digits, which need no check that they are text, one by one.
#[derive(Default)]
struct Text(Vec<u8>);

impl Text {
    fn push(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    fn push_display(&mut self, value: impl std::fmt::Display) {
        use std::io::Write;
        // Writing to a Vec cannot fail.
        let _ = write!(self.0, "{value}");
    }

    /// The usual text of a cell: its 64 bits in hexadecimal, 15 digits.
    fn push_cell(&mut self, cell: CellIndex) {
        let bits = u64::from(cell);
        let digit = |place: u32| b"0123456789abcdef"[(bits >> (4 * (14 - place)) & 15) as usize];
        self.0.extend((0..15).map(digit));
    }

    fn push_number(&mut self, number: i64) {
        let (mut rest, mut buffer, mut start) = (number.unsigned_abs(), [b'-'; 20], 20);
        while start == 20 || rest > 0 {
            start -= 1;
            buffer[start] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        start -= usize::from(number < 0);
        self.0.extend_from_slice(&buffer[start..]);
    }

    /// A ring of points, which are longitude and latitude, closed by its first.
    fn push_ring(&mut self, ring: impl Iterator<Item = (f64, f64)> + Clone) {
        self.push("[");
        for (i, (lng, lat)) in ring.clone().chain(ring.take(1)).enumerate() {
            self.push(if i > 0 { ",[" } else { "[" });
            self.push_degrees(lng);
            self.push(",");
            self.push_degrees(lat);
            self.push("]");
        }
        self.push("]");
    }

    /// Degrees with nine decimals, without zeros at the end: digit by digit, two at a time. Through `fmt` this is a third of
    /// what a GeoJSON costs.
    fn push_degrees(&mut self, degrees: f64) {
        const UNIT: u64 = 1_000_000_000;
        // At most 360 degrees: far below what fits.
        let billionths = (degrees.abs() * UNIT as f64 + 0.5) as u64;
        let (whole, mut rest) = ((billionths / UNIT) as u32, (billionths % UNIT) as u32);
        // A sign, three digits, the point, nine digits.
        let mut buffer = [b'.'; 14];
        for place in [12, 10, 8, 6] {
            buffer[place..place + 2].copy_from_slice(&PAIRS[(rest % 100) as usize]);
            rest /= 100;
        }
        buffer[5] = b'0' + rest as u8;
        buffer[2..4].copy_from_slice(&PAIRS[(whole % 100) as usize]);
        buffer[1] = b'0' + (whole / 100) as u8;
        let mut start = if whole < 10 {
            3
        } else if whole < 100 {
            2
        } else {
            1
        };
        if degrees.is_sign_negative() && billionths > 0 {
            start -= 1;
            buffer[start] = b'-';
        }
        let end = buffer[5..].iter().rposition(|digit| *digit != b'0').map_or(4, |last| 6 + last);
        self.0.extend_from_slice(&buffer[start..end]);
    }

    fn finish(self) -> String {
        String::from_utf8(self.0).unwrap_or_default()
    }
}

/// The digits of 0 to 99.
static PAIRS: &[[u8; 2]] = b"\
    0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
    5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899"
    .as_chunks()
    .0;

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
            (10.0, "10"),
            (100.000_01, "100.00001"),
            (-179.999_999_999, "-179.999999999"),
            (-0.25, "-0.25"),
            (12.000_000_001, "12.000000001"),
            (-73.123_456_789_4, "-73.123456789"),
            (0.999_999_999_9, "1"),
            (-1e-12, "0"),
        ] {
            let mut written = Text::default();
            written.push_degrees(degrees);
            assert_eq!(written.finish(), text);
        }
    }

    #[test]
    fn each_pair_of_digits_is_written_as_it_is() {
        for hundredths in 0..36_000 {
            let (mut written, degrees) = (Text::default(), f64::from(hundredths) / 100.0);
            written.push_degrees(degrees);
            assert_eq!(written.finish(), degrees.to_string());
        }
    }

    #[test]
    fn a_geometry_is_one_polygon_or_two_where_the_antimeridian_cuts_it() {
        let cell = crate::geo::points::parse_point(0.0, 180.0).expect("a point").to_cell(crate::Resolution::Five);
        assert!(geometry(cell).starts_with(r#"{"type":"MultiPolygon","coordinates":[[["#), "{}", geometry(cell));
        let cell = crate::parse_cell(b"872a1072bffffff").expect("a cell"); // New York
        let geometry: serde_json::Value = serde_json::from_str(&geometry(cell)).expect("JSON");
        assert_eq!(geometry["type"], "Polygon");
        let ring = geometry["coordinates"][0].as_array().expect("a ring");
        assert_eq!((ring.len(), &ring[0]), (7, &ring[6]), "closed");
        for (corner, right) in ring.iter().zip(cell.boundary().iter()) {
            let near = |place: usize, right: f64| (corner[place].as_f64().expect("degrees") - right).abs() < 1e-8;
            assert!(near(0, right.lng()) && near(1, right.lat()), "{corner} {right}");
        }
    }

    #[test]
    fn numbers_and_cells_are_written_as_they_are() {
        for number in [0, 7, 10, -1, 1_234_567_890, i64::MAX, i64::MIN] {
            let mut written = Text::default();
            written.push_number(number);
            assert_eq!(written.finish(), number.to_string());
        }
        for cell in CellIndex::base_cells().flat_map(|base| base.children(crate::Resolution::Two)) {
            let mut written = Text::default();
            written.push_cell(cell);
            assert_eq!(written.finish(), cell.to_string());
        }
    }

    #[test]
    fn a_collection_is_json() {
        let teams = ["home \"A\"".to_owned(), "away".to_owned()];
        assert_eq!(Collection::new(&teams, 1).finish(), r#"{"type":"FeatureCollection","features":[]}"#);
        let cell = crate::parse_cell(b"872a1072bffffff").expect("a cell");
        let fiji = crate::geo::points::parse_point(-17.0, 180.0).expect("a point").to_cell(crate::Resolution::Two);
        let mut collection = Collection::new(&teams, 1);
        collection.add_cell(cell, &vec![3, 1]).expect("small");
        collection.add_cell(fiji, &vec![2, 2]).expect("small");
        let cells = [(cell, vec![3, 1]), (fiji, vec![2])];
        for territory in crate::geo::territory::merge(&[cell, fiji], || ()) {
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

    #[test]
    fn surfaces_are_lists_of_rings() {
        let ring = |lng: f64| {
            [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]
                .map(|(x, y)| crate::geo::outline::Point { lng: lng + x, lat: y, ..Default::default() })
                .to_vec()
        };
        let text = |shapes: &[(Ring, Vec<Ring>)]| {
            let mut text = Text::default();
            push_surfaces(&mut text, shapes.iter().map(|(shell, holes)| (shell, &holes[..])));
            text.finish()
        };
        let (one, two, three) = ("[[0,0],[1,0],[0,1],[0,0]]", "[[2,0],[3,0],[2,1],[2,0]]", "[[4,0],[5,0],[4,1],[4,0]]");
        assert_eq!(text(&[(ring(0.0), vec![])]), format!(r#"{{"type":"Polygon","coordinates":[{one}]}}"#));
        let holes = [(ring(0.0), vec![ring(2.0), ring(4.0)])];
        assert_eq!(text(&holes), format!(r#"{{"type":"Polygon","coordinates":[{one},{two},{three}]}}"#));
        let apart = [(ring(0.0), vec![]), (ring(2.0), vec![ring(4.0)])];
        assert_eq!(text(&apart), format!(r#"{{"type":"MultiPolygon","coordinates":[[{one}],[{two},{three}]]}}"#));
    }

    #[test]
    fn a_feature_is_written_in_one_way() {
        let cell = crate::parse_cell(b"872a1072bffffff").expect("a cell");
        let teams = ["home".to_owned(), "away".to_owned()];
        let mut collection = Collection::new(&teams, 0);
        assert_eq!(collection.bytes(), r#"{"type":"FeatureCollection","features":["#.len());
        collection.add_cell(cell, &vec![3, 1]).expect("small");
        let territory = &crate::geo::territory::merge(&[cell], || ())[0];
        collection.add_territory(territory, &[(cell, vec![0, 2])]).expect("small");
        assert!(collection.add_cell(cell, &vec![i64::MAX, 1]).is_err());
        assert!(collection.add_territory(territory, &[(cell, vec![i64::MAX, 1])]).is_err());
        let mut collection = Collection::new(&teams, 0);
        collection.add_cell(cell, &vec![3, 1]).expect("small");
        collection.add_territory(territory, &[(cell, vec![0, 2])]).expect("small");
        let (bytes, text) = (collection.bytes(), collection.finish());
        assert_eq!(bytes + "]}".len(), text.len());
        let shape = geometry(cell);
        let first = format!(
            r#"{{"type":"Feature","id":"872a1072bffffff","geometry":{shape},"properties":{{"h3_index":"872a1072bffffff","resolution":7,"votes":{{"home":3,"away":1}},"total":4,"leader":"home","dominance":0.5}}}}"#
        );
        assert!(text.contains(&first), "{text}");
        let properties =
            r#""properties":{"cells":1,"resolution":7,"votes":{"away":2},"total":2,"leader":"away","dominance":1}}]}"#;
        assert!(text.ends_with(properties), "{text}");
        assert!(text.contains(r#"}},{"type":"Feature","geometry":"#), "{text}");
    }
}
