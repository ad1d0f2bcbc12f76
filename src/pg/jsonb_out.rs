//! Votes by team as jsonb, a flat object written in its own format (utils/jsonb.h: a header, one entry a child, the keys, the
//! values). Making text for `jsonb_in`, which parses it again, takes the rows of `get_match_aggregates` three times as long.

#![allow(unsafe_code, reason = "calls the server's function for numeric, and builds a value in the server's own format")]

use crate::error::{self, too_large};
use pg_sys::{JB_FOBJECT, JB_OFFSET_STRIDE, JENTRY_HAS_OFF, JENTRY_ISNUMERIC, JENTRY_ISSTRING, JENTRY_OFFLENMASK};
use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::{IntoDatum, pg_sys};
use vote_agg_core::feed::message::Votes;

/// The longest value, in bytes.
const MAX_LENGTH: usize = JENTRY_OFFLENMASK as usize;

/// A jsonb value to return.
pub struct Jsonb(Vec<u8>);

impl Jsonb {
    /// The votes as an object: a number for each team.
    ///
    /// # Errors
    /// 54000 when the object is longer than 256 MB.
    pub fn of(votes: &Votes) -> error::Result<Self> {
        let mut pairs: Vec<(&[u8], i64)> = votes.0.iter().map(|(team, votes)| (team.as_bytes(), *votes)).collect();
        // The order of keys in jsonb: by length, then by bytes.
        pairs.sort_unstable_by_key(|(team, _)| (team.len(), *team));
        let mut children = Children::with_capacity(2 * pairs.len());
        for (team, _) in &pairs {
            children.data.extend(*team);
            children.end(JENTRY_ISSTRING);
        }
        for (_, votes) in &pairs {
            children.push_number(*votes);
            children.end(JENTRY_ISNUMERIC);
        }
        if children.data.len() > MAX_LENGTH {
            let length = children.data.len();
            return Err(too_large(
                format!("votes by team as jsonb take {length} bytes, more than {MAX_LENGTH}"),
                "Ask for fewer teams at once.",
            ));
        }
        let header = JB_FOBJECT | pairs.len() as u32;
        let words = std::iter::once(header).chain(children.entries);
        Ok(Self(words.flat_map(u32::to_ne_bytes).chain(children.data).collect()))
    }
}

/// The children of a container: an entry each, which tells type and length, and their bytes.
struct Children {
    entries: Vec<u32>,
    data: Vec<u8>,
    /// Where the child that is being written begins.
    start: usize,
}

impl Children {
    fn with_capacity(count: usize) -> Self {
        Self { entries: Vec::with_capacity(count), data: Vec::with_capacity(12 * count), start: 0 }
    }

    /// Numbers start at multiples of 4. Header and entries are words, so that counting from the data's start is enough.
    fn push_number(&mut self, number: i64) {
        self.data.resize(self.data.len().next_multiple_of(4), 0);
        // SAFETY: the server makes a numeric in the current memory context; its bytes are copied before it is freed.
        unsafe {
            let numeric: *mut pg_sys::varlena = pg_sys::int64_to_numeric(number).cast();
            let length = pgrx::varlena::varsize_any(numeric);
            self.data.extend(std::slice::from_raw_parts(numeric.cast::<u8>(), length));
            pg_sys::pfree(numeric.cast());
        }
    }

    /// Ends a child. Most entries hold its length, which compresses well; each 32nd holds where it ends, so that no reader
    /// has to add up more than 31 lengths.
    fn end(&mut self, kind: u32) {
        let end = self.data.len();
        self.entries.push(if self.entries.len().is_multiple_of(JB_OFFSET_STRIDE as usize) {
            kind | JENTRY_HAS_OFF | end as u32
        } else {
            kind | (end - self.start) as u32
        });
        self.start = end;
    }
}

impl IntoDatum for Jsonb {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        // A bytea has the same form: a length word, then the bytes.
        self.0.into_datum()
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

// SAFETY: a plain value out.
unsafe impl BoxRet for Jsonb {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: the datum lives in the caller's memory context.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

pgrx::impl_sql_translatable!(Jsonb, "jsonb");
