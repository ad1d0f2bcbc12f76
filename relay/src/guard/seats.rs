//! Seats: how many connections there are, in all and from each address.
//!
//! A seat belongs to a connection: an Engine.IO session or an event stream. It is free again when that is gone, whatever is
//! said over it meanwhile. One that has left the namespace keeps its seat until somebody from its address needs it.

use crate::guard::address::prefix;
use crate::guard::connection::Transport;
use foldhash::{HashMap, HashMapExt};
use socketioxide::socket::Sid;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

/// Connections above the limit that are let in only to be told so, from each address.
const STANDING: usize = 16;

/// The same in all.
const ALL_STANDING: usize = 256;

/// All seats.
pub struct Seats {
    all: usize,
    each: usize,
    taken: Mutex<Taken>,
}

struct Taken {
    seats: usize,
    standing: usize,
    by_prefix: HashMap<IpAddr, Address>,
    /// Sessions that began with polling. They use one connection after the other, and may end with a WebSocket.
    polling: HashMap<Sid, Weak<Seat>>,
}

#[derive(Default)]
struct Address {
    seats: usize,
    standing: usize,
    /// Those that have left the namespace, the first one first; some have come back or gone.
    idle: VecDeque<Weak<Seat>>,
}

/// A connection's place, free again when dropped.
pub struct Seat {
    seats: Arc<Seats>,
    prefix: IpAddr,
    /// The connection that the session began with, or went over to.
    transport: Mutex<Transport>,
    /// Where it began with polling.
    session: OnceLock<Sid>,
    is_cut: AtomicBool,
    /// The limit that is met: there is no seat, and the connection may only be told so.
    pub refusal: Option<&'static str>,
    is_idle: AtomicBool,
    /// It counts no more: its connection is gone, or has given way.
    is_free: AtomicBool,
}

impl Seats {
    #[must_use]
    pub fn new(all: usize, each: usize) -> Arc<Self> {
        let taken = Taken { seats: 0, standing: 0, by_prefix: HashMap::new(), polling: HashMap::new() };
        Arc::new(Self { all, each, taken: Mutex::new(taken) })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from `ip`. None: there is not even room to tell it that there is none.
    #[must_use]
    pub fn admit(self: &Arc<Self>, ip: IpAddr, transport: Transport) -> Option<Arc<Seat>> {
        let prefix = prefix(ip);
        // The last owner of a seat, or of its connection, locks when it drops it: these outlive the lock.
        let mut looked_at = Vec::new();
        let admitted = self.admit_of(prefix, transport, &mut looked_at);
        looked_at.iter().filter(|seat| seat.is_free()).for_each(|seat| seat.cut());
        admitted
    }

    fn admit_of(self: &Arc<Self>, prefix: IpAddr, transport: Transport, looked_at: &mut Vec<Arc<Seat>>) -> Option<Arc<Seat>> {
        let mut guard = self.taken();
        let taken = &mut *guard;
        let address = taken.by_prefix.entry(prefix).or_default();
        if (taken.seats >= self.all || address.seats >= self.each) && address.evict(looked_at) {
            taken.seats -= 1;
        }
        let refusal = if taken.seats >= self.all {
            Some("too_many_clients")
        } else if address.seats >= self.each {
            Some("too_many_clients_from_your_address")
        } else {
            None
        };
        if refusal.is_none() {
            address.seats += 1;
            taken.seats += 1;
        } else if taken.standing >= ALL_STANDING || address.standing >= STANDING {
            if address.seats + address.standing == 0 {
                taken.by_prefix.remove(&prefix);
            }
            return None;
        } else {
            address.standing += 1;
            taken.standing += 1;
        }
        Some(Arc::new(Seat {
            seats: self.clone(),
            prefix,
            transport: Mutex::new(transport),
            session: OnceLock::new(),
            is_cut: AtomicBool::new(false),
            refusal,
            is_idle: AtomicBool::new(false),
            is_free: AtomicBool::new(false),
        }))
    }

    /// The seat of a session that began with polling.
    #[must_use]
    pub fn of(&self, session: Sid) -> Option<Arc<Seat>> {
        let seat = self.taken().polling.get(&session).cloned();
        seat?.upgrade()
    }
}

impl Address {
    /// Takes the seat of a connection outside the namespace, which is to be ended. False: there is none. The seats that it looked at
    /// go to `looked_at`.
    fn evict(&mut self, looked_at: &mut Vec<Arc<Seat>>) -> bool {
        while let Some(seat) = self.idle.pop_front() {
            let Some(seat) = seat.upgrade() else { continue };
            let gives_way = seat.is_idle.load(Ordering::Relaxed) && !seat.is_free.swap(true, Ordering::Relaxed);
            looked_at.push(seat.clone());
            if gives_way {
                self.seats -= 1;
                return true;
            }
        }
        false
    }
}

impl Seat {
    /// The connection has left the namespace: it gives way when its address needs the seat.
    pub fn leave(self: &Arc<Self>) {
        let mut taken = self.seats.taken();
        if let Some(address) = taken.by_prefix.get_mut(&self.prefix)
            && !self.is_idle.swap(true, Ordering::Relaxed)
        {
            address.idle.retain(|seat| seat.strong_count() > 0);
            address.idle.push_back(Arc::downgrade(self));
        }
    }

