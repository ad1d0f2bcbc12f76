//! What can be asked about a match over HTTP, and where the answer comes from: memory where the match is followed and
//! memory has it, else one statement.

use crate::db::database::Database;
use crate::error::{Error, Result};
use crate::http::cache::Answer;
use crate::live::follow::Follow;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;
use tokio_postgres::types::Type;
use vote_agg_core::feed::message::{CellVotes, CountryVotes, Snapshot, Stats, Votes};
use vote_agg_core::{Resolution, parse_resolution};

/// What is asked for.
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

/// A question, its values checked.
#[derive(Clone, Debug)]
pub struct Ask {
    kind: Kind,
    resolution: Option<Resolution>,
    min_votes: i64,
    max_cells: Option<usize>,
    bbox: Option<Vec<f64>>,
    bucket: String,
    from: Option<String>,
    to: Option<String>,
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, resolution, min_votes, max_cells, bbox, bucket, from, to } = self;
        write!(f, "{kind:?} {resolution:?} {min_votes} {max_cells:?} {bbox:?} {bucket:?} {from:?} {to:?}")
    }
}

#[derive(Serialize)]
struct StatsAnswer<'a> {
    #[serde(rename = "match")]
    match_id: &'a str,
    seq: i64,
    epoch: Option<&'a str>,
    status: &'a str,
    stats: Stats<'a>,
    cells: usize,
    countries: usize,
}

#[derive(Serialize)]
struct ListAnswer<'a> {
    #[serde(rename = "match")]
    match_id: &'a str,
    seq: i64,
    epoch: Option<&'a str>,
    at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resolution: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cells: Option<Vec<&'a CellVotes<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    countries: Option<Vec<&'a CountryVotes<'a>>>,
}

#[derive(Serialize)]
struct RowsAnswer<'a> {
    #[serde(rename = "match")]
    match_id: &'a str,
    seq: i64,
    epoch: Option<&'a str>,
    timeline: &'a RawValue,
}

impl Ask {
    /// Takes the query apart.
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

    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Names the state of a followed match that the answer must show; None before the first fold.
    pub async fn current(&self, follow: &Follow) -> Option<String> {
        let inner = follow.lock().await;
        let state = inner.state.as_ref()?;
        Some(self.etag(state.epoch.as_deref()?, state.seq, &state.status))
    }

    /// The status changes without a fold.
    fn etag(&self, epoch: &str, seq: i64, status: &str) -> String {
        if self.kind == Kind::Stats { format!("{}-{status}", etag(epoch, seq)) } else { etag(epoch, seq) }
    }

    /// From a followed match. None: memory does not have it.
    ///
    /// # Errors
    /// When the state cannot be put into words.
    pub async fn recall(&self, follow: &Follow) -> Result<Option<Answer>> {
        let inner = follow.lock().await;
        let Some(state) = &inner.state else { return Ok(None) };
        Ok(match self.kind {
            Kind::Stats => {
                let (cells, countries) = state.places();
                Some(self.stats(
                    &state.match_id,
                    state.seq,
                    state.epoch.as_deref(),
                    &state.status,
                    state.stats.clone(),
                    (cells, countries),
                )?)
            }
            Kind::Aggregates | Kind::Countries => Some(self.list(&state.picture(self.resolution)?)?),
            Kind::Timeline | Kind::Geojson => None,
        })
    }

    /// From the database.
    ///
    /// # Errors
    /// [`Error::Missing`] where the extension lacks the function, or what the database has against it.
    pub async fn read(&self, database: &Database, match_id: &str) -> Result<Answer> {
        match self.kind {
            Kind::Stats => {
                let row = database.stats(match_id).await?;
                let epoch = row.epoch.as_deref();
                let places = (usize::try_from(row.cells).unwrap_or(0), usize::try_from(row.countries).unwrap_or(0));
                let stats = Stats {
                    total: row.total,
                    votes: row.votes,
                    leader: row.leader.map(Into::into),
                    dominance: (row.dominance * 1e4).round() / 1e4,
                    per_minute: row.per_minute,
                };
                self.stats(match_id, row.seq, epoch, &row.status, stats, places)
            }
            Kind::Aggregates | Kind::Countries => {
                let resolution = self.resolution.map(|r| i32::from(u8::from(r)));
                self.list(&database.snapshot(match_id, resolution).await?)
            }
            Kind::Timeline => self.timeline(database, match_id).await,
            Kind::Geojson => self.geojson(database, match_id).await,
        }
    }

    fn stats(
        &self,
        match_id: &str,
        seq: i64,
        epoch: Option<&str>,
        status: &str,
        stats: Stats,
        places: (usize, usize),
    ) -> Result<Answer> {
        let (cells, countries) = places;
        let body = serde_json::to_vec(&StatsAnswer { match_id, seq, epoch, status, stats, cells, countries })?;
        Ok(Answer { body: body.into(), etag: epoch.map(|epoch| self.etag(epoch, seq, status)) })
    }

