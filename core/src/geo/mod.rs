//! Cells in space: where they lie, what they touch, and how they are drawn.

pub mod bbox; // bounding boxes, and the ranges of cells that may lie in one
pub mod geojson; // GeoJSON as text
pub mod outline; // outlines of cells in the plane of longitude and latitude
pub mod points; // points, neighbours and distances on the sphere
pub mod smooth; // the leader around a cell
pub mod territory; // outlines of areas that one team leads in
pub mod tile; // Mapbox vector tiles
