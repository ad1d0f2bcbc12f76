//! The routes.

use crate::config::Auth;
use crate::http::access::Shared;
use crate::http::headers::with_headers;
use crate::http::reply::refuse;
use crate::http::{clients, events, matches, page, status};
use axum::Router;
use axum::http::{Method, StatusCode};
use axum::middleware::map_response_with_state;
use axum::response::Response;
use axum::routing::{delete, get};
use tower_http::compression::CompressionLayer;

/// The routes; `more` are those of other rooms.
pub fn router(shared: Shared, more: Router<Shared>) -> Router {
    let config = &shared.hub.config;
    let page = page::page(config);
    let answers = Router::new()
        .route("/matches", get(matches::list))
        .route("/matches/{id}/events", get(events::events))
        .route("/matches/{id}/{what}", get(matches::answer));
    let answers = answers
        .merge(more)
        .method_not_allowed_fallback(wrong_method)
        .layer(map_response_with_state(shared.checker.is_on(), with_headers));
    // Where everybody else needs a token, how the relay is doing is for its operator alone.
    let is_open = config.admin.is_none() && config.auth != Auth::Required;
    let rest = if is_open { probes().merge(figures()) } else { probes() }.method_not_allowed_fallback(wrong_method);
    // Answers about matches are compressed once and kept; this layer would do it anew each time.
    let rest = rest.with_state(shared.clone()).merge(page).layer(CompressionLayer::new());
    answers.with_state(shared).merge(rest)
}

/// The routes of the operator's own address.
pub fn admin(shared: Shared) -> Router {
    let clients = Router::new().route("/clients", delete(clients::kick));
    figures().merge(probes()).merge(clients).method_not_allowed_fallback(wrong_method).with_state(shared)
}

fn figures() -> Router<Shared> {
    Router::new().route("/cache", get(status::cache)).route("/metrics", get(status::metrics))
}

fn probes() -> Router<Shared> {
    Router::new().route("/health", get(async || "ok\n")).route("/ready", get(status::ready))
}

async fn wrong_method(method: Method) -> Response {
    refuse(StatusCode::METHOD_NOT_ALLOWED, "method", &format!("{method} means nothing here; the header Allow names what does"))
}
