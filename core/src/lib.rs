//! The counting rules of vote_agg, without a server: what a valid vote is, how votes add up, and how a change is told.
//!
//! Nothing here knows PostgreSQL, sockets or the clock, so every rule can be tested by plain `cargo test` and is shared,
//! bit for bit, by the extension and the relay.

pub mod bbox;
pub mod cell;
pub mod country;
pub mod dominance;
pub mod element;
pub mod error;
pub mod flip;
pub mod geo;
pub mod geojson;
pub mod message;
pub mod name;
pub mod outline;
pub mod smooth;
pub mod tally;
pub mod territory;
pub mod tile;
pub mod timeline;

pub use cell::{parse_cell, parse_resolution};
pub use country::Country;
pub use error::{Error, Kind};
pub use h3o::{CellIndex, Resolution};
