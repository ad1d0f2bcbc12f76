//! What a shard says of a match becomes votes: the difference to what it said before. All in one transaction:
//!
//! 1. The row of the shard is locked. Pulls of one shard come one after the other, and before or after a purge.
//! 2. What was asked with is compared with what is applied by now. A pull that is late, doubled or older changes nothing.
//! 3. The difference is appended to pending, whatever the match's end says, and what the shard said is held.

use crate::error::{Result, invalid, not_now, quoted};
use crate::fold::restore;
use crate::pending::heap::OpenHeap;
use crate::pg::spi::{self, Plan, Sees, Spi};
use crate::pg::tables::Tables;
use crate::pg::{clock, transaction};
use crate::root::follow::not_followed;
use crate::root::mirror::{self, Place, ShardHead};
use crate::session::{launch, memory};
use pgrx::iter::TableIterator;
use pgrx::{IntoDatum, name, pg_extern, pg_sys};
use vote_agg_core::shard::difference::difference;
use vote_agg_core::shard::rows::{MatchRows, parse};
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::{Source, Vote};

thread_local! {
    static SHARD: Plan = const { Plan::new(
        "SELECT number, incarnation, system, timeline, database, left_at IS NOT NULL AS has_left FROM vote_agg.shard
         WHERE name = $1 FOR NO KEY UPDATE", &[pg_sys::TEXTOID]) };
    static TWIN: Plan = const { Plan::new(
        "SELECT name FROM vote_agg.shard WHERE system = $2 AND database = $3 AND name <> $1 AND left_at IS NULL",
        &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::INT8OID]) };
    static MEET: Plan = const { Plan::new(
        "UPDATE vote_agg.shard SET system = $2, timeline = $3, database = $4 WHERE name = $1",
        &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::INT8OID]) };
    static GONE: Plan = const { Plan::new(
        "UPDATE vote_agg.shard SET incarnation = incarnation + 1 WHERE name = $1 RETURNING incarnation", &[pg_sys::TEXTOID]) };
    // The match is here what the shards say.
    static OPEN: Plan = const { Plan::new(
        "INSERT INTO vote_agg.match AS m (match_id, teams, opens_at, closes_at, changes_allowed, created_at)
         VALUES ($1, $2, $3, $4, $5, pg_catalog.clock_timestamp())
         ON CONFLICT (match_id) DO UPDATE SET teams = excluded.teams, opens_at = excluded.opens_at,
            closes_at = excluded.closes_at, changes_allowed = excluded.changes_allowed, ended_at = NULL, waiting = NULL
         WHERE m.closed_at IS NULL AND m.finalized_at IS NULL
           AND (m.teams, m.opens_at, m.closes_at, m.changes_allowed)
               IS DISTINCT FROM (excluded.teams, excluded.opens_at, excluded.closes_at, excluded.changes_allowed)",
        &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID, pg_sys::BOOLOID]) };
    static LOCK: Plan = const { Plan::new(
        "SELECT FROM vote_agg.match WHERE match_id = $1 FOR UPDATE", &[pg_sys::TEXTOID]) };
    static FINAL: Plan = const { Plan::new("SELECT vote_agg.shards_are_final($1)", &[pg_sys::TEXTOID]) };
    static CLOSE: Plan = const { Plan::new(
        "UPDATE vote_agg.match SET closed_at = pg_catalog.clock_timestamp() WHERE match_id = $1 AND closed_at IS NULL",
        &[pg_sys::TEXTOID]) };
}

/// What a pull was asked with, and is to be asked with next.
struct Asked {
    incarnation: i64,
    epoch: Option<String>,
    seq: i64,
}

/// See the COMMENT in sql/62-follow.sql.
#[pg_extern(sql = false)]
fn apply_pull(
    shard: Option<&[u8]>,
    incarnation: Option<i64>,
    epoch: Option<&str>,
    seq: Option<i64>,
    rows: Option<&str>,
) -> Result<
    TableIterator<
        'static,
        (name!(outcome, String), name!(next_incarnation, i64), name!(next_epoch, Option<String>), name!(next_seq, i64)),
    >,
> {
    transaction::prevent_read_only(c"apply_pull()");
    transaction::require_read_committed("vote_agg.apply_pull")?;
    let shard = parse_name("shard", shard)?;
    let rows = parse(rows.unwrap_or_default()).map_err(|why| refused(&format!("it is no answer of get_match_rows: {why}")))?;
    parse_name("match_id", Some(rows.match_id.as_bytes()))?;
    rows.teams.iter().try_for_each(|team| parse_name("team", Some(team.as_bytes())).map(|_| ()))?;
    let asked = Asked { incarnation: incarnation.unwrap_or(0), epoch: epoch.map(str::to_owned), seq: seq.unwrap_or(0) };
    let (outcome, next) = spi::connect(|spi| apply(spi, shard, &asked, &rows))?;
    Ok(TableIterator::once((outcome.to_owned(), next.incarnation, next.epoch, next.seq)))
}

fn refused(why: &str) -> pgrx::pg_sys::panic::ErrorReport {
    invalid(format!("what the shard says cannot be applied: {why}"), "Pull the match again as a whole, with epoch NULL.")
}

