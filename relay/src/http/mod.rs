//! HTTP: answers, event streams, the live map's files, and how the relay is doing.

/// What handlers share, and the right to see a match.
pub mod access;
/// Where an answer comes from: memory, or one statement.
mod answer;
/// An answer, compressed at most once in each way.
mod body;
/// HTTP answers, kept for a while.
pub mod cache;
/// Ending the connections of one subject.
mod clients;
/// Server-Sent Events: each fold as one event.
pub mod events;
/// In front of everything: which router answers a request.
pub mod front;
/// Headers that every answer has.
mod headers;
/// The list of matches, and answers about one of them.
mod matches;
/// The live map: a folder of built files at `/`.
pub mod page;
/// The kinds of answers, and their parameters.
pub mod query;
/// Answers and refusals as clients see them.
mod reply;
/// The routes.
pub mod routes;
/// In front of Socket.IO: which requests its library gets to see.
pub mod sockets;
/// Where an event stream gets its items.
mod source;
/// How the relay is doing: /ready, /metrics, /cache.
mod status;
/// The event streams that are open.
pub mod streams;
/// The time that a request waited, which is no work.
mod waiting;
