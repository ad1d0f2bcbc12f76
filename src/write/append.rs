//! Appending votes to the heap whose turn it is. The race between a vote and the end of its match is decided here: the lock
//! comes first, then the look at the match.

use crate::error::{Refused, Result};
use crate::pending::heap::OpenHeap;
use crate::pg::clock;
use crate::session::admission::Terms;
use crate::session::memory;
use pgrx::pg_sys;
use vote_agg_core::vote::tally::Vote;

/// Votes of one match that count, whatever happens to the match from now on.
pub struct Admitted {
    pub heap: OpenHeap,
    pub terms: Terms,
}

/// Where votes of a match go, and whether it takes them.
pub struct Look {
    /// The heap whose turn it is, locked to the end of the transaction.
    pub heap: pg_sys::Oid,
    /// On which terms does the match take votes, or why does it take none?
    pub takes: std::result::Result<Terms, Refused>,
    /// When that was found.
    pub at: i64,
}

/// Locks the heap whose turn it is, then looks whether the match takes votes for `teams`. In this order: an end that this look does
/// not see waits for the holders of the lock.
///
/// # Errors
/// Those of [`memory::check_match`].
pub fn lock_and_look<'a>(match_id: &str, teams: impl Iterator<Item = &'a str>) -> Result<Look> {
    let heap = memory::lock_current_heap()?;
    // The clock is read after the lock, not before: a vote that was held up on its way must not slip in after the end.
    let at = clock::now();
    Ok(Look { heap, takes: memory::check_match(match_id, teams, at)?, at })
}

/// Opens the heap whose turn it is for votes of one match, after checking that votes for `teams` count now. It stays theirs
/// to the end of the transaction, however long what comes before [`OpenHeap::look_at_end`] takes.
///
/// # Errors
/// Those of [`memory::check_match`].
pub fn begin<'a>(match_id: &str, teams: impl Iterator<Item = &'a str>) -> Result<Admitted> {
    let look = lock_and_look(match_id, teams)?;
    Ok(Admitted { terms: look.takes?, heap: OpenHeap::open(look.heap, pg_sys::NoLock)? })
}

/// Appends votes of one match. Those that are taken back (below zero) may be for a team that is not allowed any more.
///
/// # Errors
/// Those of [`memory::check_match`]; nothing is written then.
pub fn append(match_id: &str, votes: &[Vote]) -> Result<()> {
    let Admitted { heap, .. } = begin(match_id, votes.iter().filter(|vote| vote.votes > 0).map(|vote| vote.team))?;
    heap.look_at_end();
    for vote in votes {
        heap.insert(match_id, vote);
    }
    Ok(())
}