fn apply(spi: &Spi, shard: &str, asked: &Asked, rows: &MatchRows) -> Result<(&'static str, Asked)> {
    if restore::is_under_way(spi)? {
        let reason = "What was applied already comes with the dump.".into();
        return Err(not_now("a dump is being restored".into(), reason, "Pull again when it is restored."));
    }
    let (number, incarnation) = meet(spi, shard, rows)?;
    let place = Place { match_id: &rows.match_id, shard: number };
    let mut head = ShardHead::load(spi, place)?;
    let is_as_asked = (asked.incarnation, &asked.epoch, asked.seq) == (incarnation, &head.epoch, head.seq);
    if !is_as_asked {
        return Ok(("behind", Asked { incarnation, epoch: head.epoch, seq: head.seq }));
    }
    if !rows.whole && (rows.epoch.as_ref(), rows.since) != (asked.epoch.as_ref(), asked.seq) {
        return Err(refused(&format!("it tells what changed after seq {}, not {}", rows.since, asked.seq)));
    }
    mirror::load(spi, place, rows, &mut head.held)?;
    let votes = difference(&head.held, rows, Source(number)).map_err(|mismatch| refused(&mismatch.to_string()))?;
    let is_changed = follow_match(spi, rows)?;
    if !votes.is_empty() && is_final(spi, place.match_id)? {
        let text = format!("at seq {} of epoch {} its votes are others", rows.seq, rows.epoch.as_deref().unwrap_or("none"));
        mirror::alarm(spi, place, &text)?;
        return Ok(("alarm", Asked { incarnation, epoch: head.epoch, seq: head.seq }));
    }
    append(place.match_id, &votes)?;
    mirror::write(spi, place, rows)?;
    let is_closed = close_if_final(spi, rows)?;
    if is_changed || is_closed {
        memory::invalidate(&Tables::find()?);
    }
    launch::ensure(clock::now());
    let mut next = Asked { incarnation, epoch: rows.epoch.clone(), seq: rows.seq };
    // What was asked for before the match was gone must not bring it back.
    if head.epoch.is_some() && rows.epoch.is_none() {
        next.incarnation = spi.run(&GONE, &[shard.into_datum()], Sees::Now)?.value().unwrap_or(incarnation);
    }
    Ok(("applied", next))
}

/// Locks the row of the shard, and looks whether it is the shard that answers; returns its number and incarnation.
fn meet(spi: &Spi, shard: &str, rows: &MatchRows) -> Result<(i16, i64)> {
    let (number, incarnation, known) = {
        let found = spi.run(&SHARD, &[shard.into_datum()], Sees::Now)?;
        let row = found.first().ok_or_else(|| not_followed(shard))?;
        if row.need("has_left")? {
            return Err(not_followed(shard));
        }
        let known = (row.get::<String>("system")?, row.get::<i64>("timeline")?, row.get::<i64>("database")?);
        (row.need("number")?, row.need("incarnation")?, known)
    };
    let (timeline, database) = (i64::from(rows.timeline), i64::from(rows.database));
    if known == (Some(rows.system.clone()), Some(timeline), Some(database)) {
        return Ok((number, incarnation));
    }
    if let (Some(system), Some(last), Some(_)) = &known
        && *system == rows.system
        && timeline < *last
    {
        return Err(not_now(
            format!("an old primary of shard {} answers", quoted(shard)),
            format!("It is on time line {timeline} of its log, and time line {last} was applied."),
            "Let the puller connect to the primary alone: target_session_attrs=read-write, or the address of Patroni's leader.",
        ));
    }
    let us = [shard.into_datum(), rows.system.as_str().into_datum(), database.into_datum()];
    if let Some(twin) = spi.run(&TWIN, &us, Sees::Now)?.value::<String>() {
        return Err(not_now(
            format!("shard {} is the same database as shard {}", quoted(shard), quoted(&twin)),
            "Its votes would be counted twice.".into(),
            "Correct the address in the puller's settings.",
        ));
    }
    let args = [shard.into_datum(), rows.system.as_str().into_datum(), timeline.into_datum(), database.into_datum()];
    spi.run(&MEET, &args, Sees::Now)?;
    Ok((number, incarnation))
}

/// Locks the row of the match, as the shard has it: nobody ends the match meanwhile. Returns whether it changed.
fn follow_match(spi: &Spi, rows: &MatchRows) -> Result<bool> {
    let match_id = rows.match_id.as_str();
    let changed = match &rows.opened {
        None => 0,
        Some(opened) => {
            let args = [
                match_id.into_datum(),
                opened.teams.clone().into_datum(),
                opened.opens_at.map(Into::into),
                opened.closes_at.map(Into::into),
                opened.changes_allowed.into_datum(),
            ];
            spi.run(&OPEN, &args, Sees::Now)?.count()
        }
    };
    spi.run(&LOCK, &[match_id.into_datum()], Sees::Now)?;
    Ok(changed > 0)
}

/// Have all shards of the match said that it is final?
fn is_final(spi: &Spi, match_id: &str) -> Result<bool> {
    Ok(spi.run(&FINAL, &[match_id.into_datum()], Sees::Now)?.value().unwrap_or(false))
}

/// Closes the match when a shard says that it is final; returns whether it did. A fold makes it final here once all say so.
fn close_if_final(spi: &Spi, rows: &MatchRows) -> Result<bool> {
    if !rows.is_final || rows.epoch.is_none() {
        return Ok(false);
    }
    Ok(spi.run(&CLOSE, &[rows.match_id.as_str().into_datum()], Sees::Now)?.count() > 0)
}

/// Appends votes whatever the match's end says: they came before the shard's.
fn append(match_id: &str, votes: &[Vote]) -> Result<()> {
    if votes.is_empty() {
        return Ok(());
    }
    let heap = OpenHeap::open(memory::lock_current_heap()?, pg_sys::NoLock)?;
    heap.look_at_end();
    votes.iter().for_each(|vote| heap.insert(match_id, vote));
    Ok(())
}
