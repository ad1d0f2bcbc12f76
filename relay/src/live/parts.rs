//! The lists of a bundle that a client asks for.

use crate::error::Result;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use vote_agg_core::feed::message::{CellVotes, CountryVotes, Flip, Message, NewVotes, Stats};

/// Some of a message's lists. All else that a message has always comes.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Parts(u8);

impl Parts {
    /// How many ways there are to choose.
    pub const WAYS: usize = 1 << Self::NAMES.len();
    /// The message as the feed has it.
    pub const ALL: Self = Self((1 << Self::NAMES.len()) - 1);
    /// The lists, by their keys in the message.
    const NAMES: [&'static str; 4] = ["cells", "countries", "new", "flips"];

    /// Each way to choose.
    #[cfg(test)]
    pub fn ways() -> impl Iterator<Item = Self> {
        (0..=Self::ALL.0).map(Self)
    }

    /// The parts of these names.
    ///
    /// # Errors
    /// What is wrong with them, as a sentence.
    pub fn parse<'a>(names: impl IntoIterator<Item = Option<&'a str>>) -> Result<Self, String> {
        let mut parts = Self(0);
        for name in names {
            let place = name.and_then(|name| Self::NAMES.iter().position(|known| *known == name));
            let refuse = || {
                format!("parts are {}{}", Self::NAMES.join(", "), name.map_or(String::new(), |name| format!(", not {name:?}")))
            };
            parts.0 |= 1 << place.ok_or_else(refuse)?;
        }
        Ok(parts)
    }

    /// A number below [`Parts::WAYS`].
    #[must_use]
    pub const fn number(self) -> usize {
        self.0 as usize
    }

    /// The list, if the part of this number is asked for.
    fn pick<T>(self, number: usize, list: Option<T>) -> Option<T> {
        list.filter(|_| self.0 & (1 << number) != 0)
    }
}

/// Something of a message: as it is, or as JSON already.
#[derive(Serialize)]
#[serde(untagged)]
pub enum Encoded<'a, T: ?Sized> {
    Plain(&'a T),
    Whole(&'a RawValue),
    Each(Vec<&'a RawValue>),
}

/// What is not about single cells in a message, as JSON.
#[derive(Debug)]
pub struct Lists {
    stats: Box<RawValue>,
    countries: Option<Box<RawValue>>,
    new: Option<Box<RawValue>>,
    flips: Option<Box<RawValue>>,
}

impl Lists {
    /// Encodes them.
    ///
    /// # Errors
    /// When one has no form in JSON.
    pub fn new(message: &Message<'static>) -> Result<Self> {
        Ok(Self {
            stats: to_raw_value(&message.stats)?,
            countries: message.countries.as_ref().map(to_raw_value).transpose()?,
            new: message.new.as_ref().map(to_raw_value).transpose()?,
            flips: message.flips.as_ref().map(to_raw_value).transpose()?,
        })
    }
}

/// A message with some of its lists, in the feed's own form.
#[derive(Serialize)]
pub struct Bundle<'a> {
    v: u32,
    #[serde(rename = "match")]
    match_id: &'a str,
    seq: i64,
    prev: i64,
    epoch: &'a str,
    at: &'a str,
    stats: Encoded<'a, Stats<'static>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cells: Option<Encoded<'a, [CellVotes<'static>]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    countries: Option<Encoded<'a, [CountryVotes<'static>]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<Encoded<'a, [NewVotes<'static>]>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flips: Option<Encoded<'a, [Flip<'static>]>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    resync: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    #[serde(rename = "final", skip_serializing_if = "std::ops::Not::not")]
    is_final: bool,
}

impl<'a> Bundle<'a> {
    #[must_use]
    pub fn new(message: &'a Message<'static>, parts: Parts) -> Self {
        // Every field is named: a list that the feed gains must find its place here.
        let Message { v, match_id, seq, prev, epoch, at, stats, cells, countries, new, flips, resync, partial, is_final } =
            message;
        Self {
            v: *v,
            match_id,
            seq: *seq,
            prev: *prev,
            epoch,
            at,
            stats: Encoded::Plain(stats),
            cells: parts.pick(0, cells.as_deref()).map(Encoded::Plain),
            countries: parts.pick(1, countries.as_deref()).map(Encoded::Plain),
            new: parts.pick(2, new.as_deref()).map(Encoded::Plain),
            flips: parts.pick(3, flips.as_deref()).map(Encoded::Plain),
            resync: *resync,
            partial: *partial,
            is_final: *is_final,
        }
    }

    /// The same from what is encoded, with these cells.
    #[must_use]
    pub fn encoded(
        message: &'a Message<'static>,
        lists: &'a Lists,
        parts: Parts,
        cells: Encoded<'a, [CellVotes<'static>]>,
    ) -> Self {
        Self {
            stats: Encoded::Whole(&lists.stats),
            cells: parts.pick(0, message.cells.as_ref().map(|_| cells)),
            countries: parts.pick(1, lists.countries.as_deref()).map(Encoded::Whole),
            new: parts.pick(2, lists.new.as_deref()).map(Encoded::Whole),
            flips: parts.pick(3, lists.flips.as_deref()).map(Encoded::Whole),
            ..Self::new(message, parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vote_agg_core::feed::message::to_json;

    #[test]
    fn a_bundle_has_what_was_asked_for_and_no_more() {
        let flips = include_str!("../../../fixtures/message_flips.json");
        for golden in
            [include_str!("../../../fixtures/message.json"), flips, include_str!("../../../fixtures/message_resync.json")]
        {
            let message: Message = serde_json::from_str(golden).expect("golden message");
            assert_eq!(to_json(&Bundle::new(&message, Parts::ALL)), golden.trim_end());
            for parts in Parts::ways() {
                let mut expected: serde_json::Value = serde_json::from_str(golden).expect("JSON");
                for (number, name) in Parts::NAMES.iter().enumerate().filter(|(number, _)| parts.0 & (1 << number) == 0) {
                    let lists = expected.as_object_mut().expect("object");
                    assert!(lists.remove(*name).is_some() || !golden.contains(&format!("\"{name}\":")), "{number}");
                }
                let bundle = serde_json::to_value(Bundle::new(&message, parts)).expect("JSON");
                assert_eq!(bundle, expected, "{parts:?}");
            }
        }
    }

    #[test]
    fn parts_have_names() {
        assert_eq!(Parts::parse([]), Ok(Parts(0)));
        assert_eq!(Parts::parse(["flips", "cells", "flips"].map(Some)), Ok(Parts(0b1001)));
        assert_eq!(Parts::parse(Parts::NAMES.map(Some)), Ok(Parts::ALL));
        assert_eq!(Parts::parse([Some("stats")]), Err(r#"parts are cells, countries, new, flips, not "stats""#.to_owned()));
        assert!(Parts::parse([None]).is_err());
    }
}
