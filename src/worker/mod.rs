//! The background worker.

pub mod process; // folds again and again, then leaves
