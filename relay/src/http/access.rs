//! What handlers share, and the right to see a match.

use crate::guard::budget::Budget;
use crate::guard::pace::Paces;
use crate::guard::seats::Seats;
use crate::guard::token::{Access, Checker, bearer};
use crate::http::cache::Cache;
use crate::http::query::{self, Params};
use crate::http::reply::{invalid, refuse};
use crate::http::streams::Streams;
use crate::live::hub::Hub;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use vote_agg_core::vote::name::parse_name;

/// What handlers share. Each request has several copies, so it is one pointer.
pub type Shared = Arc<Common>;

/// What is shared.
pub struct Common {
    pub hub: Arc<Hub>,
    pub cache: Arc<Cache>,
    pub checker: Arc<Checker>,
    pub seats: Arc<Seats>,
    pub streams: Arc<Streams>,
    /// Permits to read from the database at the moment: one session is always left for followers.
    pub reads: Arc<Semaphore>,
    pub requests: Arc<Budget>,
    pub paces: Paces,
    pub stopped: watch::Receiver<bool>,
}

/// The parameters of a request. (axum's own extractor takes the last one where a parameter is there twice.)
pub struct Query(pub Params);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        query::params(parts.uri.query().unwrap_or_default()).map(Self).map_err(|message| invalid(&message))
    }
}

/// Checks the match's name and the right to see it.
///
/// # Errors
/// The answer for a client that may not.
pub fn admit(shared: &Shared, match_id: &str, headers: &HeaderMap, query: &Params) -> Result<Access, Response> {
    if let Err(e) = parse_name("match", Some(match_id.as_bytes())) {
        return Err(invalid(&e.to_string()));
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
/// The answer for a client that needs a valid one and has none.
pub fn access(shared: &Shared, headers: &HeaderMap, query: &Params) -> Result<Access, Response> {
    shared.checker.check(token(headers, query)).map_err(|reason| {
        shared.hub.metrics.refuse(reason);
        refuse(StatusCode::UNAUTHORIZED, reason, "a valid token is needed")
    })
}

/// The request's token, if it has one.
#[must_use]
pub fn token<'a>(headers: &'a HeaderMap, query: &'a Params) -> Option<&'a str> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    header.or(query.get("token").map(String::as_str))
}
