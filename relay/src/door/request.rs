//! Votes as clients write them.

use crate::door::who::Who;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;
use vote_agg_core::geo::points::parse_point;
use vote_agg_core::vote::ballot::{Choice, parse_turn};
use vote_agg_core::vote::cell::{cell_from_bits, roll_up};
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::{CellIndex, Country, Error, Resolution, parse_cell};
use vote_agg_door::{Identity, Problem, Vote, Voter, VoterKey};

/// A vote or retraction. Keys may be in camelCase too.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default, alias = "matchId")]
    match_id: Option<String>,
    /// `None`: the key is not there. `Some(None)`: null.
    #[serde(default, alias = "teamChoice", deserialize_with = "given")]
    team_choice: Option<Option<String>>,
    #[serde(default, alias = "h3Index")]
    h3_index: Option<Value>,
    #[serde(default)]
    lat: Option<f64>,
    #[serde(default)]
    lng: Option<f64>,
    #[serde(default, alias = "countryCode")]
    country_code: Option<String>,
    #[serde(default)]
    turn: Option<i64>,
    #[serde(default, alias = "voterId")]
    voter_id: Option<String>,
}

fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// What a vote is read with.
pub struct Reader<'a> {
    pub key: &'a VoterKey,
    pub who: &'a Who,
    /// That of the connection, as a trusted proxy says.
    pub country: Option<Country>,
    pub max_resolution: Resolution,
}

impl Reader<'_> {
    /// Reads a vote. `path`: the match that the path names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self, value: &Value, path: Option<&str>) -> Result<Vote, Problem> {
        // Else a list would be taken for the values of all keys in their order.
        if !value.is_object() {
            return Err(invalid("a vote is an object such as {\"team_choice\": \"home\", \"turn\": 1}"));
        }
        let asked = Asked::deserialize(value).map_err(|e| invalid(e.to_string()))?;
        let match_id = match (path, asked.match_id.as_deref()) {
            (Some(path), Some(named)) if path != named => return Err(invalid("match_id names another match than the path")),
            (path, named) => parse_name("match_id", path.or(named).map(str::as_bytes)).map_err(bad)?,
        };
        let Some(team) = &asked.team_choice else {
            return Err(invalid("team_choice is missing; null takes the vote back"));
        };
        let cell = self.cell(&asked)?;
        let choice = match team {
            None => None,
            Some(team) => {
                let team = parse_name("team_choice", Some(team.as_bytes())).map_err(bad)?.to_owned();
                Some(Choice { team, cell, country: self.country(&asked)? })
            }
        };
        let turn = self.turn(&asked)?;
        let voter_id = self.voter_id(asked.voter_id.as_deref(), match_id)?;
        Ok(Vote { voter: Arc::new(Voter { match_id: match_id.to_owned(), voter_id }), choice, turn })
    }

    /// Coarsened before anything else sees it.
    fn cell(&self, asked: &Asked) -> Result<Option<CellIndex>, Problem> {
        let cell = match (&asked.h3_index, asked.lat, asked.lng) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => return Err(invalid("pass h3_index, or lat and lng, not both")),
            (None, None, None) => return Ok(None),
            (None, Some(lat), Some(lng)) => {
                return parse_point(lat, lng).map(|p| Some(p.to_cell(self.max_resolution))).map_err(bad);
            }
            (None, ..) => return Err(invalid("lat and lng go together")),
            (Some(Value::String(text)), ..) => parse_cell(text.as_bytes()),
            (Some(Value::Number(number)), ..) if number.is_i64() => cell_from_bits(number.as_i64().unwrap_or_default()),
            (Some(_), ..) => return Err(invalid("h3_index must be text or a whole number")),
        };
        cell.map(|cell| Some(roll_up(cell, self.max_resolution))).map_err(bad)
    }

    fn country(&self, asked: &Asked) -> Result<Option<Country>, Problem> {
        match (&asked.country_code, self.who) {
            (Some(code), Who::Anybody { .. }) => Country::parse(code.as_bytes()).map(Some).map_err(bad),
            (None, Who::Anybody { .. }) => Ok(None),
            (Some(_), _) => Err(forbidden("country_code is not the client's to say: the country comes with the connection")),
            (None, _) => Ok(self.country),
        }
    }

    fn turn(&self, asked: &Asked) -> Result<i64, Problem> {
        let turn = parse_turn(asked.turn).map_err(bad)?;
        match (self.who, turn) {
            // One key is one vote. So the turn alone forbids another one.
            (Who::Key(_), None | Some(1)) if asked.team_choice != Some(None) => Ok(1),
            (Who::Key(_), _) => Err(invalid("a vote with a key stands: it has no other turn, and is not taken back")),
            (_, Some(turn)) => Ok(turn),
            (_, None) => {
                Err(invalid("turn is missing: number the votes of a voter 1, 2, 3 …, and send a retry under the same number"))
            }
        }
    }

    /// The voter whom the token or the key names.
    ///
    /// # Errors
    /// That the match can have no such name, or that they name nobody.
    pub fn voter(&self, match_id: &str) -> Result<Arc<Voter>, Problem> {
        let match_id = parse_name("match_id", Some(match_id.as_bytes())).map_err(bad)?;
        Ok(Arc::new(Voter { match_id: match_id.to_owned(), voter_id: self.voter_id(None, match_id)? }))
    }

    fn voter_id(&self, named: Option<&str>, match_id: &str) -> Result<String, Problem> {
        let identity = match (self.who, named) {
            (Who::Subject { .. } | Who::Key(_), Some(_)) => {
                return Err(forbidden("voter_id is not the client's to say (that takes scope vote:any)"));
            }
            (Who::Subject { issuer, subject }, None) => Identity::Subject { issuer, subject },
            (Who::Key(key), None) => Identity::Key(key),
            (Who::Anybody { issuer, subject }, named) => {
                let subject = named.or(subject.as_deref()).map(str::as_bytes);
                Identity::Subject { issuer, subject: parse_name("voter_id", subject).map_err(bad)? }
            }
        };
        Ok(self.key.voter_id(&identity, match_id))
    }
}

fn invalid(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
}

fn forbidden(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail)
}

fn bad(error: Error) -> Problem {
    Problem::of_value(&error)
}

#[cfg(test)]
mod tests;
