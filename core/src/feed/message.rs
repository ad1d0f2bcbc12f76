//! The wire format, version 1: what one fold changed in one match, and the state a follower starts from.
//!
//! Messages carry new absolute totals, never differences, so losing or repeating one does no harm. Only teams with votes
//! are named in a cell or country; a team that is not named has none.

use crate::vote::dominance;
use crate::vote::tally;
use crate::{CellIndex, Country, Error};
use serde::ser::{SerializeMap, SerializeTuple};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

/// The version of the format.
pub const VERSION: u32 = 1;

/// Over this many changed cells (or distinct arrivals), a message leaves them out and says `"resync": true`.
pub const MAX_CELLS: usize = 2_000;

/// Over this many votes of teams in the changed cells, or in the changed countries, a message leaves these out as well. Each of
/// many teams has its place in each of them, with its name.
pub const MAX_NAMED: usize = 20_000;

/// The longest text that fits into a notification with room to spare (PostgreSQL's limit is 7,999 bytes).
pub const MAX_NOTIFY_BYTES: usize = 7_900;

/// Votes by team, in the match's order of teams.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Votes<'a>(pub Vec<(Cow<'a, str>, i64)>);

impl<'a> Votes<'a> {
    /// All teams, zeros too.
    #[must_use]
    pub fn all(teams: &'a [String], counts: &[i64]) -> Self {
        let counts = counts.iter().copied().chain(std::iter::repeat(0));
        Self(teams.iter().map(|team| Cow::Borrowed(team.as_str())).zip(counts).collect())
    }

    /// The teams of a change from nothing.
    #[must_use]
    pub fn of(teams: &'a [String], change: &[(usize, i64)]) -> Self {
        let pairs = change.iter().filter_map(|(team, votes)| Some((teams.get(*team)?, *votes)));
        Self(pairs.filter(|(_, votes)| *votes != 0).map(|(team, votes)| (Cow::Borrowed(team.as_str()), votes)).collect())
    }

    /// Only the teams that have votes.
    #[must_use]
    pub fn some(teams: &'a [String], counts: &[i64]) -> Self {
        let pairs = teams.iter().zip(counts).filter(|(_, votes)| **votes != 0);
        Self(pairs.map(|(team, votes)| (Cow::Borrowed(team.as_str()), *votes)).collect())
    }
}

impl Serialize for Votes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (team, votes) in &self.0 {
            map.serialize_entry(team, votes)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Votes<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> serde::de::Visitor<'de> for Pairs {
            type Value = Vec<(Cow<'static, str>, i64)>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("votes by team")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(0));
                while let Some((team, votes)) = map.next_entry::<String, i64>()? {
                    pairs.push((Cow::Owned(team), votes));
                }
                Ok(pairs)
            }
        }
        deserializer.deserialize_map(Pairs).map(Votes)
    }
}

/// The match as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stats<'a> {
    pub total: i64,
    pub votes: Votes<'a>,
    pub leader: Option<Cow<'a, str>>,
    pub dominance: f64,
    pub per_minute: i64,
}

impl<'a> Stats<'a> {
    /// The stats of totals by team.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when the sum leaves 64 bits.
    pub fn new(teams: &'a [String], votes: &[i64], per_minute: i64) -> Result<Self, Error> {
        Ok(Self {
            total: tally::total(votes)?,
            votes: Votes::all(teams, votes),
            leader: dominance::leader(votes).and_then(|place| teams.get(place)).map(|team| team.as_str().into()),
            // Four digits are what people read; they keep a message short.
            dominance: (dominance::dominance(votes) * 1e4).round() / 1e4,
            per_minute,
        })
    }
}

/// One cell and its votes: `["872a1072bffffff", {"home": 120}]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CellVotes<'a>(pub CellIndex, pub Votes<'a>);

impl Serialize for CellVotes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut pair = serializer.serialize_tuple(2)?;
        pair.serialize_element(&Hex(self.0))?;
        pair.serialize_element(&self.1)?;
        pair.end()
    }
}

impl<'de> Deserialize<'de> for CellVotes<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (Hex(cell), votes) = <(Hex, Votes)>::deserialize(deserializer)?;
        Ok(Self(cell, votes))
    }
}

/// One country and its votes: `["FR", {"home": 900}]`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct CountryVotes<'a>(#[serde(with = "code")] pub Country, pub Votes<'a>);

