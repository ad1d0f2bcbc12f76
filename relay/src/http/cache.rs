//! HTTP answers, kept for a while and dropped as soon as their match changes.

use crate::error::Error;
use crate::live::freshness::Freshness;
use crate::live::hub::ANSWERS_KEPT;
use axum::body::Bytes;
use moka::future::Cache as Moka;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An answer, and the state that it shows.
#[derive(Clone, Debug)]
pub struct Answer {
    pub body: Bytes,
    /// `epoch-seq`, where it is known.
    pub etag: Option<String>,
}

/// What was asked for: of which match, and the rest of the query.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct CacheKey {
    pub match_id: String,
    pub query: String,
}

#[derive(Clone)]
struct Kept {
    answer: Arc<Answer>,
    asked_at: Instant,
}

/// Two caches, since match totals grow old faster than lists of places.
pub struct Cache {
    stats: Moka<CacheKey, Kept>,
    lists: Moka<CacheKey, Kept>,
}

/// How long the totals of a match are kept.
pub const STATS_TTL: Duration = Duration::from_secs(5);
/// How long lists of places are kept.
pub const LISTS_TTL: Duration = ANSWERS_KEPT;
/// Bytes of answers kept in all, of either kind.
const CAPACITY: u64 = 64 << 20;

/// Where an answer came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found {
    Hit,
    Miss,
    /// It was there, but its match has changed.
    Invalidated,
}

impl Default for Cache {
    fn default() -> Self {
        let kept = |ttl| {
            let weigh = |key: &CacheKey, kept: &Kept| {
                u32::try_from(key.match_id.len() + key.query.len() + kept.answer.body.len() + 200).unwrap_or(u32::MAX)
            };
            Moka::builder().max_capacity(CAPACITY).weigher(weigh).time_to_live(ttl).build()
        };
        Self { stats: kept(STATS_TTL), lists: kept(LISTS_TTL) }
    }
}

impl Cache {
    /// The answer, made by `make` unless a fresh one is at hand; once for all requests at the same time. `current` names the
    /// state that the answer must show, where that is known.
    ///
    /// # Errors
    /// What `make` ended with.
    pub async fn get(
        &self,
        freshness: &Freshness,
        key: CacheKey,
        is_stats: bool,
        current: Option<String>,
        make: impl Future<Output = Result<Answer, Error>>,
    ) -> Result<(Arc<Answer>, Found), Arc<Error>> {
        let cache = if is_stats { &self.stats } else { &self.lists };
        let mut found = Found::Miss;
        if let Some(kept) = cache.get(&key).await {
            let is_fresh = match &current {
                Some(_) => kept.answer.etag == current,
                None => freshness.is_fresh(&key.match_id, kept.asked_at),
            };
            if is_fresh {
                return Ok((kept.answer, Found::Hit));
            }
            cache.invalidate(&key).await;
            found = Found::Invalidated;
        }
        // Before the answer is made: a ring meanwhile makes it stale.
        let asked_at = Instant::now();
        let kept = cache.try_get_with(key, async { Ok(Kept { answer: Arc::new(make.await?), asked_at }) }).await?;
        Ok((kept.answer, found))
    }

    /// How many answers are kept, and their bytes.
    pub async fn size(&self) -> (u64, u64) {
        self.stats.run_pending_tasks().await;
        self.lists.run_pending_tasks().await;
        (self.stats.entry_count() + self.lists.entry_count(), self.stats.weighted_size() + self.lists.weighted_size())
    }
}
