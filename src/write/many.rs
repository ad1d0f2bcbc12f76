//! Many votes of strangers in one call, each with its own outcome. One that is wrong harms no other, and no voter waits for
//! another: a ballot that another transaction holds is `busy`. There is no subtransaction an element: what can be wrong with one
//! is found before anything is written for it.

use crate::error::{Refused, Result, broken, quoted, too_large};
use crate::pending::heap::OpenHeap;
use crate::pg::transaction;
use crate::session::admission::Terms;
use crate::session::{launch, memory};
use crate::write::append::{self, Look};
use crate::write::ballot::{fence, moves, refusal, voter};
use crate::write::ballot_box::Wait;
use crate::write::ballot_row::Voter;
use crate::write::held::Held;
use pgrx::datum::{Array, UnboxDatum};
use pgrx::iter::TableIterator;
use pgrx::{name, pg_extern, pg_sys};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use vote_agg_core::vote::arrivals::{Arrivals, Source, Vote};
use vote_agg_core::vote::ballot::{Ballot, Choice, Outcome, Step, decide, decide_by_turn, parse_turn};
use vote_agg_core::vote::cell::cell_from_bits;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::{MAX_VOTES, parse_votes};
use vote_agg_core::{Country, Error};

/// The most elements of one call.
const MAX_ELEMENTS: usize = 10_000;

/// The answer of a call: a row an element, in their order.
type Answers = TableIterator<
    'static,
    (
        name!(element, i32),
        name!(outcome, &'static str),
        name!(sqlstate, Option<String>),
        name!(message, Option<String>),
        name!(hint, Option<String>),
    ),
>;

/// What became of an element.
#[derive(Clone)]
struct Answer {
    outcome: &'static str,
    /// Of a refusal, and of what is busy: SQLSTATE, text, remedy.
    reason: Option<(String, String, Option<String>)>,
}

impl Answer {
    const fn done(outcome: &'static str) -> Self {
        Self { outcome, reason: None }
    }

    fn busy(voter: Voter) -> Self {
        let voter_id = quoted(voter.voter_id);
        let message = format!("another transaction holds the ballot of voter {voter_id} in match {}", quoted(voter.match_id));
        Self { outcome: "busy", reason: Some(("55P03".into(), message, Some("Send this element again.".into()))) }
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        let report = &refused.report;
        let reason = (refused.sqlstate(), report.message().to_owned(), report.hint().map(str::to_owned));
        Self { outcome: "refused", reason: Some(reason) }
    }
}

/// See the COMMENT in sql/25-ballot.sql.
#[pg_extern(sql = false)]
fn cast_votes(
    match_ids: Option<Array<'_, &[u8]>>,
    voter_ids: Option<Array<'_, &[u8]>>,
    team_choices: Option<Array<'_, &[u8]>>,
    h3_indexes: Option<Array<'_, i64>>,
    country_codes: Option<Array<'_, &[u8]>>,
    turns: Option<Array<'_, i64>>,
) -> Result<Answers> {
    transaction::prevent_read_only(c"cast_votes()");
    let matches = first("match_ids", match_ids.as_ref())?;
    let length = matches.len();
    let voters = required("voter_ids", voter_ids.as_ref(), length)?;
    let teams = required("team_choices", team_choices.as_ref(), length)?;
    let cells = optional("h3_indexes", h3_indexes.as_ref(), length)?;
    let countries = optional("country_codes", country_codes.as_ref(), length)?;
    let turns = optional("turns", turns.as_ref(), length)?;
    settle(length, |call, i| {
        let parse = || {
            let voter = voter(matches[i], voters[i])?;
            let team = parse_name("team_choice", teams[i])?.to_owned();
            let cell = cells[i].map(cell_from_bits).transpose()?;
            let country = countries[i].map(Country::parse).transpose()?;
            Ok((voter, Ballot { choice: Some(Choice { team, cell, country }), turn: parse_turn(turns[i])? }))
        };
        match parse() {
            Ok((voter, asked)) => call.cast(voter, &asked),
            Err(error) => Ok(Refused::value(error).into()),
        }
    })
}

/// See the COMMENT in sql/25-ballot.sql.
#[pg_extern(sql = false)]
fn retract_votes(
    match_ids: Option<Array<'_, &[u8]>>,
    voter_ids: Option<Array<'_, &[u8]>>,
    turns: Option<Array<'_, i64>>,
) -> Result<Answers> {
    transaction::prevent_read_only(c"retract_votes()");
    let matches = first("match_ids", match_ids.as_ref())?;
    let length = matches.len();
    let voters = required("voter_ids", voter_ids.as_ref(), length)?;
    let turns = optional("turns", turns.as_ref(), length)?;
    settle(length, |call, i| {
        let parse = || Ok((voter(matches[i], voters[i])?, Ballot { choice: None, turn: parse_turn(turns[i])? }));
        match parse() {
            Ok((voter, asked)) => call.cast(voter, &asked),
            Err(error) => Ok(Refused::value(error).into()),
        }
    })
}

/// See the COMMENT in sql/20-write.sql.
#[pg_extern(sql = false)]
fn record_votes(
    match_ids: Option<Array<'_, &[u8]>>,
    team_choices: Option<Array<'_, &[u8]>>,
    h3_indexes: Option<Array<'_, i64>>,
    country_codes: Option<Array<'_, &[u8]>>,
    votes: Option<Array<'_, i64>>,
) -> Result<Answers> {
    transaction::prevent_read_only(c"record_votes()");
    let matches = first("match_ids", match_ids.as_ref())?;
    let length = matches.len();
    let teams = required("team_choices", team_choices.as_ref(), length)?;
    let cells = optional("h3_indexes", h3_indexes.as_ref(), length)?;
    let countries = optional("country_codes", country_codes.as_ref(), length)?;
    let votes = match votes {
        None => vec![Some(1); length],
        given => required("votes", given.as_ref(), length)?,
    };
    settle(length, |call, i| {
        let parse = || {
            let match_id = parse_name("match_id", matches[i])?;
            let team = parse_name("team_choice", teams[i])?;
            let cell = cells[i].map(cell_from_bits).transpose()?;
            let country = countries[i].map(Country::parse).transpose()?;
            let votes = parse_votes(votes[i])?;
            Ok((match_id, Vote { team, cell, country, votes, in_total: true, source: Source::CALL, at: 0 }))
        };
        match parse() {
            Ok((match_id, vote)) => call.record(match_id, &vote),
            Err(error) => Ok(Refused::value(error).into()),
        }
    })
}

/// A match in a call.
struct Opened {
    heap: Rc<OpenHeap>,
    /// On which terms does it take votes, or why does it take none? Decided once, after the lock.
    takes: std::result::Result<Terms, Answer>,
    /// When that was decided: the time of all its votes.
    at: i64,
    ballots: Arrivals,
    votes: Arrivals,
}

/// What a call knows of the matches that it names, and what it brings them.
struct Call<'a> {
    matches: BTreeMap<String, Opened>,
    heaps: HashMap<pg_sys::Oid, Rc<OpenHeap>>,
    /// Opened by the first ballot.
    ballots: Option<Held<'a>>,
    /// How many votes were recorded.
    recorded: i64,
    /// Does the answer tell of what others have committed?
    tells: bool,
}

