//! Attached tables: their rows are counted like votes.

pub mod attach; // attach_votes, detach_votes
pub mod column; // columns, and how a row reads as a vote
pub mod count; // the counting trigger
pub mod counter; // sums by match of rows that came and went
pub mod ddl; // event triggers: partitions that come and go
pub mod delta; // changes and sums kept while a table is filled
pub mod fill; // counts the rows that were there before
pub mod filler; // the process that fills
pub mod parts; // how far a fill is
pub mod shape; // which tables can be attached
pub mod source; // the registry, and the session's memory of it
pub mod triggers; // making, stopping and dropping the triggers of a table
