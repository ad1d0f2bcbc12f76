//! Folding: pending votes become totals and messages.

pub mod aggregate; // adds sums to rows at the places it remembers
pub mod ballot_retention; // erases old ballots
pub mod drain; // takes committed votes out of pending, summed by match
pub mod feed; // the feed row and the message of a change
pub mod finalize; // decides when a match is final
pub mod history; // which history the feed tells: its epoch
pub mod once; // one fold, from draining to the log
pub mod retention; // erases old minutes