impl<'a> Call<'a> {
    fn cast(&mut self, voter: Voter<'a>, asked: &Ballot) -> Result<Answer> {
        let opened = open(&mut self.matches, &mut self.heaps, voter.match_id)?;
        let team = asked.choice.as_ref().map(|choice| choice.team.as_str());
        let takes = admitted(opened, voter.match_id, team)?;
        if let Ok(terms) = takes
            && let Err(refused) = fence(terms, voter, None)
        {
            return Ok(refused.into());
        }
        let decide = |kept: Option<&Ballot>| match &takes {
            Ok(terms) => decide(kept, asked, terms.changes_allowed),
            // A retry of what was counted in time, sent again after the end.
            Err(_) => (kept.and_then(|kept| decide_by_turn(kept, asked)).unwrap_or(Outcome::Stands), Step::Keep),
        };
        let ballots = match &mut self.ballots {
            Some(ballots) => ballots,
            none => none.insert(Held::open()?),
        };
        let Some(cast) = ballots.cast(voter, Wait::Never, decide)? else { return Ok(Answer::busy(voter)) };
        match takes {
            Err(refused) if cast.outcome == Outcome::Stands => return Ok(refused),
            _ => {}
        }
        match cast.outcome {
            Outcome::Counted | Outcome::Changed => memory::add_team(voter.match_id, team)?,
            Outcome::Retracted => {}
            _ => self.tells = true,
        }
        for vote in moves(&cast, asked.choice.as_ref(), opened.at) {
            opened.ballots.add(&vote)?;
        }
        let refused = refusal(cast.outcome, voter, asked, None);
        Ok(refused.map_or_else(|| Answer::done(cast.outcome.name().unwrap_or_default()), Answer::from))
    }

    fn record(&mut self, match_id: &str, vote: &Vote) -> Result<Answer> {
        let opened = open(&mut self.matches, &mut self.heaps, match_id)?;
        if let Err(refused) = admitted(opened, match_id, Some(vote.team))? {
            return Ok(refused);
        }
        let recorded = self.recorded.saturating_add(vote.votes);
        if recorded > MAX_VOTES {
            return Ok(Refused::value(Error::ManyVotes { votes: recorded.into() }).into());
        }
        self.recorded = recorded;
        memory::add_team(match_id, Some(vote.team))?;
        opened.votes.add(&Vote { at: opened.at, ..*vote })?;
        Ok(Answer::done("counted"))
    }

