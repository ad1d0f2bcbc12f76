//! The server's clock.

#![allow(unsafe_code, reason = "reads the clock")]

use pgrx::pg_sys;

/// Now, in microseconds since PostgreSQL's epoch.
pub fn now() -> i64 {
    // SAFETY: reads the clock.
    unsafe { pg_sys::GetCurrentTimestamp() }
}
