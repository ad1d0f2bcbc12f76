//! Opening, closing and purging matches.

use crate::attached::attach;
use crate::error::{Result, broken, invalid, not_now, quoted, too_large, unknown};
use crate::fold::feed;
use crate::pending::fold_log::FoldLog;
use crate::pending::heap::{Next, OpenHeap};
use crate::pg::bigints::Bigints;
use crate::pg::failure::Failure;
use crate::pg::lock::Lock;
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{self, Plan, Sees};
use crate::pg::tables::Tables;
use crate::pg::{clock, extension, subtransaction, transaction};
use crate::session::{launch, match_row, memory};
use crate::settings;
use crate::write::ballot::moved;
use crate::write::ballot_box::{BallotBox, Busy};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{IntoDatum, pg_extern, pg_sys};
use std::collections::BTreeMap;
use vote_agg_core::Error;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::placement::{self, Place};
use vote_agg_core::vote::tally::Source;

thread_local! {
    // A match that goes on forgets the writers that its end was waiting for.
    static OPEN: Plan = const { Plan::new(
        "INSERT INTO vote_agg.match AS m (match_id, teams, opens_at, closes_at, changes_allowed, shard, shards, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, pg_catalog.clock_timestamp())
         ON CONFLICT (match_id) DO UPDATE
         SET teams = excluded.teams, opens_at = excluded.opens_at, closes_at = excluded.closes_at,
             changes_allowed = excluded.changes_allowed, ended_at = NULL, waiting = NULL
         WHERE m.closed_at IS NULL AND m.finalized_at IS NULL
           AND ($6 IS NULL OR (m.shard = $6 AND m.shards = $7))",
        &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID, pg_sys::BOOLOID,
          pg_sys::INT4OID, pg_sys::INT4OID]) };
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
              ct AS (DELETE FROM vote_agg.country_timeline WHERE match_id = $1),
              fl AS (DELETE FROM vote_agg.flip WHERE match_id = $1),
              er AS (DELETE FROM vote_agg.erased WHERE match_id = $1),
              sh AS (DELETE FROM vote_agg.shard_head WHERE match_id = $1),
              mi AS (DELETE FROM vote_agg.mirror WHERE match_id = $1)
         DELETE FROM vote_agg.feed WHERE match_id = $1",
        &[pg_sys::TEXTOID]) };
    // What was asked of shards before is not applied after it. Waits for a pull that is being applied, and holds no lock of folds yet.
    static TELL_PULLERS: Plan = const { Plan::new(
        "UPDATE vote_agg.shard AS s SET incarnation = s.incarnation + 1
         FROM (SELECT number FROM vote_agg.shard ORDER BY number FOR UPDATE) AS o WHERE s.number = o.number", &[]) };
    // Before the match's rows of the feed go, which may have the newest number.
    static NOTE_PURGE: Plan = const { Plan::new(
        "INSERT INTO vote_agg.purged (match_id, number, at)
         SELECT $1, $2, pg_catalog.clock_timestamp() WHERE EXISTS (SELECT FROM vote_agg.feed WHERE match_id = $1)
         ON CONFLICT (match_id) DO UPDATE SET number = excluded.number, at = excluded.at",
        &[pg_sys::TEXTOID, pg_sys::INT8OID]) };
    static COUNTED: Plan = const { Plan::new(
        "SELECT votes, sources, source_votes FROM vote_agg.feed WHERE match_id = $1 ORDER BY seq DESC LIMIT 1",
        &[pg_sys::TEXTOID]) };
    static BALLOT: Plan = const { Plan::new("SELECT FROM vote_agg.ballot WHERE match_id = $1 LIMIT 1", &[pg_sys::TEXTOID]) };
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
    open(match_id, teams, (opens_at, closes_at), changes_allowed, None)
}

/// See the COMMENT in sql/30-match.sql.
#[pg_extern(sql = false)]
fn place_match(
    match_id: Option<&[u8]>,
    shard: Option<i32>,
    shards: Option<i32>,
    teams: Option<Vec<Option<String>>>,
    opens_at: Option<TimestampWithTimeZone>,
    closes_at: Option<TimestampWithTimeZone>,
    changes_allowed: Option<bool>,
) -> Result<()> {
    transaction::prevent_read_only(c"place_match()");
    let shard = shard.ok_or(Error::Null { what: "shard" })?;
    let place = Place::parse(shard.into(), shards.ok_or(Error::Null { what: "shards" })?.into())?;
    open(match_id, teams, (opens_at, closes_at), changes_allowed, Some(place))
}

/// See the COMMENT in sql/30-match.sql.
#[pg_extern(sql = false)]
fn shard_of(voter_id: &[u8], shards: i32) -> Result<i32> {
    Ok(placement::shard_of(voter_id, placement::parse_shards(shards.into())?).cast_signed())
}

/// Opens a match or changes an open one, which stays at its place.
fn open(
    match_id: Option<&[u8]>,
    teams: Option<Vec<Option<String>>>,
    (opens_at, closes_at): (Option<TimestampWithTimeZone>, Option<TimestampWithTimeZone>),
    changes_allowed: Option<bool>,
    place: Option<Place>,
) -> Result<()> {
    let match_id = parse_name("match_id", match_id)?;
    let teams = teams.map(parse_teams).transpose()?;
    if let (Some(opens), Some(closes)) = (opens_at, closes_at)
        && opens >= closes
    {
        return Err(invalid(
            format!("closes_at must be after opens_at, not {closes}"),
            "Pass a later closes_at, or NULL for no end.",
        ));
    }
    let changes_allowed = changes_allowed.ok_or(Error::Null { what: "changes_allowed" })?;
    let tables = Tables::find()?;
    if place.is_some()
        && match_row::find(tables.matches, match_id, Snapshot::latest().as_ptr())?.is_none()
        && has_votes(match_id)?
    {
        return Err(placed_late(match_id));
    }
    let (shard, shards) = place.map(|place| (place.shard.cast_signed(), place.shards.cast_signed())).unzip();
    let args = [
        match_id.into_datum(),
        teams.into_datum(),
        opens_at.into_datum(),
        closes_at.into_datum(),
        changes_allowed.into_datum(),
        shard.into_datum(),
        shards.into_datum(),
    ];
    let changed = spi::connect(|spi| Ok(spi.run(&OPEN, &args, Sees::Now)?.count()))?;
    if changed == 0 {
        let kept = match_row::find(tables.matches, match_id, Snapshot::latest().as_ptr())?;
        if let Some(place) = place
            && let Some(kept) = kept
            && kept.place != Some(place)
        {
            return Err(match kept.place {
                Some(kept) => placed_already(match_id, kept, place),
                None => placed_late(match_id),
            });
        }
        return Err(not_now(
            format!("match {} is closed", quoted(match_id)),
            "A closed match cannot be opened again.".into(),
            "Purge it with purge_match, or open another match.",
        ));
    }
    memory::invalidate(&tables);
    launch::ensure(clock::now());
    Ok(())
}

/// The refusal of a place for a match that has one.
fn placed_already(match_id: &str, kept: Place, asked: Place) -> ErrorReport {
    not_now(
        format!(
            "match {} is shard {} of {} here, not {} of {}",
            quoted(match_id),
            kept.shard,
            kept.shards,
            asked.shard,
            asked.shards
        ),
        "A match keeps its shards: with another number of them a voter would have a second ballot.".into(),
        "Purge it with purge_match, or open another match.",
    )
}

/// The refusal of a place for a match that any voter could vote in.
fn placed_late(match_id: &str) -> ErrorReport {
    not_now(
        format!("match {} was opened without a shard", quoted(match_id)),
        "It may have ballots of voters that belong to other shards.".into(),
        "Purge it with purge_match, or open another match; keep vote_agg.auto_open off on shards.",
    )
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
        let team = parse_name("team", team.as_deref().map(str::as_bytes))?;
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
    let match_id = parse_name("match_id", match_id)?;
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

/// Has anything been counted or recorded for the match by now? A retraction that came before its vote has left a ballot.
fn has_votes(match_id: &str) -> Result<bool> {
    for plan in [&COUNTED, &BALLOT] {
        if spi::connect(|spi| Ok(spi.run(plan, &[match_id.into_datum()], Sees::Now)?.count() > 0))? {
            return Ok(true);
        }
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

/// Erases the ballots that `snapshot` sees, before the votes that it sees. A voter may have changed one meanwhile, or be about to, which
/// takes its old vote out of the totals: that vote is put back, to be taken from. Returns how many were, and who is still at work.
fn erase_ballots(match_id: &str, snapshot: pg_sys::Snapshot) -> Result<(i64, Busy)> {
    let heap = OpenHeap::open(memory::lock_current_heap()?, pg_sys::NoLock)?;
    let mut missed = Vec::new();
    let busy = BallotBox::open()?.erase(match_id, snapshot, |choice| missed.push(choice))?;
    heap.look_at_end();
    for vote in missed.iter().flat_map(|choice| moved(None, Some(choice), clock::now())) {
        heap.insert(match_id, &vote);
    }
    Ok((missed.len() as i64, busy))
}

/// Ends a part of the transaction that is to leave nothing behind, no lock either.
fn taken_back() -> Result<()> {
    Err(broken("this part of a purge is taken back".into()))
}

/// Waits until a voter is done with the ballot at a place, and holds nothing then.
fn wait_for_voter(place: pg_sys::ItemPointerData) -> Result<()> {
    let mut has_waited = false;
    let waited = subtransaction::attempt(|| {
        BallotBox::open()?.wait_at(place)?;
        has_waited = true;
        taken_back()
    });
    if has_waited { Ok(()) } else { waited.map_err(Failure::into_report) }
}

/// Takes the lock of folds and a snapshot, and erases the ballots that it sees; returns how many votes were put back.
///
/// Voters at work on a ballot are waited for once, without the lock: no other match has to wait for them. What was erased before the
/// wait is taken back, and erased again after it. Ballots at which others are at work by then stay. So a purge ends, however many
/// voters come; and of a final match, where none is left, nothing stays.
fn hold_folds(match_id: &str) -> Result<(Snapshot, i64)> {
    let mut has_waited = false;
    loop {
        spi::connect(|spi| spi.run(&LOCK, &[match_id.into_datum()], Sees::Now).map(|_| ()))?;
        Lock::Fold.wait_for_transaction();
        // What this very statement recorded is erased too.
        transaction::see_own_changes();
        // One snapshot for ballots and votes: what it does not see of the one it does not see of the other.
        let now = Snapshot::latest();
        let (mut put_back, mut busy) = (0, Busy::new());
        let erased = subtransaction::attempt(|| {
            (put_back, busy) = erase_ballots(match_id, now.as_ptr())?;
            if has_waited || busy.is_empty() { Ok(()) } else { taken_back() }
        });
        if has_waited || busy.is_empty() {
            return erased.map(|()| (now, put_back)).map_err(Failure::into_report);
        }
        Lock::Fold.give_back();
        // Without a lock on any other ballot: their voters, too, may be on their way to this one. The snapshot keeps each row at its
        // place.
        busy.into_values().try_for_each(wait_for_voter)?;
        has_waited = true;
    }
}

/// See the COMMENT in sql/30-match.sql.
#[pg_extern(sql = false)]
fn purge_match(match_id: Option<&[u8]>) -> Result<i64> {
    transaction::prevent_read_only(c"purge_match()");
    transaction::require_read_committed("purge_match")?;
    let match_id = parse_name("match_id", match_id)?;
    extension::hold();
    let tables = Tables::find()?;
    spi::connect(|spi| spi.run(&TELL_PULLERS, &[], Sees::Now).map(|_| ()))?;
    let mut erased = 0i64;
    let mut by_source: BTreeMap<Source, i64> = BTreeMap::new();
    {
        // No fold may count a vote while it is being erased.
        let (now, put_back) = hold_folds(match_id)?;
        erased -= put_back;
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
            erased = row.need::<Bigints>("votes")?.0.iter().fold(erased, |sum, votes| sum.saturating_add(*votes));
            let sources: Vec<i16> = row.need("sources")?;
            for (source, votes) in sources.into_iter().zip(row.need::<Bigints>("source_votes")?.0) {
                let counted = by_source.entry(Source(source)).or_default();
                *counted = counted.saturating_add(votes);
            }
        }
        attach::refuse_purge(match_id, &by_source)?;
        spi.run(&NOTE_PURGE, &[match_id.into_datum(), feed::next_number(spi)?.into_datum()], Sees::Now)?;
        spi.run(&PURGE, &[match_id.into_datum()], Sees::Now).map(|_| ())
    })?;
    memory::invalidate(&tables);
    Ok(erased)
}
