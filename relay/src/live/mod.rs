//! Matches that are followed, in memory: what they are now, who follows them, and what each follower is sent.

/// How the state of a followed match changes, and what its followers are then sent.
mod advance;
/// Those who follow one match, and what they are sent.
pub mod audience;
/// What followed matches know of a client.
pub mod client;
/// What clients receive: events by name, each encoded once for everybody who gets it.
pub mod event;
/// Following the feed: a ring, a look, and what is found is applied.
pub mod feed;
/// One followed match: its state and its audience under one lock.
pub mod followed;
/// Which matches rang when.
pub mod freshness;
/// The newest updates of one match, for clients that come back.
mod history;
/// All followed matches: found, joined, let go.
pub mod hub;
/// Loading a match, and bringing it forward.
mod load;
/// One follower, and how it is reached.
pub mod member;
/// How many messages one client's queue still takes.
pub mod queue;
/// A fold as followers at a coarser resolution see it.
mod roll_up;
/// Since when the relay has lost its database, and what its clients are told of it.
pub mod staleness;
/// The folded match at one seq of one epoch.
pub mod state;
/// What a client asks for with its join.
pub mod subscription;
