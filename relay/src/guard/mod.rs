//! Admission: how many, how often, from where, with which token.

/// The client's address, behind proxies too.
pub mod address;
/// The keys that tokens are checked with.
pub mod keys;
/// How many clients, and how often each may act.
pub mod limits;
/// The origins of pages that may connect.
pub mod origin;
/// Tokens, and what they allow.
pub mod token;
