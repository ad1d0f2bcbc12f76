//! How many messages the queue of one client still takes.
//!
//! The queue drops a message that does not fit, and tells the sender of a broadcast that it dropped one, not for which client.
//! So each client's queue is asked before a broadcast. The library has no such question. But it reserves a slot before it
//! encodes a payload, and gives the slot back when the payload cannot be encoded. A payload that asks again while it is being
//! encoded counts the free slots that way. Nothing is ever sent.
//!
//! A count holds the slots that it has counted until it ends. A message that another thread sends meanwhile finds no slot and is
//! dropped. So counts, and messages for one client, exclude each other: see [`Queue::put`]. The library's own heartbeat cannot be
//! excluded, and it ends the connection where it finds no slot. So a count leaves it one: see [`Queue::countable`].

use crate::guard::ledger::{Holding, Ledger};
use serde::ser::{Error, Serialize, Serializer};
use socketioxide::extract::SocketRef;
use std::cell::Cell;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Slots kept free for heartbeats, and for messages that others are about to put in.
const RESERVE: usize = 6;

/// Counting takes as long as there are slots to count, so it is done for many messages at once.
const AHEAD: usize = 32;

/// Bytes of messages of its own that a client may leave unread, beside one message of any length: snapshots, updates that it
/// missed, and its area's part of folds. Each is a copy. The folds that everybody gets are shared.
const MAX_UNREAD: usize = 1 << 20;

/// Messages of its own after which a client is asked whether it has read them.
const OFTEN: usize = 8;

/// What the queue of one client certainly still takes.
pub struct Queue {
    size: usize,
    ip: IpAddr,
    ledger: Arc<Ledger>,
    /// Free slots: those counted last, less those reserved since. A sender reserves slots before it puts messages in.
    free: Mutex<usize>,
    unread: Mutex<Vec<Holding>>,
}

impl Queue {
    /// Of `size` slots. `ledger` has the unread bytes of all clients.
    #[must_use]
    pub fn new(size: usize, ip: IpAddr, ledger: Arc<Ledger>) -> Self {
        Self { size, ip, ledger, free: Mutex::default(), unread: Mutex::default() }
    }

    fn free(&self) -> MutexGuard<'_, usize> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many slots a count may hold of those that are wanted: never all, since a heartbeat may come meanwhile.
    fn countable(&self, wanted: usize) -> usize {
        wanted.min(self.size.saturating_sub(1))
    }

    fn unread(&self) -> MutexGuard<'_, Vec<Holding>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves so many slots, or none. False: there are not enough.
    #[must_use]
    pub fn reserve(&self, socket: &SocketRef, slots: usize) -> bool {
        let (wanted, mut free) = (slots + RESERVE, self.free());
        if *free < wanted {
            *free = count(socket, self.countable(wanted + AHEAD));
        }
        let is_enough = *free >= wanted;
        if is_enough {
            *free -= slots;
        }
        is_enough
    }

    /// The same for messages of the client's own, so many bytes in all. False: they do not fit beside those that it has not read.
    #[must_use]
    pub fn reserve_own(&self, socket: &SocketRef, slots: usize, bytes: usize) -> bool {
        self.settle(socket);
        let mut unread = self.unread();
        let Some(holding) = self.take(&unread, bytes) else { return false };
        let is_enough = self.reserve(socket, slots);
        if is_enough {
            unread.push(holding);
        }
        is_enough
    }

    /// Notes so many bytes of a message of the client's own, for which a slot is reserved. False: they do not fit beside those that
    /// it has not read.
    #[must_use]
    pub fn hold(&self, socket: &SocketRef, bytes: usize) -> bool {
        let note = || {
            let mut unread = self.unread();
            self.take(&unread, bytes).map(|holding| unread.push(holding)).is_some()
        };
        if self.unread().len() < OFTEN && note() {
            return true;
        }
        self.settle(socket);
        note()
    }

    fn take(&self, unread: &[Holding], bytes: usize) -> Option<Holding> {
        let held: usize = unread.iter().map(Holding::amount).sum();
        if held > 0 && held + bytes > MAX_UNREAD { None } else { self.ledger.take(self.ip, bytes) }
    }

    /// Notes that the client has read what it was sent, if it has.
    pub fn settle(&self, socket: &SocketRef) {
        let mut unread = self.unread();
        if !unread.is_empty() {
            let _no_message = self.free();
            // One message may be on its way: a heartbeat, say.
            let all = self.countable(self.size);
            if count(socket, all) == all {
                unread.clear();
            }
        }
    }

    /// Sends this client a message while nobody counts its free slots.
    pub fn put<T>(&self, send: impl FnOnce() -> T) -> T {
        let _no_count = self.free();
        send()
    }

    /// A message is put in, free slot or not.
    pub fn spend(&self) {
        let mut free = self.free();
        *free = free.saturating_sub(1);
    }
}

/// How many more messages the client's queue takes, up to `most`; none where the client is not connected. It goes as deep as it counts:
/// 1,024 levels, the longest queue, take less than 256 KiB of stack in an optimised build, and more than 2 MiB in another.
#[must_use]
pub fn count(socket: &SocketRef, most: usize) -> usize {
    if most == 0 {
        return 0;
    }
    let probe = Probe { socket, more: most - 1, answer: Cell::new(0) };
    // It cannot be sent: either the payload is never encoded, since no slot is free, or it refuses to be encoded.
    let _ = socket.emit("", &probe);
    probe.answer.get()
}

struct Probe<'a> {
    socket: &'a SocketRef,
    more: usize,
    answer: Cell<usize>,
}

impl Serialize for Probe<'_> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        // The library looks at a payload more than once; counting each time would double with every slot.
        if self.answer.get() == 0 {
            self.answer.set(1 + count(self.socket, self.more));
        }
        Err(S::Error::custom(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_count_leaves_a_slot_for_a_heartbeat() {
        let queue = |size| Queue::new(size, Ipv4Addr::LOCALHOST.into(), Ledger::new(1, 1));
        assert_eq!([0, 31, 32, 33, usize::MAX].map(|wanted| queue(32).countable(wanted)), [0, 31, 31, 31, 31]);
        assert_eq!((queue(1).countable(1), queue(0).countable(1)), (0, 0));
    }
}
