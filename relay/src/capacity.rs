//! How much room is left in the queue of one client.
//!
//! The queue drops what does not fit and tells the sender of a broadcast only that it did, not for whom. So before a
//! broadcast each client is asked whether there is room for it. The library has no such question, but it reserves a place
//! in the queue before it encodes a payload and gives it back when the payload cannot be encoded; a payload that asks
//! again while it is being encoded finds out how many places there are. Nothing is ever sent.

use serde::ser::{Error, Serialize, Serializer};
use socketioxide::extract::SocketRef;
use socketioxide::{SendError, SocketError};

/// Whether the client is connected and its queue takes `places` more messages.
#[must_use]
pub fn has_room(socket: &SocketRef, places: usize) -> bool {
    let ask = Ask { socket, places: places.saturating_sub(1) };
    match socket.emit("", &ask) {
        Err(SendError::Serialize(e)) => e.to_string().contains(YES),
        Err(SendError::Socket(SocketError::InternalChannelFull | SocketError::Closed)) | Ok(()) => false,
    }
}

const YES: &str = "there is room";
const NO: &str = "it is full";

struct Ask<'a> {
    socket: &'a SocketRef,
    places: usize,
}

impl Serialize for Ask<'_> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        let yes = self.places == 0 || has_room(self.socket, self.places);
        Err(S::Error::custom(if yes { YES } else { NO }))
    }
}
