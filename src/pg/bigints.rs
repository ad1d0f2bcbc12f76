//! Bigints by team as SQL stores them: `bigint[]` with one number a team.

#![allow(unsafe_code, reason = "reads and builds arrays in the server's own format")]

use crate::error::{self, broken, refused};
use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::itemptr::{item_pointer_to_u64, u64_to_item_pointer};
use pgrx::{FromDatum, IntoDatum, name, pg_extern, pg_sys};
use vote_agg_core::feed::flip;
use vote_agg_core::vote::change::Change;
use vote_agg_core::vote::tally;

/// A `bigint[]` without NULLs and with at most one dimension.
pub struct Bigints(pub tally::Counts);

/// Bytes of an array's header after its length word, for one dimension without NULLs: dimensions, offset of the data (0),
/// element type, size, lower bound (`ArrayType` in PostgreSQL's utils/array.h).
const HEADER: usize = 20;

impl FromDatum for Bigints {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: the column or argument is a bigint[]; packed values are read where they are, byte by byte.
        let bytes = unsafe { pgrx::varlena::varlena_to_byte_slice(pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr())) };
        let word = |at: usize| bytes.get(at..at + 4).map(|w| u32::from_ne_bytes([w[0], w[1], w[2], w[3]]));
        match (word(0)?, word(4)?) {
            (0, _) => Some(Self(Vec::new())),
            (1, 0) => {
                let numbers = bytes.get(HEADER..)?.chunks_exact(8);
                Some(Self(numbers.filter_map(|n| n.try_into().ok().map(i64::from_ne_bytes)).collect()))
            }
            _ => None,
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
        let team = usize::try_from(pair[0]).map_err(|_| broken(format!("a change names team {}", pair[0])))?;
        tally::add(votes, team, pair[1]).map_err(refused)
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

/// The change of a key, and where its row lies (anywhere for a new one).
pub type Entry<'a> = (i64, pg_sys::ItemPointerData, &'a Change);

/// Packs entries for `unpack`: for each its key, its place, how many teams it changes, and a pair for each of these. A fold
/// of many teams takes room for what is pending, not for cells times teams.
pub fn pack(entries: &[Entry]) -> Vec<u8> {
    let pairs: usize = entries.iter().map(|(_, _, change)| change.len()).sum();
    let mut packed = Vec::with_capacity(8 * (3 * entries.len() + 2 * pairs));
    for (key, place, change) in entries {
        packed.extend(key.to_ne_bytes());
        packed.extend(item_pointer_to_u64(*place).to_ne_bytes());
        packed.extend((change.len() as u64).to_ne_bytes());
        for (team, votes) in *change {
            packed.extend((*team as u64).to_ne_bytes());
            packed.extend(votes.to_ne_bytes());
        }
    }
    packed
}

/// The rows of what `pack` packed: one parameter carries any number of changes into a statement.
#[pg_extern(sql = false)]
fn unpack(
    packed: &[u8],
) -> pgrx::iter::TableIterator<'static, (name!(key, i64), name!(place, pg_sys::ItemPointerData), name!(change, Bigints))> {
    let numbers: Vec<i64> = packed.chunks_exact(8).filter_map(|n| n.try_into().ok().map(i64::from_ne_bytes)).collect();
    let mut at = 0;
    pgrx::iter::TableIterator::new(std::iter::from_fn(move || {
        let entry = numbers.get(at..at + 3)?;
        let change = numbers.get(at + 3..at + 3 + 2 * usize::try_from(entry[2]).ok()?)?;
        at += 3 + change.len();
        let mut place = pg_sys::ItemPointerData::default();
        u64_to_item_pointer(entry[1].cast_unsigned(), &mut place);
        Some((entry[0], place, Bigints(change.to_vec())))
    }))
}
