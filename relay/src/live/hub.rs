//! All followed matches: found, joined, let go.

use crate::config::Config;
use crate::db::pool::Database;
use crate::error::{Error, Result};
use crate::guard::budget::{Allowance, Budget};
use crate::guard::ledger::Ledger;
use crate::live::client::{Client, Ticket};
use crate::live::existence::Existence;
use crate::live::followed::{Coming, FollowedMatch};
use crate::live::freshness::Freshness;
use crate::live::member::{Joined, NAMESPACE, Outlet, StreamItem};
use crate::live::staleness::Staleness;
use crate::live::subscription::Subscription;
use crate::metrics::Metrics;
use foldhash::{HashMap, HashMapExt, HashSet};
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::broadcast::Receiver;
use tokio::sync::{Notify, watch};

/// The longest time for which an HTTP answer is kept.
pub const ANSWERS_KEPT: Duration = Duration::from_secs(30);

/// How long a client waits that is ahead of this relay.
const CATCH_UP: Duration = Duration::from_secs(5);

/// After so long it is looked at again for the first time.
const FIRST_LOOK: Duration = Duration::from_millis(20);

/// Matches that one statement looks at.
pub const LOOK: usize = 1_000;

/// Matches that are looked at in turn at a time, without a ring, or whose heads are compared.
pub const PART: usize = 100;

/// The share of work of one address: a quarter of a second each second, two seconds at once.
const WORK_EACH: Allowance = Allowance { a_second: 0.25, burst: 2.0 };

/// The same for all addresses together.
const WORK_ALL: Allowance = Allowance { a_second: 1.0, burst: 8.0 };

/// Unread bytes of one address, and of all.
const UNREAD_EACH: usize = 64 << 20;
const UNREAD_ALL: usize = 256 << 20;

/// Followed matches of one address that do not exist, and of all.
const UNKNOWN_EACH: usize = 1_000;
const UNKNOWN_ALL: usize = 10_000;

/// Clients that come back in a second without harm to the others.
const RETURNS_A_SECOND: u32 = 500;

const SHORTEST_WINDOW: Duration = Duration::from_secs(3);
const LONGEST_WINDOW: Duration = Duration::from_secs(60);

/// What all parts of the relay share.
pub struct Hub {
    pub config: Config,
    pub database: Arc<Database>,
    pub metrics: Metrics,
    pub freshness: Freshness,
    /// Matches that were loaded: the doorbell for folds meanwhile rang before they could be looked at.
    pub loaded: Loaded,
    /// Since when the feed is not followed.
    pub staleness: Staleness,
    /// Whether it has been away for so long that clients are sent to another relay.
    pub sent_away: watch::Sender<bool>,
    /// Seconds of work that addresses have asked for: of the processor, or of the database.
    pub work: Budget,
    /// Bytes that clients have not read.
    pub unread: Arc<Ledger>,
    existence: Arc<Existence>,
    /// Followed matches that do not exist.
    unknown: Arc<Ledger>,
    io: SocketIo,
    pub(super) runtime: Handle,
    matches: Mutex<HashMap<String, Arc<FollowedMatch>>>,
}

impl Hub {
    /// `runtime` is the one that serves clients.
    #[must_use]
    pub fn new(config: Config, database: Arc<Database>, io: SocketIo, runtime: Handle) -> Self {
        let metrics = Metrics::new(database.statements.clone());
        let existence = Arc::new(Existence::new(metrics.reads.clone()));
        let (freshness, matches) = (Freshness::new(ANSWERS_KEPT), Mutex::new(HashMap::new()));
        let (loaded, work) = (Loaded::default(), Budget::new(WORK_EACH, WORK_ALL));
        let (unread, unknown) = (Ledger::new(UNREAD_EACH, UNREAD_ALL), Ledger::new(UNKNOWN_EACH, UNKNOWN_ALL));
        Self {
            config,
            database,
            metrics,
            freshness,
            loaded,
            staleness: Staleness::default(),
            sent_away: watch::Sender::new(false),
            work,
            unread,
            existence,
            unknown,
            io,
            runtime,
            matches,
        }
    }

