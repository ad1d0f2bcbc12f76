//! Folding: pending votes become totals and messages.

pub mod aggregate; // adds sums to rows at the places it remembers
pub mod aside; // matches that could not be folded, and when they are tried again
pub mod ballot_retention; // erases old ballots
pub mod drain; // takes committed votes out of pending, summed by match
pub mod due; // what the worker stays for
pub mod feed; // the feed row and the message of a change
pub mod finalize; // decides when a match is final
pub mod flips; // changes of leader that are kept
pub mod history; // which history the feed tells: its epoch
pub mod holders; // the holders of a lock that a fold needs
pub mod once; // one fold, from draining to the log
pub mod one_by_one; // match by match, each in a subtransaction
pub mod publish; // one match into the aggregates and the feed
pub mod restore; // is a dump being restored
pub mod retention; // erases old minutes
