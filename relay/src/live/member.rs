//! One follower, and how it is reached.

use crate::guard::budget::Budget;
use crate::live::client::Client;
use crate::live::event::Update;
use crate::live::queue::Queue;
use crate::live::subscription::Subscription;
use crate::metrics::Metrics;
use serde_json::json;
use serde_json::value::RawValue;
use socketioxide::SocketIo;
use socketioxide::extract::SocketRef;
use socketioxide::socket::Sid;
use std::sync::Arc;
use std::time::Instant;

/// The namespace that everything happens in.
pub const NAMESPACE: &str = "/votes";

/// What a client was given at its join.
#[derive(Debug)]
pub struct Joined {
    pub seq: i64,
    pub epoch: Option<String>,
    /// It got the updates that it missed instead of a snapshot.
    pub is_resumed: bool,
    /// Nobody has opened the match or voted in it yet.
    pub is_unknown: bool,
}

/// An item of an event stream.
#[derive(Clone, Debug)]
pub enum StreamItem {
    Update(Arc<Update>),
    Snapshot { seq: i64, epoch: String, json: Arc<RawValue> },
}

/// A client that follows.
pub struct Member {
    pub socket: SocketRef,
    pub client: Arc<Client>,
    pub subscription: Subscription,
    /// Since when it gets nothing because its queue is full.
    pub behind: Option<Instant>,
}

impl Member {
    /// It gets no more until it has read, then a snapshot.
    pub fn fall_behind(&mut self, sid: Sid, match_id: &str, metrics: &Metrics) {
        self.socket.leave(self.subscription.rooms(match_id));
        self.behind = Some(Instant::now());
        metrics.slow.inc();
        tracing::info!(%sid, match_id, "slow client: no more until it has read");
    }
}

/// The way out: what sends, and what counts it.
#[derive(Clone, Copy)]
pub struct Outlet<'a> {
    pub io: &'a SocketIo,
    pub metrics: &'a Metrics,
    pub work: &'a Budget,
}

impl Outlet<'_> {
    /// Sends an event to one client. False: it could not be put into the queue.
    pub fn send(self, socket: &SocketRef, queue: &Queue, event: &str, json: &RawValue) -> bool {
        self.metrics.messages.inc();
        self.metrics.bytes.inc_by(json.get().len() as u64);
        queue.put(|| socket.emit(event, json).is_ok())
    }

    /// Sends an event to everybody in these rooms, `listeners` clients.
    pub async fn broadcast(self, rooms: Vec<String>, listeners: usize, event: &str, json: &RawValue) {
        // No room at all would mean everybody.
        if rooms.is_empty() {
            return;
        }
        self.metrics.messages.inc_by(listeners as u64);
        self.metrics.bytes.inc_by((listeners * json.get().len()) as u64);
        let Some(namespace) = self.io.of(NAMESPACE) else { return };
        if let Err(e) = namespace.within(rooms).emit(event, json).await {
            // A client that is closing cannot be reached any more; one whose queue is full was taken out before.
            self.metrics.undelivered.inc();
            tracing::debug!(event, error = %e, "not everybody could be reached");
        }
    }
}

/// Tells a client why it is disconnected, and disconnects it.
pub fn close(socket: &SocketRef, reason: &'static str) {
    let _ = socket.emit("relay:closing", &json!({"reason": reason}));
    if socket.clone().disconnect().is_err() {
        tracing::debug!(sid = %socket.id, "no room to say goodbye: the heartbeat will end it");
    }
}
