//! What clients receive: events by name, each encoded once for everybody who gets it.

use crate::error::Result;
use crate::live::area::{Area, Spot};
use crate::live::parts::{Bundle, Encoded, Lists, Parts};
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use vote_agg_core::feed::message::{CellVotes, CountryVotes, Flip, Message, NewVotes, Stats};

/// An event that a client can ask for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Event {
    Aggregates,
    Stats,
    New,
    Flips,
    Closed,
    /// A fold in one message, with these of its lists.
    Update(Parts),
}

/// The name of the event that carries a snapshot, which every client gets.
pub const SNAPSHOT: &str = "match:snapshot";

/// The name of the event that carries the cells which have come into a client's area.
pub const AREA: &str = "match:area";

impl Event {
    /// What a client gets that asks for nothing in particular.
    pub const SEPARATE: [Self; 5] = [Self::Aggregates, Self::Stats, Self::New, Self::Flips, Self::Closed];

    /// How many there are.
    const COUNT: usize = Self::SEPARATE.len() + Parts::WAYS;

    /// Its number among them.
    #[must_use]
    pub const fn number(self) -> usize {
        match self {
            Self::Aggregates => 0,
            Self::Stats => 1,
            Self::New => 2,
            Self::Flips => 3,
            Self::Closed => 4,
            Self::Update(parts) => Self::SEPARATE.len() + parts.number(),
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Update(_) => "match:update",
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
    /// Of each event, by its number: made when the first client needs it.
    json: [OnceLock<Option<Arc<RawValue>>>; Event::COUNT],
    /// For clients that look at an area: each cell and each list as JSON, made when the first one needs them.
    pieces: OnceLock<Option<Pieces>>,
}

#[derive(Debug)]
struct Pieces {
    /// In the order of an area.
    cells: Vec<(Spot, Box<RawValue>)>,
    lists: Lists,
}

impl Update {
    /// `json`: the message as text, where it exists already.
    #[must_use]
    pub fn new(message: Message<'static>, folded_at: Option<SystemTime>, json: Option<Box<RawValue>>) -> Self {
        let (json_of_events, pieces) = ([const { OnceLock::new() }; Event::COUNT], OnceLock::new());
        let update = Self { message, folded_at, json: json_of_events, pieces };
        if let Some(json) = json {
            // Just made, so nobody has set it.
            let _ = update.json[Event::Update(Parts::ALL).number()].set(Some(json.into()));
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
        self.json[event.number()].get_or_init(|| self.encode(event).ok().flatten()).as_ref()
    }

    /// The same with the cells of an area alone, put together from what is encoded already. None also where it has no form in JSON.
    #[must_use]
    pub fn json_within(&self, event: Event, area: Option<&Area>) -> Option<Arc<RawValue>> {
        let (Some(area), Event::Update(parts)) = (area, event) else { return self.json(event).cloned() };
        let pieces = self.pieces.get_or_init(|| Pieces::new(&self.message).ok()).as_ref()?;
        let cells: Vec<&RawValue> = area.pick(&pieces.cells).map(Box::as_ref).collect();
        raw(&Bundle::encoded(&self.message, &pieces.lists, parts, Encoded::Each(cells))).ok()
    }

    fn encode(&self, event: Event) -> Result<Option<Arc<RawValue>>> {
        let m = &self.message;
        let head = Head { match_id: &m.match_id, seq: m.seq, prev: m.prev, epoch: &m.epoch, at: &m.at };
        Ok(match event {
            Event::Update(parts) => Some(raw(&Bundle::new(m, parts))?),
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

impl Pieces {
    fn new(message: &Message<'static>) -> Result<Self> {
        let encode = |cell: &CellVotes<'static>| Ok((Spot(cell.0), serde_json::value::to_raw_value(cell)?));
        let mut cells: Vec<_> = message.cells.iter().flatten().map(encode).collect::<Result<_>>()?;
        cells.sort_unstable_by_key(|(spot, _)| *spot);
        Ok(Self { cells, lists: Lists::new(message)? })
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
        let numbers: Vec<_> = Event::SEPARATE.into_iter().chain(Parts::ways().map(Event::Update)).map(Event::number).collect();
        assert_eq!(numbers, (0..Event::COUNT).collect::<Vec<_>>());
        assert_eq!(text(Event::Update(Parts::ALL)).as_deref(), Some(include_str!("../../../fixtures/message.json").trim_end()));
    }

    #[test]
    fn an_area_gets_its_cells_and_all_the_rest() {
        let cells = r#"[["872a1072bffffff",{"home":1}],["872830828ffffff",{"away":2}],["872a10728ffffff",{}],["822a17fffffffff",{"home":4}]]"#;
        let message = Message { cells: serde_json::from_str(cells).expect("cells"), ..message() };
        let update = Update::new(message.clone(), None, None);
        let area = Area::parse("area", &serde_json::json!(["842a107ffffffff"])).expect("an area");
        for event in Parts::ways().map(Event::Update) {
            let whole: Message = serde_json::from_str(update.json(event).expect("always").get()).expect("a message");
            let within: Message =
                serde_json::from_str(update.json_within(event, Some(&area)).expect("always").get()).expect("one");
            let mut expected = whole.cells.clone();
            expected.iter_mut().for_each(|cells| cells.retain(|CellVotes(cell, _)| area.contains(*cell)));
            let sorted = |cells: Option<Vec<CellVotes<'static>>>| {
                cells.map(|mut cells| {
                    cells.sort_by_key(|CellVotes(cell, _)| *cell);
                    cells
                })
            };
            assert_eq!(sorted(within.cells.clone()), sorted(expected));
            assert!(within.cells.as_ref().is_none_or(|cells| cells.len() == 3), "also one that holds the area");
            assert_eq!(Message { cells: whole.cells.clone(), ..within }, whole, "{event:?}");
            assert_eq!(
                update.json_within(event, None).map(|json| json.get().to_owned()),
                update.json(event).map(|json| json.get().to_owned())
            );
        }
        assert!(update.json_within(Event::Flips, Some(&area)).is_none(), "there are none");
    }

    #[test]
    fn events_have_names() {
        for event in Event::SEPARATE {
            assert_eq!(Event::parse(event.name()), Some(event));
        }
        let names: Vec<&str> = Event::SEPARATE.iter().map(|event| event.name()).collect();
        assert_eq!(names, ["aggregate:updated", "match:stats", "vote:new", "match:flips", "match:closed"]);
        assert_eq!((Event::parse("match:update"), Event::parse("")), (None, None), "nobody asks for a bundle by its name");
        assert_eq!(Event::Update(Parts::ALL).name(), "match:update");
    }

    #[test]
    fn an_update_knows_its_fold() {
        let last = Message { is_final: true, new: Some(Vec::new()), flips: Some(Vec::new()), ..message() };
        let update = Update::new(last.clone(), None, None);
        assert_eq!((update.seq(), update.epoch(), update.message()), (43, "9f3c2a71", &last));
        assert!(update.json(Event::Closed).is_some_and(|json| json.get().contains(r#""total":81234"#)));
        assert!(update.json(Event::New).is_none(), "nothing new");
        let stats = update.json(Event::Stats).expect("always").get();
        assert!(stats.starts_with(r#"{"matchId":"final","seq":43"#) && stats.contains(r#""stats":{"total":81234"#), "{stats}");
        // Three cells, five countries and seven new votes; then none of them.
        let many = Message {
            cells: Some(vec![message().cells.expect("one")[0].clone(); 3]),
            countries: Some(vec![message().countries.expect("one")[0].clone(); 5]),
            new: Some(vec![message().new.expect("two")[0].clone(); 7]),
            ..message()
        };
        assert_eq!(Update::new(many, None, None).weight(), 1_000 + 15 * 200);
        assert_eq!(Update::new(message().partial(), None, None).weight(), 1_000);
        let given = raw(&"as it came").expect("JSON");
        let update = Update::new(message(), None, Some(serde_json::value::to_raw_value("as it came").expect("JSON")));
        assert_eq!(update.json(Event::Update(Parts::ALL)).map(|json| json.get()), Some(given.get()));
    }
}
