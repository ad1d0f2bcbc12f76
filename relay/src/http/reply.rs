//! Answers and refusals as clients see them.

use crate::error::Error;
use crate::http::cache::Answer;
use crate::live::hub::Hub;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error as clients see it.
pub fn refuse(status: StatusCode, error: &str, message: &str) -> Response {
    (status, axum::Json(json!({"error": error, "message": message}))).into_response()
}

/// An answer of the cache, or 304 where the client has it already.
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

/// The refusal for a match that could not be read.
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
