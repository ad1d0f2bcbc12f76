//! How fast the messages of one address are read.
//!
//! Each of its sockets keeps to its own rate of events. All together may still send more than the relay should work for. Such an
//! address is not ended, since its sockets would come back at once. Its messages wait.

use crate::config::Config;
use crate::guard::budget::{Allowance, Budget};
use prometheus_client::metrics::counter::Counter;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Bytes a second for each connection that an address may have. A client that follows matches sends far less.
const EACH: u32 = 64;

/// Bytes a second for each event of one connection, and for each vote of one address: the other limits come first.
const EVENT: u32 = 512;

/// Bytes a second of one address, whatever it may do.
const LEAST: f64 = 65_536.0;

/// Seconds of that at once: a whole address that connects again.
const BURST: f64 = 20.0;

/// The longest time that requests may make their address wait. Half of it is left until a heartbeat is missed.
const LONGEST: Duration = Duration::from_secs(10);

/// The pace of all addresses.
#[derive(Clone)]
pub struct Paces {
    budget: Arc<Budget>,
    waits: Counter,
}

/// The pace of one connection's address.
pub struct Pace {
    paces: Paces,
    ip: IpAddr,
}

impl Paces {
    /// `waits` counts the reads that had to wait.
    #[must_use]
    pub fn new(config: &Config, waits: Counter) -> Self {
        let clients = u32::try_from(config.max_clients_per_ip).unwrap_or(u32::MAX);
        let wants = [(EACH, clients), (EVENT, config.max_events), (EVENT, config.votes_of_one_address())];
        let a_second = wants.into_iter().map(|(bytes, number)| f64::from(bytes) * f64::from(number)).fold(LEAST, f64::max);
        let each = Allowance { a_second, burst: BURST * a_second };
        Self { budget: Arc::new(Budget::new(each, Allowance::UNLIMITED)), waits }
    }

    #[must_use]
    pub fn of(&self, ip: IpAddr) -> Pace {
        Pace { paces: self.clone(), ip }
    }
}

impl Pace {
    /// How long to wait after so many bytes, which were read from a socket.
    #[must_use]
    pub fn wait_after(&self, bytes: usize) -> Duration {
        self.counted(self.paces.budget.charge(self.ip, number(bytes)))
    }

    /// How long a request with so many bytes has to wait.
    ///
    /// # Errors
    /// The same for one that comes while so many wait that it may not: requests have no bound, as sockets have.
    pub fn wait_before(&self, bytes: usize) -> Result<Duration, Duration> {
        self.paces.budget.charge_within(self.ip, number(bytes), LONGEST).map(|wait| self.counted(wait))
    }

    fn counted(&self, wait: Duration) -> Duration {
        if !wait.is_zero() {
            self.paces.waits.inc();
        }
        wait
    }
}

fn number(bytes: usize) -> f64 {
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX))
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pace").field(&self.ip).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::net::Ipv4Addr;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn an_address_may_send_what_its_other_limits_let_it() {
        for (flags, a_second) in [
            (&["--max-clients-per-ip=0"][..], 65_536),
            (&["--max-clients-per-ip=1024"], 65_536),
            (&[], 128_000),
            (&["--max-events=1000"], 512_000),
            #[cfg(feature = "door")]
            (&["--votes-url=postgres://h/db", "--max-votes-per-ip=1000"], 512_000),
        ] {
            let settings = ["relay", "--database-url=postgres://h/db"].iter().chain(flags);
            let (config, waits) = (Config::try_parse_from(settings).expect("settings"), Counter::default());
            let pace = Paces::new(&config, waits.clone()).of(ONE);
            assert_eq!((pace.wait_after(20 * a_second - 1), waits.get()), (Duration::ZERO, 0), "{flags:?}");
            let wait = pace.wait_after(10 * a_second).as_secs_f64();
            assert!((9.5..10.1).contains(&wait) && waits.get() == 1, "{flags:?}: {wait}");
            assert!(pace.wait_before(a_second).is_ok_and(|wait| wait > LONGEST) && pace.wait_before(1).is_err(), "{flags:?}");
        }
    }
}
