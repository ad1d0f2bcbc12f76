//! Rows of any table, as a scan or a statement's transition table shows them.

#![allow(unsafe_code, reason = "slots and scans are the server's own structures")]

use crate::error::Result;
use crate::pg::table::{self, Table};
use pgrx::pg_sys;
use std::ops::Range;

/// All blocks of a table.
pub const WHOLE: Range<u32> = 0..pg_sys::InvalidBlockNumber;

/// One row, taken apart as far as its columns are asked for.
pub struct Slot(*mut pg_sys::TupleTableSlot);

impl Slot {
    /// # Safety
    /// The slot holds a row, as long as this lives.
    pub const unsafe fn new(slot: *mut pg_sys::TupleTableSlot) -> Self {
        Self(slot)
    }

    /// Takes the row apart up to a column, numbered from 1, so that it is done once for all of them.
    pub fn deform(&self, last: i16) {
        // SAFETY: as promised to `new`; the table has that many columns.
        unsafe {
            if (*self.0).tts_nvalid < last {
                pg_sys::slot_getsomeattrs_int(self.0, last.into());
            }
        }
    }

    /// The value of a column up to which the row is taken apart; `None` for NULL.
    pub fn get(&self, number: i16) -> Option<pg_sys::Datum> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        // SAFETY: taken apart at least as far.
        unsafe { (!*(*self.0).tts_isnull.add(place)).then(|| *(*self.0).tts_values.add(place)) }
    }

    /// Where the row lies, as `ctid` shows it, for a row that is stored in a table.
    pub fn place(&self) -> String {
        // SAFETY: as promised to `new`.
        let tid = unsafe { &(*self.0).tts_tid };
        format!("({},{})", table::block_of(tid), tid.ip_posid)
    }

    /// The block that the row lies in, for a row that is stored in a table.
    pub fn block(&self) -> u32 {
        // SAFETY: as promised to `new`.
        table::block_of(unsafe { &(*self.0).tts_tid })
    }
}

/// Shows every row of a table itself, not of its partitions, that `snapshot` sees in these blocks. Blocks that end past the end
/// of the table mean: to its end. The table is locked against becoming shorter meanwhile.
///
/// # Errors
/// Those of `see`.
pub fn each_in(
    table: &Table,
    blocks: Range<u32>,
    snapshot: pg_sys::Snapshot,
    mut see: impl FnMut(&Slot) -> Result<()>,
) -> Result<()> {
    if !table.has_storage() {
        return Ok(());
    }
    // SAFETY: a scan of the open table; a row is not used after the next is asked for.
    unsafe {
        let slot = pg_sys::table_slot_create(table.as_ptr(), std::ptr::null_mut());
        let flags =
            pg_sys::ScanOptions::SO_TYPE_SEQSCAN | pg_sys::ScanOptions::SO_ALLOW_STRAT | pg_sys::ScanOptions::SO_ALLOW_PAGEMODE;
        let scan = pg_sys::heap_beginscan(table.as_ptr(), snapshot, 0, std::ptr::null_mut(), std::ptr::null_mut(), flags);
        let end = (*scan.cast::<pg_sys::HeapScanDescData>()).rs_nblocks.min(blocks.end);
        pg_sys::heap_setscanlimits(scan, blocks.start, end.saturating_sub(blocks.start));
        while pg_sys::heap_getnextslot(scan, pg_sys::ScanDirection::ForwardScanDirection, slot) {
            see(&Slot::new(slot))?;
        }
        pg_sys::heap_endscan(scan);
        pg_sys::ExecDropSingleTupleTableSlot(slot);
    }
    Ok(())
}
