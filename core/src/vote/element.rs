//! An element of a bulk call's JSON: `{"match_id": "final", "team_choice": "home", …}`.

use crate::{CellIndex, Error, parse_cell};
use std::fmt;

/// One vote as JSON names it. Each key may be written in camelCase too; one with the value null is as good as none.
#[derive(Debug, Default)]
pub struct Element<'a> {
    match_id: Option<Value<'a>>,
    team_choice: Option<Value<'a>>,
    h3_index: Option<Value<'a>>,
    resolution: Option<Value<'a>>,
    country_code: Option<Value<'a>>,
    votes: Option<Value<'a>>,
    voter_id: Option<Value<'a>>,
}

impl<'a> Element<'a> {
    /// Sets the value of a key; `None` is null, and as good as no key.
    ///
    /// # Errors
    /// [`Error::Key`] when the key means nothing, [`Error::Spellings`] when its other spelling has a value already.
    pub fn set(&mut self, key: &[u8], value: Option<Value<'a>>) -> Result<(), Error> {
        let (place, key) = match key {
            b"match_id" | b"matchId" => (&mut self.match_id, "match_id"),
            b"team_choice" | b"teamChoice" => (&mut self.team_choice, "team_choice"),
            b"h3_index" | b"h3Index" => (&mut self.h3_index, "h3_index"),
            b"resolution" => (&mut self.resolution, "resolution"),
            b"country_code" | b"countryCode" => (&mut self.country_code, "country_code"),
            b"votes" => (&mut self.votes, "votes"),
            b"voter_id" | b"voterId" => (&mut self.voter_id, "voter_id"),
            _ => return Err(Error::Key { key: String::from_utf8_lossy(key).into_owned() }),
        };
        if value.is_some() && place.is_some() {
            return Err(Error::Spellings { key });
        }
        *place = value.or(place.take());
        Ok(())
    }

    /// The bytes of `match_id`.
    ///
    /// # Errors
    /// [`Error::Type`].
    pub fn match_id(&self) -> Result<Option<&'a [u8]>, Error> {
        text("match_id", self.match_id.as_ref())
    }

    /// The bytes of `team_choice`.
    ///
    /// # Errors
    /// [`Error::Type`].
    pub fn team_choice(&self) -> Result<Option<&'a [u8]>, Error> {
        text("team_choice", self.team_choice.as_ref())
    }

    /// The bytes of `country_code`.
    ///
    /// # Errors
    /// [`Error::Type`].
    pub fn country_code(&self) -> Result<Option<&'a [u8]>, Error> {
        text("country_code", self.country_code.as_ref())
    }

    /// `h3_index`: the cell's text, or its 64 bits as a number.
    ///
    /// # Errors
    /// [`Error::Cell`] or [`Error::Type`].
    pub fn cell(&self) -> Result<Option<CellIndex>, Error> {
        match self.h3_index.as_ref() {
            None => Ok(None),
            Some(Value::Text(text)) => parse_cell(text).map(Some),
            Some(Value::Whole(bits)) => crate::vote::cell::cell_from_bits(*bits).map(Some),
            Some(other) => Err(Error::Type { key: "h3_index", value: other.to_string(), expected: "text or a whole number" }),
        }
    }

    /// `resolution`.
    ///
    /// # Errors
    /// [`Error::Type`].
    pub fn resolution(&self) -> Result<Option<i64>, Error> {
        whole("resolution", self.resolution.as_ref())
    }

    /// `votes`.
    ///
    /// # Errors
    /// [`Error::Type`].
    pub fn votes(&self) -> Result<Option<i64>, Error> {
        whole("votes", self.votes.as_ref())
    }

    /// The bytes of `voter_id`.
    ///
    /// # Errors
    /// [`Error::Type`].
    pub fn voter_id(&self) -> Result<Option<&'a [u8]>, Error> {
        text("voter_id", self.voter_id.as_ref())
    }
}

fn text<'a>(key: &'static str, value: Option<&Value<'a>>) -> Result<Option<&'a [u8]>, Error> {
    match value {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(other) => Err(Error::Type { key, value: other.to_string(), expected: "text" }),
    }
}

fn whole(key: &'static str, value: Option<&Value>) -> Result<Option<i64>, Error> {
    match value {
        None => Ok(None),
        Some(Value::Whole(number)) => Ok(Some(*number)),
        Some(other) => Err(Error::Type { key, value: other.to_string(), expected: "a whole number" }),
    }
}

