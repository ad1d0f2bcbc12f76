//! Reading: folded totals plus pending votes, in one snapshot.

pub mod cells; // cells of a match, in a box, the top ones
pub mod collected; // cells that a read collects, rolled up, within bounds
pub mod flips; // changes of leader that were announced
pub mod followers; // snapshots, changes and updates for followers
pub mod geometry; // pure geometry of cells
pub mod map; // GeoJSON, territories, tiles
pub mod moment; // a match at one moment
pub mod new_keys; // keys known to have votes
pub mod pull; // what a root asks a shard: heads that moved, rows of a match
pub mod stats; // numbers of a match, of all matches, of pending
pub mod timeline; // votes by minute, the match at an earlier time
