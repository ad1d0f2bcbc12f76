//! Who may do what, and how much of it.

pub mod limits;
pub mod origin;
pub mod token;
