//! Ballots: what a voter's next vote, retraction or retry does to the ballot that is kept.
//!
//! A client may number its voter's votes: 1, 2, 3 …, the *turn*. The ballot keeps the highest. So a retry that arrives late never
//! replaces a newer vote, however often and by whichever way it comes. A retraction with a turn leaves a ballot without a choice,
//! which counts nothing and keeps the turn.

use crate::{CellIndex, Country, Error};

/// Where a voter's vote counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Choice {
    pub team: String,
    pub cell: Option<CellIndex>,
    pub country: Option<Country>,
}

/// A ballot as it is kept, or as a voter asks for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ballot {
    /// `None`: retracted.
    pub choice: Option<Choice>,
    /// `None`: the client does not number its votes.
    pub turn: Option<i64>,
}

/// What became of a vote or retraction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// A voter without a vote has one now.
    Counted,
    /// The vote was another one.
    Changed,
    /// It was so already.
    Unchanged,
    /// The vote is taken back.
    Retracted,
    /// The ballot keeps a higher turn.
    Superseded,
    /// The match allows no changes, and there is another vote.
    Stands,
    /// Another vote had this turn.
    TurnUsed,
}

impl Outcome {
    /// The word for it in SQL; `None` for a refusal, which has an error's text.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Counted => Some("counted"),
            Self::Changed => Some("changed"),
            Self::Unchanged => Some("unchanged"),
            Self::Retracted => Some("retracted"),
            Self::Superseded => Some("superseded"),
            Self::Stands | Self::TurnUsed => None,
        }
    }
}

/// What happens to the row of the ballot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    Keep,
    Write(Ballot),
    Delete,
}

/// Checks a turn: 1 or more.
///
/// # Errors
/// [`Error::Range`].
pub fn parse_turn(turn: Option<i64>) -> Result<Option<i64>, Error> {
    match turn {
        Some(turn) if turn < 1 => Err(Error::Range { what: "turn", value: turn.to_string(), range: "1 or more" }),
        turn => Ok(turn),
    }
}

/// What a turn alone decides: a retry, whatever the match allows by now, and although its cell or country be derived otherwise.
#[must_use]
pub fn decide_by_turn(kept: &Ballot, asked: &Ballot) -> Option<Outcome> {
    let (kept_turn, turn) = (kept.turn?, asked.turn?);
    if turn > kept_turn {
        return None;
    }
    if turn < kept_turn {
        return Some(Outcome::Superseded);
    }
    Some(if is_same_team(kept, asked) { Outcome::Unchanged } else { Outcome::TurnUsed })
}

/// What a vote or retraction that the match takes does to the ballot that is kept, if one is.
#[must_use]
pub fn decide(kept: Option<&Ballot>, asked: &Ballot, may_change: bool) -> (Outcome, Step) {
    let Some(kept) = kept else { return decide_first(asked, may_change) };
    if let Some(outcome) = decide_by_turn(kept, asked) {
        return (outcome, Step::Keep);
    }
    // It never falls, and a vote without a turn leaves it.
    let turn = asked.turn.or(kept.turn);
    let write = |choice: &Option<Choice>| Step::Write(Ballot { choice: choice.clone(), turn });
    match (&kept.choice, &asked.choice) {
        (_, None) if !may_change => (Outcome::Stands, Step::Keep),
        (Some(_), None) if turn.is_none() => (Outcome::Retracted, Step::Delete),
        (Some(_), None) => (Outcome::Retracted, write(&None)),
        (None, Some(_)) => (Outcome::Counted, write(&asked.choice)),
        (before, after) if before == after && turn == kept.turn => (Outcome::Unchanged, Step::Keep),
        (before, after) if before == after => (Outcome::Unchanged, write(&kept.choice)),
        _ if may_change => (Outcome::Changed, write(&asked.choice)),
        // Sent again under another turn, from another place: where nothing changes, the team decides whether it is the same.
        _ if asked.turn.is_some() && is_same_team(kept, asked) => (Outcome::Unchanged, Step::Keep),
        _ => (Outcome::Stands, Step::Keep),
    }
}

