//! An element of a bulk call's JSON, read without building a tree: `{"match_id": "final", "team_choice": "home", …}`.

use crate::{CellIndex, Error, parse_cell};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
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
    unknown_key: Option<String>,
}

impl Element<'_> {
    /// Checks that every key means something.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn check_keys(&self) -> Result<(), Error> {
        self.unknown_key.as_ref().map_or(Ok(()), |key| Err(Error::Key { key: key.clone() }))
    }

    /// The bytes of `match_id`.
    ///
    /// # Errors
    /// [`Error::Type`].
    pub fn match_id(&self) -> Result<Option<&[u8]>, Error> {
        text("match_id", self.match_id.as_ref())
    }

    /// The bytes of `team_choice`.
    ///
    /// # Errors
    /// [`Error::Type`].
    pub fn team_choice(&self) -> Result<Option<&[u8]>, Error> {
        text("team_choice", self.team_choice.as_ref())
    }

    /// The bytes of `country_code`.
    ///
    /// # Errors
    /// [`Error::Type`].
    pub fn country_code(&self) -> Result<Option<&[u8]>, Error> {
        text("country_code", self.country_code.as_ref())
    }

    /// `h3_index`: the cell's text, or its 64 bits as a number.
    ///
    /// # Errors
    /// [`Error::Cell`] or [`Error::Type`].
    pub fn cell(&self) -> Result<Option<CellIndex>, Error> {
        match self.h3_index.as_ref() {
            None => Ok(None),
            Some(Value::Text(text)) => parse_cell(text.as_bytes()).map(Some),
            Some(Value::Whole(bits)) => crate::cell::cell_from_bits(*bits).map(Some),
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
}

fn text<'a>(key: &'static str, value: Option<&'a Value>) -> Result<Option<&'a [u8]>, Error> {
    match value {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text.as_bytes())),
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

impl<'de: 'a, 'a> Deserialize<'de> for Element<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Element<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element<'de>, A::Error> {
                let mut element = Element::default();
                while let Some(Text(key)) = map.next_key()? {
                    let place = match &*key {
                        "match_id" | "matchId" => &mut element.match_id,
                        "team_choice" | "teamChoice" => &mut element.team_choice,
                        "h3_index" | "h3Index" => &mut element.h3_index,
                        "resolution" => &mut element.resolution,
                        "country_code" | "countryCode" => &mut element.country_code,
                        "votes" => &mut element.votes,
                        _ => {
                            element.unknown_key.get_or_insert_with(|| key.into_owned());
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *place = map.next_value::<Option<Value>>()?;
                }
                Ok(element)
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// A value of a key.
#[derive(Clone, Debug, PartialEq)]
enum Value<'a> {
    Bool(bool),
    Whole(i64),
    /// Not whole, or too big for 64 bits.
    Number(f64),
    Text(Cow<'a, str>),
    /// A list or an object; what is in it doesn't matter.
    Nested,
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Whole(value) => write!(f, "{value}"),
            Self::Number(value) => write!(f, "{value}"),
            Self::Text(value) => write!(f, "\"{value}\""),
            Self::Nested => f.write_str("a list or an object"),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value<'de>;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a value")
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
                Ok(Value::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
                Ok(Value::Whole(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
                Ok(i64::try_from(value).map_or(Value::Number(value as f64), Value::Whole))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
                Ok(Value::Number(value))
            }
            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Borrowed(value)))
            }
            fn visit_str<E>(self, value: &str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Owned(value.to_owned())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Value::Nested)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value::Nested)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Text that is borrowed where it holds no escapes.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Text(text) => Ok(Self(text)),
            other => Err(D::Error::custom(format!("{other} is no key"))),
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

/// Shows each element of the JSON array `text`, in order.
///
/// # Errors
/// The first refusal: by the rules here, or by `see`.
pub fn each(text: &str, see: impl FnMut(&Element) -> Result<(), Error>) -> Result<(), Refusal> {
    struct Elements<'r, S> {
        see: S,
        /// serde passes on text only; the refusal itself travels here.
        refusal: &'r mut Option<Refusal>,
    }
    impl<'de, S: FnMut(&Element) -> Result<(), Error>> Visitor<'de> for Elements<'_, S> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an array of objects")
        }
        fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
            for position in 1.. {
                let error = match seq.next_element::<Element>() {
                    Ok(None) => break,
                    Ok(Some(element)) => match element.check_keys().and_then(|()| (self.see)(&element)) {
                        Ok(()) => continue,
                        Err(error) => error,
                    },
                    Err(error) => Error::Json { reason: error.to_string() },
                };
                *self.refusal = Some(Refusal { position, error });
                return Err(A::Error::custom("refused"));
            }
            Ok(())
        }
    }
    let mut refusal = None;
    let read = serde_json::Deserializer::from_str(text).deserialize_seq(Elements { see, refusal: &mut refusal });
    match (refusal, read) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(error)) => Err(Refusal { position: 0, error: Error::Json { reason: error.to_string() } }),
        (None, Ok(())) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Refusal {
        let check = |e: &Element| {
            e.match_id().and(e.team_choice()).and(e.country_code())?;
            e.cell()?;
            e.resolution().and(e.votes()).map(|_| ())
        };
        each(text, check).expect_err("refused")
    }

    #[test]
    fn reads_both_ways_of_writing_keys() {
        let mut seen = 0;
        let text = r#"[{"match_id":"a","team_choice":"x\n","h3_index":"872a1072bffffff","resolution":3,"country_code":"fr","votes":2},
                       {"matchId":"b","teamChoice":"y","h3Index":608692970769612799,"countryCode":null}]"#;
        each(text, |e| {
            seen += 1;
            match seen {
                1 => {
                    assert_eq!((e.match_id(), e.team_choice()), (Ok(Some(&b"a"[..])), Ok(Some(&b"x\n"[..]))));
                    assert_eq!((e.resolution(), e.votes(), e.country_code()), (Ok(Some(3)), Ok(Some(2)), Ok(Some(&b"fr"[..]))));
                }
                _ => {
                    assert_eq!((e.match_id(), e.votes(), e.country_code()), (Ok(Some(&b"b"[..])), Ok(None), Ok(None)));
                }
            }
            assert!(e.cell().is_ok_and(|cell| cell.is_some()));
            Ok(())
        })
        .expect("good");
        assert_eq!(seen, 2);
        assert_eq!(each("[]", |_| Err(Error::NoVotes { votes: 0 })), Ok(()));
    }

    #[test]
    fn names_position_key_and_value() {
        assert_eq!(refusal("{}").position, 0);
        assert_eq!(refusal("3").position, 0);
        assert_eq!(refusal(r#"[{}, 7]"#).position, 2);
        assert_eq!(refusal(r#"[{"matchid":"a"}]"#).error, Error::Key { key: "matchid".into() });
        let wrong = refusal(r#"[{"match_id":"a"},{"votes":"3"}]"#);
        assert_eq!(wrong.to_string(), r#"element 2: votes must be a whole number, not "3""#);
        assert_eq!(refusal(r#"[{"votes":1.5}]"#).to_string(), "element 1: votes must be a whole number, not 1.5");
        assert_eq!(
            refusal(r#"[{"team_choice":[1]}]"#).to_string(),
            "element 1: team_choice must be text, not a list or an object"
        );
        assert!(matches!(refusal(r#"[{"h3_index":5}]"#).error, Error::Cell { .. }));
    }
}
