//! The background worker.

pub mod process; // starts, folds, leaves
