//! What a client asks for with its join, and the rooms that it is put into.

use crate::live::area::Area;
use crate::live::event::Event;
use crate::live::parts::Parts;
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::{Resolution, parse_resolution};

/// The longest epoch in bytes. The database's have 36.
pub const MAX_EPOCH: usize = 64;

/// A resolution, some of the events, and where to go on.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Subscription {
    pub resolution: Option<Resolution>,
    /// None: all the separate events.
    pub events: Option<Vec<Event>>,
    /// The last seq and epoch that the client has, at that very resolution.
    pub since: Option<(i64, String)>,
    /// The cells that the client looks at. None: all of them.
    pub area: Option<Arc<Area>>,
    /// The area that it has at `since`, where that is another one.
    pub from: Option<Option<Arc<Area>>>,
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
        let parts = |value: &Value| match value {
            Value::Array(names) => Parts::parse(names.iter().map(Value::as_str)),
            _ => Err("parts must be an array of names".to_owned()),
        };
        let parts = given("parts").map(parts).transpose()?;
        let events = match (given("bundle"), given("events")) {
            (Some(Value::Bool(true)), None) => Some(vec![Event::Update(parts.unwrap_or(Parts::ALL))]),
            (Some(Value::Bool(true)), Some(_)) => return Err("pass bundle or events, not both".to_owned()),
            _ if parts.is_some() => return Err("parts go with bundle: true".to_owned()),
            (None | Some(Value::Bool(false)), None) => None,
            (None | Some(Value::Bool(false)), Some(Value::Array(names))) => {
                let parse = |name: &Value| name.as_str().and_then(Event::parse);
                let events: Option<BTreeSet<Event>> = names.iter().map(parse).collect();
                Some(events.ok_or("events must be names of the events that follow a fold")?.into_iter().collect())
            }
            (_, Some(_)) => return Err("events must be an array of names".to_owned()),
            (Some(_), None) => return Err("bundle must be true or false".to_owned()),
        };
        let area = given("area").map(|value| Area::parse("area", value).map(Arc::new)).transpose()?;
        // Null says that it has all cells, which is not the same as to say nothing.
        let from = match data.get("from") {
            None => None,
            Some(Value::Null) => Some(None),
            Some(value) => Some(Some(Arc::new(Area::parse("from", value)?))),
        };
        if (area.is_some() || from.is_some()) && !matches!(events.as_deref(), Some([Event::Update(_)])) {
            return Err("an area goes with bundle: true".to_owned());
        }
        let from = from.filter(|from| since.is_some() && *from != area);
        Ok(Self { resolution: given("resolution").map(resolution).transpose()?, events, since, area, from })
    }

    /// The events that the client asked for.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        self.events.as_deref().unwrap_or(&Event::SEPARATE)
    }

    /// How many messages one fold is at the most.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.events().len().max(1)
    }

    /// The rooms that the client is put into. One that looks at an area is in none: it is sent its own part of each fold.
    #[must_use]
    pub fn rooms(&self, match_id: &str) -> Vec<String> {
        match &self.events {
            _ if self.area.is_some() => Vec::new(),
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
/// Here and in [`event_room`] the match comes last, behind one of a fixed set of prefixes. No prefix begins another, so no name
/// of a match can name a room of another match.
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
        None => format!("event:{}::{match_id}", event.number()),
        Some(resolution) => format!("event:{}:{}:{match_id}", event.number(), u8::from(resolution)),
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
                let events = Event::SEPARATE.into_iter().chain(Parts::ways().map(Event::Update));
                let own = events.map(|event| event_room(&id, resolution, event));
                for name in own.chain([room(&id, resolution)]) {
                    let owner = owners.entry(name.clone()).or_insert_with(|| (id.clone(), resolution));
                    assert_eq!(*owner, (id.clone(), resolution), "{name}");
                }
            }
        }
    }

    fn parse(text: &str) -> Result<Subscription, String> {
        Subscription::parse(&serde_json::from_str(text).expect("JSON"))
    }

    #[test]
    fn a_join_asks_for_what_it_names() {
        let plain = Subscription::default();
        for text in [r#""final""#, "{}", r#"{"bundle":false}"#, r#"{"resolution":null,"sinceSeq":null,"events":null}"#] {
            assert_eq!(parse(text), Ok(plain.clone()), "{text}");
        }
        let long = format!(r#"{{"sinceSeq":7,"epoch":"{}"}}"#, "e".repeat(MAX_EPOCH));
        assert_eq!(parse(&long).map(|s| s.since), Ok(Some((7, "e".repeat(MAX_EPOCH)))));
        assert_eq!(parse(r#"{"sinceSeq":0,"epoch":""}"#).map(|s| s.since), Ok(Some((0, String::new()))));
        assert_eq!(parse(r#"{"sinceSeq":7}"#).map(|s| s.since), Ok(None), "of no history");
        assert_eq!(parse(r#"{"resolution":3}"#).map(|s| s.resolution.map(u8::from)), Ok(Some(3)));
        assert_eq!(parse(r#"{"bundle":true}"#).map(|s| s.events), Ok(Some(vec![Event::Update(Parts::ALL)])));
        let parts = Parts::parse([Some("cells")]).expect("known");
        let bundle = r#"{"bundle":true,"parts":["cells"]}"#;
        assert_eq!(parse(bundle).map(|s| s.events), Ok(Some(vec![Event::Update(parts)])));
        let events = r#"{"bundle":false,"events":["match:flips","match:stats","match:flips"]}"#;
        assert_eq!(parse(events).map(|s| s.events), Ok(Some(vec![Event::Stats, Event::Flips])));
    }

    #[test]
    fn a_refused_join_says_why() {
        let epoch = format!(r#"{{"epoch":"{}"}}"#, "e".repeat(MAX_EPOCH + 1));
        for (text, reason) in [
            (r#"{"resolution":"3"}"#, "resolution must be a whole number from 0 to 15"),
            (r#"{"resolution":16}"#, "resolution 16 is outside the valid range 0 to 15"),
            (r#"{"sinceSeq":-1}"#, "sinceSeq must be a whole number from 0 up"),
            (r#"{"epoch":1}"#, "epoch must be a string"),
            (&epoch, "epoch must have at most 64 bytes, not 65"),
            (r#"{"bundle":1}"#, "bundle must be true or false"),
            (r#"{"bundle":true,"events":[]}"#, "pass bundle or events, not both"),
            (r#"{"parts":[]}"#, "parts go with bundle: true"),
            (r#"{"bundle":true,"parts":{}}"#, "parts must be an array of names"),
            (r#"{"events":"match:stats"}"#, "events must be an array of names"),
            (r#"{"area":["832a10fffffffff"]}"#, "an area goes with bundle: true"),
            (r#"{"from":null,"events":["match:stats"]}"#, "an area goes with bundle: true"),
            (r#"{"bundle":true,"area":"832a10fffffffff"}"#, "area must be an array of H3 cells, or null for all cells"),
            (r#"{"bundle":true,"from":[]}"#, "from must name 1 to 256 cells, not 0"),
            (r#"{"events":["match:update"]}"#, "events must be names of the events that follow a fold"),
        ] {
            assert_eq!(parse(text), Err(reason.to_owned()), "{text}");
        }
        assert_eq!(parse_match(&serde_json::json!("a")), Ok("a".to_owned()));
        assert_eq!(parse_match(&serde_json::json!({"matchId": "a"})), Ok("a".to_owned()));
        let none = "matchId must not be null: pass {matchId} or a string";
        assert_eq!(parse_match(&serde_json::json!({"match": "a"})), Err(none.to_owned()));
    }

    #[test]
    fn a_join_names_its_area_and_the_one_before() {
        let cell = r#"["832a10fffffffff"]"#;
        let join = |area: &str, rest: &str| parse(&format!(r#"{{"bundle":true,"area":{area}{rest}}}"#)).expect("sound");
        let since = r#","sinceSeq":7,"epoch":"e""#;
        let some = join(cell, "").area;
        assert!(some.as_ref().is_some_and(|area| area.cells.len() == 1) && join(cell, "").rooms("a").is_empty());
        assert_eq!((join("null", "").area, join(cell, &format!(r#"{since},"from":{cell}"#)).from), (None, None), "the same");
        assert_eq!(join(cell, &format!(r#"{since},"from":null"#)).from, Some(None), "all cells");
        assert_eq!(join("null", &format!(r#"{since},"from":{cell}"#)).from, Some(some));
        assert_eq!(join(cell, r#","from":null"#).from, None, "of no seq");
    }

    #[test]
    fn a_subscription_has_its_events_and_rooms() {
        let all = parse("{}").expect("sound");
        assert_eq!(all.events(), Event::SEPARATE);
        assert_eq!((all.messages(), all.rooms("a")), (5, vec!["match:a".to_owned()]));
        let two = parse(r#"{"resolution":3,"events":["match:stats","vote:new"]}"#).expect("sound");
        assert_eq!(two.events(), [Event::Stats, Event::New]);
        assert_eq!((two.messages(), two.rooms("a")), (2, vec!["event:1:3:a".into(), "event:2:3:a".into()]));
        let none = parse(r#"{"events":[]}"#).expect("sound");
        assert_eq!((none.messages(), none.rooms("a")), (1, Vec::<String>::new()));
        let update = parse(r#"{"bundle":true}"#).expect("sound");
        assert_eq!(update.events(), [Event::Update(Parts::ALL)]);
        assert_eq!(update.rooms("a"), ["event:20::a"]);
    }
}
