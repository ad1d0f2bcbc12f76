//! Socket.IO: clients that hold a socket.

/// The events that clients send: match:join, match:leave, auth.
mod commands;
/// The namespace: clients come in, speak, and go.
pub mod namespace;
/// One client: what it may do, how often, and until when.
pub mod session;
