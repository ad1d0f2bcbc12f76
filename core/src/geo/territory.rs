//! Territories: cells that touch, merged into one outline.
//!
//! At every corner of the grid exactly three cells meet, and two wherever an edge is cut. So an edge that two cells share is
//! theirs from both sides and can be left out of both. Of the edges that remain at most two meet in a point. They join into
//! rings in one way only, and no ring touches itself or another. Cells are cut at the antimeridian before they are merged.
//! (h3o's own `dissolve` leaves outlines across the antimeridian or around a pole uncut.)

use crate::CellIndex;
use crate::geo::outline::{Name, Outline, Ring, double_area};
use foldhash::{HashMap, HashMapExt};

/// A surface with holes.
#[derive(Debug, Default)]
pub struct Surface {
    pub shell: Ring,
    pub holes: Vec<Ring>,
}

/// Cells that hang together.
#[derive(Debug, Default)]
pub struct Territory {
    /// Their places in the list that was given.
    pub cells: Vec<usize>,
    /// Parts of the map: several where the antimeridian cuts through.
    pub surfaces: Vec<Surface>,
}

/// Merges different cells of one resolution, in order of the first cell of each territory. `pause` is called now and then, a
/// thousand cells apart.
pub fn merge(cells: &[CellIndex], mut pause: impl FnMut()) -> Vec<Territory> {
    // Pieces are what is left of cells after cutting.
    let mut pieces: Vec<(usize, Ring)> = Vec::with_capacity(cells.len());
    for (place, cell) in cells.iter().enumerate() {
        if place.is_multiple_of(1_000) {
            pause();
        }
        pieces.extend(Outline::named(*cell).cut().into_iter().map(|ring| (place, ring)));
    }
    let mut edges: HashMap<(Name, Name), (usize, usize)> = HashMap::with_capacity(6 * pieces.len());
    let mut joined = Groups::new(pieces.len());
    let mut order = Vec::new();
    for (piece, (_, ring)) in pieces.iter().enumerate() {
        if piece.is_multiple_of(1_000) {
            pause();
        }
        for (i, from) in ring.iter().enumerate() {
            let to = &ring[(i + 1) % ring.len()];
            if let Some((other, _)) = edges.remove(&(to.name, from.name)) {
                joined.join(piece, other);
            } else {
                edges.insert((from.name, to.name), (piece, i));
                order.push((from.name, to.name));
            }
        }
    }
    let rings = rings(&pieces, &edges, &order);
    surfaces(&pieces, rings, joined)
}

/// The rings that the remaining edges make, each with a piece that it belongs to.
fn rings(pieces: &[(usize, Ring)], edges: &HashMap<(Name, Name), (usize, usize)>, order: &[(Name, Name)]) -> Vec<(usize, Ring)> {
    let mut next: HashMap<Name, (Name, usize, usize)> = HashMap::with_capacity(edges.len());
    for ((from, to), (piece, i)) in edges {
        next.insert(*from, (*to, *piece, *i));
    }
    let mut rings = Vec::new();
    for (start, _) in order {
        let (mut ring, mut owner, mut at) = (Ring::new(), None, *start);
        while let Some((to, piece, i)) = next.remove(&at) {
            ring.push(pieces[piece].1[i]);
            owner = Some(piece);
            at = to;
        }
        if let Some(owner) = owner {
            rings.push((owner, ring));
        }
    }
    rings
}

/// Gathers rings into surfaces, and those into territories.
fn surfaces(pieces: &[(usize, Ring)], rings: Vec<(usize, Ring)>, mut joined: Groups) -> Vec<Territory> {
    // A surface is what hangs together on the map; a territory also reaches across the antimeridian.
    let mut whole = joined.clone();
    for (piece, pair) in pieces.windows(2).enumerate() {
        if pair[0].0 == pair[1].0 {
            whole.join(piece, piece + 1);
        }
    }
    let mut of_surface: HashMap<usize, Surface> = HashMap::new();
    for (piece, ring) in rings {
        let surface = of_surface.entry(joined.find(piece)).or_default();
        if double_area(&ring).is_sign_positive() { surface.shell = ring } else { surface.holes.push(ring) }
    }
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut territories: Vec<Territory> = Vec::new();
    for (piece, (cell, _)) in pieces.iter().enumerate() {
        let place = *places.entry(whole.find(piece)).or_insert(territories.len());
        if place == territories.len() {
            territories.push(Territory::default());
        }
        let territory = &mut territories[place];
        if territory.cells.last() != Some(cell) {
            territory.cells.push(*cell);
        }
        territory.surfaces.extend(of_surface.remove(&joined.find(piece)));
    }
    territories
}

