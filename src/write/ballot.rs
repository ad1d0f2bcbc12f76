//! Ballots: one voter, one vote. A change takes the old vote out of the totals and puts the new one in. Both are rows of
//! pending, in the transaction that changes the ballot, so that no reader sees both or neither.

use crate::error::{Result, not_now, quoted, refused};
use crate::pg::{clock, transaction};
use crate::session::launch;
use crate::write::append::{self, Admitted};
use crate::write::ballot_box::{BallotBox, Cast, Choice, Voter};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, pg_extern};
use vote_agg_core::vote::cell::cell_from_bits;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::{Source, Vote};
use vote_agg_core::{CellIndex, Country, Error, parse_cell};

/// See the COMMENT in sql/25-ballot.sql.
#[pg_extern(sql = false)]
fn cast_vote(
    match_id: Option<&[u8]>,
    voter_id: Option<&[u8]>,
    team_choice: Option<&[u8]>,
    h3_index: Option<&[u8]>,
    country_code: Option<&[u8]>,
) -> Result<&'static str> {
    cast(match_id, voter_id, team_choice, h3_index.map(parse_cell).transpose(), country_code)
}

/// See the COMMENT in sql/25-ballot.sql.
#[pg_extern(sql = false)]
fn cast_vote_bigint(
    match_id: Option<&[u8]>,
    voter_id: Option<&[u8]>,
    team_choice: Option<&[u8]>,
    h3_index: Option<i64>,
    country_code: Option<&[u8]>,
) -> Result<&'static str> {
    cast(match_id, voter_id, team_choice, h3_index.map(cell_from_bits).transpose(), country_code)
}

fn cast(
    match_id: Option<&[u8]>,
    voter_id: Option<&[u8]>,
    team: Option<&[u8]>,
    cell: std::result::Result<Option<CellIndex>, Error>,
    country: Option<&[u8]>,
) -> Result<&'static str> {
    transaction::prevent_read_only(c"cast_vote()");
    let parse = || {
        let voter = voter(match_id, voter_id)?;
        let team = parse_name("team_choice", team)?.to_owned();
        Ok((voter, Choice { team, cell: cell?, country: country.map(Country::parse).transpose()? }))
    };
    let (voter, choice) = parse().map_err(refused)?;
    let Admitted { heap, changes_allowed } = append::begin(voter.match_id, std::iter::once(choice.team.as_str()))?;
    let cast = BallotBox::open()?.cast(voter, &choice, changes_allowed)?;
    let at = clock::now();
    let (old, outcome) = match &cast {
        Cast::Unchanged => return Ok("unchanged"),
        Cast::Counted => (None, "counted"),
        Cast::Changed(old) => (Some(old), "changed"),
        Cast::Refused => return Err(changes_nothing(voter, None)),
    };
    heap.look_at_end();
    for vote in moved(old, Some(&choice), at) {
        heap.insert(voter.match_id, &vote);
    }
    launch::ensure(at);
    Ok(outcome)
}

/// See the COMMENT in sql/25-ballot.sql.
#[pg_extern(sql = false)]
fn retract_vote(match_id: Option<&[u8]>, voter_id: Option<&[u8]>) -> Result<bool> {
    transaction::prevent_read_only(c"retract_vote()");
    let voter = voter(match_id, voter_id).map_err(refused)?;
    let Admitted { heap, changes_allowed } = append::begin(voter.match_id, std::iter::empty())?;
    if !changes_allowed {
        let what = format!("match {} allows no vote to be retracted", quoted(voter.match_id));
        return Err(not_now(what, "It was opened with changes_allowed = false.".into(), "The first vote stands."));
    }
    let Some(old) = BallotBox::open()?.retract(voter)? else { return Ok(false) };
    let at = clock::now();
    heap.look_at_end();
    for vote in moved(Some(&old), None, at) {
        heap.insert(voter.match_id, &vote);
    }
    launch::ensure(at);
    Ok(true)
}

fn voter<'a>(match_id: Option<&'a [u8]>, voter_id: Option<&'a [u8]>) -> std::result::Result<Voter<'a>, Error> {
    Ok(Voter { match_id: parse_name("match_id", match_id)?, voter_id: parse_name("voter_id", voter_id)? })
}

/// The refusal of a second, different vote, where none may be changed; in a bulk call of the element at `position`.
pub fn changes_nothing(voter: Voter, position: Option<usize>) -> ErrorReport {
    let element = position.map_or_else(String::new, |position| format!("element {position}: "));
    let message =
        format!("{element}voter {} has cast another vote in match {} already", quoted(voter.voter_id), quoted(voter.match_id));
    ErrorReport::new(PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION, message, pgrx::function_name!())
        .set_detail("The match was opened with changes_allowed = false.")
        .set_hint("The first vote stands; casting the same one again does no harm.")
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
