//! One followed match: its state and its audience under one lock.
//!
//! Everything that changes what followers know happens under that lock: a message is applied and sent, or a client is given
//! the state and put into its room. So no message can fall between the state that a client got and the messages that it gets.

use crate::error::Result;
use crate::guard::ledger::Holding;
use crate::live::audience::{Audience, Room};
use crate::live::client::{Client, Ticket};
use crate::live::member::{Joined, Outlet, StreamItem, close};
use crate::live::queue::count;
use crate::live::state::MatchState;
use crate::live::subscription::Subscription;
use crate::metrics::Metrics;
use foldhash::HashSet;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard, broadcast};
use vote_agg_core::Resolution;

/// Messages that wait for a reader of Server-Sent Events; one that falls behind further gets a snapshot.
const STREAM_BUFFER: usize = 64;

/// The longest time for which a match is not read again: after a snapshot for everybody, or after a failure.
pub const LONGEST_REST: Duration = Duration::from_secs(1);

/// A join that takes less processor time costs its address nothing: it is sent what others need too.
const FREE_JOIN: Duration = Duration::from_millis(1);

/// A followed match.
pub struct FollowedMatch {
    pub match_id: String,
    /// The seq of the state; negative while there is no state that could be brought forward.
    pub(super) cursor: AtomicI64,
    audience: Mutex<Audience>,
    pub loading: Mutex<()>,
    /// How many are about to follow it.
    coming: AtomicUsize,
    /// Counts it among the matches that do not exist, until it does.
    pub(super) unknown: std::sync::Mutex<Option<Holding>>,
}

/// A match that somebody is about to follow: it is not let go while it is loaded, however long that takes.
pub struct Coming(Arc<FollowedMatch>);

impl Coming {
    #[must_use]
    pub fn new(followed: Arc<FollowedMatch>) -> Self {
        followed.coming.fetch_add(1, Ordering::AcqRel);
        Self(followed)
    }
}

impl Deref for Coming {
    type Target = Arc<FollowedMatch>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.coming.fetch_sub(1, Ordering::AcqRel);
    }
}

const UNLOADED: i64 = -1;
const STALE: i64 = -2;

impl FollowedMatch {
    #[must_use]
    pub fn new(match_id: String, unknown: Holding) -> Self {
        Self {
            match_id,
            cursor: AtomicI64::new(UNLOADED),
            audience: Mutex::new(Audience::default()),
            loading: Mutex::new(()),
            coming: AtomicUsize::new(0),
            unknown: std::sync::Mutex::new(Some(unknown)),
        }
    }

    /// The seq up to which the feed was applied; None while there is nothing to apply to.
    #[must_use]
    pub fn cursor(&self) -> Option<i64> {
        Some(self.cursor.load(Ordering::Acquire)).filter(|seq| *seq >= 0)
    }