/// What arrived: team, cell, country, votes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct NewVotes<'a>(pub Cow<'a, str>, pub Option<Hex>, pub Option<Code>, pub i64);

/// Where a leader changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Match,
    Country,
    Cell,
}

/// A change of the announced leader (see [`crate::feed::flip`]): where, which country or cell, the leader before and the one after.
/// The match has no key. Before the first announcement there is no leader, nor after all votes there were taken back.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Flip<'a>(pub Scope, pub Option<Cow<'a, str>>, pub Option<Cow<'a, str>>, pub Option<Cow<'a, str>>);

/// A cell written as its usual text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hex(pub CellIndex);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // `collect_str` takes longer, and a snapshot has 100,000 of them.
        const DIGITS: [u8; 16] = *b"0123456789abcdef";
        let bits = u64::from(self.0);
        let text: [u8; 15] = std::array::from_fn(|digit| DIGITS[(bits >> (56 - 4 * digit) & 0xf) as usize]);
        serializer.serialize_str(std::str::from_utf8(&text).map_err(serde::ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        crate::parse_cell(text.as_bytes()).map(Hex).map_err(serde::de::Error::custom)
    }
}

/// A country written as its code.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Code(#[serde(with = "code")] pub Country);

mod code {
    use super::{Country, Cow, Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(country: &Country, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(country.as_str())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Country, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Country::parse(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}

/// Refuses another version than [`VERSION`]: a reader that took it for this one would show wrong numbers.
fn known_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        VERSION => Ok(VERSION),
        other => Err(serde::de::Error::custom(format_args!("version {other} of the feed's format is not known, only {VERSION}"))),
    }
}

/// What one fold changed in one match: the body of a feed row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message<'a> {
    #[serde(deserialize_with = "known_version")]
    pub v: u32,
    #[serde(rename = "match")]
    pub match_id: Cow<'a, str>,
    pub seq: i64,
    pub prev: i64,
    pub epoch: Cow<'a, str>,
    pub at: Cow<'a, str>,
    pub stats: Stats<'a>,
    /// New totals of the changed cells. Left out where there are too many (`resync`) or no room (`partial`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cells: Option<Vec<CellVotes<'a>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub countries: Option<Vec<CountryVotes<'a>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<Vec<NewVotes<'a>>>,
    /// Changes of leader; left out where there are none or no room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flips: Option<Vec<Flip<'a>>>,
    /// Too much changed for one message: read a snapshot.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resync: bool,
    /// A notification that had no room for the whole message: read the feed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// The match is closed and these are its final totals.
    #[serde(default, rename = "final", skip_serializing_if = "std::ops::Not::not")]
    pub is_final: bool,
}

/// A message without room for anything but what it is about. The keys are those of a message.
#[derive(Serialize)]
struct Doorbell<'a> {
    v: u32,
    #[serde(rename = "match")]
    match_id: &'a str,
    seq: i64,
    prev: i64,
    epoch: &'a str,
    at: &'a str,
    partial: bool,
    #[serde(rename = "final", skip_serializing_if = "std::ops::Not::not")]
    is_final: bool,
}

impl Message<'_> {
    /// The same without its lists, for a notification that has no room for them.
    #[must_use]
    pub fn partial(&self) -> Self {
        Self { cells: None, countries: None, new: None, flips: None, partial: true, ..self.clone() }
    }

    /// The text of a notification that has no room for `body`, this message as JSON. It is the same message without its lists;
    /// where the teams have too many or too long names, without the stats as well. That always fits.
    #[must_use]
    pub fn doorbell(&self, body: &str) -> Option<String> {
        if body.len() <= MAX_NOTIFY_BYTES {
            return None;
        }
        let Self { v, match_id, seq, prev, epoch, at, is_final, .. } = self;
        Some(to_json(&self.partial())).filter(|partial| partial.len() <= MAX_NOTIFY_BYTES).or_else(|| {
            Some(to_json(&Doorbell { v: *v, match_id, seq: *seq, prev: *prev, epoch, at, partial: true, is_final: *is_final }))
        })
    }
}