    fn list(&self, snapshot: &Snapshot) -> Result<Answer> {
        let epoch = snapshot.epoch.as_deref();
        let mut list = ListAnswer {
            match_id: &snapshot.match_id,
            seq: snapshot.seq,
            epoch,
            at: snapshot.at.as_deref(),
            resolution: None,
            cells: None,
            countries: None,
        };
        if self.kind == Kind::Aggregates {
            list.resolution = snapshot.resolution;
            let mut cells = biggest(&snapshot.cells, self.min_votes, |CellVotes(_, votes)| votes);
            cells.truncate(self.max_cells.unwrap_or(usize::MAX));
            list.cells = Some(cells);
        } else {
            list.countries = Some(biggest(&snapshot.countries, self.min_votes, |CountryVotes(_, votes)| votes));
        }
        answer(epoch, snapshot.seq, serde_json::to_vec(&list)?)
    }

    async fn timeline(&self, database: &Database, match_id: &str) -> Result<Answer> {
        let has_bounds = self.from.is_some() || self.to.is_some();
        // A database from before there were bounds still answers without them.
        let arguments = if has_bounds {
            "$1, $2::text::interval, $3::text::timestamptz, $4::text::timestamptz"
        } else {
            "$1, $2::text::interval"
        };
        let text = |schema: &str| {
            format!(
                "SELECT s.seq, s.epoch, (SELECT coalesce(json_agg(t), '[]')::text FROM {schema}.get_match_timeline({arguments}) AS t)
                 FROM {schema}.get_realtime_stats($1) AS s"
            )
        };
        let mut params: Vec<(&(dyn tokio_postgres::types::ToSql + Sync), Type)> =
            vec![(&match_id, Type::TEXT), (&self.bucket, Type::TEXT)];
        if has_bounds {
            params.extend([(&self.from as &(dyn tokio_postgres::types::ToSql + Sync), Type::TEXT), (&self.to, Type::TEXT)]);
        }
        let missing = Error::Missing("get_match_timeline(match_id, bucket, from, to)");
        let rows = database.call(text, &params).await.map_err(|e| if e.is_undefined_function() { missing } else { e })?;
        let row = rows.first().ok_or(Error::Gap)?;
        let (seq, epoch, body): (i64, Option<&str>, String) = (row.get(0), row.get(1), row.get(2));
        let timeline = RawValue::from_string(body)?;
        answer(epoch, seq, serde_json::to_vec(&RowsAnswer { match_id, seq, epoch, timeline: &timeline })?)
    }

    async fn geojson(&self, database: &Database, match_id: &str) -> Result<Answer> {
        let text = |schema: &str| {
            format!(
                "SELECT s.seq, s.epoch, {schema}.get_match_geojson($1, $2, $3, $4)::text FROM {schema}.get_realtime_stats($1) AS s"
            )
        };
        let resolution = self.resolution.map(|r| i32::from(u8::from(r)));
        let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] =
            [(&match_id, Type::TEXT), (&resolution, Type::INT4), (&self.min_votes, Type::INT8), (&self.bbox, Type::FLOAT8_ARRAY)];
        let missing = Error::Missing("get_match_geojson(match_id, resolution, min_votes, bbox)");
        let rows = database.call(text, &params).await.map_err(|e| if e.is_undefined_function() { missing } else { e })?;
        let row = rows.first().ok_or(Error::Gap)?;
        let (seq, epoch, body): (i64, Option<&str>, String) = (row.get(0), row.get(1), row.get(2));
        answer(epoch, seq, body.into_bytes())
    }
}

fn answer(epoch: Option<&str>, seq: i64, body: Vec<u8>) -> Result<Answer> {
    Ok(Answer { body: body.into(), etag: epoch.map(|epoch| etag(epoch, seq)) })
}

/// What names a state of a match: no two of them share it.
#[must_use]
pub fn etag(epoch: &str, seq: i64) -> String {
    format!("{epoch}-{seq}")
}

fn biggest<'a, P>(places: &'a [P], min_votes: i64, votes: impl Fn(&'a P) -> &'a Votes<'a>) -> Vec<&'a P> {
    let total = |place| votes(place).0.iter().map(|(_, votes)| votes).sum::<i64>();
    let mut places: Vec<_> = places.iter().map(|place| (total(place), place)).filter(|(total, _)| *total >= min_votes).collect();
    // Stable: those level with each other stay in their order.
    places.sort_by_key(|(total, _)| std::cmp::Reverse(*total));
    places.into_iter().map(|(_, place)| place).collect()
}
