//! Sends what waits, and settles each vote of a call.
//!
//! 1. Idle, or a call has returned: take the first vote of each line, up to [`MOST`].
//! 2. The call returns and its transaction has ended: answer each vote. A busy one goes back into its place, and so does one that is
//!    refused while a lost call may still count it.
//! 3. Surely rolled back by a matter that passes: the same call again; each half alone where it took too long.
//! 4. Nobody knows: the same votes with the same turns over a new connection, as long as somebody waits for them.
//! 5. Another error: each half alone, down to the vote that is to blame.

use crate::answer::Answer;
use crate::failure::{Failure, OpenError, READ_ONLY};
use crate::part::Part;
use crate::reader::Reader;
use crate::session::{CallError, Place, Session, Verdict};
use crate::shared::Shared;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::sleep;
use vote_agg_core::vote::ballot::Outcome;

/// The most votes of a call. The function takes 10,000.
pub const MOST: usize = 8_192;

/// The first pause before something is tried again. Each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(10);

const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A call that took too long is halved down to so many votes.
const SMALL: usize = 64;

/// SQLSTATE: `statement_timeout` ended the statement.
const CANCELED: &str = "57014";

/// SQLSTATE that tells of a failure which is no voter's own.
const INTERNAL: &str = "XX000";

pub struct Sender {
    shared: Arc<Shared>,
    place: Arc<Place>,
    reader: Arc<Reader>,
    session: Option<Session>,
}

impl Sender {
    #[must_use]
    pub const fn new(shared: Arc<Shared>, place: Arc<Place>, reader: Arc<Reader>) -> Self {
        Self { shared, place, reader, session: None }
    }

    /// Sends for ever.
    pub async fn run(mut self) {
        loop {
            self.shared.until_ready().await;
            // Connect first: what is taken counts as sent.
            if self.session.as_ref().is_none_or(Session::is_closed) {
                self.session = None;
                // The bell may have rung for this sender, while another one has a session.
                self.shared.ring();
                self.connect(&mut Vec::new()).await;
            }
            let taken = Part::take(&self.shared, MOST);
            if !taken.is_empty() {
                self.send(taken).await;
            }
        }
    }

    async fn send(&mut self, mut casts: Part) {
        let retractions = casts.split(|entry| entry.vote.choice.is_none());
        let mut parts: Vec<Part> = [retractions, casts].into_iter().filter(|part| !part.is_empty()).collect();
        let (mut tries, mut is_renewed) = (0, false);
        while let Some(mut part) = parts.pop() {
            let Some(session) = &self.session else {
                parts.push(part);
                self.connect(&mut parts).await;
                continue;
            };
            self.shared.metrics.calls.observe(part.len() as f64);
            let error = match session.call(&part.votes()).await {
                Ok(verdicts) => {
                    self.answer(part, verdicts);
                    continue;
                }
                Err(error) => error,
            };
            self.shared.metrics.repeated.inc();
            tracing::warn!(votes = part.len(), sqlstate = error.sqlstate, failure = ?error.failure, "a call with votes failed");
            let is_too_long = error.sqlstate.as_deref() == Some(CANCELED) && part.len() > SMALL;
            match error.failure {
                // Nothing of it is counted, and it would take as long again.
                Failure::Passing if is_too_long => {
                    parts.push(part.split_half());
                    parts.push(part);
                }
                Failure::Lost | Failure::Passing => {
                    let is_lost = error.failure == Failure::Lost;
                    if is_lost {
                        // The server ends the statement of a lost call by then.
                        let until = Instant::now() + self.place.limit;
                        part.entries().iter_mut().for_each(|entry| entry.in_doubt_until = Some(until));
                    }
                    if is_lost || error.sqlstate.as_deref() == Some(READ_ONLY) {
                        self.session = None;
                    }
                    parts.push(part);
                    sleep(pause(tries)).await;
                    tries += 1;
                }
                Failure::Stale if !is_renewed => {
                    is_renewed = true;
                    self.session = None;
                    parts.push(part);
                }
                Failure::Poison if part.len() > 1 => {
                    parts.push(part.split_half());
                    parts.push(part);
                }
                failure => self.give_up(part, failure, &error),
            }
            drop_unwanted(&mut parts);
        }
    }

