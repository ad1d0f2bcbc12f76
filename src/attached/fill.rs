//! Counting what was in a table before it was attached, exactly once.
//!
//! A small table is counted while it is locked. A big one is *filled*, part by part, and each part is a transaction that stays
//! done. From the attachment on, a trigger notes each change of a row in `source_delta`, with the block that it was made in.
//! 1. A part takes one snapshot, and deletes all changes that the snapshot sees.
//! 2. Changes in blocks of earlier parts are added to the sums. The others are in rows that this part or a later one counts.
//! 3. The part counts the rows of its blocks that the snapshot sees.
//! 4. The last part locks the table for a moment, adds the changes that were committed meanwhile, appends the sums, and lets
//!    the triggers count from now on.
//!
//! docs/design/attached-tables.md says why each row is counted once.

use crate::attached::columns::{ColumnNames, Columns};
use crate::attached::counter::Counter;
use crate::attached::progress::{self, Part, Parts};
use crate::attached::registry::{self, Attached, Registered, SourceState};
use crate::attached::{fill_heaps, triggers};
use crate::error::Result;
use crate::pg::copy_progress;
use crate::pg::process::pause;
use crate::pg::slot::WHOLE;
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{self, Plan, Sees};
use crate::pg::table::{self, Table};
use crate::pg::{extension, family, role, transaction};
use pgrx::{IntoDatum, pg_extern, pg_sys};
use std::collections::HashMap;
use std::time::Duration;
use vote_agg_core::vote::tally::Source;

