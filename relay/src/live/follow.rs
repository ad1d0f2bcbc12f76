//! A followed match: its state, who follows it, and what each of them is sent.
//!
//! Everything that changes what followers know happens under one lock: a message is applied and sent, or a client is given
//! the state and put into its room. So no message can fall between the state a client got and the messages it gets.

use crate::error::Result;
use crate::live::capacity::{Queue, count};
use crate::live::coarser::coarser;
use crate::live::event::{self, Update};
use crate::live::room::{Inner, Joined, Member, Room, Streamed, emit};
use crate::live::state::State;
use crate::live::wish::Wish;
use crate::metrics::Metrics;
use foldhash::{HashSet, HashSetExt};
use serde_json::value::RawValue;
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{Mutex, MutexGuard, broadcast};
use vote_agg_core::Resolution;
use vote_agg_core::feed::message::{Message, Snapshot};

/// Messages that wait for a reader of Server-Sent Events; one that falls behind further gets a snapshot.
const STREAM_BUFFER: usize = 64;

/// From one reading of what a message cannot tell to the next, at least so many times as long as it took.
const READING: u32 = 3;

/// And so that no more cells are read in a second: when a match is at its height, voters need the database most. For a client,
/// 40,000 are about as much as ten of the largest ordinary messages, 2,000 cells and as many arrivals.
const CELLS_A_SECOND: u32 = 40_000;

/// But no longer than this, which is also how long a snapshot for everybody, or a failure, lasts.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// A followed match.
pub struct Follow {
    pub match_id: String,
    /// The seq of the state, or what says that there is none to bring forward.
    cursor: AtomicI64,
    inner: Mutex<Inner>,
    pub loading: Mutex<()>,
}

const UNLOADED: i64 = -1;
const STALE: i64 = -2;

impl Follow {
    #[must_use]
    pub fn new(match_id: String) -> Self {
        Self { match_id, cursor: AtomicI64::new(UNLOADED), inner: Mutex::new(Inner::default()), loading: Mutex::new(()) }
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
    pub async fn knows_less_than(&self, wish: &Wish) -> bool {
        let Some((since, epoch)) = &wish.since else { return false };
        let inner = self.lock().await;
        inner.state.as_ref().is_some_and(|state| state.epoch.as_deref() == Some(epoch) && state.seq < *since)
    }

    pub fn mark_stale(&self) {
        if self.cursor.load(Ordering::Acquire) != UNLOADED {
            self.cursor.store(STALE, Ordering::Release);
        }
    }

    pub async fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().await
    }

    /// Takes a loaded snapshot, and messages from before it for those who come back. Whoever follows gets the snapshot when it tells them anything new.
    pub async fn install(
        &self,
        io: &SocketIo,
        metrics: &Metrics,
        snapshot: Snapshot<'static>,
        past: Vec<Arc<Update>>,
    ) -> Result<()> {
        let mut new = State::new(snapshot)?;
        let mut inner = self.lock().await;
        let inner = &mut *inner;
        inner.rest_until = inner.state.is_some().then(|| Instant::now() + LONGEST_REST);
        inner.failed_at = None;
        // A seq never goes back within its epoch: such a snapshot was read elsewhere, or before the last messages.
        let old = inner.state.as_ref().map(|old| (old.epoch.clone(), old.seq));
        if let Some((epoch, seq)) = &old
            && *epoch == new.epoch
            && *seq >= new.seq
        {
            self.cursor.store(*seq, Ordering::Release);
            if *seq == new.seq {
                inner.set_status(new.status);
            }
            return Ok(());
        }
        for resolution in inner.rooms.keys().flatten() {
            new.roll(*resolution)?;
        }
        self.cursor.store(new.seq, Ordering::Release);
        inner.state = Some(new);
        for room in inner.rooms.values_mut() {
            room.history.clear();
            room.snapshot = None;
        }
        if old.is_none() {
            let native = inner.rooms.entry(None).or_default();
            past.into_iter().for_each(|update| native.history.push(update));
            return Ok(());
        }
        let resolutions: Vec<_> = inner.rooms.keys().copied().collect();
        for resolution in resolutions {
            let Some((seq, epoch, json)) = inner.snapshot(resolution, metrics)? else { continue };
            inner.find_slow(&self.match_id, resolution, metrics);
            let mut rooms = HashSet::new();
            let mut listeners = 0;
            for member in inner.members.values().filter(|m| m.behind.is_none() && m.wish.resolution == resolution) {
                rooms.extend(member.wish.rooms(&self.match_id));
                listeners += 1;
            }
            emit(io, metrics, rooms.into_iter().collect(), listeners, event::SNAPSHOT, &json).await;
            inner.stream(resolution, Streamed::Snapshot { seq, epoch, json });
        }
        Ok(())
    }

