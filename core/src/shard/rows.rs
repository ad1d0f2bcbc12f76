//! What a shard says of a match in one snapshot. The shard writes it, the puller carries it, the root reads it.

use crate::vote::change::Change;
use serde::{Deserialize, Serialize};

/// The version of the format.
pub const VERSION: u32 = 1;

/// Votes by team at a key. Keys are those of the aggregates: a cell's bits, a country's number, a minute since 2000, both.
pub type Line = (i64, Change);

/// The folded state of a match, whole or what changed after `since`. Times are microseconds since PostgreSQL's epoch.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchRows {
    pub v: u32,
    /// Which server answers, on which time line of its log, and from which of its databases.
    pub system: String,
    pub timeline: u32,
    pub database: u32,
    #[serde(rename = "match")]
    pub match_id: String,
    /// `None`: the shard has nothing of the match.
    pub epoch: Option<String>,
    pub seq: i64,
    /// After which seq of the same epoch the changes are; 0 where `whole`.
    pub since: i64,
    /// Everything is here: what is not has no votes.
    pub whole: bool,
    /// The teams; all counts name them by their places from 0.
    pub teams: Vec<String>,
    pub votes: Vec<i64>,
    pub unplaced: Vec<i64>,
    /// Votes by source of the shard.
    pub sources: Vec<(i16, i64)>,
    pub cells: Vec<Line>,
    pub countries: Vec<Line>,
    pub minutes: Vec<Line>,
    pub country_minutes: Vec<Line>,
    /// From when on minutes are kept. What was before is not told minute by minute.
    pub kept_from: Option<i64>,
    pub last_vote_at: Option<i64>,
    /// When the last fold began.
    pub at: i64,
    pub opened: Option<Opened>,
    /// No vote of the match can come here any more: it is final, or was never opened where nobody's vote opens one.
    #[serde(rename = "final")]
    pub is_final: bool,
}

/// How a match was opened.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opened {
    pub teams: Option<Vec<String>>,
    pub opens_at: Option<i64>,
    pub closes_at: Option<i64>,
    pub changes_allowed: bool,
}

/// Reads it.
///
/// # Errors
/// Why the text is none.
pub fn parse(text: &str) -> Result<MatchRows, String> {
    let rows: MatchRows = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if rows.v == VERSION { Ok(rows) } else { Err(format!("its version is {}, not {VERSION}", rows.v)) }
}
