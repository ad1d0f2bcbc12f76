//! A row of a heap, and how it reads as a vote.

#![allow(unsafe_code, reason = "values of rows are the server's own structures")]

use crate::error::{Result, broken, quoted};
use pgrx::itemptr::item_pointer_get_both;
use pgrx::pg_sys;
use vote_agg_core::Country;
use vote_agg_core::vote::cell;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::{Source, Vote};

/// The columns of a heap, in the order of sql/10-tables.sql: h3_index, votes, at, source, in_total, match_id, team_choice,
/// country_code; and those that only the heaps of fills have (sql/60-source.sql): relation, block.
pub const COLUMNS: usize = 10;

/// Where in an attached table a change was made.
#[derive(Clone, Copy)]
pub struct RowPlace {
    pub relation: pg_sys::Oid,
    pub block: u32,
}

/// A row of a heap: a vote of a match, or the anchor.
pub struct PendingRow<'a> {
    pub tid: pg_sys::ItemPointerData,
    /// The match; empty for the anchor.
    pub match_id: &'a [u8],
    values: &'a [pg_sys::Datum; COLUMNS],
    nulls: &'a [bool; COLUMNS],
}

impl<'a> PendingRow<'a> {
    /// # Safety
    /// The values are those of a row of a heap, which stays where it is for `'a`.
    pub unsafe fn new(tid: pg_sys::ItemPointerData, values: &'a [pg_sys::Datum; COLUMNS], nulls: &'a [bool; COLUMNS]) -> Self {
        // SAFETY: as promised by the caller.
        Self { tid, match_id: unsafe { bytes(values[5]) }, values, nulls }
    }

    /// The row as it lies there, for another heap of the same form.
    pub const fn raw(&self) -> (&'a [pg_sys::Datum; COLUMNS], &'a [bool; COLUMNS]) {
        (self.values, self.nulls)
    }

    /// The match as text.
    pub fn match_name(&self) -> std::borrow::Cow<'a, str> {
        String::from_utf8_lossy(self.match_id)
    }

    /// Where the change was made, in a heap of fills.
    pub fn place(&self) -> RowPlace {
        let relation = pg_sys::Oid::from(self.values[8].value() as u32);
        RowPlace { relation, block: self.values[9].value() as u32 }
    }

    /// When the row was written, in microseconds since PostgreSQL's epoch.
    pub fn at(&self) -> i64 {
        self.values[2].value() as i64
    }

    /// The vote; `None` for the anchor.
    ///
    /// # Errors
    /// XX000 naming the row when no vote can have written it.
    pub fn vote(&self) -> Result<Option<Vote<'a>>> {
        if self.match_id.is_empty() {
            return Ok(None);
        }
        let number = |column: usize| self.values[column].value() as i64;
        // SAFETY: as promised to `new`.
        let text = |column: usize| unsafe { bytes(self.values[column]) };
        let parse = || {
            Ok(Vote {
                team: parse_name("team_choice", Some(text(6)))?,
                cell: if self.nulls[0] { None } else { Some(cell::cell_from_bits(number(0))?) },
                country: if self.nulls[7] { None } else { Some(Country::parse(text(7))?) },
                votes: number(1),
                source: Source(number(3) as i16),
                in_total: self.values[4].value() != 0,
                at: number(2),
            })
        };
        parse_name("match_id", Some(self.match_id)).and_then(|_| parse()).map(Some).map_err(|error: vote_agg_core::Error| {
            let (block, offset) = item_pointer_get_both(self.tid);
            broken(format!(
                "the pending row at ({block},{offset}) of match {} is broken: {error}",
                quoted(&String::from_utf8_lossy(self.match_id))
            ))
        })
    }
}

/// # Safety
/// The datum is a text that stays where it is for `'a`. Names are too short to be compressed or stored elsewhere; what is
/// (because somebody wrote the row by hand) is shown as a name that is too long.
unsafe fn bytes<'a>(datum: pg_sys::Datum) -> &'a [u8] {
    let text: *const pg_sys::varlena = datum.cast_mut_ptr();
    // SAFETY: as promised by the caller.
    unsafe {
        if pgrx::varlena::varatt_is_1b_e(text) || pgrx::varlena::varatt_is_4b_c(text) {
            return &[b'?'; vote_agg_core::vote::name::MAX_BYTES + 1];
        }
        pgrx::varlena::varlena_to_byte_slice(text)
    }
}
