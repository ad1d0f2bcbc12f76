//! How often one connection may act.

use crate::config::Config;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;

/// The rates of one connection: leaving the namespace and coming back does not renew them.
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
    use clap::Parser;

    #[test]
    fn a_connection_has_its_rates() {
        let settings = ["relay", "--database-url=postgres://h/db", "--max-events=1", "--max-joins=1"];
        let rates = Rates::new(&Config::try_parse_from(settings).expect("settings"));
        assert!(rates.allow_event() && rates.allow_join() && rates.allow_join(), "a burst of twice as many");
        // However slowly this runs, a million calls do not take a second each.
        assert!((0..1_000_000).any(|_| !rates.allow_event()) && (0..1_000_000).any(|_| !rates.allow_join()));
    }
}
