//! Attached tables: their registry, and what a session remembers of it.
//!
//! Only a table that the registry names is counted, and only by the triggers that `attach_votes` made for it. Another trigger
//! with the same function is refused.

use crate::attached::columns::{self, ColumnNames, Columns, PlaceColumns};
use crate::error::{Result, broken, no_extension};
use crate::pg::snapshot::Snapshot;
use crate::pg::table::{Row, Table};
use crate::pg::{family, relcache, tables};
use pgrx::pg_sys;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::CStr;
use std::rc::Rc;
use vote_agg_core::vote::tally::Source;

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
    static VALID: Cell<bool> = const { Cell::new(false) };
}

/// Tables that a trigger fired for, and the tables whose change makes this memory worthless.
#[derive(Default)]
struct Memory {
    found: HashMap<pg_sys::Oid, Rc<Attached>>,
    watched: Vec<pg_sys::Oid>,
}

/// Whether a table's rows are counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SourceState {
    /// Changes are noted in `source_delta`, until what was in the table before has been counted.
    Filling,
    /// Changes are counted as they come.
    Live,
    /// Not any more; what was counted stays so, under a number that no other table gets.
    Detached,
}

impl SourceState {
    /// As the registry spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Filling => "filling",
            Self::Live => "live",
            Self::Detached => "detached",
        }
    }
}

/// A row of the registry.
pub struct Registered {
    pub relation: pg_sys::Oid,
    pub source: Source,
    pub state: SourceState,
    pub names: ColumnNames,
    pub voter: Option<std::ffi::CString>,
}

impl Registered {
    fn from_row(row: &Row) -> Result<Self> {
        let name = |column| -> Result<_> { Ok(row.get::<&CStr>(column)?.map(CStr::to_owned)) };
        let need = |column| row.need::<&CStr>(column).map(CStr::to_owned);
        let state: String = row.need("state")?;
        let point = (name("latitude_column")?, name("longitude_column")?, row.get::<i16>("resolution")?);
        let place = match (name("cell_column")?, point) {
            (Some(cell), _) => PlaceColumns::Cell(cell),
            (None, (Some(latitude), Some(longitude), Some(resolution))) => {
                PlaceColumns::Point { latitude, longitude, resolution: columns::resolution(resolution.into())? }
            }
            _ => PlaceColumns::None,
        };
        Ok(Self {
            relation: row.need("relation")?,
            source: Source(row.need("number")?),
            state: [SourceState::Filling, SourceState::Live, SourceState::Detached]
                .into_iter()
                .find(|known| known.as_str() == state)
                .ok_or_else(|| broken(format!("vote_agg.source knows no state {state}")))?,
            names: ColumnNames {
                match_id: need("match_column")?,
                team: need("team_column")?,
                country: name("country_column")?,
                place,
            },
            voter: name("voter_column")?,
        })
    }
}

/// The tables that are attached in `snapshot`, in order of their numbers.
///
/// # Errors
/// XX000 when a row makes no sense.
pub fn attached(snapshot: pg_sys::Snapshot) -> Result<Vec<Registered>> {
    let mut all = registered(snapshot)?;
    all.retain(|one| one.state != SourceState::Detached);
    Ok(all)
}

/// The same, and those that were attached once.
///
/// # Errors
/// XX000 when a row makes no sense.
pub fn registered(snapshot: pg_sys::Snapshot) -> Result<Vec<Registered>> {
    let Some(registry) = tables::find(c"source") else { return Ok(Vec::new()) };
    let registry = Table::open(registry, pg_sys::AccessShareLock);
    let mut all = registry.rows(snapshot).iter().map(Registered::from_row).collect::<Result<Vec<_>>>()?;
    all.sort_by_key(|one| one.source);
    Ok(all)
}

/// What a trigger needs to know of the table that it fired for.
pub struct Attached {
    pub source: Source,
    pub state: SourceState,
    /// In the table that the trigger fired for, which may be a partition.
    pub columns: Columns,
}

/// Asks the server to tell when a table changes. Once a process.
pub fn watch() {
    relcache::watch(changed);
}

/// Runs inside the server's invalidation code, where nothing may fail. Where it can't look, it expects the worst.
extern "C-unwind" fn changed(_: pg_sys::Datum, table: pg_sys::Oid) {
    let is_ours = MEMORY.try_with(|memory| {
        memory.try_borrow().map_or(true, |memory| table == pg_sys::InvalidOid || memory.watched.contains(&table))
    });
    if is_ours.unwrap_or(true) {
        let _ = VALID.try_with(|valid| valid.set(false));
    }
}

/// Tells every session, when this transaction commits, that the registry changed.
///
/// # Errors
/// 42704 where the extension is not installed (any more).
pub fn invalidate() -> Result<()> {
    let registry = tables::find(c"source").ok_or_else(no_extension)?;
    relcache::invalidate(registry);
    Ok(())
}

/// The registry's word on a table that a trigger fired for. `None` where neither it nor a table that it is a partition of is
/// attached.
///
/// The writer holds the table's lock, and took every message sent before with it. Attaching, detaching and the end of a fill
/// wait for that lock. So memory is right for as long as the lock is held.
///
/// # Errors
/// 42703 or 42804 where the table lost a column or its type.
pub fn find(table: pg_sys::Oid) -> Result<Option<Rc<Attached>>> {
    if !VALID.replace(true) {
        MEMORY.take();
    }
    if let Some(known) = MEMORY.with_borrow(|memory| memory.found.get(&table).cloned()) {
        return Ok(Some(known));
    }
    // A message that comes while we look clears the flag, and the next look starts anew.
    let registry = tables::find(c"source").ok_or_else(no_extension).inspect_err(|_| VALID.set(false))?;
    let family = std::iter::once(table).chain(family::ancestors(table)).collect::<Vec<_>>();
    let all = attached(Snapshot::latest().as_ptr()).inspect_err(|_| VALID.set(false))?;
    let Some(one) = all.into_iter().find(|one| family.contains(&one.relation)) else { return Ok(None) };
    let columns = Columns::find(table, &one.names)?;
    let known = Rc::new(Attached { source: one.source, state: one.state, columns });
    MEMORY.with_borrow_mut(|memory| {
        memory.watched.extend(family);
        memory.watched.push(registry);
        memory.found.insert(table, Rc::clone(&known));
    });
    Ok(Some(known))
}
