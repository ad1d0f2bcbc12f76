//! Two heaps that a fill needs until its table is counted: the changes of rows with their places (`source_delta`), and the
//! sums of the parts that are done (`source_sum`). They are like those of pending, but no read and no fold looks at them.

use crate::attached::counter::Counter;
use crate::error::{Result, no_extension};
use crate::pending::heap::{Next, OpenHeap};
use crate::pending::row::{PendingRow, RowPlace};
use crate::pg::snapshot::Snapshot;
use crate::pg::{clock, tables};
use crate::session::memory;
use pgrx::pg_sys;
use std::ffi::CStr;
use vote_agg_core::vote::tally::{Source, Vote};

const DELTAS: &CStr = c"source_delta";
const SUMS: &CStr = c"source_sum";

fn open(name: &CStr) -> Result<OpenHeap> {
    OpenHeap::open(tables::find(name).ok_or_else(no_extension)?, pg_sys::RowExclusiveLock)
}

/// Notes that rows of matches came to a place or went, where `check` says so after checking that they count.
///
/// # Errors
/// Those of [`memory::check_votes`].
pub fn note(changes: Vec<(&str, Vote, RowPlace)>, check: bool) -> Result<()> {
    let heap = open(DELTAS)?;
    for (match_id, vote, place) in changes {
        if check {
            memory::check_votes(match_id, &[vote])?;
        }
        heap.insert_at(match_id, &vote, Some(place));
    }
    Ok(())
}

/// Takes out the changes that `snapshot` sees of a source, and shows each.
///
/// # Errors
/// Those of `see`, and XX000 naming a row that no trigger can have written.
pub fn take(source: Source, snapshot: &Snapshot, mut see: impl FnMut(&PendingRow, &Vote) -> Result<()>) -> Result<()> {
    let heap = open(DELTAS)?;
    heap.visit(0, snapshot.as_ptr(), |row| {
        if let Some(vote) = row.vote()?
            && vote.source == source
            && heap.delete(&row.tid)?
        {
            see(row, &vote)?;
        }
        Ok(Next::Go)
    })
}

/// Keeps what was counted of a table.
///
/// # Errors
/// 42704 where the extension is not installed (any more).
pub fn keep(relation: pg_sys::Oid, counter: Counter) -> Result<()> {
    let (heap, source, at) = (open(SUMS)?, counter.source(), clock::now());
    for (match_id, arrivals) in counter.matches() {
        for vote in arrivals.votes(source, at) {
            heap.insert_at(&match_id, &vote, Some(RowPlace { relation, block: 0 }));
        }
    }
    Ok(())
}

/// What was kept of a source's tables.
///
/// # Errors
/// XX000 naming a row that no fill can have written, 22003 when a sum leaves 64 bits.
pub fn kept(source: Source) -> Result<Counter> {
    let mut counter = Counter::new(source);
    open(SUMS)?.visit(0, Snapshot::latest().as_ptr(), |row| {
        if let Some(vote) = row.vote()?
            && vote.source == source
        {
            counter.add(&row.match_name(), &vote)?;
        }
        Ok(Next::Go)
    })?;
    Ok(counter)
}
