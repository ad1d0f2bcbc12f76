//! Where a tile begins and ends, and what it says of its cells.

use super::*;

fn place(zoom: i32, x: i32, y: i32) -> Place {
    Place::parse(Some(zoom), Some(x), Some(y)).expect("a place")
}

#[test]
fn refuses_what_is_no_place() {
    for (z, x, y) in [(-1, 0, 0), (25, 0, 0), (0, 1, 0), (1, 0, 2), (3, -1, 0)] {
        assert!(matches!(Place::parse(Some(z), Some(x), Some(y)), Err(Error::Range { .. })), "{z} {x} {y}");
    }
    assert_eq!(Place::parse(Some(1), None, Some(0)).map(|_| ()), Err(Error::Null { what: "x" }));
    assert!(Place::parse(Some(24), Some(16_777_215), Some(0)).is_ok());
}

#[test]
fn the_map_begins_in_the_north_west() {
    let at = |lng, lat| Point { lng, lat, ..Point::default() };
    let (x, y) = place(0, 0, 0).project(&at(-180.0, 85.051_128_779_806_6));
    assert!(x.abs() < 1e-6 && y.abs() < 1e-6, "{x} {y}");
    let (x, y) = place(1, 1, 1).project(&at(0.0, 0.0));
    assert!(x.abs() < 1e-6 && y.abs() < 1e-6, "{x} {y}");
    let bbox = place(1, 1, 1).bbox();
    let at = |lat, lng| h3o::LatLng::new(lat, lng).expect("a point");
    assert!(
        bbox.contains(at(0.0, 0.0))
            && bbox.contains(at(1.0, 0.0))
            && bbox.contains(at(-89.0, 180.0))
            && bbox.contains(at(0.0, -179.0))
    );
    assert!(!bbox.contains(at(4.0, 0.0)) && !bbox.contains(at(-45.0, -90.0)));
}

#[test]
fn resolutions_follow_the_zoom() {
    assert!(RESOLUTIONS.is_sorted());
    for (zoom, resolution) in RESOLUTIONS.iter().enumerate() {
        // Cells of the mean area on the equator.
        let cells = 3.0 * Resolution::try_from(*resolution).expect("0 to 15").cell_count() as f64 / 4f64.powi(zoom as i32);
        assert!((*resolution == 15 && zoom >= 21) || (350.0..=3_000.0).contains(&cells), "zoom {zoom}: {cells}");
    }
}

#[test]
fn a_tile_without_cells_is_empty() {
    let teams = ["home".to_owned()];
    assert_eq!(encode(place(0, 0, 0), "votes", &teams, &[]), Ok(vec![]));
    let cell = crate::parse_cell(b"872a1072bffffff").expect("a cell of New York");
    assert_eq!(encode(place(1, 1, 0), "votes", &teams, &[(cell, vec![1])]), Ok(vec![]));
    assert_ne!(encode(place(1, 0, 0), "votes", &teams, &[(cell, vec![1])]), Ok(vec![]));
}

#[test]
fn rings_do_not_go_back_on_themselves() {
    let straight = |corners: &[Corner]| {
        let mut ring = corners.to_vec();
        straighten(&mut ring);
        ring
    };
    let triangle = [(3465.0, -64.0), (3447.0, -43.0), (3307.0, -64.0)];
    assert_eq!(straight(&[triangle[0], triangle[1], triangle[2], (3306.0, -64.0)]), triangle, "a spike");
    assert_eq!(
        straight(&[(3400.0, -64.0), triangle[0], triangle[0], triangle[1], triangle[2]]),
        triangle,
        "a point on a side, one twice"
    );
    assert_eq!(straight(&[(0.0, 0.0), (5.0, 0.0), (9.0, 0.0), (4.0, 0.0)]), [], "no area");
    // A corner in the middle of each side, upright, level and slanting.
    let square = [(10.0, 10.0), (10.0, 12.0), (10.0, 14.0), (12.0, 14.0), (14.0, 14.0), (12.0, 12.0)];
    assert_eq!(straight(&square), [(10.0, 10.0), (10.0, 14.0), (14.0, 14.0)]);
    let hexagon = [(7.0, 1.0), (9.0, 2.0), (9.0, 5.0), (7.0, 6.0), (5.0, 4.0), (6.0, 2.0)];
    assert_eq!(straight(&hexagon), hexagon, "no corner is on a line");
    assert_eq!(straight(&[]), []);
}

