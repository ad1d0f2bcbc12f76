//! A match's row, and whether the match takes a vote now.

use crate::error::{Refused, Result, quoted};
use crate::pg::table::Table;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use vote_agg_core::vote::placement::Place;

/// A row of `vote_agg.match`. Times are microseconds since PostgreSQL's epoch.
pub struct Match {
    pub teams: Option<Vec<String>>,
    pub opens_at: Option<i64>,
    pub closes_at: Option<i64>,
    pub closed_at: Option<i64>,
    /// A fold has found that `closes_at` is past: then it is past, though a clock be set back.
    pub has_ended: bool,
    pub finalized_at: Option<i64>,
    /// May a voter replace or retract a vote?
    pub changes_allowed: bool,
    /// Where it is one of many shards, which one.
    pub place: Option<Place>,
}

impl Match {
    /// `scheduled`, `open`, `closed` or `final`.
    pub fn status(&self, now: i64) -> &'static str {
        if self.finalized_at.is_some() {
            "final"
        } else if self.closed_at.is_some() || self.has_ended || self.closes_at.is_some_and(|closes| now >= closes) {
            "closed"
        } else if self.opens_at.is_some_and(|opens| now < opens) {
            "scheduled"
        } else {
            "open"
        }
    }

    /// Checks that votes for `teams` count at `now`.
    ///
    /// # Errors
    /// 55000 outside the match's time, 42704 for an unknown team.
    pub fn check<'a>(
        &self,
        match_id: &str,
        mut teams: impl Iterator<Item = &'a str>,
        now: i64,
    ) -> std::result::Result<(), Refused> {
        match self.status(now) {
            "open" => {}
            "scheduled" => {
                let detail = format!("It opens at {}.", shown(self.opens_at));
                return refuse_now(match_id, "is not open yet", detail, EARLY);
            }
            _ => {
                let since = self.closed_at.or(self.closes_at);
                return refuse_now(match_id, "is closed", format!("It closed at {}.", shown(since)), OVER);
            }
        }
        let Some(known) = &self.teams else { return Ok(()) };
        match teams.find(|team| !known.iter().any(|name| name == team)) {
            None => Ok(()),
            Some(team) => Err(Refused::unknown(
                format!("match {} has no team {}", quoted(match_id), quoted(team)),
                format!("Its teams are {}.", known.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")),
            )),
        }
    }
}

fn shown(time: Option<i64>) -> String {
    time.and_then(|at| TimestampWithTimeZone::try_from(at).ok()).map_or_else(|| "an unknown time".into(), |at| at.to_string())
}

/// Reads the match's row as `snapshot` sees it.
///
/// # Errors
/// XX000 when the row makes no sense.
pub fn find(table: pg_sys::Oid, match_id: &str, snapshot: pg_sys::Snapshot) -> Result<Option<Match>> {
    let table = Table::open(table, pg_sys::AccessShareLock);
    let Some(row) = table.row("match_id", match_id, snapshot) else { return Ok(None) };
    Ok(Some(Match {
        teams: row.get("teams")?,
        opens_at: row.time("opens_at")?,
        closes_at: row.time("closes_at")?,
        closed_at: row.time("closed_at")?,
        finalized_at: row.time("finalized_at")?,
        has_ended: row.time("ended_at")?.is_some(),
        changes_allowed: row.need("changes_allowed")?,
        place: place(row.get("shard")?, row.get("shards")?)?,
    }))
}

/// The place that a row names.
fn place(shard: Option<i32>, shards: Option<i32>) -> Result<Option<Place>> {
    Ok(shard.zip(shards).map(|(shard, shards)| Place::parse(shard.into(), shards.into())).transpose()?)
}

/// What to do about a match that takes no votes yet.
const EARLY: &str = "Vote when it is open, or in another match.";

/// What to do about a match that takes no votes any more.
const OVER: &str = "Vote in another match: this one takes no votes any more.";

/// Is this the hint of a match that takes no votes now?
pub fn is_about_time(hint: &str) -> bool {
    [EARLY, OVER].contains(&hint)
}

/// A closed or not yet open match.
fn refuse_now(match_id: &str, what: &str, detail: String, hint: &str) -> std::result::Result<(), Refused> {
    Err(Refused::not_now(format!("match {} {what}", quoted(match_id)), detail, hint))
}
