//! The part of the world that a client looks at: cells of H3, with all that lies in them.

use serde_json::Value;
use std::cmp::Ordering;
use std::ops::RangeInclusive;
use vote_agg_core::{CellIndex, Resolution, parse_cell};

/// The most cells that an area may name.
pub const MOST_CELLS: usize = 256;

/// The bits of an index that say its resolution.
const RESOLUTION: u64 = 0xf << 52;

/// A cell in an order in which it comes right behind all that lies in it, and nothing else comes between.
///
/// An index has a digit from 0 to 6 for each resolution down to the cell's own, and then nothing but 7. So, without the bits that say
/// the resolution, the indexes in a cell go from the one with zeros in place of these 7, up to the cell's own.
#[derive(Clone, Copy, Debug)]
pub struct Spot(pub CellIndex);

impl Spot {
    fn number(self) -> u64 {
        u64::from(self.0) & !RESOLUTION
    }

    /// All that lies in the cell, and the cell.
    fn range(cell: CellIndex) -> RangeInclusive<Self> {
        Self(cell.center_child(Resolution::Fifteen).unwrap_or(cell))..=Self(cell)
    }
}

impl Ord for Spot {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number().cmp(&other.number())
    }
}

impl PartialOrd for Spot {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Spot {
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

impl Eq for Spot {}

/// Some cells. Another cell is in the area when it is one of them, lies in one, or holds one: votes may be counted in cells that
/// are coarser than those that are named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Area {
    /// Those that were named, in the order of their index.
    pub cells: Vec<CellIndex>,
    /// Sorted, and apart from each other.
    ranges: Vec<RangeInclusive<Spot>>,
}

impl Area {
    /// Parses what a client sent as an area.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(key: &str, value: &Value) -> Result<Self, String> {
        let list = value.as_array().ok_or_else(|| format!("{key} must be an array of H3 cells, or null for all cells"))?;
        Self::parse_names(key, list.iter().map(Value::as_str))
    }

