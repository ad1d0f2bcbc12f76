//! Votes over HTTP.

use crate::door::answer::{of_many, of_one, refuse};
use crate::door::limits::{Limits, MOST};
use crate::door::once::Once;
use crate::door::open::Votes;
use crate::door::request::Reader;
use crate::door::who::Who;
use crate::guard::address::ClientIp;
use crate::guard::country::ClientCountry;
use crate::guard::ledger::Holding;
use crate::http::access::{Shared, token};
use crate::http::query::{Params, expect_keys, params};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures_util::StreamExt;
use http_body_util::LengthLimitError;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use vote_agg_door::{Answer, Problem, Vote};

/// The longest body, in bytes.
const LONGEST: usize = 1 << 20;

/// The most that is read of a client that is refused anyway.
const LONGEST_REFUSED: usize = 64 << 10;

/// The longest vote in a body, in bytes: names have 200 characters at most, and what is nested takes far more memory than bytes.
const LONGEST_VOTE: usize = 8 << 10;

/// Before a client that finds no room tries again.
const RETRY: Duration = Duration::from_secs(1);

/// The header with a key (draft-ietf-httpapi-idempotency-key-header).
const KEY: &str = "idempotency-key";

/// What the handlers share: the door is there where votes are taken.
struct Voting {
    shared: Shared,
    votes: Option<Arc<Votes>>,
}

/// The routes of votes.
pub fn routes(shared: Shared, votes: Option<Arc<Votes>>) -> Router<Shared> {
    let all = post(cast).delete(retract).fallback(wrong_method);
    let routes = Router::new().route("/matches/{id}/votes", all).route("/matches/{id}/vote", get(own).fallback(wrong_method));
    routes.with_state(Arc::new(Voting { shared, votes }))
}

/// `POST /matches/{id}/votes`: a vote, or a list of them.
async fn cast(
    State(voting): State<Arc<Voting>>,
    Extension(from): Extension<ClientIp>,
    Extension(country): Extension<ClientCountry>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let cast = async {
        let admitted = Caller::admit(&voting, (from, country), path, query.as_deref(), &["token"], &headers);
        let patience = voting.shared.hub.config.handshake_timeout;
        let room = admitted.and_then(|caller| hold(caller.votes, &headers, from).map(|held| (caller, held)));
        let (caller, held) = match room {
            Ok(room) => room,
            Err(problem) => {
                discard(body, patience).await;
                return Err(problem);
            }
        };
        let body = read(body, &headers, patience).await?;
        let (votes, is_list) = caller.read(&headers, &body)?;
        // What is left is counted in the queue.
        drop((body, held));
        let results = cast_each(&caller, votes).await?;
        Ok(if is_list { of_many(&voting.shared, results) } else { of_one(&voting.shared, results) })
    };
    cast.await.unwrap_or_else(|problem| refuse(&voting.shared, &problem))
}

/// `DELETE /matches/{id}/votes?turn=…`: takes a vote back.
async fn retract(
    State(voting): State<Arc<Voting>>,
    Extension(from): Extension<ClientIp>,
    Extension(country): Extension<ClientCountry>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let retract = async {
        let caller = Caller::admit(&voting, (from, country), path, query.as_deref(), &["token", "turn", "voter_id"], &headers)?;
        if caller.query.contains_key("voter_id") {
            let hint = "Send the retraction with POST: {\"team_choice\": null, \"voter_id\": …, \"turn\": …}.".to_owned();
            return Err(Problem { hint: Some(hint), ..malformed("voter_id may not be in an address, which proxies log") });
        }
        let turn = caller.query.get("turn").map(|turn| turn.parse::<i64>().map_err(|_| malformed("turn must be a whole number")));
        let asked = json!({"team_choice": null, "turn": turn.transpose()?});
        caller.count(1)?;
        cast_each(&caller, vec![caller.read_vote(&asked)]).await.map(|results| of_one(&voting.shared, results))
    };
    retract.await.unwrap_or_else(|problem| refuse(&voting.shared, &problem))
}

