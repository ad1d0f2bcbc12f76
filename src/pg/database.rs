//! The database and server that this process is connected to.

#![allow(unsafe_code, reason = "variables of the server")]

use pgrx::pg_sys;

/// The number of this process's database.
pub fn oid() -> pg_sys::Oid {
    // SAFETY: set once, when the process connects to its database.
    unsafe { pg_sys::MyDatabaseId }
}

/// The number that initdb gave the cluster.
pub fn system_identifier() -> u64 {
    // SAFETY: read from the control file at the server's start.
    unsafe { pg_sys::GetSystemIdentifier() }
}

/// Is the library being loaded by `shared_preload_libraries`?
pub fn is_preloading() -> bool {
    // SAFETY: a flag of the server.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}
