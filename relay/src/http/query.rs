//! What can be asked about a match over HTTP: the kinds, and their parameters.

use crate::live::area::Area;
use crate::live::event::Event;
use crate::live::parts::Parts;
use crate::live::subscription::Subscription;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;
use vote_agg_core::feed::flip;
use vote_agg_core::{Resolution, parse_resolution};

/// The parameters of a query, each once.
pub type Params = BTreeMap<String, String>;

/// Parses a query.
///
/// # Errors
/// A parameter that is there twice, as a sentence: nobody could tell which one counts.
pub fn params(query: &str) -> Result<Params, String> {
    let mut params = Params::new();
    for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match params.entry(key.into_owned()) {
            Entry::Vacant(none) => drop(none.insert(value.into_owned())),
            Entry::Occupied(there) => return Err(twice(there.key())),
        }
    }
    Ok(params)
}

/// The refusal of a parameter that is there twice.
pub fn twice(key: &str) -> String {
    format!("parameter {key:?} is there twice: pass it once")
}

/// The kind of the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Stats,
    Aggregates,
    Countries,
    Timeline,
    At,
    Flips,
    Geojson,
}

impl Kind {
    const ALL: [Self; 7] = [Self::Stats, Self::Aggregates, Self::Countries, Self::Timeline, Self::At, Self::Flips, Self::Geojson];

    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stats => "stats",
            Self::Aggregates => "aggregates",
            Self::Countries => "countries",
            Self::Timeline => "timeline",
            Self::At => "at",
            Self::Flips => "flips",
            Self::Geojson => "geojson",
        }
    }

    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Stats => &["token"],
            Self::Aggregates => &["resolution", "min_votes", "max_cells", "token"],
            Self::Countries => &["min_votes", "token"],
            Self::Timeline => &["bucket", "from", "to", "token"],
            Self::At => &["ts", "token"],
            Self::Flips => &["since", "max", "token"],
            Self::Geojson => &["resolution", "min_votes", "bbox", "token"],
        }
    }
}

/// A query whose values are checked.
#[derive(Clone, Debug)]
pub struct MatchQuery {
    pub kind: Kind,
    pub resolution: Option<Resolution>,
    pub min_votes: i64,
    pub max_cells: Option<usize>,
    pub bbox: Option<Vec<f64>>,
    pub bucket: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub ts: Option<String>,
    pub since: Option<String>,
    pub max: Option<i64>,
}

impl fmt::Display for MatchQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, resolution, min_votes, max_cells, bbox, bucket, from, to, ts, since, max } = self;
        write!(
            f,
            "{kind:?} {resolution:?} {min_votes} {max_cells:?} {bbox:?} {bucket:?} {from:?} {to:?} {ts:?} {since:?} {max:?}"
        )
    }
}

impl MatchQuery {
    /// Parses the query.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(kind: Kind, query: &Params) -> Result<Self, String> {
        expect_keys(query, kind.keys())?;
        let number = |key: &str| number(query, key);
        let bbox = |text: &String| {
            let sides: Option<Vec<f64>> =
                text.split(',').map(|side| side.trim().parse().ok().filter(|n: &f64| n.is_finite())).collect();
            sides
                .filter(|sides| sides.len() == 4)
                .ok_or_else(|| format!("bbox must be west,south,east,north in degrees, not {text:?}"))
        };
        let max_cells =
            number("max_cells")?.map(|max| usize::try_from(max).map_err(|_| "max_cells must not be negative".to_owned()));
        Ok(Self {
            kind,
            resolution: resolution(query)?,
            min_votes: number("min_votes")?.unwrap_or(1),
            max_cells: max_cells.transpose()?,
            bbox: query.get("bbox").map(bbox).transpose()?,
            bucket: query.get("bucket").cloned().unwrap_or_else(|| "1 minute".to_owned()),
            from: query.get("from").cloned(),
            to: query.get("to").cloned(),
            ts: query.get("ts").cloned(),
            since: query.get("since").cloned(),
            max: number("max")?.map(|max| flip::parse_max("max", Some(max)).map_err(|e| e.to_string())).transpose()?,
        })
    }
}

