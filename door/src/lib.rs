//! The door: takes votes one by one, sends them to the database together, and answers each after its commit.
//!
//! Every vote is a ballot with a turn. So the door may ask again whenever it does not know what became of a call: what was counted
//! stays counted once. It knows no HTTP and no sockets; the relay is in front of it.

/// What became of a vote.
mod answer;
/// The entrance: a vote goes in, its answer comes out.
mod entrance;
/// What can go wrong with a session, and what that says of the votes of a call.
mod failure;
/// What the door counts, in the form that Prometheus reads.
mod metrics;
/// Votes that are on their way.
mod part;
/// Refusals as clients see them (RFC 9457).
mod problem;
/// Votes that wait, a line a voter.
mod queue;
/// Reads votes that stand.
mod reader;
/// Sends what waits, and settles each vote of a call.
mod sender;
/// One session of the database.
mod session;
/// What the entrance and the senders share.
mod shared;
/// Replaces senders that end.
mod supervisor;
/// A vote on its way.
mod vote;
/// Which voter: a keyed hash, so that no ballot tells whose it is.
mod voter;

pub use answer::{Answer, Standing};
pub use entrance::{Door, Settings, Unreadable};
pub use failure::OpenError;
pub use metrics::Metrics;
pub use problem::Problem;
pub use queue::{Refusal, Room};
pub use vote::{Vote, Voter};
pub use voter::{Identity, VoterKey};
