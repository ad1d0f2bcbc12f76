//! The memory of a session, so that a vote runs no query.

pub mod admission; // does a vote count: the match's time, teams, how many, changes of ballots
pub mod launch; // starts the background worker where none runs
pub mod match_row; // a match's row, and whether the match takes a vote now
pub mod memory; // tables, the current heap, the matches; dropped when one of them changes
