//! Stands in for the door in a relay that is built without it.

use crate::error::Result;
use crate::http::access::Shared;
use crate::live::hub::Hub;
use crate::ws::session::Session;
use axum::Router;
use axum::http::StatusCode;
use axum::response::Response;
use socketioxide::extract::SocketRef;
use std::sync::Arc;
use std::time::Duration;

/// No votes are taken.
pub struct Voting;

#[allow(clippy::unused_async, clippy::unused_self, reason = "as of the door")]
impl Voting {
    pub async fn open(_: &Hub) -> Result<Self> {
        Ok(Self)
    }

    pub fn listener(&self, _: &Arc<Hub>) -> impl Fn(&SocketRef, &Arc<Session>) + Clone + Send + Sync + use<> {
        |_, _| {}
    }

    pub fn routes(&self, _: &Shared) -> Router<Shared> {
        Router::new()
    }

    pub async fn close(&self, _: Duration) {}
}

pub fn refuse_early(_: &str, _: StatusCode, _: &'static str, _: &str, _: Option<Duration>) -> Option<Response> {
    None
}