/// What an event stream shows: the cells of an area at a resolution, and some of the lists.
///
/// # Errors
/// What is wrong with the query, as a sentence.
pub fn parse_stream(query: &Params) -> Result<Subscription, String> {
    expect_keys(query, &["resolution", "parts", "area", "token"])?;
    let names =
        |text: &String| text.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect::<Vec<_>>();
    let parts =
        query.get("parts").map(names).map(|names| Parts::parse(names.iter().map(|name| Some(name.as_str())))).transpose()?;
    let area = query.get("area").map(names).map(|names| Area::parse_names("area", names.iter().map(|name| Some(name.as_str()))));
    Ok(Subscription {
        resolution: resolution(query)?,
        events: Some(vec![Event::Update(parts.unwrap_or(Parts::ALL))]),
        area: area.transpose()?.map(Arc::new),
        ..Subscription::default()
    })
}

/// No other parameters than these are there.
///
/// # Errors
/// The one that is, as a sentence.
pub fn expect_keys(query: &Params, keys: &[&str]) -> Result<(), String> {
    match query.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => Err(format!("unknown parameter {key:?}; known are: {}", keys.join(", "))),
        None => Ok(()),
    }
}

fn number(query: &Params, key: &str) -> Result<Option<i64>, String> {
    let parse = |text: &String| text.parse::<i64>().map_err(|_| format!("{key} must be a whole number, not {text:?}"));
    query.get(key).map(parse).transpose()
}

