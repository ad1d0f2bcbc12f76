//! Maps of a match: GeoJSON and vector tiles.

use crate::error::{Result, too_large};
use crate::pg::spi;
use crate::read::cells::{bbox_of, is_in};
use crate::read::moment::{Moment, named, resolution_of};
use pgrx::pg_extern;
use std::collections::BTreeMap;
use vote_agg_core::CellIndex;
use vote_agg_core::geo::geojson::Collection;
use vote_agg_core::geo::territory::merge;
use vote_agg_core::geo::tile::{self, Place};
use vote_agg_core::vote::dominance;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::{self, Counts};

/// The longest text that PostgreSQL holds, nearly.
const MAX_BYTES: usize = 1_000_000_000;

/// See the COMMENT in sql/55-map.sql.
#[pg_extern(sql = false)]
fn get_match_geojson(
    match_id: Option<&[u8]>,
    resolution: Option<i32>,
    min_votes: Option<i64>,
    bbox: Option<Vec<Option<f64>>>,
    territories: Option<bool>,
) -> Result<String> {
    let (match_id, resolution, bbox) = (named(match_id)?, resolution_of(resolution)?, bbox_of(bbox)?);
    let (teams, mut cells) = spi::connect(|spi| {
        let moment = Moment::of(spi, match_id)?;
        Ok((moment.teams().to_vec(), moment.cells_near(spi, match_id, resolution, bbox.as_ref(), 0)?))
    })?;
    cells.retain(|(cell, _)| is_in(*cell, bbox.as_ref()));
    let mut collection = Collection::new(&teams, cells.len());
    let mut areas: BTreeMap<_, Vec<(CellIndex, Counts)>> = BTreeMap::new();
    for (place, (cell, votes)) in cells.into_iter().enumerate() {
        if tally::total(&votes)? < min_votes.unwrap_or(1) {
            continue;
        }
        if territories == Some(true) {
            areas.entry((u8::from(cell.resolution()), dominance::leader(&votes))).or_default().push((cell, votes));
        } else {
            collection.add_cell(cell, &votes)?;
            check(&collection, place)?;
        }
    }
    for cells in areas.values() {
        let area = merge(&cells.iter().map(|(cell, _)| *cell).collect::<Vec<_>>(), || {
            pgrx::check_for_interrupts!();
        });
        for (place, territory) in area.iter().enumerate() {
            collection.add_territory(territory, cells)?;
            check(&collection, place)?;
        }
    }
    Ok(collection.finish())
}

/// Lets a long loop be interrupted, and keeps the text within what can be returned.
fn check(collection: &Collection, done: usize) -> Result<()> {
    if done.is_multiple_of(1_024) {
        pgrx::check_for_interrupts!();
    }
    if collection.bytes() > MAX_BYTES {
        return Err(too_large("the GeoJSON is longer than 1 GB".into(), "Ask for a coarser resolution, or less of the world."));
    }
    Ok(())
}

/// See the COMMENT in sql/55-map.sql.
#[pg_extern(sql = false)]
fn get_match_tile(
    match_id: Option<&[u8]>,
    z: Option<i32>,
    x: Option<i32>,
    y: Option<i32>,
    layer: Option<&[u8]>,
) -> Result<Vec<u8>> {
    let (match_id, place) = (named(match_id)?, Place::parse(z, x, y)?);
    let layer = parse_name("layer", layer)?;
    let resolution = place.resolution()?;
    let (teams, cells) = spi::connect(|spi| {
        let moment = Moment::of(spi, match_id)?;
        Ok((moment.teams().to_vec(), moment.cells_near(spi, match_id, Some(resolution), Some(&place.bbox()), 0)?))
    })?;
    Ok(tile::encode(place, layer, &teams, &cells)?)
}

/// The same in the order of arguments that tile servers ask for.
#[pg_extern(sql = false)]
fn match_tile(z: Option<i32>, x: Option<i32>, y: Option<i32>, match_id: Option<&[u8]>, layer: Option<&[u8]>) -> Result<Vec<u8>> {
    get_match_tile(match_id, z, x, y, layer)
}
