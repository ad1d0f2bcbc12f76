//! Attaching tables, so that their rows are counted, and detaching them.

use crate::attached::columns::{self, ColumnNames, PlaceColumns};
use crate::attached::errors::not_attached;
use crate::attached::registry::{self, Registered, SourceState};
use crate::attached::{eligibility, fill, fill_heaps, progress, triggers};
use crate::error::{Result, invalid, no_extension, not_now, quoted};
use crate::pending::heap::{Next, OpenHeap};
use crate::pg::catalog::shown;
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{self, Insert, Plan, Sees, Spi, name, oid, time, value};
use crate::pg::table::Table;
use crate::pg::tables::Tables;
use crate::pg::{clock, extension, family, role, transaction};
use crate::session::launch;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{IntoDatum, PgSqlErrorCode, function_name, pg_extern, pg_sys};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use vote_agg_core::Error;
use vote_agg_core::vote::tally::Source;

/// Up to this size in blocks a table is counted at once, while nobody can write to it: 8 MB, a fraction of a second.
const SMALL: u32 = 1_024;

thread_local! {
    static NUMBER: Plan = const { Plan::new("SELECT pg_catalog.nextval('vote_agg.source_number')::smallint", &[]) };
    static REGISTER: Insert = const { Insert::or("vote_agg.source",
        "ON CONFLICT (relation) DO UPDATE SET (number, state, match_column, team_column, cell_column, country_column,
             voter_column, latitude_column, longitude_column, resolution, attached_at, last_error)
           = (excluded.number, excluded.state, excluded.match_column, excluded.team_column, excluded.cell_column,
              excluded.country_column, excluded.voter_column, excluded.latitude_column, excluded.longitude_column,
              excluded.resolution, excluded.attached_at, NULL)") };
    static HOLD: Plan = const { Plan::new(
        "SELECT 1 FROM vote_agg.source WHERE relation = $1 AND state <> 'detached' FOR UPDATE", &[pg_sys::OIDOID]) };
    static DETACH: Plan = const { Plan::new(
        "UPDATE vote_agg.source SET state = 'detached' WHERE relation = $1", &[pg_sys::OIDOID]) };
    static ERASED: Plan = const { Plan::new(
        "SELECT e.source, pg_catalog.sum(e.votes)::bigint AS votes FROM vote_agg.erased e WHERE e.match_id = $1 GROUP BY e.source",
        &[pg_sys::TEXTOID]) };
    static STILL_COUNTED: Plan = const { Plan::new(
        "SELECT f.match_id FROM vote_agg.feed f
         WHERE $1 = ANY (f.sources) AND f.source_votes[pg_catalog.array_position(f.sources, $1)] <> 0
           AND NOT EXISTS (SELECT FROM vote_agg.feed newer WHERE newer.match_id = f.match_id AND newer.seq > f.seq)
         ORDER BY f.match_id LIMIT 1",
        &[pg_sys::INT2OID]) };
}

/// See the COMMENT in sql/60-source.sql.
#[pg_extern(sql = false)]
#[allow(clippy::too_many_arguments, reason = "one a column")]
fn attach_votes(
    source: Option<pg_sys::Oid>,
    match_id: Option<&CStr>,
    team_choice: Option<&CStr>,
    h3_index: Option<&CStr>,
    country_code: Option<&CStr>,
    voter_id: Option<&CStr>,
    latitude: Option<&CStr>,
    longitude: Option<&CStr>,
    resolution: Option<i32>,
) -> Result<()> {
    transaction::prevent_read_only(c"attach_votes()");
    let need = |what, name: Option<&CStr>| name.map(CStr::to_owned).ok_or(Error::Null { what });
    let table = source.ok_or(Error::Null { what: "source" })?;
    let place = place(h3_index, latitude, longitude, resolution)?;
    let names = ColumnNames {
        match_id: need("match_id", match_id)?,
        team: need("team_choice", team_choice)?,
        country: country_code.map(CStr::to_owned),
        place,
    };
    let voter = voter_id.map(CStr::to_owned);

    // Nobody may lock what isn't theirs. The lock is that of CREATE TRIGGER: writers have ended, and new ones wait.
    eligibility::check_owner(table)?;
    let family = family::family(table, pg_sys::ShareRowExclusiveLock);
    eligibility::check_owner(table)?;
    if !extension::hold() {
        return Err(no_extension());
    }
    family.iter().for_each(|member| names.hold_labels(*member));
    eligibility::check(&family, &names, voter.as_ref())?;
    for member in &family {
        let member = Table::open(*member, pg_sys::NoLock);
        // A statement that is changing it has no triggers of ours and rows that nobody sees yet.
        member.check_not_in_use(c"attach_votes");
    }
    let known = registry::registered(Snapshot::latest().as_ptr())?.into_iter().find(|one| one.relation == table);
    match &known {
        Some(one) if one.state != SourceState::Detached => return Err(attached_already(table)),
        Some(one) => refuse_twice(one)?,
        None => {}
    }

    let blocks = family.iter().map(|member| Table::open(*member, pg_sys::NoLock)).filter(Table::has_storage);
    let is_small = blocks.map(|member| member.blocks()).fold(0u32, u32::saturating_add) <= SMALL;
    let state = if is_small { SourceState::Live } else { SourceState::Filling };
    let source = role::as_extension(|| {
        spi::connect(|spi| {
            let source = Source(spi.run(&NUMBER, &[], Sees::Now)?.value().ok_or_else(no_extension)?);
            let one = Registered { relation: table, source, state, names: names.clone(), voter };
            register(spi, &one)?;
            family.iter().try_for_each(|member| triggers::make(spi, *member, state))?;
            Ok(source)
        })
    })?;
    registry::invalidate()?;
    if is_small {
        return fill::count_at_once(&family, &names, source);
    }
    launch::ensure(clock::now());
    Ok(())
}

fn place(
    cell: Option<&CStr>,
    latitude: Option<&CStr>,
    longitude: Option<&CStr>,
    resolution: Option<i32>,
) -> Result<PlaceColumns<CString>> {
    match (cell, latitude, longitude, resolution) {
        (None, None, None, None) => Ok(PlaceColumns::None),
        (Some(cell), None, None, None) => Ok(PlaceColumns::Cell(cell.to_owned())),
        (None, Some(latitude), Some(longitude), Some(resolution)) => Ok(PlaceColumns::Point {
            latitude: latitude.to_owned(),
            longitude: longitude.to_owned(),
            resolution: columns::resolution(resolution)?,
        }),
        _ => Err(invalid(
            "h3_index, or latitude, longitude and resolution must be given, or none of them".into(),
            "A place is a cell, or a point with the resolution of the cell to look up.",
        )),
    }
}

fn attached_already(table: pg_sys::Oid) -> ErrorReport {
    let code = PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT;
    ErrorReport::new(code, format!("table {} is attached already", shown(table)), function_name!())
        .set_hint("Detach it first with detach_votes.")
}

/// A table that was attached before may be counted again only where nothing is left of the first time.
fn refuse_twice(before: &Registered) -> Result<()> {
    let args = [before.source.0.into_datum()];
    let folded: Option<String> =
        role::as_extension(|| spi::connect(|spi| Ok(spi.run(&STILL_COUNTED, &args, Sees::Now)?.value())))?;
    let found = match folded {
        Some(match_id) => Some(match_id),
        None => pending_of(before.source)?,
    };
    match found {
        None => Ok(()),
        Some(match_id) => Err(not_now(
            format!("votes of table {} are still counted", shown(before.relation)),
            format!("Its rows were counted in match {} before it was detached, and would be counted twice.", quoted(&match_id)),
            "Purge the matches in which it was counted with purge_match; then attaching counts all of its rows again.",
        )),
    }
}

/// A match that has votes of a source in pending.
fn pending_of(source: Source) -> Result<Option<String>> {
    let (tables, now) = (Tables::find()?, Snapshot::latest());
    let state = crate::pending::fold_log::FoldLog::newest(&tables, now.as_ptr())?;
    let mut found = None;
    for heap in state.heaps() {
        let open = OpenHeap::open(heap.of(&tables), pg_sys::AccessShareLock)?;
        open.visit(open.first_block(state.mark(heap)), now.as_ptr(), |row| {
            if row.vote()?.is_some_and(|vote| vote.source == source) {
                found = Some(row.match_name().into_owned());
            }
            Ok(if found.is_some() { Next::Stop } else { Next::Go })
        })?;
    }
    Ok(found)
}

fn register(spi: &Spi, one: &Registered) -> Result<()> {
    let (cell, latitude, longitude, resolution) = match &one.names.place {
        PlaceColumns::None => (None, None, None, None),
        PlaceColumns::Cell(cell) => (Some(cell), None, None, None),
        PlaceColumns::Point { latitude, longitude, resolution } => (None, Some(latitude), Some(longitude), Some(*resolution)),
    };
    spi.insert(
        &REGISTER,
        &[
            oid("relation", one.relation),
            value("number", one.source.0),
            value("state", one.state.as_str()),
            name("match_column", Some(&one.names.match_id)),
            name("team_column", Some(&one.names.team)),
            name("cell_column", cell),
            name("country_column", one.names.country.as_ref()),
            name("voter_column", one.voter.as_ref()),
            name("latitude_column", latitude),
            name("longitude_column", longitude),
            value("resolution", resolution.map(|resolution| i16::from(u8::from(resolution)))),
            time("attached_at", clock::now()),
        ],
    )
}

/// See the COMMENT in sql/60-source.sql.
#[pg_extern(sql = false)]
fn detach_votes(source: Option<pg_sys::Oid>) -> Result<()> {
    transaction::prevent_read_only(c"detach_votes()");
    let table = source.ok_or(Error::Null { what: "source" })?;
    eligibility::check_owner(table)?;
    // First the registry's row, which a fill holds; then the table.
    let hold = || spi::connect(|spi| Ok(spi.run(&HOLD, &[Some(table.into())], Sees::Now)?.count() > 0));
    if !role::as_extension(hold)? {
        return Err(not_attached(table));
    }
    let family = family::family(table, pg_sys::AccessExclusiveLock);
    eligibility::check_owner(table)?;
    let found = registry::attached(Snapshot::latest().as_ptr())?.into_iter().find(|one| one.relation == table);
    role::as_extension(|| {
        spi::connect(|spi| {
            // First, since triggers of an attached table may not go (ddl.rs).
            spi.run(&DETACH, &[Some(table.into())], Sees::Now)?;
            family.iter().try_for_each(|member| triggers::drop_all(spi, *member))?;
            found.iter().try_for_each(|one| progress::forget_all(spi, one.source))
        })
    })?;
    if let Some(one) = found.filter(|one| one.state == SourceState::Filling) {
        fill_heaps::take(one.source, &Snapshot::latest(), |_, _| Ok(()))?;
    }
    registry::invalidate()
}

/// Refuses to erase a match that has rows in attached tables: they would be there, and not be counted. Rows that are erased are not
/// there any more.
///
/// # Errors
/// 55000 naming the table.
pub fn refuse_purge(match_id: &str, counted: &BTreeMap<Source, i64>) -> Result<()> {
    let attached = registry::attached(Snapshot::latest().as_ptr())?;
    let mut erased = BTreeMap::new();
    spi::connect(|spi| {
        for row in spi.run(&ERASED, &[match_id.into_datum()], Sees::Now)?.iter() {
            erased.insert(Source(row.need("source")?), row.need::<i64>("votes")?);
        }
        Ok(())
    })?;
    let left = |source: &Source| counted.get(source).unwrap_or(&0) - erased.get(source).unwrap_or(&0);
    match attached.iter().find(|one| left(&one.source) != 0) {
        None => Ok(()),
        Some(one) => Err(not_now(
            format!("match {} has votes in attached table {}", quoted(match_id), shown(one.relation)),
            "They would stay there without being counted.".into(),
            "Delete its rows there first (once the match is final, with vote_agg.erase_rows), or detach the table with detach_votes.",
        )),
    }
}
