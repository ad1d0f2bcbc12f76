//! Counting again.

pub mod rebuild; // rebuild_match
pub mod timelines; // time lines put right
