//! Sets of transactions by name, as a fold lists them.

use crate::world::{Name, SESSIONS, VOTES};
use vote_agg_core::writers;

/// A set, as bits.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Names(u32);

/// Room for the numbers of a session.
const NUMBERS: u8 = 4;

impl Name {
    const fn bit(self) -> u32 {
        match self {
            Self::Session(session, number) => 1 << (session * NUMBERS + number),
            Self::ReadBack(xid) => 1 << (SESSIONS as u8 * NUMBERS + xid),
        }
    }

    /// As `pg_locks` shows it.
    fn text(self) -> String {
        match self {
            Self::Session(session, number) => format!("{}/{number}", session + 1),
            Self::ReadBack(xid) => format!("-1/{xid}"),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let of_sessions = (0..SESSIONS as u8).flat_map(|session| (0..NUMBERS).map(move |number| Self::Session(session, number)));
        of_sessions.chain((0..VOTES as u8).map(Self::ReadBack))
    }
}

impl FromIterator<Name> for Names {
    fn from_iter<I: IntoIterator<Item = Name>>(names: I) -> Self {
        Self(names.into_iter().fold(0, |bits, name| bits | name.bit()))
    }
}

impl Names {
    pub const NONE: Self = Self(0);

    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    fn texts(self) -> Vec<String> {
        Name::all().filter(|name| self.0 & name.bit() != 0).map(Name::text).collect()
    }

    /// Are all of them over, where `holders` hold the lock now? By the rule of the code.
    pub fn are_gone(self, holders: Self) -> bool {
        writers::are_gone(&self.texts(), &holders.texts())
    }

    /// Does none of the holders have a listed name?
    pub const fn are_gone_by_name(self, holders: Self) -> bool {
        self.0 & holders.0 == 0
    }
}
