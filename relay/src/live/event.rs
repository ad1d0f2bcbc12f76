//! What clients receive: events by name, each encoded once for everybody who gets it.

use crate::error::Result;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use vote_agg_core::feed::message::{CellVotes, CountryVotes, Flip, Message, NewVotes, Stats};

/// An event that a client can ask for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Event {
    /// Everything of a fold in one message.
    Update,
    Aggregates,
    Stats,
    New,
    Flips,
    Closed,
}

/// The name of the event that carries a snapshot, which every client gets.
pub const SNAPSHOT: &str = "match:snapshot";

impl Event {
    /// What a client gets that asks for nothing in particular.
    pub const SEPARATE: [Self; 5] = [Self::Aggregates, Self::Stats, Self::New, Self::Flips, Self::Closed];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Update => "match:update",
            Self::Aggregates => "aggregate:updated",
            Self::Stats => "match:stats",
            Self::New => "vote:new",
            Self::Flips => "match:flips",
            Self::Closed => "match:closed",
        }
    }

    /// The event of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::SEPARATE.into_iter().find(|event| event.name() == name)
    }
}

/// One fold of one match at one resolution.
#[derive(Debug)]
pub struct Update {
    /// With the cells of that resolution.
    message: Message<'static>,
    pub folded_at: Option<SystemTime>,
    json: [OnceLock<Option<Arc<RawValue>>>; 6],
}

impl Update {
    /// `json`: the message as text, where it exists already.
    #[must_use]
    pub fn new(message: Message<'static>, folded_at: Option<SystemTime>, json: Option<Box<RawValue>>) -> Self {
        let update = Self { message, folded_at, json: Default::default() };
        if let Some(json) = json {
            // Just made, so nobody has set it.
            let _ = update.json[Event::Update as usize].set(Some(json.into()));
        }
        update
    }

    /// The fold itself.
    #[must_use]
    pub const fn message(&self) -> &Message<'static> {
        &self.message
    }

    #[must_use]
    pub fn seq(&self) -> i64 {
        self.message.seq
    }

    #[must_use]
    pub fn epoch(&self) -> &str {
        &self.message.epoch
    }

    /// How much memory it takes, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        let entries = |n: Option<usize>| n.unwrap_or(0);
        let message = &self.message;
        let places = entries(message.cells.as_ref().map(Vec::len)) + entries(message.countries.as_ref().map(Vec::len));
        1_000 + 200 * (places + entries(message.new.as_ref().map(Vec::len)))
    }

    /// The event's payload; None where this fold has nothing of the kind.
    #[must_use]
    pub fn json(&self, event: Event) -> Option<&Arc<RawValue>> {
        self.json[event as usize].get_or_init(|| self.encode(event).ok().flatten()).as_ref()
    }

    fn encode(&self, event: Event) -> Result<Option<Arc<RawValue>>> {
        let m = &self.message;
        let head = Head { match_id: &m.match_id, seq: m.seq, prev: m.prev, epoch: &m.epoch, at: &m.at };
        Ok(match event {
            Event::Update => Some(raw(m)?),
            Event::Aggregates => {
                let (cells, countries) = (m.cells.as_deref().unwrap_or_default(), m.countries.as_deref().unwrap_or_default());
                Some(raw(&Aggregates { head, cells, countries })?)
            }
            Event::Stats => Some(raw(&WithStats { head, stats: &m.stats })?),
            Event::New => match m.new.as_deref() {
                None | Some([]) => None,
                Some(new) => Some(raw(&New { head, new })?),
            },
            Event::Flips => m.flips.as_deref().map(|flips| raw(&Flips { head, flips })).transpose()?,
            Event::Closed if m.is_final => Some(raw(&WithStats { head, stats: &m.stats })?),
            Event::Closed => None,
        })
    }
}

/// A value as JSON that many can share.
///
/// # Errors
/// When it has no form in JSON.
pub fn raw(value: &impl Serialize) -> Result<Arc<RawValue>> {
    Ok(serde_json::value::to_raw_value(value)?.into())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    match_id: &'a str,
    seq: i64,
    prev: i64,
    epoch: &'a str,
    at: &'a str,
}

#[derive(Serialize)]
struct Aggregates<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    cells: &'a [CellVotes<'static>],
    countries: &'a [CountryVotes<'static>],
}

#[derive(Serialize)]
struct WithStats<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    stats: &'a Stats<'static>,
}

#[derive(Serialize)]
struct New<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    new: &'a [NewVotes<'static>],
}

#[derive(Serialize)]
struct Flips<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    flips: &'a [Flip<'static>],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message<'static> {
        serde_json::from_str(include_str!("../../../fixtures/message.json")).expect("golden message")
    }

    #[test]
    fn events_say_what_they_are_about() {
        let update = Update::new(message(), None, None);
        let text = |event| update.json(event).map(|json| json.get().to_owned());
        let aggregates = text(Event::Aggregates).expect("always");
        assert!(aggregates.starts_with(r#"{"matchId":"final","seq":43,"prev":42,"epoch":"#), "{aggregates}");
        assert!(aggregates.contains(r#""cells":[["872a1072bffffff""#) && aggregates.contains(r#""countries":[["#));
        assert!(text(Event::New).expect("there are").contains(r#""new":[["home""#));
        assert_eq!((text(Event::Flips), text(Event::Closed)), (None, None));
        assert_eq!(text(Event::Update).as_deref(), Some(include_str!("../../../fixtures/message.json").trim_end()));
    }
}
