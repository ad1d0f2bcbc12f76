//! The routes, and what stands in front of them.

use crate::guard::address::{ClientIp, client_ip};
use crate::guard::origin::Origins;
use crate::http::access::Shared;
use crate::http::reply::refuse;
use crate::http::{events, matches, page, status};
use crate::live::hub::Hub;
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// The routes.
pub fn router(shared: Shared) -> Router {
    let page = page::page(shared.hub.config.map_dir.as_deref());
    Router::new()
        .route("/matches", get(matches::list))
        .route("/matches/{id}/events", get(events::events))
        .route("/matches/{id}/{what}", get(matches::answer))
        .route("/cache", get(status::cache))
        .route("/health", get(async || "ok\n"))
        .route("/ready", get(status::ready))
        .route("/metrics", get(status::metrics))
        .with_state(shared)
        .merge(page)
        .layer(CompressionLayer::new())
}

/// In front of everything, Socket.IO too: finds the client's address, and refuses pages of other origins.
pub fn guarded(app: Router, hub: &Arc<Hub>, origins: Origins) -> Router {
    let any = origins.list().map_or_else(|| AllowOrigin::from(Any), AllowOrigin::list);
    let cors = CorsLayer::new()
        .allow_origin(any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_NONE_MATCH])
        .expose_headers([header::ETAG]);
    let hub = hub.clone();
    let guard = from_fn(move |peer: ConnectInfo<SocketAddr>, mut request: Request, next: Next| {
        let (hub, is_allowed) = (hub.clone(), origins.allow(request.headers()));
        async move {
            if !is_allowed {
                hub.metrics.refuse("origin");
                tracing::info!(path = request.uri().path(), reason = "origin", "request refused");
                return refuse(StatusCode::FORBIDDEN, "origin", "this page may not connect here");
            }
            let ip = client_ip(peer.0.ip(), request.headers(), &hub.config.trusted_proxies);
            request.extensions_mut().insert(ClientIp(ip));
            next.run(request).await
        }
    });
    app.layer(cors).layer(guard)
}
