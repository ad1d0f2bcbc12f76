//! Votes that are on their way.

use crate::queue::Entry;
use crate::shared::{Shared, Tag};
use crate::vote::{Vote, Voter};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// Votes on their way. However it ends, their lines go on then, and a client that has no answer yet hears that nobody knows: also
/// where a sender panics with it.
pub struct Part {
    shared: Arc<Shared>,
    entries: Vec<Entry<Tag>>,
}

impl Part {
    #[must_use]
    pub const fn new(shared: Arc<Shared>, entries: Vec<Entry<Tag>>) -> Self {
        Self { shared, entries }
    }

    /// The first votes of up to `most` lines.
    #[must_use]
    pub fn take(shared: &Arc<Shared>, most: usize) -> Self {
        Self::new(shared.clone(), shared.take(most))
    }

    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    #[must_use]
    pub fn votes(&self) -> Vec<&Vote> {
        self.entries.iter().map(|entry| &entry.vote).collect()
    }

    #[must_use]
    pub fn voters(&self) -> Vec<Arc<Voter>> {
        self.entries.iter().map(|entry| entry.vote.voter.clone()).collect()
    }

    pub fn entries(&mut self) -> &mut [Entry<Tag>] {
        &mut self.entries
    }

    /// Its second half.
    #[must_use]
    pub fn split_half(&mut self) -> Self {
        let rest = self.entries.split_off(self.entries.len() / 2);
        Self::new(self.shared.clone(), rest)
    }

    /// Those for which it is so.
    #[must_use]
    pub fn split(&mut self, mut is_so: impl FnMut(&mut Entry<Tag>) -> bool) -> Self {
        let (mut those, mut others) = (Vec::new(), Vec::with_capacity(self.entries.len()));
        for mut entry in self.entries.drain(..) {
            let side = if is_so(&mut entry) { &mut those } else { &mut others };
            side.push(entry);
        }
        self.entries = others;
        Self::new(self.shared.clone(), those)
    }

    /// Each goes back into its place, and its line goes on after a pause.
    pub fn put_back(mut self, pause: impl Fn(u32) -> Duration) {
        for mut entry in self.entries.drain(..) {
            entry.tries += 1;
            let (held, wait) = (Held { shared: self.shared.clone(), voter: entry.vote.voter.clone() }, pause(entry.tries));
            self.shared.queue().put_back(entry);
            tokio::spawn(async move {
                sleep(wait).await;
                drop(held);
            });
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.entries.is_empty() {
            self.shared.settle(&self.entries);
        }
    }
}

/// A line that waits. It goes on when this ends, however that comes.
struct Held {
    shared: Arc<Shared>,
    voter: Arc<Voter>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.release(&self.voter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Answer;
    use crate::metrics::Metrics;
    use crate::queue::{Queue, Room};
    use prometheus_client::registry::Registry;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Instant;
    use tokio::sync::oneshot::{self, Receiver};

    /// So many votes of as many voters, and who waits for them.
    fn shared(votes: usize) -> (Arc<Shared>, Vec<Receiver<Answer>>) {
        let room = Room { votes: 100, bytes: usize::MAX, share: 100 };
        let shared = Arc::new(Shared::new(Queue::new(room), Metrics::new(&mut Registry::default())));
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..votes).map(|_| oneshot::channel()).unzip();
        let voter = |n: usize| Arc::new(Voter { match_id: "final".into(), voter_id: n.to_string() });
        let vote = |n| Vote { voter: voter(n), choice: None, turn: 1 };
        let tagged = senders.into_iter().enumerate().map(|(n, sender)| (vote(n), Tag::new(sender, Instant::now()))).collect();
        shared.queue().push(tagged, None).expect("room");
        (shared, receivers)
    }

    /// How many votes there are, and whether a line is ready.
    fn state(shared: &Shared) -> (usize, bool) {
        let queue = shared.queue();
        (queue.votes(), queue.has_ready())
    }

    #[test]
    fn a_part_that_is_lost_leaves_no_vote_behind() {
        let (shared, mut receivers) = shared(3);
        let lost = catch_unwind(AssertUnwindSafe(|| {
            let mut part = Part::take(&shared, 3);
            let _half = part.split_half();
            shared.tell(&mut part.entries()[0].tag, Answer::NotSent);
            std::panic::resume_unwind(Box::new("a sender ends"));
        }));
        assert!(lost.is_err());
        assert_eq!(state(&shared), (0, false));
        assert_eq!(
            receivers.iter_mut().map(|receiver| receiver.try_recv().ok()).collect::<Vec<_>>(),
            [Some(Answer::NotSent), None, None]
        );
    }

    #[tokio::test]
    async fn a_line_goes_on_after_its_pause() {
        let (shared, receivers) = shared(2);
        let mut part = Part::take(&shared, 2);
        let busy = part.split(|entry| entry.vote.voter.voter_id == "1");
        busy.put_back(|tries| Duration::from_millis(tries.into()));
        drop(part);
        // Nothing else runs before this waits.
        assert_eq!(state(&shared), (1, false));
        shared.until_ready().await;
        assert_eq!(Part::take(&shared, 2).entries()[0].tries, 1);
        assert_eq!((state(&shared), receivers.len()), ((0, false), 2));
    }
}
