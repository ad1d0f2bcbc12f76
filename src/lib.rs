//! vote_agg: live vote counting by place. What SQL sees is in `sql/`; each topic there has its file here.

mod aggregate;
mod attach;
mod ballot;
mod ballot_box;
mod ballot_retention;
mod bulk;
mod cells;
mod changes;
mod column;
mod count;
mod counts;
mod ddl;
mod dead_pages;
mod delta;
mod ending;
mod error;
mod feed;
mod fill;
mod filler;
mod fold;
mod geo;
mod guc;
mod jsonb_in;
mod jsonb_out;
mod known;
mod lock;
mod low_water;
mod map;
mod matches;
mod parts;
mod pending;
mod read;
mod rebuild;
mod retention;
mod session;
mod shape;
mod source;
mod spi;
mod state;
mod tables;
mod time_lines;
mod timeline;
mod user;
mod vote;
mod worker;

pgrx::pg_module_magic!(name = c"vote_agg", version = c"0.1.0");

/// Called when a process loads the library.
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    guc::define();
    session::watch();
    source::watch();
    worker::preload();
}
