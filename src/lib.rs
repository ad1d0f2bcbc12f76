//! vote_agg: live vote counting by place. SQL sees the objects of `sql/`; each folder here is a station in the life of a vote.
//!
//! 1. `write`: `record_vote` checks its arguments, locks the current heap, asks `session` whether the match takes the vote,
//!    and appends one row to `pending`. A statement on an attached table (`attached`) does the same through its trigger.
//! 2. `read`: from its commit on, every read adds the vote to the folded totals, both in one snapshot.
//! 3. `worker` calls `fold`: it takes committed votes out of `pending`, adds their sums to the aggregates, and writes one row
//!    of the feed a match, and notifies.
//! 4. `verify` counts again from ballots and attached tables, and rebuilds.
//!
//! The folders import each other without a circle. `pg`, the server behind safe functions, is below all of them.

mod attached; // attached tables: their rows are counted like votes
mod error; // errors as SQL sees them
mod fold; // pending votes become totals and messages
mod front; // what a front needs of the library: a database without our tables
mod matches; // open_match, close_match, purge_match
mod pending; // the two heaps of votes that no fold has counted yet
mod pg; // the server's parts, behind safe functions
mod read; // every function that reads
mod root; // what shards have counted is counted here too
mod session; // the memory of a session: tables, the current heap, matches
mod settings; // vote_agg.…
mod verify; // counting again
mod worker; // the background worker
mod write; // record_vote, cast_vote, bulk_increment

use std::ffi::CStr;

/// The version of the package, as the server wants it.
const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"unknown",
};

pgrx::pg_module_magic!(name = c"vote_agg", version = VERSION);

/// See the COMMENT in sql/72-status.sql.
#[pgrx::pg_extern(sql = false)]
fn library_version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Called when a process loads the library.
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    settings::define();
    pg::lock::watch();
    pg::wake::watch();
    session::memory::watch();
    attached::registry::watch();
    pg::merge::watch(attached::triggers::OF_ROWS);
    pg::process::define(session::launch::WORKER, worker::process::main);
    pg::process::define(attached::fill_process::FILLER, attached::fill_process::main);
    pg::process::define(worker::launcher::LAUNCHER, worker::launcher::main);
    worker::launcher::preload();
}
