//! The namespace: clients come in, speak, and go.

use crate::guard::address::ClientIp;
use crate::guard::limits::Seats;
use crate::guard::token::{Checker, bearer};
use crate::live::hub::Hub;
use crate::live::member::NAMESPACE;
use crate::ws::commands::{begin_join, begin_leave, join, leave, renew};
use crate::ws::session::{Refusal, Session, answer, expire, is_allowed};
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Extension, HttpExtension, SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use std::net::IpAddr;
use std::sync::Arc;

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
    let seat = seats.admit(ip).map_err(refuse)?;
    let session = Arc::new(Session::new(&hub.config, access, seat));
    socket.extensions.insert(session.clone());
    Ok(session)
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
        move |socket: SocketRef, TryData(data): TryData<Value>, ack: AckSender| {
            let (hub, session) = (hub.clone(), session.clone());
            let begun = begin_join(&session, data.ok());
            async move {
                if is_allowed(&hub, &session, &socket).await {
                    answer(&hub, ack, join(&hub, &session, &socket, begun).await);
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
                    answer(&hub, ack, leave(&hub, &socket, match_id).await);
                }
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
            for match_id in session.end() {
                hub.leave(socket.id, &match_id).await;
            }
            hub.metrics.clients.dec();
            tracing::info!(sid = %socket.id, ?reason, "client disconnected");
        }
    });
}
