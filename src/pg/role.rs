//! Acting as somebody else for a moment, as the server does it for referential checks or REINDEX.

#![allow(unsafe_code, reason = "sets the user of the process, and back")]

use crate::error::{Result, no_extension};
use crate::pg::table::Table;
use crate::pg::tables;
use pgrx::pg_sys;

/// Runs `act` with the rights of the extension's owner. What it runs must be ours alone.
///
/// # Errors
/// Those of `act`, and 42704 where the extension is not installed (any more).
pub fn as_extension<T>(act: impl FnOnce() -> Result<T>) -> Result<T> {
    let owner = owner(tables::find(c"source").ok_or_else(no_extension)?);
    acting(owner, pg_sys::SECURITY_LOCAL_USERID_CHANGE, act)
}

/// Runs `act` with the rights of the table's owner and no way to more: for functions that the owner may have written.
///
/// # Errors
/// Those of `act`.
pub fn as_owner_of<T>(table: pg_sys::Oid, act: impl FnOnce() -> Result<T>) -> Result<T> {
    acting(owner(table), pg_sys::SECURITY_RESTRICTED_OPERATION, act)
}

fn owner(table: pg_sys::Oid) -> pg_sys::Oid {
    let table = Table::open(table, pg_sys::AccessShareLock);
    // SAFETY: an open relation has its pg_class row.
    unsafe { (*(*table.as_ptr()).rd_rel).relowner }
}

/// An error that passes through leaves it to the abort of the (sub)transaction to become who it was.
fn acting<T>(user: pg_sys::Oid, more: u32, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let (mut before, mut context) = (pg_sys::InvalidOid, 0);
    // SAFETY: a role that exists; undone below.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut before, &mut context);
        pg_sys::SetUserIdAndSecContext(user, context | more as i32);
    }
    let done = act();
    // SAFETY: as it was.
    unsafe { pg_sys::SetUserIdAndSecContext(before, context) };
    done
}

/// Does the current role own the table, or is it a member of the role that does, or a superuser?
pub fn owns(table: pg_sys::Oid) -> bool {
    // SAFETY: look-ups in the catalog.
    unsafe {
        #[cfg(feature = "pg15")]
        return pg_sys::pg_class_ownercheck(table, pg_sys::GetUserId());
        #[cfg(not(feature = "pg15"))]
        return pg_sys::object_ownercheck(pg_sys::RelationRelationId, table, pg_sys::GetUserId());
    }
}

/// May the current role drop the extension?
pub fn owns_extension() -> bool {
    // SAFETY: look-ups in the catalog.
    unsafe {
        let extension = pg_sys::get_extension_oid(c"vote_agg".as_ptr(), true);
        if extension == pg_sys::InvalidOid {
            return false;
        }
        #[cfg(feature = "pg15")]
        return pg_sys::pg_extension_ownercheck(extension, pg_sys::GetUserId());
        #[cfg(not(feature = "pg15"))]
        return pg_sys::object_ownercheck(pg_sys::ExtensionRelationId, extension, pg_sys::GetUserId());
    }
}
