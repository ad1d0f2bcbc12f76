//! Ballots past `vote_agg.ballot_retention` are erased, some at a time, by folds.

use crate::error::Result;
use crate::pg::spi::{Plan, Sees, Spi};
use crate::settings;
use pgrx::pg_sys;
use std::cell::Cell;

/// How often a process looks, in microseconds.
const EVERY: u64 = 10_000_000;

thread_local! {
    // Once the first ballot is gone, the match can be recounted no more. A row that another session has locked is left for the next time.
    static LEAVE: Plan = const { Plan::new(
        "UPDATE vote_agg.match SET ballots = 'leaving' WHERE ctid = ANY (ARRAY(
            SELECT m.ctid FROM vote_agg.match m WHERE m.ballots = 'kept' AND m.finalized_at < $1 FOR NO KEY UPDATE SKIP LOCKED))",
        &[pg_sys::TIMESTAMPTZOID]) };
    static ERASE: Plan = const { Plan::new(
        "DELETE FROM vote_agg.ballot WHERE ctid = ANY (ARRAY(
            SELECT b.ctid FROM vote_agg.match m JOIN vote_agg.ballot b ON b.match_id = m.match_id
            WHERE m.ballots = 'leaving' LIMIT 50000 FOR UPDATE OF b SKIP LOCKED))", &[]) };
    static ERASED: Plan = const { Plan::new(
        "UPDATE vote_agg.match SET ballots = 'erased' WHERE ctid = ANY (ARRAY(
            SELECT m.ctid FROM vote_agg.match m WHERE m.ballots = 'leaving'
            AND NOT EXISTS (SELECT FROM vote_agg.ballot b WHERE b.match_id = m.match_id) FOR NO KEY UPDATE SKIP LOCKED))", &[]) };
    static LOOKED_AT: Cell<i64> = const { Cell::new(i64::MIN) };
}

/// Erases ballots of matches that have been final for long enough, in the transaction of a fold, which alone writes them then.
///
/// # Errors
/// Those of the server.
pub fn erase(spi: &Spi, at: i64) -> Result<()> {
    if at.abs_diff(LOOKED_AT.get()) < EVERY {
        return Ok(());
    }
    if let Some(retention) = settings::ballot_retention() {
        spi.run(&LEAVE, &[Some((at - retention).into())], Sees::Now)?;
    }
    if spi.run(&ERASE, &[], Sees::Now)?.count() == 0 {
        spi.run(&ERASED, &[], Sees::Now)?;
        LOOKED_AT.set(at);
    }
    Ok(())
}
