//! Advisory locks of the extension, one set a database.
//!
//! They use values of the lock tag's fourth field that no SQL function can name, so that nobody can stop the folding
//! by taking one of them.

#![allow(unsafe_code, reason = "the lock manager's own interface; the tags are built here")]

use crate::pg::database;
use pgrx::pg_sys;

/// What a lock stands for.
#[derive(Clone, Copy)]
pub enum Lock {
    /// One folds (or purges) at a time; held to the end of the transaction. Hence the feed's order is commit order.
    Fold = 20,
    /// A worker is running; held as long as it does.
    Worker = 21,
    /// One session starts a worker at a time.
    Launch = 22,
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

    /// Takes the lock for the session if nobody else has it. Every success needs a [`Lock::release`].
    pub fn try_for_session(self) -> bool {
        self.acquire(true, true)
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

/// Waits until nobody holds advisory lock 20240721 (`pg_advisory_lock(20240721)`) exclusively.
pub fn wait_for_tester() {
    let tag = pg_sys::LOCKTAG { locktag_field3: 20_240_721, locktag_field4: 1, ..Lock::Fold.tag() };
    // SAFETY: the tag is valid; what is taken is given back.
    unsafe {
        pg_sys::LockAcquire(&tag, pg_sys::ShareLock as i32, true, false);
        pg_sys::LockRelease(&tag, pg_sys::ShareLock as i32, true);
    }
}
