//! A match's row, and whether the match takes a vote now.

use crate::error::{Result, not_now, quoted, unknown};
use crate::pg::table::{Row, Table};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;

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
    pub fn check<'a>(&self, match_id: &str, mut teams: impl Iterator<Item = &'a str>, now: i64) -> Result<()> {
        match self.status(now) {
            "open" => {}
            "scheduled" => {
                return refuse_now(match_id, "is not open yet", format!("It opens at {}.", shown(self.opens_at)));
            }
            _ => {
                let since = self.closed_at.or(self.closes_at);
                return refuse_now(match_id, "is closed", format!("It closed at {}.", shown(since)));
            }
        }
        let Some(known) = &self.teams else { return Ok(()) };
        match teams.find(|team| !known.iter().any(|name| name == team)) {
            None => Ok(()),
            Some(team) => Err(unknown(
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
    let Some(row) = match_row(table, match_id, snapshot) else { return Ok(None) };
    let time = |column| row.get::<TimestampWithTimeZone>(column).map(pg_sys::TimestampTz::from);
    Ok(Some(Match {
        teams: row.get(2),
        opens_at: time(3),
        closes_at: time(4),
        closed_at: time(5),
        finalized_at: time(6),
        has_ended: time(8).is_some(),
        changes_allowed: row.need(10)?,
    }))
}

/// What to do about a match that takes no votes now.
pub const ELSEWHERE: &str = "Open it with open_match, or vote in another match.";

/// A closed or not yet open match.
pub fn refuse_now(match_id: &str, what: &str, detail: String) -> Result<()> {
    Err(not_now(format!("match {} {what}", quoted(match_id)), detail, ELSEWHERE))
}

/// Reads a match's row.
pub fn match_row(table: pg_sys::Oid, match_id: &str, snapshot: pg_sys::Snapshot) -> Option<Row> {
    Table::open(table, pg_sys::AccessShareLock).row(match_id, snapshot)
}
