//! What became of a vote.

use serde::Serialize;
use vote_agg_core::vote::ballot::Outcome;

/// The vote of a voter that stands.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Standing {
    /// `None`: the voter has taken it back.
    pub team_choice: Option<String>,
    pub turn: Option<i64>,
    /// Where it was cast, as coarse as it is kept.
    #[serde(skip)]
    pub h3_index: Option<String>,
}

/// What became of a vote.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// It is as the outcome says, and durable.
    Done { outcome: Outcome, standing: Option<Standing> },
    /// The database refused it. It does not count.
    Refused { sqlstate: String, message: String, hint: Option<String> },
    /// It was never sent, or the database surely rolled it back: it does not count.
    NotSent,
    /// It was sent, and nobody knows what became of it.
    Unknown,
}

impl Answer {
    /// The word for it in metrics.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Done { outcome, .. } => outcome.name().unwrap_or("refused"),
            Self::Refused { .. } => "refused",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
        }
    }

    /// Does a newer vote stand?
    #[must_use]
    pub const fn is_superseded(&self) -> bool {
        matches!(self, Self::Done { outcome: Outcome::Superseded, .. })
    }
}

/// The outcome that a word of SQL stands for, unless it is a refusal or `busy`.
#[must_use]
pub fn parse_outcome(word: &str) -> Option<Outcome> {
    let outcomes = [Outcome::Counted, Outcome::Changed, Outcome::Unchanged, Outcome::Retracted, Outcome::Superseded];
    outcomes.into_iter().find(|outcome| outcome.name() == Some(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_have_the_words_of_sql() {
        assert_eq!(parse_outcome("counted"), Some(Outcome::Counted));
        assert_eq!(parse_outcome("superseded"), Some(Outcome::Superseded));
        assert_eq!((parse_outcome("busy"), parse_outcome("refused"), parse_outcome("")), (None, None, None));
        assert_eq!(Answer::Done { outcome: Outcome::Retracted, standing: None }.word(), "retracted");
        assert_eq!((Answer::NotSent.word(), Answer::Unknown.word()), ("not_sent", "unknown"));
    }
}
