//! Matches that are followed, in memory: what they are now, who follows them, and what each follower is sent.

/// How the state of a followed match changes, and what its followers are then sent.
mod advance;
/// The part of the world that a client looks at.
pub mod area;
/// Those who follow one match, what they are sent, and how a client that comes back goes on.
pub mod audience;
/// What followed matches know of a client.
pub mod client;
/// What clients receive: events by name, each encoded once for everybody who gets it.
pub mod event;
/// Which matches exist.
mod existence;
/// Following the feed: a ring, a look, and what is found is applied.
pub mod feed;
/// One followed match: its state and its audience under one lock.
pub mod followed;
/// Which matches rang when.
pub mod freshness;
/// All followed matches: found, joined, let go.
pub mod hub;
/// Loading a match, and bringing it forward.
mod load;
/// One follower, and how it is reached.
pub mod member;
/// The lists of a bundle that a client asks for.
pub mod parts;
/// How many messages one client's queue still takes.
pub mod queue;
/// The newest updates of one match, for clients that come back.
mod recent;
/// A fold as followers at a coarser resolution see it.
mod roll_up;
/// Since when the relay has lost its database, and what its clients are told of it.
pub mod staleness;
/// The folded match at one seq of one epoch.
pub mod state;
/// What a client asks for with its join.
pub mod subscription;
/// What a client that looks at an area is sent beside updates.
pub mod view;
