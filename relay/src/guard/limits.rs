//! How many, and how often.

use crate::config::Config;
use foldhash::{HashMap, HashMapExt};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

/// Who is here: so many in all, so many from each address.
pub struct Seats {
    all: usize,
    each: usize,
    taken: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// A client's place, free again when dropped.
pub struct Seat {
    seats: Arc<Seats>,
    ip: IpAddr,
}

impl Seats {
    #[must_use]
    pub fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all, each, taken: Mutex::new((0, HashMap::new())) })
    }

    /// A place for somebody from `ip`.
    ///
    /// # Errors
    /// Which limit is met.
    pub fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Seat, &'static str> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, by_ip) = &mut *taken;
        if *all >= self.all {
            return Err("too_many_clients");
        }
        let from_there = by_ip.entry(ip).or_default();
        if *from_there >= self.each {
            return Err("too_many_clients_from_your_address");
        }
        *from_there += 1;
        *all += 1;
        Ok(Seat { seats: self.clone(), ip })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, by_ip) = &mut *taken;
        *all -= 1;
        if let Some(from_there) = by_ip.get_mut(&self.ip) {
            *from_there -= 1;
            if *from_there == 0 {
                by_ip.remove(&self.ip);
            }
        }
    }
}

/// How often one client may act.
pub struct Rates {
    events: DefaultDirectRateLimiter,
    joins: DefaultDirectRateLimiter,
}

impl Rates {
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let limiter = |a_second: u32| {
            let a_second = NonZeroU32::new(a_second).unwrap_or(NonZeroU32::MIN);
            RateLimiter::direct(
                Quota::per_second(a_second).allow_burst(a_second.saturating_mul(NonZeroU32::new(2).unwrap_or(a_second))),
            )
        };
        Self { events: limiter(config.max_events), joins: limiter(config.max_joins) }
    }

    /// Whether one more event is within the limit.
    #[must_use]
    pub fn allow_event(&self) -> bool {
        self.events.check().is_ok()
    }

    /// Whether one more join is within the limit.
    #[must_use]
    pub fn allow_join(&self) -> bool {
        self.joins.check().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn seats_come_free_again() {
        let (seats, a, b) = (Seats::new(3, 2), IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv4Addr::UNSPECIFIED));
        let (one, _two) = (seats.admit(a).expect("free"), seats.admit(a).expect("free"));
        assert_eq!(seats.admit(a).err(), Some("too_many_clients_from_your_address"));
        let _three = seats.admit(b).expect("free");
        assert_eq!(seats.admit(b).err(), Some("too_many_clients"));
        drop(one);
        assert!(seats.admit(b).is_ok());
        let taken = seats.taken.lock().expect("sound");
        assert_eq!((taken.0, taken.1.len()), (2, 2));
    }
}
