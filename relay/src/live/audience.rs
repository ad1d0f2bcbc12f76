//! Those who follow one match, what they are sent, and how a client that comes back goes on.

use crate::db::statements::Head;
use crate::error::{Error, Result};
use crate::live::area::Area;
use crate::live::client::{Client, Ticket};
use crate::live::event::{self, Event, Update};
use crate::live::member::{Joined, Member, Outlet, StreamItem};
use crate::live::recent::Recent;
use crate::live::state::MatchState;
use crate::live::subscription::{Subscription, event_room, room};
use crate::live::view::{Arrived, SnapshotWithin};
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
use vote_agg_core::feed::message::CellVotes;

/// What the followers at one resolution share.
#[derive(Default)]
pub struct Room {
    pub recent: Recent,
    pub stream: Option<broadcast::Sender<StreamItem>>,
}

/// The followers of one match and the state that they know: what the lock of a followed match protects.
#[derive(Default)]
pub struct Audience {
    pub state: Option<MatchState>,
    pub rooms: BTreeMap<Option<Resolution>, Room>,
    /// Snapshots of the state as it is now, encoded once for everybody.
    snapshots: BTreeMap<Option<Resolution>, Arc<RawValue>>,
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

    /// Gives a client the state, and from then on every update. One that follows already changes its subscription. None: its
    /// match is not loaded. After an error nothing has changed.
    ///
    /// # Errors
    /// When the client may not follow the match, has no room for the state, or the state cannot be encoded.
    pub fn admit(
        &mut self,
        out: Outlet<'_>,
        match_id: &str,
        socket: &SocketRef,
        (client, ticket): (&Arc<Client>, Ticket),
        subscription: Subscription,
    ) -> Result<Option<Joined>> {
        if self.is_gone || self.state.is_none() {
            return Ok(None);
        }
        client.membership().enter(match_id, ticket)?;
        let greeted = self.open(subscription.resolution).and_then(|()| self.greet(out, socket, client, &subscription));
        match greeted {
            Ok(joined) => {
                if let Some(before) = self.members.remove(&socket.id) {
                    socket.leave(before.subscription.rooms(match_id));
                }
                socket.join(subscription.rooms(match_id));
                // A client goes on from there once. What it sent as epoch is not kept.
                let subscription = Subscription { since: None, from: None, ..subscription };
                let member = Member { socket: socket.clone(), client: client.clone(), subscription, behind: None };
                self.members.insert(socket.id, member);
                self.idle_since = None;
                Ok(Some(joined))
            }
            Err(e) => {
                if !self.members.contains_key(&socket.id) {
                    client.membership().leave(match_id);
                }
                Err(e)
            }
        }
    }

    /// The client follows no more. False: it did not.
    pub fn leave(&mut self, match_id: &str, sid: Sid) -> bool {
        let Some(member) = self.members.remove(&sid) else { return false };
        member.socket.leave(member.subscription.rooms(match_id));
        member.client.membership().leave(match_id);
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
        // Votes grow older without a fold too.
        if let Some(state) =
            self.state.as_mut().filter(|state| state.seq == head.seq && state.stats.per_minute != head.per_minute)
        {
            state.stats.per_minute = head.per_minute;
            self.snapshots.clear();
        }
        false
    }

    /// Takes a status over. Snapshots encoded before name another one, and are dropped.
    pub fn set_status(&mut self, status: String) {
        if let Some(state) = self.state.as_mut().filter(|state| state.status != status) {
            state.status = status;
            self.snapshots.clear();
        }
    }

    /// The state at a resolution, encoded once as long as it is the same; of an area, encoded for the one that asks.
    ///
    /// # Errors
    /// When it cannot be rolled up or encoded.
    pub fn snapshot(
        &mut self,
        resolution: Option<Resolution>,
        area: Option<&Area>,
        metrics: &Metrics,
    ) -> Result<Option<(i64, String, Arc<RawValue>)>> {
        let Some(state) = &self.state else { return Ok(None) };
        let json = match (area, self.snapshots.get(&resolution)) {
            (Some(area), _) => {
                metrics.snapshots.inc();
                let snapshot = state.snapshot_within(resolution, Some(area));
                event::raw(&SnapshotWithin { snapshot, area: &area.cells })?
            }
            (None, Some(json)) => json.clone(),
            (None, None) => {
                metrics.snapshots.inc();
                let json = event::raw(&state.snapshot_at(resolution)?)?;
                self.snapshots.insert(resolution, json.clone());
                json
            }
        };
        Ok(Some((state.seq, state.epoch.clone().unwrap_or_default(), json)))
    }

    /// Replaces the state, or brings it forward: snapshots of the one before are of no more use.
    pub fn change(&mut self) -> &mut Option<MatchState> {
        self.snapshots.clear();
        &mut self.state
    }

    /// The updates since the client's own seq. None: they are not at hand.
    #[must_use]
    pub fn missed(&mut self, subscription: &Subscription) -> Option<Vec<Arc<Update>>> {
        let (state, (since, epoch)) = (self.state.as_ref()?, subscription.since.as_ref()?);
        if state.epoch.as_deref() != Some(epoch) {
            return None;
        }
        let (since, seq, resolution) = (*since, state.seq, subscription.resolution);
        let mut missed = self.rooms.get(&resolution)?.recent.since(since, seq);
        if missed.is_none()
            && let Some(resolution) = resolution
        {
            let native = &self.rooms.get(&None)?.recent;
            native.since(since, seq)?;
            let rolled_up = native.rolled_up(resolution, state)?;
            let room = self.rooms.get_mut(&Some(resolution))?;
            room.recent = rolled_up;
            missed = room.recent.since(since, seq);
        }
        missed.filter(|missed| missed.iter().all(|update| update.epoch() == epoch))
    }

