//! The puller: asks each shard what changed, and hands it on to the root. It holds nothing that it can't ask for again, and two of
//! them beside each other do no harm: the root applies each difference once.

/// What can be set.
pub mod config;
/// What it counts.
mod metrics;
/// From settings to a service that ends when it is asked to.
mod run;
/// A session with a database, each answer in its time.
mod session;
/// The loop of one shard.
mod shard;

pub use config::PullConfig;
pub use run::run;