    /// Whether the state must be loaded before it can go on.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.cursor.load(Ordering::Acquire) == STALE
    }

    /// Whether the client has seen what is still to come here.
    pub async fn knows_less_than(&self, subscription: &Subscription) -> bool {
        let Some((since, epoch)) = &subscription.since else { return false };
        let audience = self.lock().await;
        audience.state.as_ref().is_some_and(|state| state.epoch.as_deref() == Some(epoch) && state.seq < *since)
    }

    /// From now on the state must be loaded before it can go on.
    pub fn mark_stale(&self) {
        if self.cursor.load(Ordering::Acquire) != UNLOADED {
            self.cursor.store(STALE, Ordering::Release);
        }
    }

    /// Notes that the match exists, once it does.
    pub(super) fn note_existence(&self, state: &MatchState) {
        if state.exists() {
            drop(self.unknown.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    /// Whether it exists, as far as it was folded.
    pub async fn exists(&self) -> bool {
        self.lock().await.state.as_ref().is_some_and(MatchState::exists)
    }

    /// Whether it was let go: then the hub has another one, or none.
    pub async fn is_gone(&self) -> bool {
        self.lock().await.is_gone
    }

    /// The state and the followers, locked.
    pub async fn lock(&self) -> MutexGuard<'_, Audience> {
        self.audience.lock().await
    }

    /// Notes that loading failed, so that not everybody who waits tries again at once.
    pub async fn note_failure(&self) {
        let mut audience = self.lock().await;
        let now = Instant::now();
        (audience.failed_at, audience.rest_until) = (Some(now), Some(now + LONGEST_REST));
    }

    /// How long to wait until it may be read again.
    pub async fn rest(&self) -> Duration {
        self.lock().await.rest_until.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }

    /// The seq of the state, and its epoch.
    pub async fn stand(&self) -> Option<(i64, Option<String>)> {
        self.lock().await.state.as_ref().map(|state| (state.seq, state.epoch.clone()))
    }

    /// Whether loading has just failed.
    pub async fn has_just_failed(&self) -> bool {
        self.lock().await.failed_at.is_some_and(|at| at.elapsed() < Duration::from_secs(1))
    }

    /// Gives a client the match and everything that comes after, in one step. None: nothing is loaded, or the match was let go.
    ///
    /// # Errors
    /// As [`Audience::admit`].
    pub async fn join(
        &self,
        out: Outlet<'_>,
        socket: &SocketRef,
        joining: (&Arc<Client>, Ticket),
        subscription: Subscription,
    ) -> Result<Option<Joined>> {
        let mut audience = self.lock().await;
        let began = Instant::now();
        let joined = audience.admit(out, &self.match_id, socket, joining, subscription);
        let took = began.elapsed();
        if took > FREE_JOIN {
            out.work.charge(joining.0.ip, took.as_secs_f64());
        }
        joined
    }

    /// True: it was a follower.
    pub async fn leave(&self, sid: Sid) -> bool {
        self.lock().await.leave(&self.match_id, sid)
    }

    /// Looks after clients that are behind: those who have read get a snapshot and go on, the others are disconnected when
    /// their time is up. Returns how many are still behind.
    pub async fn attend(&self, out: Outlet<'_>, buffer: usize, patience: Duration) -> usize {
        let mut audience = self.lock().await;
        let audience = &mut *audience;
        audience.members.values().for_each(|member| member.client.queue.settle(&member.socket));
        let behind: Vec<_> = audience.members.iter().filter_map(|(sid, m)| m.behind.map(|since| (*sid, since))).collect();
        let mut left = 0;
        for (sid, since) in behind {
            let Some(member) = audience.members.get(&sid) else { continue };
            let (socket, subscription) = (member.socket.clone(), Subscription { since: None, ..member.subscription.clone() });
            if !socket.connected() {
                audience.leave(&self.match_id, sid);
            } else if count(&socket, buffer * 3 / 4) == buffer * 3 / 4 {
                let client = member.client.clone();
                if let Ok(joined) = audience.greet(out, &socket, &client, &subscription) {
                    socket.join(subscription.rooms(&self.match_id));
                    if let Some(member) = audience.members.get_mut(&sid) {
                        member.behind = None;
                    }
                    out.metrics.slow_resumed.inc();
                    tracing::info!(%sid, match_id = self.match_id, seq = joined.seq, "slow client caught up by a snapshot");
                }
            } else if since.elapsed() > patience {
                audience.leave(&self.match_id, sid);
                out.metrics.slow_closed.inc();
                tracing::info!(%sid, match_id = self.match_id, "slow client disconnected");
                close(&socket, "slow");
            } else {
                left += 1;
            }
        }
        left
    }

    /// Where a reader of Server-Sent Events starts, and what comes after. None: nothing is loaded, or the match was let go.
    ///
    /// # Errors
    /// When the state cannot be encoded.
    pub async fn stream(
        &self,
        subscription: &Subscription,
        metrics: &Metrics,
    ) -> Result<Option<(Vec<StreamItem>, broadcast::Receiver<StreamItem>)>> {
        let mut audience = self.lock().await;
        let audience = &mut *audience;
        if audience.is_gone || audience.state.is_none() {
            return Ok(None);
        }
        audience.open(subscription.resolution)?;
        audience.idle_since = None;
        let first = match audience.missed(subscription) {
            Some(updates) => updates.into_iter().map(StreamItem::Update).collect(),
            None => match audience.snapshot(subscription.resolution, subscription.area.as_deref(), metrics)? {
                Some((seq, epoch, json)) => vec![StreamItem::Snapshot { seq, epoch, json }],
                None => return Ok(None),
            },
        };
        let room = audience.rooms.entry(subscription.resolution).or_default();
        let sender = room.stream.get_or_insert_with(|| broadcast::channel(STREAM_BUFFER).0);
        Ok(Some((first, sender.subscribe())))
    }

    /// Lets go of resolutions that nobody is at. True: nobody has followed at all for `linger`, and nobody is about to.
    pub async fn tidy(&self, linger: Duration) -> bool {
        let mut audience = self.lock().await;
        let audience = &mut *audience;
        let used: HashSet<_> = audience.members.values().map(|m| m.subscription.resolution).collect();
        let unused = |resolution: &Option<Resolution>, room: &Room| {
            !used.contains(resolution) && room.stream.as_ref().is_none_or(|stream| stream.receiver_count() == 0)
        };
        let gone: Vec<_> = audience.rooms.iter().filter(|(r, room)| unused(r, room)).map(|(r, _)| *r).collect();
        let is_idle = gone.len() == audience.rooms.len();
        for resolution in gone.into_iter().flatten() {
            audience.rooms.remove(&Some(resolution));
            if let Some(state) = &mut audience.state {
                state.forget(resolution);
            }
        }
        if !is_idle || self.coming.load(Ordering::Acquire) > 0 {
            audience.idle_since = None;
            return false;
        }
        audience.is_gone = audience.idle_since.get_or_insert_with(Instant::now).elapsed() >= linger;
        audience.is_gone
    }
}
