//! What the rest of the relay is given of the door. Without the feature `door` there is `no_door.rs` instead.

use crate::door::open::{Votes, open};
use crate::door::{http, socket};
use crate::error::Result;
use crate::http::access::Shared;
use crate::live::hub::Hub;
use crate::ws::session::Session;
use axum::Router;
use socketioxide::extract::SocketRef;
use std::sync::Arc;
use std::time::Duration;

/// The door, where votes are taken.
pub struct Voting(Option<Arc<Votes>>);

impl Voting {
    /// Opens the door, where the settings say where votes go.
    ///
    /// # Errors
    /// [`Error::Config`](crate::error::Error::Config) for settings that cannot be right, and for a database in which these votes may not be.
    pub async fn open(hub: &Hub) -> Result<Self> {
        Ok(Self(open(hub).await?.map(Arc::new)))
    }

    /// Hears the votes of a client over Socket.IO.
    pub fn listener(&self, hub: &Arc<Hub>) -> impl Fn(&SocketRef, &Arc<Session>) + Clone + Send + Sync + use<> {
        let (hub, votes) = (hub.clone(), self.0.clone());
        move |socket, session| {
            if let Some(votes) = &votes {
                socket::listen(&hub, votes, socket, session);
            }
        }
    }

    /// The routes of votes.
    pub fn routes(&self, shared: &Shared) -> Router<Shared> {
        http::routes(shared.clone(), self.0.clone())
    }

    /// Takes no more votes, and answers those that were taken, for so long at most.
    pub async fn close(&self, patience: Duration) {
        if let Some(votes) = &self.0 {
            votes.door.close(patience).await;
        }
    }
}
