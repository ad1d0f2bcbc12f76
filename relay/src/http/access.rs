//! What handlers share, and the right to see a match.

use crate::guard::budget::Budget;
use crate::guard::seats::Seats;
use crate::guard::token::{Access, Checker, bearer};
use crate::http::cache::Cache;
use crate::http::reply::refuse;
use crate::live::hub::Hub;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};
use vote_agg_core::vote::name::parse_name;

/// What handlers share.
#[derive(Clone)]
pub struct Shared {
    pub hub: Arc<Hub>,
    pub cache: Arc<Cache>,
    pub checker: Arc<Checker>,
    pub seats: Arc<Seats>,
    /// Who may read from the database at the moment: one session is always left for followers.
    pub reads: Arc<Semaphore>,
    pub requests: Arc<Budget>,
    pub stopped: watch::Receiver<bool>,
}

/// Checks the match's name and the right to see it.
///
/// # Errors
/// The answer for a client that may not.
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
/// The answer for a client that needs a valid one and has none.
pub fn access(shared: &Shared, headers: &HeaderMap, query: &BTreeMap<String, String>) -> Result<Access, Response> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    shared.checker.check(header.or(query.get("token").map(String::as_str))).map_err(|reason| {
        shared.hub.metrics.refuse(reason);
        refuse(StatusCode::UNAUTHORIZED, reason, "a valid token is needed")
    })
}
