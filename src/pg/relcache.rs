//! Messages between sessions that a table changed (relcache invalidations).

#![allow(unsafe_code, reason = "invalidation callbacks are the server's own interface")]

use pgrx::pg_sys;

/// Runs inside the server's invalidation code, where nothing may fail. The table is `InvalidOid` where any may have changed.
pub type Callback = extern "C-unwind" fn(pg_sys::Datum, pg_sys::Oid);

/// Asks the server to call `callback` for each change. Once a process.
pub fn watch(callback: Callback) {
    // SAFETY: the server keeps the pointer to a function, which stays for the life of the process.
    unsafe { pg_sys::CacheRegisterRelcacheCallback(Some(callback), pg_sys::Datum::from(0)) };
}

/// Tells this session's next command, and every other session when this transaction commits, that a table changed.
pub fn invalidate(table: pg_sys::Oid) {
    // SAFETY: queues a message.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(table) };
}

/// Takes in the messages that other sessions have sent by now.
pub fn accept_messages() {
    // SAFETY: as the server does it after taking a lock.
    unsafe { pg_sys::AcceptInvalidationMessages() };
}
