//! HTTP for those who hold no socket: answers that change only when a fold changed them.

use crate::error::{Error, Result};
use crate::guard::limits::Seats;
use crate::guard::origin::{Origins, client_ip};
use crate::guard::token::{Access, Checker};
use crate::http::cache::{Answer, Found, LISTS_TTL, Question, STATS_TTL};
use crate::http::map;
use crate::http::question::{Ask, Kind};
use crate::http::stream;
use crate::live::hub::Hub;
use crate::ws::socket::{ClientIp, bearer};
use axum::Router;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};
use vote_agg_core::vote::name::parse_name;

/// What handlers share.
#[derive(Clone)]
pub struct Shared {
    pub hub: Arc<Hub>,
    pub checker: Arc<Checker>,
    pub seats: Arc<Seats>,
    pub stopped: watch::Receiver<bool>,
}

/// The routes.
pub fn router(shared: Shared) -> Router {
    let page = map::page(shared.hub.config.map_dir.as_deref());
    Router::new()
        .route("/matches", get(map::matches))
        .route("/matches/{id}/events", get(stream::events))
        .route("/matches/{id}/{what}", get(answer))
        .route("/cache", get(cache))
        .route("/health", get(async || "ok\n"))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(shared)
        .merge(page)
        .layer(CompressionLayer::new())
}

/// Puts in front of everything, Socket.IO too: the client's address is found, and pages of strangers are kept out.
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

/// An error as clients see it.
pub fn refuse(status: StatusCode, error: &str, message: &str) -> Response {
    (status, axum::Json(json!({"error": error, "message": message}))).into_response()
}

/// Checks the match's name and the right to see it.
///
/// # Errors
/// The answer for who may not.
pub fn admit(shared: &Shared, match_id: &str, headers: &HeaderMap, query: &BTreeMap<String, String>) -> Result<Access, Response> {
    if let Err(e) = parse_name("match", Some(match_id.as_bytes())) {
        return Err(refuse(StatusCode::BAD_REQUEST, "invalid", &e.to_string()));
    }
    let access = access(shared, headers, query)?;
    if access.covers(match_id) {
        Ok(access)
    } else {
        shared.hub.metrics.refuse("forbidden");
        Err(refuse(StatusCode::FORBIDDEN, "forbidden", "the token does not cover this match"))
    }
}

/// What the request's token allows.
///
/// # Errors
/// The answer for who has no valid one and needs it.
pub fn access(shared: &Shared, headers: &HeaderMap, query: &BTreeMap<String, String>) -> Result<Access, Response> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    shared.checker.check(header.or(query.get("token").map(String::as_str))).map_err(|reason| {
        shared.hub.metrics.refuse(reason);
        refuse(StatusCode::UNAUTHORIZED, reason, "a valid token is needed")
    })
}

async fn answer(
    State(shared): State<Shared>,
    Path((match_id, what)): Path<(String, String)>,
    Query(mut query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    let Some(kind) = Kind::parse(&what) else {
        return refuse(StatusCode::NOT_FOUND, "not_found", "stats, aggregates, countries, timeline, geojson and events are here");
    };
    if let Err(refused) = admit(&shared, &match_id, &headers, &query) {
        return refused;
    }
    query.remove("token");
    let ask = match Ask::parse(kind, &query) {
        Ok(ask) => ask,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, "invalid", &message),
    };
    match find(&shared.hub, &match_id, &ask).await {
        Ok(answer) => respond(&answer, &headers),
        Err(e) => failed(&shared.hub, &match_id, &e),
    }
}

async fn find(hub: &Hub, match_id: &str, ask: &Ask) -> Result<Arc<Answer>, Arc<Error>> {
    let question = Question { match_id: match_id.to_owned(), path: ask.to_string() };
    let follow = hub.followed(match_id).filter(|follow| follow.cursor().is_some());
    let current = match &follow {
        Some(follow) => ask.current(follow).await,
        None => None,
    };
    let make = async {
        if let Some(follow) = &follow
            && let Some(answer) = ask.recall(follow).await?
        {
            return Ok(answer);
        }
        hub.metrics.reads.inc();
        ask.read(&hub.database, match_id).await
    };
    let (answer, found) = hub.cache.get(question, ask.kind() == Kind::Stats, current, make).await?;
    match found {
        Found::Hit => hub.metrics.cache_hits.inc(),
        Found::Miss => hub.metrics.cache_misses.inc(),
        Found::Invalidated => {
            hub.metrics.cache_invalidations.inc();
            hub.metrics.cache_misses.inc()
        }
    };
    Ok(answer)
}

/// An answer of the cache, or word that the client has it already.
pub fn respond(answer: &Answer, headers: &HeaderMap) -> Response {
    // Weak: the body may be compressed on its way.
    let etag = answer.etag.as_ref().and_then(|etag| HeaderValue::from_str(&format!("W/\"{etag}\"")).ok());
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known: Vec<&str> = known.flat_map(|list| list.split(',')).map(|tag| tag.trim().trim_start_matches("W/")).collect();
    let is_known = answer.etag.as_ref().is_some_and(|etag| known.iter().any(|tag| tag.trim_matches('"') == etag));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/json")], answer.body.clone()).into_response()
    };
    if let Some(etag) = etag {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The answer for what could not be read.
pub fn failed(hub: &Hub, match_id: &str, error: &Error) -> Response {
    if let Error::Missing(_) = error {
        return refuse(StatusCode::NOT_IMPLEMENTED, error.code(), &error.to_string());
    }
    if let Some(refusal) = error.is_about_a_value() {
        return refuse(StatusCode::BAD_REQUEST, "invalid", refusal);
    }
    tracing::warn!(match_id, error = %error, "request failed");
    hub.metrics.refuse("unavailable");
    let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the match cannot be read at the moment");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

async fn cache(State(shared): State<Shared>) -> Response {
    let (metrics, (entries, bytes)) = (&shared.hub.metrics, shared.hub.cache.size().await);
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

/// Ready: the feed is followed, and nobody has asked for an end.
async fn ready(State(shared): State<Shared>) -> Response {
    let is_listening = shared.hub.metrics.listening.get() == 1;
    if is_listening && !*shared.stopped.borrow() {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, if is_listening { "shutting down\n" } else { "not following the feed\n" }).into_response()
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.hub.metrics.text()).into_response()
}
