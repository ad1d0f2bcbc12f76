//! A table that is open, and single rows of it read below SQL: a vote may not run a query, and a voter has no right to.

#![allow(unsafe_code, reason = "relations, scans and tuples are the server's own structures")]

use crate::error::{Result, broken};
use crate::pg::form;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::itemptr::item_pointer_get_block_number;
use pgrx::{FromDatum, pg_sys};
use std::cell::Cell;

/// A table that is open, and locked as it was opened until the transaction ends.
pub struct Table(pg_sys::Relation);

impl Table {
    /// Opens a table and locks it in `mode`. Waits only for somebody who changes the table itself.
    pub fn open(oid: pg_sys::Oid, mode: u32) -> Self {
        // SAFETY: raises an error when there is no such table.
        Self(unsafe { pg_sys::table_open(oid, mode as i32) })
    }

    /// The server's structure, valid as long as this lives.
    pub const fn as_ptr(&self) -> pg_sys::Relation {
        self.0
    }

    /// Its number in `pg_class`.
    pub const fn oid(&self) -> pg_sys::Oid {
        // SAFETY: an open relation.
        unsafe { (*self.0).rd_id }
    }

    /// The file that holds the table; VACUUM FULL, CLUSTER and TRUNCATE change it.
    pub fn file(&self) -> pg_sys::Oid {
        // SAFETY: an open relation has its pg_class row.
        unsafe { (*(*self.0).rd_rel).relfilenode }
    }

    /// Is it stored the usual way?
    pub fn is_heap(&self) -> bool {
        // SAFETY: an open relation has its pg_class row.
        unsafe { (*(*self.0).rd_rel).relam == pg_sys::HEAP_TABLE_AM_OID }
    }

    /// Is it a part of another table?
    pub fn is_partition(&self) -> bool {
        // SAFETY: an open relation has its row of pg_class.
        unsafe { (*(*self.0).rd_rel).relispartition }
    }

    /// Has it rows of its own? A partitioned table has none.
    pub fn has_storage(&self) -> bool {
        // SAFETY: an open relation has its pg_class row.
        unsafe { (*(*self.0).rd_rel).relkind as u8 == pg_sys::RELKIND_RELATION }
    }

    /// Has it an index? The catalog's own flag stays on after the last one was dropped, until a VACUUM.
    pub fn has_index(&self) -> bool {
        // SAFETY: an open relation; the list is a copy, null where it is empty.
        unsafe { (*(*self.0).rd_rel).relhasindex && !pg_sys::RelationGetIndexList(self.0).is_null() }
    }

    /// Has it a trigger? The flag lies as that of indexes does.
    pub fn has_trigger(&self) -> bool {
        // SAFETY: an open relation.
        unsafe { (*(*self.0).rd_rel).relhastriggers && !(*self.0).trigdesc.is_null() }
    }

    /// Its size in blocks.
    pub fn blocks(&self) -> u32 {
        // SAFETY: an open relation.
        unsafe { pg_sys::RelationGetNumberOfBlocksInFork(self.0, pg_sys::ForkNumber::MAIN_FORKNUM) }
    }

    /// The form of its rows.
    pub fn row_form(&self) -> pg_sys::TupleDesc {
        // SAFETY: an open relation has its row type.
        unsafe { (*self.0).rd_att }
    }

    /// The index of the primary key; `InvalidOid` where there is none that is checked at once.
    pub fn primary_key(&self) -> pg_sys::Oid {
        // SAFETY: an open relation.
        unsafe {
            #[cfg(not(feature = "pg18"))]
            let index = pg_sys::RelationGetPrimaryKeyIndex(self.0);
            #[cfg(feature = "pg18")]
            let index = pg_sys::RelationGetPrimaryKeyIndex(self.0, false);
            index
        }
    }

    /// Removes dead versions from pages (those past the table's end are passed over), or leaves them as they are where another
    /// process reads them.
    pub fn prune(&self, blocks: impl Iterator<Item = u32>) {
        let end = self.blocks();
        for block in blocks.filter(|block| *block < end) {
            // SAFETY: a block of the open table; pruning takes the lock that it needs, or does nothing.
            unsafe {
                let buffer = pg_sys::ReadBuffer(self.0, block);
                pg_sys::heap_page_prune_opt(self.0, buffer);
                pg_sys::ReleaseBuffer(buffer);
            }
        }
    }

