//! Bigints by team as SQL stores them: `bigint[]` with one number a team.

#![allow(unsafe_code, reason = "reads and builds arrays in the server's own format")]

use crate::error::{self, invalid};
use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::itemptr::{item_pointer_to_u64, u64_to_item_pointer};
use pgrx::{FromDatum, IntoDatum, name, pg_extern, pg_sys};
use vote_agg_core::feed::flip;
use vote_agg_core::vote::change::Change;
use vote_agg_core::vote::tally;

/// The most teams of a list: ten times what `vote_agg.max_teams` may be at most.
const MAX_TEAMS: usize = 1_000_000;

/// A `bigint[]` without NULLs and with at most one dimension.
pub struct Bigints(pub tally::Counts);

/// Bytes of an array's header after its length word, for one dimension without NULLs: dimensions, offset of the data (0),
/// element type, size, lower bound (`ArrayType` in PostgreSQL's utils/array.h).
const HEADER: usize = 20;

/// The numbers of an array in the server's own format, without its length word.
fn numbers(bytes: &[u8]) -> Option<tally::Counts> {
    let word = |at: usize| bytes.get(at..at + 4).map(|w| u32::from_ne_bytes([w[0], w[1], w[2], w[3]]));
    match (word(0)?, word(4)?) {
        (0, _) => Some(Vec::new()),
        (1, 0) => Some(bytes.get(HEADER..)?.chunks_exact(8).filter_map(|n| n.try_into().ok().map(i64::from_ne_bytes)).collect()),
        _ => None,
    }
}

impl FromDatum for Bigints {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        let stored: *mut pg_sys::varlena = datum.cast_mut_ptr();
        // SAFETY: the column or argument is a bigint[]; packed values are read where they are, byte by byte. A copy that was
        // made for that is freed, else a read of many rows would hold one of each.
        unsafe {
            let plain = pg_sys::pg_detoast_datum_packed(stored);
            let numbers = numbers(pgrx::varlena::varlena_to_byte_slice(plain));
            if plain != stored {
                pg_sys::pfree(plain.cast());
            }
            numbers.map(Self)
        }
    }
}

impl IntoDatum for Bigints {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        let length = 4 + HEADER + 8 * self.0.len();
        // SAFETY: the allocation has `length` bytes, aligned for any type, and each is written.
        unsafe {
            let array = pg_sys::palloc(length).cast::<u8>();
            pgrx::varlena::set_varsize_4b(array.cast(), i32::try_from(length).ok()?);
            let header = [1, 0, pg_sys::INT8OID.to_u32(), u32::try_from(self.0.len()).ok()?, 1];
            std::ptr::copy_nonoverlapping(header.as_ptr().cast(), array.add(4), HEADER);
            std::ptr::copy_nonoverlapping(self.0.as_ptr().cast(), array.add(4 + HEADER), 8 * self.0.len());
            Some(pg_sys::Datum::from(array))
        }
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::INT8ARRAYOID
    }
}

// SAFETY: a plain value in, a plain value out.
unsafe impl<'fcx> ArgAbi<'fcx> for Bigints {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the install script declares the argument as bigint[].
        unsafe { arg.unbox_arg_using_from_datum().unwrap_or(Self(Vec::new())) }
    }
}

