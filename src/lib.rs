//! vote_agg: live vote counting by place. What SQL sees is in `sql/`; each topic there has its file here.

mod attached;
mod error;
mod fold;
mod matches;
mod pending;
mod pg;
mod read;
mod session;
mod settings;
mod verify;
mod worker;
mod write;

pgrx::pg_module_magic!(name = c"vote_agg", version = c"0.1.0");

/// Called when a process loads the library.
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    settings::define();
    session::memory::watch();
    attached::source::watch();
    worker::process::preload();
}
