//! Changes of tables that are being filled: rows like those of pending, which no read and no fold looks at. The fill of
//! their table counts them together with what was in it before.

use crate::count::Counter;
use crate::error::{Result, no_extension};
use crate::pending::{Next, OpenHeap};
use crate::session;
use crate::tables::{self, Latest};
use pgrx::pg_sys;
use vote_agg_core::tally::{Source, Vote};

/// Opens the heap for writing.
///
/// # Errors
/// 42704 where the extension is not installed (any more).
pub fn open() -> Result<OpenHeap> {
    OpenHeap::open(tables::find(c"source_delta").ok_or_else(no_extension)?, pg_sys::RowExclusiveLock)
}

/// Notes votes of one match, after checking that they count.
///
/// # Errors
/// Those of [`session::check_votes`]; nothing is written then.
pub fn append(match_id: &str, votes: &[Vote]) -> Result<()> {
    let heap = open()?;
    session::check_votes(match_id, votes)?;
    for vote in votes {
        heap.insert(match_id, vote);
    }
    Ok(())
}

/// Takes out what `snapshot` sees of a source; adds it to a counter, where one is given.
///
/// # Errors
/// XX000 naming a row that no trigger can have written.
pub fn take(source: Source, snapshot: &Latest, mut counter: Option<&mut Counter>) -> Result<()> {
    let heap = open()?;
    heap.visit(0, snapshot.as_ptr(), |row| {
        if let Some(vote) = row.vote()?
            && vote.source == source
            && heap.delete(&row.tid)?
            && let Some(counter) = counter.as_deref_mut()
        {
            counter.add(&row.match_name(), &vote)?;
        }
        Ok(Next::Go)
    })
}