    /// Connects, however long that takes; until nobody waits for these votes any more, if there are any.
    async fn connect(&mut self, parts: &mut Vec<Part>) {
        let has_votes = !parts.is_empty();
        for tries in 0.. {
            match Session::open(&self.place).await {
                Ok(session) => {
                    self.session = Some(session);
                    return;
                }
                Err(OpenError::Refused(reason)) => tracing::error!(reason, "votes cannot be sent"),
                Err(OpenError::Passing(reason)) => tracing::warn!(reason, "no connection for votes"),
            }
            sleep(pause(tries)).await;
            drop_unwanted(parts);
            if has_votes && parts.is_empty() {
                return;
            }
        }
    }

    /// Answers the votes of a call at once, but for two kinds. Undecided ones go back into their places. A superseded one is looked up
    /// first, while the next call goes on.
    fn answer(&self, mut part: Part, verdicts: Vec<Verdict>) {
        let (mut verdicts, now) = (verdicts.into_iter(), Instant::now());
        let open = part.split(|entry| match verdicts.next() {
            Some(Verdict::Settled(answer)) if !is_open(&answer, entry.in_doubt_until, now) => {
                if !answer.is_superseded() {
                    self.shared.tell(&mut entry.tag, answer);
                }
                false
            }
            _ => entry.tag.is_wanted(),
        });
        let mut late = part.split(|entry| entry.tag.is_wanted());
        drop(part);
        self.shared.metrics.busy.inc_by(open.len() as u64);
        open.put_back(pause);
        if late.is_empty() {
            return;
        }
        let (shared, reader) = (self.shared.clone(), self.reader.clone());
        tokio::spawn(async move {
            let found = reader.find(&late.voters()).await;
            let mut found = found.unwrap_or_default().into_iter();
            for entry in late.entries() {
                let standing = found.next().flatten();
                shared.tell(&mut entry.tag, Answer::Done { outcome: Outcome::Superseded, standing });
            }
        });
    }

    /// The call was rolled back, and another one would be too.
    fn give_up(&self, mut part: Part, failure: Failure, error: &CallError) {
        if failure != Failure::Poison {
            tracing::error!(sqlstate = error.sqlstate, message = error.message, "votes cannot be counted");
        }
        let refusal = |is_in_doubt: bool| match &error.sqlstate {
            // An earlier call with it may still have counted it.
            _ if is_in_doubt => Answer::Unknown,
            // Of its own a vote can only have wrong data, such as letters that the database has not.
            Some(sqlstate) if failure == Failure::Poison && sqlstate.starts_with("22") => {
                Answer::Refused { sqlstate: sqlstate.clone(), message: error.message.clone(), hint: None }
            }
            Some(_) if failure == Failure::Poison => {
                Answer::Refused { sqlstate: INTERNAL.to_owned(), message: String::new(), hint: None }
            }
            _ => Answer::NotSent,
        };
        for entry in part.entries() {
            self.shared.tell(&mut entry.tag, refusal(entry.in_doubt_until.is_some()));
        }
    }
}

/// Nobody waits for these any more: they have been told that nobody knows.
fn drop_unwanted(parts: &mut Vec<Part>) {
    parts.iter_mut().for_each(|part| drop(part.split(|entry| !entry.tag.is_wanted())));
    parts.retain(|part| !part.is_empty());
}

/// May the answer become another one? A vote of a lost call is refused here because of the close, say, while that call, which was in
/// time, still writes its ballot.
fn is_open(answer: &Answer, in_doubt_until: Option<Instant>, now: Instant) -> bool {
    matches!(answer, Answer::Refused { .. }) && in_doubt_until.is_some_and(|until| now < until)
}

fn pause(tries: u32) -> Duration {
    (PAUSE * 2_u32.saturating_pow(tries.min(16))).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_final_when_no_lost_call_can_be_at_work() {
        let refused = Answer::Refused { sqlstate: "55000".into(), message: String::new(), hint: None };
        let counted = Answer::Done { outcome: Outcome::Counted, standing: None };
        let now = Instant::now();
        let (past, future) = (Some(now), Some(now + PAUSE));
        assert!(is_open(&refused, future, now));
        assert!(!is_open(&refused, past, now) && !is_open(&refused, None, now));
        assert!(!is_open(&counted, future, now) && !is_open(&Answer::Unknown, future, now));
    }

    #[test]
    fn pauses_grow_up_to_a_second() {
        let pauses: Vec<_> = [0, 1, 2, 6, 7, 40, u32::MAX].map(|tries| pause(tries).as_millis()).into();
        assert_eq!(pauses, [10, 20, 40, 640, 1_000, 1_000, 1_000]);
    }
}
