//! The end of a match: its totals are final once every transaction that may hold a vote from before the end is gone.
//! Called by a fold, in its transaction.

use crate::error::Result;
use crate::pending::low_water::{server_run, writers_of};
use crate::pg::spi::{Plan, Sees, Spi};
use crate::pg::tables::Tables;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::{IntoDatum, pg_sys};

thread_local! {
    static ENDING: Plan = const { Plan::new(
        "SELECT match_id, waiting, run FROM vote_agg.match
         WHERE finalized_at IS NULL AND (closed_at IS NOT NULL OR closes_at <= $1)",
        &[pg_sys::TIMESTAMPTZOID]) };
    static WAIT: Plan = const { Plan::new(
        "UPDATE vote_agg.match SET waiting = $3, run = $4 WHERE match_id =
            (SELECT match_id FROM vote_agg.match WHERE match_id = $2 AND finalized_at IS NULL
             AND (closed_at IS NOT NULL OR closes_at <= $1) FOR UPDATE SKIP LOCKED)",
        &[pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TIMESTAMPTZOID]) };
    // `run IS NOT NULL`: open_match, which may have moved the end meanwhile, clears it.
    static FINALIZE: Plan = const { Plan::new(
        "UPDATE vote_agg.match SET finalized_at = $1, waiting = NULL, run = NULL WHERE match_id =
            (SELECT match_id FROM vote_agg.match WHERE match_id = $2 AND finalized_at IS NULL AND run IS NOT NULL
             AND (closed_at IS NOT NULL OR closes_at <= $1) FOR UPDATE SKIP LOCKED)",
        &[pg_sys::TIMESTAMPTZOID, pg_sys::TEXTOID]) };
}

/// Matches past their end that are not final yet.
pub struct EndedMatches {
    /// Those whose last possible voters are gone.
    ready: Vec<String>,
}

impl EndedMatches {
    /// Looks before the snapshot that drains: what the writers of a match that is ready wrote is drained with it.
    pub fn look(spi: &Spi, tables: &Tables, at: i64) -> Result<Self> {
        type Ending = (String, Option<Vec<String>>, Option<TimestampWithTimeZone>);
        let rows = spi.run(&ENDING, &[Some(at.into())], Sees::Now)?;
        let ending: Vec<Ending> = rows.iter().map(|row| Ok((row.need(1)?, row.get(2), row.get(3)))).collect::<Result<_>>()?;
        if ending.is_empty() {
            return Ok(Self { ready: Vec::new() });
        }
        // A closing transaction is seen before the sessions are told. Its lock goes after that: once nobody holds one,
        // every vote that locks its heap from now on knows the end.
        let is_told = writers_of(spi, tables.matches)?.is_empty();
        let mut writers = writers_of(spi, tables.heaps[0])?;
        writers.extend(writers_of(spi, tables.heaps[1])?);
        let mut ready = Vec::new();
        for (match_id, waiting, run) in ending {
            let is_this_run = run.is_some_and(|run| i64::from(run) == server_run());
            match waiting {
                Some(waiting) if is_this_run => {
                    let is_gone = !waiting.iter().any(|writer| writers.contains(writer));
                    ready.extend(is_gone.then_some(match_id));
                }
                _ if is_told => {
                    let args = [Some(at.into()), match_id.into_datum(), writers.clone().into_datum(), Some(server_run().into())];
                    spi.run(&WAIT, &args, Sees::Now)?;
                }
                _ => {}
            }
        }
        Ok(Self { ready })
    }

    /// Stamps those that are ready, and still ended; returns them.
    pub fn finalize(self, spi: &Spi, at: i64) -> Result<Vec<String>> {
        let mut finals = Vec::new();
        for match_id in self.ready {
            if spi.run(&FINALIZE, &[Some(at.into()), match_id.as_str().into_datum()], Sees::Now)?.count() > 0 {
                finals.push(match_id);
            }
        }
        Ok(finals)
    }
}
