//! In front of Socket.IO: which requests its library gets to see, and with which seat.

use crate::connection::Transport;
use crate::guard::address::ClientIp;
use crate::guard::admission::Admission;
use crate::guard::rates::Rates;
use crate::http::access::Shared;
use crate::http::reply::{later, refuse};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use std::time::Duration;

/// The path of Engine.IO.
const PATH: &str = "/socket.io";

/// How long a client that found no seat should wait.
const FULL: Duration = Duration::from_secs(5);

/// Lets a request to Engine.IO through, or refuses it. Others pass.
pub async fn admit(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with(PATH) {
        return next.run(request).await;
    }
    let query = request.uri().query().unwrap_or_default();
    let has = |name: &str, value: Option<&str>| {
        query.split('&').any(|pair| pair.split_once('=').is_some_and(|(n, v)| n == name && value.is_none_or(|value| v == value)))
    };
    // The library answers 101 to a request without Upgrade, as some proxies pass it on. Then nobody falls back to polling.
    if has("transport", Some("websocket")) && !is_upgrade(request.version(), request.headers()) {
        let body = r#"{"code":3,"message":"Bad request"}"#;
        return (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    if !has("sid", None) {
        if *shared.stopped.borrow() {
            return later(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", "this relay is shutting down", FULL);
        }
        if shared.hub.is_too_stale() {
            return later(StatusCode::SERVICE_UNAVAILABLE, "stale", "this relay has lost its database", FULL);
        }
        let ip = request.extensions().get::<ClientIp>().map(|ip| ip.0);
        let transport = request.extensions().get::<Transport>().cloned();
        let (Some(ip), Some(transport)) = (ip, transport) else {
            return refuse(StatusCode::BAD_REQUEST, "invalid", "this request came over no connection");
        };
        let Some(seat) = shared.seats.admit(ip, transport) else {
            shared.hub.metrics.refuse("too_many_clients_from_your_address");
            return later(StatusCode::TOO_MANY_REQUESTS, "too_many_clients", "too many clients from your address", FULL);
        };
        let rates = Rates::new(&shared.hub.config);
        request.extensions_mut().insert(Arc::new(Admission { seat, rates }));
    }
    next.run(request).await
}

fn is_upgrade(version: Version, headers: &HeaderMap) -> bool {
    let names = |name, token: &str| {
        let lists = headers.get_all(name).iter().filter_map(|value: &axum::http::HeaderValue| value.to_str().ok());
        lists.flat_map(|list| list.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
    };
    version == Version::HTTP_11
        && names(header::UPGRADE, "websocket")
        && names(header::CONNECTION, "upgrade")
        && names(header::SEC_WEBSOCKET_VERSION, "13")
        && headers.contains_key(header::SEC_WEBSOCKET_KEY)
}
