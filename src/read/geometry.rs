//! Pure functions about cells and points: thin over the H3 library. NULL in, NULL out.

use crate::error::Result;
use crate::pg::cell::{AnyCell, SameCell};
use pgrx::iter::SetOfIterator;
use pgrx::pg_extern;
use vote_agg_core::geo::geojson;
use vote_agg_core::geo::points;
use vote_agg_core::parse_resolution;
use vote_agg_core::vote::cell::coarsen;

/// See the COMMENT in sql/50-geo.sql.
#[pg_extern(sql = false)]
fn h3_neighbors(h3_index: AnyCell<'_>, k: i32) -> Result<SetOfIterator<'static, SameCell>> {
    let cells = h3_index.parse().and_then(|cell| points::neighbors(cell, k.into()))?;
    let cells: Vec<SameCell> = cells.into_iter().map(|cell| h3_index.alike(cell)).collect();
    Ok(SetOfIterator::new(cells))
}

/// See the COMMENT in sql/50-geo.sql.
#[pg_extern(sql = false)]
fn h3_parent(h3_index: AnyCell<'_>, resolution: i32) -> Result<SameCell> {
    let cell = h3_index.parse().and_then(|cell| coarsen(cell, parse_resolution(resolution.into())?))?;
    Ok(h3_index.alike(cell))
}

/// See the COMMENT in sql/50-geo.sql.
#[pg_extern(sql = false)]
fn h3_from_lat_lng(lat: f64, lng: f64, resolution: i32) -> Result<String> {
    let resolution = parse_resolution(resolution.into())?;
    let point = points::parse_point(lat, lng)?;
    Ok(point.to_cell(resolution).to_string())
}

/// See the COMMENT in sql/50-geo.sql.
#[pg_extern(sql = false)]
fn h3_to_geojson(h3_index: AnyCell<'_>) -> Result<String> {
    Ok(geojson::geometry(h3_index.parse()?))
}
