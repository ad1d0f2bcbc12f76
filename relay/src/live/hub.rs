//! All followed matches: found, loaded once for everybody who asks, brought forward, let go.

use crate::config::Config;
use crate::db::database::{Change, Database, Head};
use crate::error::{Error, Result};
use crate::http::cache::Cache;
use crate::live::event::Update;
use crate::live::follow::Follow;
use crate::live::room::{Joined, Streamed};
use crate::live::wish::Wish;
use crate::metrics::Metrics;
use foldhash::{HashMap, HashMapExt};
use serde_json::value::RawValue;
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use vote_agg_core::feed::message::Message;

/// How long a client waits that is ahead of this relay.
const CATCH_UP: Duration = Duration::from_secs(5);

/// Messages from before the snapshot that are loaded with it, for clients of a relay that has restarted.
const PAST: i64 = 100;

/// Folds that are told one after the other once their cells are known. Clients' queues have no room for many more; then
/// everybody starts from a snapshot.
const TOGETHER: i64 = 16;

/// Matches whose status is asked for at a time.
const PART: usize = 100;

/// What all parts of the relay share.
pub struct Hub {
    pub config: Config,
    pub database: Database,
    pub metrics: Metrics,
    pub cache: Cache,
    /// A match was loaded: what was folded meanwhile had rung too early for it.
    pub loaded: Notify,
    io: SocketIo,
    runtime: Handle,
    follows: Mutex<HashMap<String, Arc<Follow>>>,
}

impl Hub {
    /// `runtime` is the one that serves clients.
    #[must_use]
    pub fn new(config: Config, database: Database, io: SocketIo, runtime: Handle) -> Self {
        let (metrics, cache, loaded, follows) = (Metrics::default(), Cache::default(), Notify::new(), Mutex::new(HashMap::new()));
        Self { config, database, metrics, cache, loaded, io, runtime, follows }
    }

    /// Does the work where clients are served, whichever thread asks for it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the relay is ending.
    pub async fn serve<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T> {
        self.runtime.spawn(work).await.map_err(|_| Error::Unavailable)
    }

    fn follows(&self) -> MutexGuard<'_, HashMap<String, Arc<Follow>>> {
        // Nothing that holds this lock can fail half-way.
        self.follows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The match, if somebody follows it.
    #[must_use]
    pub fn followed(&self, match_id: &str) -> Option<Arc<Follow>> {
        self.follows().get(match_id).cloned()
    }

    fn all(&self) -> Vec<Arc<Follow>> {
        self.follows().values().cloned().collect()
    }

    /// The match, loaded.
    async fn follow(&self, match_id: &str) -> Result<Arc<Follow>> {
        let follow =
            self.follows().entry(match_id.to_owned()).or_insert_with(|| Arc::new(Follow::new(match_id.to_owned()))).clone();
        if follow.cursor().is_none() && !follow.is_stale() {
            self.load(&follow, false).await?;
        }
        Ok(follow)
    }

    /// Loads the match, once for all who wait for it. `again`: although it is loaded.
    async fn load(&self, follow: &Follow, again: bool) -> Result<()> {
        let _only_one = follow.loading.lock().await;
        if follow.cursor().is_some() {
            return Ok(());
        }
        if !again && follow.has_just_failed().await {
            return Err(Error::Unavailable);
        }
        let loaded = self.read(follow, again).await;
        if let Err(e) = &loaded {
            follow.note_failure().await;
            tracing::warn!(match_id = follow.match_id, error = %e, "match could not be loaded");
        }
        loaded
    }

    async fn read(&self, follow: &Follow, again: bool) -> Result<()> {
        if again {
            tokio::time::sleep(follow.rest().await).await;
            if self.bring_forward(follow).await? {
                self.loaded.notify_one();
                return Ok(());
            }
        }
        self.metrics.reads.inc();
        let snapshot = self.database.snapshot(&follow.match_id, None).await?;
        let past = match snapshot.seq {
            seq if again || seq < 1 => Vec::new(),
            seq => self.past(follow, seq).await?,
        };
        tracing::info!(match_id = follow.match_id, seq = snapshot.seq, epoch = snapshot.epoch.as_deref(), again, "match loaded");
        follow.install(&self.io, &self.metrics, snapshot, past).await?;
        self.loaded.notify_one();
        Ok(())
    }

    /// Takes what the feed had no room for. False: only a snapshot helps.
    async fn bring_forward(&self, follow: &Follow) -> Result<bool> {
        let Some((seq, epoch)) = follow.stand().await else { return Ok(false) };
        let began = Instant::now();
        self.metrics.reads.inc();
        let Some(update) = self.database.update(&follow.match_id, seq).await? else { return Ok(false) };
        if update.resync || epoch.is_some_and(|epoch| epoch != update.epoch) || update.seq - seq > TOGETHER {
            return Ok(false);
        }
        // Asked for afterwards, so that it has every fold of the update.
        let mut folds = Vec::new();
        for change in self.database.changes(&follow.match_id, seq).await? {
            let Some(Ok(fold)) = change.body.as_deref().map(serde_json::from_str::<Message>) else { return Ok(false) };
            if fold.seq <= update.seq {
                folds.push((fold, change.at));
            }
        }
        tracing::debug!(match_id = follow.match_id, from = seq, to = update.seq, took = ?began.elapsed(), "match brought forward");
        Ok(follow.advance(&self.io, &self.metrics, update, folds, began).await)
    }

