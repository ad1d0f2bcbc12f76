//! Cells in space: where they lie, what they touch, and how they are drawn.
//!
//! Cells, parents, neighbours and corners are h3o's; the bytes of a tile are mvt's. The rest is made here for these reasons:
//! - Ranges (`bbox`): h3o and the crate geo list the cells that cover an area, all at one resolution. A read needs ranges of
//!   stored cells of every resolution, at most 256 of them.
//! - Poles and the antimeridian (`outline`, `territory`): h3o's boundaries and `dissolve` cross 180 degrees and turn around a
//!   pole. RFC 7946 wants them cut and closed.
//! - Clipping to tiles (`tile`): a polygon library would serve one loop over a ring of six corners.
//! - GeoJSON as text (`geojson`): coordinates are whole billionths of a degree, which no float has to be printed for.

pub mod bbox; // bounding boxes, and the ranges of cells that may lie in one
pub mod geojson; // GeoJSON as text
pub mod outline; // outlines of cells in the plane of longitude and latitude
pub mod points; // points, neighbours and distances on the sphere
pub mod smooth; // the leader around a cell
pub mod territory; // outlines of areas that one team leads in
pub mod tile; // Mapbox vector tiles
