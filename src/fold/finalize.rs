//! The end of a match: its totals are final once every transaction that may hold a vote from before the end is gone.
//! Called by a fold, in its transaction. Each match takes these steps, each in the commit of a fold:
//!
//! 1. *Ended*. A match whose `closes_at` is past is marked as closed, and the sessions are told, as by close_match. From now
//!    on no clock has a say.
//! 2. *Waiting*. Once every session was told, the transactions that hold a heap for writing are listed.
//! 3. *Final*. Once these are gone, a fold that drains what they wrote stamps the match. A root waits for its shards too: what
//!    the last of them said before it was final is drained with the look that finds it so.

use crate::error::Result;
use crate::fold::aside::Aside;
use crate::fold::history::History;
use crate::pending::low_water::{is_written, writers_of};
use crate::pg::spi::{Plan, Sees, Spi};
use crate::pg::tables::Tables;
use crate::session::memory;
use pgrx::{IntoDatum, pg_sys};
use vote_agg_core::writers::are_gone;

thread_local! {
    static ENDED: Plan = const { Plan::new(
        "SELECT match_id, closed_at IS NULL AND ended_at IS NULL AS is_new, waiting,
                vote_agg.shards_are_final(match_id) AS is_whole
         FROM vote_agg.match
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
    /// Whether there are any: the next steps are other folds'.
    pub are_some: bool,
}

impl EndedMatches {
    /// Takes the first two steps. Looks before the snapshot that drains: what the writers of a match that is ready wrote is
    /// drained with it.
    pub fn look(spi: &Spi, tables: &Tables, at: i64) -> Result<Self> {
        type Ended = (String, bool, Option<Vec<String>>, bool);
        let rows = spi.run(&ENDED, &[Some(at.into())], Sees::Now)?;
        let ended: Vec<Ended> = rows
            .iter()
            .map(|row| Ok((row.need("match_id")?, row.need("is_new")?, row.get("waiting")?, row.need("is_whole")?)))
            .collect::<Result<_>>()?;
        let mut ready = Vec::new();
        if ended.is_empty() {
            return Ok(Self { ready, are_some: false });
        }
        // An end is seen before the sessions are told of it. The lock of the transaction that set it goes after that: once
        // nobody holds one, every vote that locks its heap from now on knows the end. This very transaction may be the one.
        let is_told = !is_written(spi, tables.matches)?;
        let mut writers = writers_of(spi, tables.heaps[0])?;
        writers.extend(writers_of(spi, tables.heaps[1])?);
        let here = History::now()?.name();
        for (match_id, is_new, waiting, is_whole) in ended {
            if is_new {
                spi.run(&END, &[Some(at.into()), match_id.into_datum()], Sees::Now)?;
                memory::invalidate(tables);
                continue;
            }
            match waiting.as_deref() {
                Some([listed_in, listed @ ..]) if *listed_in == here => {
                    ready.extend((is_whole && are_gone(listed, &writers)).then_some(match_id));
                }
                // Not listed yet; or listed elsewhere, and carried here by a dump, say, where those names are other people's.
                _ if is_told => {
                    let listed: Vec<&str> = std::iter::once(&here).chain(&writers).map(String::as_str).collect();
                    spi.run(&WAIT, &[match_id.into_datum(), listed.into_datum()], Sees::Now)?;
                }
                _ => {}
            }
        }
        Ok(Self { ready, are_some: true })
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
