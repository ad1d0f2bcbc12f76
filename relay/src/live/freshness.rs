//! Which matches rang when: an answer that was asked for before its match rang is stale.

use foldhash::HashSet;
use moka::sync::Cache;
use std::sync::RwLock;
use std::time::{Duration, Instant};

/// Names of matches kept. One that had to go counts as if it had not rung, so they outlast every answer that is kept.
const MAX_NAMES: u64 = 100_000;

/// With more than these at once, all matches count as rung.
const MAX_AT_ONCE: usize = 1_000;

/// When each match last rang.
pub struct Freshness {
    rung: Cache<String, Instant>,
    trusted_since: RwLock<Instant>,
}

impl Freshness {
    /// Answers are kept no longer than `kept`: a ring longer ago no longer matters.
    #[must_use]
    pub fn new(kept: Duration) -> Self {
        let rung = Cache::builder().max_capacity(MAX_NAMES).time_to_live(kept * 2).build();
        Self { rung, trusted_since: RwLock::new(Instant::now()) }
    }

    /// Whether an answer asked for at that time still holds.
    #[must_use]
    pub fn is_fresh(&self, match_id: &str, asked_at: Instant) -> bool {
        let trusted_since = self.trusted_since.read().map_or_else(|_| Instant::now(), |since| *since);
        asked_at >= trusted_since && self.rung.get(match_id).is_none_or(|rung| rung < asked_at)
    }

    /// What is kept of these matches is no longer given out.
    pub fn distrust(&self, matches: HashSet<String>) {
        if matches.len() > MAX_AT_ONCE {
            return self.distrust_all();
        }
        let now = Instant::now();
        for match_id in matches {
            self.rung.insert(match_id, now);
        }
    }

    /// Nothing that is kept is given out any more.
    pub fn distrust_all(&self) {
        if let Ok(mut since) = self.trusted_since.write() {
            *since = Instant::now();
        }
    }
}
