//! Loading a match, and bringing it forward.

use crate::db::statements::{Change, Head};
use crate::error::{Error, Result};
use crate::live::event::Update;
use crate::live::followed::FollowedMatch;
use crate::live::hub::Hub;
use crate::live::state::MatchState;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Instant;
use vote_agg_core::feed::message::Message;

/// Messages from before the snapshot that are loaded with it, for clients that come from another relay.
const PAST: i64 = 100;

/// Folds that are sent one after the other once their cells are known. Clients' queues have no room for many more: then
/// every follower gets a snapshot.
const TOGETHER: i64 = 16;

impl Hub {
    /// Loads the match, once for everybody who waits for it. `again`: although it is loaded.
    pub(super) async fn load(&self, followed: &FollowedMatch, again: bool) -> Result<()> {
        let _only_one = followed.loading.lock().await;
        if followed.cursor().is_some() {
            return Ok(());
        }
        if !again && followed.has_just_failed().await {
            return Err(Error::Unavailable);
        }
        let loaded = self.read(followed, again).await;
        if let Err(e) = &loaded {
            followed.note_failure().await;
            tracing::warn!(match_id = followed.match_id, error = %e, "match could not be loaded");
        }
        loaded
    }

    async fn read(&self, followed: &FollowedMatch, again: bool) -> Result<()> {
        if again {
            tokio::time::sleep(followed.rest().await).await;
            if self.bring_forward(followed).await? {
                self.loaded.add(&followed.match_id);
                return Ok(());
            }
        }
        if !again && !self.exists(&followed.match_id).await? {
            // Its first vote rings, and is found by the look that follows every loading.
            followed.install(self.out(), MatchState::before_any_vote(&followed.match_id), Vec::new()).await?;
            self.loaded.add(&followed.match_id);
            return Ok(());
        }
        self.metrics.reads.inc();
        let snapshot = self.database.snapshot(&followed.match_id, None).await?;
        let past = match snapshot.seq {
            seq if again || seq < 1 => Vec::new(),
            seq => self.past(followed, seq).await?,
        };
        tracing::info!(
            match_id = followed.match_id,
            seq = snapshot.seq,
            epoch = snapshot.epoch.as_deref(),
            again,
            "match loaded"
        );
        followed.install(self.out(), snapshot, past).await?;
        self.loaded.add(&followed.match_id);
        Ok(())
    }

    /// Reads the changes that the feed had no room for. False: only a snapshot helps.
    async fn bring_forward(&self, followed: &FollowedMatch) -> Result<bool> {
        let Some((seq, epoch)) = followed.stand().await else { return Ok(false) };
        let began = Instant::now();
        self.metrics.reads.inc();
        let Some(update) = self.database.update(&followed.match_id, seq).await? else { return Ok(false) };
        if update.resync || epoch.is_some_and(|epoch| epoch != update.epoch) || update.seq - seq > TOGETHER {
            return Ok(false);
        }
        // Asked for afterwards, so that it has every fold of the update.
        let mut folds = Vec::new();
        for change in self.database.changes(&followed.match_id, seq).await? {
            let Some(Ok(fold)) = change.body.as_deref().map(serde_json::from_str::<Message>) else { return Ok(false) };
            if fold.seq <= update.seq {
                folds.push((fold, change.at));
            }
        }
        tracing::debug!(match_id = followed.match_id, from = seq, to = update.seq, took = ?began.elapsed(), "match brought forward");
        Ok(followed.advance(self.out(), update, folds, began).await)
    }

    async fn past(&self, followed: &FollowedMatch, seq: i64) -> Result<Vec<Arc<Update>>> {
        self.metrics.reads.inc();
        let mut past = Vec::new();
        for change in self.database.changes(&followed.match_id, (seq - PAST).max(0)).await? {
            let Some(body) = change.body else { return Ok(Vec::new()) };
            let message: Message = serde_json::from_str(&body)?;
            if message.seq <= seq {
                // A client cannot go on from a message without cells: only the messages after it are of use.
                if message.resync {
                    past.clear();
                } else {
                    past.push(Arc::new(Update::new(message, change.at, RawValue::from_string(body).ok())));
                }
            }
        }
        Ok(past)
    }

    /// Applies rows of the feed.
    pub async fn apply(self: &Arc<Self>, changes: Vec<Change>) {
        for change in changes {
            let Some(followed) = self.followed(&change.match_id) else { continue };
            if followed.cursor().is_none() {
                continue; // an earlier row of this match could not be applied
            }
            let message = change.body.as_deref().map(serde_json::from_str::<Message>);
            let is_applied = match (message, change.body) {
                (Some(Ok(message)), Some(body)) => {
                    self.metrics.applied.inc();
                    followed.apply(self.out(), message, body, change.at).await
                }
                (Some(Err(e)), _) => {
                    tracing::error!(match_id = followed.match_id, error = %e, "the feed has a message of an unknown format");
                    false
                }
                _ => false,
            };
            if !is_applied {
                self.resync(followed);
            }
        }
    }

    /// Compares the database's heads with the states in memory: another epoch means that the match must be loaded. The status
    /// is taken over: it changes by the clock too, and the feed says nothing of that.
    pub fn compare(self: &Arc<Self>, heads: Vec<Head>) {
        for head in heads {
            let Some(followed) = self.followed(&head.match_id) else { continue };
            let this = self.clone();
            self.runtime.spawn(async move {
                if followed.lock().await.is_other_than(head) {
                    this.resync(followed);
                }
            });
        }
    }

    /// Reads a match again, in the background: the changes since its seq, or a snapshot where the database cannot tell them.
    /// Followers get a snapshot that is newer than what they have.
    fn resync(self: &Arc<Self>, followed: Arc<FollowedMatch>) {
        followed.mark_stale();
        self.metrics.resyncs.inc();
        let this = self.clone();
        self.runtime.spawn(async move {
            let _ = this.load(&followed, true).await;
        });
    }

    /// Tries again to load matches that could not be loaded.
    pub fn retry(self: &Arc<Self>) {
        for followed in self.all().into_iter().filter(|followed| followed.is_stale() && followed.loading.try_lock().is_ok()) {
            self.resync(followed);
        }
    }
}
