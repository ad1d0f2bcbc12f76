//! Admission: how many, how often, from where, with which token.

/// The client's address, behind proxies too.
pub mod address;
/// How many clients, and how often each may act.
pub mod limits;
/// The origins of pages that may connect.
pub mod origin;
/// Tokens: one algorithm and one key.
pub mod token;
