//! Pages on which every row is dead for good, as far as this session saw. Dead rows stay while an old snapshot keeps them, or
//! VACUUM has not come yet; reading them again then costs a look at each page instead of one at each row.
//!
//! 1. All rows of a page were deleted by committed transactions: it is remembered with its LSN and the newest of these.
//! 2. A writer gives the page another LSN, before it commits.
//! 3. So for a snapshot that finds the same LSN, and is younger than those transactions, nothing on the page counts.
//!
//! It needs no lock on the page: a row that is being written just now is of a transaction that the snapshot does not see.

#![allow(unsafe_code, reason = "looks at pages of a heap")]

use crate::pg::table::Table;
use pgrx::pg_sys;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;

/// How many files are remembered: the heaps of pending and those of fills, and some that are gone.
const MAX_FILES: usize = 8;

thread_local! {
    static FILES: RefCell<HashMap<u32, DeadPages>> = RefCell::default();
}

#[derive(Clone, Copy)]
struct Dead {
    lsn: pg_sys::XLogRecPtr,
    /// The newest of the transactions that deleted its rows.
    newest: pg_sys::TransactionId,
}

/// The memory of a file: its first block that is read, and those after it.
#[derive(Default)]
pub struct DeadPages {
    first: u32,
    pages: Vec<Option<Dead>>,
}

impl DeadPages {
    /// Takes out what is remembered of a table's file, where no row before block `first` counts; [`DeadPages::put_back`] when
    /// done. An error in between only forgets.
    pub fn take(table: &Table, first: u32) -> Self {
        let mut pages = FILES.with_borrow_mut(|files| files.remove(&table.file().to_u32())).unwrap_or_default();
        if let Some(gone) = first.checked_sub(pages.first) {
            let gone = pages.pages.len().min(gone as usize);
            pages.pages.drain(..gone);
            pages.first = first;
        }
        pages
    }

    /// Remembers it for the next time.
    pub fn put_back(self, table: &Table) {
        FILES.with_borrow_mut(|files| {
            if files.len() >= MAX_FILES {
                files.clear();
            }
            files.insert(table.file().to_u32(), self);
        });
    }

    fn known(&self, block: u32) -> Option<Dead> {
        *self.pages.get(block.checked_sub(self.first)? as usize)?
    }

    /// The next blocks of `blocks` that may have rows that `snapshot` sees; empty where there are none left.
    pub fn next(&self, table: &Table, snapshot: pg_sys::Snapshot, blocks: Range<u32>) -> Range<u32> {
        // SAFETY: a valid snapshot.
        let oldest_running = unsafe { (*snapshot).xmin };
        let is_dead = |block: u32| {
            self.known(block).is_some_and(|dead| {
                // SAFETY: a block of the open table, pinned while it is looked at.
                unsafe {
                    pg_sys::TransactionIdPrecedes(dead.newest, oldest_running) && {
                        let buffer = pg_sys::ReadBuffer(table.as_ptr(), block);
                        let lsn = pg_sys::BufferGetLSNAtomic(buffer);
                        pg_sys::ReleaseBuffer(buffer);
                        lsn == dead.lsn
                    }
                }
            })
        };
        let start = blocks.clone().find(|block| !is_dead(*block)).unwrap_or(blocks.end);
        start..(start..blocks.end).find(|block| is_dead(*block)).unwrap_or(blocks.end)
    }

    /// Looks whether a page, of which a scan has shown no row, can be remembered.
    pub fn learn(&mut self, table: &Table, block: u32) {
        let Some(position) = block.checked_sub(self.first).map(|position| position as usize) else { return };
        if self.pages.len() <= position {
            self.pages.resize(position + 1, None);
        }
        // SAFETY: a block of the open table, pinned and locked while its rows are looked at.
        self.pages[position] = unsafe {
            let buffer = pg_sys::ReadBuffer(table.as_ptr(), block);
            pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
            let newest = newest_deleter(pg_sys::BufferGetPage(buffer));
            let lsn = pg_sys::BufferGetLSNAtomic(buffer);
            pg_sys::LockBuffer(buffer, pg_sys::BUFFER_LOCK_UNLOCK as i32);
            pg_sys::ReleaseBuffer(buffer);
            // A file that is not in the WAL yet has no numbers to compare.
            newest.filter(|_| lsn != 0).map(|newest| Dead { lsn, newest })
        };
    }
}

/// The newest transaction that deleted a row of the page; `None` where one is not known to be deleted. The scan has left what
/// it found out in the rows' hint bits.
unsafe fn newest_deleter(page: pg_sys::Page) -> Option<pg_sys::TransactionId> {
    const NEVER: u32 = pg_sys::HEAP_XMIN_INVALID;
    const DELETED: u32 = pg_sys::HEAP_XMAX_COMMITTED;
    let mut newest = pg_sys::FrozenTransactionId;
    // SAFETY: the caller has locked the page.
    unsafe {
        // The server's macros for this are not known in each of its versions.
        let header = page.cast::<pg_sys::PageHeaderData>();
        let items =
            usize::from((*header).pd_lower).saturating_sub(size_of::<pg_sys::PageHeaderData>()) / size_of::<pg_sys::ItemIdData>();
        let first = (&raw const (*header).pd_linp).cast::<pg_sys::ItemIdData>();
        for item in (0..items).map(|i| *first.add(i)) {
            if item.lp_flags() != pg_sys::LP_NORMAL {
                continue;
            }
            let row = page.add(item.lp_off() as usize).cast::<pg_sys::HeapTupleHeaderData>();
            let mask = u32::from((*row).t_infomask);
            if mask & pg_sys::HEAP_XMIN_FROZEN == NEVER {
                continue;
            }
            if mask & (DELETED | pg_sys::HEAP_XMAX_IS_MULTI | pg_sys::HEAP_XMAX_LOCK_ONLY) != DELETED {
                return None;
            }
            let deleter = (*row).t_choice.t_heap.t_xmax;
            if pg_sys::TransactionIdPrecedes(newest, deleter) {
                newest = deleter;
            }
        }
    }
    Some(newest)
}
