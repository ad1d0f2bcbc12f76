//! The end of a match: its totals are final once every transaction that may hold a vote from before the end is gone.
//! Called by a fold, in its transaction. Each match takes these steps, each in the commit of a fold:
//!
//! 1. *Ended*. A match whose `closes_at` is past is marked as closed, and the sessions are told, as by close_match. From now
//!    on no clock has a say.
//! 2. *Waiting*. Once every session was told, the transactions that hold a heap for writing are listed.
//! 3. *Final*. Once these are gone, a fold that drains what they wrote stamps the match.

use crate::error::Result;
use crate::fold::aside::Aside;
use crate::pending::low_water::{is_written, writers_of};
use crate::pg::spi::{Plan, Sees, Spi};
use crate::pg::tables::Tables;
use crate::session::memory;
use pgrx::{IntoDatum, pg_sys};
use vote_agg_core::pending::are_gone;

thread_local! {
    static ENDING: Plan = const { Plan::new(
        "SELECT match_id, closed_at IS NULL AND ended_at IS NULL, waiting FROM vote_agg.match
         WHERE finalized_at IS NULL AND (closed_at IS NOT NULL OR closes_at IS NOT NULL)
           AND (closed_at IS NOT NULL OR ended_at IS NOT NULL OR closes_at <= $1)",
        &[pg_sys::TIMESTAMPTZOID]) };
    static END: Plan = const { Plan::new(
        "UPDATE vote_agg.match SET ended_at = $1 WHERE match_id =
            (SELECT match_id FROM vote_agg.match WHERE match_id = $2 AND finalized_at IS NULL AND closes_at <= $1
             FOR UPDATE SKIP LOCKED)",
        &[pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID]) };
    static WAIT: Plan = const { Plan::new(
        "UPDATE vote_agg.match SET waiting = $2 WHERE match_id =
            (SELECT match_id FROM vote_agg.match WHERE match_id = $1 AND finalized_at IS NULL
             AND (closed_at IS NOT NULL OR ended_at IS NOT NULL) FOR UPDATE SKIP LOCKED)",
        &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID]) };
    // `waiting IS NOT NULL`: open_match, which may have moved the end meanwhile, clears it.
    static FINALIZE: Plan = const { Plan::new(
        "UPDATE vote_agg.match SET finalized_at = $1, waiting = NULL WHERE match_id =
            (SELECT match_id FROM vote_agg.match WHERE match_id = $2 AND finalized_at IS NULL AND waiting IS NOT NULL
             AND (closed_at IS NOT NULL OR ended_at IS NOT NULL) FOR UPDATE SKIP LOCKED)",
        &[pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID]) };
}

/// Matches past their end that are not final yet.
pub struct EndedMatches {
    /// Those whose last possible voters are gone.
    ready: Vec<String>,
}

impl EndedMatches {
    /// Takes the first two steps. Looks before the snapshot that drains: what the writers of a match that is ready wrote is
    /// drained with it.
    pub fn look(spi: &Spi, tables: &Tables, at: i64) -> Result<Self> {
        type Ending = (String, bool, Option<Vec<String>>);
        let rows = spi.run(&ENDING, &[Some(at.into())], Sees::Now)?;
        let ending: Vec<Ending> = rows.iter().map(|row| Ok((row.need(1)?, row.need(2)?, row.get(3)))).collect::<Result<_>>()?;
        let mut ready = Vec::new();
        if ending.is_empty() {
            return Ok(Self { ready });
        }
        // An end is seen before the sessions are told of it. The lock of the transaction that set it goes after that: once
        // nobody holds one, every vote that locks its heap from now on knows the end. This very transaction may be the one.
        let is_told = !is_written(spi, tables.matches)?;
        let mut writers = writers_of(spi, tables.heaps[0])?;
        writers.extend(writers_of(spi, tables.heaps[1])?);
        for (match_id, is_new, waiting) in ending {
            if is_new {
                spi.run(&END, &[Some(at.into()), match_id.into_datum()], Sees::Now)?;
                memory::invalidate(tables);
                continue;
            }
            match waiting {
                Some(listed) if are_gone(&listed, &writers) => ready.push(match_id),
                None if is_told => {
                    spi.run(&WAIT, &[match_id.into_datum(), writers.clone().into_datum()], Sees::Now)?;
                }
                _ => {}
            }
        }
        Ok(Self { ready })
    }

    /// Those that are ready and not set aside: votes of such a match are not folded yet.
    pub fn ready(self, aside: &Aside) -> Vec<String> {
        self.ready.into_iter().filter(|match_id| !aside.holds(match_id)).collect()
    }
}

/// Stamps a match, if it is still ended.
///
/// # Errors
/// Those of the server.
pub fn stamp(spi: &Spi, match_id: &str, at: i64) -> Result<bool> {
    Ok(spi.run(&FINALIZE, &[Some(at.into()), match_id.into_datum()], Sees::Now)?.count() > 0)
}
