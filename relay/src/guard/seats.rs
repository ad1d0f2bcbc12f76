//! Seats: how many connections there are, in all and from each address.
//!
//! A seat belongs to a connection: an Engine.IO session or an event stream. It is free again when that is gone, whatever is
//! said over it meanwhile. One that has left the namespace keeps its seat until somebody from its address needs it.

use crate::connection::Transport;
use foldhash::{HashMap, HashMapExt};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Connections above the limit that are let in only to be told so, from each address.
const STANDING: usize = 16;

/// The same in all.
const ALL_STANDING: usize = 256;

/// What counts as one address: with IPv6 a /64, which is what one subscriber gets.
#[must_use]
pub fn prefix(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
        ip => ip,
    }
}

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
    transport: Transport,
    /// The limit that is met: there is no seat, and the connection may only be told so.
    pub refusal: Option<&'static str>,
    is_idle: AtomicBool,
    is_evicted: AtomicBool,
}

impl Seats {
    #[must_use]
    pub fn new(all: usize, each: usize) -> Arc<Self> {
        let taken = Taken { seats: 0, standing: 0, by_prefix: HashMap::new() };
        Arc::new(Self { all, each, taken: Mutex::new(taken) })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from `ip`. None: there is not even room to tell it that there is none.
    #[must_use]
    pub fn admit(self: &Arc<Self>, ip: IpAddr, transport: Transport) -> Option<Arc<Seat>> {
        let prefix = prefix(ip);
        // The last owner of a seat locks when it drops it: these outlive the lock.
        let mut looked_at = Vec::new();
        let mut guard = self.taken();
        let taken = &mut *guard;
        let address = taken.by_prefix.entry(prefix).or_default();
        if (taken.seats >= self.all || address.seats >= self.each) && address.evict(&mut looked_at) {
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
        let (is_idle, is_evicted) = (AtomicBool::new(false), AtomicBool::new(false));
        Some(Arc::new(Seat { seats: self.clone(), prefix, transport, refusal, is_idle, is_evicted }))
    }
}

impl Address {
    /// Ends a connection outside the namespace. False: there is none. The seats that it looked at go to `looked_at`.
    fn evict(&mut self, looked_at: &mut Vec<Arc<Seat>>) -> bool {
        while let Some(seat) = self.idle.pop_front() {
            let Some(seat) = seat.upgrade() else { continue };
            let gives_way = seat.is_idle.load(Ordering::Relaxed) && !seat.is_evicted.swap(true, Ordering::Relaxed);
            looked_at.push(seat.clone());
            if gives_way {
                self.seats -= 1;
                seat.transport.cut();
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
        !self.is_evicted.load(Ordering::Relaxed)
    }

    /// Whether the connection is outside the namespace.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.is_idle.load(Ordering::Relaxed)
    }

    /// Ends the connection.
    pub fn cut(&self) {
        self.transport.cut();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut guard = self.seats.taken();
        let taken = &mut *guard;
        let Some(address) = taken.by_prefix.get_mut(&self.prefix) else { return };
        if self.refusal.is_some() {
            address.standing -= 1;
            taken.standing -= 1;
        } else if !self.is_evicted.load(Ordering::Relaxed) {
            address.seats -= 1;
            taken.seats -= 1;
        }
        if address.seats + address.standing == 0 {
            taken.by_prefix.remove(&self.prefix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

    fn admit(seats: &Arc<Seats>, ip: IpAddr) -> Option<Arc<Seat>> {
        seats.admit(ip, Transport::none())
    }

    #[test]
    fn seats_come_free_again() {
        let seats = Seats::new(3, 2);
        let sit = |ip| admit(&seats, ip).expect("let in");
        let (one, _two) = (sit(ONE), sit(ONE));
        assert_eq!(sit(ONE).refusal, Some("too_many_clients_from_your_address"));
        let _three = sit(OTHER);
        assert_eq!(sit(OTHER).refusal, Some("too_many_clients"));
        drop(one);
        assert_eq!(sit(OTHER).refusal, None);
        let taken = seats.taken();
        assert_eq!((taken.seats, taken.standing, taken.by_prefix.len()), (2, 0, 2));
    }

    #[test]
    fn above_the_limit_few_are_told_so_and_the_others_are_not_let_in() {
        let seats = Seats::new(1, 1);
        let _one = admit(&seats, ONE);
        let standing: Vec<_> = (0..=STANDING).map(|_| admit(&seats, ONE)).collect();
        assert!(standing[..STANDING].iter().all(Option::is_some) && standing[STANDING].is_none());
        drop(standing);
        let taken = seats.taken();
        assert_eq!((taken.seats, taken.standing), (1, 0));
    }

    #[test]
    fn a_connection_outside_the_namespace_gives_way() {
        let seats = Seats::new(2, 2);
        let (one, two) = (admit(&seats, ONE).expect("free"), admit(&seats, ONE).expect("free"));
        one.leave();
        two.leave();
        assert!(one.take());
        let three = admit(&seats, ONE).expect("two gives way");
        assert_eq!((three.refusal, one.take(), two.take()), (None, true, false));
        assert!(admit(&seats, ONE).expect("told").refusal.is_some());
        drop((one, two, three));
        let taken = seats.taken();
        assert_eq!((taken.seats, taken.by_prefix.len()), (0, 0));
    }

    #[test]
    fn seats_that_go_while_they_give_way_hold_nobody_up() {
        let seats = Seats::new(1, 1);
        for _ in 0..2_000 {
            let Some(seat) = admit(&seats, ONE) else { continue };
            seat.leave();
            let gone = std::thread::spawn(move || drop(seat));
            drop(admit(&seats, ONE));
            gone.join().expect("dropped");
        }
        assert_eq!(seats.taken().seats, 0);
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let seats = Seats::new(9, 1);
        let ip = |text: &str| text.parse::<IpAddr>().expect("address");
        let _one = admit(&seats, ip("2001:db8::1"));
        assert!(admit(&seats, ip("2001:db8::ffff:2")).expect("told").refusal.is_some());
        assert!(admit(&seats, ip("2001:db8:0:1::1")).expect("free").refusal.is_none());
        assert_eq!(prefix(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    }
}
