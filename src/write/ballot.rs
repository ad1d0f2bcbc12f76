//! Ballots: one voter, one vote. A change takes the old vote out of the totals and puts the new one in. Both are rows of
//! pending, in the transaction that changes the ballot, so that no reader sees both or neither.

use crate::error::{Refused, Result, quoted};
use crate::pg::cell::AnyCell;
use crate::pg::{clock, transaction};
use crate::session::admission::Terms;
use crate::session::launch;
use crate::write::append::{self, Admitted};
use crate::write::ballot_box::{BallotBox, Cast, Wait};
use crate::write::ballot_row::Voter;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, pg_extern};
use vote_agg_core::vote::ballot::{Ballot, Choice, Outcome, decide};
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::placement::{Place, shard_of};
use vote_agg_core::vote::tally::{Source, Vote};
use vote_agg_core::{Country, Error};

/// See the COMMENT in sql/25-ballot.sql.
#[pg_extern(sql = false)]
fn cast_vote(
    match_id: Option<&[u8]>,
    voter_id: Option<&[u8]>,
    team_choice: Option<&[u8]>,
    h3_index: Option<AnyCell<'_>>,
    country_code: Option<&[u8]>,
) -> Result<&'static str> {
    transaction::prevent_read_only(c"cast_vote()");
    let voter = voter(match_id, voter_id)?;
    let team = parse_name("team_choice", team_choice)?.to_owned();
    let cell = h3_index.map(AnyCell::parse).transpose()?;
    let choice = Choice { team, cell, country: country_code.map(Country::parse).transpose()? };
    let team = std::iter::once(choice.team.as_str());
    let admitted = append::begin(voter.match_id, team)?;
    fence(admitted.terms, voter, None)?;
    let asked = Ballot { choice: Some(choice.clone()), turn: None };
    let outcome = settle(&admitted, voter, &asked)?;
    Ok(outcome.name().unwrap_or_default())
}

/// Casts, changes or retracts one voter's vote, after waiting for another transaction of the same voter.
fn settle(admitted: &Admitted, voter: Voter, asked: &Ballot) -> Result<Outcome> {
    let decide = |kept: Option<&Ballot>| decide(kept, asked, admitted.terms.changes_allowed);
    let Some((cast, _)) = BallotBox::open()?.cast(voter, Wait::ForTheVoter, decide)? else { return Ok(Outcome::Unchanged) };
    if let Some(refused) = refusal(cast.outcome, voter, asked, None) {
        return Err(refused.into());
    }
    let at = clock::now();
    let mut moves = moves(&cast, asked.choice.as_ref(), at).peekable();
    if moves.peek().is_some() {
        admitted.heap.look_at_end();
        for vote in moves {
            admitted.heap.insert(voter.match_id, &vote);
        }
        launch::ensure(at);
    } else {
        transaction::commit_as_a_writer();
    }
    Ok(cast.outcome)
}

/// See the COMMENT in sql/25-ballot.sql.
#[pg_extern(sql = false)]
fn retract_vote(match_id: Option<&[u8]>, voter_id: Option<&[u8]>) -> Result<bool> {
    transaction::prevent_read_only(c"retract_vote()");
    let voter = voter(match_id, voter_id)?;
    let admitted = append::begin(voter.match_id, std::iter::empty())?;
    fence(admitted.terms, voter, None)?;
    let asked = Ballot { choice: None, turn: None };
    // Without a wait for the voter's other calls, which would change nothing about it.
    if let Some(refused) = refusal(decide(None, &asked, admitted.terms.changes_allowed).0, voter, &asked, None) {
        return Err(refused.into());
    }
    Ok(settle(&admitted, voter, &asked)? == Outcome::Retracted)
}

/// Parses a match and a voter.
///
/// # Errors
/// Those of [`parse_name`].
pub fn voter<'a>(match_id: Option<&'a [u8]>, voter_id: Option<&'a [u8]>) -> std::result::Result<Voter<'a>, Error> {
    Ok(Voter { match_id: parse_name("match_id", match_id)?, voter_id: parse_name("voter_id", voter_id)? })
}

/// Refuses a voter whose ballots are on another shard: here it would have one more. In a bulk call that of the element at `position`.
///
/// # Errors
/// 23514, which nothing else in these functions raises.
pub fn fence(terms: Terms, voter: Voter, position: Option<usize>) -> std::result::Result<(), Refused> {
    let Some(place) = terms.place.filter(|place| !place.has(voter.voter_id)) else { return Ok(()) };
    let Place { shard, shards } = place;
    let own = shard_of(voter.voter_id.as_bytes(), shards);
    let element = position.map_or_else(String::new, |position| format!("element {position}: "));
    let (voter_id, match_id) = (quoted(voter.voter_id), quoted(voter.match_id));
    Err(Refused::elsewhere(
        format!("{element}voter {voter_id} is none of shard {shard} in match {match_id}"),
        format!("Of the {shards} shards of this match, number {own} has the voter's ballot."),
        "Send the vote through a front that knows where the match is: vote_agg_front.reload() reads it again.",
    ))
}

/// The refusal that an outcome is; in a bulk call of the element at `position`.
pub fn refusal(outcome: Outcome, voter: Voter, asked: &Ballot, position: Option<usize>) -> Option<Refused> {
    let (voter_id, match_id) = (quoted(voter.voter_id), quoted(voter.match_id));
    match outcome {
        Outcome::Stands if asked.choice.is_none() => {
            let what = format!("match {match_id} allows no vote to be retracted");
            Some(Refused::not_now(what, "It was opened with changes_allowed = false.".into(), "The first vote stands."))
        }
        Outcome::Stands => {
            let element = position.map_or_else(String::new, |position| format!("element {position}: "));
            Some(second_vote(
                format!("{element}voter {voter_id} has cast another vote in match {match_id} already"),
                "The match was opened with changes_allowed = false.",
                "The first vote stands; casting the same one again does no harm.",
            ))
        }
        Outcome::TurnUsed => Some(second_vote(
            format!("turn {} of voter {voter_id} in match {match_id} was another vote", asked.turn.unwrap_or_default()),
            "A turn belongs to one vote, so that a retry is known from a change.",
            "Give the next vote of this voter a higher turn.",
        )),
        _ => None,
    }
}

fn second_vote(message: String, detail: &str, hint: &str) -> Refused {
    let code = PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION;
    let report = ErrorReport::new(code, message, pgrx::function_name!()).set_detail(detail).set_hint(hint);
    Refused { code, report }
}

/// The votes by which a ballot that was cast changes the totals: none where it is as before.
pub fn moves<'a>(cast: &'a Cast, to: Option<&'a Choice>, at: i64) -> impl Iterator<Item = Vote<'a>> {
    let (from, to) = match cast.outcome {
        Outcome::Counted => (None, to),
        Outcome::Changed => (cast.before.as_ref(), to),
        Outcome::Retracted => (cast.before.as_ref(), None),
        _ => (None, None),
    };
    moved(from, to, at)
}

/// The votes by which a move of a ballot from one choice to another changes the totals.
pub fn moved<'a>(from: Option<&'a Choice>, to: Option<&'a Choice>, at: i64) -> impl Iterator<Item = Vote<'a>> {
    from.map(|choice| (choice, -1)).into_iter().chain(to.map(|choice| (choice, 1))).map(move |(choice, votes)| Vote {
        team: &choice.team,
        cell: choice.cell,
        country: choice.country,
        votes,
        in_total: true,
        source: Source::BALLOT,
        at,
    })
}