/// A message or snapshot as JSON.
#[must_use]
pub fn to_json(value: &impl Serialize) -> String {
    // Only maps with keys that are no text, or I/O, can fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// Names a history by hashing what makes it: 8 hexadecimal digits (FNV-1a, 32 bits,
/// <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>). No secret and no checksum: two histories that follow each
/// other only have to differ.
#[must_use]
pub fn epoch(parts: &[&str]) -> String {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    format!("{:08x}", bytes.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)))
}

/// A list that is made while it is written.
#[derive(Clone, Copy, Debug)]
pub struct Lazily<F>(pub F);

impl<I: IntoIterator<Item: Serialize>, F: Fn() -> I> Serialize for Lazily<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// The folded state of a match: what a follower starts from, then applying messages with a higher `seq`. A writer may give its cells
/// [`Lazily`]: there may be 100,000.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot<'a, Cells = Vec<CellVotes<'a>>> {
    #[serde(deserialize_with = "known_version")]
    pub v: u32,
    #[serde(rename = "match")]
    pub match_id: Cow<'a, str>,
    pub seq: i64,
    pub epoch: Option<Cow<'a, str>>,
    pub at: Option<Cow<'a, str>>,
    pub status: Cow<'a, str>,
    /// The resolution that cells were rolled up to, if any.
    pub resolution: Option<u8>,
    pub stats: Stats<'a>,
    pub cells: Cells,
    pub countries: Vec<CountryVotes<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("../../../fixtures/message.json");
    const GOLDEN_FLIPS: &str = include_str!("../../../fixtures/message_flips.json");
    const GOLDEN_RESYNC: &str = include_str!("../../../fixtures/message_resync.json");
    const GOLDEN_SNAPSHOT: &str = include_str!("../../../fixtures/snapshot.json");

    #[test]
    fn golden_messages_come_back_as_the_same_bytes() {
        for golden in [GOLDEN, GOLDEN_FLIPS, GOLDEN_RESYNC] {
            let message: Message = serde_json::from_str(golden).expect("golden message");
            assert_eq!(serde_json::to_string(&message).expect("JSON"), golden.trim_end());
        }
        let snapshot: Snapshot = serde_json::from_str(GOLDEN_SNAPSHOT).expect("golden snapshot");
        assert_eq!(serde_json::to_string(&snapshot).expect("JSON"), GOLDEN_SNAPSHOT.trim_end());
    }

    #[test]
    fn a_partial_message_keeps_the_stats() {
        let message: Message = serde_json::from_str(GOLDEN).expect("golden message");
        let partial = message.partial();
        assert_eq!((partial.seq, &partial.stats, partial.partial), (message.seq, &message.stats, true));
        let text = serde_json::to_string(&partial).expect("JSON");
        assert!(!text.contains("cells") && !text.contains("new") && text.ends_with(r#""partial":true}"#), "{text}");
    }

    #[test]
    fn a_partial_message_has_no_list_at_all() {
        let message: Message = serde_json::from_str(GOLDEN_FLIPS).expect("golden message");
        assert!(message.flips.is_some() && message.countries.is_some());
        let partial = message.partial();
        assert!(partial.cells.is_none() && partial.countries.is_none() && partial.new.is_none() && partial.flips.is_none());
    }

    #[test]
    fn votes_name_all_teams_or_those_that_have_some() {
        let teams = ["home".to_owned(), "away".to_owned(), "none".to_owned()];
        let pairs = |votes: Votes| votes.0.into_iter().map(|(team, votes)| (team.into_owned(), votes)).collect::<Vec<_>>();
        let named = |pairs: &[(&str, i64)]| pairs.iter().map(|(team, votes)| ((*team).to_owned(), *votes)).collect::<Vec<_>>();
        assert_eq!(pairs(Votes::all(&teams, &[3, -1])), named(&[("home", 3), ("away", -1), ("none", 0)]));
        assert_eq!(pairs(Votes::some(&teams, &[3, 0, -1])), named(&[("home", 3), ("none", -1)]));
        let change = [(0, 3), (1, 0), (2, -1), (7, 5)];
        assert_eq!(pairs(Votes::of(&teams, &change)), named(&[("home", 3), ("none", -1)]), "nobody has the number 7");
        let refused = serde_json::from_str::<Votes>("3").expect_err("a number").to_string();
        assert!(refused.contains("expected votes by team"), "{refused}");
    }

    #[test]
    fn stats_are_those_of_the_totals() {
        let teams = ["home".to_owned(), "away".to_owned()];
        let stats = |votes: &[i64]| Stats::new(&teams, votes, 7).map(|stats| to_json(&stats));
        // (2 − 1) ÷ 3 with four digits.
        let led = r#"{"total":3,"votes":{"home":1,"away":2},"leader":"away","dominance":0.3333,"per_minute":7}"#;
        assert_eq!(stats(&[1, 2]), Ok(led.to_owned()));
        let none = r#"{"total":0,"votes":{"home":0,"away":0},"leader":null,"dominance":0.0,"per_minute":7}"#;
        assert_eq!(stats(&[]), Ok(none.to_owned()));
        assert!(stats(&[i64::MAX, 1]).is_err());
    }

    /// A message about `count` teams whose names are as long and as dear as names get.
    fn crowded(count: usize) -> Message<'static> {
        let message: Message = serde_json::from_str(GOLDEN).expect("golden message");
        let name = |n: usize| format!("{n:04}{}", "\"".repeat(crate::vote::name::MAX_BYTES - 4));
        let votes = Votes((0..count).map(|n| (name(n).into(), i64::MIN)).collect());
        let stats = Stats { votes, leader: Some(name(0).into()), total: i64::MIN, ..message.stats };
        let match_id = "\\".repeat(crate::vote::name::MAX_BYTES).into();
        Message { match_id, seq: i64::MIN, prev: i64::MIN, stats, is_final: true, ..message }
    }

    #[test]
    fn a_doorbell_always_fits() {
        for count in [0, 1, 2, 15, 16, 17, 18, 1_000] {
            let message = crowded(count);
            let doorbell = message.doorbell(&" ".repeat(MAX_NOTIFY_BYTES + 1)).expect("no room for the body");
            assert!(doorbell.len() <= MAX_NOTIFY_BYTES, "{count} teams: {} bytes", doorbell.len());
            let value: serde_json::Value = serde_json::from_str(&doorbell).expect("JSON");
            assert_eq!((&value["match"], &value["partial"]), (&message.match_id.as_ref().into(), &true.into()));
            assert_eq!((&value["seq"], &value["final"]), (&i64::MIN.into(), &true.into()));
            // The stats are all there, or left out.
            let has_stats = value.get("stats").is_some();
            assert_eq!(has_stats, to_json(&message.partial()).len() <= MAX_NOTIFY_BYTES);
            assert!(!has_stats || value["stats"]["votes"].as_object().expect("votes").len() == count);
        }
        let small: Message = serde_json::from_str(GOLDEN).expect("golden message");
        assert_eq!(small.doorbell(&" ".repeat(MAX_NOTIFY_BYTES)), None);
        assert_eq!(small.doorbell(&" ".repeat(MAX_NOTIFY_BYTES + 1)), Some(to_json(&small.partial())));
    }

    #[test]
    fn histories_have_names() {
        assert_eq!(epoch(&["a"]), epoch(&["a"]));
        assert_eq!(epoch(&["a", "b"]).len(), 8);
        assert_ne!(epoch(&["a", "b"]), epoch(&["ab"]));
        // Test vectors of the FNV draft, of texts that end with a zero byte.
        assert_eq!(
            [&[""], &["a"], &["b"], &["foobar"]].map(|parts| epoch(parts)),
            ["050c5d1f", "2b24d044", "9d2c3f7f", "0c1c9eb8"]
        );
    }

    #[test]
    fn unknown_cells_and_countries_are_refused() {
        for (good, bad) in [("872a1072bffffff", "872a1072bfffff0"), ("[\"FR\"", "[\"FX\"")] {
            assert!(serde_json::from_str::<Message>(&GOLDEN.replace(good, bad)).is_err());
        }
    }

    #[test]
    fn another_version_is_refused_by_its_number() {
        for golden in [GOLDEN, GOLDEN_SNAPSHOT] {
            let other = golden.replacen("\"v\":1,", "\"v\":2,", 1);
            assert_ne!(other, golden);
            let refused = [serde_json::from_str::<Message>(&other).map(drop), serde_json::from_str::<Snapshot>(&other).map(drop)];
            assert!(refused.into_iter().any(|result| result.is_err_and(|e| e.to_string().contains("version 2"))));
        }
    }
}
