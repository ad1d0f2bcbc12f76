//! Many votes in one call: summed here, so that only distinct sums are appended.

use crate::error::{Refused, Result};
use crate::pg::jsonb_in::Jsonb;
use crate::pg::{clock, transaction};
use crate::session::admission::Terms;
use crate::session::{launch, memory};
use crate::write::append::{self, Admitted};
use crate::write::ballot::{fence, moves, refusal};
use crate::write::ballot_box::Wait;
use crate::write::ballot_row::Voter;
use crate::write::held::Held;
use crate::write::record::coarsened;
use pgrx::datum::Array;
use pgrx::pg_extern;
use std::collections::{BTreeMap, BTreeSet};
use vote_agg_core::vote::arrivals::{Arrivals, Source, Vote};
use vote_agg_core::vote::ballot::{Ballot, Choice, Outcome, decide};
use vote_agg_core::vote::cell::cell_from_bits;
use vote_agg_core::vote::element::{Element, Refusal};
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::{self, MAX_VOTES, parse_votes};
use vote_agg_core::{Country, Error, parse_resolution};

/// See the COMMENT in sql/20-write.sql.
#[pg_extern(sql = false)]
fn bulk_increment_jsonb(votes: Option<Jsonb<'_>>) -> Result<i64> {
    transaction::prevent_read_only(c"bulk_increment()");
    let votes = votes.ok_or(Error::Null { what: "votes" })?;
    let at = clock::now();
    let mut batches: BTreeMap<String, Batch> = BTreeMap::new();
    let mut position = 0;
    let added = votes.each_element(|element| {
        position += 1;
        let match_id = parse_name("match_id", element.match_id()?)?;
        if !batches.contains_key(match_id) {
            batches.insert(match_id.to_owned(), Batch::default());
        }
        batches.get_mut(match_id).map_or(Ok(()), |batch| batch.add(position, element, at))
    });
    added?;
    append(&batches, at, |seek| {
        let mut position = 0;
        // Every element was read before, without an error.
        let _ = votes.each_element(|element| {
            position += 1;
            if let (Some(match_id), Some(team)) = (element.match_id()?, element.team_choice()?) {
                seek.look(position, parse_name("match_id", Some(match_id))?, parse_name("team_choice", Some(team))?);
            }
            Ok(())
        });
    })
}

/// What a call brings to one match.
#[derive(Default)]
struct Batch {
    votes: Arrivals,
    /// By voter, in the order of the elements, with their positions. Voters in order: calls that have several in common
    /// wait for each other's first, never crosswise.
    ballots: BTreeMap<String, Vec<(usize, Choice)>>,
}

impl Batch {
    fn add(&mut self, position: usize, element: &Element, at: i64) -> std::result::Result<(), Error> {
        let resolution = element.resolution()?;
        if let Some(resolution) = resolution {
            parse_resolution(resolution)?;
        }
        let team = parse_name("team_choice", element.team_choice()?)?;
        let cell = element.cell()?.map(|cell| coarsened(cell, resolution)).transpose()?;
        let country = element.country_code()?.map(Country::parse).transpose()?;
        let votes = parse_votes(Some(element.votes()?.unwrap_or(1)))?;
        let Some(voter_id) = element.voter_id()? else {
            return self.votes.add(&Vote { team, cell, country, votes, in_total: true, source: Source::CALL, at }).map(drop);
        };
        let voter_id = parse_name("voter_id", Some(voter_id))?;
        if votes != 1 {
            return Err(Error::BallotVotes { votes });
        }
        let choice = Choice { team: team.to_owned(), cell, country };
        // Most voters come once, and a list grows to four at first.
        self.ballots.entry(voter_id.to_owned()).or_insert_with(|| Vec::with_capacity(1)).push((position, choice));
        Ok(())
    }

    /// Casts the ballots and adds what they change to `sums`; returns how many were the voters' first.
    fn cast(&self, match_id: &str, terms: Terms, sums: &mut Arrivals, at: i64) -> Result<i64> {
        if self.ballots.is_empty() {
            return Ok(0);
        }
        let mut ballots = Held::open()?;
        let (mut counted, mut was_so) = (0, false);
        for (voter_id, choices) in &self.ballots {
            let voter = Voter { match_id, voter_id };
            for (position, choice) in choices {
                fence(terms, voter, Some(*position))?;
                let asked = Ballot { choice: Some(choice.clone()), turn: None };
                let decide = |kept: Option<&Ballot>| decide(kept, &asked, terms.changes_allowed);
                let Some(cast) = ballots.cast(voter, Wait::ForTheVoter, decide)? else { continue };
                if let Some(refusal) = refusal(cast.outcome, voter, &asked, Some(*position)) {
                    return Err(refusal.into());
                }
                counted += i64::from(cast.outcome == Outcome::Counted);
                was_so |= cast.outcome == Outcome::Unchanged;
                for vote in moves(&cast, Some(choice), at) {
                    sums.add(&vote)?;
                }
            }
            ballots.write()?;
        }
        if was_so {
            transaction::commit_as_a_writer();
        }
        Ok(counted)
    }
}

