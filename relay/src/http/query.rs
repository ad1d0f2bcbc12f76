//! What can be asked about a match over HTTP: the kinds, and their parameters.

use std::collections::BTreeMap;
use std::fmt;
use vote_agg_core::{Resolution, parse_resolution};

/// The kind of the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Stats,
    Aggregates,
    Countries,
    Timeline,
    Geojson,
}

impl Kind {
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "stats" => Self::Stats,
            "aggregates" => Self::Aggregates,
            "countries" => Self::Countries,
            "timeline" => Self::Timeline,
            "geojson" => Self::Geojson,
            _ => return None,
        })
    }

    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Stats => &[],
            Self::Aggregates => &["resolution", "min_votes", "max_cells"],
            Self::Countries => &["min_votes"],
            Self::Timeline => &["bucket", "from", "to"],
            Self::Geojson => &["resolution", "min_votes", "bbox"],
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
}

impl fmt::Display for MatchQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, resolution, min_votes, max_cells, bbox, bucket, from, to } = self;
        write!(f, "{kind:?} {resolution:?} {min_votes} {max_cells:?} {bbox:?} {bucket:?} {from:?} {to:?}")
    }
}

impl MatchQuery {
    /// Parses the query.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(kind: Kind, query: &BTreeMap<String, String>) -> Result<Self, String> {
        if let Some(key) = query.keys().find(|key| !kind.keys().contains(&key.as_str())) {
            return Err(format!("unknown parameter {key:?}; known are: {}", kind.keys().join(", ")));
        }
        let number = |key: &str| {
            let parse = |text: &String| text.parse::<i64>().map_err(|_| format!("{key} must be a whole number, not {text:?}"));
            query.get(key).map(parse).transpose()
        };
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
            resolution: number("resolution")?.map(|n| parse_resolution(n).map_err(|e| e.to_string())).transpose()?,
            min_votes: number("min_votes")?.unwrap_or(1),
            max_cells: max_cells.transpose()?,
            bbox: query.get("bbox").map(bbox).transpose()?,
            bucket: query.get("bucket").cloned().unwrap_or_else(|| "1 minute".to_owned()),
            from: query.get("from").cloned(),
            to: query.get("to").cloned(),
        })
    }
}