thread_local! {
    static NEXT: Plan = const { Plan::new(
        "SELECT s.relation::oid FROM vote_agg.source s
         WHERE s.state = 'filling' AND ($1 IS NULL OR s.relation = $1)
           AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = s.relation)
         ORDER BY s.number LIMIT 1 FOR UPDATE SKIP LOCKED", &[pg_sys::OIDOID]) };
    static LOCK: Plan = const { Plan::new("SELECT vote_agg.lock_source($1)", &[pg_sys::OIDOID]) };
    static FILLED: Plan = const { Plan::new(
        "UPDATE vote_agg.source SET state = 'live', last_error = NULL WHERE relation = $1", &[pg_sys::OIDOID]) };
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
pub fn count_at_once(family: &[pg_sys::Oid], names: &ColumnNames, source: Source) -> Result<()> {
    let mut counter = Counter::new(source);
    let snapshot = Snapshot::latest();
    for member in family {
        count(&mut counter, &Part { relation: *member, blocks: WHOLE }, names, &snapshot, None, |_| ())?;
    }
    counter.append()
}

/// Adds rows of a table itself, with the rights of its owner: a cast may be a function of theirs.
///
/// # Errors
/// 22023 naming a column and its value.
pub fn count(
    counter: &mut Counter,
    part: &Part,
    names: &ColumnNames,
    snapshot: &Snapshot,
    only: Option<&str>,
    progress: impl FnMut(i64),
) -> Result<()> {
    let table = Table::open(part.relation, pg_sys::AccessShareLock);
    let columns = Columns::find(part.relation, names)?;
    let attached = Attached { source: counter.source(), state: SourceState::Live, columns };
    let blocks = part.blocks.clone();
    role::as_owner_of(part.relation, || counter.add_table(&table, blocks, &attached, snapshot.as_ptr(), 1, only, progress))
}

/// See the COMMENT in sql/60-source.sql.
#[pg_extern(sql = false)]
fn fill(source: Option<pg_sys::Oid>, parts: Option<i32>) -> Result<Option<i64>> {
    transaction::prevent_read_only(c"fill()");
    transaction::require_read_committed("vote_agg.fill")?;
    next(source, parts.map(|parts| parts.max(1)))
}

/// Counts so many parts of a table (`None`: all that are left), or of the next table that waits. Returns the rows that it
/// read, `None` where there is nothing to do now.
///
/// # Errors
/// 22023 naming a column and its value, 55000 for a match that is closed. Nothing is counted then, and the table still waits.
pub fn next(source: Option<pg_sys::Oid>, parts: Option<i32>) -> Result<Option<i64>> {
    if !extension::hold() {
        return Ok(None);
    }
    let found = spi::connect(|spi| Ok(spi.run(&NEXT, &[source.map(Into::into)], Sees::Now)?.value::<pg_sys::Oid>()))?;
    let Some(table) = found else { return Ok(None) };
    let one = registry::attached(Snapshot::latest().as_ptr())?.into_iter().find(|one| one.relation == table);
    let Some(one) = one else { return Ok(None) };
    copy_progress::start(table);
    let mut rows = None;
    for _ in 0..parts.unwrap_or(i32::MAX) {
        let Some(done) = fill_part(&one)? else { break };
        rows = Some(rows.unwrap_or(0) + done.rows);
        if done.is_last {
            break;
        }
    }
    copy_progress::end();
    Ok(rows)
}

/// A part of a fill that was done.
struct Done {
    rows: i64,
    is_last: bool,
}

fn fill_part(one: &Registered) -> Result<Option<Done>> {
    // Locks first, then the snapshot: TRUNCATE empties a table for older snapshots too.
    let Some(family) = lock_for_reading(one.relation) else { return Ok(None) };
    let mut parts = spi::connect(|spi| Parts::load(spi, one.source, &family))?;
    // So that the next snapshot sees what an earlier part in the same transaction did.
    transaction::see_own_changes();
    let snapshot = Snapshot::latest();
    crate::settings::pause(crate::settings::Pause::FillSeen);
    let mut counted = PartSums { source: one.source, tables: HashMap::new() };
    counted.take_deltas(&parts, &snapshot)?;
    let (before, next) = (parts.rows(), parts.next());
    let mut rows = 0;
    for part in &next {
        let counter = counted.of(part.relation);
        count(counter, part, &one.names, &snapshot, None, |more| copy_progress::update(before + rows + more))?;
        parts.add(part, counter.rows);
        rows += counter.rows;
    }
    drop(snapshot);
    copy_progress::update(before + rows);
    let mut is_last = parts.are_all();
    if is_last {
        let kept = fill_heaps::kept(one.source)?;
        crate::settings::pause(crate::settings::Pause::FillCounted);
        lock_for_good(one.relation, || counted.take_new_deltas(&parts))?;
        counted.take_new_deltas(&parts)?;
        // A partition may have come or gone until there was the lock.
        is_last = family::family(one.relation, pg_sys::NoLock) == family;
        if is_last {
            return finish(one, &family, kept, counted).map(|()| Some(Done { rows, is_last }));
        }
    }
    counted.keep()?;
    spi::connect(|spi| parts.save(spi, &next))?;
    Ok(Some(Done { rows, is_last }))
}

/// Everything is counted and nobody writes: from now on the triggers count.
fn finish(one: &Registered, family: &[pg_sys::Oid], mut sums: Counter, counted: PartSums) -> Result<()> {
    for counter in counted.tables.into_values() {
        sums.add_all(counter)?;
    }
    spi::connect(|spi| {
        spi.run(&FILLED, &[Some(one.relation.into())], Sees::Now)?;
        progress::forget_all(spi, one.source)?;
        family.iter().try_for_each(|member| triggers::stop_row_trigger(spi, *member))
    })?;
    registry::invalidate()?;
    sums.append()
}

/// The counts of a part, by table: a table that is emptied takes its own along.
struct PartSums {
    source: Source,
    tables: HashMap<pg_sys::Oid, Counter>,
}

impl PartSums {
    fn of(&mut self, table: pg_sys::Oid) -> &mut Counter {
        let source = self.source;
        self.tables.entry(table).or_insert_with(|| Counter::new(source))
    }

    /// Takes out all changes that `snapshot` sees, and adds those of rows that were counted before it.
    fn take_deltas(&mut self, parts: &Parts, snapshot: &Snapshot) -> Result<()> {
        fill_heaps::take(self.source, snapshot, |row, vote| {
            let place = row.place();
            if parts.have(place) { self.of(place.relation).add(&row.match_name(), vote) } else { Ok(()) }
        })
    }

    fn take_new_deltas(&mut self, parts: &Parts) -> Result<()> {
        // So that the snapshot sees what the ones before deleted.
        transaction::see_own_changes();
        self.take_deltas(parts, &Snapshot::latest())
    }

    fn keep(self) -> Result<()> {
        self.tables.into_iter().try_for_each(|(table, counter)| fill_heaps::keep(table, counter))
    }
}

/// Locks a table and its partitions against being emptied or dropped; `None` where that would mean waiting, which might
/// be for somebody who waits for the registry's row.
fn lock_for_reading(table: pg_sys::Oid) -> Option<Vec<pg_sys::Oid>> {
    let family = family::family(table, pg_sys::NoLock);
    let got = family.iter().all(|member| table::try_lock(*member, pg_sys::AccessShareLock));
    got.then_some(family)
}

/// Locks writers out. A waiter for a lock makes others wait behind it, and a transaction that wrote and then sleeps must not
/// stop the others. So each try is short, and the pauses grow. Between the tries `catch_up` takes up the changes of the
/// writers, so that little is left to do under the lock.
fn lock_for_good(table: pg_sys::Oid, mut catch_up: impl FnMut() -> Result<()>) -> Result<()> {
    const LONGEST: Duration = Duration::from_secs(10);
    let mut rest = Duration::from_millis(50);
    loop {
        let got = spi::connect(|spi| Ok(spi.run(&LOCK, &[Some(table.into())], Sees::Now)?.value()))?;
        if got == Some(true) {
            return Ok(());
        }
        pause(rest);
        catch_up()?;
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
