//! Counting the rows of attached tables: what a statement changed, or all that a table holds.

#![allow(unsafe_code, reason = "triggers, tuple stores and scans are the server's own interfaces")]

use crate::attached::columns::{Reader, Slot};
use crate::attached::counter::{Counter, WHOLE, about_rows};
use crate::attached::fill_heaps;
use crate::attached::registry::{self, SourceState};
use crate::attached::triggers::{MOVE_TRIGGER, ROW_TRIGGER, TRIGGERS};
use crate::error::{Result, forbidden, not_now};
use crate::pending::row::RowPlace;
use crate::pg::catalog::shown;
use crate::pg::clock;
use crate::pg::snapshot::Snapshot;
use crate::pg::table::{self, Table};
use crate::session::launch;
use pgrx::pg_sys::panic::{ErrorReport, ErrorReportable};
use pgrx::{pg_guard, pg_sys};
use std::ffi::CStr;

/// What the function of our triggers is called with.
struct Fired<'a> {
    data: &'a pg_sys::TriggerData,
}

impl Fired<'_> {
    fn count(&self) -> Result<()> {
        let data = self.data;
        // SAFETY: the relation of a trigger's call is open.
        let table = unsafe { (*data.tg_relation).rd_id };
        let is_before = data.tg_event & pg_sys::TRIGGER_EVENT_TIMINGMASK == pg_sys::TRIGGER_EVENT_BEFORE;
        if data.tg_event & pg_sys::TRIGGER_EVENT_ROW != 0 {
            return self.note(table, is_before);
        }
        // SAFETY: the trigger's own name.
        let called = unsafe { CStr::from_ptr((*data.tg_trigger).tgname) };
        if is_before && called == MOVE_TRIGGER {
            return Ok(()); // the library is loaded, and that is all
        }
        let (name, is_whole) = match data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK {
            pg_sys::TRIGGER_EVENT_INSERT => (TRIGGERS[0], !is_before && !data.tg_newtable.is_null()),
            pg_sys::TRIGGER_EVENT_UPDATE => {
                (TRIGGERS[1], !is_before && !data.tg_newtable.is_null() && !data.tg_oldtable.is_null())
            }
            pg_sys::TRIGGER_EVENT_DELETE => (TRIGGERS[2], !is_before && !data.tg_oldtable.is_null()),
            _ => (TRIGGERS[3], is_before),
        };
        let is_ours = called == name && is_whole;
        let Some(attached) = registry::find(table)?.filter(|_| is_ours) else { return Err(no_such_trigger(table)) };
        let is_filling = attached.state == SourceState::Filling;
        if is_filling && name != TRIGGERS[3] {
            return Ok(());
        }
        let mut counter = Counter::new(attached.source);
        if name == TRIGGERS[3] {
            // Every partition that is emptied has its own call. Nobody else is at the table now: the latest snapshot sees
            // all that goes, in a transaction with an older one too.
            let table = Table::open(table, pg_sys::NoLock);
            counter.add_table(&table, WHOLE, &attached, Snapshot::latest().as_ptr(), -1, None, |_| ())?;
            if is_filling {
                // Another file, so the fill of this table begins again.
                return counter.check();
            }
        } else {
            for (store, times) in [(data.tg_oldtable, -1), (data.tg_newtable, 1)] {
                if !store.is_null() {
                    counter.add_store(store, data.tg_relation, &attached, times)?;
                }
            }
        }
        counter.append()
    }

    /// Notes what happened to one row, and where.
    fn note(&self, table: pg_sys::Oid, is_before: bool) -> Result<()> {
        let data = self.data;
        // SAFETY: the trigger's own name.
        let is_ours = unsafe { CStr::from_ptr((*data.tg_trigger).tgname) } == ROW_TRIGGER && !is_before;
        let Some(attached) = registry::find(table)?.filter(|_| is_ours) else { return Err(no_such_trigger(table)) };
        if attached.state != SourceState::Filling {
            return Ok(());
        }
        let (first, second) = (data.tg_trigslot, data.tg_newslot);
        let (old, new) = match data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK {
            pg_sys::TRIGGER_EVENT_INSERT => (None, Some(first)),
            pg_sys::TRIGGER_EVENT_UPDATE => (Some(first), Some(second)),
            _ => (Some(first), None),
        };
        let (mut old_reader, mut new_reader) = (Reader::new(&attached.columns), Reader::new(&attached.columns));
        // SAFETY: rows of the trigger's call.
        let slot = |slot| unsafe { Slot::new(slot) };
        let old_row = old.map_or(Ok(None), |old| old_reader.read(&slot(old)))?;
        let new_row = new.map_or(Ok(None), |new| new_reader.read(&slot(new)))?;
        // SAFETY: as above; they are stored in the table.
        let place =
            |slot: *mut pg_sys::TupleTableSlot| RowPlace { relation: table, block: table::block_of(unsafe { &(*slot).tts_tid }) };
        let at = clock::now();
        let gone = old.zip(old_row.as_ref()).map(|(slot, row)| (row.match_id, row.times(-1, attached.source, at), place(slot)));
        let came = new.zip(new_row.as_ref()).map(|(slot, row)| (row.match_id, row.times(1, attached.source, at), place(slot)));
        // The same vote in another place changes nothing of a match, which may be closed.
        fill_heaps::note(gone.into_iter().chain(came).collect(), old_row != new_row).map_err(about_rows)?;
        launch::ensure(at);
        Ok(())
    }
}

fn no_such_trigger(table: pg_sys::Oid) -> ErrorReport {
    forbidden(
        format!("table {} is not attached by this trigger", shown(table)),
        "Drop the trigger, and attach the table with attach_votes.",
    )
}

/// See the COMMENT in sql/60-source.sql. Written out, because it takes a trigger's or no arguments.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn count_rows_wrapper(call: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the server's call; the context's type tells what it is.
    let data = unsafe { (*call).context.cast::<pg_sys::TriggerData>().as_ref() };
    let fired = data.filter(|data| data.type_ == pg_sys::NodeTag::T_TriggerData).map(|data| Fired { data });
    let counted = match fired {
        Some(fired) => fired.count(),
        None => {
            Err(not_now("this function only counts as a trigger".into(), "It was called by a query.".into(), "Use attach_votes."))
        }
    };
    counted.unwrap_or_report();
    pg_sys::Datum::null()
}

/// Tells the server how the function above is called.
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_count_rows_wrapper() -> &'static pg_sys::Pg_finfo_record {
    const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };
    &V1
}
