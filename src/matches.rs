//! Opening, closing and purging matches.

#![allow(unsafe_code, reason = "counts commands")]

use crate::attached::attach;
use crate::error::{Result, invalid, not_now, quoted, refused, unknown};
use crate::pending::heap::{Next, OpenHeap};
use crate::pending::state::State;
use crate::pg::counts::Counts;
use crate::pg::lock::Lock;
use crate::pg::spi::{self, Plan, Sees};
use crate::pg::tables::{self, Latest};
use crate::session::memory::{self, Tables};
use crate::write::ballot::moved;
use crate::write::ballot_box::BallotBox;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::{IntoDatum, pg_extern, pg_sys};
use std::collections::BTreeMap;
use vote_agg_core::Error;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::Source;

/// A row of `vote_agg.match`. Times are microseconds since PostgreSQL's epoch.
pub struct Match {
    pub teams: Option<Vec<String>>,
    pub opens_at: Option<i64>,
    pub closes_at: Option<i64>,
    pub closed_at: Option<i64>,
    pub finalized_at: Option<i64>,
    /// May a voter replace or retract a vote?
    pub changes_allowed: bool,
}

impl Match {
    /// `scheduled`, `open`, `closed` or `final`.
    pub fn status(&self, now: i64) -> &'static str {
        if self.finalized_at.is_some() {
            "final"
        } else if self.closed_at.is_some() || self.closes_at.is_some_and(|closes| now >= closes) {
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
                return memory::refuse_now(match_id, "is not open yet", format!("It opens at {}.", shown(self.opens_at)));
            }
            _ => {
                let since = self.closed_at.or(self.closes_at);
                return memory::refuse_now(match_id, "is closed", format!("It closed at {}.", shown(since)));
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
    let Some(row) = memory::match_row(table, match_id, snapshot) else { return Ok(None) };
    let time = |column| row.get::<TimestampWithTimeZone>(column).map(pg_sys::TimestampTz::from);
    Ok(Some(Match {
        teams: row.get(2),
        opens_at: time(3),
        closes_at: time(4),
        closed_at: time(5),
        finalized_at: time(6),
        changes_allowed: row.need(10)?,
    }))
}

thread_local! {
    // A match that goes on forgets the writers that its end was waiting for.
    static OPEN: Plan = const { Plan::new(
        "INSERT INTO vote_agg.match AS m (match_id, teams, opens_at, closes_at, changes_allowed, created_at)
         VALUES ($1, $2, $3, $4, $5, pg_catalog.clock_timestamp())
         ON CONFLICT (match_id) DO UPDATE
         SET teams = excluded.teams, opens_at = excluded.opens_at, closes_at = excluded.closes_at,
             changes_allowed = excluded.changes_allowed, waiting = NULL, run = NULL
         WHERE m.closed_at IS NULL AND m.finalized_at IS NULL",
        &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID, pg_sys::BOOLOID]) };
    static CLOSE: Plan = const { Plan::new(
        "INSERT INTO vote_agg.match AS m (match_id, closed_at, created_at)
         SELECT $1, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp()
         ON CONFLICT (match_id) DO UPDATE SET closed_at = excluded.closed_at WHERE m.closed_at IS NULL AND m.finalized_at IS NULL",
        &[pg_sys::TEXTOID]) };
    static PURGE: Plan = const { Plan::new(
        "WITH m AS (DELETE FROM vote_agg.match WHERE match_id = $1),
              h AS (DELETE FROM vote_agg.h3_aggregate WHERE match_id = $1),
              c AS (DELETE FROM vote_agg.country_aggregate WHERE match_id = $1),
              t AS (DELETE FROM vote_agg.timeline WHERE match_id = $1),
              ct AS (DELETE FROM vote_agg.country_timeline WHERE match_id = $1)
         DELETE FROM vote_agg.feed WHERE match_id = $1",
        &[pg_sys::TEXTOID]) };
    static COUNTED: Plan = const { Plan::new(
        "SELECT votes, sources, source_votes FROM vote_agg.feed WHERE match_id = $1 ORDER BY seq DESC LIMIT 1",
        &[pg_sys::TEXTOID]) };
}

/// See the COMMENT in sql/match.sql.
#[pg_extern(sql = false)]
fn open_match(
    match_id: Option<&[u8]>,
    teams: Option<Vec<Option<String>>>,
    opens_at: Option<TimestampWithTimeZone>,
    closes_at: Option<TimestampWithTimeZone>,
    changes_allowed: Option<bool>,
) -> Result<()> {
    memory::prevent_read_only(c"open_match()");
    let match_id = parse_name("match_id", match_id).map_err(|e| refused(&e))?;
    let teams = teams.map(parse_teams).transpose()?;
    if let (Some(opens), Some(closes)) = (opens_at, closes_at)
        && opens >= closes
    {
        return Err(invalid(
            format!("closes_at must be after opens_at, not {closes}"),
            "Pass a later closes_at, or NULL for no end.",
        ));
    }
    let changes_allowed = changes_allowed.ok_or_else(|| refused(&Error::Null { what: "changes_allowed" }))?;
    let args =
        [match_id.into_datum(), teams.into_datum(), opens_at.into_datum(), closes_at.into_datum(), changes_allowed.into_datum()];
    let changed = spi::connect(|spi| Ok(spi.run(&OPEN, &args, Sees::Now)?.count()))?;
    if changed == 0 {
        return Err(not_now(
            format!("match {} is closed", quoted(match_id)),
            "A closed match cannot be opened again.".into(),
            "Purge it with purge_match, or open another match.",
        ));
    }
    memory::invalidate(&Tables::find()?);
    Ok(())
}

