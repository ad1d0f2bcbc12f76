//! Where an event stream gets its items: from the match, as soon and as often as that can be read.

use crate::error::Result;
use crate::live::area::Area;
use crate::live::hub::Hub;
use crate::live::member::StreamItem;
use crate::live::subscription::Subscription;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, sleep_until};

/// Between two tries to read a match: at first, and at the most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The items of one stream.
pub struct Source {
    hub: Arc<Hub>,
    ip: IpAddr,
    match_id: String,
    subscription: Subscription,
    waiting: VecDeque<StreamItem>,
    /// None: the match is to be read, not before `opens_at`.
    receiver: Option<Receiver<StreamItem>>,
    opens_at: Instant,
    pause: Duration,
}

impl Source {
    /// Of a match that is still to be read.
    #[must_use]
    pub fn new(hub: Arc<Hub>, ip: IpAddr, match_id: String, subscription: Subscription) -> Self {
        let (waiting, opens_at) = (VecDeque::new(), Instant::now());
        Self { hub, ip, match_id, subscription, waiting, receiver: None, opens_at, pause: FIRST_PAUSE }
    }

    /// Reads the match.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn open(&mut self) -> Result<()> {
        // Counts when this future is dropped half-way, too.
        self.opens_at = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let (first, receiver) = self.hub.stream(self.ip, &self.match_id, &self.subscription).await?;
        (self.waiting, self.receiver, self.pause) = (first.into(), Some(receiver), FIRST_PAUSE);
        // It goes on from the client's own seq once; later a snapshot is shorter, and always right.
        self.subscription.since = None;
        Ok(())
    }

    /// What the reader looks at. None: all cells.
    #[must_use]
    pub fn area(&self) -> Option<&Area> {
        self.subscription.area.as_deref()
    }

    /// Whether it begins with a snapshot.
    #[must_use]
    pub fn begins_anew(&self) -> bool {
        matches!(self.waiting.front(), Some(StreamItem::Snapshot { .. }))
    }

    /// The next item, in a minute or a year. May be dropped and called again: no item is lost.
    pub async fn next(&mut self) -> StreamItem {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return item;
            }
            match &mut self.receiver {
                Some(receiver) => match receiver.recv().await {
                    // Of all cells: this reader's own part is read anew.
                    Ok(StreamItem::Snapshot { .. }) if self.subscription.area.is_some() => {
                        (self.receiver, self.opens_at) = (None, Instant::now());
                    }
                    Ok(item) => return item,
                    // Too slow, or the match was let go: no half stream, but a snapshot.
                    Err(_) => (self.receiver, self.opens_at) = (None, Instant::now()),
                },
                None => {
                    sleep_until(self.opens_at).await;
                    // What is wrong stands in the log; the reader is told where the database is away.
                    let _ = self.open().await;
                }
            }
        }
    }
}
