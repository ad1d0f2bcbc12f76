//! The background worker.

pub mod launcher; // starts workers with the server
pub mod process; // folds again and again, then leaves
