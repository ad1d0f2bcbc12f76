//! Counting the rows of attached tables: what a statement changed, or all that a table holds.

use crate::attached::columns::Reader;
use crate::attached::counter::{Counter, about_rows};
use crate::attached::registry::{self, SourceState};
use crate::attached::triggers::{MOVE_TRIGGER, ROW_TRIGGER, TRIGGERS};
use crate::attached::{erase, fill_heaps};
use crate::error::{Result, forbidden, not_now};
use crate::pending::row::RowPlace;
use crate::pg::catalog::shown;
use crate::pg::clock;
use crate::pg::slot::{Slot, WHOLE};
use crate::pg::snapshot::Snapshot;
use crate::pg::table::Table;
use crate::pg::trigger::{Call, Event, Fired};
use crate::session::launch;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{pg_extern, pg_sys};

/// See the COMMENT in sql/60-source.sql.
#[pg_extern(sql = false)]
fn count_rows(call: Call<'_>) -> Result<()> {
    match call.fired() {
        Some(fired) if fired.is_for_row() => note(fired),
        Some(fired) => count(fired),
        None => {
            Err(not_now("this function only counts as a trigger".into(), "It was called by a query.".into(), "Use attach_votes."))
        }
    }
}

fn count(fired: &Fired) -> Result<()> {
    let (table, is_before) = (fired.table(), fired.is_before());
    if is_before && fired.name() == MOVE_TRIGGER {
        return Ok(()); // the library is loaded, and that is all
    }
    let (old, new) = (fired.old_rows(), fired.new_rows());
    let (name, is_whole) = match fired.event() {
        Event::Insert => (TRIGGERS[0], !is_before && new.is_some()),
        Event::Update => (TRIGGERS[1], !is_before && new.is_some() && old.is_some()),
        Event::Delete => (TRIGGERS[2], !is_before && old.is_some()),
        Event::Truncate => (TRIGGERS[3], is_before),
    };
    let is_ours = fired.name() == name && is_whole;
    let Some(attached) = registry::find(table)?.filter(|_| is_ours) else { return Err(no_such_trigger(table)) };
    let is_filling = attached.state == SourceState::Filling;
    let mut counter = Counter::new(attached.source);
    if fired.event() == Event::Truncate {
        // Every partition that is emptied has its own call. Nobody else is at the table now: the latest snapshot sees all
        // that goes, in a transaction with an older one too.
        let table = Table::open(table, pg_sys::NoLock);
        counter.add_table(&table, WHOLE, &attached, Snapshot::latest().as_ptr(), -1, None, |_| ())?;
        // A table that is being filled gets another file, so its fill begins again.
        return if is_filling { counter.check() } else { counter.append() };
    }
    if is_filling {
        return Ok(());
    }
    for (rows, times) in [(old, -1), (new, 1)] {
        if let Some(rows) = rows {
            counter.add_transition(&rows, &attached, times)?;
        }
    }
    let is_erased = fired.event() == Event::Delete && erase::is_under_way(attached.source);
    if is_erased { erase::keep(counter) } else { counter.append() }
}

/// Notes what happened to one row of a table that is being filled, and where.
fn note(fired: &Fired) -> Result<()> {
    let table = fired.table();
    let is_ours = fired.name() == ROW_TRIGGER && !fired.is_before();
    let Some(attached) = registry::find(table)?.filter(|_| is_ours) else { return Err(no_such_trigger(table)) };
    if attached.state != SourceState::Filling {
        return Ok(());
    }
    let (old, new) = (fired.old_row(), fired.new_row());
    let (mut old_reader, mut new_reader) = (Reader::new(&attached.columns), Reader::new(&attached.columns));
    // One that cannot be read is still to be counted: a part of the fill stops at it until it is repaired or deleted.
    let old_row = old.as_ref().and_then(|old| old_reader.read(old).ok().flatten());
    let new_row = new.as_ref().map_or(Ok(None), |new| new_reader.read(new))?;
    let place = |slot: &Slot| RowPlace { relation: table, block: slot.block() };
    let at = clock::now();
    let gone =
        old.as_ref().zip(old_row.as_ref()).map(|(slot, row)| (row.match_id, row.times(-1, attached.source, at), place(slot)));
    let came =
        new.as_ref().zip(new_row.as_ref()).map(|(slot, row)| (row.match_id, row.times(1, attached.source, at), place(slot)));
    // The same vote in another place changes nothing of a match, which may be closed.
    fill_heaps::note(gone.into_iter().chain(came).collect(), old_row != new_row).map_err(about_rows)?;
    launch::ensure(at);
    Ok(())
}

fn no_such_trigger(table: pg_sys::Oid) -> ErrorReport {
    forbidden(
        format!("table {} is not attached by this trigger", shown(table)),
        "Drop the trigger, and attach the table with attach_votes.",
    )
}
