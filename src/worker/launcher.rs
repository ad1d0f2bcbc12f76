//! The launcher: where the library is preloaded, it starts a worker in each database when the server starts, and again once
//! an hour. Where the extension is not installed, or there is nothing to do, the worker leaves.

use crate::error::Result;
use crate::pg::database::{self, Database};
use crate::pg::process::{FOLDING, connect, in_transaction, pause, process, reload_settings, report};
use crate::session::launch::builder;
use crate::settings;
use pgrx::bgworkers::BgWorkerStartTime;
use pgrx::{IntoDatum, pg_sys};
use std::time::Duration;

/// Its process.
pub const LAUNCHER: &str = "vote_agg launcher";

/// How often it comes back for what falls due: a worker that finds something that does within an hour stays.
const ROUND: Duration = Duration::from_secs(3_600);

/// How long a worker gets to find out that it has nothing to do, before the next one is started: slots are few.
const APART: Duration = Duration::from_millis(100);

/// How often it is tried to find a free slot for a worker, once a second.
const TRIES: u32 = 60;

/// Registers the launcher when the library is preloaded.
pub fn preload() {
    if database::is_preloading() && !settings::databases().is_empty() {
        process(LAUNCHER)
            .set_start_time(BgWorkerStartTime::RecoveryFinished)
            .set_restart_time(Some(Duration::from_secs(5)))
            .load();
    }
}

/// What it does.
pub fn main(_nothing: pg_sys::Datum) {
    connect(pg_sys::Datum::from(0));
    loop {
        match in_transaction(FOLDING, named) {
            Ok(databases) => databases.into_iter().for_each(|database| start(&database)),
            Err(failure) => report("no worker could be started", &failure, "It is tried again in an hour."),
        }
        pause(ROUND);
        reload_settings();
    }
}

/// The databases that `vote_agg.databases` names.
fn named() -> Result<Vec<Database>> {
    let (wanted, mut all) = (settings::databases(), database::all()?);
    all.retain(|database| wanted.iter().any(|name| name == "*" || *name == database.name));
    Ok(all)
}

fn start(database: &Database) {
    for _ in 0..TRIES {
        if builder().set_argument(database.oid.into_datum()).load_dynamic().is_ok() {
            pause(APART);
            return;
        }
        pause(Duration::from_secs(1));
    }
}
