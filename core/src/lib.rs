//! The counting rules of vote_agg, without a server: which values make a valid vote, how votes add up, and how a change is told.
//!
//! Nothing here knows PostgreSQL, sockets or the clock, so every rule can be tested by plain `cargo test` and is shared,
//! bit for bit, by the extension and the relay. Only the extension asks for `report`, which makes its errors.

pub mod error; // every refused value: its text, its reason, its remedy
pub mod feed; // how a change is told: the message, changes of leader, the time line
pub mod geo; // cells in space: neighbours, boxes, outlines, territories, tiles
#[cfg(feature = "postgres")]
mod report; // refused values as errors of the server
pub mod shard; // what a shard says of a match, and what a root makes of it
pub mod vote; // a vote's values, and how votes add up
pub mod writers; // for which transactions a fold still waits

pub use error::{Error, Kind};
pub use h3o::{CellIndex, Resolution};
pub use vote::cell::{parse_cell, parse_resolution};
pub use vote::country::Country;
