//! What followed matches know of a client: how much its queue takes, what it may follow, and what it follows.

use crate::error::{Error, Result};
use crate::guard::token::Access;
use crate::live::queue::Queue;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A client, with or without a match that it follows.
pub struct Client {
    pub ip: IpAddr,
    pub queue: Queue,
    membership: Mutex<Membership>,
}

/// The matches that a client follows, and its right to them.
///
/// A match is entered and left under the lock of that match, together with the audience (`Audience::admit`, `Audience::leave`).
/// So the set names exactly the matches whose audience the client is in, whatever happens at the same time:
/// 1. A join is decided there, after the match was loaded: by the token that holds then.
/// 2. A renewed token counts from its arrival on. Then each match that it does not cover is left, under its lock: a join
///    decided before is undone, one decided later is refused.
/// 3. A leave counts from its arrival on: joins that began before enter no more.
/// 4. A client that has gone enters nothing any more.
pub struct Membership {
    access: Access,
    matches: BTreeSet<String>,
    most: usize,
    is_gone: bool,
    /// Joins that have begun and not ended.
    joining: usize,
    /// Counts leaves, so that a join can tell which of them came after it.
    leaves: u64,
    /// The last leave of each match while joins are under way.
    left: BTreeMap<String, u64>,
}

/// A join that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Ticket(u64);

impl Client {
    /// Follows nothing yet; `most` matches at the same time.
    #[must_use]
    pub fn new(access: Access, most: usize, ip: IpAddr, queue: Queue) -> Self {
        let membership =
            Membership { access, matches: BTreeSet::new(), most, is_gone: false, joining: 0, leaves: 0, left: BTreeMap::new() };
        Self { ip, queue, membership: Mutex::new(membership) }
    }

    /// Locked for a moment: nobody waits for anything else meanwhile.
    pub fn membership(&self) -> MutexGuard<'_, Membership> {
        self.membership.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    #[must_use]
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// Whether the client may follow this match now, beside those that it follows.
    ///
    /// # Errors
    /// [`Error::Forbidden`], [`Error::TooManyRooms`], or [`Error::Unavailable`] for a client that has gone.
    pub fn check(&self, match_id: &str) -> Result<()> {
        if self.is_gone {
            return Err(Error::Unavailable);
        }
        if !self.access.covers(match_id) {
            return Err(Error::Forbidden);
        }
        if !self.matches.contains(match_id) && self.matches.len() >= self.most {
            return Err(Error::TooManyRooms(self.most));
        }
        Ok(())
    }

    /// A join has arrived. It must end with [`Membership::end_join`]. Called in the order in which a client's events arrive, as
    /// [`Membership::withdraw`] is.
    pub fn begin_join(&mut self) -> Ticket {
        self.joining += 1;
        Ticket(self.leaves)
    }

    /// The join has ended, well or not.
    pub fn end_join(&mut self) {
        self.joining -= 1;
        if self.joining == 0 {
            self.left.clear();
        }
    }

    /// A leave has arrived: joins that arrived before are withdrawn.
    pub fn withdraw(&mut self, match_id: &str) {
        if self.joining > 0 {
            self.leaves += 1;
            self.left.insert(match_id.to_owned(), self.leaves);
        }
    }

    /// Follows the match, if it still may. Only for the match's audience.
    ///
    /// # Errors
    /// As [`Membership::check`], and [`Error::Left`].
    pub fn enter(&mut self, match_id: &str, Ticket(began): Ticket) -> Result<()> {
        self.check(match_id)?;
        if self.left.get(match_id).is_some_and(|left| *left > began) {
            return Err(Error::Left);
        }
        self.matches.insert(match_id.to_owned());
        Ok(())
    }

    /// Follows the match no more. Only for the match's audience.
    pub fn leave(&mut self, match_id: &str) {
        self.matches.remove(match_id);
    }

    /// Takes over the rights of a fresh token. Returns the matches that must be left.
    pub fn renew(&mut self, access: Access) -> Vec<String> {
        self.access = access;
        self.matches.iter().filter(|match_id| !self.access.covers(match_id)).cloned().collect()
    }

    /// The client has gone. Returns the matches that must be left.
    pub fn end(&mut self) -> Vec<String> {
        self.is_gone = true;
        self.matches.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::ledger::Ledger;

    #[test]
    fn a_leave_withdraws_the_joins_before_it_and_no_other() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let client = Client::new(Access::default(), 2, ip, Queue::new(9, ip, Ledger::new(1, 1)));
        let mut membership = client.membership();
        let (first, other) = (membership.begin_join(), membership.begin_join());
        membership.withdraw("a");
        let second = membership.begin_join();
        assert!(matches!(membership.enter("a", first), Err(Error::Left)));
        assert!(membership.enter("b", other).is_ok() && membership.enter("a", second).is_ok());
        assert!(matches!(membership.check("c"), Err(Error::TooManyRooms(2))));
        (0..3).for_each(|_| membership.end_join());
        assert!(membership.left.is_empty());
        assert_eq!(membership.end(), ["a", "b"]);
        assert!(matches!(membership.enter("a", second), Err(Error::Unavailable)));
    }

    #[test]
    fn a_client_follows_what_its_token_covers_and_no_more_at_once() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let client = Client::new(Access::to(&["a", "b"]), 1, ip, Queue::new(9, ip, Ledger::new(1, 1)));
        let mut membership = client.membership();
        assert_eq!(membership.access(), &Access::to(&["a", "b"]));
        let ticket = membership.begin_join();
        assert!(matches!(membership.check("c"), Err(Error::Forbidden)));
        assert!(membership.check("a").is_ok() && membership.enter("a", ticket).is_ok());
        assert!(membership.check("a").is_ok(), "once more is no other match");
        assert!(matches!(membership.enter("b", ticket), Err(Error::TooManyRooms(1))));
        membership.leave("a");
        assert!(membership.enter("b", ticket).is_ok());
        assert_eq!(membership.renew(Access::to(&["b"])), Vec::<String>::new());
        assert_eq!(membership.renew(Access::to(&["a"])), ["b"]);
        assert_eq!(membership.access(), &Access::to(&["a"]));
    }

    #[test]
    fn leaves_are_remembered_while_a_join_is_under_way() {
        let ip = IpAddr::from([127, 0, 0, 1]);
        let client = Client::new(Access::default(), 9, ip, Queue::new(9, ip, Ledger::new(1, 1)));
        let mut membership = client.membership();
        membership.withdraw("a");
        assert!(membership.left.is_empty() && membership.leaves == 0);
        let (first, second) = (membership.begin_join(), membership.begin_join());
        membership.withdraw("a");
        membership.end_join();
        assert!(matches!(membership.enter("a", first), Err(Error::Left)), "another join is still under way");
        assert!(matches!(membership.enter("a", second), Err(Error::Left)));
        membership.end_join();
        assert!(membership.left.is_empty() && membership.joining == 0);
    }
}