    /// The way out to clients.
    #[must_use]
    pub fn out(&self) -> Outlet<'_> {
        Outlet { io: &self.io, metrics: &self.metrics, work: &self.work }
    }

    /// All sockets in the namespace.
    #[must_use]
    pub fn sockets(&self) -> Vec<SocketRef> {
        self.io.of(NAMESPACE).map(|namespace| namespace.sockets()).unwrap_or_default()
    }

    /// The time over which clients should spread their return, were they all to lose this relay at once.
    #[must_use]
    pub fn window(&self) -> Duration {
        let clients = u32::try_from(self.metrics.clients.get()).unwrap_or(0);
        (Duration::from_secs(1) * clients / RETURNS_A_SECOND).clamp(SHORTEST_WINDOW, LONGEST_WINDOW)
    }

    /// Whether new clients had better go to another relay.
    #[must_use]
    pub fn is_too_stale(&self) -> bool {
        self.staleness.lasts() >= self.config.stale_timeout
    }

    /// Whether somebody has opened the match or voted in it. That costs no statement of its own.
    ///
    /// # Errors
    /// When the database does not say, or too many names are asked for at once.
    pub async fn exists(&self, match_id: &str) -> Result<bool> {
        self.existence.of(&self.database, match_id).await
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

    /// The match, loaded. `ip` asks for it.
    async fn find_or_load(&self, ip: IpAddr, match_id: &str) -> Result<Coming> {
        let followed = Coming::new(match self.followed(match_id) {
            Some(followed) => followed,
            None => {
                // Whether it exists is known once it is loaded; until then it counts among those that do not.
                let holding = self.unknown.take(ip, 1).ok_or(Error::TooManyUnknown)?;
                let new = || Arc::new(FollowedMatch::new(match_id.to_owned(), holding));
                self.matches().entry(match_id.to_owned()).or_insert_with(new).clone()
            }
        });
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
        // Another look where the match was let go as it was found; from then on it is not, so a second one is all it takes.
        for _ in 0..3 {
            let followed = self.find_or_load(joining.0.ip, match_id).await?;
            catch_up(&followed, &subscription).await?;
            if let Some(joined) = followed.join(self.out(), socket, joining, subscription.clone()).await? {
                self.metrics.joins.inc();
                return Ok(joined);
            }
            if followed.is_gone().await {
                self.forget(&followed);
            }
        }
        Err(Error::Unavailable)
    }

    /// Where a reader of Server-Sent Events starts, and what comes after.
    ///
    /// # Errors
    /// When the match cannot be loaded.
    pub async fn stream(
        &self,
        ip: IpAddr,
        match_id: &str,
        subscription: &Subscription,
    ) -> Result<(Vec<StreamItem>, Receiver<StreamItem>)> {
        for _ in 0..3 {
            let followed = self.find_or_load(ip, match_id).await?;
            catch_up(&followed, subscription).await?;
            if let Some(stream) = followed.stream(subscription, &self.metrics).await? {
                return Ok(stream);
            }
            if followed.is_gone().await {
                self.forget(&followed);
            }
        }
        Err(Error::Unavailable)
    }

    /// Takes a match that was let go out of the list.
    fn forget(&self, gone: &Arc<FollowedMatch>) {
        let mut matches = self.matches();
        if matches.get(&gone.match_id).is_some_and(|known| Arc::ptr_eq(known, gone)) {
            matches.remove(&gone.match_id);
        }
    }

    /// The client gets no more of the match. False: it got nothing of it.
    pub async fn leave(&self, sid: Sid, match_id: &str) -> bool {
        match self.followed(match_id) {
            Some(followed) => followed.leave(sid).await,
            None => false,
        }
    }

    /// How far each of these matches is that can be brought forward.
    #[must_use]
    pub fn cursors(&self, matches: Vec<String>) -> (Vec<String>, Vec<i64>) {
        let known = self.matches();
        let cursor = |match_id: String| known.get(&match_id)?.cursor().map(|seq| (match_id, seq));
        matches.into_iter().filter_map(cursor).unzip()
    }

    /// The matches that can be brought forward.
    #[must_use]
    pub fn loaded_matches(&self) -> Vec<String> {
        let matches = self.matches();
        let mut names: Vec<_> = matches.values().filter(|m| m.cursor().is_some()).map(|m| m.match_id.clone()).collect();
        names.sort_unstable();
        names
    }

    /// So many of them, in turn, and in how many turns all come; `turn` counts the calls.
    #[must_use]
    pub fn some(&self, turn: usize, part: usize) -> (Vec<String>, usize) {
        let names = self.loaded_matches();
        let parts = names.len().div_ceil(part).max(1);
        (names.into_iter().skip(turn % parts * part).take(part).collect(), parts)
    }

    /// Called again and again: looks after slow clients, and lets matches go that nobody follows.
    pub async fn tidy(&self) {
        let mut slow = 0;
        for followed in self.all() {
            slow += followed.attend(self.out(), self.config.client_buffer.into(), self.config.slow_timeout).await;
            if followed.tidy(self.config.linger).await {
                self.forget(&followed);
                tracing::info!(match_id = followed.match_id, "match let go: nobody follows it");
            }
        }
        self.metrics.matches.set(i64::try_from(self.matches().len()).unwrap_or(i64::MAX));
        self.metrics.behind.set(slow as i64);
    }
}

/// Names of matches that were loaded since somebody asked.
#[derive(Default)]
pub struct Loaded {
    names: Mutex<HashSet<String>>,
    bell: Notify,
}

impl Loaded {
    /// A match was loaded.
    pub fn add(&self, match_id: &str) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(match_id.to_owned());
        self.bell.notify_one();
    }

    /// Waits for the next one.
    pub async fn wait(&self) {
        self.bell.notified().await;
    }

    /// The names, which are then forgotten.
    #[must_use]
    pub fn drain(&self) -> HashSet<String> {
        std::mem::take(&mut *self.names.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Waits until this relay knows as much as the client does. A client that comes from another relay may be ahead of this one.
async fn catch_up(followed: &FollowedMatch, subscription: &Subscription) -> Result<()> {
    let caught_up = async {
        let mut pause = FIRST_LOOK;
        while followed.knows_less_than(subscription).await {
            // Each look takes the lock of the match, and anybody may name a seq that will never come.
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    };
    tokio::time::timeout(CATCH_UP, caught_up).await.map_err(|_| Error::Behind)
}
