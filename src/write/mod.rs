//! Writing votes.

pub mod append; // locks the heap, checks the match, appends: the race with the end of a match is decided here
pub mod ballot; // cast_vote, retract_vote: one voter, one vote
pub mod ballot_box; // the table of ballots, written below SQL
pub mod bulk; // bulk_increment: many votes in one call
pub mod record; // record_vote and its older names
