//! Is a dump being restored here? A fold amid its tables would make rows that the dump still brings, and count them twice.
//!
//! A dump carries totals and feed, and sets sequences after all tables. The first fold of a database sets `vote_agg.whole`.
//! So where that is not set, and there are totals all the same, the dump that brings them has not come to its end. Several jobs
//! of pg_restore may bring pending votes before the totals; they are known by their name.

use crate::error::Result;
use crate::pg::spi::{Plan, Sees, Spi};

thread_local! {
    static UNDER_WAY: Plan = const { Plan::new(
        "SELECT vote_agg.is_restoring()", &[]) };
    static OVER: Plan = const { Plan::new(
        "SELECT pg_catalog.setval('vote_agg.whole', 1) FROM vote_agg.whole w WHERE NOT w.is_called", &[]) };
}

/// Is it? Asked where nothing was folded yet.
///
/// # Errors
/// Those of the server.
pub fn is_under_way(spi: &Spi) -> Result<bool> {
    Ok(spi.run(&UNDER_WAY, &[], Sees::Now)?.value().unwrap_or(false))
}

/// From now on totals are those of folds.
///
/// # Errors
/// Those of the server.
pub fn is_over(spi: &Spi) -> Result<()> {
    spi.run(&OVER, &[], Sees::Now).map(|_| ())
}
