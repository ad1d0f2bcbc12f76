//! Votes: what of them concerns HTTP, Socket.IO and tokens.

/// Answers and refusals as clients see them.
mod answer;
/// Over HTTP.
mod http;
/// How many votes a voter, an address and all may send.
mod limits;
/// JSON in which no key comes twice.
mod once;
/// Opening and closing the door with the relay.
mod open;
/// Votes as clients write them.
mod request;
/// Over Socket.IO.
mod socket;
/// What the rest of the relay is given of all this.
mod voting;
/// Who votes.
mod who;

pub use answer::refuse_early;
pub use voting::Voting;
