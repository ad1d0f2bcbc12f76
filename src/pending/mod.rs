//! Pending votes: two heaps that take turns, and the marks that keep reading them cheap.

pub mod dead_pages; // pages that need no second look
pub mod fold_log; // the newest row of fold_log
pub mod heap; // appending, visiting and deleting rows below SQL
pub mod low_water; // anchors, marks and turns, moved by a fold
pub mod row; // a row of a heap, and how it reads as a vote
pub mod turn; // which of the two heaps takes votes
