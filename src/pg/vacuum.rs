//! Gives back the disk space of the heap whose turn is over.

#![allow(unsafe_code, reason = "runs VACUUM as the server does for a client")]

use crate::error::broken;
use crate::pg::failure::Failure;
use crate::pg::process::MAX_BACK_OFF;
use pgrx::{PgLogLevel, PgTryBuilder, ereport, pg_sys};
use std::ffi::{CStr, CString};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// Gives back the disk space of the heap whose turn is over.
#[derive(Default)]
pub struct Vacuum {
    /// When it was last tried, and how long to wait then: a snapshot that is open may keep the rows for hours.
    tried: Option<(Instant, Duration)>,
}

impl Vacuum {
    /// Vacuums the heap, unless the last try was too short a time ago.
    pub fn run(&mut self, heap: Option<pg_sys::Oid>) {
        let Some(heap) = heap else {
            self.tried = None;
            return;
        };
        let wait = match self.tried {
            Some((at, wait)) if at.elapsed() < wait => return,
            Some((_, wait)) => (wait * 2).min(MAX_BACK_OFF),
            None => Duration::from_secs(1),
        };
        self.tried = Some((Instant::now(), wait));
        if let Err(reason) = vacuum(heap) {
            ereport!(
                PgLogLevel::LOG,
                pgrx::PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
                format!("pending could not be vacuumed: {reason}")
            );
        }
    }
}

/// VACUUM (TRUNCATE) of one heap. It runs transactions of its own, as it does when a client asks for it.
fn vacuum(heap: pg_sys::Oid) -> std::result::Result<(), String> {
    // SAFETY: a statement built by the server's own parser, in a memory context that outlives its transactions.
    let result = PgTryBuilder::new(AssertUnwindSafe(|| unsafe {
        pg_sys::StartTransactionCommand();
        let name = pg_sys::get_rel_name(heap);
        if name.is_null() {
            pg_sys::CommitTransactionCommand();
            return Ok(());
        }
        let sql = CString::new(format!("VACUUM (TRUNCATE) vote_agg.{}", CStr::from_ptr(name).to_string_lossy()));
        let sql = sql.map_err(|e| broken(e.to_string()).message().to_owned())?;
        let context = pg_sys::AllocSetContextCreateInternal(
            pg_sys::TopMemoryContext,
            c"vote_agg vacuum".as_ptr(),
            0,
            pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
            pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
        );
        pg_sys::MemoryContextSwitchTo(context);
        let statements = pg_sys::raw_parser(sql.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
        let statement = (*(*statements).elements).ptr_value.cast::<pg_sys::RawStmt>();
        let source = pg_sys::make_parsestate(std::ptr::null_mut());
        pg_sys::PortalContext = context;
        pg_sys::ExecVacuum(source, (*statement).stmt.cast(), true);
        pg_sys::CommitTransactionCommand();
        pg_sys::PortalContext = std::ptr::null_mut();
        pg_sys::MemoryContextDelete(context);
        Ok(())
    }))
    .catch_others(|error| Err(Failure::caught(&error).text))
    .execute();
    // SAFETY: as above. After an error the context is left to the next vacuum's server-side limits: it is a few kilobytes.
    unsafe {
        if result.is_err() {
            pg_sys::AbortCurrentTransaction();
            pg_sys::PortalContext = std::ptr::null_mut();
        }
        pg_sys::pgstat_report_stat(true);
    }
    result
}
