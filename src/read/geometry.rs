//! Pure functions about cells and points: thin over the H3 library. NULL in, NULL out.

use crate::error::{Result, refused};
use pgrx::iter::SetOfIterator;
use pgrx::pg_extern;
use vote_agg_core::geo::geojson;
use vote_agg_core::geo::points;
use vote_agg_core::vote::cell::{cell_from_bits, cell_to_bits, coarsen};
use vote_agg_core::{CellIndex, parse_cell, parse_resolution};

fn from_text(h3_index: &[u8]) -> Result<CellIndex> {
    parse_cell(h3_index).map_err(refused)
}

fn from_bits(h3_index: i64) -> Result<CellIndex> {
    cell_from_bits(h3_index).map_err(refused)
}

/// See the COMMENT in sql/50-geo.sql.
#[pg_extern(sql = false)]
fn h3_neighbors(h3_index: &[u8], k: i32) -> Result<SetOfIterator<'static, String>> {
    let cells = points::neighbors(from_text(h3_index)?, k.into()).map_err(refused)?;
    Ok(SetOfIterator::new(cells.into_iter().map(|cell| cell.to_string())))
}

/// See the COMMENT in sql/50-geo.sql.
#[pg_extern(sql = false)]
fn h3_neighbors_bits(h3_index: i64, k: i32) -> Result<SetOfIterator<'static, i64>> {
    let cells = points::neighbors(from_bits(h3_index)?, k.into()).map_err(refused)?;
    Ok(SetOfIterator::new(cells.into_iter().map(cell_to_bits)))
}

fn parent(cell: CellIndex, resolution: i32) -> Result<CellIndex> {
    parse_resolution(resolution.into()).and_then(|resolution| coarsen(cell, resolution)).map_err(refused)
}

/// See the COMMENT in sql/50-geo.sql.
#[pg_extern(sql = false)]
fn h3_parent(h3_index: &[u8], resolution: i32) -> Result<String> {
    Ok(parent(from_text(h3_index)?, resolution)?.to_string())
}

/// See the COMMENT in sql/50-geo.sql.
#[pg_extern(sql = false)]
fn h3_parent_bits(h3_index: i64, resolution: i32) -> Result<i64> {
    Ok(cell_to_bits(parent(from_bits(h3_index)?, resolution)?))
}

/// See the COMMENT in sql/50-geo.sql.
#[pg_extern(sql = false)]
fn h3_from_lat_lng(lat: f64, lng: f64, resolution: i32) -> Result<String> {
    let resolution = parse_resolution(resolution.into()).map_err(refused)?;
    let point = points::parse_point(lat, lng).map_err(refused)?;
    Ok(point.to_cell(resolution).to_string())
}

/// See the COMMENT in sql/50-geo.sql.
#[pg_extern(sql = false)]
fn h3_to_geojson(h3_index: &[u8]) -> Result<String> {
    Ok(geojson::geometry(from_text(h3_index)?))
}

/// See the COMMENT in sql/50-geo.sql.
#[pg_extern(sql = false)]
fn h3_to_geojson_bits(h3_index: i64) -> Result<String> {
    Ok(geojson::geometry(from_bits(h3_index)?))
}
