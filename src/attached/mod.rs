//! Attached tables: their rows are counted like votes.

pub mod attach; // attach_votes, detach_votes
pub mod columns; // columns, and how a row reads as a vote
pub mod count_rows; // the counting trigger
pub mod counter; // sums by match of rows that came and went
pub mod ddl; // event triggers: partitions that come and go, and what is refused
pub mod eligibility; // which tables can be attached
pub mod erase; // erase_rows
pub mod errors; // tables that are not attached, mistakes in columns
pub mod fill; // counts the rows that were there before
pub mod fill_heaps; // changes and sums kept while a table is filled
pub mod fill_process; // the process that fills
pub mod progress; // how far a fill is
pub mod recount; // what the tables hold, counted again
pub mod registry; // the registry, and the session's memory of it
pub mod triggers; // making, stopping and dropping the triggers of a table
