//! Counting again.

pub mod leaders; // announced leaders across a rebuild
pub mod rebuild; // rebuild_match
pub mod timelines; // time lines put right