    /// Notes that loading failed, so that not everybody who waits tries again at once.
    pub async fn note_failure(&self) {
        let mut inner = self.lock().await;
        let now = Instant::now();
        (inner.failed_at, inner.rest_until) = (Some(now), Some(now + LONGEST_REST));
    }

    /// How long to wait until it may be read again.
    pub async fn rest(&self) -> Duration {
        self.lock().await.rest_until.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }

    /// Where the state stands: the seq and its epoch.
    pub async fn stand(&self) -> Option<(i64, Option<String>)> {
        self.lock().await.state.as_ref().map(|state| (state.seq, state.epoch.clone()))
    }

    /// Applies folds some of which left their cells out. `update` is what they changed in all: the last of them tells it, so
    /// that no seq is passed over. `began`: when it was asked for. False: they are not what comes next.
    pub async fn advance(
        &self,
        io: &SocketIo,
        metrics: &Metrics,
        update: Message<'static>,
        folds: Vec<(Message<'static>, Option<SystemTime>)>,
        began: Instant,
    ) -> bool {
        let mut inner = self.lock().await;
        let inner = &mut *inner;
        let Some(state) = &inner.state else { return false };
        let seqs: Vec<_> = folds.iter().map(|(fold, _)| fold.seq).collect();
        if state.seq != update.prev || seqs != (update.prev + 1..=update.seq).collect::<Vec<_>>() {
            return false;
        }
        let cells = update.cells.unwrap_or_default();
        let rest = (READING * began.elapsed()).max(Duration::from_secs(cells.len() as u64) / CELLS_A_SECOND);
        inner.rest_until = Some(began + rest.min(LONGEST_REST));
        inner.failed_at = None;
        self.cursor.store(update.prev, Ordering::Release);
        let mut cells = Some(cells);
        for (mut fold, at) in folds {
            let is_last = fold.seq == update.seq;
            fold.cells = if is_last { cells.take() } else { fold.cells.or_else(|| Some(Vec::new())) };
            fold.resync = false;
            if !self.take(inner, io, metrics, fold, None, at).await {
                return false;
            }
        }
        true
    }

    /// Whether loading has just failed.
    pub async fn has_just_failed(&self) -> bool {
        self.lock().await.failed_at.is_some_and(|at| at.elapsed() < Duration::from_secs(1))
    }

    /// Applies a row of the feed and sends it to everybody. False: the match must be loaded again.
    pub async fn apply(
        &self,
        io: &SocketIo,
        metrics: &Metrics,
        message: Message<'static>,
        body: String,
        folded_at: Option<SystemTime>,
    ) -> bool {
        let json = RawValue::from_string(body).ok();
        self.take(&mut *self.lock().await, io, metrics, message, json, folded_at).await
    }

    async fn take(
        &self,
        inner: &mut Inner,
        io: &SocketIo,
        metrics: &Metrics,
        message: Message<'static>,
        json: Option<Box<RawValue>>,
        folded_at: Option<SystemTime>,
    ) -> bool {
        let Some(state) = &mut inner.state else { return false };
        let is_known = state.epoch.as_deref() == Some(&*message.epoch) && message.seq <= state.seq;
        if is_known {
            return true;
        }
        let Ok(mut changed) = state.apply(&message) else { return false };
        self.cursor.store(state.seq, Ordering::Release);
        let coarse = inner.rooms.keys().flatten();
        let coarse =
            coarse.map(|resolution| (Some(*resolution), coarser(&message, *resolution, changed.remove(resolution)), None));
        let mut updates: Vec<_> = coarse.collect();
        if inner.rooms.contains_key(&None) {
            updates.push((None, message, json));
        }
        for (resolution, message, json) in updates {
            inner.send(io, metrics, &self.match_id, resolution, Arc::new(Update::new(message, folded_at, json))).await;
        }
        true
    }

    /// Gives a client the match and everything that comes after, in one step. None: nothing is loaded, or the match was let go.
    ///
    /// # Errors
    /// When the state cannot be put into words.
    pub async fn join(&self, socket: &SocketRef, wish: Wish, metrics: &Metrics) -> Result<Option<Joined>> {
        let mut inner = self.lock().await;
        let inner = &mut *inner;
        inner.leave(&self.match_id, socket.id);
        if inner.is_gone || inner.state.is_none() {
            return Ok(None);
        }
        inner.open(wish.resolution)?;
        let joined = inner.greet(socket, &wish, metrics)?;
        if joined.is_some() {
            socket.join(wish.rooms(&self.match_id));
            let queue = Queue::of(socket);
            inner.members.insert(socket.id, Member { socket: socket.clone(), queue, wish, behind: None });
            inner.idle_since = None;
            // A client that went meanwhile has been taken out before it was put in.
            if !socket.connected() {
                inner.leave(&self.match_id, socket.id);
            }
        }
        Ok(joined)
    }

    /// True: it was a follower.
    pub async fn leave(&self, sid: Sid) -> bool {
        self.lock().await.leave(&self.match_id, sid)
    }

    /// Looks after clients that are behind: those who have read get a snapshot and go on, the others are disconnected when
    /// their time is up. Returns how many are still behind.
    pub async fn attend(&self, metrics: &Metrics, buffer: usize, patience: Duration) -> usize {
        let mut inner = self.lock().await;
        let inner = &mut *inner;
        let behind: Vec<_> = inner.members.iter().filter_map(|(sid, m)| m.behind.map(|since| (*sid, since))).collect();
        let mut left = 0;
        for (sid, since) in behind {
            let Some(member) = inner.members.get(&sid) else { continue };
            let (socket, wish) = (member.socket.clone(), Wish { since: None, ..member.wish.clone() });
            if !socket.connected() {
                inner.leave(&self.match_id, sid);
            } else if count(&socket, buffer * 3 / 4) == buffer * 3 / 4 {
                if let Ok(Some(joined)) = inner.greet(&socket, &wish, metrics) {
                    socket.join(wish.rooms(&self.match_id));
                    if let Some(member) = inner.members.get_mut(&sid) {
                        member.behind = None;
                    }
                    metrics.slow_resumed.inc();
                    tracing::info!(%sid, match_id = self.match_id, seq = joined.seq, "slow client caught up by a snapshot");
                }
            } else if since.elapsed() > patience {
                inner.leave(&self.match_id, sid);
                metrics.slow_closed.inc();
                tracing::info!(%sid, match_id = self.match_id, "slow client disconnected");
                crate::ws::socket::close(&socket, "slow");
            } else {
                left += 1;
            }
        }
        left
    }

    /// Where a reader of Server-Sent Events starts, and what comes after. None: nothing is loaded, or the match was let go.
    ///
    /// # Errors
    /// When the state cannot be put into words.
    pub async fn stream(&self, wish: &Wish, metrics: &Metrics) -> Result<Option<(Vec<Streamed>, broadcast::Receiver<Streamed>)>> {
        let mut inner = self.lock().await;
        let inner = &mut *inner;
        if inner.is_gone || inner.state.is_none() {
            return Ok(None);
        }
        inner.open(wish.resolution)?;
        inner.idle_since = None;
        let first = match inner.missed(wish) {
            Some(updates) => updates.into_iter().map(Streamed::Update).collect(),
            None => match inner.snapshot(wish.resolution, metrics)? {
                Some((seq, epoch, json)) => vec![Streamed::Snapshot { seq, epoch, json }],
                None => return Ok(None),
            },
        };
        let room = inner.rooms.entry(wish.resolution).or_default();
        let sender = room.stream.get_or_insert_with(|| broadcast::channel(STREAM_BUFFER).0);
        Ok(Some((first, sender.subscribe())))
    }

    /// Lets go of resolutions that nobody is at. True: nobody has followed at all for `linger`.
    pub async fn tidy(&self, linger: Duration) -> bool {
        let mut inner = self.lock().await;
        let inner = &mut *inner;
        let used: HashSet<_> = inner.members.values().map(|m| m.wish.resolution).collect();
        let unused = |resolution: &Option<Resolution>, room: &Room| {
            !used.contains(resolution) && room.stream.as_ref().is_none_or(|stream| stream.receiver_count() == 0)
        };
        let gone: Vec<_> = inner.rooms.iter().filter(|(r, room)| unused(r, room)).map(|(r, _)| *r).collect();
        let is_idle = gone.len() == inner.rooms.len();
        for resolution in gone.into_iter().flatten() {
            inner.rooms.remove(&Some(resolution));
            if let Some(state) = &mut inner.state {
                state.forget(resolution);
            }
        }
        if !is_idle {
            inner.idle_since = None;
            return false;
        }
        inner.is_gone = inner.idle_since.get_or_insert_with(Instant::now).elapsed() >= linger;
        inner.is_gone
    }
}
