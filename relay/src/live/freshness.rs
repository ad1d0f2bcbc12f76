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

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> HashSet<String> {
        (0..count).map(|n| format!("match {n}")).collect()
    }

    #[test]
    fn an_answer_holds_until_its_match_rings() {
        let freshness = Freshness::new(Duration::from_secs(3_600));
        let asked_at = Instant::now();
        let later = asked_at + Duration::from_secs(600);
        assert!(freshness.is_fresh("match 0", asked_at));
        freshness.distrust(names(1));
        assert!(!freshness.is_fresh("match 0", asked_at) && freshness.is_fresh("match 0", later));
        let rung = freshness.rung.get("match 0").expect("kept");
        assert!(!freshness.is_fresh("match 0", rung), "at the same moment");
        assert!(freshness.is_fresh("match 1", asked_at));
    }

    #[test]
    fn too_many_at_once_are_all() {
        let freshness = Freshness::new(Duration::from_secs(3_600));
        let since = || *freshness.trusted_since.read().expect("sound");
        let before = since();
        freshness.distrust(names(MAX_AT_ONCE));
        assert!(since() == before && freshness.is_fresh("another", before) && !freshness.is_fresh("match 0", before));
        freshness.distrust(names(MAX_AT_ONCE + 1));
        assert!(since() > before && !freshness.is_fresh("another", before) && freshness.is_fresh("another", since()));
    }
}