fn parse_teams(teams: Vec<Option<String>>) -> Result<Vec<String>> {
    let mut known: Vec<String> = Vec::with_capacity(teams.len());
    for team in teams {
        let team = parse_name("team", team.as_deref().map(str::as_bytes)).map_err(|e| refused(&e))?;
        if known.iter().any(|name| name == team) {
            return Err(invalid(format!("team {} is named twice", quoted(team)), "Name each team once."));
        }
        known.push(team.to_owned());
    }
    if known.is_empty() {
        return Err(invalid("teams must not be empty".into(), "Name at least one team, or pass NULL to allow any."));
    }
    Ok(known)
}

/// See the COMMENT in sql/match.sql.
#[pg_extern(sql = false)]
fn close_match(match_id: Option<&[u8]>) -> Result<()> {
    memory::prevent_read_only(c"close_match()");
    let match_id = parse_name("match_id", match_id).map_err(|e| refused(&e))?;
    let tables = Tables::find()?;
    if find(tables.matches, match_id, Latest::take().as_ptr())?.is_none() && !has_votes(match_id)? {
        return Err(unknown(format!("match {} does not exist", quoted(match_id)), "Check the name.".into()));
    }
    // A match that is closed already stays as it is: closing twice does no harm.
    spi::connect(|spi| spi.run(&CLOSE, &[match_id.into_datum()], Sees::Now).map(|_| ()))?;
    memory::invalidate(&tables);
    Ok(())
}

/// Has anything been counted or recorded for the match by now?
fn has_votes(match_id: &str) -> Result<bool> {
    if spi::connect(|spi| Ok(spi.run(&COUNTED, &[match_id.into_datum()], Sees::Now)?.count() > 0))? {
        return Ok(true);
    }
    let (tables, now) = (Tables::find()?, Latest::take());
    let state = State::newest(&tables, now.as_ptr())?;
    let mut found = false;
    for heap in state.heaps() {
        let open = OpenHeap::open(tables.heap(heap), pg_sys::AccessShareLock)?;
        open.visit(open.first_block(state.mark(heap)), now.as_ptr(), |row| {
            found |= row.match_id == match_id.as_bytes();
            Ok(if found { Next::Stop } else { Next::Go })
        })?;
    }
    Ok(found)
}

/// Erases the ballots that `snapshot` sees, before the votes that it sees. Where a voter has meanwhile changed one, that took
/// its old vote out of the totals, which is put back for it to be taken from.
fn erase_ballots(match_id: &str, snapshot: pg_sys::Snapshot) -> Result<()> {
    let heap = OpenHeap::open(memory::lock_current_heap()?, pg_sys::NoLock)?;
    let mut missed = Vec::new();
    BallotBox::open()?.erase(match_id, snapshot, |choice| missed.push(choice))?;
    heap.look_at_end();
    for vote in missed.iter().flat_map(|choice| moved(None, Some(choice), tables::now())) {
        heap.insert(match_id, &vote);
    }
    Ok(())
}

/// See the COMMENT in sql/match.sql.
#[pg_extern(sql = false)]
fn purge_match(match_id: Option<&[u8]>) -> Result<i64> {
    memory::prevent_read_only(c"purge_match()");
    memory::require_read_committed("purge_match")?;
    let match_id = parse_name("match_id", match_id).map_err(|e| refused(&e))?;
    // No fold may count a vote while it is being erased.
    Lock::Fold.wait_for_transaction();
    tables::hold_extension();
    let tables = Tables::find()?;
    // What this very statement recorded is erased too.
    // SAFETY: makes it visible to the snapshots that come.
    unsafe { pg_sys::CommandCounterIncrement() };
    let mut erased = 0i64;
    let mut by_source: BTreeMap<Source, i64> = BTreeMap::new();
    {
        // One snapshot for ballots and votes: what it does not see of the one it does not see of the other.
        let now = Latest::take();
        erase_ballots(match_id, now.as_ptr())?;
        let state = State::newest(&tables, now.as_ptr())?;
        for heap in state.heaps() {
            let open = OpenHeap::open(tables.heap(heap), pg_sys::RowExclusiveLock)?;
            open.visit(open.first_block(state.mark(heap)), now.as_ptr(), |row| {
                if row.match_id == match_id.as_bytes()
                    && let Some(vote) = row.vote()?
                    && open.delete(&row.tid)?
                {
                    let counted = by_source.entry(vote.source).or_default();
                    *counted = counted.saturating_add(vote.votes);
                    erased = erased.saturating_add(if vote.in_total { vote.votes } else { 0 });
                }
                Ok(Next::Go)
            })?;
        }
    }
    spi::connect(|spi| {
        let counted = spi.run(&COUNTED, &[match_id.into_datum()], Sees::Now)?;
        if let Some(row) = counted.first() {
            erased = row.need::<Counts>(1)?.0.iter().fold(erased, |sum, votes| sum.saturating_add(*votes));
            for (source, votes) in row.need::<Vec<i16>>(2)?.into_iter().zip(row.need::<Counts>(3)?.0) {
                let counted = by_source.entry(Source(source)).or_default();
                *counted = counted.saturating_add(votes);
            }
        }
        attach::refuse_purge(match_id, &by_source)?;
        spi.run(&PURGE, &[match_id.into_datum()], Sees::Now).map(|_| ())
    })?;
    memory::invalidate(&tables);
    Ok(erased)
}