/// `GET /matches/{id}/vote`: the voter's own vote that stands.
async fn own(
    State(voting): State<Arc<Voting>>,
    Extension(from): Extension<ClientIp>,
    Extension(country): Extension<ClientCountry>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let own = async {
        let caller = Caller::admit(&voting, (from, country), path, query.as_deref(), &["token"], &headers)?;
        let voter = caller.reader().voter(&caller.match_id)?;
        let standing = caller.votes.door.standing(voter).await.map_err(Problem::from)?;
        let (team, turn, cell) = standing.map_or((None, None, None), |vote| (vote.team_choice, vote.turn, vote.h3_index));
        let told = json!({"team_choice": team, "turn": turn, "h3_index": cell});
        Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(told)).into_response())
    };
    own.await.unwrap_or_else(|problem| refuse(&voting.shared, &problem))
}

/// Any other method.
async fn wrong_method(State(voting): State<Arc<Voting>>) -> Response {
    refuse(
        &voting.shared,
        &Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", "this address takes the methods of the header Allow"),
    )
}

/// The key of a request. Two are none that could be right: nobody can tell whose vote it is.
fn key(headers: &HeaderMap) -> Option<&str> {
    let mut keys = headers.get_all(KEY).iter();
    let key = keys.next()?.to_str().unwrap_or_default();
    Some(if keys.next().is_none() { key } else { "" })
}

fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid", detail)
}

/// Somebody who may vote.
struct Caller<'a> {
    votes: &'a Votes,
    match_id: String,
    query: Params,
    who: Who,
    from: ClientIp,
    country: ClientCountry,
}

impl<'a> Caller<'a> {
    fn admit(
        voting: &'a Voting,
        (from, country): (ClientIp, ClientCountry),
        path: Result<Path<String>, PathRejection>,
        query: Option<&str>,
        keys: &[&str],
        headers: &HeaderMap,
    ) -> Result<Self, Problem> {
        let Some(votes) = &voting.votes else {
            return Err(Problem::new(StatusCode::NOT_FOUND, "not_found", "this relay takes no votes (VOTES_URL)"));
        };
        let Ok(Path(match_id)) = path else { return Err(malformed("the name of the match is not UTF-8")) };
        let query = params(query.unwrap_or_default()).map_err(malformed)?;
        expect_keys(&query, keys).map_err(malformed)?;
        let access = voting
            .shared
            .checker
            .check(token(headers, &query))
            .map_err(|reason| Problem::new(StatusCode::UNAUTHORIZED, reason, "a valid token is needed"))?;
        let who = Who::find(votes.voters, &access, key(headers))?;
        if !access.covers(&match_id) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "the token does not cover this match"));
        }
        Ok(Self { votes, match_id, query, who, from, country })
    }

    /// Takes as many votes out of the limits.
    fn count(&self, votes: usize) -> Result<(), Problem> {
        self.votes.limits.check(&self.who, self.from.0, u32::try_from(votes).unwrap_or(u32::MAX))
    }

    fn reader(&self) -> Reader<'_> {
        let Votes { key, max_resolution, .. } = self.votes;
        Reader { key, who: &self.who, country: self.country.0, max_resolution: *max_resolution }
    }

    fn read_vote(&self, value: &Value) -> Result<Vote, Problem> {
        let vote = self.reader().read(value, Some(&self.match_id))?;
        self.votes.limits.check_voter(&vote).map(|()| vote)
    }

    /// The votes of a body, and whether they came as a list. They are read one by one: values take far more memory than their text.
    fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<(Vec<Result<Vote, Problem>>, bool), Problem> {
        let invalid = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail);
        let whole = parse(headers, body)?;
        let list = whole.get().starts_with('[');
        let votes: Vec<&RawValue> = if list { parse_text(whole.get())? } else { vec![whole] };
        let most = self.votes.limits.most(&self.who);
        if votes.len() > most as usize {
            let why = if most < MOST { " (--max-votes, --votes-queue)" } else { "" };
            return Err(invalid(format!("{} votes in one request are more than {most}{why}", votes.len())));
        }
        if list && matches!(self.who, Who::Key(_)) && votes.len() != 1 {
            return Err(invalid("a key is for one vote".to_owned()));
        }
        self.count(votes.len())?;
        let read = |vote: &RawValue| {
            let length = vote.get().len();
            if length > LONGEST_VOTE {
                return Err(invalid(format!("a vote may have {LONGEST_VOTE} bytes, not {length}")));
            }
            self.read_vote(&parse_text::<Once>(vote.get())?.0)
        };
        Ok((votes.into_iter().map(read).collect(), list))
    }
}

