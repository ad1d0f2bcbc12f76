//! Answers and refusals as clients see them.

use crate::error::Error;
use crate::http::body::{Answer, Encoding};
use crate::live::hub::Hub;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::time::Duration;

/// An error as clients see it.
pub fn refuse(status: StatusCode, error: &str, message: &str) -> Response {
    (status, axum::Json(json!({"error": error, "message": message}))).into_response()
}

/// The refusal of a request that makes no sense, which the message says.
pub fn invalid(message: &str) -> Response {
    refuse(StatusCode::BAD_REQUEST, "invalid", message)
}

/// The refusal of a path whose match has a name that is no text.
pub fn unreadable_path() -> Response {
    invalid("the name of the match is not UTF-8")
}

/// A refusal that need not last.
pub fn later(status: StatusCode, error: &str, message: &str, wait: Duration) -> Response {
    let mut response = refuse(status, error, message);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().saturating_add(1)));
    response
}

/// Whether the client has this answer already. Our tags hold no comma and no quote, so a split finds them; the typed headers of
/// axum-extra would be another dependency for these lines.
#[must_use]
pub fn is_known(answer: &Answer, headers: &HeaderMap) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = known.flat_map(|list| list.split(',')).map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"'));
    answer.etag.as_ref().is_some_and(|etag| known.any(|tag| tag == etag))
}

/// An answer, or 304 where the client has it already.
pub fn respond(answer: &Answer, encoded: Option<(Encoding, Bytes)>, headers: &HeaderMap) -> Response {
    let mut response = if is_known(answer, headers) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let json = [(header::CONTENT_TYPE, "application/json")];
        match encoded {
            Some((encoding, body)) => (json, [(header::CONTENT_ENCODING, encoding.header())], body).into_response(),
            None => (json, answer.body.clone()).into_response(),
        }
    };
    let headers = response.headers_mut();
    // Weak: the body may be compressed on its way.
    if let Some(etag) = answer.etag.as_ref().and_then(|etag| HeaderValue::from_str(&format!("W/\"{etag}\"")).ok()) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

/// The refusal for a match that could not be read.
pub fn failed(hub: &Hub, match_id: &str, error: &Error) -> Response {
    match error {
        Error::Missing(_) => return refuse(StatusCode::NOT_IMPLEMENTED, error.code(), &error.to_string()),
        Error::Unknown => return refuse(StatusCode::NOT_FOUND, error.code(), &error.to_string()),
        Error::TooMuch(_) => return refuse(StatusCode::BAD_REQUEST, error.code(), &error.to_string()),
        Error::Busy(wait) => {
            hub.metrics.refuse(error.code());
            return later(StatusCode::TOO_MANY_REQUESTS, error.code(), &error.to_string(), *wait);
        }
        Error::TooManyUnknown => {
            hub.metrics.refuse(error.code());
            return later(StatusCode::TOO_MANY_REQUESTS, error.code(), &error.to_string(), Duration::from_secs(59));
        }
        _ => {}
    }
    if let Some(refusal) = error.is_about_a_value() {
        return invalid(refusal);
    }
    tracing::warn!(match_id, error = %error, "request failed");
    hub.metrics.refuse("unavailable");
    later(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the match cannot be read at the moment", Duration::ZERO)
}
