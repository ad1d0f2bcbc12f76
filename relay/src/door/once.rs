//! JSON in which no key comes twice. Readers differ on which one counts then (RFC 8259, section 4), and a vote has one meaning.

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// An object that has each key once; null for anything else.
#[derive(Debug, Default, PartialEq)]
pub struct Once(pub Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Once;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Once, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("the key {key:?} comes twice")));
            }
            object.insert(key, entries.next_value()?);
        }
        Ok(Once(Value::Object(object)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Once, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Once::default())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Once, E> {
        Ok(Once::default())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Once, E> {
        Ok(Once::default())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Once, E> {
        Ok(Once::default())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Once, E> {
        Ok(Once::default())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Once, E> {
        Ok(Once::default())
    }

    fn visit_unit<E: Error>(self) -> Result<Once, E> {
        Ok(Once::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_comes_once() {
        let read = |text| serde_json::from_str::<Once>(text).map(|once| once.0).map_err(|e| e.to_string());
        assert_eq!(read(r#"{"turn": 1, "h3_index": [1, 1]}"#), Ok(json!({"turn": 1, "h3_index": [1, 1]})));
        for text in
            [r#"{"turn": 1, "turn": 2}"#, r#"{"turn": 1, "team_choice": "a", "turn": 1}"#, r#"{"turn": 1, "\u0074urn": 1}"#]
        {
            assert!(read(text).is_err_and(|e| e.contains(r#"the key "turn" comes twice"#)), "{text}");
        }
        for text in ["[1, {}]", "1", "-1", "1.5", "true", "\"turn\"", "null"] {
            assert_eq!(read(text), Ok(Value::Null), "{text}");
        }
    }
}
