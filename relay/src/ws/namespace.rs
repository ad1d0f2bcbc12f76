//! The namespace: clients come in, speak, and go.

use crate::guard::address::ClientIp;
use crate::guard::pass::Pass;
use crate::guard::seats::Seat;
use crate::guard::token::{Checker, bearer};
use crate::live::hub::Hub;
use crate::live::member::NAMESPACE;
use crate::ws::commands::{begin_join, begin_leave, join, leave, renew};
use crate::ws::session::{GOODBYE, Refusal, Session, answer, dismiss, expire, is_allowed};
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Extension, HttpExtension, SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Opens the namespace. `more` hears further events of a client.
pub fn open(
    io: &SocketIo,
    hub: &Arc<Hub>,
    checker: &Arc<Checker>,
    more: impl Fn(&SocketRef, &Arc<Session>) + Clone + Send + Sync + 'static,
) {
    let admit = {
        let (hub, checker) = (hub.clone(), checker.clone());
        move |socket: SocketRef,
              TryData(auth): TryData<Value>,
              HttpExtension(ip): HttpExtension<ClientIp>,
              HttpExtension(pass): HttpExtension<Arc<Pass>>| {
            let admitted = admit(&hub, &checker, &socket, auth.ok().as_ref(), (ip.0, pass));
            // Before the client is told that it is connected: from then on it may speak.
            let admitted = admitted.map(|session| {
                listen(&hub, &checker, &socket, &session);
                more(&socket, &session);
            });
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
    socket: &SocketRef,
    auth: Option<&Value>,
    (ip, pass): (IpAddr, Arc<Pass>),
) -> Result<Arc<Session>, Refusal> {
    let refuse = |error: &'static str| {
        hub.metrics.refuse(error);
        tracing::info!(sid = %socket.id, reason = error, "client refused");
        Refusal::new(error, "")
    };
    let header = socket.req_parts().headers.get(axum::http::header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = auth.and_then(|auth| auth.get("token")).and_then(Value::as_str);
    let access = checker.check(token.or_else(|| header.and_then(bearer))).map_err(refuse)?;
    let seat = &pass.seat;
    if let Some(refusal) = seat.refusal {
        seat.cut_after(GOODBYE);
        return Err(refuse(refusal));
    }
    if !seat.take() {
        return Err(refuse("too_many_clients_from_your_address"));
    }
    let session = Arc::new(Session::new(hub, access, pass, ip));
    socket.extensions.insert(session.clone());
    Ok(session)
}

fn welcome(hub: &Arc<Hub>, checker: &Checker, socket: &SocketRef, session: &Arc<Session>) {
    session.presence.enter(&hub.metrics.clients);
    tracing::info!(sid = %socket.id, transport = ?socket.transport_type(), "client connected");
    if checker.is_on() {
        tokio::spawn(expire(hub.clone(), socket.clone(), session.clone()));
    }
    session.client.queue.spend();
    let _ = socket.emit("relay:welcome", &welcome_message(hub));
    if let Some(since) = hub.staleness.told() {
        session.client.queue.spend();
        let _ = socket.emit("relay:stale", &json!({"since": since}));
    }
    // Called once for each client.
    let _ = session.is_welcome.set(());
}

fn listen(hub: &Arc<Hub>, checker: &Arc<Checker>, socket: &SocketRef, session: &Arc<Session>) {
    socket.on("match:join", {
        let (hub, session) = (hub.clone(), session.clone());
        move |socket: SocketRef, TryData(data): TryData<Value>, ack: AckSender| {
            let (hub, session) = (hub.clone(), session.clone());
            let begun = begin_join(&session, data.ok());
            async move {
                if is_allowed(&hub, &session, &socket).await {
                    let joined = join(&hub, &session, &socket, begun).await;
                    answer(&hub, &session, &socket, ack, joined).await;
                }
                session.client.membership().end_join();
            }
        }
    });
    socket.on("match:leave", {
        let (hub, session) = (hub.clone(), session.clone());
        move |socket: SocketRef, TryData(data): TryData<Value>, ack: AckSender| {
            let (hub, session) = (hub.clone(), session.clone());
            let match_id = begin_leave(&session, data.ok());
            async move {
                if is_allowed(&hub, &session, &socket).await {
                    let left = leave(&hub, &socket, match_id).await;
                    answer(&hub, &session, &socket, ack, left).await;
                }
            }
        }
    });
    socket.on("auth", {
        let (hub, session, checker) = (hub.clone(), session.clone(), checker.clone());
        async move |socket: SocketRef, TryData(data): TryData<Value>, ack: AckSender| {
            if is_allowed(&hub, &session, &socket).await {
                let renewed = renew(&hub, &checker, &session, &socket, data.ok()).await;
                answer(&hub, &session, &socket, ack, renewed).await;
            }
        }
    });
    socket.on_fallback({
        let (hub, session) = (hub.clone(), session.clone());
        async move |socket: SocketRef, ack: AckSender| {
            if is_allowed(&hub, &session, &socket).await {
                let events = "the events are match:join, match:leave and auth, and vote where votes are taken";
                answer(&hub, &session, &socket, ack, Err(Refusal::new("unknown_event", events))).await;
            }
        }
    });
    socket.on_disconnect({
        let (hub, session) = (hub.clone(), session.clone());
        async move |socket: SocketRef, reason: socketioxide::socket::DisconnectReason| {
            session.presence.leave(&hub.metrics.clients);
            for match_id in session.end() {
                hub.leave(socket.id, &match_id).await;
            }
            retire(&hub, &session.pass.seat);
            tracing::info!(sid = %socket.id, ?reason, "client disconnected");
        }
    });
}

/// A connection has left the namespace: it has as long to come back as a new one has to come.
fn retire(hub: &Hub, seat: &Arc<Seat>) {
    seat.leave();
    let (seat, patience) = (Arc::downgrade(seat), hub.config.handshake_timeout);
    tokio::spawn(async move {
        tokio::time::sleep(patience).await;
        if let Some(seat) = seat.upgrade().filter(|seat| seat.is_idle()) {
            seat.cut();
        }
    });
}

/// What a client is told when it comes, and again when it matters: how long to spread its return, and who may vote here.
fn welcome_message(hub: &Hub) -> Value {
    let mut message = json!({"window": u64::try_from(hub.window().as_millis()).unwrap_or(u64::MAX)});
    if let Some(voters) = hub.config.voters() {
        message["votes"] = voters.into();
    }
    message
}

/// Disconnects the clients whose token is about this subject; how many. After that they are sent nothing any more.
pub async fn kick(hub: &Hub, subject: &str) -> usize {
    let mut kicked = 0;
    for socket in hub.sockets() {
        let Some(session) = socket.extensions.get::<Arc<Session>>() else { continue };
        let is_theirs = session.client.membership().access().subject() == Some(subject);
        if is_theirs && dismiss(hub, &session, &socket, "kicked").await {
            session.pass.seat.cut_after(2 * GOODBYE);
            kicked += 1;
        }
    }
    kicked
}

/// Called again and again: tells all clients what has changed about the relay itself.
pub async fn tell(io: &SocketIo, hub: &Hub, told: &mut Duration) {
    if hub.staleness.look()
        && let Some(namespace) = io.of(NAMESPACE)
    {
        let since = hub.staleness.told();
        tracing::info!(since, "clients are told since when the database is away");
        // A client whose queue is full gets a snapshot later.
        let _ = namespace.emit("relay:stale", &json!({"since": since})).await;
    }
    if hub.window() > *told * 3 / 2
        && let Some(namespace) = io.of(NAMESPACE)
    {
        *told = hub.window();
        let _ = namespace.emit("relay:welcome", &welcome_message(hub)).await;
    }
}

/// Sends all clients to another relay, one after the other over so much time.
pub async fn send_elsewhere(hub: &Hub, reason: &'static str, time: Duration) {
    let sockets = hub.sockets();
    let farewell = json!({"reason": reason, "window": welcome_message(hub)["window"]});
    let (began, count) = (Instant::now(), u32::try_from(sockets.len()).unwrap_or(u32::MAX));
    for (number, socket) in (0u32..).zip(sockets) {
        tokio::time::sleep_until((began + time * number / count.max(1)).into()).await;
        let _ = socket.emit("relay:closing", &farewell);
        if let Some(session) = socket.extensions.get::<Arc<Session>>() {
            // One that polls has the farewell with the answer that it waits for. Its next request would wait for the relay's end.
            session.pass.seat.refuse();
            session.pass.seat.cut_after(GOODBYE);
        }
    }
}
