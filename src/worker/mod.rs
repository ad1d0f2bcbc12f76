//! The background worker.

pub mod process; // folds again and again, then leaves
pub mod vacuum; // gives back the disk space of the drained heap
