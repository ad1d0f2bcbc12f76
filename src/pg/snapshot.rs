//! Snapshots: of this very moment, and of the statement that called us.

#![allow(unsafe_code, reason = "snapshots are the server's own structures")]

use pgrx::pg_sys;

/// A snapshot of this very moment, whatever the transaction's isolation level.
pub struct Snapshot(pg_sys::Snapshot);

impl Snapshot {
    /// Takes it.
    pub fn latest() -> Self {
        // SAFETY: called inside a transaction; registered, so that it lives until it is dropped.
        Self(unsafe { pg_sys::RegisterSnapshot(pg_sys::GetLatestSnapshot()) })
    }

    /// Takes it beside parallel workers too: the way in which the server reads its own tables, none of which `table` is.
    pub fn latest_of(table: pg_sys::Oid) -> Self {
        // SAFETY: as above.
        Self(unsafe { pg_sys::RegisterSnapshot(pg_sys::GetCatalogSnapshot(table)) })
    }

    /// The one of the statement that called us instead, for code that reads either.
    pub fn of_statement() -> Self {
        // SAFETY: a function called from SQL has one.
        Self(unsafe { pg_sys::RegisterSnapshot(statement_snapshot()) })
    }

    /// The server's structure, valid as long as this lives.
    pub const fn as_ptr(&self) -> pg_sys::Snapshot {
        self.0
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: registered in `take`, given back once.
            unsafe { pg_sys::UnregisterSnapshot(self.0) };
        }
    }
}

/// The snapshot of the statement that called us.
pub fn statement_snapshot() -> pg_sys::Snapshot {
    // SAFETY: a function called from SQL always has one.
    unsafe { pg_sys::GetActiveSnapshot() }
}

/// This very moment as the one that [`Sees::TheCallersMoment`](crate::pg::spi::Sees) sees, instead of that of the calling
/// statement, which may be older than the last fold.
pub struct ActiveSnapshot(#[allow(dead_code, reason = "kept as long as it is used")] Snapshot);

impl ActiveSnapshot {
    /// Takes it, with what this statement did so far in it.
    pub fn latest() -> Self {
        // SAFETY: pushed once, popped once, or by an abort.
        unsafe {
            pg_sys::CommandCounterIncrement();
            let latest = Snapshot::latest();
            pg_sys::PushActiveSnapshot(latest.as_ptr());
            Self(latest)
        }
    }
}

impl Drop for ActiveSnapshot {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: pushed in `latest`.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
    }
}
