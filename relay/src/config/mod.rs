//! What can be set: flags with twins in the environment, parsed at the edge.

/// What can be set about votes.
#[cfg(feature = "door")]
pub mod door;
/// All other flags, each with its default.
mod flags;
/// The values of flags, read from their text.
pub mod parse;

pub use flags::{Algorithm, Auth, Config, LogFormat};