    /// The cells that have come into a client's area, as they are now. None: its area is the same.
    fn arrived(&self, subscription: &Subscription) -> Result<Option<Arc<RawValue>>> {
        let (Some(from), Some(state)) = (&subscription.from, &self.state) else { return Ok(None) };
        let mut cells = match from {
            // All cells: none can come.
            None => Vec::new(),
            Some(_) => state.cells_within(subscription.resolution, subscription.area.as_deref()),
        };
        cells.retain(|CellVotes(cell, _)| from.as_ref().is_none_or(|from| !from.contains(*cell)));
        let stand = (state.seq, state.epoch.as_deref().unwrap_or_default());
        let resolution = subscription.resolution.map(u8::from);
        Ok(Some(event::raw(&Arrived::new(&state.match_id, stand, resolution, subscription.area.as_deref(), &cells))?))
    }

    /// Sends the updates that the client missed and what has come into its area, or a snapshot.
    ///
    /// # Errors
    /// [`Error::Slow`] when its queue has no room for either, or when the state cannot be encoded.
    pub fn greet(&mut self, out: Outlet<'_>, socket: &SocketRef, client: &Client, subscription: &Subscription) -> Result<Joined> {
        let state = self.state.as_ref().ok_or(Error::Gap)?;
        let (seq, epoch, is_unknown) = (state.seq, state.epoch.clone(), !state.exists());
        let events = subscription.events();
        // Up to now it has seen the area that it names, and the cells of another one come after that.
        let area = subscription.from.as_ref().unwrap_or(&subscription.area).as_deref();
        let mut missed = self.missed(subscription).map(|updates| {
            let pairs = updates.iter().flat_map(|update| events.iter().map(move |event| (update, event)));
            pairs.filter_map(|(update, event)| Some((event.name(), update.json_within(*event, area)?))).collect::<Vec<_>>()
        });
        if let (Some(missed), Some(arrived)) = (&mut missed, self.arrived(subscription)?) {
            missed.push((event::AREA, arrived));
        }
        if let Some(missed) = missed
            && client.queue.reserve_own(socket, missed.len(), missed.iter().map(|(_, json)| json.get().len()).sum())
        {
            for (name, json) in &missed {
                out.send(socket, &client.queue, name, json);
            }
            return Ok(Joined { seq, epoch, is_resumed: true, is_unknown });
        }
        let area = subscription.area.as_deref();
        let (_, _, json) = self.snapshot(subscription.resolution, area, out.metrics)?.ok_or(Error::Gap)?;
        let is_sent =
            client.queue.reserve_own(socket, 1, json.get().len()) && out.send(socket, &client.queue, event::SNAPSHOT, &json);
        if is_sent { Ok(Joined { seq, epoch, is_resumed: false, is_unknown }) } else { Err(Error::Slow) }
    }

    /// Takes members out of their rooms whose queue has no room for a whole fold.
    pub fn find_slow(&mut self, match_id: &str, resolution: Option<Resolution>, metrics: &Metrics) {
        for (sid, member) in &mut self.members {
            let is_there = member.behind.is_none() && member.subscription.resolution == resolution;
            if is_there && !member.client.queue.reserve(&member.socket, member.subscription.messages()) {
                member.fall_behind(*sid, match_id, metrics);
            }
        }
    }

    /// Sends an update to the followers at that resolution, and keeps it for clients that come back.
    pub async fn send(&mut self, out: Outlet<'_>, match_id: &str, resolution: Option<Resolution>, update: Arc<Update>) {
        self.find_slow(match_id, resolution, out.metrics);
        let mut listeners = BTreeMap::<Event, usize>::new();
        for (sid, member) in &mut self.members {
            if member.behind.is_some() || member.subscription.resolution != resolution {
                continue;
            }
            let events = member.subscription.events();
            let Some(area) = member.subscription.area.as_deref() else {
                events.iter().for_each(|event| *listeners.entry(*event).or_default() += 1);
                continue;
            };
            let own: Vec<_> = events.iter().filter_map(|event| Some((event, update.json_within(*event, Some(area))?))).collect();
            if !member.client.queue.hold(&member.socket, own.iter().map(|(_, json)| json.get().len()).sum()) {
                member.fall_behind(*sid, match_id, out.metrics);
                continue;
            }
            for (event, json) in own {
                // It has a slot. Where it has gone, nobody misses it.
                out.send(&member.socket, &member.client.queue, event.name(), &json);
            }
        }
        for (event, listeners) in listeners {
            if let Some(json) = update.json(event) {
                let mut rooms = vec![event_room(match_id, resolution, event)];
                if !matches!(event, Event::Update(_)) {
                    rooms.push(room(match_id, resolution));
                }
                out.broadcast(rooms, listeners, event.name(), json).await;
            }
        }
        if let Some(at) = update.folded_at.and_then(|at| at.elapsed().ok()) {
            out.metrics.lag.observe(at.as_secs_f64());
        }
        if let Some(room) = self.rooms.get_mut(&resolution) {
            room.recent.push(update.clone());
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
