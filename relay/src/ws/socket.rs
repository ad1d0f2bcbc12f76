//! What Socket.IO clients say, and what they are answered.

use crate::guard::limits::{Rates, Seat, Seats};
use crate::guard::token::{Access, Checker};
use crate::live::capacity::Queue;
use crate::live::hub::Hub;
use crate::live::room::NAMESPACE;
use crate::live::wish::{Wish, match_of};
use serde::Serialize;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Extension, HttpExtension, SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, SetOnce};
use tokio::time::timeout;

/// How long a client that floods has to read why it is disconnected.
const GOODBYE: Duration = Duration::from_millis(250);

/// Between the answer that a client is connected and `welcome` is no more than a step of the library, unless the client has gone.
const WELCOME: Duration = Duration::from_secs(5);

/// The client's address, put into the request by the HTTP side.
#[derive(Clone, Copy, Debug)]
pub struct ClientIp(pub IpAddr);

/// One client.
pub struct Session {
    rates: Rates,
    what: Mutex<What>,
    /// It is on its way out: what it still says is not heard.
    is_closing: AtomicBool,
    /// Until then the library sends it nothing, although it has been told that it is connected and may speak.
    is_welcome: SetOnce<()>,
    /// Rings when the token was renewed, or the client has gone.
    changed: Notify,
}

struct What {
    access: Access,
    matches: BTreeSet<String>,
    seat: Option<Seat>,
}

