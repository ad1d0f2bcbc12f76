//! Which history the feed tells. Its name, the epoch, is made of
//!
//! - an id that the install script draws, and that no dump carries: a restored database draws its own;
//! - the place where it is told: cluster, timeline, database, and when the data directory was made. A promoted standby or a
//!   recovery to a time has another timeline, a copy by TEMPLATE another database, a copied directory other files.
//!
//! A read makes the epoch anew. So followers hear of a fork from the first read or message after it, not from the first fold.
//! On a standby the place is the one that a fold has noted.

use crate::error::Result;
use crate::pg::database;
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{Plan, Sees, Spi};
use crate::pg::table::Table;
use crate::pg::tables::Tables;
use pgrx::{IntoDatum, Uuid, pg_sys};
use vote_agg_core::feed::message;

thread_local! {
    static NOTE: Plan = const { Plan::new("UPDATE vote_agg.history SET place = $1", &[pg_sys::TEXTOID]) };
}

/// What epochs are made of.
pub struct History {
    id: String,
    /// Where the last fold was.
    noted: String,
    place: String,
}

impl History {
    /// Reads it.
    ///
    /// # Errors
    /// XX000 when the row makes no sense.
    pub fn of(tables: &Tables, snapshot: pg_sys::Snapshot) -> Result<Self> {
        let row = Table::open(tables.history, pg_sys::AccessShareLock).rows(snapshot).pop();
        let id = row.as_ref().and_then(|row| row.get::<Uuid>(1)).map(|id| id.to_string()).unwrap_or_default();
        let noted = row.and_then(|row| row.get::<String>(2)).unwrap_or_default();
        let place = database::place().unwrap_or_else(|| noted.clone());
        Ok(Self { id, noted, place })
    }

    /// The epoch of a match that was first folded at `born`.
    pub fn epoch(&self, match_id: &str, born: i64) -> String {
        message::epoch(&[&self.id, &self.place, match_id, &born.to_string()])
    }

    /// Reads it for a fold, which notes the place for standbys.
    ///
    /// # Errors
    /// XX000 when the row makes no sense; those of the server.
    pub fn noted(spi: &Spi, tables: &Tables) -> Result<Self> {
        let history = Self::of(tables, Snapshot::latest().as_ptr())?;
        if history.noted != history.place {
            spi.run(&NOTE, &[history.place.as_str().into_datum()], Sees::Now)?;
        }
        Ok(history)
    }
}