    /// Writes the ballots that changed again, and appends one row a distinct sum, match by match.
    fn finish(mut self) -> Result<()> {
        if let Some(ballots) = &mut self.ballots {
            ballots.write()?;
        }
        if self.tells {
            transaction::commit_as_a_writer();
        }
        for (match_id, opened) in &self.matches {
            if opened.votes.distinct() + opened.ballots.distinct() == 0 {
                continue;
            }
            opened.heap.look_at_end();
            for vote in opened.votes.votes(Source::CALL, opened.at).chain(opened.ballots.votes(Source::BALLOT, opened.at)) {
                opened.heap.insert(match_id, &vote);
            }
            launch::ensure(opened.at);
        }
        Ok(())
    }
}

/// The match of an element. The first one locks its heap, then asks whether the match takes votes.
fn open<'a>(
    matches: &'a mut BTreeMap<String, Opened>,
    heaps: &mut HashMap<pg_sys::Oid, Rc<OpenHeap>>,
    match_id: &str,
) -> Result<&'a mut Opened> {
    if !matches.contains_key(match_id) {
        let Look { heap: table, takes, at } = append::lock_and_look(match_id, std::iter::empty())?;
        let takes = takes.map_err(Answer::from);
        let heap = match heaps.entry(table) {
            Entry::Occupied(heap) => Rc::clone(heap.get()),
            Entry::Vacant(none) => Rc::clone(none.insert(Rc::new(OpenHeap::open(table, pg_sys::NoLock)?))),
        };
        matches.insert(match_id.to_owned(), Opened { heap, takes, at, ballots: Arrivals::default(), votes: Arrivals::default() });
    }
    matches.get_mut(match_id).ok_or_else(|| broken("a match of this call is lost".into()))
}

/// Does the match take a vote for `team`, or a retraction?
fn admitted(opened: &Opened, match_id: &str, team: Option<&str>) -> Result<std::result::Result<Terms, Answer>> {
    Ok(match (&opened.takes, team) {
        (takes, None) => takes.clone(),
        (Err(refused), _) => Err(refused.clone()),
        // The team takes no place of a match until a vote for it counts.
        (Ok(_), team) => memory::ask_match(match_id, team.into_iter(), opened.at)?.map_err(Answer::from),
    })
}

/// Settles each element in order, then writes what they add up to.
fn settle<'a>(length: usize, mut element: impl FnMut(&mut Call<'a>, usize) -> Result<Answer>) -> Result<Answers> {
    let mut call = Call { matches: BTreeMap::new(), heaps: HashMap::new(), ballots: None, recorded: 0, tells: false };
    let mut answers = Vec::with_capacity(length);
    for i in 0..length {
        pgrx::check_for_interrupts!();
        answers.push(element(&mut call, i)?);
    }
    call.finish()?;
    Ok(TableIterator::new(answers.into_iter().zip(1..).map(|(answer, position)| {
        let (sqlstate, message, hint) =
            answer.reason.map_or((None, None, None), |(code, text, hint)| (Some(code), Some(text), hint));
        (position, answer.outcome, sqlstate, message, hint)
    })))
}

/// The elements of the array that says how many there are.
fn first<'a, T: UnboxDatum>(name: &'static str, array: Option<&'a Array<'_, T>>) -> Result<Vec<Option<T::As<'a>>>> {
    let array = array.ok_or(Error::Null { what: name })?;
    if array.len() > MAX_ELEMENTS {
        let message = format!("{} elements in one call are more than {MAX_ELEMENTS}", array.len());
        return Err(too_large(message, "Send them in several calls."));
    }
    Ok(array.iter().collect())
}

/// Those of another array that is needed.
fn required<'a, T: UnboxDatum>(
    name: &'static str,
    array: Option<&'a Array<'_, T>>,
    expected: usize,
) -> Result<Vec<Option<T::As<'a>>>> {
    let array = array.ok_or(Error::Null { what: name })?;
    match array.len() {
        length if length == expected => Ok(array.iter().collect()),
        length => Err(Error::Length { what: name, length, expected }.into()),
    }
}

/// Those of an array that may be NULL, for none.
fn optional<'a, T: UnboxDatum>(
    name: &'static str,
    array: Option<&'a Array<'_, T>>,
    expected: usize,
) -> Result<Vec<Option<T::As<'a>>>> {
    match array {
        None => Ok((0..expected).map(|_| None).collect()),
        given => required(name, given, expected),
    }
}