/// Casts those that may be cast, and puts their answers into the places of all.
///
/// # Errors
/// Why none of them was taken.
async fn cast_each(
    caller: &Caller<'_>,
    read: Vec<Result<Vote, Problem>>,
) -> Result<Vec<Result<(Answer, i64), Problem>>, Problem> {
    let sound: Vec<Vote> = read.iter().filter_map(|vote| vote.as_ref().ok().cloned()).collect();
    let holder = Limits::holder(&caller.who, caller.from.0);
    let mut answers = caller.votes.door.cast(sound, holder).await?.into_iter();
    let answered = read.into_iter().map(|vote| {
        let vote = vote?;
        let answer = answers.next().unwrap_or(Answer::Unknown);
        Problem::of_answer(&answer).map_or(Ok((answer, vote.turn)), Err)
    });
    Ok(answered.collect())
}

/// The length that the head tells.
fn length_of(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok())
}

/// Takes the room that a body may need.
fn hold(votes: &Votes, headers: &HeaderMap, from: ClientIp) -> Result<Holding, Problem> {
    let room = votes.bodies.take(from.0, length_of(headers).unwrap_or(LONGEST).min(LONGEST));
    room.ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "queue_full", "too many bodies are under way: the vote was not counted")
            .after(RETRY)
    })
}

/// Reads a body.
async fn read(body: Body, headers: &HeaderMap, patience: Duration) -> Result<Bytes, Problem> {
    let too_long = || Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "invalid", format!("a body may have {LONGEST} bytes"));
    if length_of(headers).is_some_and(|length| length > LONGEST) {
        return Err(too_long());
    }
    let slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "invalid", "the body did not come in time");
    let read = timeout(patience, to_bytes(body, LONGEST)).await.map_err(slow)?;
    read.map_err(|e| {
        if e.into_inner().is::<LengthLimitError>() { too_long() } else { malformed("the body broke off, or is no HTTP") }
    })
}

/// Reads what a client sends that is refused anyway, and keeps nothing of it: while it sends, it would find the connection closed,
/// and no answer.
async fn discard(body: Body, patience: Duration) {
    let (mut data, mut left) = (body.into_data_stream(), LONGEST_REFUSED);
    let reading = async {
        while let Some(Ok(bytes)) = data.next().await {
            let Some(rest) = left.checked_sub(bytes.len()) else { return };
            left = rest;
        }
    };
    let _ = timeout(patience, reading).await;
}

/// A body as one piece of JSON that is not taken apart yet.
fn parse<'a>(headers: &HeaderMap, body: &'a [u8]) -> Result<&'a RawValue, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid", "a vote comes as application/json"));
    }
    serde_json::from_slice(body).map_err(no_json)
}

fn parse_text<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    serde_json::from_str(text).map_err(no_json)
}

fn no_json(error: serde_json::Error) -> Problem {
    if error.is_data() {
        return Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", error.to_string());
    }
    Problem::new(StatusCode::BAD_REQUEST, "invalid", format!("the body is no JSON: {error}"))
}