    /// Refuses a table that a running statement of this session uses.
    pub fn check_not_in_use(&self, statement: &std::ffi::CStr) {
        // SAFETY: the open table; raises the server's own error (55006).
        unsafe { pg_sys::CheckTableNotInUse(self.0, statement.as_ptr()) };
    }

    /// The newest row (last of the primary key) in `snapshot`.
    pub fn last_row(&self, snapshot: pg_sys::Snapshot) -> Option<Row<'_>> {
        // SAFETY: the index belongs to the open table; the row is copied before the scan ends.
        unsafe {
            let index = pg_sys::index_open(self.primary_key(), pg_sys::AccessShareLock as i32);
            let scan = pg_sys::systable_beginscan_ordered(self.0, index, every_version(), 0, std::ptr::null_mut());
            let next = || pg_sys::systable_getnext_ordered(scan, pg_sys::ScanDirection::BackwardScanDirection);
            let row = Row::copy(self.next_seen(scan, snapshot, next), self);
            pg_sys::systable_endscan_ordered(scan);
            pg_sys::index_close(index, pg_sys::AccessShareLock as i32);
            row
        }
    }

    /// All rows in `snapshot`: for tables of a few rows.
    pub fn rows(&self, snapshot: pg_sys::Snapshot) -> Vec<Row<'_>> {
        let mut rows = Vec::new();
        // SAFETY: a scan of the open table without an index; each row is copied before the next is asked for.
        unsafe {
            let scan = pg_sys::systable_beginscan(self.0, pg_sys::InvalidOid, false, every_version(), 0, std::ptr::null_mut());
            while let Some(row) = Row::copy(self.next_seen(scan, snapshot, || pg_sys::systable_getnext(scan)), self) {
                rows.push(row);
            }
            pg_sys::systable_endscan(scan);
        }
        rows
    }

    /// The row in which `column`, the primary key, is `key`.
    pub fn row(&self, column: &str, key: &str, snapshot: pg_sys::Snapshot) -> Option<Row<'_>> {
        let mut row = None;
        let visited = self.visit(&[(column, key)], snapshot, |tuple| {
            // SAFETY: copied while the scan shows it.
            row = unsafe { Row::copy(tuple, self) };
            Ok(false)
        });
        visited.ok().and(row)
    }

    /// Shows the rows in which these columns (texts, the first ones of the primary key) have these values, as long as `see`
    /// returns true.
    ///
    /// # Errors
    /// Those of `see`, and XX000 where there is no such column.
    pub fn visit(
        &self,
        keys: &[(&str, &str)],
        snapshot: pg_sys::Snapshot,
        mut see: impl FnMut(pg_sys::HeapTuple) -> Result<bool>,
    ) -> Result<()> {
        let mut scan_keys = [pg_sys::ScanKeyData::default(); 2];
        let count = keys.len().min(scan_keys.len());
        // SAFETY: the keys are columns of the index, text compared as bytes.
        unsafe {
            for (scan_key, (column, value)) in scan_keys.iter_mut().zip(keys) {
                let text = pgrx::IntoDatum::into_datum(*value).unwrap_or(pg_sys::Datum::null());
                let number = form::place_of(self.row_form(), column, 0)? as i16 + 1;
                pg_sys::ScanKeyInit(scan_key, number, pg_sys::BTEqualStrategyNumber as u16, pg_sys::F_TEXTEQ.into(), text);
            }
            let index = self.primary_key();
            let is_mvcc = (*snapshot).snapshot_type == pg_sys::SnapshotType::SNAPSHOT_MVCC;
            let shown = if is_mvcc { every_version() } else { snapshot };
            let scan = pg_sys::systable_beginscan(self.0, index, true, shown, count as i32, scan_keys.as_mut_ptr());
            let next = || pg_sys::systable_getnext(scan);
            loop {
                let tuple = if is_mvcc { self.next_seen(scan, snapshot, next) } else { next() };
                if tuple.is_null() || !see(tuple)? {
                    break;
                }
            }
            pg_sys::systable_endscan(scan);
        }
        Ok(())
    }

    /// The next row of a scan of every version that `snapshot` sees; null at the end.
    ///
    /// With the snapshot itself the scan would leave predicate locks in a SERIALIZABLE transaction. A voter that left one on the
    /// registry of matches could fail because somebody opened another match.
    ///
    /// # Safety
    /// `next` moves `scan`, which goes over every version of this table's rows; `snapshot` is an MVCC snapshot.
    unsafe fn next_seen(
        &self,
        scan: pg_sys::SysScanDesc,
        snapshot: pg_sys::Snapshot,
        next: impl Fn() -> pg_sys::HeapTuple,
    ) -> pg_sys::HeapTuple {
        loop {
            let tuple = next();
            // SAFETY: the scan's slot holds the tuple that it shows, pinned; every access method has this function.
            let is_seen = tuple.is_null()
                || unsafe {
                    (*(*self.0).rd_tableam).tuple_satisfies_snapshot.is_none_or(|sees| sees(self.0, (*scan).slot, snapshot))
                };
            if is_seen {
                return tuple;
            }
        }
    }
}