// SAFETY: as above.
unsafe impl BoxRet for Bigints {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        // SAFETY: the datum lives in the caller's memory context.
        match self.into_datum() {
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

pgrx::impl_sql_translatable!(Bigints, "bigint[]");

/// Adds a change, pairs of a team and its votes, to a list.
fn added(votes: &mut tally::Counts, change: &[i64]) -> error::Result<()> {
    change.chunks_exact(2).try_for_each(|pair| {
        let team = usize::try_from(pair[0]).ok().filter(|team| *team < MAX_TEAMS);
        let wrong =
            || invalid(format!("a change must name teams from 0 to {}, not {}", MAX_TEAMS - 1, pair[0]), "Let folds call this.");
        Ok(tally::add(votes, team.ok_or_else(wrong)?, pair[1])?)
    })
}

/// The list once `change` is added.
#[pg_extern(sql = false)]
fn add_votes(mut votes: Bigints, change: Bigints) -> error::Result<Bigints> {
    added(&mut votes.0, &change.0)?;
    Ok(votes)
}

/// the announced leader once `change` is added to `votes`, as a number of its team; `leader`: the one announced before.
#[pg_extern(sql = false)]
fn leader_after(
    votes: Option<Bigints>,
    change: Option<Bigints>,
    leader: Option<i32>,
    margin: Option<f64>,
) -> error::Result<Option<i32>> {
    let (mut votes, Some(change), Some(margin)) = (votes.map_or_else(Vec::new, |votes| votes.0), change, margin) else {
        return Ok(leader);
    };
    added(&mut votes, &change.0)?;
    Ok(number_of(flip::leader(team_of(leader), &votes, margin)))
}

/// The team that a column names.
pub fn team_of(number: Option<i32>) -> Option<usize> {
    number.and_then(|number| usize::try_from(number).ok())
}

/// A team as a column holds it.
pub fn number_of(team: Option<usize>) -> Option<i32> {
    team.and_then(|team| i32::try_from(team).ok())
}

/// A change of one row of a match.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    pub match_id: &'a str,
    /// The seq of the fold that adds it.
    pub seq: i64,
    /// By which the statement's rows are told apart.
    pub number: usize,
    pub key: i64,
    /// Where the row lies (anywhere for a new one).
    pub place: pg_sys::ItemPointerData,
    pub change: &'a Change,
}

/// Bytes of a number. A match's name takes a multiple of that too.
const NUMBER: usize = size_of::<u64>();

/// Packs entries for `unpack`. Each run of a match begins with the length of its name, the seq, how many entries it has, and
/// the name. An entry is its number, its key, its place, how many teams it changes, and a pair for each of these. A fold of
/// many teams takes room for what is pending, not for cells times teams.
pub fn pack(entries: &[Entry]) -> Vec<u8> {
    let pairs: usize = entries.iter().map(|entry| entry.change.len()).sum();
    let mut packed = Vec::with_capacity(NUMBER * (4 * entries.len() + 2 * pairs) + 256);
    for run in entries.chunk_by(|a, b| a.match_id == b.match_id) {
        let (match_id, seq) = (run[0].match_id, run[0].seq);
        for number in [match_id.len() as u64, seq.cast_unsigned(), run.len() as u64] {
            packed.extend(number.to_ne_bytes());
        }
        packed.extend(match_id.as_bytes());
        packed.resize(packed.len().next_multiple_of(NUMBER), 0);
        for Entry { number, key, place, change, .. } in run {
            for number in [*number as u64, key.cast_unsigned(), item_pointer_to_u64(*place), change.len() as u64] {
                packed.extend(number.to_ne_bytes());
            }
            for (team, votes) in *change {
                packed.extend((*team as u64).to_ne_bytes());
                packed.extend(votes.to_ne_bytes());
            }
        }
    }
    packed
}

/// What is left of something packed, and the run that is being read.
struct Unpacker {
    packed: Vec<u8>,
    at: usize,
    match_id: String,
    seq: i64,
    left: usize,
}

impl Unpacker {
    fn bytes(&mut self, length: usize) -> Option<&[u8]> {
        let from = self.at;
        self.at = from.checked_add(length)?;
        self.packed.get(from..self.at)
    }

    fn number(&mut self) -> Option<i64> {
        self.bytes(NUMBER)?.try_into().ok().map(i64::from_ne_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        self.number().and_then(|length| usize::try_from(length).ok())
    }

    fn next(&mut self) -> Option<(String, i64, i64, i64, pg_sys::ItemPointerData, Bigints)> {
        while self.left == 0 {
            let (length, seq, entries) = (self.length()?, self.number()?, self.length()?);
            let name = self.bytes(length.checked_next_multiple_of(NUMBER)?)?.get(..length)?;
            (self.match_id, self.seq, self.left) = (String::from_utf8(name.to_vec()).ok()?, seq, entries);
        }
        self.left -= 1;
        let (number, key, place, teams) = (self.number()?, self.number()?, self.number()?, self.length()?);
        let change = self.bytes(teams.checked_mul(2 * NUMBER)?)?.chunks_exact(NUMBER);
        let change = change.filter_map(|n| n.try_into().ok().map(i64::from_ne_bytes)).collect();
        let mut at = pg_sys::ItemPointerData::default();
        u64_to_item_pointer(place.cast_unsigned(), &mut at);
        Some((self.match_id.clone(), self.seq, number, key, at, Bigints(change)))
    }
}

/// The rows of what `pack` packed: one parameter carries any number of changes into a statement.
#[pg_extern(sql = false)]
fn unpack(
    packed: &[u8],
) -> pgrx::iter::TableIterator<
    'static,
    (
        name!(match_id, String),
        name!(seq, i64),
        name!(number, i64),
        name!(key, i64),
        name!(place, pg_sys::ItemPointerData),
        name!(change, Bigints),
    ),
> {
    let mut unpacker = Unpacker { packed: packed.to_vec(), at: 0, match_id: String::new(), seq: 0, left: 0 };
    pgrx::iter::TableIterator::new(std::iter::from_fn(move || unpacker.next()))
}
