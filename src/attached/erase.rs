//! Erasing rows of a match that is final: its numbers stay, and what the rows said is kept as sums (`vote_agg.erased`), so that a
//! recount still comes to them.

use crate::attached::counter::Counter;
use crate::attached::eligibility;
use crate::attached::errors::not_attached;
use crate::attached::registry::{self, SourceState};
use crate::error::{Result, no_extension, not_now, quoted};
use crate::pending::heap::OpenHeap;
use crate::pg::catalog::shown;
use crate::pg::jsonb_in::Unread;
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{self, Plan, Sees};
use crate::pg::tables::{self, Tables};
use crate::pg::{clock, extension, role, table, transaction};
use crate::session::match_row;
use pgrx::{pg_extern, pg_sys};
use std::cell::Cell;
use vote_agg_core::Error;
use vote_agg_core::vote::tally::{Source, Vote};

thread_local! {
    static DELETION: Plan = const { Plan::new("SELECT vote_agg.erasure($1::regclass, $2)", &[pg_sys::OIDOID, pg_sys::JSONBOID]) };
    /// The source whose rows are being erased.
    static ERASING: Cell<Option<Source>> = const { Cell::new(None) };
}

/// Rows of a source that are deleted while this lives are erased. An error that passes through drops it too.
struct Erasing {
    /// What was before: a trigger of the owner may erase rows of another table.
    before: Option<Source>,
}

impl Erasing {
    fn of(source: Source) -> Self {
        Self { before: ERASING.replace(Some(source)) }
    }
}

impl Drop for Erasing {
    fn drop(&mut self) {
        ERASING.set(self.before);
    }
}

/// Are deleted rows of this source to be erased?
pub fn is_under_way(source: Source) -> bool {
    ERASING.get() == Some(source)
}

/// See the COMMENT in sql/60-source.sql.
#[pg_extern(sql = false)]
fn erase_rows(source: Option<pg_sys::Oid>, keys: Option<Unread>) -> Result<i64> {
    transaction::prevent_read_only(c"erase_rows()");
    transaction::require_read_committed("vote_agg.erase_rows")?;
    let relation = source.ok_or(Error::Null { what: "source" })?;
    let keys = keys.ok_or(Error::Null { what: "keys" })?;
    eligibility::check_owner(relation)?;
    if !extension::hold() {
        return Err(no_extension());
    }
    // Attaching, detaching and the end of a fill wait for this lock.
    table::lock(relation, pg_sys::RowExclusiveLock);
    eligibility::check_owner(relation)?;
    let found = registry::attached(Snapshot::latest().as_ptr())?.into_iter().find(|one| one.relation == relation);
    let one = found.ok_or_else(|| not_attached(relation))?;
    if one.state == SourceState::Filling {
        return Err(not_now(
            format!("table {} is being filled", shown(relation)),
            "Its rows are not counted yet.".into(),
            "Erase them once its state in vote_agg.stat_attach is live.",
        ));
    }
    let args = [Some(relation.into()), Some(keys.datum())];
    let deletion: Option<String> = role::as_extension(|| spi::connect(|spi| Ok(spi.run(&DELETION, &args, Sees::Now)?.value())))?;
    let Some(deletion) = deletion else { return Ok(0) };
    let delete = || {
        let _erasing = Erasing::of(one.source);
        spi::connect(|spi| spi.command_with(&deletion, pg_sys::JSONBOID, keys.datum()))
    };
    // Triggers and foreign keys of the owner run with the owner's rights, whoever calls.
    if role::is_owner_of(relation) { delete() } else { role::as_owner_of(relation, delete) }
}

/// Keeps what erased rows said. `gone` has their votes as taken back.
///
/// # Errors
/// 55000 for a match that is not final.
pub fn keep(gone: Counter) -> Result<()> {
    let (source, at, tables) = (gone.source(), clock::now(), Tables::find()?);
    let heap = OpenHeap::open(tables::find(c"erased").ok_or_else(no_extension)?, pg_sys::RowExclusiveLock)?;
    for (match_id, arrivals) in gone.matches() {
        let opened = match_row::find(tables.matches, &match_id, Snapshot::latest().as_ptr())?;
        let status = opened.map_or("open", |opened| opened.status(at));
        if status != "final" {
            return Err(not_final(&match_id, status));
        }
        for vote in arrivals.votes(source, at) {
            heap.insert(&match_id, &Vote { votes: -vote.votes, ..vote });
        }
    }
    Ok(())
}

fn not_final(match_id: &str, status: &str) -> pgrx::pg_sys::panic::ErrorReport {
    let hint = if status == "closed" {
        "Try again once it is final, or leave its rows out of the keys."
    } else {
        "DELETE takes rows of such a match back, with their votes; leave them out of the keys."
    };
    not_now(format!("match {} is not final", quoted(match_id)), format!("It is {status}: its numbers may still change."), hint)
}
