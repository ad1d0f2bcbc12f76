//! The database: how it is reached, asked and heard.

/// The database's address, as people write it.
pub mod address;
/// Folding from here, where no worker can.
pub mod fallback_fold;
/// The session that listens: notifications become a doorbell.
pub mod listen;
/// The sessions that answer, and the questions put to them.
pub mod pool;
/// The statements over the extension's functions, and the rows that they return.
pub mod statements;
/// TLS: which certificates are trusted.
mod tls;
