//! What a client asks for with its join, and the rooms that it is put into.

use crate::live::event::Event;
use serde_json::Value;
use std::collections::BTreeSet;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::{Resolution, parse_resolution};

/// The longest epoch in bytes. The database's have 36.
const MAX_EPOCH: usize = 64;

/// A resolution, some of the events, and where to go on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    pub resolution: Option<Resolution>,
    /// None: all the separate events.
    pub events: Option<Vec<Event>>,
    /// The last seq and epoch that the client has, at that very resolution.
    pub since: Option<(i64, String)>,
}

impl Subscription {
    /// Parses what a client sent with its join. A bare name asks for the separate events at the cells' own resolutions.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(data: &Value) -> Result<Self, String> {
        let given = |key: &str| data.get(key).filter(|value| !value.is_null());
        let resolution = |value: &Value| match value.as_i64() {
            Some(number) => parse_resolution(number).map_err(|e| e.to_string()),
            None => Err("resolution must be a whole number from 0 to 15".to_owned()),
        };
        let seq = |value: &Value| {
            let seq = value.as_i64().filter(|seq| *seq >= 0);
            seq.ok_or_else(|| "sinceSeq must be a whole number from 0 up".to_owned())
        };
        let epoch = |value: &Value| match value.as_str() {
            Some(epoch) if epoch.len() <= MAX_EPOCH => Ok(epoch.to_owned()),
            Some(epoch) => Err(format!("epoch must have at most {MAX_EPOCH} bytes, not {}", epoch.len())),
            None => Err("epoch must be a string".to_owned()),
        };
        // A seq says nothing without the history that it counts in.
        let since = given("sinceSeq").map(seq).transpose()?.zip(given("epoch").map(epoch).transpose()?);
        let events = match (given("bundle"), given("events")) {
            (Some(Value::Bool(true)), None) => Some(vec![Event::Update]),
            (None | Some(Value::Bool(false)), None) => None,
            (None | Some(Value::Bool(false)), Some(Value::Array(names))) => {
                let parse = |name: &Value| name.as_str().and_then(Event::parse);
                let events: Option<BTreeSet<Event>> = names.iter().map(parse).collect();
                Some(events.ok_or("events must be names of the events that follow a fold")?.into_iter().collect())
            }
            (Some(Value::Bool(true)), Some(_)) => return Err("pass bundle or events, not both".to_owned()),
            (_, Some(_)) => return Err("events must be an array of names".to_owned()),
            (Some(_), None) => return Err("bundle must be true or false".to_owned()),
        };
        Ok(Self { resolution: given("resolution").map(resolution).transpose()?, events, since })
    }

    /// Whether the client asked for this event.
    #[must_use]
    pub fn wants(&self, event: Event) -> bool {
        match &self.events {
            Some(events) => events.contains(&event),
            None => event != Event::Update,
        }
    }

    /// How many messages one fold is at the most.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.events.as_ref().map_or(Event::SEPARATE.len(), Vec::len).max(1)
    }

    /// The rooms that the client is put into.
    #[must_use]
    pub fn rooms(&self, match_id: &str) -> Vec<String> {
        match &self.events {
            None => vec![room(match_id, self.resolution)],
            Some(events) => events.iter().map(|event| event_room(match_id, self.resolution, *event)).collect(),
        }
    }
}

/// The match that a client names, alone or as `matchId`.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn parse_match(data: &Value) -> Result<String, String> {
    let id = data.as_str().or_else(|| data.get("matchId").and_then(Value::as_str));
    let parsed = parse_name("matchId", id.map(str::as_bytes)).map(str::to_owned);
    parsed.map_err(|e| format!("{e}: pass {{matchId}} or a string"))
}

/// The room of the followers at one resolution that get the separate events.
///
/// Here and in [`event_room`] the match comes last, behind one of a fixed set of prefixes, none of which begins another: so no
/// name of a match can name a room of another match.
#[must_use]
pub fn room(match_id: &str, resolution: Option<Resolution>) -> String {
    match resolution {
        None => format!("match:{match_id}"),
        Some(resolution) => format!("resolution:{}:{match_id}", u8::from(resolution)),
    }
}

/// The room of the followers at one resolution that asked for this event.
#[must_use]
pub fn event_room(match_id: &str, resolution: Option<Resolution>, event: Event) -> String {
    match resolution {
        None => format!("event:{}::{match_id}", event.name()),
        Some(resolution) => format!("event:{}:{}:{match_id}", event.name(), u8::from(resolution)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn no_two_matches_share_a_room() {
        let parts = ["a", ":", "#", "r3", "match", "resolution", "event", "match:update", "7", "__proto__", "::", " ", "/", "é"];
        let mut ids: Vec<String> = vec!["x".repeat(200)];
        for one in parts {
            for two in parts {
                for three in ["", ":", ":r3", "#match:update", ":7:a"] {
                    ids.push(format!("{one}{two}{three}"));
                    ids.push(format!("{one}:{two}:{three}"));
                }
            }
        }
        let resolutions = [None, Some(0), Some(1), Some(3), Some(15)].map(|r| r.map(|r| parse_resolution(r).expect("sound")));
        let mut owners: HashMap<String, (String, Option<Resolution>)> = HashMap::new();
        for id in ids {
            for resolution in resolutions {
                let own = Event::SEPARATE.into_iter().chain([Event::Update]).map(|event| event_room(&id, resolution, event));
                for name in own.chain([room(&id, resolution)]) {
                    let owner = owners.entry(name.clone()).or_insert_with(|| (id.clone(), resolution));
                    assert_eq!(*owner, (id.clone(), resolution), "{name}");
                }
            }
        }
    }
}