fn resolution(query: &Params) -> Result<Option<Resolution>, String> {
    number(query, "resolution")?.map(|n| parse_resolution(n).map_err(|e| e.to_string())).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn parse(kind: Kind, pairs: &[(&str, &str)]) -> Result<MatchQuery, String> {
        MatchQuery::parse(kind, &pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn a_kind_has_a_name_and_its_parameters() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(&format!("{kind:?}").to_lowercase()), Some(kind));
            let query = parse(kind, &[]).expect("nothing is required");
            assert_eq!((query.kind, query.resolution, query.min_votes, query.max_cells), (kind, None, 1, None));
            assert_eq!((query.bbox, query.bucket.as_str(), query.from, query.to, query.ts), (None, "1 minute", None, None, None));
            assert_eq!((query.since, query.max), (None, None));
            let values = [
                ("resolution", "3"),
                ("min_votes", "5"),
                ("max_cells", "0"),
                ("bbox", "1,2,3,4"),
                ("bucket", "1 hour"),
                ("from", "a"),
                ("to", "b"),
                ("ts", "c"),
                ("since", "d"),
                ("max", "1"),
                ("token", "t"),
            ];
            let taken: Vec<&str> = values.iter().filter(|pair| parse(kind, &[**pair]).is_ok()).map(|(key, _)| *key).collect();
            let known = kind.keys().iter().copied().collect::<BTreeSet<_>>();
            assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), known, "{kind:?}");
        }
        assert_eq!((Kind::parse("Stats"), Kind::parse("")), (None, None));
    }

    #[test]
    fn a_stream_shows_the_parts_that_it_names() {
        let stream = |pairs: &[(&str, &str)]| {
            parse_stream(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        let of = |parts: Parts| Subscription { events: Some(vec![Event::Update(parts)]), ..Subscription::default() };
        let two = Parts::parse([Some("cells"), Some("flips")]).expect("known");
        assert_eq!(stream(&[]), Ok(of(Parts::ALL)));
        let three = Subscription { resolution: parse_resolution(3).ok(), ..of(two) };
        assert_eq!(stream(&[("resolution", "3"), ("parts", "cells, flips,")]), Ok(three));
        assert_eq!(stream(&[("parts", "")]), Ok(of(Parts::parse([]).expect("none"))));
        assert!(stream(&[("parts", "cell")]).is_err() && stream(&[("bbox", "1,2,3,4")]).is_err());
        let area = Area::parse_names("area", ["832a10fffffffff", "832a11fffffffff"].map(Some).into_iter()).expect("an area");
        let looking = Subscription { area: Some(Arc::new(area)), ..of(Parts::ALL) };
        assert_eq!(stream(&[("area", "832a11fffffffff, 832a10fffffffff")]), Ok(looking));
        assert_eq!(stream(&[("area", "")]).map(|_| ()), Err("area must name 1 to 256 cells, not 0".to_owned()));
        assert!(stream(&[("area", "832a10fffffffff,x")]).is_err_and(|message| message.contains("\"x\"")));
    }

    #[test]
    fn values_are_what_was_written() {
        let cells = parse(Kind::Aggregates, &[("resolution", "3"), ("min_votes", "-5"), ("max_cells", "7")]).expect("sound");
        assert_eq!((cells.resolution.map(u8::from), cells.min_votes, cells.max_cells), (Some(3), -5, Some(7)));
        let map = parse(Kind::Geojson, &[("bbox", "-1.5, 2,3,4e0")]).expect("sound");
        assert_eq!(map.bbox, Some(vec![-1.5, 2.0, 3.0, 4.0]));
        let line = parse(Kind::Timeline, &[("bucket", "1 hour"), ("from", "a"), ("to", "b")]).expect("sound");
        assert_eq!((line.bucket.as_str(), line.from.as_deref(), line.to.as_deref()), ("1 hour", Some("a"), Some("b")));
        let flips = parse(Kind::Flips, &[("since", "a"), ("max", "1000")]).expect("sound");
        assert_eq!((flips.since.as_deref(), flips.max), (Some("a"), Some(1_000)));
    }

    #[test]
    fn a_refusal_names_parameter_and_value() {
        for (kind, key, value, text) in [
            (Kind::Stats, "x", "1", "unknown parameter \"x\"; known are: token"),
            (Kind::Timeline, "x", "1", "unknown parameter \"x\"; known are: bucket, from, to, token"),
            (Kind::Countries, "min_votes", "1.5", "min_votes must be a whole number, not \"1.5\""),
            (Kind::Aggregates, "resolution", "16", "resolution 16 is outside the valid range 0 to 15"),
            (Kind::Aggregates, "max_cells", "-1", "max_cells must not be negative"),
            (Kind::Flips, "max", "0", "max must be between 1 and 1000, not 0"),
            (Kind::Flips, "max", "1001", "max must be between 1 and 1000, not 1001"),
            (Kind::Geojson, "bbox", "1,2,3", "bbox must be west,south,east,north in degrees, not \"1,2,3\""),
            (Kind::Geojson, "bbox", "1,2,3,4,5", "bbox must be west,south,east,north in degrees, not \"1,2,3,4,5\""),
            (Kind::Geojson, "bbox", "1,2,3,NaN", "bbox must be west,south,east,north in degrees, not \"1,2,3,NaN\""),
            (Kind::Geojson, "bbox", "1,2,3,x", "bbox must be west,south,east,north in degrees, not \"1,2,3,x\""),
        ] {
            assert_eq!(parse(kind, &[(key, value)]).map(|_| ()), Err(text.to_owned()));
        }
    }

    #[test]
    fn a_parameter_is_there_once() {
        let both = |query: &str| params(query).map(|params| params.into_iter().collect::<Vec<_>>());
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(both(""), Ok(vec![]));
        assert_eq!(both("from=a+b&to=%C3%A9&x"), Ok(vec![pair("from", "a b"), pair("to", "\u{e9}"), pair("x", "")]));
        for twice in ["to=1&to=1", "to=1&from=2&to=3", "to&to", "t%6f=1&to=2"] {
            assert_eq!(both(twice), Err("parameter \"to\" is there twice: pass it once".to_owned()), "{twice}");
        }
    }

    /// Answers are kept under the text of their query.
    #[test]
    fn different_queries_have_different_texts() {
        let text = |kind, pairs: &[(&str, &str)]| parse(kind, pairs).expect("sound").to_string();
        let mut texts: Vec<String> = Kind::ALL.iter().map(|kind| text(*kind, &[])).collect();
        for pair in [("resolution", "3"), ("resolution", "4"), ("min_votes", "3"), ("max_cells", "3")] {
            texts.push(text(Kind::Aggregates, &[pair]));
        }
        for pair in [("bucket", "a"), ("from", "a"), ("to", "a"), ("to", "a b")] {
            texts.push(text(Kind::Timeline, &[pair]));
        }
        texts.extend(["a", "b"].map(|ts| text(Kind::At, &[("ts", ts)])));
        for pair in [("since", "a"), ("since", "b"), ("max", "1"), ("max", "2")] {
            texts.push(text(Kind::Flips, &[pair]));
        }
        for sides in ["1,2,3,4", "1,2,3,5"] {
            texts.push(text(Kind::Geojson, &[("bbox", sides)]));
        }
        assert_eq!(texts.iter().collect::<BTreeSet<_>>().len(), texts.len(), "{texts:?}");
        assert_eq!(text(Kind::Countries, &[("min_votes", "1")]), text(Kind::Countries, &[]));
    }
}
