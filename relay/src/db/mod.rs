//! The database.

pub mod database;
pub mod fold;
