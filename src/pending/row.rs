//! A row of a heap, and how it reads as a vote.

#![allow(unsafe_code, reason = "values of rows are the server's own structures")]

use crate::error::{Result, broken, quoted};
use crate::pg::form;
use pgrx::itemptr::item_pointer_get_both;
use pgrx::pg_sys;
use vote_agg_core::Country;
use vote_agg_core::vote::cell;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::{Source, Vote};

/// The columns of a heap, as sql/10-tables.sql names them.
pub const COLUMNS: [&str; 8] = ["h3_index", "votes", "at", "source", "in_total", "match_id", "team_choice", "country_code"];

/// With those that only the heaps of fills have (sql/60-source.sql): relation and block.
pub const MOST_COLUMNS: usize = COLUMNS.len() + 2;

/// The places of the columns.
#[derive(Clone, Copy)]
#[repr(usize)]
pub enum Column {
    Cell,
    Votes,
    At,
    Source,
    InTotal,
    Match,
    Team,
    Country,
    Relation,
    Block,
}

/// The values of a row, by column.
#[derive(Clone, Copy)]
pub struct RowValues(form::Values<MOST_COLUMNS>);

impl RowValues {
    /// All of them NULL.
    pub const fn none() -> Self {
        Self(form::Values::none())
    }

    /// The value of a column, `None` for NULL.
    pub fn get(&self, column: Column) -> Option<pg_sys::Datum> {
        self.0.get(column as usize)
    }

    /// Sets a value.
    pub fn set(&mut self, column: Column, value: impl Into<pg_sys::Datum>) {
        self.0.set(column as usize, value);
    }

    /// Sets a text, which is copied.
    pub fn set_text(&mut self, column: Column, text: &str) {
        self.0.set_text(column as usize, text);
    }

    /// The row itself, for the server.
    pub const fn row(&mut self) -> &mut form::Values<MOST_COLUMNS> {
        &mut self.0
    }

    fn number(&self, column: Column) -> i64 {
        self.get(column).map_or(0, |value| value.value() as i64)
    }
}

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
    values: &'a RowValues,
}

impl<'a> PendingRow<'a> {
    /// # Safety
    /// The values are those of a row of a heap, which stays where it is for `'a`.
    pub unsafe fn new(tid: pg_sys::ItemPointerData, values: &'a RowValues) -> Self {
        // SAFETY: as promised by the caller.
        Self { tid, match_id: values.get(Column::Match).map_or(&[], |text| unsafe { bytes(text) }), values }
    }

    /// The row as it lies there, for another heap of the same form.
    pub const fn values(&self) -> &'a RowValues {
        self.values
    }

    /// The match as text.
    pub fn match_name(&self) -> std::borrow::Cow<'a, str> {
        String::from_utf8_lossy(self.match_id)
    }

    /// Where the change was made, in a heap of fills.
    pub fn place(&self) -> RowPlace {
        let relation = pg_sys::Oid::from(self.values.number(Column::Relation) as u32);
        RowPlace { relation, block: self.values.number(Column::Block) as u32 }
    }

    /// When the row was written, in microseconds since PostgreSQL's epoch.
    pub fn at(&self) -> i64 {
        self.values.number(Column::At)
    }

    /// The vote; `None` for the anchor.
    ///
    /// # Errors
    /// XX000 naming the row when no vote can have written it.
    pub fn vote(&self) -> Result<Option<Vote<'a>>> {
        if self.match_id.is_empty() {
            return Ok(None);
        }
        let values = self.values;
        // SAFETY: as promised to `new`.
        let text = |column| values.get(column).map(|text| unsafe { bytes(text) });
        let parse = || {
            Ok(Vote {
                team: parse_name("team_choice", text(Column::Team))?,
                cell: values.get(Column::Cell).map(|bits| cell::cell_from_bits(bits.value() as i64)).transpose()?,
                country: text(Column::Country).map(Country::parse).transpose()?,
                votes: values.number(Column::Votes),
                source: Source(values.number(Column::Source) as i16),
                in_total: values.number(Column::InTotal) != 0,
                at: self.at(),
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
