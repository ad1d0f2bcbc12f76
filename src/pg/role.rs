//! Acting as another role for a moment, as the server does it for referential checks or REINDEX. The code runs with other rights,
//! and with settings under which names can be trusted. Nothing of either is left at the end.

#![allow(unsafe_code, reason = "sets the user and the settings of the process, and back")]

use crate::error::{Result, broken, no_extension};
use crate::pg::table::Table;
use crate::pg::tables;
use pgrx::pg_sys;
use std::ffi::CStr;

/// Operators and functions are found in `pg_catalog` alone: the server never looks for them in `pg_temp`. Types and tables
/// are found in `pg_catalog` first.
const TRUSTED_PATH: &CStr = c"pg_catalog, pg_temp";

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

/// An error that passes through leaves it to the abort of the (sub)transaction to restore role and settings.
fn acting<T>(user: pg_sys::Oid, more: u32, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let (mut before, mut context) = (pg_sys::InvalidOid, 0);
    let settings = Settings::nest();
    Settings::trust_names()?;
    // SAFETY: a role that exists; undone below.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut before, &mut context);
        pg_sys::SetUserIdAndSecContext(user, context | more as i32);
    }
    let done = act();
    // SAFETY: as it was.
    unsafe { pg_sys::SetUserIdAndSecContext(before, context) };
    settings.restore();
    done
}

/// Runs `act` where names without a schema mean the server's own, whatever the session says.
///
/// # Errors
/// Those of `act`.
pub fn with_trusted_names<T>(act: impl FnOnce() -> Result<T>) -> Result<T> {
    if Settings::are_names_trusted() {
        return act();
    }
    let settings = Settings::nest();
    Settings::trust_names()?;
    let done = act();
    settings.restore();
    done
}

/// The session's settings from the moment on when this was made.
struct Settings(i32);

impl Settings {
    fn nest() -> Self {
        // SAFETY: a level that is left by `restore`, or by the abort of the (sub)transaction.
        Self(unsafe { pg_sys::NewGUCNestLevel() })
    }

    /// Rolls back every change of a setting since: by SET, SET LOCAL or `set_config`, in any function.
    fn restore(self) {
        // SAFETY: the level that this stands for.
        unsafe { pg_sys::AtEOXact_GUC(false, self.0) };
    }

    fn are_names_trusted() -> bool {
        // SAFETY: a setting of the server; it may have been cleared, never be invalid.
        unsafe {
            let path = pg_sys::namespace_search_path;
            !path.is_null() && CStr::from_ptr(path) == TRUSTED_PATH
        }
    }

    fn trust_names() -> Result<()> {
        // SAFETY: a setting that exists, with a valid value, saved in the current level.
        let set = unsafe {
            pg_sys::set_config_option(
                c"search_path".as_ptr(),
                TRUSTED_PATH.as_ptr(),
                pg_sys::GucContext::PGC_USERSET,
                pg_sys::GucSource::PGC_S_SESSION,
                pg_sys::GucAction::GUC_ACTION_SAVE,
                true,
                0,
                false,
            )
        };
        if set > 0 { Ok(()) } else { Err(broken("search_path could not be set".into())) }
    }
}

/// Is the current role the very owner of the table?
pub fn is_owner_of(table: pg_sys::Oid) -> bool {
    // SAFETY: reads the current user.
    owner(table) == unsafe { pg_sys::GetUserId() }
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
