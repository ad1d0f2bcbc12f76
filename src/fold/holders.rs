//! The holders of a lock that a fold waited for in vain.

use crate::error::Result;
use crate::pg::spi::{Plan, Sees, Spi};

thread_local! {
    static HOLDERS: Plan = const { Plan::new(
        "SELECT pg_catalog.string_agg(h.holder || ' ' || h.lock || coalesce(' since ' || h.since, ''), '; ' ORDER BY h.since, h.lock)
         FROM vote_agg.lock_holders() h", &[]) };
}

/// The reason of a failure, with the holders that it waited for.
///
/// # Errors
/// Those of the server.
pub fn name(spi: &Spi, reason: &str) -> Result<String> {
    let holders: Option<String> = spi.run(&HOLDERS, &[], Sees::Now)?.value();
    Ok(holders.map_or_else(|| reason.to_owned(), |holders| format!("{reason}: {holders}")))
}
