//! The worker stays for what falls due within the hour, although nobody votes: an end, a final stamp, a retention, a match that
//! is set aside.

use crate::error::Result;
use crate::pg::clock;
use crate::pg::spi::{self, Plan, Sees};
use crate::settings;
use pgrx::pg_sys;

/// How far the worker looks ahead, in microseconds.
const AHEAD: i64 = 3_600_000_000;

thread_local! {
    // A time that is NULL is never due.
    static DUE: Plan = const { Plan::new(
        "SELECT EXISTS (SELECT FROM vote_agg.match m WHERE m.finalized_at IS NULL AND (m.closed_at IS NOT NULL OR m.closes_at <= $1))
            OR EXISTS (SELECT FROM vote_agg.aside)
            OR EXISTS (SELECT FROM vote_agg.match m WHERE m.ballots = 'leaving' OR (m.ballots = 'kept' AND m.finalized_at < $2))
            OR EXISTS (SELECT FROM vote_agg.timeline t WHERE t.bucket < $3 AND t.bucket > '-infinity')
            OR EXISTS (SELECT FROM vote_agg.flip f WHERE f.at < $3)",
        &[pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID]) };
}

/// Is there something?
///
/// # Errors
/// Those of the server.
pub fn is_something() -> Result<bool> {
    let ahead = clock::now() + AHEAD;
    let past = |retention: Option<i64>| retention.map(|retention| (ahead - retention).into());
    let args = [Some(ahead.into()), past(settings::ballot_retention()), past(settings::timeline_retention())];
    spi::connect(|spi| Ok(spi.run(&DUE, &args, Sees::Now)?.value().unwrap_or(false)))
}
