//! Where an answer comes from: from memory, where the match is followed and memory has it, else from one statement.

use crate::db::pool::Database;
use crate::error::{Error, Result};
use crate::http::body::Answer;
use crate::http::query::{Kind, MatchQuery};
use crate::http::waiting::Waiting;
use crate::live::followed::FollowedMatch;
use crate::metrics::Metrics;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::types::{ToSql, Type};
use vote_agg_core::feed::message::{CellVotes, CountryVotes, Snapshot, Stats, Votes};

/// Rows of a time line at the most: a week of minutes.
const MAX_ROWS: i64 = 10_080;

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

impl MatchQuery {
    /// Names the state of a followed match that the answer must show; None before the first fold.
    pub async fn current(&self, followed: &FollowedMatch) -> Option<String> {
        let audience = followed.lock().await;
        let state = audience.state.as_ref()?;
        Some(self.etag(state.epoch.as_deref()?, state.seq, &state.status, &state.stats))
    }

    /// Names what the answer shows. The status and the rate change without a fold, and totals read from the database have the
    /// votes that are still to be folded.
    fn etag(&self, epoch: &str, seq: i64, status: &str, stats: &Stats) -> String {
        match self.kind {
            Kind::Stats => format!("{}-{status}-{}-{}", etag(epoch, seq), stats.total, stats.per_minute),
            _ => etag(epoch, seq),
        }
    }

    /// From a followed match. None: memory does not have it.
    ///
    /// # Errors
    /// When the state cannot be encoded.
    pub async fn recall(&self, followed: &FollowedMatch, metrics: &Metrics, waiting: &Waiting) -> Result<Option<Answer>> {
        let mut audience = waiting.wait(followed.lock()).await;
        let Some(state) = &audience.state else { return Ok(None) };
        match self.kind {
            Kind::Stats => {
                let (match_id, epoch) = (&*state.match_id, state.epoch.as_deref());
                self.stats(match_id, state.seq, epoch, &state.status, state.stats.clone(), state.size()).map(Some)
            }
            Kind::Aggregates | Kind::Countries => {
                // Followers wait for this lock: the snapshot is theirs too, the rest is done without it.
                let snapshot = audience.snapshot(self.resolution, None, metrics)?;
                drop(audience);
                let Some((_, _, json)) = snapshot else { return Ok(None) };
                let query = self.clone();
                let list = move || query.list(&serde_json::from_str(json.get())?);
                tokio::task::spawn_blocking(list).await.map_err(|_| Error::Unavailable)?.map(Some)
            }
            Kind::Timeline | Kind::At | Kind::Flips | Kind::Geojson => Ok(None),
        }
    }

