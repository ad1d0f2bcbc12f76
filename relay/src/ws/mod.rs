//! Socket.IO.

pub mod socket;
