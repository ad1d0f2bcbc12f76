//! The two heaps that take turns.

use crate::error::{Result, broken};
use crate::pg::tables::Tables;
use pgrx::pg_sys;

/// One of the two heaps, or the one where votes of matches wait that are set aside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Heap {
    One = 1,
    Two = 2,
    Aside = 3,
}

impl Heap {
    /// From its number.
    pub fn numbered(number: i16) -> Result<Self> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err(broken(format!("vote_agg.fold_log names heap {number}"))),
        }
    }

    /// The one whose turn it is not.
    pub const fn other(self) -> Self {
        match self {
            Self::One => Self::Two,
            Self::Two | Self::Aside => Self::One,
        }
    }

    /// Its table's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "pending_1",
            Self::Two => "pending_2",
            Self::Aside => "pending_aside",
        }
    }

    /// Its table.
    pub const fn of(self, tables: &Tables) -> pg_sys::Oid {
        match self {
            Self::One => tables.heaps[0],
            Self::Two => tables.heaps[1],
            Self::Aside => tables.pending_aside,
        }
    }
}