impl Session {
    fn what(&self) -> MutexGuard<'_, What> {
        self.what.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why something is refused: a word for programs and a sentence for people.
#[derive(Debug, Serialize)]
pub struct Refusal {
    error: &'static str,
    message: String,
}

impl Refusal {
    fn new(error: &'static str, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.error)
    }
}

/// Opens the namespace.
pub fn open(io: &SocketIo, hub: &Arc<Hub>, checker: &Arc<Checker>, seats: &Arc<Seats>) {
    let admit = {
        let (hub, checker, seats) = (hub.clone(), checker.clone(), seats.clone());
        move |socket: SocketRef, TryData(auth): TryData<Value>, HttpExtension(ip): HttpExtension<ClientIp>| {
            let admitted = admit(&hub, &checker, &seats, &socket, auth.ok().as_ref(), ip.0);
            // Before the client is told that it is connected: from then on it may speak.
            let admitted = admitted.map(|session| listen(&hub, &checker, &socket, &session));
            async move { admitted }
        }
    };
    let welcome = {
        let (hub, checker) = (hub.clone(), checker.clone());
        move |socket: SocketRef, Extension(session): Extension<Arc<Session>>| {
            welcome(&hub, &checker, &socket, &session);
            async {}
        }
    };
    io.ns(NAMESPACE, welcome.with(admit));
}

fn admit(
    hub: &Arc<Hub>,
    checker: &Checker,
    seats: &Arc<Seats>,
    socket: &SocketRef,
    auth: Option<&Value>,
    ip: IpAddr,
) -> Result<Arc<Session>, Refusal> {
    let refuse = |error: &'static str| {
        hub.metrics.refuse(error);
        tracing::info!(sid = %socket.id, reason = error, "client refused");
        Refusal::new(error, "")
    };
    let header = socket.req_parts().headers.get(axum::http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = auth.and_then(|auth| auth.get("token")).and_then(Value::as_str);
    let access = checker.check(token.or_else(|| header.and_then(bearer))).map_err(refuse)?;
    let seat = seats.take(ip).map_err(refuse)?;
    let what = What { access, matches: BTreeSet::new(), seat: Some(seat) };
    let session = Arc::new(Session {
        rates: Rates::new(&hub.config),
        what: Mutex::new(what),
        is_closing: AtomicBool::new(false),
        is_welcome: SetOnce::new(),
        changed: Notify::new(),
    });
    socket.extensions.insert(session.clone());
    socket.extensions.insert(Arc::<Queue>::default());
    Ok(session)
}

/// The token of an Authorization header.
#[must_use]
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn welcome(hub: &Hub, checker: &Checker, socket: &SocketRef, session: &Arc<Session>) {
    hub.metrics.clients.inc();
    tracing::info!(sid = %socket.id, transport = ?socket.transport_type(), "client connected");
    if checker.is_on() {
        tokio::spawn(expire(socket.clone(), session.clone()));
    }
    // Called once for each client.
    let _ = session.is_welcome.set(());
}

fn listen(hub: &Arc<Hub>, checker: &Arc<Checker>, socket: &SocketRef, session: &Arc<Session>) {
    socket.on("match:join", {
        let (hub, session) = (hub.clone(), session.clone());
        async move |socket: SocketRef, TryData(data): TryData<Value>, ack: AckSender| {
            if is_allowed(&hub, &session, &socket).await {
                answer(&hub, ack, join(&hub, &session, &socket, data.ok()).await);
            }
        }
    });
    socket.on("match:leave", {
        let (hub, session) = (hub.clone(), session.clone());
        async move |socket: SocketRef, TryData(data): TryData<Value>, ack: AckSender| {
            if is_allowed(&hub, &session, &socket).await {
                answer(&hub, ack, leave(&hub, &session, &socket, data.ok()).await);
            }
        }
    });
    socket.on("auth", {
        let (hub, session, checker) = (hub.clone(), session.clone(), checker.clone());
        async move |socket: SocketRef, TryData(data): TryData<Value>, ack: AckSender| {
            if is_allowed(&hub, &session, &socket).await {
                answer(&hub, ack, renew(&hub, &checker, &session, &socket, data.ok()).await);
            }
        }
    });
    socket.on_fallback({
        let (hub, session) = (hub.clone(), session.clone());
        async move |socket: SocketRef, ack: AckSender| {
            if is_allowed(&hub, &session, &socket).await {
                let events = "the events are match:join, match:leave and auth";
                answer(&hub, ack, Err(Refusal::new("unknown_event", events)));
            }
        }
    });
    socket.on_disconnect({
        let (hub, session) = (hub.clone(), session.clone());
        async move |socket: SocketRef, reason: socketioxide::socket::DisconnectReason| {
            let matches = {
                let mut what = session.what();
                what.seat = None;
                std::mem::take(&mut what.matches)
            };
            for match_id in matches {
                hub.leave(socket.id, &match_id).await;
            }
            session.changed.notify_one();
            hub.metrics.clients.dec();
            tracing::info!(sid = %socket.id, ?reason, "client disconnected");
        }
    });
}

async fn is_allowed(hub: &Hub, session: &Session, socket: &SocketRef) -> bool {
    let is_welcome = timeout(WELCOME, session.is_welcome.wait()).await.is_ok();
    if !is_welcome || session.is_closing.load(Ordering::Relaxed) {
        return false;
    }
    Queue::of(socket).spend(); // on the answer
    let is_allowed = session.rates.allow_event();
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

fn answer(hub: &Hub, ack: AckSender, result: Result<Value, Refusal>) {
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
    // Who does not ask for an answer, or is gone, gets none.
    let _ = ack.send(&answer);
}

/// Tells a client why it is disconnected, and does it.
pub fn close(socket: &SocketRef, reason: &'static str) {
    let _ = socket.emit("relay:closing", &json!({"reason": reason}));
    if socket.clone().disconnect().is_err() {
        tracing::debug!(sid = %socket.id, "no room to say goodbye: the heartbeat will end it");
    }
}

async fn expire(socket: SocketRef, session: Arc<Session>) {
    while socket.connected() {
        let remaining = session.what().access.remaining();
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

/// What is wrong with what the client sent.
fn invalid(message: String) -> Refusal {
    Refusal::new("invalid", message)
}

async fn join(hub: &Hub, session: &Session, socket: &SocketRef, data: Option<Value>) -> Result<Value, Refusal> {
    let data = data.unwrap_or_default();
    let (match_id, wish) = (match_of(&data).map_err(invalid)?, Wish::of(&data).map_err(invalid)?);
    if !session.rates.allow_join() {
        return Err(Refusal::new("too_many_joins", format!("at most {} joins a second", hub.config.max_joins)));
    }
    {
        let mut what = session.what();
        if !what.access.covers(&match_id) {
            return Err(Refusal::new("forbidden", "the token does not cover this match"));
        }
        if !what.matches.contains(&match_id) && what.matches.len() >= hub.config.max_rooms {
            return Err(Refusal::new("too_many_rooms", format!("at most {} matches at the same time", hub.config.max_rooms)));
        }
        what.matches.insert(match_id.clone());
    }
    let resolution = wish.resolution.map(u8::from);
    let joined = hub.join(socket, &match_id, wish).await.map_err(|e| {
        session.what().matches.remove(&match_id);
        Refusal::new(e.code(), "the match cannot be read at the moment: try again")
    })?;
    // A token renewed meanwhile may not cover the match any more.
    if !session.what().matches.contains(&match_id) {
        hub.leave(socket.id, &match_id).await;
    }
    tracing::info!(sid = %socket.id, match_id, resolution, seq = joined.seq, resumed = joined.is_resumed, "joined");
    Ok(json!({"matchId": match_id, "seq": joined.seq, "epoch": joined.epoch, "resumed": joined.is_resumed}))
}

async fn leave(hub: &Hub, session: &Session, socket: &SocketRef, data: Option<Value>) -> Result<Value, Refusal> {
    let match_id = match_of(&data.unwrap_or_default()).map_err(invalid)?;
    session.what().matches.remove(&match_id);
    let left = hub.leave(socket.id, &match_id).await;
    tracing::info!(sid = %socket.id, match_id, left, "left");
    Ok(json!({"matchId": match_id, "left": left}))
}

/// A fresh token in place of the old one; matches that it does not cover are left. A bad one changes nothing.
async fn renew(
    hub: &Hub,
    checker: &Checker,
    session: &Session,
    socket: &SocketRef,
    data: Option<Value>,
) -> Result<Value, Refusal> {
    let data = data.unwrap_or_default();
    let token = data.as_str().or_else(|| data.get("token").and_then(Value::as_str));
    let Some(token) = token else { return Err(Refusal::new("token_missing", "pass {token}")) };
    let access =
        checker.check(Some(token)).map_err(|reason| Refusal::new(reason, "the token is refused; the old one counts on"))?;
    let lost: Vec<String> = {
        let mut what = session.what();
        let (kept, lost) = std::mem::take(&mut what.matches).into_iter().partition(|match_id| access.covers(match_id));
        (what.matches, what.access) = (kept, access);
        Vec::from_iter::<BTreeSet<String>>(lost)
    };
    session.changed.notify_one();
    for match_id in &lost {
        hub.leave(socket.id, match_id).await;
    }
    tracing::info!(sid = %socket.id, left = lost.len(), "token renewed");
    Ok(json!({"left": lost}))
}
