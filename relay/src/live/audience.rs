//! Those who follow one match, and what they are sent.

use crate::db::statements::Head;
use crate::error::Result;
use crate::live::event::{self, Event, Update};
use crate::live::history::History;
use crate::live::member::{Joined, Member, Outlet, StreamItem};
use crate::live::queue::Queue;
use crate::live::state::MatchState;
use crate::live::subscription::{Subscription, room_name};
use crate::metrics::Metrics;
use foldhash::HashMap;
use serde_json::value::RawValue;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::broadcast;
use vote_agg_core::Resolution;

/// What the followers at one resolution share.
#[derive(Default)]
pub struct Room {
    pub history: History,
    pub snapshot: Option<Arc<RawValue>>,
    pub stream: Option<broadcast::Sender<StreamItem>>,
}

/// The followers of one match and the state that they know: what the lock of a followed match protects.
#[derive(Default)]
pub struct Audience {
    pub state: Option<MatchState>,
    pub rooms: BTreeMap<Option<Resolution>, Room>,
    pub members: HashMap<Sid, Member>,
    /// No longer in the hub's list: look there again.
    pub is_gone: bool,
    pub idle_since: Option<Instant>,
    pub failed_at: Option<Instant>,
    /// The match is not to be read again before that.
    pub rest_until: Option<Instant>,
}

impl Audience {
    /// From now on updates at that resolution are made.
    ///
    /// # Errors
    /// When the match cannot be rolled up to it.
    pub fn open(&mut self, resolution: Option<Resolution>) -> Result<()> {
        if let (Some(resolution), Some(state)) = (resolution, &mut self.state) {
            state.roll(resolution)?;
        }
        self.rooms.entry(resolution).or_default();
        Ok(())
    }

    /// False: it was no follower.
    pub fn leave(&mut self, match_id: &str, sid: Sid) -> bool {
        let Some(member) = self.members.remove(&sid) else { return false };
        member.socket.leave(member.subscription.rooms(match_id));
        true
    }

    /// Takes the status over from the database's head of the match. True: that is another history.
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

    /// Takes a status over. Snapshots encoded before name another one, and are dropped.
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

    /// The updates since the client's own seq. None: they are not at hand.
    #[must_use]
    pub fn missed(&self, subscription: &Subscription) -> Option<Vec<Arc<Update>>> {
        let (state, (since, epoch)) = (self.state.as_ref()?, subscription.since.as_ref()?);
        if state.epoch.as_deref() != Some(epoch) {
            return None;
        }
        let missed = self.rooms.get(&subscription.resolution)?.history.since(*since, state.seq)?;
        missed.iter().all(|update| update.epoch() == epoch).then_some(missed)
    }

    /// Sends the updates that the client missed, or a snapshot. None: its queue has no room for either.
    ///
    /// # Errors
    /// When the state cannot be encoded.
    pub fn greet(&mut self, out: Outlet<'_>, socket: &SocketRef, subscription: &Subscription) -> Result<Option<Joined>> {
        let Some(state) = &self.state else { return Ok(None) };
        let (seq, epoch) = (state.seq, state.epoch.clone());
        let events = Event::SEPARATE.into_iter().chain([Event::Update]).filter(|event| subscription.wants(*event));
        let events: Vec<_> = events.collect();
        let missed = self.missed(subscription).map(|updates| {
            let pairs = updates.iter().flat_map(|update| events.iter().map(move |event| (update, event)));
            pairs.filter_map(|(update, event)| Some((event.name(), update.json(*event)?.clone()))).collect::<Vec<_>>()
        });
        if let Some(missed) = missed
            && Queue::of(socket).reserve(socket, missed.len())
        {
            for (name, json) in &missed {
                out.send(socket, name, json);
            }
            return Ok(Some(Joined { seq, epoch, is_resumed: true }));
        }
        let Some((_, _, json)) = self.snapshot(subscription.resolution, out.metrics)? else { return Ok(None) };
        let is_sent = Queue::of(socket).reserve(socket, 1) && out.send(socket, event::SNAPSHOT, &json);
        Ok(is_sent.then_some(Joined { seq, epoch, is_resumed: false }))
    }

    /// Takes members out of their rooms whose queue has no room for a whole fold.
    pub fn find_slow(&mut self, match_id: &str, resolution: Option<Resolution>, metrics: &Metrics) {
        for (sid, member) in &mut self.members {
            let is_there = member.behind.is_none() && member.subscription.resolution == resolution;
            if is_there && !member.queue.reserve(&member.socket, member.subscription.messages()) {
                member.socket.leave(member.subscription.rooms(match_id));
                member.behind = Some(Instant::now());
                metrics.slow.inc();
                tracing::info!(%sid, match_id, "slow client: no more until it has read");
            }
        }
    }

    /// Sends an update to the followers at that resolution, and keeps it for clients that come back.
    pub async fn send(&mut self, out: Outlet<'_>, match_id: &str, resolution: Option<Resolution>, update: Arc<Update>) {
        self.find_slow(match_id, resolution, out.metrics);
        let name = room_name(match_id, resolution);
        for event in Event::SEPARATE.into_iter().chain([Event::Update]) {
            let wants =
                |m: &&Member| m.behind.is_none() && m.subscription.resolution == resolution && m.subscription.wants(event);
            let listeners = self.members.values().filter(wants).count();
            if listeners == 0 {
                continue;
            }
            if let Some(json) = update.json(event) {
                let mut rooms = vec![format!("{name}#{}", event.name())];
                if event != Event::Update {
                    rooms.push(name.clone());
                }
                out.broadcast(rooms, listeners, event.name(), json).await;
            }
        }
        if let Some(at) = update.folded_at.and_then(|at| at.elapsed().ok()) {
            out.metrics.lag.observe(at.as_secs_f64());
        }
        if let Some(room) = self.rooms.get_mut(&resolution) {
            room.history.push(update.clone());
            room.snapshot = None;
        }
        self.stream(resolution, StreamItem::Update(update));
    }

    /// Passes an item on to the event streams at that resolution.
    pub fn stream(&self, resolution: Option<Resolution>, item: StreamItem) {
        if let Some(stream) = self.rooms.get(&resolution).and_then(|room| room.stream.as_ref()) {
            // A stream that nobody reads is no mistake.
            let _ = stream.send(item);
        }
    }
}
