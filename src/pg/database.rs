//! The database and server that this process is connected to.

#![allow(unsafe_code, reason = "variables of the server")]

use crate::error::Result;
use crate::pg::snapshot::Snapshot;
use crate::pg::table::Table;
use pgrx::pg_sys;
use std::os::unix::fs::MetadataExt;

/// The number of this process's database.
pub fn oid() -> pg_sys::Oid {
    // SAFETY: set once, when the process connects to its database.
    unsafe { pg_sys::MyDatabaseId }
}

/// Where this database is: the cluster's number, its timeline, the database's number, and when the data directory was made.
/// `None` on a standby, which is not where votes are taken.
///
/// No copy of a directory keeps the time at which a file's own data, its inode, changed last; nobody can set that time.
/// `PG_VERSION` is written once. Another owner or mode changes it too, which does no harm.
pub fn place() -> Option<String> {
    // SAFETY: variables of the server; the timeline is fixed once a server is no standby any more.
    let (system, timeline) = unsafe {
        if pg_sys::RecoveryInProgress() {
            return None;
        }
        (pg_sys::GetSystemIdentifier(), pg_sys::GetWALInsertionTimeLine())
    };
    // A server process works in its data directory.
    let made = std::fs::metadata("PG_VERSION").map_or((0, 0), |file| (file.ctime(), file.ctime_nsec()));
    Some(format!("{system} {timeline} {} {}.{:09}", oid().to_u32(), made.0, made.1))
}

/// The cluster's number, the time line of its log, and the number of this database.
pub struct Identity {
    pub system: String,
    pub timeline: u32,
    pub database: u32,
}

/// Which server and database this is; `None` on a standby.
pub fn identity() -> Option<Identity> {
    // SAFETY: variables of the server; the timeline is fixed once a server is no standby any more.
    unsafe {
        if pg_sys::RecoveryInProgress() {
            return None;
        }
        let system = pg_sys::GetSystemIdentifier().to_string();
        Some(Identity { system, timeline: pg_sys::GetWALInsertionTimeLine(), database: oid().to_u32() })
    }
}

/// Is the library being loaded by `shared_preload_libraries`?
pub fn is_preloading() -> bool {
    // SAFETY: a flag of the server.
    unsafe { pg_sys::process_shared_preload_libraries_in_progress }
}

/// Is the server a standby, where nothing can be written?
pub fn is_standby() -> bool {
    // SAFETY: reads the server's state.
    unsafe { pg_sys::RecoveryInProgress() }
}

/// A database of the server.
pub struct Database {
    pub oid: pg_sys::Oid,
    pub name: String,
}

/// The databases that take connections, from the catalog that all share.
///
/// # Errors
/// XX000 when the catalog is another.
pub fn all() -> Result<Vec<Database>> {
    let table = Table::open(pg_sys::DatabaseRelationId, pg_sys::AccessShareLock);
    let mut databases = Vec::new();
    for row in table.rows(Snapshot::latest().as_ptr()) {
        let (oid, name): (_, &std::ffi::CStr) = (row.need("oid")?, row.need("datname")?);
        if row.need("datallowconn")? {
            databases.push(Database { oid, name: name.to_string_lossy().into_owned() });
        }
    }
    Ok(databases)
}