#[test]
fn an_area_is_above_zero_clockwise() {
    // (3, 1) × (1, 5), and a square of 3 by 2; y grows downwards.
    assert_eq!(double_area(&[(10.0, 20.0), (13.0, 21.0), (11.0, 25.0)]), 14.0);
    assert_eq!(double_area(&[(1.0, 1.0), (4.0, 1.0), (4.0, 3.0), (1.0, 3.0)]), 12.0);
    assert_eq!(double_area(&[(1.0, 3.0), (4.0, 3.0), (4.0, 1.0), (1.0, 1.0)]), -12.0);
}

#[test]
fn every_part_is_in_the_square_and_clockwise() {
    for base in CellIndex::base_cells() {
        for place in [place(0, 0, 0), place(1, 0, 1), place(2, 3, 0), place(3, 0, 7)] {
            for ring in place.rings(base) {
                let square = -BUFFER..=EXTENT + BUFFER;
                assert!(
                    double_area(&ring) > 0.0 && ring.iter().all(|(x, y)| square.contains(x) && square.contains(y)),
                    "{base} {ring:?}"
                );
            }
        }
    }
}

/// Even-odd: does a line from the point to the left meet the rings an odd number of times?
fn is_in(rings: &[Vec<Corner>], (x, y): Corner) -> bool {
    let edges = rings.iter().flat_map(|ring| ring.iter().zip(ring.iter().cycle().skip(1)));
    let left = edges.filter(|(a, b)| (a.1 > y) != (b.1 > y) && a.0 + (y - a.1) / (b.1 - a.1) * (b.0 - a.0) < x);
    !left.count().is_multiple_of(2)
}

#[test]
fn a_side_takes_off_what_is_beyond_it_and_nothing_else() {
    let mut state = 3u64;
    let mut draw = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    let mut most = 0;
    for round in 0..400 {
        // A star about a point near the line, which meets the line many times.
        let side = [Side::Left, Side::Right, Side::Top, Side::Bottom][round % 4];
        let near = if matches!(side, Side::Left | Side::Top) { -BUFFER } else { EXTENT + BUFFER };
        let (depth, along, corners) = (near + 200.0 * (draw() - 0.5), 4_096.0 * draw(), 3 + round % 20);
        let at = |depth: f64, along: f64| if matches!(side, Side::Left | Side::Right) { (depth, along) } else { (along, depth) };
        let star: Vec<Corner> = (0..corners)
            .map(|i| {
                let (angle, radius) = (2.0 * PI * i as f64 / corners as f64, 20.0 + 480.0 * draw());
                at(depth + radius * angle.cos(), along + radius * angle.sin())
            })
            .collect();
        let parts = side.clip(star.clone());
        most = most.max(parts.len());
        for _ in 0..50 {
            let (off, beside) = (depth + 1_000.0 * (draw() - 0.5), along + 1_000.0 * (draw() - 0.5));
            let is_inside = if near < 0.0 { off >= near } else { off <= near };
            let right = is_inside && is_in(std::slice::from_ref(&star), at(off, beside));
            // In one part, and not in two that lie on each other.
            let held = parts.iter().filter(|part| is_in(std::slice::from_ref(part), at(off, beside))).count();
            assert_eq!(held, usize::from(right), "{off} {beside} of {star:?}");
        }
    }
    assert!(most > 2, "{most} parts");
}

#[test]
fn a_cell_is_drawn_where_it_lies() {
    for cell in CellIndex::base_cells().flat_map(|base| base.children(Resolution::One)) {
        let center = h3o::LatLng::from(cell);
        if center.lat().abs() > 80.0 {
            continue;
        }
        // By hand: the square of zoom 2 that the centre is in, and its place there.
        let (right, down) = ((center.lng() + 180.0) / 90.0, 2.0 - 2.0 / PI * (PI / 4.0 + center.lat_radians() / 2.0).tan().ln());
        let place = place(2, right.floor() as i32, down.floor() as i32);
        let at = (right.fract() * EXTENT, down.fract() * EXTENT);
        assert!(is_in(&place.rings(cell), at), "{cell} {at:?}");
        assert!(place.bbox().contains(center));
        for other in crate::geo::points::neighbors(cell, 1).expect("one step") {
            assert!(!is_in(&place.rings(other), at), "{other} is not {cell}");
        }
    }
}

