//! The extension as an object of the database.

#![allow(unsafe_code, reason = "look-ups in the catalog, and an object's lock")]

use pgrx::pg_sys;

/// Keeps the extension from being dropped before the transaction ends; false where it is not installed (any more).
///
/// Who takes locks on several tables does this first: DROP EXTENSION begins with the lock that this one waits for, so the
/// two cannot wait for each other.
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
