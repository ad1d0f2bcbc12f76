//! How the relay is doing: /ready, /metrics, /cache.

use crate::http::access::Shared;
use crate::http::cache::{LISTS_TTL, STATS_TTL};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
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

/// `GET /ready`: the feed is followed, clients know that it is, and nobody has asked for an end.
pub async fn ready(State(shared): State<Shared>) -> Response {
    // Until clients have been told that a loss is over, a new one would still be told of the loss.
    let is_listening = shared.hub.metrics.listening.get() == 1 && shared.hub.staleness.told().is_none();
    if is_listening && !*shared.stopped.borrow() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, if is_listening { "shutting down\n" } else { "not following the feed\n" }).into_response()
}

/// `GET /metrics`, in OpenMetrics where that is asked for.
pub async fn metrics(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let (kind, text) = shared.hub.metrics.text(wants_open_metrics(&headers));
    ([(header::CONTENT_TYPE, kind), (header::VARY, "accept")], text).into_response()
}

/// Whether OpenMetrics is taken, and nothing of Prometheus' own format is liked better.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let items: Vec<_> = lists.flat_map(|list| list.split(',')).collect();
    let weight = |wanted: &str| {
        let of_kind = items.iter().filter_map(|item| {
            let mut parts = item.split(';').map(str::trim);
            parts.next().filter(|kind| kind.eq_ignore_ascii_case(wanted))?;
            Some(parts.find_map(|part| part.strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0))
        });
        of_kind.fold(0.0, f32::max)
    };
    let open = weight("application/openmetrics-text");
    open > 0.0 && open >= weight("text/plain")
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn the_format_is_the_reader_s_choice() {
        let wants = |accept: &str| {
            let value = HeaderValue::from_str(accept).expect("value");
            wants_open_metrics(&[(header::ACCEPT, value)].into_iter().collect())
        };
        assert!(wants("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"));
        assert!(wants("Application/OpenMetrics-Text"));
        for other in [
            "text/plain;version=0.0.4",
            "*/*",
            "",
            "application/openmetrics-text;q=0",
            "text/plain, application/openmetrics-text; q=0.9",
        ] {
            assert!(!wants(other), "{other}");
        }
    }
}
