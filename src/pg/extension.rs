//! The extension as an object of the database.

#![allow(unsafe_code, reason = "look-ups in the catalog, and an object's lock")]

use pgrx::pg_sys;

/// Refuses settings named `vote_agg.…` that are none of ours, from now on.
pub fn reserve_settings() {
    // SAFETY: a call with a constant.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"vote_agg".as_ptr()) };
}

/// Keeps the extension from being dropped before the transaction ends; false where it is not installed (any more).
///
/// A function that locks several tables does this first. DROP EXTENSION begins with the lock that this one waits for, so the two
/// cannot wait for each other.
pub fn hold() -> bool {
    let find = || {
        // SAFETY: a look-up by a constant name.
        unsafe { pg_sys::get_extension_oid(c"vote_agg".as_ptr(), true) }
    };
    let extension = find();
    if extension == pg_sys::InvalidOid {
        return false;
    }
    // SAFETY: the lock of an object that was there a moment ago.
    unsafe { pg_sys::LockDatabaseObject(pg_sys::ExtensionRelationId, extension, 0, pg_sys::AccessShareLock as i32) };
    find() == extension
}
