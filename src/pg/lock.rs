//! Advisory locks of the extension, one set a database.
//!
//! They use values of the lock tag's fourth field that no SQL function can name, so that nobody can stop the folding
//! by taking one of them.

#![allow(unsafe_code, reason = "the lock manager's own interface; the tags are built here")]

use crate::error::not_now;
use crate::pg::database;
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::{pg_guard, pg_sys};

/// What a lock stands for.
#[derive(Clone, Copy)]
pub enum Lock {
    /// One folds (or purges) at a time; held to the end of the transaction. Hence the feed's order is commit order.
    Fold = 20,
    /// A worker is running; held as long as it does.
    Worker = 21,
}

impl Lock {
    fn tag(self) -> pg_sys::LOCKTAG {
        pg_sys::LOCKTAG {
            locktag_field1: database::oid().to_u32(),
            locktag_field2: 0,
            locktag_field3: 0,
            locktag_field4: self as u16,
            locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
            locktag_lockmethodid: 2, // USER_LOCKMETHOD
        }
    }

    /// Takes the lock to the end of the transaction if nobody has it.
    pub fn try_for_transaction(self) -> bool {
        self.acquire(false, true)
    }

    /// Waits for the lock and keeps it to the end of the transaction.
    pub fn wait_for_transaction(self) {
        self.acquire(false, false);
    }

    /// Gives back what [`Lock::wait_for_transaction`] took, before the transaction ends.
    pub fn give_back(self) {
        // SAFETY: the tag is valid; releasing a lock that is not held warns only.
        unsafe { pg_sys::LockRelease(&self.tag(), pg_sys::ExclusiveLock as i32, false) };
    }

    /// Takes the lock for the session if nobody else has it. Every success needs a [`Lock::release`].
    pub fn try_for_session(self) -> bool {
        self.acquire(true, true)
    }

    /// Does this process hold it?
    fn is_mine(self) -> bool {
        // SAFETY: the tag is valid.
        unsafe {
            #[cfg(any(feature = "pg15", feature = "pg16"))]
            let is_mine = pg_sys::LockHeldByMe(&self.tag(), pg_sys::ExclusiveLock as i32);
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            let is_mine = pg_sys::LockHeldByMe(&self.tag(), pg_sys::ExclusiveLock as i32, false);
            is_mine
        }
    }

    /// Gives back what [`Lock::try_for_session`] took.
    pub fn release(self) {
        // SAFETY: the tag is valid; releasing a lock that is not held warns only.
        unsafe { pg_sys::LockRelease(&self.tag(), pg_sys::ExclusiveLock as i32, true) };
    }

    fn acquire(self, for_session: bool, without_waiting: bool) -> bool {
        // SAFETY: the tag is valid.
        let got = unsafe { pg_sys::LockAcquire(&self.tag(), pg_sys::ExclusiveLock as i32, for_session, without_waiting) };
        got != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
    }
}

/// Refuses to prepare a transaction that holds what folds need: it could hold it for weeks. Once a process.
pub fn watch() {
    // SAFETY: the callback only asks for a lock of this process and raises an error where one may be raised.
    unsafe { pg_sys::RegisterXactCallback(Some(before_prepare), std::ptr::null_mut()) };
}

#[pg_guard]
unsafe extern "C-unwind" fn before_prepare(event: pg_sys::XactEvent::Type, _nothing: *mut std::ffi::c_void) {
    if event == pg_sys::XactEvent::XACT_EVENT_PRE_PREPARE && Lock::Fold.is_mine() {
        Err::<(), _>(not_now(
            "a transaction that purged, rebuilt or folded a match cannot be prepared".into(),
            "No match could be folded until it is resolved.".into(),
            "Commit it, and prepare what else there is in another transaction.",
        ))
        .unwrap_or_report();
    }
}

/// How long this process waits for a lock, for as long as this lives.
pub struct Patience(i32);

impl Patience {
    /// So many milliseconds from now on. One is the least that the server knows, and 0 is for ever.
    pub fn of(milliseconds: i32) -> Self {
        // SAFETY: the variable of lock_timeout, of this process alone; it is put back when this ends.
        unsafe {
            let before = pg_sys::LockTimeout;
            pg_sys::LockTimeout = milliseconds;
            Self(before)
        }
    }
}

impl Drop for Patience {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { pg_sys::LockTimeout = self.0 };
    }
}

/// Waits until nobody holds advisory lock 20240721 (`pg_advisory_lock(20240721)`) exclusively.
pub fn wait_for_tester() {
    let tag = pg_sys::LOCKTAG { locktag_field3: 20_240_721, locktag_field4: 1, ..Lock::Fold.tag() };
    // A test waits however long a fold may wait for a lock.
    let _patience = Patience::of(0);
    // SAFETY: the tag is valid; what is taken is given back.
    unsafe {
        pg_sys::LockAcquire(&tag, pg_sys::ShareLock as i32, true, false);
        pg_sys::LockRelease(&tag, pg_sys::ShareLock as i32, true);
    }
}
