//! A table, its partitions and the tables that it is a partition of.

#![allow(unsafe_code, reason = "the partition tree is the server's own structure")]

use crate::pg::catalog;
use pgrx::pg_sys;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary as guarded;

unsafe extern "C-unwind" {
    fn get_partition_ancestors(table: pg_sys::Oid) -> *mut pg_sys::List;
    fn find_all_inheritors(table: pg_sys::Oid, lock: pg_sys::LOCKMODE, counts: *mut *mut pg_sys::List) -> *mut pg_sys::List;
    fn has_superclass(table: pg_sys::Oid) -> bool;
}

unsafe fn oids(list: *mut pg_sys::List) -> Vec<pg_sys::Oid> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: a list of that many numbers.
    unsafe { (0..(*list).length as usize).map(|i| (*(*list).elements.add(i)).oid_value).collect() }
}

/// The tables that a table is a partition of, the closest first.
pub fn ancestors(table: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    if !catalog::is_partition(table) {
        return Vec::new();
    }
    // SAFETY: reads the catalog.
    unsafe { oids(guarded(|| get_partition_ancestors(table))) }
}

/// A table and all of its partitions at every level, locked in `mode` (0: not at all), itself first.
pub fn family(table: pg_sys::Oid, mode: u32) -> Vec<pg_sys::Oid> {
    // SAFETY: reads the catalog. The table itself is locked here; its partitions there.
    unsafe {
        if mode != pg_sys::NoLock {
            pg_sys::LockRelationOid(table, mode as i32);
        }
        oids(guarded(|| find_all_inheritors(table, mode as i32, std::ptr::null_mut())))
    }
}

/// Is the table a child of another by INHERITS (or a partition)?
pub fn is_child(table: pg_sys::Oid) -> bool {
    // SAFETY: reads the catalog.
    unsafe { guarded(|| has_superclass(table)) }
}
