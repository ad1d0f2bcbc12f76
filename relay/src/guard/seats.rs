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

    /// The session lives on this connection alone: the seat is free as soon as that is gone. The library keeps what a session began
    /// with for longer, where it never came into the namespace.
    pub fn live_on(self: &Arc<Self>, transport: Transport) {
        transport.hold(Vacating(Arc::downgrade(self)));
        let mut current = self.transport.lock().unwrap_or_else(PoisonError::into_inner);
        *current = transport;
        if self.is_cut() {
            current.cut();
        }
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
mod tests {
    use super::*;
    use crate::guard::connection::Connection;
    use std::net::Ipv4Addr;
    use std::time::Duration;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};

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
        let session = Sid::new();
        two.name(session);
        one.leave();
        two.leave();
        assert!(one.take() && seats.of(session).is_some_and(|seat| !seat.is_cut()) && seats.of(Sid::new()).is_none());
        let three = admit(&seats, ONE).expect("two gives way");
        assert_eq!((three.refusal, one.take(), two.take()), (None, true, false));
        assert!(two.is_cut() && seats.of(session).is_some_and(|seat| seat.is_cut()) && !one.is_cut());
        assert!(admit(&seats, ONE).expect("told").refusal.is_some());
        drop((one, two, three));
        let taken = seats.taken();
        assert_eq!((taken.seats, taken.by_prefix.len(), taken.polling.len()), (0, 0, 0));
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

    #[test]
    fn all_together_few_are_told_that_there_is_no_seat() {
        let seats = Seats::new(0, 1);
        let ip = |n: usize| IpAddr::from([10, 0, 0, u8::try_from(n).expect("small")]);
        let told: Vec<_> = (0..ALL_STANDING).map(|n| admit(&seats, ip(n / STANDING)).expect("told")).collect();
        assert!(told.iter().all(|seat| seat.refusal == Some("too_many_clients")));
        assert!(admit(&seats, ip(200)).is_none() && admit(&seats, ip(0)).is_none());
        assert_eq!(seats.taken().by_prefix.len(), ALL_STANDING / STANDING, "nothing is kept of one that was not let in");
        drop(told);
        let taken = seats.taken();
        assert_eq!((taken.standing, taken.by_prefix.len()), (0, 0));
    }

    #[test]
    fn only_those_outside_the_namespace_give_way() {
        let seats = Seats::new(9, 2);
        let (one, two) = (admit(&seats, ONE).expect("free"), admit(&seats, ONE).expect("free"));
        assert!(!one.is_idle() && admit(&seats, ONE).expect("told").refusal.is_some(), "none is outside");
        one.leave();
        one.leave();
        assert!(one.is_idle() && seats.taken().by_prefix[&ONE].idle.len() == 1, "noted once");
        // There is a free seat for another address, so nobody gives way.
        let _other = admit(&seats, OTHER).expect("free");
        assert!(one.take() && !one.is_idle());
        one.leave();
        drop(two);
        let _two = admit(&seats, ONE).expect("free");
        assert!(one.take(), "two had gone");
        let gone = admit(&Seats::new(1, 1), ONE).expect("free");
        gone.leave();
        assert_eq!(gone.seats.taken().by_prefix[&ONE].idle.iter().filter(|seat| seat.strong_count() > 0).count(), 1);
    }

    #[test]
    fn a_seat_is_made_free_where_either_limit_is_met() {
        for seats in [Seats::new(9, 1), Seats::new(1, 9)] {
            let one = admit(&seats, ONE).expect("free");
            one.leave();
            let two = admit(&seats, ONE).expect("one gives way");
            assert_eq!((two.refusal, one.take()), (None, false));
        }
    }

    #[test]
    fn a_session_that_polls_is_refused_from_now_on() {
        let seat = admit(&Seats::new(9, 9), ONE).expect("free");
        assert!(!seat.is_cut());
        seat.refuse();
        assert!(seat.is_cut());
    }

    /// A connection over loopback, and its other end.
    async fn connected() -> (Connection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Connection::new(accepted.expect("accepted").0, Duration::from_secs(9), None), client.expect("connected"))
    }

    #[tokio::test]
    async fn the_connection_that_a_session_moved_to_is_the_one_that_ends() {
        let ((first, mut first_end), (second, mut second_end)) = (connected().await, connected().await);
        let seat = Seats::new(9, 9).admit(ONE, first.transport()).expect("free");
        seat.live_on(second.transport());
        seat.cut();
        assert!(seat.is_cut());
        let (mut one, mut other) = ([0], [0]);
        let ended = tokio::select! {
            read = first_end.read(&mut one) => ("first", read.ok()),
            read = second_end.read(&mut other) => ("second", read.ok()),
        };
        assert_eq!(ended, ("second", Some(0)));
        let (late, mut late_end) = connected().await;
        seat.live_on(late.transport());
        assert_eq!(late_end.read(&mut other).await.ok(), Some(0), "after it was ended");
    }

    #[tokio::test]
    async fn a_seat_is_free_as_soon_as_its_connection_is_gone() {
        let seats = Seats::new(1, 1);
        let (connection, _end) = connected().await;
        let gone = admit(&seats, ONE).expect("free");
        gone.live_on(connection.transport());
        let told = admit(&seats, ONE).expect("told");
        let (second, _end) = connected().await;
        told.live_on(second.transport());
        assert!(told.refusal.is_some() && gone.take());
        drop((connection, second));
        assert!(!gone.take());
        let next = admit(&seats, ONE).expect("free");
        assert_eq!(next.refusal, None);
        gone.leave();
        drop((gone, told));
        let taken = seats.taken();
        assert_eq!((taken.seats, taken.standing, taken.by_prefix[&ONE].seats), (1, 0, 1));
    }

    #[test]
    fn those_that_have_gone_are_not_remembered() {
        let seats = Seats::new(9, 9);
        let stays = admit(&seats, ONE).expect("free");
        stays.leave();
        for _ in 0..5 {
            admit(&seats, ONE).expect("free").leave();
        }
        let last = admit(&seats, ONE).expect("free");
        last.leave();
        assert_eq!(seats.taken().by_prefix[&ONE].idle.len(), 2);
    }
}
