//! One client: what it may do, how often, and until when.

use crate::guard::admission::Admission;
use crate::guard::token::Access;
use crate::live::client::Client;
use crate::live::hub::Hub;
use crate::live::member::close;
use crate::live::queue::Queue;
use serde::Serialize;
use serde_json::{Value, json};
use socketioxide::extract::{AckSender, SocketRef};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    pub admission: Arc<Admission>,
    /// It is being disconnected: its events are ignored.
    pub is_closing: AtomicBool,
    /// Until then the library sends it nothing, although it has been told that it is connected and may speak.
    pub is_welcome: SetOnce<()>,
    /// Rings when the token was renewed, or the client has gone.
    pub changed: Notify,
}

impl Session {
    /// A client that has just come.
    #[must_use]
    pub fn new(hub: &Hub, access: Access, admission: Arc<Admission>, ip: IpAddr) -> Self {
        let config = &hub.config;
        let queue = Queue::new(config.client_buffer.into(), ip, hub.unread.clone());
        Self {
            client: Arc::new(Client::new(access, config.max_rooms, ip, queue)),
            admission,
            is_closing: AtomicBool::new(false),
            is_welcome: SetOnce::new(),
            changed: Notify::new(),
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
pub async fn is_allowed(hub: &Hub, session: &Session, socket: &SocketRef) -> bool {
    let is_welcome = timeout(WELCOME, session.is_welcome.wait()).await.is_ok();
    if !is_welcome || session.is_closing.load(Ordering::Relaxed) {
        return false;
    }
    session.client.queue.spend(); // on the answer
    let is_allowed = session.admission.rates.allow_event();
    if !is_allowed && !session.is_closing.swap(true, Ordering::Relaxed) {
        hub.metrics.refuse("too_many_events");
        tracing::info!(sid = %socket.id, "client disconnected: too many events");
        let _ = socket.emit("relay:closing", &json!({"reason": "too_many_events"}));
        let socket = socket.clone();
        tokio::spawn(async move {
            // An event that meets a closed namespace ends the connection at once; the reason goes first.
            tokio::time::sleep(GOODBYE).await;
            let _ = socket.disconnect();
        });
    }
    is_allowed
}

/// Acknowledges an event.
pub fn answer(hub: &Hub, ack: AckSender, result: Result<Value, Refusal>) {
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
    // A client that asks for no answer, or has gone, gets none.
    let _ = ack.send(&answer);
}

/// Disconnects the client when its token has expired.
pub async fn expire(socket: SocketRef, session: Arc<Session>) {
    while socket.connected() {
        let remaining = session.client.membership().access().remaining();
        match remaining {
            Some(remaining) if remaining.is_zero() => {
                tracing::info!(sid = %socket.id, "client disconnected: its token has expired");
                close(&socket, "token_expired");
                return;
            }
            Some(remaining) => drop(timeout(remaining, session.changed.notified()).await),
            None => session.changed.notified().await,
        }
    }
}
