//! What else changes an attached table: partitions that come get triggers, partitions that go lose them, and what would
//! make a table uncountable is refused. Called by event triggers, so for everybody's DDL: it does nothing at all where no
//! table is attached, and looks only at statements that touch one that is.

#![allow(unsafe_code, reason = "event triggers are called with the server's own structures")]

use crate::attached::{eligibility, progress, registry, triggers};
use crate::error::Result;
use crate::pg::snapshot::Snapshot;
use crate::pg::spi::{self, Plan, Sees};
use crate::pg::{family, role};
use pgrx::pg_sys::panic::ErrorReportable;
use pgrx::{pg_guard, pg_sys};
use std::ffi::CStr;

thread_local! {
    static CHANGED: Plan = const { Plan::new(
        "SELECT c.objid FROM pg_catalog.pg_event_trigger_ddl_commands() c WHERE c.classid = 'pg_catalog.pg_class'::regclass", &[]) };
    static WITH_TRIGGERS: Plan = const { Plan::new(
        "SELECT DISTINCT t.tgrelid FROM pg_catalog.pg_trigger t
         WHERE t.tgfoid = 'vote_agg.count_rows()'::regprocedure AND t.tgname LIKE 'vote\\_agg\\_%'", &[]) };
}

/// What a statement may have done to an attached table.
#[derive(Clone, Copy, Default)]
struct Effect {
    /// A table has become part of another.
    comes: bool,
    /// A partition has become a table of its own.
    goes: bool,
    /// A column, key or the kind of storage is another or gone.
    changes: bool,
}

impl Effect {
    /// Nothing, for most statements.
    ///
    /// # Safety
    /// The parse tree is that of a statement.
    unsafe fn of(tree: *mut pg_sys::Node) -> Self {
        let comes = Self { comes: true, ..Self::default() };
        let changes = Self { changes: true, ..Self::default() };
        // SAFETY: the tag tells what each node is.
        unsafe {
            match (*tree).type_ {
                // Of a foreign table, the same comes first.
                pg_sys::NodeTag::T_CreateStmt | pg_sys::NodeTag::T_CreateForeignTableStmt
                    if !(*tree.cast::<pg_sys::CreateStmt>()).inhRelations.is_null() =>
                {
                    comes
                }
                pg_sys::NodeTag::T_CreateSchemaStmt if !(*tree.cast::<pg_sys::CreateSchemaStmt>()).schemaElts.is_null() => comes,
                pg_sys::NodeTag::T_RenameStmt
                    if (*tree.cast::<pg_sys::RenameStmt>()).renameType == pg_sys::ObjectType::OBJECT_COLUMN =>
                {
                    changes
                }
                pg_sys::NodeTag::T_AlterTableStmt => {
                    let commands = (*tree.cast::<pg_sys::AlterTableStmt>()).cmds;
                    let count = if commands.is_null() { 0 } else { (*commands).length as usize };
                    (0..count).fold(Self::default(), |effect, i| {
                        let command = (*(*commands).elements.add(i)).ptr_value.cast::<pg_sys::AlterTableCmd>();
                        effect.and((*command).subtype)
                    })
                }
                _ => Self::default(),
            }
        }
    }

    const fn and(mut self, command: pg_sys::AlterTableType::Type) -> Self {
        use pg_sys::AlterTableType as Type;
        match command {
            Type::AT_AttachPartition | Type::AT_AddInherit => self.comes = true,
            Type::AT_DetachPartition | Type::AT_DetachPartitionFinalize => self.goes = true,
            Type::AT_DropColumn
            | Type::AT_AlterColumnType
            | Type::AT_DropConstraint
            | Type::AT_DropNotNull
            | Type::AT_SetLogged
            | Type::AT_SetUnLogged => self.changes = true,
            _ => {}
        }
        self
    }
}

/// After a statement that defines tables.
unsafe fn after(tree: *mut pg_sys::Node) -> Result<()> {
    // SAFETY: as promised by the caller.
    let effect = unsafe { Effect::of(tree) };
    if !(effect.comes || effect.goes || effect.changes) {
        return Ok(());
    }
    let attached = registry::attached(Snapshot::latest().as_ptr())?;
    if attached.is_empty() {
        return Ok(());
    }
    let changed: Vec<pg_sys::Oid> =
        spi::connect(|spi| spi.run(&CHANGED, &[], Sees::Now)?.iter().map(|row| row.need(1)).collect())?;
    let mut all = Vec::new();
    for one in attached {
        let family = family::family(one.relation, pg_sys::NoLock);
        let concerned = family.iter().chain(&family::ancestors(one.relation)).any(|table| changed.contains(table));
        if concerned && (effect.comes || effect.changes) {
            let checked = eligibility::check(&family, &one.names, one.voter.as_ref());
            checked.map_err(|e| e.set_hint("It is attached to vote_agg: detach it first with detach_votes."))?;
        }
        if concerned && effect.comes {
            role::as_extension(|| {
                spi::connect(|spi| family.iter().try_for_each(|member| triggers::make(spi, *member, one.state)))
            })?;
        }
        all.extend(family);
    }
    if effect.goes {
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
        })?;
    }
    Ok(())
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
