//! Budgets: how many requests an address may send, how much processor time it may take, and how fast its sockets are read.

use crate::guard::address::prefix;
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
    /// More than anybody can take.
    pub const UNLIMITED: Self = Self { a_second: f64::MAX, burst: f64::MAX };

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

/// Takes from an account. Returns what it had of that: a debt is the address's own, so that no address can make all others wait.
fn take(account: &mut Account, cost: f64) -> f64 {
    let before = account.left;
    account.left -= cost;
    before.max(0.0) - account.left.max(0.0)
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
        let taken = take(account, cost);
        accounts.all.left -= taken;
        Ok(())
    }

    /// Takes what a piece of work has cost, left or not. Returns how long it takes until the address has paid its debt. A
    /// connection that waits that long after each read keeps to the allowance, and is woken once a read.
    pub fn charge(&self, ip: IpAddr, cost: f64) -> Duration {
        let now = Instant::now();
        let mut accounts = self.accounts();
        self.all.refill(&mut accounts.all, now);
        let account = self.account(&mut accounts, ip, now);
        let (taken, wait) = (take(account, cost), self.each.wait(account));
        accounts.all.left -= taken;
        wait
    }

    /// The same, but nothing is taken where the address has to wait longer than `longest` already.
    ///
    /// # Errors
    /// How long it has to wait then.
    pub fn charge_within(&self, ip: IpAddr, cost: f64, longest: Duration) -> Result<Duration, Duration> {
        let wait = self.charge(ip, 0.0);
        if wait > longest { Err(wait) } else { Ok(self.charge(ip, cost)) }
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
        assert!(budget.check(ip(2)).is_ok(), "the debt is its own");
        budget.charge(ip(2), 10.0);
        assert!(budget.check(ip(3)).is_err(), "all together have spent theirs too");
    }

    #[test]
    fn a_debt_is_waited_for_in_turn() {
        let budget = Budget::new(Allowance { a_second: 100.0, burst: 50.0 }, Allowance::UNLIMITED);
        assert_eq!(budget.charge(ip(1), 40.0), Duration::ZERO);
        // Each waits for those before it too, so that all together keep to 100 a second.
        let waits: Vec<_> = (0..3).map(|_| budget.charge(ip(1), 1_000.0).as_secs_f64()).collect();
        assert!(
            (9.0..10.0).contains(&waits[0]) && (19.0..20.0).contains(&waits[1]) && (29.0..30.0).contains(&waits[2]),
            "{waits:?}"
        );
        assert_eq!(budget.charge(ip(2), 40.0), Duration::ZERO, "another address does not");
        assert_eq!(budget.charge_within(ip(2), 1.0, Duration::ZERO), Ok(Duration::ZERO), "no longer than that");
        let late = budget.charge_within(ip(1), 1e9, Duration::from_secs(20));
        assert!(late.is_err_and(|wait| wait > Duration::from_secs(20)) && budget.charge(ip(1), 0.0) < Duration::from_secs(31));
        assert!(budget.charge_within(ip(1), 100.0, Duration::from_secs(60)).is_ok_and(|wait| wait > Duration::from_secs(29)));
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
        for n in 0..60_000 {
            budget.charge(ip(n), 1.0);
        }
        assert_eq!(budget.accounts().by_prefix.len(), MOST + 1);
        assert!(budget.check(ip(59_999)).is_err() && budget.check(ip(1)).is_ok());
    }

    #[test]
    fn an_allowance_grows_with_time_up_to_its_burst() {
        let (allowance, now) = (Allowance { a_second: 0.5, burst: 6.0 }, Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        let mut account = Account { left: -1.0, at: now };
        allowance.refill(&mut account, later(10));
        assert_eq!((account.left, account.at), (4.0, later(10)));
        allowance.refill(&mut account, later(100));
        assert_eq!(account.left, 6.0);
        allowance.refill(&mut account, now);
        assert_eq!(account.left, 6.0, "a clock never takes anything");
        for (left, seconds) in [(6.0, 0.0), (0.0, 0.002), (-3.0, 6.002), (-1e9, 3_600.0)] {
            assert_eq!(allowance.wait(&Account { left, at: now }).as_secs_f64(), seconds, "{left}");
        }
        let never = Allowance { a_second: 0.0, burst: 1.0 };
        assert_eq!(never.wait(&Account { left: -1.0, at: now }), LONGEST);
    }

    #[test]
    fn what_is_taken_is_taken_from_both_accounts() {
        let budget = Budget::new(Allowance { a_second: 0.0, burst: 8.0 }, Allowance { a_second: 0.0, burst: 50.0 });
        let left = || {
            let accounts = budget.accounts();
            (accounts.by_prefix[&ip(1)].left, accounts.all.left)
        };
        assert!(budget.check(ip(1)).is_ok() && left() == (8.0, 50.0));
        assert!(budget.spend(ip(1), 3.0).is_ok() && left() == (5.0, 47.0));
        budget.charge(ip(1), 5.0);
        assert!(left() == (0.0, 42.0) && budget.spend(ip(1), 1.0).is_err() && left() == (0.0, 42.0), "nothing is left");
        budget.charge(ip(1), 9.0);
        assert!(left() == (-9.0, 42.0) && budget.check(ip(2)).is_ok(), "a debt is its own");
        budget.charge(ip(1), -10.0);
        assert!(left() == (1.0, 43.0), "what was taken too much comes back");
        for n in 2..8 {
            budget.charge(ip(n), 9.0);
        }
        assert!(left() == (1.0, -5.0) && budget.check(ip(1)).is_err(), "all have nothing left");
    }

    #[test]
    fn accounts_that_are_full_again_are_forgotten() {
        let budget = Budget::new(Allowance { a_second: 0.0, burst: 2.0 }, Allowance { a_second: 1.0, burst: 1e9 });
        let number = |n: usize| ip(u32::try_from(n).expect("small"));
        for n in 0..MOST {
            budget.charge(number(n), if n < 10 { 1.0 } else { 0.0 });
        }
        let know = |n: usize| budget.accounts().by_prefix.contains_key(&number(n));
        let swept = |ago| budget.accounts().swept_at = Instant::now().checked_sub(ago).expect("after the start of time");
        assert!(know(9) && know(10));
        swept(Duration::ZERO);
        budget.accounts().swept_at += Duration::from_secs(3_600);
        budget.charge(number(MOST), 1.0);
        assert!(!know(MOST) && know(10) && budget.accounts().by_prefix.contains_key(&OTHERS), "not looked at again so soon");
        swept(SWEEP);
        budget.charge(number(10), 0.0);
        assert!(know(11), "one that is known needs no room");
        budget.charge(number(MOST), 1.0);
        assert!(know(MOST) && know(9) && !know(10) && budget.accounts().swept_at.elapsed() < SWEEP);
        assert_eq!(budget.accounts().by_prefix.len(), 10 + 1 + 1, "those that have spent something");
    }
}
