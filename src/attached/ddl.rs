//! DDL on attached tables: partitions that come get triggers, partitions that go lose them. A change is refused that would make
//! a table uncountable, or its rows other votes than they were counted as. Event triggers call it, so it sees everybody's DDL.
//! It does nothing where no table is attached, and looks only at statements that touch an attached one.

#![allow(unsafe_code, reason = "event triggers are called with the server's own structures")]

use crate::attached::columns::Columns;
use crate::attached::registry::{self, Registered};
use crate::attached::statement::Effect;
use crate::attached::{eligibility, progress, triggers};
use crate::error::{Result, no_extension, not_now, quoted};
use crate::pg::catalog::{self, shown};
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{self, Plan, Sees};
use crate::pg::{family, role};
use pgrx::pg_sys::panic::{ErrorReport, ErrorReportable};
use pgrx::{pg_guard, pg_sys};
use std::ffi::{CStr, CString};

thread_local! {
    static CHANGED: Plan = const { Plan::new(
        "SELECT c.objid FROM pg_catalog.pg_event_trigger_ddl_commands() c WHERE c.classid = 'pg_catalog.pg_class'::regclass", &[]) };
    static WITH_TRIGGERS: Plan = const { Plan::new(
        "SELECT DISTINCT t.tgrelid FROM pg_catalog.pg_trigger t
         WHERE t.tgfoid = 'vote_agg.count_rows()'::regprocedure AND pg_catalog.starts_with(t.tgname::text, 'vote_agg_')", &[]) };
    static REREAD: Plan = const { Plan::new(
        "SELECT c.objid FROM pg_catalog.pg_event_trigger_ddl_commands() c WHERE c.classid = 'pg_catalog.pg_type'::regclass
         UNION ALL
         SELECT k.castsource FROM pg_catalog.pg_event_trigger_ddl_commands() c JOIN pg_catalog.pg_cast k ON k.oid = c.objid
         WHERE c.classid = 'pg_catalog.pg_cast'::regclass
           AND k.casttarget IN ('text'::regtype, 'bigint'::regtype, 'double precision'::regtype)", &[]) };
    static REWRITTEN: Plan = const { Plan::new("SELECT pg_catalog.pg_event_trigger_table_rewrite_oid()", &[]) };
    static DROPPED: Plan = const { Plan::new(
        "SELECT d.object_type, CASE d.object_type WHEN 'table column' THEN d.objid
             WHEN 'trigger' THEN pg_catalog.to_regclass(pg_catalog.format('%I.%I', d.address_names[1], d.address_names[2]))::oid
             WHEN 'cast' THEN pg_catalog.to_regtype(d.address_names[1])::oid END, d.address_names[3]
         FROM pg_catalog.pg_event_trigger_dropped_objects() d
         WHERE d.object_type IN ('table column', 'trigger', 'index', 'table constraint')
            OR (d.object_type = 'cast' AND d.address_args[1] IN ('pg_catalog.text', 'text', 'pg_catalog.int8', 'bigint',
                                                                 'pg_catalog.float8', 'double precision'))", &[]) };
}

/// What to do about every refusal here.
const DETACH: &str = "It is attached to vote_agg: detach it first with detach_votes.";

fn refused(message: String, detail: &str) -> ErrorReport {
    not_now(message, detail.into(), DETACH)
}

/// After a statement that defines tables, types or casts.
unsafe fn after(tree: *mut pg_sys::Node) -> Result<()> {
    // SAFETY: as promised by the caller.
    let effect = unsafe { Effect::of(tree) };
    if effect.is_none() {
        return Ok(());
    }
    let attached = registry::attached(Snapshot::latest().as_ptr())?;
    if attached.is_empty() {
        return Ok(());
    }
    let listed = |plan| -> Result<Vec<pg_sys::Oid>> {
        spi::connect(|spi| spi.run(plan, &[], Sees::Now)?.iter().map(|row| row.need(1)).collect())
    };
    let (changed, reread) = (listed(&CHANGED)?, if effect.rereads { listed(&REREAD)? } else { Vec::new() });
    let mut all = Vec::new();
    for one in attached {
        let family = family::family(one.relation, pg_sys::NoLock);
        let is_named = family.iter().chain(&family::ancestors(one.relation)).any(|table| changed.contains(table));
        let concerned = is_named || (effect.is_about_type && family.iter().any(|table| catalog::is_of_type(*table)));
        reread.iter().try_for_each(|base| check_type(&one, &family, *base))?;
        if concerned && (effect.comes || effect.changes) {
            eligibility::check(&family, &one.names, one.voter.as_ref()).map_err(|e| e.set_hint(DETACH))?;
            check_columns(&one, &family, &effect.columns)?;
        }
        if concerned && effect.comes {
            role::as_extension(|| {
                spi::connect(|spi| family.iter().try_for_each(|member| triggers::make(spi, *member, one.state)))
            })?;
        }
        all.extend(family);
    }
    if effect.goes {
        drop_left_over(&all)?;
    }
    Ok(())
}

/// Takes the triggers from tables that are not in `all` (any more).
fn drop_left_over(all: &[pg_sys::Oid]) -> Result<()> {
    role::as_extension(|| {
        spi::connect(|spi| {
            let found = spi.run(&WITH_TRIGGERS, &[], Sees::Now)?;
            let found: Vec<pg_sys::Oid> = found.iter().map(|row| row.need(1)).collect::<Result<_>>()?;
            found.iter().filter(|table| !all.contains(table)).try_for_each(|table| {
                triggers::drop_all(spi, *table)?;
                // It may come back as another: nobody sees what becomes of it meanwhile.
                progress::forget(spi, *table)
            })
        })
    })
}

/// Refuses that values of a type say something else, where they are counted.
fn check_type(one: &Registered, family: &[pg_sys::Oid], base: pg_sys::Oid) -> Result<()> {
    if family.iter().any(|member| one.names.types(*member).any(|known| known == base)) {
        return Err(refused(
            format!("votes in table {} are read from values of this type", shown(one.relation)),
            "What was counted would not be found again when its row goes.",
        ));
    }
    Ok(())
}

/// Refuses another type for a column, unless its rows stay as they are (which the rewrite of a table tells) and are read so.
fn check_columns(one: &Registered, family: &[pg_sys::Oid], changed: &[CString]) -> Result<()> {
    for name in one.names.all().filter(|name| changed.contains(name)) {
        for member in family {
            if !Columns::find(*member, &one.names)?.is_read_as_it_is(name) {
                return Err(other_values(one, name));
            }
        }
    }
    Ok(())
}

fn other_values(one: &Registered, column: &CStr) -> ErrorReport {
    refused(
        format!(
            "column {} of table {} is counted and can't get other values",
            quoted(&column.to_string_lossy()),
            shown(one.relation)
        ),
        "No trigger would see what becomes of its rows.",
    )
}

/// Before a table's rows are written anew.
unsafe fn before_rewrite(tree: *mut pg_sys::Node) -> Result<()> {
    // SAFETY: as promised by the caller.
    let effect = unsafe { Effect::of(tree) };
    if effect.columns.is_empty() {
        return Ok(());
    }
    let attached = registry::attached(Snapshot::latest().as_ptr())?;
    if attached.is_empty() {
        return Ok(());
    }
    let table: pg_sys::Oid = spi::connect(|spi| spi.run(&REWRITTEN, &[], Sees::Now)?.first().ok_or_else(no_extension)?.need(1))?;
    for one in attached.iter().filter(|one| family::family(one.relation, pg_sys::NoLock).contains(&table)) {
        if let Some(name) = one.names.all().find(|name| effect.columns.contains(name)) {
            return Err(other_values(one, name));
        }
    }
    Ok(())
}

/// After a statement that drops anything, by itself or with something else.
unsafe fn after_drop(_: *mut pg_sys::Node) -> Result<()> {
    let attached = registry::attached(Snapshot::latest().as_ptr())?;
    if attached.is_empty() {
        return Ok(());
    }
    let dropped: Vec<(String, Option<pg_sys::Oid>, Option<String>)> = spi::connect(|spi| {
        let rows = spi.run(&DROPPED, &[], Sees::Now)?;
        rows.iter().map(|row| Ok((row.need(1)?, row.get(2), row.get(3)))).collect()
    })?;
    for one in attached.iter().filter(|one| catalog::kind(one.relation) != 0) {
        let family = family::family(one.relation, pg_sys::NoLock);
        for (kind, of, name) in &dropped {
            check_dropped(one, &family, kind, *of, name.as_deref().unwrap_or_default())?;
        }
    }
    Ok(())
}

fn check_dropped(one: &Registered, family: &[pg_sys::Oid], kind: &str, of: Option<pg_sys::Oid>, name: &str) -> Result<()> {
    let is_of_it = of.is_some_and(|table| family.contains(&table));
    let (name, table) = (CString::new(name).unwrap_or_default(), shown(of.unwrap_or(one.relation)));
    let is_column = || one.names.all().chain(one.voter.as_ref()).any(|column| *column == name);
    match (kind, of) {
        ("table column", _) if is_of_it && is_column() => Err(refused(
            format!("column {} of table {} is counted and can't be dropped", quoted(&name.to_string_lossy()), table),
            "Its rows would be other votes.",
        )),
        ("trigger", _) if is_of_it && triggers::counts(&name, one.state) => Err(refused(
            format!("trigger {} of table {} counts its rows", quoted(&name.to_string_lossy()), table),
            "Without it, changes would go uncounted.",
        )),
        ("index" | "table constraint", _) => match &one.voter {
            Some(voter) => eligibility::check_key(one.relation, &one.names.match_id, voter).map_err(|e| e.set_hint(DETACH)),
            None => Ok(()),
        },
        ("cast", Some(base)) => check_type(one, family, base),
        _ => Ok(()),
    }
}

/// Before DROP EXTENSION: whoever counts holds a table and then asks for pending, so that the tables must be locked
/// before ours, or the two would wait for each other.
unsafe fn before_drop(tree: *mut pg_sys::Node) -> Result<()> {
    // SAFETY: the tag tells what the node is; the names of extensions are strings.
    let is_ours = unsafe {
        (*tree).type_ == pg_sys::NodeTag::T_DropStmt && {
            let objects = (*tree.cast::<pg_sys::DropStmt>()).objects;
            let count = if objects.is_null() { 0 } else { (*objects).length as usize };
            (0..count).any(|i| {
                let name = (*(*objects).elements.add(i)).ptr_value.cast::<pg_sys::String>();
                (*name).type_ == pg_sys::NodeTag::T_String && CStr::from_ptr((*name).sval) == c"vote_agg"
            })
        }
    };
    if is_ours && role::owns_extension() {
        for one in registry::attached(Snapshot::latest().as_ptr())? {
            family::family(one.relation, pg_sys::AccessExclusiveLock);
        }
    }
    Ok(())
}

unsafe fn call(call: pg_sys::FunctionCallInfo, act: unsafe fn(*mut pg_sys::Node) -> Result<()>) -> pg_sys::Datum {
    // SAFETY: the server's call; the context's type tells what it is.
    unsafe {
        if let Some(data) = (*call).context.cast::<pg_sys::EventTriggerData>().as_ref()
            && data.type_ == pg_sys::NodeTag::T_EventTriggerData
            && !data.parsetree.is_null()
        {
            act(data.parsetree).unwrap_or_report();
        }
    }
    pg_sys::Datum::null()
}

/// See the COMMENT in sql/60-source.sql. Written out, because it takes an event's or no arguments.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn watch_tables_wrapper(info: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the server's call.
    unsafe { call(info, after) }
}

/// See the COMMENT in sql/60-source.sql.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn before_drop_wrapper(info: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the server's call.
    unsafe { call(info, before_drop) }
}

/// See the COMMENT in sql/60-source.sql.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn watch_rewrites_wrapper(info: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the server's call.
    unsafe { call(info, before_rewrite) }
}

/// See the COMMENT in sql/60-source.sql.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn watch_drops_wrapper(info: pg_sys::FunctionCallInfo) -> pg_sys::Datum {
    // SAFETY: the server's call.
    unsafe { call(info, after_drop) }
}

const V1: pg_sys::Pg_finfo_record = pg_sys::Pg_finfo_record { api_version: 1 };

/// Tells the server how the function above is called.
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_watch_tables_wrapper() -> &'static pg_sys::Pg_finfo_record {
    &V1
}

/// Tells the server how the function above is called.
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_before_drop_wrapper() -> &'static pg_sys::Pg_finfo_record {
    &V1
}

/// Tells the server how the function above is called.
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_watch_rewrites_wrapper() -> &'static pg_sys::Pg_finfo_record {
    &V1
}

/// Tells the server how the function above is called.
#[unsafe(no_mangle)]
pub extern "C" fn pg_finfo_watch_drops_wrapper() -> &'static pg_sys::Pg_finfo_record {
    &V1
}
