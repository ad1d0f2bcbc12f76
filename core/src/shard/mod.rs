//! A root counts what shards have counted: what a shard answers, and what the root makes of it.

pub mod difference; // from what the root holds to what the shard says, as votes
pub mod rows; // what a shard says of a match
