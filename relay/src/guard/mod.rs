//! Admission: how many, how often, from where, with which token.

/// The client's address, behind proxies too.
pub mod address;
/// How many requests an address may send, and how much processor time it may take.
pub mod budget;
/// One accepted connection, which can be ended or slowed down from elsewhere.
pub mod connection;
/// The country that a request comes from.
#[cfg(feature = "door")]
pub mod country;
/// The keys that tokens are checked with.
pub mod keys;
/// Amounts that addresses hold at the same time.
pub mod ledger;
/// The origins of pages that may connect.
pub mod origin;
/// How fast the messages of one address are read.
pub mod pace;
/// What an Engine.IO session is given when it begins.
pub mod pass;
/// How often one connection may act.
pub mod rates;
/// How many connections there are, in all and from each address.
pub mod seats;
/// Tokens, and what they allow.
pub mod token;
