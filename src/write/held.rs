//! Ballots that one call has written, and so holds to the end of its transaction. What else their voters ask for in the call is
//! decided in memory, and written once at its end. A row that changes again and again within a transaction keeps all its versions,
//! and each look goes through them.

use crate::error::{Result, broken, quoted};
use crate::write::ballot_box::{BallotBox, Cast, Wait};
use crate::write::ballot_row::Voter;
use std::collections::HashMap;
use vote_agg_core::vote::ballot::{Ballot, Outcome, Step};

/// The ballots of a call.
pub struct Held<'a> {
    ballots: BallotBox,
    written: HashMap<Voter<'a>, State>,
}

/// What a ballot says by now.
struct State {
    /// `None`: it is deleted.
    ballot: Option<Ballot>,
    /// Does its row say something else?
    is_ahead: bool,
}

impl<'a> Held<'a> {
    /// None yet.
    ///
    /// # Errors
    /// Those of [`BallotBox::open`].
    pub fn open() -> Result<Self> {
        Ok(Self { ballots: BallotBox::open()?, written: HashMap::new() })
    }

    /// As [`BallotBox::cast`].
    ///
    /// # Errors
    /// Those of [`BallotBox::cast`].
    pub fn cast(
        &mut self,
        voter: Voter<'a>,
        wait: Wait,
        decide: impl Fn(Option<&Ballot>) -> (Outcome, Step),
    ) -> Result<Option<Cast>> {
        let Some(held) = self.written.get_mut(&voter) else {
            let Some((cast, step)) = self.ballots.cast(voter, wait, decide)? else { return Ok(None) };
            let ballot = match step {
                Step::Keep => return Ok(Some(cast)),
                Step::Write(ballot) => Some(ballot),
                Step::Delete => None,
            };
            self.written.insert(voter, State { ballot, is_ahead: false });
            return Ok(Some(cast));
        };
        let (outcome, step) = decide(held.ballot.as_ref());
        held.is_ahead |= step != Step::Keep;
        let before = match step {
            Step::Keep => held.ballot.clone(),
            Step::Write(ballot) => held.ballot.replace(ballot),
            Step::Delete => held.ballot.take(),
        };
        Ok(Some(Cast { outcome, before: before.and_then(|ballot| ballot.choice) }))
    }

    /// Writes what was decided in memory.
    ///
    /// # Errors
    /// Those of [`BallotBox::cast`].
    pub fn write(&mut self) -> Result<()> {
        for (voter, held) in self.written.drain().filter(|(_, held)| held.is_ahead) {
            let step = |kept: Option<&Ballot>| match (kept, &held.ballot) {
                (_, Some(ballot)) => Step::Write(ballot.clone()),
                (Some(_), None) => Step::Delete,
                (None, None) => Step::Keep,
            };
            // Nobody else can have come between: the call holds the ballot since it wrote it first.
            if self.ballots.cast(voter, Wait::Never, |kept| (Outcome::Changed, step(kept)))?.is_none() {
                return Err(broken(format!("the ballot of voter {} is not held any more", quoted(voter.voter_id))));
            }
        }
        Ok(())
    }
}
