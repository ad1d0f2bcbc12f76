//! What the attached tables hold, counted again as of a snapshot.
//!
//! A table that is emptied or rewritten is empty for every snapshot that is older than that. So a recount locks the
//! tables first, and takes the snapshot then. A caller whose snapshot was there before is refused where it came too late.

use crate::attached::counter::Counter;
use crate::attached::fill;
use crate::attached::progress::Part;
use crate::attached::registry::{self, Registered, SourceState};
use crate::error::Result;
use crate::pg::catalog::shown;
use crate::pg::slot::WHOLE;
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{self, Plan, Sees};
use crate::pg::table::Table;
use crate::pg::{catalog, family, table};
use pgrx::iter::TableIterator;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgSqlErrorCode, function_name, pg_extern, pg_sys};
use std::collections::HashMap;
use vote_agg_core::Country;
use vote_agg_core::vote::cell;
use vote_agg_core::vote::name::parse_name;

thread_local! {
    // What a table and its partitions were in the caller's snapshot, and in which files. What a DETACH … CONCURRENTLY has
    // begun with is none any more.
    static AS_SEEN: Plan = const { Plan::new(
        "WITH RECURSIVE tree(oid) AS (
            SELECT $1
            UNION ALL
            SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree ON i.inhparent = tree.oid WHERE NOT i.inhdetachpending)
         SELECT c.oid, c.relfilenode FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid", &[pg_sys::OIDOID]) };
}

/// The tables that are counted, as `snapshot` sees the registry.
fn counted(snapshot: &Snapshot) -> Result<Vec<Registered>> {
    let mut all = registry::attached(snapshot.as_ptr())?;
    all.retain(|one| one.state == SourceState::Live);
    Ok(all)
}

/// Locks the tables that are counted against being emptied, rewritten and dropped. Waits for transactions that did so.
///
/// # Errors
/// XX000 when a row of the registry makes no sense.
pub fn lock() -> Result<()> {
    for one in counted(&Snapshot::latest())? {
        family::family(one.relation, pg_sys::AccessShareLock);
    }
    Ok(())
}

/// The same for a caller who must not wait: most are locked already, by [`lock`].
///
/// # Errors
/// 55P03 naming a table that was attached since, and that somebody is changing.
pub fn lock_newcomers() -> Result<()> {
    for one in counted(&Snapshot::latest())? {
        for member in family::family(one.relation, pg_sys::NoLock) {
            if !table::try_lock(member, pg_sys::AccessShareLock) {
                let message = format!("attached table {} is being changed", shown(member));
                return Err(ErrorReport::new(PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE, message, function_name!())
                    .set_detail("It was attached after this call began.")
                    .set_hint("Call again."));
            }
        }
    }
    Ok(())
}

/// Refuses a table that is not what the caller's snapshot sees. The table is locked, so it stays what it is.
fn refuse_changed(one: &Registered, family: &[pg_sys::Oid]) -> Result<()> {
    let seen: HashMap<pg_sys::Oid, pg_sys::Oid> = spi::connect(|spi| {
        let rows = spi.run(&AS_SEEN, &[Some(one.relation.into())], Sees::TheCallersMoment)?;
        rows.iter().map(|row| Ok((row.need("oid")?, row.need("relfilenode")?))).collect()
    })?;
    let is_same = |member: &pg_sys::Oid| {
        catalog::kind(*member) != 0 && seen.get(member) == Some(&Table::open(*member, pg_sys::NoLock).file())
    };
    if seen.len() == family.len() && family.iter().all(is_same) {
        return Ok(());
    }
    let message = format!("attached table {} was changed while it was about to be counted", shown(one.relation));
    Err(ErrorReport::new(PgSqlErrorCode::ERRCODE_T_R_SERIALIZATION_FAILURE, message, function_name!())
        .set_detail(
            "It was emptied, rewritten or dropped, or its partitions are others, since this statement's snapshot was taken.",
        )
        .set_hint("Call again, in a transaction that begins now."))
}

/// See the COMMENT in sql/60-source.sql.
#[pg_extern(sql = false)]
fn recount_sources(
    match_id: Option<&[u8]>,
) -> Result<
    TableIterator<
        'static,
        (
            pgrx::name!(source, i16),
            pgrx::name!(team_choice, String),
            pgrx::name!(h3_index, Option<i64>),
            pgrx::name!(country_code, Option<String>),
            pgrx::name!(votes, i64),
        ),
    >,
> {
    let match_id = parse_name("match_id", match_id)?;
    let snapshot = Snapshot::of_statement();
    let mut rows = Vec::new();
    for one in counted(&snapshot)? {
        let mut counter = Counter::new(one.source);
        let family = family::family(one.relation, pg_sys::AccessShareLock);
        refuse_changed(&one, &family)?;
        for relation in family {
            fill::count(&mut counter, &Part { relation, blocks: WHOLE }, &one.names, &snapshot, Some(match_id), |_| ())?;
        }
        for arrivals in counter.matches().values() {
            rows.extend(arrivals.votes(one.source, 0).map(|vote| {
                let country = vote.country.as_ref().map(Country::as_str).map(str::to_owned);
                (one.source.0, vote.team.to_owned(), vote.cell.map(cell::cell_to_bits), country, vote.votes)
            }));
        }
    }
    Ok(TableIterator::new(rows))
}
