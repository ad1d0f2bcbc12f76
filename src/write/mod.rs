//! Writing votes.

pub mod append; // locks the heap, checks the match, appends: the race with the end of a match is decided here
pub mod ballot; // cast_vote, retract_vote: one voter, one vote
pub mod ballot_box; // the table of ballots, written below SQL
pub mod ballot_row; // a row of that table
pub mod bulk; // bulk_increment: many votes in one call, all or nothing
pub mod held; // ballots that a call has written: further steps are decided in memory
pub mod many; // cast_votes, record_votes, retract_votes: many votes in one call, each with its own outcome
pub mod record; // record_vote and its older names