    /// The area of the cells with these names.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub fn parse_names<'a>(key: &str, names: impl ExactSizeIterator<Item = Option<&'a str>>) -> Result<Self, String> {
        let count = names.len();
        if count == 0 || count > MOST_CELLS {
            return Err(format!("{key} must name 1 to {MOST_CELLS} cells, not {count}"));
        }
        let parse = |name: Option<&str>| match name {
            Some(name) => parse_cell(name.as_bytes()).map_err(|e| format!("{key}: {e}")),
            None => Err(format!("{key} must be an array of H3 cells as text, such as \"832a10fffffffff\"")),
        };
        Ok(Self::new(names.map(parse).collect::<Result<_, _>>()?))
    }

    fn new(mut cells: Vec<CellIndex>) -> Self {
        cells.sort_unstable();
        cells.dedup();
        let own = cells.iter().map(|cell| Spot::range(*cell));
        let above =
            cells.iter().flat_map(|cell| Resolution::range(Resolution::Zero, cell.resolution()).filter_map(|r| cell.parent(r)));
        let mut ranges: Vec<_> = own.chain(above.map(|cell| Spot(cell)..=Spot(cell))).collect();
        ranges.sort_unstable_by_key(|range| (*range.start(), *range.end()));
        let mut apart: Vec<RangeInclusive<Spot>> = Vec::new();
        for range in ranges {
            match apart.last_mut() {
                Some(last) if range.start().number() <= last.end().number() + 1 => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => apart.push(range),
            }
        }
        Self { cells, ranges: apart }
    }

    /// Whether the cell is in the area.
    #[must_use]
    pub fn contains(&self, cell: CellIndex) -> bool {
        let place = self.ranges.partition_point(|range| *range.end() < Spot(cell));
        self.ranges.get(place).is_some_and(|range| range.contains(&Spot(cell)))
    }

    /// Where the cells in it are found: in this order, and apart from each other.
    #[must_use]
    pub fn ranges(&self) -> &[RangeInclusive<Spot>] {
        &self.ranges
    }

    /// What is in the area, of a list in the order of spots.
    pub fn pick<'a, T>(&'a self, mut sorted: &'a [(Spot, T)]) -> impl Iterator<Item = &'a T> {
        self.ranges.iter().flat_map(move |range| {
            let from = sorted.partition_point(|(spot, _)| spot < range.start());
            let to = from + sorted[from..].partition_point(|(spot, _)| spot <= range.end());
            let found = &sorted[from..to];
            sorted = &sorted[to..];
            found.iter().map(|(_, item)| item)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use vote_agg_core::vote::cell::roll_up;

    fn cell(name: &str) -> CellIndex {
        parse_cell(name.as_bytes()).expect("a cell")
    }

    fn area(names: &[&str]) -> Area {
        Area::parse_names("area", names.iter().copied().map(Some)).expect("an area")
    }

    /// The same by parents.
    fn is_in(area: &Area, cell: CellIndex) -> bool {
        area.cells.iter().any(|own| roll_up(cell, own.resolution()) == *own || roll_up(*own, cell.resolution()) == cell)
    }

    #[test]
    fn a_cell_is_in_an_area_by_its_parents() {
        // Base cell 4 is a pentagon; so are its centre children.
        let pentagon = CellIndex::base_cells().nth(4).expect("122 of them");
        let below = |cell: CellIndex, by: u8| {
            let resolution = Resolution::try_from(u8::from(cell.resolution()) + by).expect("up to 15");
            cell.children(resolution).collect::<Vec<_>>()
        };
        let mut all: Vec<CellIndex> = CellIndex::base_cells().collect();
        let near: Vec<_> = [pentagon, cell("8029fffffffffff")].into_iter().flat_map(|c| below(c, 1)).collect();
        all.extend(near.iter().flat_map(|c| below(*c, 1)));
        all.extend(near.iter().flat_map(|c| c.center_child(Resolution::Fifteen)));
        all.extend(near.iter().flat_map(|c| below(*c, 3)));
        all.extend(near);
        let (named, finest) = (pentagon.to_string(), pentagon.center_child(Resolution::Fifteen).expect("finer").to_string());
        for area in [
            area(&[&named]),
            area(&["8029fffffffffff", &named]),
            area(&[&finest]),
            area(&["832a10fffffffff", "832a11fffffffff", "822a17fffffffff", "832a10fffffffff", "852a1073fffffff"]),
            area(&["8f2a1072b59b0db", "801ffffffffffff"]),
        ] {
            let mut sorted: Vec<_> = all.iter().map(|cell| (Spot(*cell), *cell)).collect();
            sorted.sort_unstable_by_key(|(spot, _)| *spot);
            let mut picked: Vec<_> = area.pick(&sorted).copied().collect();
            for cell in &all {
                assert_eq!(area.contains(*cell), is_in(&area, *cell), "{cell} in {area:?}");
            }
            let mut expected: Vec<_> = all.iter().copied().filter(|cell| is_in(&area, *cell)).collect();
            picked.sort_unstable();
            expected.sort_unstable();
            assert!(picked == expected && !picked.is_empty(), "{area:?}");
            assert!(area.ranges.windows(2).all(|two| two[0].end().number() + 1 < two[1].start().number()));
        }
        assert_eq!(area(&["832a10fffffffff", "832A10fffffffff"]).cells.len(), 1, "named twice");
        let family: Vec<_> = below(cell("832a10fffffffff"), 1).iter().map(ToString::to_string).collect();
        let names: Vec<_> = family.iter().map(String::as_str).collect();
        assert_eq!(area(&names).ranges.len(), 1 + 4, "all children are one range, and each of their four parents is one");
    }

    #[test]
    fn a_refused_area_says_why() {
        let parse = |value: Value| Area::parse("area", &value).map(|area| area.cells.len());
        let many = |count: usize| json!(vec!["832a10fffffffff"; count]);
        assert_eq!((parse(many(1)), parse(many(MOST_CELLS))), (Ok(1), Ok(1)));
        assert_eq!(parse(many(0)), Err("area must name 1 to 256 cells, not 0".to_owned()));
        assert_eq!(parse(many(MOST_CELLS + 1)), Err("area must name 1 to 256 cells, not 257".to_owned()));
        assert_eq!(parse(json!("832a10fffffffff")), Err("area must be an array of H3 cells, or null for all cells".to_owned()));
        let text = "area must be an array of H3 cells as text, such as \"832a10fffffffff\"";
        assert_eq!(parse(json!(["832a10fffffffff", 7])), Err(text.to_owned()));
        let refused = parse(json!(["832a10fffffffff", "832a10ffffffff0"])).expect_err("no cell");
        assert!(refused.starts_with("area: ") && refused.contains("832a10ffffffff0"), "{refused}");
    }
}
