//! Headers that every answer has, whichever handler made it.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

/// Tells nginx, and proxies that know its header, to pass an event stream on as it comes.
const BUFFERING: &str = "x-accel-buffering";

/// Seconds after which a client that was refused for now may ask again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// Adds them. `has_tokens`: answers may depend on the client's token, so that no shared cache may keep one.
pub async fn with_headers(State(has_tokens): State<bool>, mut response: Response) -> Response {
    let status = response.status();
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        headers.insert(BUFFERING, HeaderValue::from_static("no"));
    }
    if has_tokens {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        // Every answer here may be compressed as well: one header says both.
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding, authorization"));
    }
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        headers.entry(header::RETRY_AFTER).or_insert(RETRY_AFTER);
    }
    response
}
