//! DDL on attached tables: partitions that come get triggers, partitions that go lose them. A change is refused that would make
//! a table uncountable, or its rows other votes than they were counted as. Event triggers call it, so it sees everybody's DDL.
//! It does nothing where no table is attached, and looks only at statements that touch an attached one.

use crate::attached::columns::Columns;
use crate::attached::registry::{self, Registered};
use crate::attached::{eligibility, progress, triggers};
use crate::error::{Result, no_extension, not_now, quoted};
use crate::pg::catalog::{self, shown};
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{self, Plan, Sees};
use crate::pg::statement::{Call, Statement};
use crate::pg::{family, role};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{pg_extern, pg_sys};
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
        "SELECT d.object_type AS kind, CASE d.object_type WHEN 'table column' THEN d.objid
             WHEN 'trigger' THEN pg_catalog.to_regclass(pg_catalog.format('%I.%I', d.address_names[1], d.address_names[2]))::oid
             WHEN 'cast' THEN pg_catalog.to_regtype(d.address_names[1])::oid END AS of_what, d.address_names[3] AS name
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

/// See the COMMENT in sql/60-source.sql. After a statement that defines tables, types or casts.
#[pg_extern(sql = false)]
fn watch_tables(call: Call<'_>) -> Result<()> {
    let effect = call.statement().map(Statement::effect).unwrap_or_default();
    if effect.is_none() {
        return Ok(());
    }
    let attached = registry::attached(Snapshot::latest().as_ptr())?;
    if attached.is_empty() {
        return Ok(());
    }
    let listed = |plan| -> Result<Vec<pg_sys::Oid>> { spi::connect(|spi| spi.run(plan, &[], Sees::Now)?.values()) };
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
            let found: Vec<pg_sys::Oid> = spi.run(&WITH_TRIGGERS, &[], Sees::Now)?.values()?;
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

/// See the COMMENT in sql/60-source.sql. Before a table's rows are written anew.
#[pg_extern(sql = false)]
fn watch_rewrites(call: Call<'_>) -> Result<()> {
    let effect = call.statement().map(Statement::effect).unwrap_or_default();
    if effect.columns.is_empty() {
        return Ok(());
    }
    let attached = registry::attached(Snapshot::latest().as_ptr())?;
    if attached.is_empty() {
        return Ok(());
    }
    let table: pg_sys::Oid = spi::connect(|spi| spi.run(&REWRITTEN, &[], Sees::Now)?.value().ok_or_else(no_extension))?;
    for one in attached.iter().filter(|one| family::family(one.relation, pg_sys::NoLock).contains(&table)) {
        if let Some(name) = one.names.all().find(|name| effect.columns.contains(name)) {
            return Err(other_values(one, name));
        }
    }
    Ok(())
}

/// See the COMMENT in sql/60-source.sql. After a statement that drops anything, by itself or with something else.
#[pg_extern(sql = false)]
fn watch_drops(call: Call<'_>) -> Result<()> {
    if call.statement().is_none() {
        return Ok(());
    }
    let attached = registry::attached(Snapshot::latest().as_ptr())?;
    if attached.is_empty() {
        return Ok(());
    }
    let dropped: Vec<(String, Option<pg_sys::Oid>, Option<String>)> = spi::connect(|spi| {
        let rows = spi.run(&DROPPED, &[], Sees::Now)?;
        rows.iter().map(|row| Ok((row.need("kind")?, row.get("of_what")?, row.get("name")?))).collect()
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

/// See the COMMENT in sql/60-source.sql. Before DROP EXTENSION: a statement that counts holds a table and then asks for pending.
/// So the tables must be locked before ours, or the two would wait for each other.
#[pg_extern(sql = false)]
fn before_drop(call: Call<'_>) -> Result<()> {
    if call.statement().is_some_and(|statement| statement.drops(c"vote_agg")) && role::owns_extension() {
        for one in registry::attached(Snapshot::latest().as_ptr())? {
            family::family(one.relation, pg_sys::AccessExclusiveLock);
        }
    }
    Ok(())
}
