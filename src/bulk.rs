//! Many votes in one call: summed here, so that only distinct sums are appended.

use crate::error::{Result, refused, refused_at};
use crate::jsonb_in::Jsonb;
use crate::vote::coarsened;
use crate::{pending, session, tables, worker};
use pgrx::datum::Array;
use pgrx::pg_extern;
use std::collections::BTreeMap;
use vote_agg_core::cell::cell_from_bits;
use vote_agg_core::element::Element;
use vote_agg_core::name::parse_name;
use vote_agg_core::tally::{Source, Tally, Vote, parse_votes};
use vote_agg_core::{Country, Error};

/// See the COMMENT in sql/write.sql.
#[pg_extern(sql = false)]
fn bulk_increment_jsonb(votes: Option<Jsonb<'_>>) -> Result<i64> {
    session::prevent_read_only(c"bulk_increment()");
    let votes = votes.ok_or_else(|| refused(&Error::Null { what: "votes" }))?;
    let at = tables::now();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    votes.each_element(|element| add_element(&mut tallies, element, at)).map_err(|e| refused_at(e.position, &e.error))?;
    append_sums(&tallies, at)
}

fn add_element(tallies: &mut BTreeMap<String, Tally>, element: &Element, at: i64) -> std::result::Result<(), Error> {
    let match_id = parse_name("match_id", element.match_id()?)?;
    let resolution = element.resolution()?;
    let vote = Vote {
        team: parse_name("team_choice", element.team_choice()?)?,
        cell: element.cell()?.map(|cell| coarsened(cell, resolution)).transpose()?,
        country: element.country_code()?.map(Country::parse).transpose()?,
        votes: parse_votes(Some(element.votes()?.unwrap_or(1)))?,
        in_total: true,
        source: Source::CALL,
        at,
    };
    match tallies.get_mut(match_id) {
        Some(tally) => tally.add(&vote),
        None => tallies.entry(match_id.to_owned()).or_default().add(&vote),
    }
}

/// See the COMMENT in sql/write.sql.
#[pg_extern(sql = false)]
fn bulk_increment_arrays(
    match_id: Option<&[u8]>,
    team_choices: Option<Array<'_, &[u8]>>,
    h3_indexes: Option<Array<'_, i64>>,
    country_codes: Option<Array<'_, &[u8]>>,
    votes: Option<Array<'_, i64>>,
) -> Result<i64> {
    session::prevent_read_only(c"bulk_increment()");
    let at = tables::now();
    let match_id = parse_name("match_id", match_id).map_err(|e| refused(&e))?;
    let teams = team_choices.ok_or_else(|| refused(&Error::Null { what: "team_choices" }))?;
    let expected = teams.len();
    for (name, length) in [
        ("h3_indexes", h3_indexes.as_ref().map(Array::len)),
        ("country_codes", country_codes.as_ref().map(Array::len)),
        ("votes", votes.as_ref().map(Array::len)),
    ] {
        if let Some(length) = length
            && length != expected
        {
            return Err(refused(&Error::Length { what: name, length, expected }));
        }
    }
    let (mut cells, mut countries) = (h3_indexes.as_ref().map(Array::iter), country_codes.as_ref().map(Array::iter));
    let mut counts = votes.as_ref().map(Array::iter);
    let mut tally = Tally::default();
    for (i, team) in teams.iter().enumerate() {
        let (cell, country) =
            (cells.as_mut().and_then(Iterator::next).flatten(), countries.as_mut().and_then(Iterator::next).flatten());
        let votes = counts.as_mut().map_or(Some(1), |counts| counts.next().flatten());
        let mut add = || {
            tally.add(&Vote {
                team: parse_name("team_choice", team)?,
                cell: cell.map(cell_from_bits).transpose()?,
                country: country.map(Country::parse).transpose()?,
                votes: parse_votes(votes)?,
                in_total: true,
                source: Source::CALL,
                at,
            })
        };
        add().map_err(|error| refused_at(i + 1, &error))?;
        if i % 65_536 == 0 {
            pgrx::check_for_interrupts!();
        }
    }
    append_sums(&BTreeMap::from([(match_id.to_owned(), tally)]), at)
}

/// Appends one row a distinct sum, match by match, and returns the votes.
fn append_sums(tallies: &BTreeMap<String, Tally>, at: i64) -> Result<i64> {
    let mut counted = 0i64;
    for (match_id, tally) in tallies {
        let votes: Vec<Vote> = tally.votes(Source::CALL, at).collect();
        let overflow = |votes: i64| refused(&Error::ManyVotes { votes: i128::from(votes) });
        counted = votes.iter().try_fold(counted, |sum, v| sum.checked_add(v.votes).ok_or_else(|| overflow(v.votes)))?;
        if !votes.is_empty() {
            pending::append(match_id, &votes)?;
        }
    }
    worker::ensure(at);
    Ok(counted)
}
