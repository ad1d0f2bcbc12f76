//! Those who follow a match, by resolution, and what they are sent.

use crate::db::database::Head;
use crate::error::Result;
use crate::live::capacity::Queue;
use crate::live::event::{self, Event, History, Update};
use crate::live::state::State;
use crate::live::wish::{Wish, room_name};
use crate::metrics::Metrics;
use foldhash::HashMap;
use serde_json::value::RawValue;
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::broadcast;
use vote_agg_core::Resolution;

/// The namespace that everything happens in.
pub const NAMESPACE: &str = "/votes";

/// What a client was given at its join.
#[derive(Debug)]
pub struct Joined {
    pub seq: i64,
    pub epoch: Option<String>,
    /// It got what it missed instead of a snapshot.
    pub is_resumed: bool,
}

/// What a reader of Server-Sent Events gets.
#[derive(Clone, Debug)]
pub enum Streamed {
    Update(Arc<Update>),
    Snapshot { seq: i64, epoch: String, json: Arc<RawValue> },
}

/// A client that follows.
pub struct Member {
    pub socket: SocketRef,
    pub queue: Arc<Queue>,
    pub wish: Wish,
    /// Since when it gets nothing because its queue is full.
    pub behind: Option<Instant>,
}

/// What those at one resolution share.
#[derive(Default)]
pub struct Room {
    pub history: History,
    pub snapshot: Option<Arc<RawValue>>,
    pub stream: Option<broadcast::Sender<Streamed>>,
}

/// All of them, and the state that they know: what the lock of a followed match protects.
#[derive(Default)]
pub struct Inner {
    pub state: Option<State>,
    pub rooms: BTreeMap<Option<Resolution>, Room>,
    pub members: HashMap<Sid, Member>,
    /// No longer in the hub's list: look there again.
    pub is_gone: bool,
    pub idle_since: Option<Instant>,
    pub failed_at: Option<Instant>,
    /// The match is not to be read again before that.
    pub rest_until: Option<Instant>,
}

impl Inner {
    pub fn open(&mut self, resolution: Option<Resolution>) -> Result<()> {
        if let (Some(resolution), Some(state)) = (resolution, &mut self.state) {
            state.roll(resolution)?;
        }
        self.rooms.entry(resolution).or_default();
        Ok(())
    }

    pub fn leave(&mut self, match_id: &str, sid: Sid) -> bool {
        let Some(member) = self.members.remove(&sid) else { return false };
        member.socket.leave(member.wish.rooms(match_id));
        true
    }

    /// Takes over the status from where the database stands. True: that is another history.
    pub fn is_other_than(&mut self, head: Head) -> bool {
        let Some(state) = &self.state else { return false };
        if state.epoch.is_some() && state.epoch != head.epoch {
            return true;
        }
        if state.seq <= head.seq {
            self.set_status(head.status);
        }
        false
    }

    /// What is encoded already says another one.
    pub fn set_status(&mut self, status: String) {
        if let Some(state) = self.state.as_mut().filter(|state| state.status != status) {
            state.status = status;
            self.rooms.values_mut().for_each(|room| room.snapshot = None);
        }
    }

    /// The snapshot at a resolution, encoded once a seq.
    pub fn snapshot(
        &mut self,
        resolution: Option<Resolution>,
        metrics: &Metrics,
    ) -> Result<Option<(i64, String, Arc<RawValue>)>> {
        let Some(state) = &self.state else { return Ok(None) };
        let room = self.rooms.entry(resolution).or_default();
        let json = match &room.snapshot {
            Some(json) => json.clone(),
            None => {
                metrics.snapshots.inc();
                room.snapshot.insert(event::raw(&state.snapshot(resolution))?).clone()
            }
        };
        Ok(Some((state.seq, state.epoch.clone().unwrap_or_default(), json)))
    }

    pub fn missed(&self, wish: &Wish) -> Option<Vec<Arc<Update>>> {
        let (state, (since, epoch)) = (self.state.as_ref()?, wish.since.as_ref()?);
        if state.epoch.as_deref() != Some(epoch) {
            return None;
        }
        let missed = self.rooms.get(&wish.resolution)?.history.since(*since, state.seq)?;
        missed.iter().all(|update| update.epoch() == epoch).then_some(missed)
    }

