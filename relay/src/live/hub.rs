//! All followed matches: found, joined, let go.

use crate::config::Config;
use crate::db::pool::Database;
use crate::error::{Error, Result};
use crate::live::client::{Client, Ticket};
use crate::live::followed::FollowedMatch;
use crate::live::freshness::Freshness;
use crate::live::member::{Joined, Outlet, StreamItem};
use crate::live::subscription::Subscription;
use crate::metrics::Metrics;
use foldhash::{HashMap, HashMapExt};
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;

/// The longest time for which an HTTP answer is kept.
pub const ANSWERS_KEPT: Duration = Duration::from_secs(30);

/// How long a client waits that is ahead of this relay.
const CATCH_UP: Duration = Duration::from_secs(5);

/// Matches whose heads are compared at a time.
const PART: usize = 100;

/// What all parts of the relay share.
pub struct Hub {
    pub config: Config,
    pub database: Arc<Database>,
    pub metrics: Metrics,
    pub freshness: Freshness,
    /// Rings when a match was loaded: the doorbell for folds meanwhile rang before the match could be looked at.
    pub loaded: Notify,
    io: SocketIo,
    pub(super) runtime: Handle,
    matches: Mutex<HashMap<String, Arc<FollowedMatch>>>,
}

impl Hub {
    /// `runtime` is the one that serves clients.
    #[must_use]
    pub fn new(config: Config, database: Arc<Database>, io: SocketIo, runtime: Handle) -> Self {
        let (metrics, freshness, loaded, matches) =
            (Metrics::default(), Freshness::new(ANSWERS_KEPT), Notify::new(), Mutex::new(HashMap::new()));
        Self { config, database, metrics, freshness, loaded, io, runtime, matches }
    }

    /// The way out to clients.
    #[must_use]
    pub fn out(&self) -> Outlet<'_> {
        Outlet { io: &self.io, metrics: &self.metrics }
    }

    /// Does the work where clients are served, whichever thread asks for it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the relay is ending.
    pub async fn serve<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T> {
        self.runtime.spawn(work).await.map_err(|_| Error::Unavailable)
    }

    fn matches(&self) -> MutexGuard<'_, HashMap<String, Arc<FollowedMatch>>> {
        // Nothing that holds this lock can fail half-way.
        self.matches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The match, if somebody follows it.
    #[must_use]
    pub fn followed(&self, match_id: &str) -> Option<Arc<FollowedMatch>> {
        self.matches().get(match_id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<FollowedMatch>> {
        self.matches().values().cloned().collect()
    }

    /// The match, loaded.
    async fn find_or_load(&self, match_id: &str) -> Result<Arc<FollowedMatch>> {
        let followed = self
            .matches()
            .entry(match_id.to_owned())
            .or_insert_with(|| Arc::new(FollowedMatch::new(match_id.to_owned())))
            .clone();
        if followed.cursor().is_none() && !followed.is_stale() {
            self.load(&followed, false).await?;
        }
        Ok(followed)
    }

    /// Gives a client the match, and from then on every change of it.
    ///
    /// # Errors
    /// When the match cannot be loaded, or the client may not follow it.
    pub async fn join(
        &self,
        socket: &SocketRef,
        joining: (&Arc<Client>, Ticket),
        match_id: &str,
        subscription: Subscription,
    ) -> Result<Joined> {
        // Another look where the match was let go meanwhile; each try loads it, so a second one is all it takes.
        for _ in 0..3 {
            let followed = self.find_or_load(match_id).await?;
            catch_up(&followed, &subscription).await?;
            if let Some(joined) = followed.join(self.out(), socket, joining, subscription.clone()).await? {
                self.metrics.joins.inc();
                return Ok(joined);
            }
        }
        Err(Error::Unavailable)
    }

    /// Where a reader of Server-Sent Events starts, and what comes after.
    ///
    /// # Errors
    /// When the match cannot be loaded.
    pub async fn stream(&self, match_id: &str, subscription: &Subscription) -> Result<(Vec<StreamItem>, Receiver<StreamItem>)> {
        for _ in 0..3 {
            let followed = self.find_or_load(match_id).await?;
            catch_up(&followed, subscription).await?;
            if let Some(stream) = followed.stream(subscription, &self.metrics).await? {
                return Ok(stream);
            }
        }
        Err(Error::Unavailable)
    }

    /// The client gets no more of the match. False: it got nothing of it.
    pub async fn leave(&self, sid: Sid, match_id: &str) -> bool {
        match self.followed(match_id) {
            Some(followed) => followed.leave(sid).await,
            None => false,
        }
    }

    /// The matches that can be brought forward, and how far each is.
    #[must_use]
    pub fn cursors(&self) -> (Vec<String>, Vec<i64>) {
        self.matches().values().filter_map(|followed| Some((followed.match_id.clone(), followed.cursor()?))).unzip()
    }

    /// Names of matches that can be brought forward, a hundred at a time in turn; `turn` counts the calls.
    #[must_use]
    pub fn some(&self, turn: usize) -> Vec<String> {
        let (mut matches, _) = self.cursors();
        matches.sort_unstable();
        let parts = matches.len().div_ceil(PART).max(1);
        matches.into_iter().skip(turn % parts * PART).take(PART).collect()
    }

    /// Called again and again: looks after slow clients, and lets matches go that nobody follows.
    pub async fn tidy(&self) {
        let mut slow = 0;
        for followed in self.all() {
            slow += followed.attend(self.out(), self.config.client_buffer.into(), self.config.slow_timeout).await;
            if followed.tidy(self.config.linger).await {
                let mut matches = self.matches();
                if matches.get(&followed.match_id).is_some_and(|known| Arc::ptr_eq(known, &followed)) {
                    matches.remove(&followed.match_id);
                }
                tracing::info!(match_id = followed.match_id, "match let go: nobody follows it");
            }
        }
        self.metrics.matches.set(i64::try_from(self.matches().len()).unwrap_or(i64::MAX));
        self.metrics.behind.set(slow as i64);
    }
}

/// Waits until this relay knows as much as the client does. A client that comes from another relay may be ahead of this one.
async fn catch_up(followed: &FollowedMatch, subscription: &Subscription) -> Result<()> {
    let caught_up = async {
        while followed.knows_less_than(subscription).await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(CATCH_UP, caught_up).await.map_err(|_| Error::Behind)
}
