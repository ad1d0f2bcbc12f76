//! A vote on its way.

use std::sync::Arc;
use vote_agg_core::vote::ballot::Choice;

/// A voter in a match: the key of a ballot.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Voter {
    pub match_id: String,
    pub voter_id: String,
}

/// A vote or a retraction.
#[derive(Clone, Debug, PartialEq)]
pub struct Vote {
    pub voter: Arc<Voter>,
    /// `None`: a retraction.
    pub choice: Option<Choice>,
    /// The client's counter.
    pub turn: i64,
}

/// What a vote takes beside its text, about: its place in line, the voter's line, and the one that waits for its answer.
const OVERHEAD: usize = 400;

impl Vote {
    /// How much memory it takes until it is answered, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let team = self.choice.as_ref().map_or(0, |choice| choice.team.len());
        OVERHEAD + self.voter.match_id.len() + self.voter.voter_id.len() + team
    }
}
