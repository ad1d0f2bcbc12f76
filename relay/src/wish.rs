//! What a client wants of a match, and the rooms that are called after it.

use crate::event::Event;
use vote_agg_core::Resolution;

/// What a client wants of a match.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wish {
    pub resolution: Option<Resolution>,
    /// None: all the separate events.
    pub events: Option<Vec<Event>>,
    /// The last seq and epoch that the client has, at that very resolution.
    pub since: Option<(i64, String)>,
}

impl Wish {
    /// Whether it is among them.
    #[must_use]
    pub fn wants(&self, event: Event) -> bool {
        match &self.events {
            Some(events) => events.contains(&event),
            None => event != Event::Update,
        }
    }

    /// The rooms of the match that it is met by.
    #[must_use]
    pub fn rooms(&self, match_id: &str) -> Vec<String> {
        let room = room_name(match_id, self.resolution);
        match &self.events {
            None => vec![room],
            Some(events) => events.iter().map(|event| format!("{room}#{}", event.name())).collect(),
        }
    }
}

/// The room of all at one resolution who want the separate events.
#[must_use]
pub fn room_name(match_id: &str, resolution: Option<Resolution>) -> String {
    match resolution {
        None => format!("match:{match_id}"),
        Some(resolution) => format!("match:{match_id}:r{}", u8::from(resolution)),
    }
}
