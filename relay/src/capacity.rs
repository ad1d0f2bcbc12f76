//! How much room is left in the queue of one client.
//!
//! The queue drops what does not fit and tells the sender of a broadcast only that it did, not for whom. So before a
//! broadcast each client is asked whether there is room for it. The library has no such question, but it reserves a place
//! in the queue before it encodes a payload and gives it back when the payload cannot be encoded; a payload that asks
//! again while it is being encoded finds out how many places there are. Nothing is ever sent.

use serde::ser::{Error, Serialize, Serializer};
use socketioxide::extract::SocketRef;
use std::cell::Cell;

/// Whether the client is connected and its queue takes `places` more messages.
#[must_use]
pub fn has_room(socket: &SocketRef, places: usize) -> bool {
    let ask = Ask { socket, more: places.saturating_sub(1), answer: Cell::new(None) };
    // It cannot be sent: either the payload is never asked, since no place is free, or it refuses to be encoded.
    let _ = socket.emit("", &ask);
    ask.answer.get().unwrap_or(false)
}

struct Ask<'a> {
    socket: &'a SocketRef,
    more: usize,
    answer: Cell<Option<bool>>,
}

impl Serialize for Ask<'_> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        // The library looks at a payload more than once; asking each time would double with every place.
        if self.answer.get().is_none() {
            self.answer.set(Some(self.more == 0 || has_room(self.socket, self.more)));
        }
        Err(S::Error::custom(""))
    }
}
