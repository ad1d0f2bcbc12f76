//! One client: what it may do, how often, and until when.

use crate::guard::pass::Pass;
use crate::guard::token::Access;
use crate::live::client::Client;
use crate::live::hub::Hub;
use crate::live::queue::Queue;
use prometheus_client::metrics::gauge::Gauge;
use serde::Serialize;
use serde_json::{Value, json};
use socketioxide::extract::{AckSender, SocketRef};
use socketioxide::{SendError, SocketError};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, SetOnce};
use tokio::time::timeout;

/// How long a client that floods has to read why it is disconnected.
pub const GOODBYE: Duration = Duration::from_millis(250);

/// Between the answer that a client is connected and `welcome` is no more than a step of the library, unless the client has gone.
const WELCOME: Duration = Duration::from_secs(5);

/// One client.
pub struct Session {
    pub client: Arc<Client>,
    /// The connection's seat and rates, which outlast the session.
    pub pass: Arc<Pass>,
    /// It is being disconnected: its events are ignored.
    pub is_closing: AtomicBool,
    /// Until then the library sends it nothing, although it has been told that it is connected and may speak.
    pub is_welcome: SetOnce<()>,
    /// Rings when the token was renewed, or the client has gone.
    pub changed: Notify,
    pub presence: Presence,
}

/// Whether a client counts among those that are there. The library tells of its coming and its going from two tasks: one that goes as it comes
/// may be told of in the other order, or of its going alone.
#[derive(Default)]
pub struct Presence(AtomicU8);

impl Presence {
    const COMING: u8 = 0;
    const HERE: u8 = 1;
    const GONE: u8 = 2;

    /// The client has come.
    pub fn enter(&self, clients: &Gauge) {
        if self.0.compare_exchange(Self::COMING, Self::HERE, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            clients.inc();
        }
    }

    /// The client has gone.
    pub fn leave(&self, clients: &Gauge) {
        if self.0.swap(Self::GONE, Ordering::AcqRel) == Self::HERE {
            clients.dec();
        }
    }

    /// Whether it has gone.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::GONE
    }
}

impl Session {
    /// A client that has just come.
    #[must_use]
    pub fn new(hub: &Hub, access: Access, pass: Arc<Pass>, ip: IpAddr) -> Self {
        let config = &hub.config;
        let queue = Queue::new(config.client_buffer.into(), ip, hub.unread.clone());
        Self {
            client: Arc::new(Client::new(access, config.max_rooms, ip, queue)),
            pass,
            is_closing: AtomicBool::new(false),
            is_welcome: SetOnce::new(),
            changed: Notify::new(),
            presence: Presence::default(),
        }
    }

    /// The client has gone. Returns the matches that must be left.
    pub fn end(&self) -> Vec<String> {
        self.changed.notify_one();
        self.client.membership().end()
    }
}

/// Why something is refused: a word for programs and a sentence for people.
#[derive(Debug, Serialize)]
pub struct Refusal {
    pub error: &'static str,
    pub message: String,
}

impl Refusal {
    #[must_use]
    pub fn new(error: &'static str, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.error)
    }
}

/// Whether an event of the client is heard. One that sends too many is disconnected.
pub async fn is_allowed(hub: &Hub, session: &Arc<Session>, socket: &SocketRef) -> bool {
    let is_welcome = timeout(WELCOME, session.is_welcome.wait()).await.is_ok();
    if !is_welcome || session.is_closing.load(Ordering::Relaxed) {
        return false;
    }
    session.client.queue.spend(); // on the answer
    let is_allowed = session.pass.rates.allow_event();
    if !is_allowed && dismiss(hub, session, socket, "too_many_events").await {
        hub.metrics.refuse("too_many_events");
    }
    is_allowed
}

/// Tells the client why, sends it nothing of any match any more, and disconnects it. False: that is under way already.
pub async fn dismiss(hub: &Hub, session: &Arc<Session>, socket: &SocketRef, reason: &'static str) -> bool {
    if session.is_closing.swap(true, Ordering::Relaxed) {
        return false;
    }
    for match_id in session.end() {
        hub.leave(socket.id, &match_id).await;
    }
    tracing::info!(sid = %socket.id, reason, "client disconnected");
    let (socket, session) = (socket.clone(), session.clone());
    tokio::spawn(async move {
        // Before that the library sends it nothing.
        let _ = timeout(WELCOME, session.is_welcome.wait()).await;
        let _ = session.client.queue.put(|| socket.emit("relay:closing", &json!({"reason": reason})));
        // An event that meets a closed namespace ends the connection at once; the reason goes first.
        tokio::time::sleep(GOODBYE).await;
        let _ = socket.disconnect();
    });
    true
}

/// Acknowledges an event.
pub async fn answer(hub: &Hub, session: &Arc<Session>, socket: &SocketRef, ack: AckSender, result: Result<Value, Refusal>) {
    let answer = match result {
        Ok(mut value) => {
            value["ok"] = true.into();
            value
        }
        Err(refusal) => {
            hub.metrics.refuse(refusal.error);
            json!({"ok": false, "error": refusal.error, "message": refusal.message})
        }
    };
    acknowledge(hub, session, socket, ack, &answer).await;
}

/// Sends an answer. A client whose queue has no room for it is disconnected: an answer comes, or the connection ends.
pub async fn acknowledge(hub: &Hub, session: &Arc<Session>, socket: &SocketRef, ack: AckSender, answer: &Value) {
    // A client that asks for no answer, or has gone, gets none.
    let sent = session.client.queue.put(|| ack.send(answer));
    if matches!(sent, Err(SendError::Socket(SocketError::InternalChannelFull))) && dismiss(hub, session, socket, "slow").await {
        hub.metrics.refuse("slow");
        session.pass.seat.cut_after(2 * GOODBYE);
    }
}

/// Disconnects the client when its token has expired.
pub async fn expire(hub: Arc<Hub>, socket: SocketRef, session: Arc<Session>) {
    // The library may take a socket for connected that has gone.
    while !session.presence.is_over() {
        let remaining = session.client.membership().access().remaining();
        match remaining {
            Some(remaining) if remaining.is_zero() => {
                dismiss(&hub, &session, &socket, "token_expired").await;
                return;
            }
            Some(remaining) => drop(timeout(remaining, session.changed.notified()).await),
            None => session.changed.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_counts_from_its_coming_to_its_going_in_whatever_order_they_are_told() {
        let clients = Gauge::default();
        let (one, early, never) = (Presence::default(), Presence::default(), Presence::default());
        one.enter(&clients);
        assert_eq!((clients.get(), one.is_over()), (1, false));
        early.leave(&clients);
        early.enter(&clients);
        never.leave(&clients);
        assert_eq!((clients.get(), early.is_over(), never.is_over()), (1, true, true));
        one.leave(&clients);
        one.leave(&clients);
        assert_eq!((clients.get(), one.is_over()), (0, true));
    }
}
