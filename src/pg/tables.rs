//! The extension's tables by name.

#![allow(unsafe_code, reason = "look-ups in the catalog")]

use crate::error::{Result, no_extension};
use crate::pg::table;
use pgrx::pg_sys;
use std::ffi::CStr;

/// Those that a fold writes to for each match.
const FOLDED: [&CStr; 7] = [c"feed", c"flip", c"h3_aggregate", c"country_aggregate", c"timeline", c"country_timeline", c"aside"];

/// Locks the tables that a fold writes to for each match, as a writer. Whoever holds one for more than that is in the way of
/// all matches alike: this fails with 55P03 then, after `lock_timeout`.
///
/// # Errors
/// 42704 where the extension is not installed (any more).
pub fn lock_folded() -> Result<()> {
    FOLDED.iter().try_for_each(|name| {
        table::lock(find(name).ok_or_else(no_extension)?, pg_sys::RowExclusiveLock);
        Ok(())
    })
}

/// The table `vote_agg.name`, `None` where it does not exist.
pub fn find(name: &CStr) -> Option<pg_sys::Oid> {
    // SAFETY: look-ups by constant names; nothing is kept.
    let oid = unsafe {
        match pg_sys::get_namespace_oid(c"vote_agg".as_ptr(), true) {
            pg_sys::InvalidOid => return None,
            schema => pg_sys::get_relname_relid(name.as_ptr(), schema),
        }
    };
    (oid != pg_sys::InvalidOid).then_some(oid)
}

/// The numbers of the tables that are read or written below SQL.
#[derive(Clone, Copy)]
pub struct Tables {
    pub matches: pg_sys::Oid,
    pub heaps: [pg_sys::Oid; 2],
    pub pending_aside: pg_sys::Oid,
    pub fold_log: pg_sys::Oid,
    pub ballot: pg_sys::Oid,
    pub history: pg_sys::Oid,
}

impl Tables {
    /// Looks them up.
    ///
    /// # Errors
    /// 42704 where the extension is not installed (any more).
    pub fn find() -> Result<Self> {
        let table = |name| find(name).ok_or_else(no_extension);
        Ok(Self {
            matches: table(c"match")?,
            heaps: [table(c"pending_1")?, table(c"pending_2")?],
            pending_aside: table(c"pending_aside")?,
            fold_log: table(c"fold_log")?,
            ballot: table(c"ballot")?,
            history: table(c"history")?,
        })
    }
}