#[test]
fn a_tile_reaches_as_far_as_its_buffer() {
    let contains = |place: Place, lat: f64, lng: f64| place.bbox().contains(h3o::LatLng::new(lat, lng).expect("a point"));
    // 64 of 4,096 units, of 90 degrees.
    let buffer = 90.0 / 64.0;
    let inner = place(2, 1, 1);
    for (lng, is_there) in
        [(-90.0 - buffer + 0.01, true), (-90.0 - buffer - 0.01, false), (buffer - 0.01, true), (buffer + 0.01, false)]
    {
        assert_eq!(contains(inner, 30.0, lng), is_there, "{lng}");
    }
    // Mercator is all but linear at the equator, and 66.51 degrees are a quarter of the map.
    for (lat, is_there) in [(-buffer + 0.01, true), (-buffer - 0.01, false), (66.52, true), (67.0, true), (67.2, false)] {
        assert_eq!(contains(inner, lat, -45.0), is_there, "{lat}");
    }
    let whole = place(0, 0, 0);
    assert!(
        [(89.99, 0.0), (-89.99, 0.0), (0.0, -180.0), (0.0, 180.0), (0.0, 0.0)]
            .iter()
            .all(|(lat, lng)| contains(whole, *lat, *lng))
    );
    assert!(contains(place(2, 0, 0), 89.99, -135.0) && contains(place(2, 0, 3), -89.99, -135.0));
    assert!(!contains(place(2, 0, 1), 89.99, -135.0) && !contains(place(2, 0, 2), -89.99, -135.0));
}

/// A field of a protocol buffer: its number, and its bytes or its value.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>, u64)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return value;
            }
        }
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        match key & 7 {
            0 => fields.push((key >> 3, Vec::new(), varint(&mut bytes))),
            kind => {
                let length = if kind == 1 { 8 } else { varint(&mut bytes) as usize };
                fields.push((key >> 3, bytes[..length].to_vec(), 0));
                bytes = &bytes[length..];
            }
        }
    }
    fields
}

/// The properties of each feature, as text in order.
fn properties(tile: &[u8]) -> Vec<Vec<String>> {
    let layer = fields(&fields(tile)[0].1);
    let of = |number: u64| layer.iter().filter(move |field| field.0 == number).map(|field| field.1.clone());
    let keys: Vec<String> = of(3).map(|key| String::from_utf8(key).expect("text")).collect();
    let values: Vec<String> = of(4)
        .map(|value| match &fields(&value)[0] {
            (1, text, _) => String::from_utf8(text.clone()).expect("text"),
            (3, double, _) => f64::from_le_bytes(double[..].try_into().expect("8 bytes")).to_string(),
            (_, _, number) => number.to_string(),
        })
        .collect();
    let tags = |feature: Vec<u8>| fields(&feature).into_iter().find(|field| field.0 == 2).expect("tags").1;
    of(2)
        .map(|feature| {
            tags(feature).chunks(2).map(|tag| format!("{}={}", keys[usize::from(tag[0])], values[usize::from(tag[1])])).collect()
        })
        .collect()
}

#[test]
fn a_feature_says_what_the_cell_has() {
    let teams = ["home".to_owned(), "away".to_owned(), "none".to_owned()];
    let near = |lat, lng| h3o::LatLng::new(lat, lng).expect("a point").to_cell(Resolution::Four);
    let (cell, far, tie) = (near(40.7, -74.0), near(35.7, 139.7), near(42.4, -71.1));
    let tile = encode(place(1, 0, 0), "votes", &teams, &[(cell, vec![3, 1]), (far, vec![1]), (tie, vec![2, 2, 0])]);
    let tile = tile.expect("small");
    assert_eq!(
        properties(&tile),
        [
            vec![&*format!("h3_index={cell}"), "total=4", "leader=home", "dominance=0.5", "votes_home=3", "votes_away=1"],
            vec![&format!("h3_index={tie}"), "total=4", "dominance=0", "votes_home=2", "votes_away=2"],
        ]
    );
    assert!(encode(place(1, 0, 0), "votes", &teams, &[(cell, vec![i64::MAX, 1])]).is_err());
}