fn decide_first(asked: &Ballot, may_change: bool) -> (Outcome, Step) {
    match (&asked.choice, asked.turn) {
        (Some(_), _) => (Outcome::Counted, Step::Write(asked.clone())),
        (None, _) if !may_change => (Outcome::Stands, Step::Keep),
        (None, None) => (Outcome::Unchanged, Step::Keep),
        // The vote that it takes back may still be on its way.
        (None, Some(_)) => (Outcome::Unchanged, Step::Write(asked.clone())),
    }
}

fn is_same_team(a: &Ballot, b: &Ballot) -> bool {
    a.choice.as_ref().map(|choice| &choice.team) == b.choice.as_ref().map(|choice| &choice.team)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ballot(team: &str, turn: impl Into<Option<i64>>) -> Ballot {
        let choice = Choice { team: team.to_owned(), cell: None, country: None };
        Ballot { choice: (!team.is_empty()).then_some(choice), turn: turn.into() }
    }

    /// `""`: a retraction.
    fn outcome(kept: Option<Ballot>, asked: Ballot, may_change: bool) -> (Outcome, Step) {
        decide(kept.as_ref(), &asked, may_change)
    }

    #[test]
    fn without_turns_the_last_one_counts() {
        let (red, blue, none) = (ballot("red", None), ballot("blue", None), ballot("", None));
        assert_eq!(outcome(None, red.clone(), true), (Outcome::Counted, Step::Write(red.clone())));
        assert_eq!(outcome(Some(red.clone()), red.clone(), true), (Outcome::Unchanged, Step::Keep));
        assert_eq!(outcome(Some(red.clone()), blue.clone(), true), (Outcome::Changed, Step::Write(blue.clone())));
        assert_eq!(outcome(Some(red.clone()), blue, false), (Outcome::Stands, Step::Keep));
        assert_eq!(outcome(Some(red.clone()), none.clone(), true), (Outcome::Retracted, Step::Delete));
        assert_eq!(outcome(Some(red), none.clone(), false), (Outcome::Stands, Step::Keep));
        assert_eq!(outcome(None, none.clone(), true), (Outcome::Unchanged, Step::Keep));
        assert_eq!(outcome(None, none, false), (Outcome::Stands, Step::Keep));
    }

    #[test]
    fn a_turn_orders_votes_and_is_used_once() {
        let (red, blue) = (ballot("red", 2), ballot("blue", 3));
        assert_eq!(outcome(Some(red.clone()), ballot("blue", 1), true), (Outcome::Superseded, Step::Keep));
        assert_eq!(outcome(Some(red.clone()), ballot("", 1), false), (Outcome::Superseded, Step::Keep));
        assert_eq!(outcome(Some(red.clone()), ballot("blue", 2), true), (Outcome::TurnUsed, Step::Keep));
        assert_eq!(outcome(Some(red.clone()), blue.clone(), true), (Outcome::Changed, Step::Write(blue.clone())));
        assert_eq!(outcome(Some(red.clone()), ballot("red", 3), true), (Outcome::Unchanged, Step::Write(ballot("red", 3))));
        assert_eq!(outcome(Some(red), ballot("", 3), true), (Outcome::Retracted, Step::Write(ballot("", 3))));
        assert_eq!(outcome(None, ballot("", 3), true), (Outcome::Unchanged, Step::Write(ballot("", 3))));
        assert_eq!(outcome(Some(ballot("", 3)), ballot("red", 2), true), (Outcome::Superseded, Step::Keep));
        assert_eq!(outcome(Some(ballot("", 3)), ballot("", 3), true), (Outcome::Unchanged, Step::Keep));
        assert_eq!(outcome(Some(ballot("", 3)), ballot("", 4), true), (Outcome::Unchanged, Step::Write(ballot("", 4))));
        assert_eq!(outcome(Some(ballot("", 3)), ballot("red", 4), false), (Outcome::Counted, Step::Write(ballot("red", 4))));
        // A vote without a turn is taken as it comes, and leaves the turn.
        assert_eq!(outcome(Some(blue.clone()), ballot("red", None), true), (Outcome::Changed, Step::Write(ballot("red", 3))));
        assert_eq!(outcome(Some(blue), ballot("", None), true), (Outcome::Retracted, Step::Write(ballot("", 3))));
        assert_eq!(
            outcome(Some(ballot("red", None)), ballot("red", 1), true),
            (Outcome::Unchanged, Step::Write(ballot("red", 1)))
        );
    }

    #[test]
    fn the_team_decides_whether_a_retry_is_the_same() {
        let place = |turn: i64| {
            let choice = Choice { team: "red".into(), cell: None, country: Some(Country::parse(b"FR").expect("a country")) };
            Ballot { choice: Some(choice), turn: Some(turn) }
        };
        assert_eq!(outcome(Some(ballot("red", 1)), place(1), true), (Outcome::Unchanged, Step::Keep));
        assert_eq!(outcome(Some(ballot("red", 1)), place(2), false), (Outcome::Unchanged, Step::Keep));
        assert_eq!(outcome(Some(ballot("red", 1)), place(2), true), (Outcome::Changed, Step::Write(place(2))));
        assert_eq!(outcome(Some(ballot("red", 1)), Ballot { turn: None, ..place(2) }, false), (Outcome::Stands, Step::Keep));
    }

    #[test]
    fn turns_start_at_one() {
        assert_eq!(parse_turn(None), Ok(None));
        assert_eq!(parse_turn(Some(1)), Ok(Some(1)));
        assert!(matches!(parse_turn(Some(0)), Err(Error::Range { .. })));
    }

    proptest! {
        /// Requests of one voter are dropped, doubled and delayed at will: the highest turn that arrived is what counts.
        #[test]
        fn the_highest_turn_that_arrived_counts(
            teams in prop::collection::vec(prop::sample::select(vec!["", "red", "blue", "green"]), 1..8),
            arrivals in prop::collection::vec(0..8_usize, 1..30),
        ) {
            let asked: Vec<Ballot> = teams.iter().zip(1..).map(|(team, turn)| ballot(team, turn)).collect();
            let mut kept: Option<Ballot> = None;
            let mut highest: Option<&Ballot> = None;
            for ask in arrivals.iter().filter_map(|i| asked.get(*i)) {
                let before = kept.clone().and_then(|ballot| ballot.turn);
                let (outcome, step) = decide(kept.as_ref(), ask, true);
                prop_assert!(!matches!(outcome, Outcome::Stands | Outcome::TurnUsed));
                match step {
                    Step::Keep => {}
                    Step::Write(ballot) => kept = Some(ballot),
                    Step::Delete => prop_assert!(false, "a ballot with a turn is never deleted"),
                }
                highest = highest.into_iter().chain([ask]).max_by_key(|ballot| ballot.turn);
                prop_assert_eq!(kept.as_ref(), highest);
                prop_assert!(kept.as_ref().and_then(|ballot| ballot.turn) >= before, "the turn falls");
            }
        }
    }

    #[test]
    fn an_outcome_has_a_word_and_a_refusal_has_none() {
        use Outcome::{Changed, Counted, Retracted, Stands, Superseded, TurnUsed, Unchanged};
        let words = [Counted, Changed, Unchanged, Retracted, Superseded].map(Outcome::name);
        assert_eq!(words, ["counted", "changed", "unchanged", "retracted", "superseded"].map(Some));
        assert_eq!([Stands, TurnUsed].map(Outcome::name), [None, None]);
    }
}
