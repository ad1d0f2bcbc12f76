//! The relay: reads the feed of vote_agg once and sends it to its clients, over Socket.IO, Server-Sent Events and HTTP.
//!
//! No business rules, and no state that one query could not restore: a second relay beside it needs nothing but the same
//! database.

/// What can be set: flags with twins in the environment.
pub mod config;
/// One accepted connection, which can be ended from elsewhere.
mod connection;
/// The database: how it is reached, asked and heard.
mod db;
/// What can go wrong.
pub mod error;
/// Admission: how many, how often, from where, with which token.
mod guard;
/// HTTP: answers, event streams, the live map's files, and how the relay is doing.
mod http;
/// Matches that are followed, in memory: what they are now, who follows them, and what each follower is sent.
mod live;
/// What the relay counts, in the form that Prometheus reads.
mod metrics;
/// From a listener and settings to a service that ends when it is asked to.
mod run;
/// Accepting connections.
mod serve;
/// Socket.IO: clients that hold a socket.
mod ws;

pub use config::Config;
pub use error::{Error, Result};
pub use run::run;
