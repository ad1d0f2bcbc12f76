//! Counting again.

pub mod rebuild; // rebuild_match
pub mod time_lines; // time lines put right
