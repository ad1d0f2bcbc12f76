//! How the relay is doing: /ready, /metrics, /cache.

use crate::http::access::Shared;
use crate::http::cache::{LISTS_TTL, STATS_TTL};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// `GET /cache`
pub async fn cache(State(shared): State<Shared>) -> Response {
    let (metrics, (entries, bytes)) = (&shared.hub.metrics, shared.cache.size().await);
    let hits = metrics.cache_hits.get();
    let misses = metrics.cache_misses.get();
    axum::Json(json!({
        "hits": hits, "misses": misses, "invalidations": metrics.cache_invalidations.get(),
        "entries": entries, "bytes": bytes, "database_reads": metrics.reads.get(),
        "followed": metrics.matches.get(),
        "ttl_seconds": {"stats": STATS_TTL.as_secs(), "lists": LISTS_TTL.as_secs()},
    }))
    .into_response()
}

/// `GET /ready`: the feed is followed, and nobody has asked for an end.
pub async fn ready(State(shared): State<Shared>) -> Response {
    let is_listening = shared.hub.metrics.listening.get() == 1;
    if is_listening && !*shared.stopped.borrow() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, if is_listening { "shutting down\n" } else { "not following the feed\n" }).into_response()
}

/// `GET /metrics`
pub async fn metrics(State(shared): State<Shared>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.hub.metrics.text()).into_response()
}
