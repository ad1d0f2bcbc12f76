//! How the state of a followed match changes, and what its followers are then sent.

use crate::error::Result;
use crate::live::audience::Audience;
use crate::live::event::{self, Update};
use crate::live::followed::{FollowedMatch, LONGEST_REST};
use crate::live::member::{Outlet, StreamItem};
use crate::live::roll_up::roll_up_message;
use crate::live::state::MatchState;
use foldhash::{HashSet, HashSetExt};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};
use vote_agg_core::feed::message::{Message, Snapshot};

/// Between two readings of the changes that messages left out: at least so many times as long as the first reading took.
const READING: u32 = 3;

/// Also, no more cells than this are read in a second: at the height of a match, voters need the database most. For a client,
/// 40,000 are about as much as ten of the largest ordinary messages (2,000 cells and as many new votes each).
const CELLS_A_SECOND: u32 = 40_000;

impl FollowedMatch {
    /// Takes a loaded snapshot over, and the updates from before it, for clients that come back. Followers get the snapshot
    /// when it is newer than what they have.
    ///
    /// # Errors
    /// When the snapshot contradicts itself.
    pub async fn install(&self, out: Outlet<'_>, snapshot: Snapshot<'static>, past: Vec<Arc<Update>>) -> Result<()> {
        let mut new = MatchState::new(snapshot)?;
        let mut audience = self.lock().await;
        let audience = &mut *audience;
        audience.rest_until = audience.state.is_some().then(|| Instant::now() + LONGEST_REST);
        audience.failed_at = None;
        // A seq never goes back within its epoch: such a snapshot was read elsewhere, or before the last messages.
        let old = audience.state.as_ref().map(|old| (old.epoch.clone(), old.seq));
        if let Some((epoch, seq)) = &old
            && *epoch == new.epoch
            && *seq >= new.seq
        {
            self.cursor.store(*seq, Ordering::Release);
            if *seq == new.seq {
                audience.set_status(new.status);
            }
            return Ok(());
        }
        for resolution in audience.rooms.keys().flatten() {
            new.roll(*resolution)?;
        }
        self.cursor.store(new.seq, Ordering::Release);
        self.note_existence(&new);
        *audience.change() = Some(new);
        for room in audience.rooms.values_mut() {
            room.recent.clear();
        }
        if old.is_none() {
            let native = audience.rooms.entry(None).or_default();
            past.into_iter().for_each(|update| native.recent.push(update));
            return Ok(());
        }
        let resolutions: Vec<_> = audience.rooms.keys().copied().collect();
        for resolution in resolutions {
            let Some((seq, epoch, json)) = audience.snapshot(resolution, None, out.metrics)? else { continue };
            audience.find_slow(&self.match_id, resolution, out.metrics);
            let mut rooms = HashSet::new();
            let mut listeners = 0;
            let mut viewers = Vec::new();
            for (sid, member) in
                audience.members.iter().filter(|(_, m)| m.behind.is_none() && m.subscription.resolution == resolution)
            {
                if member.subscription.area.is_some() {
                    viewers.push((*sid, member.socket.clone(), member.client.clone(), member.subscription.clone()));
                    continue;
                }
                rooms.extend(member.subscription.rooms(&self.match_id));
                listeners += 1;
            }
            for (sid, socket, client, subscription) in viewers {
                if audience.greet(out, &socket, &client, &subscription).is_err()
                    && let Some(member) = audience.members.get_mut(&sid)
                {
                    member.fall_behind(sid, &self.match_id, out.metrics);
                }
            }
            out.broadcast(rooms.into_iter().collect(), listeners, event::SNAPSHOT, &json).await;
            audience.stream(resolution, StreamItem::Snapshot { seq, epoch, json });
        }
        Ok(())
    }

    /// Applies folds some of which left their cells out. `update` has all their changes; the last fold carries them, so that no
    /// seq is skipped. `began`: when the update was asked for. False: the folds are not the next ones.
    pub async fn advance(
        &self,
        out: Outlet<'_>,
        update: Message<'static>,
        folds: Vec<(Message<'static>, Option<SystemTime>)>,
        began: Instant,
    ) -> bool {
        let mut audience = self.lock().await;
        let audience = &mut *audience;
        let Some(state) = &audience.state else { return false };
        let seqs: Vec<_> = folds.iter().map(|(fold, _)| fold.seq).collect();
        if state.seq != update.prev || seqs != (update.prev + 1..=update.seq).collect::<Vec<_>>() {
            return false;
        }
        let cells = update.cells.unwrap_or_default();
        let rest = (READING * began.elapsed()).max(Duration::from_secs(cells.len() as u64) / CELLS_A_SECOND);
        audience.rest_until = Some(began + rest.min(LONGEST_REST));
        audience.failed_at = None;
        self.cursor.store(update.prev, Ordering::Release);
        let mut cells = Some(cells);
        for (mut fold, at) in folds {
            let is_last = fold.seq == update.seq;
            fold.cells = if is_last { cells.take() } else { fold.cells.or_else(|| Some(Vec::new())) };
            fold.resync = false;
            if !self.forward(audience, out, fold, None, at).await {
                return false;
            }
        }
        true
    }

    /// Applies a row of the feed and sends it to the followers. False: the match must be loaded again.
    pub async fn apply(&self, out: Outlet<'_>, message: Message<'static>, body: String, folded_at: Option<SystemTime>) -> bool {
        let json = RawValue::from_string(body).ok();
        self.forward(&mut *self.lock().await, out, message, json, folded_at).await
    }

    /// Brings the state forward by one message and sends it at every resolution. False: it is not the next one.
    async fn forward(
        &self,
        audience: &mut Audience,
        out: Outlet<'_>,
        message: Message<'static>,
        json: Option<Box<RawValue>>,
        folded_at: Option<SystemTime>,
    ) -> bool {
        let Some(state) = &audience.state else { return false };
        let is_known = state.epoch.as_deref() == Some(&*message.epoch) && message.seq <= state.seq;
        if is_known {
            return true;
        }
        let Some(state) = audience.change() else { return false };
        let Ok(mut changed) = state.apply(&message) else { return false };
        self.cursor.store(state.seq, Ordering::Release);
        self.note_existence(state);
        let coarse = audience.rooms.keys().flatten();
        let coarse = coarse
            .map(|resolution| (Some(*resolution), roll_up_message(&message, *resolution, changed.remove(resolution)), None));
        let mut updates: Vec<_> = coarse.collect();
        if audience.rooms.contains_key(&None) {
            updates.push((None, message, json));
        }
        for (resolution, message, json) in updates {
            audience.send(out, &self.match_id, resolution, Arc::new(Update::new(message, folded_at, json))).await;
        }
        true
    }
}
