//! Followed matches.

pub mod capacity;
pub mod coarser;
pub mod event;
pub mod feed;
pub mod follow;
pub mod hub;
pub mod room;
pub mod state;
pub mod wish;