    /// The connection has come back to the namespace. False: it has given way.
    #[must_use]
    pub fn take(self: &Arc<Self>) -> bool {
        let _taken = self.seats.taken();
        self.is_idle.store(false, Ordering::Relaxed);
        !self.is_free()
    }

    fn is_free(&self) -> bool {
        self.is_free.load(Ordering::Relaxed)
    }

    /// Whether the connection is outside the namespace.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.is_idle.load(Ordering::Relaxed)
    }

    /// The session that has the seat, and polls.
    pub fn name(self: &Arc<Self>, session: Sid) {
        if self.session.set(session).is_ok() {
            self.seats.taken().polling.insert(session, Arc::downgrade(self));
        }
    }

    /// The session that polled goes on over this connection. When that is gone too soon, the session polls on.
    pub fn move_to(&self, transport: Transport) {
        let mut current = self.transport.lock().unwrap_or_else(PoisonError::into_inner);
        *current = transport;
        if self.is_cut() {
            current.cut();
        }
    }

    /// The session began with the connection that it has, and ends with it: then the seat is free. The library keeps what a session
    /// began with for longer, where it never came into the namespace.
    pub fn end_with_connection(self: &Arc<Self>) {
        self.transport.lock().unwrap_or_else(PoisonError::into_inner).hold(Vacating(Arc::downgrade(self)));
    }

    /// The further requests of a session that polls are to be refused.
    pub fn refuse(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    /// Ends the connection. A session that polls is to be refused from now on.
    pub fn cut(&self) {
        let current = self.transport.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_cut.store(true, Ordering::Relaxed);
        current.cut();
    }

    /// Ends the connection. A client that was told why has a moment to read it.
    pub fn cut_after(self: &Arc<Self>, moment: Duration) {
        let seat = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(moment).await;
            seat.cut();
        });
    }

    /// Whether it was ended.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(session) = self.session.get() {
            taken.polling.remove(session);
        }
        taken.free(self);
    }
}

/// Frees a seat when dropped.
struct Vacating(Weak<Seat>);

impl Drop for Vacating {
    fn drop(&mut self) {
        if let Some(seat) = self.0.upgrade() {
            seat.seats.taken().free(&seat);
        }
    }
}

impl Taken {
    /// The seat counts no more.
    fn free(&mut self, seat: &Seat) {
        let Some(address) = self.by_prefix.get_mut(&seat.prefix) else { return };
        if seat.is_free.swap(true, Ordering::Relaxed) {
            return;
        }
        if seat.refusal.is_some() {
            address.standing -= 1;
            self.standing -= 1;
        } else {
            address.seats -= 1;
            self.seats -= 1;
        }
        if address.seats + address.standing == 0 {
            self.by_prefix.remove(&seat.prefix);
        }
    }
}

#[cfg(test)]
mod tests;
