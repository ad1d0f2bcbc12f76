//! Answers about votes, and refusals, as HTTP clients see them.

use crate::http::access::Shared;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::time::Duration;
use vote_agg_door::{Answer, Problem};

/// What became of a vote, for a client.
#[must_use]
pub fn told(answer: &Answer, turn: i64) -> Value {
    let mut told = json!({"outcome": answer.word(), "turn": turn});
    if let Answer::Done { standing: Some(standing), .. } = answer {
        told["vote"] = json!(standing);
    }
    told
}

/// The answer for the one vote of a request.
pub fn of_one(shared: &Shared, results: Vec<Result<(Answer, i64), Problem>>) -> Response {
    match results.into_iter().next() {
        Some(Ok((answer, turn))) => axum::Json(told(&answer, turn)).into_response(),
        Some(Err(problem)) => refuse(shared, &problem),
        None => axum::Json(json!({})).into_response(),
    }
}

/// The answers for a list of votes, each with its own status. 207 says that they are not all 200.
pub fn of_many(shared: &Shared, results: Vec<Result<(Answer, i64), Problem>>) -> Response {
    let status = if results.iter().all(Result::is_ok) { StatusCode::OK } else { StatusCode::MULTI_STATUS };
    let each = |result| match result {
        Ok((answer, turn)) => {
            let mut told = told(&answer, turn);
            told["status"] = StatusCode::OK.as_u16().into();
            told
        }
        Err(problem) => {
            count(shared, &problem);
            json!(problem)
        }
    };
    (status, axum::Json(results.into_iter().map(each).collect::<Vec<_>>())).into_response()
}

/// The refusal of a request that no handler gets to see, if its path is one of votes.
pub fn refuse_early(
    path: &str,
    status: StatusCode,
    error: &'static str,
    detail: &str,
    wait: Option<Duration>,
) -> Option<Response> {
    let is_about_votes = path.starts_with("/matches/") && (path.ends_with("/votes") || path.ends_with("/vote"));
    is_about_votes.then(|| written(&Problem { retry_after: wait, ..Problem::new(status, error, detail) }))
}

fn count(shared: &Shared, problem: &Problem) {
    shared.hub.metrics.refuse(problem.error);
}

/// A refusal, which is counted.
pub fn refuse(shared: &Shared, problem: &Problem) -> Response {
    count(shared, problem);
    written(problem)
}

/// A refusal.
pub fn written(problem: &Problem) -> Response {
    let mut response = (problem.status, axum::Json(problem)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(seconds) = problem.retry_seconds() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