    /// Sends what the client missed, or a snapshot. None: its queue has no room for either.
    pub fn greet(&mut self, socket: &SocketRef, wish: &Wish, metrics: &Metrics) -> Result<Option<Joined>> {
        let Some(state) = &self.state else { return Ok(None) };
        let (seq, epoch) = (state.seq, state.epoch.clone());
        let missed = self.missed(wish).map(|updates| {
            let wanted = |update: &Arc<Update>| {
                Event::SEPARATE
                    .into_iter()
                    .chain([Event::Update])
                    .filter(|event| wish.wants(*event))
                    .filter_map({
                        let update = update.clone();
                        move |event| Some((event.name(), update.json(event)?.clone()))
                    })
                    .collect::<Vec<_>>()
            };
            updates.iter().flat_map(wanted).collect::<Vec<_>>()
        });
        if let Some(missed) = missed
            && Queue::of(socket).take(socket, missed.len())
        {
            for (name, json) in &missed {
                send(socket, metrics, name, json);
            }
            return Ok(Some(Joined { seq, epoch, is_resumed: true }));
        }
        let Some((_, _, json)) = self.snapshot(wish.resolution, metrics)? else { return Ok(None) };
        let sent = Queue::of(socket).take(socket, 1) && send(socket, metrics, event::SNAPSHOT, &json);
        Ok(sent.then_some(Joined { seq, epoch, is_resumed: false }))
    }

    /// Takes those out of their rooms whose queue has no room for a whole fold.
    pub fn find_slow(&mut self, match_id: &str, resolution: Option<Resolution>, metrics: &Metrics) {
        for (sid, member) in &mut self.members {
            let is_there = member.behind.is_none() && member.wish.resolution == resolution;
            if is_there && !member.queue.take(&member.socket, member.wish.places()) {
                member.socket.leave(member.wish.rooms(match_id));
                member.behind = Some(Instant::now());
                metrics.slow.inc();
                tracing::info!(%sid, match_id, "slow client: no more until it has read");
            }
        }
    }

    pub async fn send(
        &mut self,
        io: &SocketIo,
        metrics: &Metrics,
        match_id: &str,
        resolution: Option<Resolution>,
        update: Arc<Update>,
    ) {
        self.find_slow(match_id, resolution, metrics);
        let name = room_name(match_id, resolution);
        for event in Event::SEPARATE.into_iter().chain([Event::Update]) {
            let wants = |m: &&Member| m.behind.is_none() && m.wish.resolution == resolution && m.wish.wants(event);
            let listeners = self.members.values().filter(wants).count();
            if listeners == 0 {
                continue;
            }
            if let Some(json) = update.json(event) {
                let mut rooms = vec![format!("{name}#{}", event.name())];
                if event != Event::Update {
                    rooms.push(name.clone());
                }
                emit(io, metrics, rooms, listeners, event.name(), json).await;
            }
        }
        if let Some(at) = update.folded_at.and_then(|at| at.elapsed().ok()) {
            metrics.lag.observe(at.as_secs_f64());
        }
        if let Some(room) = self.rooms.get_mut(&resolution) {
            room.history.push(update.clone());
            room.snapshot = None;
        }
        self.stream(resolution, Streamed::Update(update));
    }

    pub fn stream(&self, resolution: Option<Resolution>, what: Streamed) {
        if let Some(stream) = self.rooms.get(&resolution).and_then(|room| room.stream.as_ref()) {
            // Nobody reading is no mistake.
            let _ = stream.send(what);
        }
    }
}

fn send(socket: &SocketRef, metrics: &Metrics, event: &str, json: &Arc<RawValue>) -> bool {
    metrics.messages.inc();
    metrics.bytes.inc_by(json.get().len() as u64);
    socket.emit(event, &**json).is_ok()
}

/// Sends an event to everybody in these rooms.
pub async fn emit(io: &SocketIo, metrics: &Metrics, rooms: Vec<String>, listeners: usize, event: &str, json: &Arc<RawValue>) {
    // No room at all would mean everybody.
    if rooms.is_empty() {
        return;
    }
    metrics.messages.inc_by(listeners as u64);
    metrics.bytes.inc_by((listeners * json.get().len()) as u64);
    let Some(namespace) = io.of(NAMESPACE) else { return };
    if let Err(e) = namespace.within(rooms).emit(event, &**json).await {
        // Who is closing cannot be reached any more; who is full was taken out before.
        metrics.undelivered.inc();
        tracing::debug!(event, error = %e, "not everybody could be reached");
    }
}