/// See the COMMENT in sql/20-write.sql.
#[pg_extern(sql = false)]
fn bulk_increment_arrays(
    match_id: Option<&[u8]>,
    team_choices: Option<Array<'_, &[u8]>>,
    h3_indexes: Option<Array<'_, i64>>,
    country_codes: Option<Array<'_, &[u8]>>,
    votes: Option<Array<'_, i64>>,
) -> Result<i64> {
    transaction::prevent_read_only(c"bulk_increment()");
    let at = clock::now();
    let match_id = parse_name("match_id", match_id)?;
    let teams = team_choices.ok_or(Error::Null { what: "team_choices" })?;
    let expected = teams.len();
    for (name, length) in [
        ("h3_indexes", h3_indexes.as_ref().map(Array::len)),
        ("country_codes", country_codes.as_ref().map(Array::len)),
        ("votes", votes.as_ref().map(Array::len)),
    ] {
        if let Some(length) = length
            && length != expected
        {
            return Err(Error::Length { what: name, length, expected }.into());
        }
    }
    let (mut cells, mut countries) = (h3_indexes.as_ref().map(Array::iter), country_codes.as_ref().map(Array::iter));
    let mut counts = votes.as_ref().map(Array::iter);
    let mut arrivals = Arrivals::default();
    for (i, team) in teams.iter().enumerate() {
        let (cell, country) =
            (cells.as_mut().and_then(Iterator::next).flatten(), countries.as_mut().and_then(Iterator::next).flatten());
        let votes = counts.as_mut().map_or(Some(1), |counts| counts.next().flatten());
        let mut add = || {
            arrivals.add(&Vote {
                team: parse_name("team_choice", team)?,
                cell: cell.map(cell_from_bits).transpose()?,
                country: country.map(Country::parse).transpose()?,
                votes: parse_votes(votes)?,
                in_total: true,
                source: Source::CALL,
                at,
            })
        };
        add().map_err(|error| Refusal { position: i + 1, error })?;
        if i % 65_536 == 0 {
            pgrx::check_for_interrupts!();
        }
    }
    append(&BTreeMap::from([(match_id.to_owned(), Batch { votes: arrivals, ..Batch::default() })]), at, |seek| {
        for (i, team) in teams.iter().enumerate() {
            if let Ok(team) = parse_name("team_choice", team) {
                seek.look(i + 1, match_id, team);
            }
        }
    })
}

/// Looks for the element of a call that its match refuses: the first one that it refuses alone, else the first one that is too many
/// for it after those before.
struct Seek {
    at: i64,
    is_alone: bool,
    /// The teams so far, by match.
    teams: BTreeMap<String, BTreeSet<String>>,
    found: Option<(usize, Refused)>,
}

impl Seek {
    fn look(&mut self, position: usize, match_id: &str, team: &str) {
        if self.found.is_some() || self.teams.get(match_id).is_some_and(|teams| teams.contains(team)) {
            return;
        }
        let teams = self.teams.entry(match_id.to_owned()).or_default();
        teams.insert(team.to_owned());
        let others = teams.iter().map(String::as_str).filter(|other| !self.is_alone && *other != team);
        if let Ok(Err(refused)) = memory::ask_match(match_id, others.chain(std::iter::once(team)), self.at) {
            self.found = Some((position, refused));
        }
    }
}

/// Appends one row a distinct sum, match by match, and returns the votes counted. `each` shows all elements again where a match
/// takes none of them: then the error names the one.
fn append(batches: &BTreeMap<String, Batch>, at: i64, each: impl Fn(&mut Seek)) -> Result<i64> {
    let mut refused = false;
    append_all(batches, at, &mut refused).map_err(|error| {
        let seek = |is_alone| {
            let mut seek = Seek { at: clock::now(), is_alone, teams: BTreeMap::new(), found: None };
            each(&mut seek);
            seek.found
        };
        let found = if refused { seek(true).or_else(|| seek(false)) } else { None };
        found.map_or(error, |(position, refused)| refused.at_element(position))
    })
}

fn append_all(batches: &BTreeMap<String, Batch>, at: i64, refused: &mut bool) -> Result<i64> {
    let mut counted = 0i64;
    for (match_id, batch) in batches.iter().filter(|(_, batch)| batch.votes.distinct() > 0 || !batch.ballots.is_empty()) {
        let teams = batch.ballots.values().flatten().map(|(_, choice)| choice.team.as_str());
        *refused = true;
        let Admitted { heap, terms } = append::begin(match_id, teams.chain(batch.votes.teams().iter().map(String::as_str)))?;
        *refused = false;
        let mut moves = Arrivals::default();
        let voters = batch.cast(match_id, terms, &mut moves, at)?;
        counted = tally::total(&[counted, voters, batch.votes.total()])?;
        if counted > MAX_VOTES {
            return Err(Error::ManyVotes { votes: counted.into() }.into());
        }
        heap.look_at_end();
        for vote in batch.votes.votes(Source::CALL, at).chain(moves.votes(Source::BALLOT, at)) {
            heap.insert(match_id, &vote);
        }
    }
    launch::ensure(at);
    Ok(counted)
}
