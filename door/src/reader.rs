//! Reads votes that stand, over a session of its own: what is read slowly holds up no call with votes.

use crate::answer::Standing;
use crate::session::{Place, Session};
use crate::vote::Voter;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Reads votes that stand.
pub struct Reader {
    place: Arc<Place>,
    /// Opened by the first question.
    session: Mutex<Option<Session>>,
}

impl Reader {
    #[must_use]
    pub fn new(place: Arc<Place>) -> Self {
        Self { place, session: Mutex::default() }
    }

    /// The vote of each of these voters, where there is one. None of all: they cannot be read.
    pub async fn find(&self, voters: &[Arc<Voter>]) -> Option<Vec<Option<Standing>>> {
        timeout(self.place.limit, self.read(voters)).await.ok().flatten()
    }

    async fn read(&self, voters: &[Arc<Voter>]) -> Option<Vec<Option<Standing>>> {
        let standings = {
            let mut session = self.session.lock().await;
            if session.as_ref().is_none_or(Session::is_closed) {
                let opened = Session::open(&self.place).await;
                *session = Some(opened.inspect_err(|reason| tracing::warn!(%reason, "votes cannot be read")).ok()?);
            }
            session.as_ref()?.standings()
        };
        standings.find(voters).await
    }
}
