//! Ending the connections of one subject, for the operator.

use crate::http::access::{Query, Shared};
use crate::http::query::expect_keys;
use crate::http::reply::invalid;
use crate::ws::namespace;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// `DELETE /clients?sub=…`: ends every socket and event stream whose token is about this subject.
pub async fn kick(State(shared): State<Shared>, Query(query): Query) -> Response {
    if let Err(message) = expect_keys(&query, &["sub"]) {
        return invalid(&message);
    }
    let Some(subject) = query.get("sub") else { return invalid("pass sub, the subject of the tokens whose clients are to go") };
    if !shared.checker.is_on() {
        return invalid("clients have no subjects here: --auth is off");
    }
    let streams = shared.streams.kick(subject);
    let sockets = namespace::kick(&shared.hub, subject).await;
    shared.hub.metrics.kicked.inc_by((sockets + streams) as u64);
    tracing::info!(sockets, streams, "the clients of a subject were kicked");
    axum::Json(json!({"sockets": sockets, "streams": streams})).into_response()
}
