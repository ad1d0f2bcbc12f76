//! HTTP answers, kept for a while and dropped as soon as their match changes.

use crate::error::Error;
use crate::http::body::Answer;
use crate::live::freshness::Freshness;
use crate::live::hub::ANSWERS_KEPT;
use moka::future::Cache as Moka;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

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

/// Why there is no answer at hand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Missing {
    New,
    /// It was there, but its match has changed.
    Stale,
}

impl Default for Cache {
    fn default() -> Self {
        let kept = |ttl| {
            let weigh = |key: &CacheKey, kept: &Kept| {
                u32::try_from(key.match_id.len() + key.query.len() + kept.answer.weight()).unwrap_or(u32::MAX)
            };
            Moka::builder().max_capacity(CAPACITY).weigher(weigh).time_to_live(ttl).build()
        };
        Self { stats: kept(STATS_TTL), lists: kept(LISTS_TTL) }
    }
}

impl Cache {
    fn of(&self, is_stats: bool) -> &Moka<CacheKey, Kept> {
        if is_stats { &self.stats } else { &self.lists }
    }

    /// The answer, if a fresh one is at hand. `current` names the state that it must show, where that is known.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn find(
        &self,
        freshness: &Freshness,
        key: &CacheKey,
        is_stats: bool,
        current: Option<String>,
    ) -> Result<Arc<Answer>, Missing> {
        let cache = self.of(is_stats);
        let Some(kept) = cache.get(key).await else { return Err(Missing::New) };
        let is_fresh = match &current {
            Some(_) => kept.answer.etag == current,
            None => freshness.is_fresh(&key.match_id, kept.asked_at),
        };
        if is_fresh {
            return Ok(kept.answer);
        }
        cache.invalidate(key).await;
        Err(Missing::Stale)
    }

    /// The answer made by `make`, once for all requests at the same time.
    ///
    /// # Errors
    /// What `make` ended with.
    pub async fn make(
        &self,
        key: CacheKey,
        is_stats: bool,
        make: impl Future<Output = Result<Answer, Error>>,
    ) -> Result<Arc<Answer>, Arc<Error>> {
        // Before the answer is made: a ring meanwhile makes it stale.
        let asked_at = Instant::now();
        let make = async { Ok(Kept { answer: Arc::new(make.await?), asked_at }) };
        self.of(is_stats).try_get_with(key, make).await.map(|kept| kept.answer)
    }

    /// How many answers are kept, and their bytes.
    pub async fn size(&self) -> (u64, u64) {
        self.stats.run_pending_tasks().await;
        self.lists.run_pending_tasks().await;
        (self.stats.entry_count() + self.lists.entry_count(), self.stats.weighted_size() + self.lists.weighted_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldhash::{HashSet, HashSetExt};

    fn key(match_id: &str) -> CacheKey {
        CacheKey { match_id: match_id.into(), query: "Stats".into() }
    }

    async fn answer(etag: Option<&str>) -> Result<Answer, Error> {
        Ok(Answer::new("body", etag.map(str::to_owned)))
    }

    #[tokio::test]
    async fn an_answer_is_kept_until_its_match_rings() {
        let (cache, freshness) = (Cache::default(), Freshness::new(LISTS_TTL));
        let find = |id: &'static str, is_stats| {
            let (cache, freshness) = (&cache, &freshness);
            async move { cache.find(freshness, &key(id), is_stats, None).await.map(|answer| answer.body.len()) }
        };
        assert_eq!((find("a", true).await, cache.size().await), (Err(Missing::New), (0, 0)));
        assert!(
            cache.make(key("a"), true, answer(None)).await.is_ok() && cache.make(key("b"), false, answer(None)).await.is_ok()
        );
        assert!(cache.make(key("a"), true, async { Err(Error::Timeout) }).await.is_ok(), "made already");
        let weight = 2 * ("a".len() + "Stats".len() + Answer::new("body", None).weight()) as u64;
        assert_eq!(cache.size().await, (2, weight));
        assert_eq!((find("a", true).await, find("b", false).await), (Ok(4), Ok(4)));
        assert_eq!((find("a", false).await, find("b", true).await), (Err(Missing::New), Err(Missing::New)), "two caches");
        let mut rung = HashSet::new();
        rung.insert("a".to_owned());
        freshness.distrust(rung);
        assert_eq!((find("a", true).await, find("b", false).await), (Err(Missing::Stale), Ok(4)));
        assert_eq!(find("a", true).await, Err(Missing::New), "dropped");
    }

    #[tokio::test]
    async fn an_answer_of_another_state_is_stale() {
        let (cache, freshness) = (Cache::default(), Freshness::new(LISTS_TTL));
        cache.make(key("a"), false, answer(Some("7"))).await.expect("made");
        freshness.distrust_all();
        let find = async |etag: &str| cache.find(&freshness, &key("a"), false, Some(etag.to_owned())).await.map(|_| ());
        assert_eq!(find("7").await, Ok(()), "its state is the current one, whatever rang");
        assert_eq!((find("8").await, find("7").await), (Err(Missing::Stale), Err(Missing::New)));
    }

    #[tokio::test]
    async fn a_failure_is_not_kept() {
        let cache = Cache::default();
        assert!(cache.make(key("a"), true, async { Err(Error::Timeout) }).await.is_err());
        assert!(cache.make(key("a"), true, answer(None)).await.is_ok());
    }
}
