//! What a session remembers, so that a vote runs no query.

pub mod memory; // tables, the current heap, matches; dropped when one of them changes