/// The snapshot that sees every version of a row.
const fn every_version() -> pg_sys::Snapshot {
    // SAFETY: a constant of the server, which nobody writes.
    &raw mut pg_sys::SnapshotAnyData
}

impl Drop for Table {
    fn drop(&mut self) {
        // While an error passes through, the server closes the relation itself.
        if !std::thread::panicking() {
            // SAFETY: opened in `open`, closed once; the lock stays.
            unsafe { pg_sys::table_close(self.0, pg_sys::NoLock as i32) };
        }
    }
}

/// A copied row of an open table, in the current memory context.
pub struct Row<'t> {
    table: &'t Table,
    values: Vec<pg_sys::Datum>,
    nulls: Vec<bool>,
    /// After the column that was read last, where the next one is looked for first.
    next: Cell<usize>,
}

impl<'t> Row<'t> {
    /// # Safety
    /// `tuple` is null or a valid row of `table`.
    unsafe fn copy(tuple: pg_sys::HeapTuple, table: &'t Table) -> Option<Self> {
        if tuple.is_null() {
            return None;
        }
        // SAFETY: as promised by the caller; both lists have one place a column.
        unsafe {
            let form = table.row_form();
            let columns = form::width(form);
            let (mut values, mut nulls) = (vec![pg_sys::Datum::null(); columns], vec![true; columns]);
            let tuple = pg_sys::heap_copytuple(tuple);
            pg_sys::heap_deform_tuple(tuple, form, values.as_mut_ptr(), nulls.as_mut_ptr());
            Some(Self { table, values, nulls, next: Cell::new(0) })
        }
    }

    /// The value of a column, `None` for NULL.
    ///
    /// # Errors
    /// XX000 where the table has no such column.
    pub fn get<T: FromDatum>(&self, column: &str) -> Result<Option<T>> {
        // SAFETY: the table is open; callers name the column's type as the install script declares it.
        unsafe {
            let place = form::place_of(self.table.row_form(), column, self.next.get())?;
            self.next.set(place + 1);
            Ok(T::from_datum(self.values[place], self.nulls[place]))
        }
    }

    /// The value of a NOT NULL column.
    ///
    /// # Errors
    /// XX000 when it is null, or not there.
    pub fn need<T: FromDatum>(&self, column: &str) -> Result<T> {
        self.get(column)?.ok_or_else(|| broken(format!("column {column} of a row of vote_agg is null")))
    }

    /// A time, in microseconds since PostgreSQL's epoch.
    ///
    /// # Errors
    /// XX000 where the table has no such column.
    pub fn time(&self, column: &str) -> Result<Option<i64>> {
        Ok(self.get::<TimestampWithTimeZone>(column)?.map(i64::from))
    }
}

/// The block that a row lies in.
pub fn block_of(tid: &pg_sys::ItemPointerData) -> u32 {
    // SAFETY: reads the structure it is given.
    unsafe { item_pointer_get_block_number(tid) }
}

/// Locks a table to the end of the transaction, and waits for it.
pub fn lock(table: pg_sys::Oid, mode: u32) {
    // SAFETY: a lock needs no table: one that is gone by now is not found when it is opened.
    unsafe { pg_sys::LockRelationOid(table, mode as i32) };
}

/// Locks a table to the end of the transaction if nobody holds a lock that conflicts.
pub fn try_lock(table: pg_sys::Oid, mode: u32) -> bool {
    // SAFETY: as in `lock`.
    unsafe { pg_sys::ConditionalLockRelationOid(table, mode as i32) }
}
