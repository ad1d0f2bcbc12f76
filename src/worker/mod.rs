//! The background worker.

pub mod busy; // what a worker says of locks that it does not get
pub mod launcher; // starts workers with the server
pub mod process; // folds again and again, then leaves
