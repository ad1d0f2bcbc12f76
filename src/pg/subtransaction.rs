//! A part of a transaction that can fail alone.

#![allow(unsafe_code, reason = "subtransactions are the server's own interface")]

use crate::error::Result;
use crate::pg::failure::Failure;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::{PgTryBuilder, pg_sys};
use std::panic::AssertUnwindSafe;

/// Runs `act` in a subtransaction. An error takes back what it did, and nothing else.
pub fn attempt<T>(act: impl FnOnce() -> Result<T>) -> std::result::Result<T, Failure> {
    // SAFETY: as the server's own languages do it: begun and ended here, with the context and owner of before.
    let (context, owner) = unsafe {
        let before = (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner);
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::MemoryContextSwitchTo(before.0);
        before
    };
    // Raised here, once everything that `act` held is given back.
    let outcome = PgTryBuilder::new(AssertUnwindSafe(|| Ok(act().unwrap_or_report())))
        .catch_others(|error| Err(Failure::caught(&error)))
        .catch_rust_panic(|error| Err(Failure::caught(&error)))
        .execute();
    // SAFETY: as above. After an error nothing of the subtransaction is used any more.
    unsafe {
        pg_sys::MemoryContextSwitchTo(context);
        if outcome.is_ok() {
            pg_sys::ReleaseCurrentSubTransaction();
        } else {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
    }
    outcome
}
