//! The relay: reads the feed of vote_agg once and sends it to its clients, over Socket.IO, Server-Sent Events and HTTP.
//!
//! No business rules, and no state that one query could not restore: a second relay beside it needs nothing but the same
//! database.

/// What can be set: flags with twins in the environment.
pub mod config;
/// The database: how it is reached, asked and heard.
mod db;
/// Votes: what of them concerns HTTP, Socket.IO and tokens. The rest is the crate `vote_agg_door`.
#[cfg_attr(not(feature = "door"), path = "no_door.rs")]
mod door;
/// What can go wrong.
pub mod error;
/// Mutated inputs on everything that reads what strangers send.
#[cfg(test)]
mod fuzz;
/// Admission: how many, how often, from where, with which token.
mod guard;
/// HTTP: answers, event streams, the live map's files, and how the relay is doing.
mod http;
/// Matches that are followed, in memory: what they are now, who follows them, and what each follower is sent.
mod live;
/// What the relay counts, in the form that Prometheus reads.
mod metrics;
/// What the system knows of this process.
mod process;
/// The puller: what shards have counted goes to their root.
pub mod pull;
/// From a listener and settings to a service that ends when it is asked to.
mod run;
/// Accepting connections.
mod serve;
/// Socket.IO: clients that hold a socket.
mod ws;

pub use config::Config;
pub use error::{Error, Result};
pub use run::run;
