//! How much room is left in the queue of one client.
//!
//! The queue drops what does not fit and tells the sender of a broadcast only that it did, not for whom. So before a
//! broadcast each client is asked whether there is room for it. The library has no such question, but it reserves a place
//! in the queue before it encodes a payload and gives it back when the payload cannot be encoded; a payload that asks
//! again while it is being encoded finds out how many places there are. Nothing is ever sent.

use serde::ser::{Error, Serialize, Serializer};
use socketioxide::extract::SocketRef;
use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Places kept free for heartbeats, and for what others are just about to put in.
const RESERVE: usize = 6;

/// Asking takes as long as there are places to count, so it is done for many messages at once.
const AHEAD: usize = 32;

/// Places in the queue of one client that are certainly free: what was when last asked, less what was put in since. Whoever
/// puts something in takes its places first.
#[derive(Debug, Default)]
pub struct Queue(Mutex<usize>);

impl Queue {
    /// The client's, put into its extensions when it came.
    #[must_use]
    pub fn of(socket: &SocketRef) -> Arc<Self> {
        socket.extensions.get().unwrap_or_default()
    }

    fn free(&self) -> MutexGuard<'_, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes so many places, or none. False: there are not enough.
    #[must_use]
    pub fn take(&self, socket: &SocketRef, places: usize) -> bool {
        let (wanted, mut free) = (places + RESERVE, self.free());
        if *free < wanted {
            *free = count(socket, wanted + AHEAD);
        }
        let is_enough = *free >= wanted;
        if is_enough {
            *free -= places;
        }
        is_enough
    }

    /// Something is put in, room or not.
    pub fn spend(&self) {
        let mut free = self.free();
        *free = free.saturating_sub(1);
    }
}

/// How many more messages its queue takes, up to `most`; none where the client is not connected.
#[must_use]
pub fn count(socket: &SocketRef, most: usize) -> usize {
    if most == 0 {
        return 0;
    }
    let ask = Ask { socket, more: most - 1, answer: Cell::new(0) };
    // It cannot be sent: either the payload is never asked, since no place is free, or it refuses to be encoded.
    let _ = socket.emit("", &ask);
    ask.answer.get()
}

struct Ask<'a> {
    socket: &'a SocketRef,
    more: usize,
    answer: Cell<usize>,
}

impl Serialize for Ask<'_> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        // The library looks at a payload more than once; asking each time would double with every place.
        if self.answer.get() == 0 {
            self.answer.set(1 + count(self.socket, self.more));
        }
        Err(S::Error::custom(""))
    }
}
