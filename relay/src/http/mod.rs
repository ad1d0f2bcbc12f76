//! HTTP.

pub mod cache;
pub mod map;
pub mod question;
pub mod routes;
pub mod stream;
