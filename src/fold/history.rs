//! Which history the feed tells. Its name, the epoch, is made of
//!
//! - an id that the install script draws, and that no dump carries: a restored database draws its own;
//! - the place where it is told: cluster, timeline, database, and when the data directory was made. A promoted standby or a
//!   recovery to a time has another timeline, a copy by TEMPLATE another database, a copied directory other files.
//!
//! A read makes the epoch anew. So followers hear of a fork from the first read or message after it, not from the first fold.
//! On a standby the place is the one that a fold has noted.

use crate::error::Result;
use crate::fold::restore;
use crate::pg::spi::{self, Plan, Sees, Spi};
use crate::pg::tables::Tables;
use crate::pg::{database, relcache, transaction};
use crate::session::memory::{self, HistoryRow};
use pgrx::{IntoDatum, pg_extern, pg_sys};
use std::rc::Rc;
use vote_agg_core::feed::message;

thread_local! {
    static NOTE: Plan = const { Plan::new("UPDATE vote_agg.history SET place = $1", &[pg_sys::TEXTOID]) };
    static BEGIN: Plan = const { Plan::new("UPDATE vote_agg.history SET id = pg_catalog.gen_random_uuid()", &[]) };
}

/// What epochs are made of.
pub struct History {
    row: Rc<HistoryRow>,
    /// `None` on a standby.
    place: Option<String>,
}

impl History {
    /// As it is now. A session remembers the row until somebody changes it.
    ///
    /// # Errors
    /// 42704 where the extension is not installed (any more).
    pub fn now() -> Result<Self> {
        Ok(Self { row: memory::history()?, place: database::place() })
    }

    /// The epoch of a match that was first folded at `born`.
    pub fn epoch(&self, match_id: &str, born: i64) -> String {
        let place = self.place.as_ref().unwrap_or(&self.row.place);
        message::epoch(&[&self.row.id, place, match_id, &born.to_string()])
    }

    /// A name of the history itself: another one where it may have forked, or is restored from a dump.
    pub fn name(&self) -> String {
        message::epoch(&[&self.row.id, self.place.as_ref().unwrap_or(&self.row.place)])
    }

    /// For a fold, which notes the place for standbys.
    ///
    /// # Errors
    /// Those of [`History::now`] and of the server.
    pub fn noted(spi: &Spi) -> Result<Self> {
        let history = Self::now()?;
        if history.place.as_ref() != Some(&history.row.place) {
            spi.run(&NOTE, &[history.place.as_deref().into_datum()], Sees::Now)?;
            relcache::invalidate(Tables::find()?.history);
        }
        Ok(history)
    }
}

/// See the COMMENT in sql/35-fold.sql.
#[pg_extern(sql = false)]
fn new_history() -> Result<()> {
    transaction::prevent_read_only(c"new_history()");
    spi::connect(|spi| {
        restore::is_over(spi)?;
        spi.run(&BEGIN, &[], Sees::Now).map(|_| ())
    })?;
    relcache::invalidate(Tables::find()?.history);
    Ok(())
}
