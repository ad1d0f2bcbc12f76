//! The root of many nodes: what shards have counted is counted here too. Nothing here waits for a shard.

pub mod apply; // what a shard says becomes the votes that make up the difference
pub mod follow; // which shards there are
pub mod mirror; // what each shard said last
