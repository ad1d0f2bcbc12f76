//! Opening, closing and purging matches.

use crate::attached::attach;
use crate::error::{Result, invalid, not_now, quoted, refused, too_large, unknown};
use crate::pending::fold_log::FoldLog;
use crate::pending::heap::{Next, OpenHeap};
use crate::pg::bigints::Bigints;
use crate::pg::lock::Lock;
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{self, Plan, Sees};
use crate::pg::tables::Tables;
use crate::pg::{clock, extension, transaction};
use crate::session::{launch, match_row, memory};
use crate::settings;
use crate::write::ballot::moved;
use crate::write::ballot_box::BallotBox;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::{IntoDatum, pg_extern, pg_sys};
use std::collections::BTreeMap;
use vote_agg_core::Error;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::Source;

thread_local! {
    // A match that goes on forgets the writers that its end was waiting for.
    static OPEN: Plan = const { Plan::new(
        "INSERT INTO vote_agg.match AS m (match_id, teams, opens_at, closes_at, changes_allowed, created_at)
         VALUES ($1, $2, $3, $4, $5, pg_catalog.clock_timestamp())
         ON CONFLICT (match_id) DO UPDATE
         SET teams = excluded.teams, opens_at = excluded.opens_at, closes_at = excluded.closes_at,
             changes_allowed = excluded.changes_allowed, ended_at = NULL, waiting = NULL
         WHERE m.closed_at IS NULL AND m.finalized_at IS NULL",
        &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID, pg_sys::BOOLOID]) };
    static CLOSE: Plan = const { Plan::new(
        "INSERT INTO vote_agg.match AS m (match_id, closed_at, created_at)
         SELECT $1, pg_catalog.clock_timestamp(), pg_catalog.clock_timestamp()
         ON CONFLICT (match_id) DO UPDATE SET closed_at = excluded.closed_at WHERE m.closed_at IS NULL AND m.finalized_at IS NULL",
        &[pg_sys::TEXTOID]) };
    static LOCK: Plan = const { Plan::new(
        "SELECT FROM vote_agg.match WHERE match_id = $1 FOR UPDATE", &[pg_sys::TEXTOID]) };
    static PURGE: Plan = const { Plan::new(
        "WITH m AS (DELETE FROM vote_agg.match WHERE match_id = $1),
              a AS (DELETE FROM vote_agg.aside WHERE match_id = $1),
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

/// See the COMMENT in sql/30-match.sql.
#[pg_extern(sql = false)]
fn open_match(
    match_id: Option<&[u8]>,
    teams: Option<Vec<Option<String>>>,
    opens_at: Option<TimestampWithTimeZone>,
    closes_at: Option<TimestampWithTimeZone>,
    changes_allowed: Option<bool>,
) -> Result<()> {
    transaction::prevent_read_only(c"open_match()");
    let match_id = parse_name("match_id", match_id).map_err(refused)?;
    let teams = teams.map(parse_teams).transpose()?;
    if let (Some(opens), Some(closes)) = (opens_at, closes_at)
        && opens >= closes
    {
        return Err(invalid(
            format!("closes_at must be after opens_at, not {closes}"),
            "Pass a later closes_at, or NULL for no end.",
        ));
    }
    let changes_allowed = changes_allowed.ok_or_else(|| refused(Error::Null { what: "changes_allowed" }))?;
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
    launch::ensure(clock::now());
    Ok(())
}

fn parse_teams(teams: Vec<Option<String>>) -> Result<Vec<String>> {
    if teams.len() > settings::max_teams() {
        return Err(too_large(
            format!("{} teams are too many: a match has at most {}", teams.len(), settings::max_teams()),
            "Name fewer teams, or raise vote_agg.max_teams.",
        ));
    }
    let mut known: Vec<String> = Vec::with_capacity(teams.len());
    for team in teams {
        let team = parse_name("team", team.as_deref().map(str::as_bytes)).map_err(refused)?;
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

/// See the COMMENT in sql/30-match.sql.
#[pg_extern(sql = false)]
fn close_match(match_id: Option<&[u8]>) -> Result<()> {
    transaction::prevent_read_only(c"close_match()");
    let match_id = parse_name("match_id", match_id).map_err(refused)?;
    let tables = Tables::find()?;
    if match_row::find(tables.matches, match_id, Snapshot::latest().as_ptr())?.is_none() && !has_votes(match_id)? {
        return Err(unknown(format!("match {} does not exist", quoted(match_id)), "Check the name.".into()));
    }
    // A match that is closed already stays as it is: closing twice does no harm.
    spi::connect(|spi| spi.run(&CLOSE, &[match_id.into_datum()], Sees::Now).map(|_| ()))?;
    memory::invalidate(&tables);
    launch::ensure(clock::now());
    Ok(())
}

/// Has anything been counted or recorded for the match by now?
fn has_votes(match_id: &str) -> Result<bool> {
    if spi::connect(|spi| Ok(spi.run(&COUNTED, &[match_id.into_datum()], Sees::Now)?.count() > 0))? {
        return Ok(true);
    }
    let (tables, now) = (Tables::find()?, Snapshot::latest());
    let state = FoldLog::newest(&tables, now.as_ptr())?;
    let mut found = false;
    for heap in state.heaps() {
        let open = OpenHeap::open(heap.of(&tables), pg_sys::AccessShareLock)?;
        open.visit(open.first_block(state.mark(heap)), now.as_ptr(), |row| {
            found |= row.match_id == match_id.as_bytes();
            Ok(if found { Next::Stop } else { Next::Go })
        })?;
    }
    Ok(found)
}

/// Erases the ballots that `snapshot` sees, before the votes that it sees. Where a voter has meanwhile changed one, that took
/// its old vote out of the totals, which is put back for it to be taken from. Returns where a voter is at work.
fn erase_ballots(match_id: &str, snapshot: pg_sys::Snapshot) -> Result<Option<pg_sys::ItemPointerData>> {
    let heap = OpenHeap::open(memory::lock_current_heap()?, pg_sys::NoLock)?;
    let mut missed = Vec::new();
    let busy = BallotBox::open()?.erase(match_id, snapshot, |choice| missed.push(choice))?;
    if busy.is_none() {
        heap.look_at_end();
        for vote in missed.iter().flat_map(|choice| moved(None, Some(choice), clock::now())) {
            heap.insert(match_id, &vote);
        }
    }
    Ok(busy)
}

/// Takes the lock of folds and a snapshot, and erases the ballots that it sees. Waits for a voter who is at work on one, and
/// for who has locked the match, without the lock: no other match has to wait for them. What was erased before the wait, the
/// next snapshot sees as erased.
fn hold_folds(match_id: &str) -> Result<Snapshot> {
    loop {
        spi::connect(|spi| spi.run(&LOCK, &[match_id.into_datum()], Sees::Now).map(|_| ()))?;
        Lock::Fold.wait_for_transaction();
        // What this very statement recorded is erased too.
        transaction::see_own_changes();
        // One snapshot for ballots and votes: what it does not see of the one it does not see of the other.
        let now = Snapshot::latest();
        let Some(busy) = erase_ballots(match_id, now.as_ptr())? else { return Ok(now) };
        Lock::Fold.give_back();
        // The snapshot keeps the row at its place.
        BallotBox::open()?.wait_at(busy)?;
        drop(now);
    }
}

/// See the COMMENT in sql/30-match.sql.
#[pg_extern(sql = false)]
fn purge_match(match_id: Option<&[u8]>) -> Result<i64> {
    transaction::prevent_read_only(c"purge_match()");
    transaction::require_read_committed("purge_match")?;
    let match_id = parse_name("match_id", match_id).map_err(refused)?;
    extension::hold();
    let tables = Tables::find()?;
    let mut erased = 0i64;
    let mut by_source: BTreeMap<Source, i64> = BTreeMap::new();
    {
        // No fold may count a vote while it is being erased.
        let now = hold_folds(match_id)?;
        let state = FoldLog::newest(&tables, now.as_ptr())?;
        for heap in state.heaps() {
            let open = OpenHeap::open(heap.of(&tables), pg_sys::RowExclusiveLock)?;
            open.visit(open.first_block(state.mark(heap)), now.as_ptr(), |row| {
                if row.match_id == match_id.as_bytes()
                    && open.delete(&row.tid)?
                    // A row that no vote can have written goes as well, and counts as nothing.
                    && let Ok(Some(vote)) = row.vote()
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
            erased = row.need::<Bigints>(1)?.0.iter().fold(erased, |sum, votes| sum.saturating_add(*votes));
            for (source, votes) in row.need::<Vec<i16>>(2)?.into_iter().zip(row.need::<Bigints>(3)?.0) {
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
