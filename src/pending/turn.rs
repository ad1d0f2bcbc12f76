//! The two heaps that take turns.

use crate::error::{Result, broken};
use crate::pg::tables::Tables;
use pgrx::pg_sys;

/// One of the two heaps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Heap {
    One = 1,
    Two = 2,
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
            Self::Two => Self::One,
        }
    }

    /// Its table.
    pub const fn of(self, tables: &Tables) -> pg_sys::Oid {
        tables.heaps[self as usize - 1]
    }
}
