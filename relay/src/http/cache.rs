//! HTTP answers, kept for a while and dropped as soon as their match changes.

use crate::error::Error;
use axum::body::Bytes;
use foldhash::HashSet;
use moka::future::Cache as Moka;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// An answer and the state that it shows.
#[derive(Clone, Debug)]
pub struct Answer {
    pub body: Bytes,
    /// `epoch-seq`, where it is known.
    pub etag: Option<String>,
}

/// What an answer is about: the match, and the rest of the question.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Question {
    pub match_id: String,
    pub path: String,
}

#[derive(Clone)]
struct Kept {
    answer: Arc<Answer>,
    asked_at: Instant,
}

/// Two caches, since match totals grow old faster than lists of places.
pub struct Cache {
    stats: Moka<Question, Kept>,
    lists: Moka<Question, Kept>,
    /// When a match last rang. Longer ago than any answer is kept, it no longer matters.
    rung: Moka<String, Instant>,
    trusted_since: std::sync::RwLock<Instant>,
}

/// How long the totals of a match are kept.
pub const STATS_TTL: Duration = Duration::from_secs(5);
/// How long lists of places are kept.
pub const LISTS_TTL: Duration = Duration::from_secs(30);
/// Bytes of answers kept in all, of either kind.
const CAPACITY: u64 = 64 << 20;

/// What a look into the cache came to.
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
            let weigh = |question: &Question, kept: &Kept| {
                u32::try_from(question.match_id.len() + question.path.len() + kept.answer.body.len() + 200).unwrap_or(u32::MAX)
            };
            Moka::builder().max_capacity(CAPACITY).weigher(weigh).time_to_live(ttl).build()
        };
        Self {
            stats: kept(STATS_TTL),
            lists: kept(LISTS_TTL),
            rung: Moka::builder().max_capacity(100_000).time_to_live(LISTS_TTL * 2).build(),
            trusted_since: std::sync::RwLock::new(Instant::now()),
        }
    }
}

impl Cache {
    /// The answer, made by `make` unless a fresh one is at hand; once for all who ask at the same time. `current` names the
    /// state that the answer must show, where that is known.
    ///
    /// # Errors
    /// What `make` ended with.
    pub async fn get(
        &self,
        question: Question,
        is_stats: bool,
        current: Option<String>,
        make: impl Future<Output = Result<Answer, Error>>,
    ) -> Result<(Arc<Answer>, Found), Arc<Error>> {
        let cache = if is_stats { &self.stats } else { &self.lists };
        let mut found = Found::Miss;
        if let Some(kept) = cache.get(&question).await {
            let is_fresh = match &current {
                Some(_) => kept.answer.etag == current,
                None => self.is_fresh(&question.match_id, kept.asked_at).await,
            };
            if is_fresh {
                return Ok((kept.answer, Found::Hit));
            }
            cache.invalidate(&question).await;
            found = Found::Invalidated;
        }
        // The time before the question: what rings while it is answered makes the answer stale.
        let asked_at = Instant::now();
        let kept = cache.try_get_with(question, async { Ok(Kept { answer: Arc::new(make.await?), asked_at }) }).await?;
        Ok((kept.answer, found))
    }

    async fn is_fresh(&self, match_id: &str, asked_at: Instant) -> bool {
        let trusted_since = self.trusted_since.read().map_or_else(|_| Instant::now(), |since| *since);
        asked_at >= trusted_since && self.rung.get(match_id).await.is_none_or(|rung| rung < asked_at)
    }

    /// What is kept of these matches is no longer given out.
    pub fn distrust(&self, matches: HashSet<String>) {
        if matches.is_empty() {
            return;
        }
        if matches.len() > 1_000 {
            return self.distrust_all();
        }
        let now = Instant::now();
        let rung = self.rung.clone();
        tokio::spawn(async move {
            for match_id in matches {
                rung.insert(match_id, now).await;
            }
        });
    }

    /// Nothing that is kept is given out any more.
    pub fn distrust_all(&self) {
        if let Ok(mut since) = self.trusted_since.write() {
            *since = Instant::now();
        }
    }

    /// How many answers are kept, and their bytes.
    pub async fn size(&self) -> (u64, u64) {
        self.stats.run_pending_tasks().await;
        self.lists.run_pending_tasks().await;
        (self.stats.entry_count() + self.lists.entry_count(), self.stats.weighted_size() + self.lists.weighted_size())
    }
}
