//! The routes, and what stands in front of them.

use crate::config::Auth;
use crate::guard::address::{ClientIp, client_ip, is_from_unknown_proxy};
use crate::guard::origin::Origins;
use crate::http::access::Shared;
use crate::http::headers::with_headers;
use crate::http::reply::{later, refuse};
use crate::http::{events, matches, page, status};
use crate::serve::{HeadTooLong, MAX_HEAD};
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::routing::get;
use std::net::{IpAddr, SocketAddr};
use std::sync::Once;
use std::time::Duration;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// How long a browser remembers the answer to a preflight. Chromium caps it at two hours.
const PREFLIGHT: Duration = Duration::from_secs(7_200);

/// The seq after which an event stream goes on (WHATWG HTML, server-sent events).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The part of a request that a poll of Socket.IO counts as.
const POLL: f64 = 0.02;

/// The routes.
pub fn router(shared: Shared) -> Router {
    let config = &shared.hub.config;
    let page = page::page(config.map_dir.as_deref());
    let answers = Router::new()
        .route("/matches", get(matches::list))
        .route("/matches/{id}/events", get(events::events))
        .route("/matches/{id}/{what}", get(matches::answer))
        .layer(from_fn_with_state(shared.checker.is_on(), with_headers));
    // Where everybody else needs a token, how the relay is doing is for its operator alone.
    let is_open = config.admin.is_none() && config.auth != Auth::Required;
    let answers = if is_open { answers.merge(figures()) } else { answers };
    answers.merge(probes()).with_state(shared).merge(page).layer(CompressionLayer::new())
}

/// The routes of the operator's own address.
pub fn admin(shared: Shared) -> Router {
    figures().merge(probes()).with_state(shared)
}

fn figures() -> Router<Shared> {
    Router::new().route("/cache", get(status::cache)).route("/metrics", get(status::metrics))
}

fn probes() -> Router<Shared> {
    Router::new().route("/health", get(async || "ok\n")).route("/ready", get(status::ready))
}

/// In front of everything, Socket.IO too: finds the client's address, and refuses pages of other origins.
pub fn guarded(app: Router, shared: &Shared, origins: Origins) -> Router {
    let any = origins.list().map_or_else(|| AllowOrigin::from(Any), AllowOrigin::list);
    let cors = CorsLayer::new()
        .allow_origin(any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_NONE_MATCH, LAST_EVENT_ID])
        .expose_headers([header::ETAG])
        .max_age(PREFLIGHT);
    let (hub, requests) = (shared.hub.clone(), shared.requests.clone());
    let guard = from_fn(move |peer: ConnectInfo<SocketAddr>, mut request: Request, next: Next| {
        let (hub, requests, is_allowed) = (hub.clone(), requests.clone(), origins.allow(request.headers()));
        async move {
            if !is_allowed {
                hub.metrics.refuse("origin");
                tracing::info!(path = request.uri().path(), reason = "origin", "request refused");
                return refuse(StatusCode::FORBIDDEN, "origin", "this page may not connect here");
            }
            if is_from_unknown_proxy(peer.0.ip(), request.headers(), &hub.config.trusted_proxies) {
                warn_once(peer.0.ip());
            }
            if request.extensions().get::<HeadTooLong>().is_some() {
                let message = format!("the head of a request may have {MAX_HEAD} bytes");
                return refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "invalid", &message);
            }
            let ip = client_ip(peer.0.ip(), request.headers(), &hub.config.trusted_proxies);
            // A poll of a session that is known costs little, and many clients may share an address.
            let cost = if request.uri().query().is_some_and(|query| query.contains("sid=")) { POLL } else { 1.0 };
            if let Err(wait) = requests.spend(ip, cost) {
                hub.metrics.refuse("too_many_requests");
                return later(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "too many requests from your address", wait);
            }
            request.extensions_mut().insert(ClientIp(ip));
            next.run(request).await
        }
    });
    app.layer(cors).layer(guard)
}

/// Says once that a proxy is not declared: its clients share one address, and so one address's limits.
fn warn_once(proxy: IpAddr) {
    static SAID: Once = Once::new();
    SAID.call_once(|| {
        tracing::warn!(%proxy, "requests carry X-Forwarded-For from a proxy that TRUSTED_PROXIES does not name: its clients count as one address");
    });
}
