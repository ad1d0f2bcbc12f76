//! Budgets: how many requests an address may send, and how much processor time it may take.

use crate::guard::seats::prefix;
use foldhash::{HashMap, HashMapExt};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Addresses remembered. Beside them the rest shares one account, so that no number of addresses takes more memory.
const MOST: usize = 50_000;

/// Between two looks for accounts that can be forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// The longest wait that is told.
const LONGEST: Duration = Duration::from_secs(3_600);

/// The account of all addresses that are too many.
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// An allowance that grows with time up to a burst. It may be overdrawn once: what a piece of work costs is known afterwards.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    pub a_second: f64,
    pub burst: f64,
}

/// What one address has left of an allowance.
#[derive(Clone, Copy, Debug)]
struct Account {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn refill(&self, account: &mut Account, now: Instant) {
        let grown = now.saturating_duration_since(account.at).as_secs_f64() * self.a_second;
        *account = Account { left: (account.left + grown).min(self.burst), at: now };
    }

    fn full(&self, now: Instant) -> Account {
        Account { left: self.burst, at: now }
    }

    /// How long until something is left.
    fn wait(&self, account: &Account) -> Duration {
        Duration::try_from_secs_f64(((1e-3 - account.left) / self.a_second).max(0.0)).unwrap_or(LONGEST).min(LONGEST)
    }
}

/// The accounts of all addresses for one kind of expense, and one that all of them share.
pub struct Budget {
    each: Allowance,
    all: Allowance,
    accounts: Mutex<Accounts>,
}

struct Accounts {
    all: Account,
    by_prefix: HashMap<IpAddr, Account>,
    swept_at: Instant,
}

impl Budget {
    #[must_use]
    pub fn new(each: Allowance, all: Allowance) -> Self {
        let now = Instant::now();
        let accounts = Accounts { all: all.full(now), by_prefix: HashMap::new(), swept_at: now };
        Self { each, all, accounts: Mutex::new(accounts) }
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is left for this address.
    ///
    /// # Errors
    /// How long to wait until there is.
    pub fn check(&self, ip: IpAddr) -> Result<(), Duration> {
        self.spend(ip, 0.0)
    }

    /// Takes `cost`, if anything is left for this address.
    ///
    /// # Errors
    /// How long to wait until there is; then nothing is taken.
    pub fn spend(&self, ip: IpAddr, cost: f64) -> Result<(), Duration> {
        let now = Instant::now();
        let mut accounts = self.accounts();
        self.all.refill(&mut accounts.all, now);
        let all = accounts.all;
        let account = self.account(&mut accounts, ip, now);
        if all.left <= 0.0 || account.left <= 0.0 {
            return Err(self.all.wait(&all).max(self.each.wait(account)));
        }
        account.left -= cost;
        accounts.all.left -= cost;
        Ok(())
    }

    /// Takes what a piece of work has cost, left or not.
    pub fn charge(&self, ip: IpAddr, cost: f64) {
        let now = Instant::now();
        let mut accounts = self.accounts();
        self.all.refill(&mut accounts.all, now);
        self.account(&mut accounts, ip, now).left -= cost;
        accounts.all.left -= cost;
    }

    fn account<'a>(&self, accounts: &'a mut Accounts, ip: IpAddr, now: Instant) -> &'a mut Account {
        let mut key = prefix(ip);
        if accounts.by_prefix.len() >= MOST && !accounts.by_prefix.contains_key(&key) {
            if now.saturating_duration_since(accounts.swept_at) >= SWEEP {
                accounts.swept_at = now;
                // An account that has filled up again says as much as none.
                accounts.by_prefix.retain(|_, account| {
                    self.each.refill(account, now);
                    account.left < self.each.burst
                });
            }
            if accounts.by_prefix.len() >= MOST {
                key = OTHERS;
            }
        }
        let account = accounts.by_prefix.entry(key).or_insert_with(|| self.each.full(now));
        self.each.refill(account, now);
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Allowance = Allowance { a_second: 1e-6, burst: 2.0 };

    fn ip(n: u32) -> IpAddr {
        Ipv4Addr::from(0x0a00_0000 + n).into()
    }

    #[test]
    fn one_address_spends_its_own() {
        let budget = Budget::new(SLOW, Allowance { a_second: 1e-6, burst: 100.0 });
        assert!(budget.spend(ip(1), 1.0).is_ok() && budget.spend(ip(1), 1.5).is_ok(), "overdrawn once");
        assert!(budget.spend(ip(1), 1.0).is_err_and(|wait| wait > Duration::from_secs(1)));
        assert!(budget.spend(ip(2), 1.0).is_ok());
    }

    #[test]
    fn work_is_charged_afterwards_and_to_all() {
        let budget = Budget::new(SLOW, Allowance { a_second: 1e-6, burst: 3.0 });
        assert!(budget.check(ip(1)).is_ok());
        budget.charge(ip(1), 10.0);
        assert!(budget.check(ip(1)).is_err_and(|wait| wait == LONGEST), "never longer");
        assert!(budget.check(ip(2)).is_err(), "all together have spent theirs too");
    }

    #[test]
    fn what_was_spent_grows_again() {
        let budget = Budget::new(Allowance { a_second: 1e9, burst: 2.0 }, Allowance { a_second: 1e9, burst: 2.0 });
        budget.charge(ip(1), 2.0);
        std::thread::sleep(Duration::from_millis(1));
        assert!(budget.check(ip(1)).is_ok());
    }

    #[test]
    fn many_addresses_share_what_is_left_of_the_memory() {
        let budget = Budget::new(SLOW, Allowance { a_second: 1.0, burst: 1e9 });
        (0..60_000).for_each(|n| budget.charge(ip(n), 1.0));
        assert_eq!(budget.accounts().by_prefix.len(), MOST + 1);
        assert!(budget.check(ip(59_999)).is_err() && budget.check(ip(1)).is_ok());
    }
}
