//! How a change is told: the wire format, and the numbers that only the feed carries.

pub mod flip; // changes of leader, with hysteresis
pub mod message; // the wire format, version 1
pub mod pace; // how long a folder rests after a fold
pub mod timeline; // votes by minute, leaders over time, momentum
