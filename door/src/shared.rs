//! What the entrance and the senders share.

use crate::answer::Answer;
use crate::metrics::Metrics;
use crate::queue::{Entry, Queue, Withdrawn};
use crate::vote::Voter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, oneshot, watch};

/// What belongs to a vote in line.
pub struct Tag {
    /// `None`: it is answered.
    answer: Option<oneshot::Sender<Answer>>,
    arrived_at: Instant,
}

impl Tag {
    #[must_use]
    pub const fn new(answer: oneshot::Sender<Answer>, arrived_at: Instant) -> Self {
        Self { answer: Some(answer), arrived_at }
    }

    /// Does anybody wait for the answer?
    pub fn is_wanted(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.is_closed())
    }
}

/// What the entrance and the senders share.
pub struct Shared {
    queue: Mutex<Queue<Tag>>,
    /// Rings when a line is ready.
    bell: Notify,
    /// Rings when nothing waits any more.
    pub emptied: Notify,
    /// Nobody waits for answers any longer: the end has come.
    pub is_over: watch::Sender<bool>,
    pub metrics: Metrics,
}

impl Shared {
    #[must_use]
    pub fn new(queue: Queue<Tag>, metrics: Metrics) -> Self {
        let is_over = watch::Sender::new(false);
        Self { queue: Mutex::new(queue), bell: Notify::new(), emptied: Notify::new(), is_over, metrics }
    }

    /// The queue, for a moment.
    pub fn queue(&self) -> MutexGuard<'_, Queue<Tag>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a line is ready.
    pub async fn until_ready(&self) {
        while !self.queue().has_ready() {
            self.bell.notified().await;
        }
    }

    /// Lets another sender look: of those that wait the one that worked last. Its session is warm, and so is the server's process
    /// behind it, which matters to a lone vote.
    pub fn ring(&self) {
        self.bell.notify_last();
    }

    /// Takes the first vote of up to `most` lines, and calls another sender if more are ready.
    pub fn take(&self, most: usize) -> Vec<Entry<Tag>> {
        let mut queue = self.queue();
        let taken = queue.take(most);
        if queue.has_ready() {
            self.ring();
        }
        taken
    }

    /// Answers a vote. Its line goes on when its part ends, after that.
    pub fn tell(&self, tag: &mut Tag, answer: Answer) {
        let (word, took) = (answer.word(), tag.arrived_at.elapsed());
        // A client that has gone gets no answer, and one that has been told that nobody knows is counted already.
        if tag.answer.take().is_some_and(|waiting| waiting.send(answer).is_ok()) {
            self.metrics.answered(word);
            self.metrics.times.observe(took.as_secs_f64());
        }
    }

    /// The lines of these votes go on.
    pub fn settle(&self, entries: &[Entry<Tag>]) {
        let mut queue = self.queue();
        entries.iter().for_each(|entry| queue.settle(entry));
        self.changed(&queue);
    }

    /// A line goes on.
    pub fn release(&self, voter: &Arc<Voter>) {
        let mut queue = self.queue();
        queue.release(voter);
        self.changed(&queue);
    }

    /// Takes a vote out of line.
    pub fn withdraw(&self, voter: &Voter, number: u64) -> Withdrawn {
        let mut queue = self.queue();
        let withdrawn = queue.withdraw(voter, number);
        self.changed(&queue);
        withdrawn
    }

    /// Tells what a change of the queue means to others.
    pub fn changed(&self, queue: &Queue<Tag>) {
        self.metrics.queued.set(i64::try_from(queue.votes()).unwrap_or(i64::MAX));
        if queue.has_ready() {
            self.ring();
        }
        if queue.votes() == 0 {
            self.emptied.notify_waiters();
        }
    }
}
