//! Recording votes: parse, check, append one row to pending.

use crate::error::Result;
use crate::pg::cell::AnyCell;
use crate::pg::{clock, transaction};
use crate::session::launch;
use crate::write::append;
use pgrx::pg_extern;
use vote_agg_core::vote::cell::coarsen;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::{Source, Vote, parse_votes};
use vote_agg_core::{CellIndex, Country, Error, parse_resolution};

/// See the COMMENT in sql/20-write.sql.
#[pg_extern(sql = false)]
fn record_vote(
    match_id: Option<&[u8]>,
    team_choice: Option<&[u8]>,
    h3_index: Option<AnyCell<'_>>,
    country_code: Option<&[u8]>,
    votes: Option<i64>,
) -> Result<()> {
    let cell = h3_index.map(AnyCell::parse).transpose();
    record(c"record_vote()", match_id, team_choice, cell, country_code, votes, true)
}

/// See the COMMENT in sql/20-write.sql.
#[pg_extern(sql = false)]
fn increment_h3_aggregate(
    match_id: Option<&[u8]>,
    h3_index: Option<AnyCell<'_>>,
    resolution: Option<i32>,
    team_choice: Option<&[u8]>,
    votes: Option<i64>,
) -> Result<()> {
    let cell = h3_index.ok_or(Error::Null { what: "h3_index" }).and_then(AnyCell::parse);
    let cell = cell.and_then(|cell| coarsened(cell, resolution.map(i64::from))).map(Some);
    record(c"increment_h3_aggregate()", match_id, team_choice, cell, None, votes, true)
}

/// See the COMMENT in sql/20-write.sql.
#[pg_extern(sql = false)]
fn increment_country_aggregate(
    match_id: Option<&[u8]>,
    country_code: Option<&[u8]>,
    team_choice: Option<&[u8]>,
    votes: Option<i64>,
) -> Result<()> {
    let country = country_code.ok_or(Error::Null { what: "country_code" })?;
    record(c"increment_country_aggregate()", match_id, team_choice, Ok(None), Some(country), votes, false)
}

/// The cell at `resolution`; `None` leaves it as it is.
///
/// # Errors
/// [`Error::Resolution`] or [`Error::FinerResolution`].
pub fn coarsened(cell: CellIndex, resolution: Option<i64>) -> std::result::Result<CellIndex, Error> {
    resolution.map_or(Ok(cell), |r| parse_resolution(r).and_then(|r| coarsen(cell, r)))
}

fn record(
    function: &std::ffi::CStr,
    match_id: Option<&[u8]>,
    team: Option<&[u8]>,
    cell: std::result::Result<Option<CellIndex>, Error>,
    country: Option<&[u8]>,
    votes: Option<i64>,
    in_total: bool,
) -> Result<()> {
    transaction::prevent_read_only(function);
    let at = clock::now();
    let match_id = parse_name("match_id", match_id)?;
    let team = parse_name("team_choice", team)?;
    let country = country.map(Country::parse).transpose()?;
    let vote = Vote { team, cell: cell?, country, votes: parse_votes(votes)?, in_total, source: Source::CALL, at };
    append::append(match_id, &[vote])?;
    launch::ensure(at);
    Ok(())
}
