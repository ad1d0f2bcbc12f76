//! How many votes a voter, an address and all together may send.

use crate::config::door::{DoorConfig, SHARE};
use crate::door::who::Who;
use crate::guard::address::prefix;
use crate::guard::budget::{Allowance, Budget};
use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use vote_agg_door::{Problem, Vote, Voter};

/// Between two looks for voters that can be forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// The most votes of a request.
pub const MOST: u32 = 1_000;

/// What no address can spend.
const BOUNDLESS: Allowance = Allowance { a_second: 1e12, burst: 1e12 };

/// The limits. What is taken of one that another refuses is not given back.
pub struct Limits {
    by_voter: DefaultKeyedRateLimiter<Arc<Voter>>,
    by_address: Budget,
    all: DefaultDirectRateLimiter,
    /// The most votes that one request may bring.
    most: u32,
    most_of_a_back_end: u32,
    clock: DefaultClock,
    began: Instant,
    /// Milliseconds after `began`.
    swept_at: AtomicU64,
}

impl Limits {
    #[must_use]
    pub fn new(config: &DoorConfig) -> Self {
        let each = f64::from(config.max_votes_per_ip);
        let by_address = Allowance { a_second: each, burst: 2.0 * each };
        let at_once = config.max_votes.saturating_mul(2).min(MOST);
        let part = |n: usize| u32::try_from(config.votes_queue as usize / n).unwrap_or(u32::MAX).max(1);
        Self {
            by_voter: RateLimiter::keyed(quota(config.max_votes_per_voter)),
            by_address: Budget::new(by_address, BOUNDLESS),
            all: RateLimiter::direct(quota(config.max_votes)),
            most: at_once.min(part(SHARE)),
            most_of_a_back_end: at_once.min(part(2)),
            clock: DefaultClock::default(),
            began: Instant::now(),
            swept_at: AtomicU64::new(0),
        }
    }

    /// Takes a vote of this voter.
    ///
    /// # Errors
    /// When he has sent too many.
    pub fn check_voter(&self, vote: &Vote) -> Result<(), Problem> {
        self.sweep();
        let checked = self.by_voter.check_key(&vote.voter);
        checked.map_err(|until| too_many("too many votes of this voter", until.wait_time_from(self.clock.now())))
    }

    /// The most votes of one request. More could never be taken: neither at once, nor into the queue.
    #[must_use]
    pub const fn most(&self, who: &Who) -> u32 {
        if is_back_end(who) { self.most_of_a_back_end } else { self.most }
    }

    /// The address in whose share of the queue a vote stands.
    #[must_use]
    pub fn holder(who: &Who, ip: IpAddr) -> Option<IpAddr> {
        (!is_back_end(who)).then(|| prefix(ip))
    }

    /// Takes as many votes of an address, and of all.
    ///
    /// # Errors
    /// When too many were sent.
    pub fn check(&self, who: &Who, ip: IpAddr, votes: u32) -> Result<(), Problem> {
        if !is_back_end(who) {
            let spent = self.by_address.spend(ip, f64::from(votes));
            spent.map_err(|wait| too_many("too many votes from your address", wait))?;
        }
        let Some(votes) = NonZeroU32::new(votes) else { return Ok(()) };
        let too_many = |wait| too_many("too many votes at the moment", wait);
        match self.all.check_n(votes) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(too_many(until.wait_time_from(self.clock.now()))),
            Err(_) => Err(too_many(SWEEP)),
        }
    }

    /// Forgets voters that may send as many as ever. All together bound how many come meanwhile.
    fn sweep(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let before = self.swept_at.load(Ordering::Relaxed);
        let is_due = now.saturating_sub(before) >= SWEEP.as_millis() as u64;
        if is_due && self.swept_at.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.by_voter.retain_recent();
        }
    }
}

/// A back end speaks for many voters at one address.
const fn is_back_end(who: &Who) -> bool {
    matches!(who, Who::Anybody { .. })
}

fn quota(a_second: u32) -> Quota {
    let a_second = NonZeroU32::new(a_second).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(a_second).allow_burst(a_second.saturating_mul(NonZeroU32::new(2).unwrap_or(a_second)))
}

fn too_many(detail: &str, wait: Duration) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_votes", detail).after(wait)
}