    /// From the database.
    ///
    /// # Errors
    /// [`Error::Missing`] where the extension lacks the function, or what the database has against it.
    pub async fn read(&self, database: &Database, match_id: &str) -> Result<Answer> {
        match self.kind {
            Kind::Stats => {
                let row = database.stats(match_id).await?;
                if row.epoch.is_none() && row.status == "unknown" && row.total == 0 {
                    return Err(Error::Unknown);
                }
                let epoch = row.epoch.as_deref();
                let size = (usize::try_from(row.cells).unwrap_or(0), usize::try_from(row.countries).unwrap_or(0));
                let stats = Stats {
                    total: row.total,
                    votes: row.votes,
                    leader: row.leader.map(Into::into),
                    dominance: (row.dominance * 1e4).round() / 1e4,
                    per_minute: row.per_minute,
                };
                self.stats(match_id, row.seq, epoch, &row.status, stats, size)
            }
            Kind::Aggregates | Kind::Countries => {
                let resolution = self.resolution.map(|r| i32::from(u8::from(r)));
                self.list(&database.snapshot(match_id, resolution).await?)
            }
            Kind::Timeline => self.timeline(database, match_id).await,
            Kind::At => self.at(database, match_id).await,
            Kind::Flips => self.flips(database, match_id).await,
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
        size: (usize, usize),
    ) -> Result<Answer> {
        let (cells, countries) = size;
        let etag = epoch.map(|epoch| self.etag(epoch, seq, status, &stats));
        let body = serde_json::to_vec(&StatsAnswer { match_id, seq, epoch, status, stats, cells, countries })?;
        Ok(Answer::new(body, etag))
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
                "SELECT s.seq, s.epoch, t.body, t.rows FROM {schema}.get_realtime_stats($1) AS s, LATERAL (
                     SELECT coalesce(json_agg(t), '[]')::text, count(*)
                     FROM (SELECT * FROM {schema}.get_match_timeline({arguments}) LIMIT {MAX_ROWS} + 1) AS t) AS t(body, rows)"
            )
        };
        let mut params: Vec<(&(dyn ToSql + Sync), Type)> = vec![(&match_id, Type::TEXT), (&self.bucket, Type::TEXT)];
        if has_bounds {
            params.extend([(&self.from as &(dyn ToSql + Sync), Type::TEXT), (&self.to, Type::TEXT)]);
        }
        let missing = Error::Missing("get_match_timeline(match_id, bucket, from, to)");
        let rows = database.call(text, &params).await.map_err(|e| if e.is_undefined_function() { missing } else { e })?;
        let row = rows.first().ok_or(Error::Gap)?;
        let (seq, epoch, body): (i64, Option<&str>, String) = (row.get(0), row.get(1), row.get(2));
        if row.get::<_, i64>(3) > MAX_ROWS {
            let hint = "pass from and to, or a wider bucket";
            return Err(Error::TooMuch(format!("the time line has more than {MAX_ROWS} rows: {hint}")));
        }
        let timeline = RawValue::from_string(body)?;
        answer(epoch, seq, serde_json::to_vec(&RowsAnswer { match_id, seq, epoch, timeline: &timeline })?)
    }

    /// The match and its countries as they stood when the minute of `ts` began.
    async fn at(&self, database: &Database, match_id: &str) -> Result<Answer> {
        let text = |schema: &str| {
            format!(
                "SELECT s.seq, s.epoch, json_build_object('match', $1, 'seq', s.seq, 'epoch', s.epoch, 'as_of', a.as_of,
                        'stats', a.stats, 'countries', a.countries)::text
                 FROM {schema}.get_realtime_stats($1) AS s, LATERAL (
                     SELECT min(a.as_of), json_agg(json_build_object('total', a.total_votes, 'votes', a.votes,
                                'leader', a.leader, 'dominance', a.dominance)) FILTER (WHERE a.country_code IS NULL) -> 0,
                            coalesce(json_agg(json_build_array(a.country_code, a.votes))
                                FILTER (WHERE a.country_code IS NOT NULL), '[]')
                     FROM {schema}.get_match_at($1, coalesce($2::text::timestamptz, now())) AS a) AS a(as_of, stats, countries)"
            )
        };
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&match_id, Type::TEXT), (&self.ts, Type::TEXT)];
        let missing = Error::Missing("get_match_at(match_id, ts)");
        let rows = database.call(text, &params).await.map_err(|e| if e.is_undefined_function() { missing } else { e })?;
        let row = rows.first().ok_or(Error::Gap)?;
        let (seq, epoch, body): (i64, Option<&str>, String) = (row.get(0), row.get(1), row.get(2));
        answer(epoch, seq, body.into_bytes())
    }

    /// Changes of leader that were announced before, newest first.
    async fn flips(&self, database: &Database, match_id: &str) -> Result<Answer> {
        let text = |schema: &str| {
            format!(
                "SELECT s.seq, s.epoch, json_build_object('match', $1, 'seq', s.seq, 'epoch', s.epoch, 'flips', (
                     SELECT coalesce(json_agg(f), '[]')
                     FROM {schema}.get_match_flips($1, $2::text::timestamptz, coalesce($3, 100)::integer) AS f))::text
                 FROM {schema}.get_realtime_stats($1) AS s"
            )
        };
        let params: [(&(dyn ToSql + Sync), Type); 3] =
            [(&match_id, Type::TEXT), (&self.since, Type::TEXT), (&self.max, Type::INT8)];
        let missing = Error::Missing("get_match_flips(match_id, since, max_rows)");
        let rows = database.call(text, &params).await.map_err(|e| if e.is_undefined_function() { missing } else { e })?;
        let row = rows.first().ok_or(Error::Gap)?;
        let (seq, epoch, body): (i64, Option<&str>, String) = (row.get(0), row.get(1), row.get(2));
        answer(epoch, seq, body.into_bytes())
    }

    async fn geojson(&self, database: &Database, match_id: &str) -> Result<Answer> {
        let text = |schema: &str| {
            format!(
                "SELECT s.seq, s.epoch, {schema}.get_match_geojson($1, $2, $3, $4)::text FROM {schema}.get_realtime_stats($1) AS s"
            )
        };
        let resolution = self.resolution.map(|r| i32::from(u8::from(r)));
        let params: [(&(dyn ToSql + Sync), Type); 4] =
            [(&match_id, Type::TEXT), (&resolution, Type::INT4), (&self.min_votes, Type::INT8), (&self.bbox, Type::FLOAT8_ARRAY)];
        let missing = Error::Missing("get_match_geojson(match_id, resolution, min_votes, bbox)");
        let rows = database.call(text, &params).await.map_err(|e| if e.is_undefined_function() { missing } else { e })?;
        let row = rows.first().ok_or(Error::Gap)?;
        let (seq, epoch, body): (i64, Option<&str>, String) = (row.get(0), row.get(1), row.get(2));
        answer(epoch, seq, body.into_bytes())
    }
}

fn answer(epoch: Option<&str>, seq: i64, body: Vec<u8>) -> Result<Answer> {
    Ok(Answer::new(body, epoch.map(|epoch| etag(epoch, seq))))
}

/// Names a state of a match: no two states share a name.
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
