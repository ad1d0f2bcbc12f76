//! Counting what was in a table before it was attached, exactly once; and counting all of it again.
//!
//! A small table is counted while it is locked. A big one is *filled*: from the attachment on, triggers note each change
//! in `source_delta`. The fill, one transaction, takes one snapshot, deletes the changes that it sees and counts the rows
//! that it sees, which have those changes in them. Then it locks the table for a moment, counts the changes that were
//! committed meanwhile, appends the sums, and lets the triggers count from now on.

#![allow(unsafe_code, reason = "locks and progress reports")]

use crate::column::{Columns, Names};
use crate::count::Counter;
use crate::error::{Result, refused};
use crate::source::{self, Attached, Registered, State};
use crate::spi::{self, Plan, Sees};
use crate::tables::{self, Latest, Table};
use crate::{delta, session, user};
use pgrx::iter::TableIterator;
use pgrx::{IntoDatum, pg_extern, pg_sys};
use std::time::Duration;
use vote_agg_core::name::parse_name;
use vote_agg_core::tally::Source;
use vote_agg_core::{Country, cell};

thread_local! {
    static NEXT: Plan = const { Plan::new(
        "SELECT s.relation::oid FROM vote_agg.source s
         WHERE s.state = 'filling' AND ($1 IS NULL OR s.relation = $1)
           AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = s.relation)
         ORDER BY s.number LIMIT 1 FOR UPDATE SKIP LOCKED", &[pg_sys::OIDOID]) };
    static LOCK: Plan = const { Plan::new("SELECT vote_agg.lock_source($1)", &[pg_sys::OIDOID]) };
    static FILLED: Plan = const { Plan::new(
        "UPDATE vote_agg.source SET state = 'counting', last_error = NULL WHERE relation = $1", &[pg_sys::OIDOID]) };
    static NOTE: Plan = const { Plan::new(
        "UPDATE vote_agg.source SET last_error = $1 WHERE state = 'filling' AND number =
            (SELECT number FROM vote_agg.source WHERE state = 'filling' ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED)",
        &[pg_sys::TEXTOID]) };
    static IS_WAITING: Plan = const { Plan::new("SELECT 1 FROM vote_agg.source WHERE state = 'filling' LIMIT 1", &[]) };
}

/// Counts all rows of a table that the caller has locked against writers.
///
/// # Errors
/// 22023 naming a column and its value, 55000 for a match that is closed.
pub fn count_at_once(family: &[pg_sys::Oid], names: &Names, source: Source) -> Result<()> {
    let mut counter = Counter::new(source);
    count_family(&mut counter, family, names, &Latest::take(), None, |_| ())?;
    counter.append(State::Counting)
}

/// Adds the rows of a table and its partitions, with the rights of their owners: a cast may be a function of theirs.
fn count_family(
    counter: &mut Counter,
    family: &[pg_sys::Oid],
    names: &Names,
    snapshot: &Latest,
    only: Option<&str>,
    mut progress: impl FnMut(i64),
) -> Result<()> {
    for member in family {
        let table = Table::open(*member, pg_sys::AccessShareLock);
        let columns = Columns::find(*member, names)?;
        let attached = Attached { source: counter.source(), state: State::Counting, columns };
        user::as_owner_of(*member, || counter.add_table(&table, &attached, snapshot.as_ptr(), 1, only, &mut progress))?;
    }
    Ok(())
}

/// See the COMMENT in sql/source.sql.
#[pg_extern(sql = false)]
fn fill(source: Option<pg_sys::Oid>) -> Result<Option<i64>> {
    session::prevent_read_only(c"fill()");
    session::require_read_committed("vote_agg.fill")?;
    next(source)
}

/// Fills a table, or the next one that waits; returns its rows, `None` where there is nothing to do now.
///
/// # Errors
/// 22023 naming a column and its value, 55000 for a match that is closed. Nothing is counted then, and the table still waits.
pub fn next(source: Option<pg_sys::Oid>) -> Result<Option<i64>> {
    if !tables::hold_extension() {
        return Ok(None);
    }
    let found = spi::connect(|spi| {
        Ok(spi.run(&NEXT, &[source.map(Into::into)], Sees::Now)?.first().and_then(|row| row.get::<pg_sys::Oid>(1)))
    })?;
    let Some(table) = found else { return Ok(None) };
    let one = source::attached(Latest::take().as_ptr())?.into_iter().find(|one| one.relation == table);
    let Some(one) = one else { return Ok(None) };
    // SAFETY: shows the fill among the running copies, where vote_agg.stat_attach finds it; ends with the transaction.
    unsafe { pg_sys::pgstat_progress_start_command(pg_sys::ProgressCommandType::PROGRESS_COMMAND_COPY, table) };
    let rows = fill_one(&one)?;
    // SAFETY: as above.
    unsafe { pg_sys::pgstat_progress_end_command() };
    Ok(rows)
}

fn fill_one(one: &Registered) -> Result<Option<i64>> {
    // Locks first, then the snapshot: TRUNCATE empties a table for older snapshots too. A partition that is new in the
    // snapshot could hold rows whose changes it sees, so the list must be the same after it was taken.
    let (family, snapshot) = loop {
        let Some(family) = lock_for_reading(one.relation) else { return Ok(None) };
        let snapshot = Latest::take();
        if source::family(one.relation, pg_sys::NoLock) == family {
            break (family, snapshot);
        }
    };
    crate::guc::pause(crate::guc::Pause::FillSeen);
    delta::take(one.source, &snapshot, None)?;
    let mut counter = Counter::new(one.source);
    let report = |rows| {
        // SAFETY: a number in this process's own entry.
        unsafe { pg_sys::pgstat_progress_update_param(pg_sys::PROGRESS_COPY_TUPLES_PROCESSED as i32, rows) };
    };
    count_family(&mut counter, &family, &one.names, &snapshot, None, report)?;
    drop(snapshot);
    crate::guc::pause(crate::guc::Pause::FillCounted);
    lock_for_good(one.relation)?;
    // SAFETY: so that the next snapshot sees what this one deleted.
    unsafe { pg_sys::CommandCounterIncrement() };
    delta::take(one.source, &Latest::take(), Some(&mut counter))?;
    spi::connect(|spi| spi.run(&FILLED, &[Some(one.relation.into())], Sees::Now).map(|_| ()))?;
    source::invalidate()?;
    let rows = counter.rows;
    counter.append(State::Counting)?;
    Ok(Some(rows))
}

/// Locks a table and its partitions against being emptied or dropped; `None` where that would mean waiting, which might
/// be for somebody who waits for the registry's row.
fn lock_for_reading(table: pg_sys::Oid) -> Option<Vec<pg_sys::Oid>> {
    let family = source::family(table, pg_sys::NoLock);
    // SAFETY: locks of tables; one that is gone by now is no table to be found when it is opened.
    let got = family.iter().all(|member| unsafe { pg_sys::ConditionalLockRelationOid(*member, pg_sys::AccessShareLock as i32) });
    got.then_some(family)
}

/// Locks writers out. Who waits for a lock makes others wait behind it, so each try is short, and gives way for longer
/// each time: a transaction that wrote and then sleeps must not stop the others.
fn lock_for_good(table: pg_sys::Oid) -> Result<()> {
    const LONGEST: Duration = Duration::from_secs(10);
    let mut rest = Duration::from_millis(50);
    loop {
        let got = spi::connect(|spi| Ok(spi.run(&LOCK, &[Some(table.into())], Sees::Now)?.first().and_then(|row| row.get(1))))?;
        if got == Some(true) {
            return Ok(());
        }
        crate::worker::pause(rest);
        rest = (rest * 2).min(LONGEST);
    }
}

/// Is there a table that waits to be filled?
pub fn is_waiting() -> Result<bool> {
    spi::connect(|spi| Ok(spi.run(&IS_WAITING, &[], Sees::Now)?.count() > 0))
}

/// Keeps why the fill of the next table failed.
pub fn note_failure(reason: &str) -> Result<()> {
    spi::connect(|spi| spi.run(&NOTE, &[reason.into_datum()], Sees::Now).map(|_| ()))
}

/// See the COMMENT in sql/source.sql.
#[pg_extern(sql = false)]
fn recount_sources(
    match_id: Option<&[u8]>,
) -> Result<
    TableIterator<
        'static,
        (
            pgrx::name!(source, i16),
            pgrx::name!(team_choice, String),
            pgrx::name!(h3_index, Option<i64>),
            pgrx::name!(country_code, Option<String>),
            pgrx::name!(votes, i64),
        ),
    >,
> {
    let match_id = parse_name("match_id", match_id).map_err(|e| refused(&e))?;
    let snapshot = Latest::of_statement();
    let mut rows = Vec::new();
    for one in source::attached(snapshot.as_ptr())?.iter().filter(|one| one.state == State::Counting) {
        let mut counter = Counter::new(one.source);
        let family = source::family(one.relation, pg_sys::AccessShareLock);
        count_family(&mut counter, &family, &one.names, &snapshot, Some(match_id), |_| ())?;
        for tally in counter.tallies().values() {
            rows.extend(tally.votes(one.source, 0).map(|vote| {
                let country = vote.country.as_ref().map(Country::as_str).map(str::to_owned);
                (one.source.0, vote.team.to_owned(), vote.cell.map(cell::cell_to_bits), country, vote.votes)
            }));
        }
    }
    Ok(TableIterator::new(rows))
}
