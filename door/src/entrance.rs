//! The entrance: a vote goes in, its answer comes out.

use crate::answer::{Answer, Standing};
use crate::failure::OpenError;
use crate::metrics::{Metrics, WITHDRAWN};
use crate::queue::{Queue, Refusal, Room, Withdrawn};
use crate::reader::Reader;
use crate::sender::Sender;
use crate::session::{Place, Session};
use crate::shared::{Shared, Tag};
use crate::supervisor;
use crate::vote::{Vote, Voter};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{timeout, timeout_at};
use tokio_postgres_rustls::MakeRustlsConnect;

/// What a door needs.
pub struct Settings {
    pub postgres: tokio_postgres::Config,
    pub tls: MakeRustlsConnect,
    /// Of the secret that makes voters' names.
    pub fingerprint: String,
    /// Calls on their way at the same time.
    pub sessions: usize,
    /// What may wait or be on its way.
    pub room: Room,
    /// How long a vote waits for its answer.
    pub patience: Duration,
}

/// The door.
pub struct Door {
    shared: Arc<Shared>,
    patience: Duration,
    reader: Arc<Reader>,
    /// They end with the door.
    _senders: JoinSet<()>,
}

impl Door {
    /// Looks once whether votes may go this way.
    ///
    /// # Errors
    /// Why they may not, or that nobody answers.
    pub async fn check(settings: &Settings) -> Result<(), OpenError> {
        Session::open(&settings.place()).await.map(drop)
    }

    /// Opens the door. It connects when the first vote comes.
    #[must_use]
    pub fn open(settings: &Settings, metrics: Metrics) -> Self {
        let shared = Arc::new(Shared::new(Queue::new(settings.room), metrics));
        let place = Arc::new(settings.place());
        let reader = Arc::new(Reader::new(place.clone()));
        let (make, ended) = {
            let (shared, reader, replaced) = (shared.clone(), reader.clone(), shared.metrics.replaced.clone());
            (
                move || Sender::new(shared.clone(), place.clone(), reader.clone()).run(),
                move || {
                    replaced.inc();
                },
            )
        };
        let mut senders = JoinSet::new();
        senders.spawn(supervisor::keep(settings.sessions, make, ended));
        Self { shared, patience: settings.patience, reader, _senders: senders }
    }

    /// Takes votes, and answers each in its place. When the caller stops waiting, those that were not sent yet never are. `address`:
    /// in whose share of the queue they stand.
    ///
    /// # Errors
    /// Why none of them was taken.
    pub async fn cast(&self, votes: Vec<Vote>, address: Option<IpAddr>) -> Result<Vec<Answer>, Refusal> {
        let arrived_at = Instant::now();
        let voters: Vec<_> = votes.iter().map(|vote| vote.voter.clone()).collect();
        let (tagged, answers): (Vec<_>, Vec<_>) = votes
            .into_iter()
            .map(|vote| {
                let (sender, receiver) = oneshot::channel();
                ((vote, Tag::new(sender, arrived_at)), receiver)
            })
            .unzip();
        let count = tagged.len() as u64;
        let numbers = {
            let mut queue = self.shared.queue();
            let numbers = queue.push(tagged, address);
            self.shared.changed(&queue);
            numbers
        };
        let numbers = numbers.inspect_err(|_| self.shared.metrics.not_taken(count))?;
        let mut waiting = Waiting { shared: &self.shared, left: VecDeque::with_capacity(answers.len()) };
        for ((voter, number), answer) in voters.into_iter().zip(numbers).zip(answers) {
            waiting.left.push_back(Awaited { voter, number, answer });
        }
        let (deadline, mut told) = ((arrived_at + self.patience).into(), Vec::with_capacity(waiting.left.len()));
        let mut end = self.shared.is_over.subscribe();
        while let Some(awaited) = waiting.left.front_mut() {
            let answered = timeout_at(deadline, async {
                tokio::select! {
                    biased;
                    answer = &mut awaited.answer => answer.ok(),
                    _ = end.wait_for(|is_over| *is_over) => None,
                }
            });
            told.push(match answered.await {
                Ok(Some(answer)) => answer,
                _ => awaited.give_up(&self.shared, Answer::NotSent.word()).unwrap_or(Answer::NotSent),
            });
            waiting.left.pop_front();
        }
        Ok(told)
    }

    /// The vote of a voter that stands, if there is one.
    ///
    /// # Errors
    /// That it cannot be read at the moment.
    pub async fn standing(&self, voter: Arc<Voter>) -> Result<Option<Standing>, Unreadable> {
        Ok(self.reader.find(&[voter]).await.ok_or(Unreadable)?.pop().flatten())
    }

    /// Takes no more votes, and waits until all that were taken are answered. After `limit` the rest is told that it was not sent,
    /// or that nobody knows.
    pub async fn close(&self, limit: Duration) {
        self.shared.queue().close();
        let emptied = async {
            loop {
                let rung = self.shared.emptied.notified();
                if self.shared.queue().votes() == 0 {
                    return;
                }
                rung.await;
            }
        };
        if timeout(limit, emptied).await.is_err() {
            tracing::warn!(votes = self.shared.queue().votes(), "the database did not take these votes before the end");
            self.shared.is_over.send_replace(true);
        }
    }
}

impl Settings {
    fn place(&self) -> Place {
        // Twice in its time a vote may be asked again over a new connection.
        let limit = self.patience / 3;
        Place { postgres: self.postgres.clone(), tls: self.tls.clone(), fingerprint: self.fingerprint.clone(), limit }
    }
}

/// A vote that stands cannot be read at the moment.
#[derive(Debug)]
pub struct Unreadable;

/// A vote that somebody waits for.
struct Awaited {
    voter: Arc<Voter>,
    number: u64,
    answer: oneshot::Receiver<Answer>,
}

impl Awaited {
    /// The time of a vote is over. None: it was not sent, and never will be, which is counted as this outcome.
    fn give_up(&mut self, shared: &Shared, outcome: &'static str) -> Option<Answer> {
        let withdrawn = shared.withdraw(&self.voter, self.number);
        // From now on nobody can answer it, nor count that he did. It may have been answered this moment.
        self.answer.close();
        match (withdrawn, self.answer.try_recv()) {
            (_, Ok(answer)) => Some(answer),
            (Withdrawn::Uncounted, Err(_)) => {
                shared.metrics.answered(outcome);
                None
            }
            (Withdrawn::InDoubt, Err(_)) => {
                shared.metrics.answered(Answer::Unknown.word());
                Some(Answer::Unknown)
            }
        }
    }
}

/// Votes that somebody waits for. Those that are left when it is dropped are taken out of line: the client has gone.
struct Waiting<'a> {
    shared: &'a Shared,
    left: VecDeque<Awaited>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        for awaited in &mut self.left {
            awaited.give_up(self.shared, WITHDRAWN);
        }
    }
}
