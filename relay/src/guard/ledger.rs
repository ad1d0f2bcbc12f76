//! Amounts that addresses hold at the same time, such as unread bytes.

use crate::guard::address::prefix;
use foldhash::{HashMap, HashMapExt};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// How much each address holds, and all together.
pub struct Ledger {
    each: usize,
    all: usize,
    held: Mutex<(usize, HashMap<IpAddr, usize>)>,
}

/// What somebody holds, given back when dropped.
pub struct Holding {
    ledger: Arc<Ledger>,
    prefix: IpAddr,
    amount: usize,
}

impl Ledger {
    #[must_use]
    pub fn new(each: usize, all: usize) -> Arc<Self> {
        Arc::new(Self { each, all, held: Mutex::new((0, HashMap::new())) })
    }

    /// Takes an amount. None: the address, or all together, would hold too much.
    #[must_use]
    pub fn take(self: &Arc<Self>, ip: IpAddr, amount: usize) -> Option<Holding> {
        let prefix = prefix(ip);
        let mut guard = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, by_prefix) = &mut *guard;
        let held = by_prefix.get(&prefix).copied().unwrap_or_default();
        if held + amount > self.each || *all + amount > self.all {
            return None;
        }
        *all += amount;
        by_prefix.insert(prefix, held + amount);
        Some(Holding { ledger: self.clone(), prefix, amount })
    }
}

impl Holding {
    #[must_use]
    pub const fn amount(&self) -> usize {
        self.amount
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        let mut guard = self.ledger.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, by_prefix) = &mut *guard;
        *all -= self.amount;
        if let Some(held) = by_prefix.get_mut(&self.prefix) {
            *held -= self.amount;
            if *held == 0 {
                by_prefix.remove(&self.prefix);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn an_address_holds_up_to_its_limit() {
        let (ledger, one, other) = (Ledger::new(10, 15), IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::BROADCAST));
        let held = ledger.take(one, 10).expect("at the limit");
        assert_eq!(held.amount(), 10);
        assert!(ledger.take(one, 1).is_none() && ledger.take(other, 6).is_none());
        let _five = ledger.take(other, 5).expect("at the limit of all");
        drop(held);
        assert!(ledger.take(one, 10).is_some());
        let held = ledger.held.lock().expect("sound");
        assert_eq!((held.0, held.1.len()), (5, 1), "the other one's alone");
    }
}