/// A value of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Bool(bool),
    Whole(i64),
    /// Not whole, or too big for 64 bits.
    Number(String),
    /// Text, not checked to be UTF-8.
    Text(&'a [u8]),
    /// A list or an object; what is in it doesn't matter.
    Nested,
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Whole(value) => write!(f, "{value}"),
            Self::Number(value) => f.write_str(value),
            Self::Text(value) => write!(f, "\"{}\"", String::from_utf8_lossy(value)),
            Self::Nested => f.write_str("a list or an object"),
        }
    }
}

/// What is wrong with which element.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// Counted from 1; 0: the whole.
    pub position: usize,
    pub error: Error,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            0 => self.error.fmt(f),
            position => write!(f, "element {position}: {}", self.error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(key: &str, value: Value<'static>) -> Element<'static> {
        let mut element = Element::default();
        element.set(key.as_bytes(), Some(value)).expect("a known key");
        element
    }

    #[test]
    fn knows_both_ways_of_writing_keys() {
        let keys =
            [("match_id", "matchId"), ("team_choice", "teamChoice"), ("country_code", "countryCode"), ("voter_id", "voterId")];
        for (snake, camel) in keys {
            for key in [snake, camel] {
                let element = with(key, Value::Text(b"x"));
                let texts = [element.match_id(), element.team_choice(), element.country_code(), element.voter_id()];
                assert_eq!(texts.iter().filter(|text| **text == Ok(Some(&b"x"[..]))).count(), 1, "{key}");
            }
        }
        assert!(with("h3Index", Value::Text(b"872a1072bffffff")).cell().is_ok_and(|cell| cell.is_some()));
        assert!(with("h3_index", Value::Whole(608_725_951_823_478_783)).cell().is_ok_and(|cell| cell.is_some()));
        assert_eq!(Element::default().set(b"matchid", None), Err(Error::Key { key: "matchid".into() }));
        let mut element = with("voter_id", Value::Text(b"a"));
        assert_eq!(element.set(b"voterId", None), Ok(()));
        assert_eq!(element.set(b"voterId", Some(Value::Text(b"a"))), Err(Error::Spellings { key: "voter_id" }));
        assert_eq!(element.voter_id(), Ok(Some(&b"a"[..])));
        let mut element = Element::default();
        assert_eq!(element.set(b"h3Index", None).and_then(|()| element.set(b"h3_index", Some(Value::Whole(1)))), Ok(()));
    }

    #[test]
    fn names_key_and_value() {
        let refusal = Refusal { position: 2, error: with("votes", Value::Text(b"3")).votes().expect_err("text") };
        assert_eq!(refusal.to_string(), r#"element 2: votes must be a whole number, not "3""#);
        let wrong = with("resolution", Value::Number("1.5".into())).resolution().expect_err("a fraction");
        assert_eq!(wrong.to_string(), "resolution must be a whole number, not 1.5");
        let wrong = with("team_choice", Value::Nested).team_choice().expect_err("a list");
        assert_eq!(wrong.to_string(), "team_choice must be text, not a list or an object");
        assert!(matches!(with("h3_index", Value::Whole(5)).cell(), Err(Error::Cell { .. })));
        assert!(matches!(with("h3_index", Value::Bool(true)).cell(), Err(Error::Type { .. })));
    }

    #[test]
    fn gives_what_was_set() {
        let none = Element::default();
        assert_eq!((none.votes(), none.resolution(), none.cell(), none.match_id()), (Ok(None), Ok(None), Ok(None), Ok(None)));
        assert_eq!(with("votes", Value::Whole(-5)).votes(), Ok(Some(-5)));
        assert_eq!(with("resolution", Value::Whole(7)).resolution(), Ok(Some(7)));
        let cell = with("h3_index", Value::Text(b"872a1072bffffff")).cell();
        assert_eq!(cell, parse_cell(b"872a1072bffffff").map(Some));
        assert_eq!(
            with("h3_index", Value::Whole(608_725_951_823_478_783)).cell(),
            crate::vote::cell::cell_from_bits(608_725_951_823_478_783).map(Some)
        );
    }

    #[test]
    fn shows_a_value_as_it_was_written() {
        let shown = [Value::Bool(true), Value::Whole(-5), Value::Number("1e99".into()), Value::Text(b"x"), Value::Nested];
        assert_eq!(shown.map(|value| value.to_string()), ["true", "-5", "1e99", "\"x\"", "a list or an object"]);
        let whole = Refusal { position: 0, error: Error::Null { what: "votes" } };
        assert_eq!(whole.to_string(), "votes must not be null");
    }
}