/// Disjoint sets of numbers.
#[derive(Clone)]
struct Groups(Vec<usize>);

impl Groups {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn find(&mut self, mut member: usize) -> usize {
        while self.0[member] != member {
            self.0[member] = self.0[self.0[member]];
            member = self.0[member];
        }
        member
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        // The lower number leads.
        self.0[a.max(b)] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Resolution;

    fn area(territories: &[Territory]) -> f64 {
        let rings = territories.iter().flat_map(|t| &t.surfaces).flat_map(|s| s.holes.iter().chain([&s.shell]));
        rings.map(|ring| double_area(ring)).sum()
    }

    fn flat_area(cells: &[CellIndex]) -> f64 {
        cells.iter().flat_map(|cell| Outline::of(*cell).cut()).map(|ring| double_area(&ring)).sum()
    }

    #[test]
    fn nothing_and_one_cell() {
        assert!(merge(&[], || ()).is_empty());
        let cell = crate::parse_cell(b"872a1072bffffff").expect("a cell");
        let one = merge(&[cell], || ());
        assert_eq!((one.len(), one[0].surfaces.len(), one[0].surfaces[0].shell.len()), (1, 1, 6));
    }

    #[test]
    fn a_ring_of_cells_has_a_hole() {
        let cell = crate::parse_cell(b"872a1072bffffff").expect("a cell");
        let ring = crate::geo::points::neighbors(cell, 1).expect("one step");
        let merged = merge(&ring, || ());
        let surface = &merged[0].surfaces[0];
        assert_eq!((merged.len(), merged[0].cells.len(), surface.shell.len(), surface.holes.len()), (1, 6, 18, 1));
        assert_eq!(surface.holes[0].len(), 6);
        assert!(double_area(&surface.holes[0]) < 0.0);
        // apart
        let far = [ring[0], ring[5]];
        let touching = crate::geo::points::neighbors(far[0], 1).expect("one step").contains(&far[1]);
        assert_eq!(merge(&far, || ()).len(), if touching { 1 } else { 2 });
    }

    #[test]
    fn a_cell_on_the_antimeridian_is_one_territory_of_two_surfaces() {
        let new_york = crate::parse_cell(b"822a17fffffffff").expect("a cell");
        let fiji = crate::geo::points::parse_point(-17.0, 180.0).expect("a point").to_cell(Resolution::Two);
        let merged = merge(&[new_york, fiji], || ());
        let shapes: Vec<_> = merged.iter().map(|territory| (territory.cells.clone(), territory.surfaces.len())).collect();
        assert_eq!(shapes, [(vec![0], 1), (vec![1], 2)]);
    }

    #[test]
    fn it_pauses_a_thousand_cells_apart() {
        let mut pauses = 0;
        merge(&CellIndex::base_cells().flat_map(|base| base.children(Resolution::Two)).take(2_001).collect::<Vec<_>>(), || {
            pauses += 1
        });
        assert_eq!(pauses, 6, "cutting, and merging");
    }

    #[test]
    fn the_whole_world_is_the_whole_map() {
        for resolution in [Resolution::Zero, Resolution::One, Resolution::Two] {
            let cells: Vec<_> = CellIndex::base_cells().flat_map(|base| base.children(resolution)).collect();
            let world = merge(&cells, || ());
            assert_eq!((world.len(), world[0].cells.len(), world[0].surfaces.len()), (1, cells.len(), 1));
            assert!(world[0].surfaces[0].holes.is_empty());
            assert!((area(&world) - 2.0 * 360.0 * 180.0).abs() < 1e-6);
            assert!((flat_area(&cells) - 2.0 * 360.0 * 180.0).abs() < 1e-6);
        }
    }

    #[test]
    fn merging_keeps_the_area() {
        // Every third, and then all but every third: many territories, many holes.
        let all: Vec<_> = CellIndex::base_cells().flat_map(|base| base.children(Resolution::Three)).collect();
        for keep in [|i: usize| i.is_multiple_of(3), |i: usize| !i.is_multiple_of(3), |i: usize| (i / 49).is_multiple_of(2)] {
            let cells: Vec<_> = all.iter().enumerate().filter(|(i, _)| keep(*i)).map(|(_, cell)| *cell).collect();
            let merged = merge(&cells, || ());
            let mut seen: Vec<_> = merged.iter().flat_map(|territory| territory.cells.clone()).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..cells.len()).collect::<Vec<_>>());
            assert!(merged.iter().flat_map(|t| &t.surfaces).all(|surface| surface.shell.len() >= 3));
            assert!((area(&merged) - flat_area(&cells)).abs() < 1e-6, "{}", merged.len());
        }
    }
}