    async fn past(&self, follow: &Follow, seq: i64) -> Result<Vec<Arc<Update>>> {
        self.metrics.reads.inc();
        let mut past = Vec::new();
        for change in self.database.changes(&follow.match_id, (seq - PAST).max(0)).await? {
            let Some(body) = change.body else { return Ok(Vec::new()) };
            let message: Message = serde_json::from_str(&body)?;
            if message.seq <= seq {
                // One without its cells says nothing to who comes back: only what follows it does.
                if message.resync {
                    past.clear();
                } else {
                    past.push(Arc::new(Update::new(message, change.at, RawValue::from_string(body).ok())));
                }
            }
        }
        Ok(past)
    }

    /// Gives a client the match, and from then on every change of it.
    ///
    /// # Errors
    /// When the match cannot be loaded.
    pub async fn join(&self, socket: &SocketRef, match_id: &str, wish: Wish) -> Result<Joined> {
        // Another look where the match was let go meanwhile; each try loads it, so a second one is all it takes.
        for _ in 0..3 {
            let follow = self.follow(match_id).await?;
            catch_up(&follow, &wish).await?;
            if let Some(joined) = follow.join(socket, wish.clone(), &self.metrics).await? {
                self.metrics.joins.inc();
                return Ok(joined);
            }
            if !socket.connected() {
                break;
            }
        }
        Err(Error::Unavailable)
    }

    /// Where a reader of Server-Sent Events starts, and what comes after.
    ///
    /// # Errors
    /// When the match cannot be loaded.
    pub async fn stream(&self, match_id: &str, wish: &Wish) -> Result<(Vec<Streamed>, Receiver<Streamed>)> {
        for _ in 0..3 {
            let follow = self.follow(match_id).await?;
            catch_up(&follow, wish).await?;
            if let Some(stream) = follow.stream(wish, &self.metrics).await? {
                return Ok(stream);
            }
        }
        Err(Error::Unavailable)
    }

    /// The client gets no more of the match. False: it got nothing of it.
    pub async fn leave(&self, sid: Sid, match_id: &str) -> bool {
        match self.followed(match_id) {
            Some(follow) => follow.leave(sid).await,
            None => false,
        }
    }

    /// The matches that can be brought forward, and how far each is.
    #[must_use]
    pub fn cursors(&self) -> (Vec<String>, Vec<i64>) {
        self.follows().values().filter_map(|follow| Some((follow.match_id.clone(), follow.cursor()?))).unzip()
    }

    /// Names of matches that can be brought forward, a hundred at a time; `turn` counts the calls.
    #[must_use]
    pub fn some(&self, turn: usize) -> Vec<String> {
        let (mut matches, _) = self.cursors();
        matches.sort_unstable();
        let parts = matches.len().div_ceil(PART).max(1);
        matches.into_iter().skip(turn % parts * PART).take(PART).collect()
    }

    /// Takes rows of the feed.
    pub async fn apply(self: &Arc<Self>, changes: Vec<Change>) {
        for change in changes {
            let Some(follow) = self.followed(&change.match_id) else { continue };
            if follow.cursor().is_none() {
                continue; // an earlier row of this match could not be applied
            }
            let message = change.body.as_deref().map(serde_json::from_str::<Message>);
            let is_applied = match (message, change.body) {
                (Some(Ok(message)), Some(body)) => {
                    self.metrics.cursor.inc();
                    follow.apply(&self.io, &self.metrics, message, body, change.at).await
                }
                (Some(Err(e)), _) => {
                    tracing::error!(match_id = follow.match_id, error = %e, "the feed has a message of an unknown format");
                    false
                }
                _ => false,
            };
            if !is_applied {
                self.resync(follow);
            }
        }
    }

    /// Compares where the database stands with what is known: another history must be loaded. The status is taken over: it
    /// changes by the clock too, of which the feed says nothing.
    pub fn compare(self: &Arc<Self>, heads: Vec<Head>) {
        for head in heads {
            let Some(follow) = self.followed(&head.match_id) else { continue };
            let this = self.clone();
            self.runtime.spawn(async move {
                if follow.lock().await.is_other_than(head) {
                    this.resync(follow);
                }
            });
        }
    }

    /// Reads a match again, in the background: what changed since, or where that cannot be told a snapshot, which its
    /// followers get when it says anything new.
    fn resync(self: &Arc<Self>, follow: Arc<Follow>) {
        follow.mark_stale();
        self.metrics.resyncs.inc();
        let this = self.clone();
        self.runtime.spawn(async move {
            let _ = this.load(&follow, true).await;
        });
    }

    /// Tries again to load what could not be.
    pub fn retry(self: &Arc<Self>) {
        for follow in self.all().into_iter().filter(|follow| follow.is_stale() && follow.loading.try_lock().is_ok()) {
            self.resync(follow);
        }
    }

    /// Every now and then: slow clients are looked after, what nobody follows is let go.
    pub async fn tidy(&self) {
        let mut slow = 0;
        for follow in self.all() {
            slow += follow.attend(&self.metrics, self.config.client_buffer.into(), self.config.slow_timeout).await;
            if follow.tidy(self.config.linger).await {
                let mut follows = self.follows();
                if follows.get(&follow.match_id).is_some_and(|known| Arc::ptr_eq(known, &follow)) {
                    follows.remove(&follow.match_id);
                }
                tracing::info!(match_id = follow.match_id, "match let go: nobody follows it");
            }
        }
        self.metrics.matches.set(i64::try_from(self.follows().len()).unwrap_or(i64::MAX));
        self.metrics.behind.set(slow as i64);
    }
}

/// A client that comes from another relay may know more than this one, which then must not take it back.
async fn catch_up(follow: &Follow, wish: &Wish) -> Result<()> {
    let caught_up = async {
        while follow.knows_less_than(wish).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(CATCH_UP, caught_up).await.map_err(|_| Error::Behind)
}
