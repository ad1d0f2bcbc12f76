//! Rows that MERGE moves to another partition.
//!
//! For an UPDATE the server puts a row that moves into the transition tables of UPDATE. For a MERGE it puts it into those of
//! DELETE and INSERT, whose statement triggers fire only where the MERGE names these actions. So a MERGE that names UPDATE and
//! INSERT would count a moved row twice, and one that names UPDATE alone not at all. Here the missing counting triggers are
//! queued, when the statement has done its work and before the queue is worked off.

#![allow(unsafe_code, reason = "the executor's own structures")]

use crate::pg::tables;
use pgrx::pg_sys::ffi::pg_guard_ffi_boundary as guarded;
use pgrx::{pg_guard, pg_sys};
use std::ffi::CStr;

/// What was called at the end of a statement before.
static mut BEFORE: pg_sys::ExecutorFinish_hook_type = None;

/// The triggers that count what INSERT and DELETE do.
#[derive(Clone, Copy)]
pub struct Triggers {
    pub insert: &'static CStr,
    pub delete: &'static CStr,
}

static mut TRIGGERS: Triggers = Triggers { insert: c"", delete: c"" };

/// Asks the server to call us at the end of each statement. Once a process.
pub fn watch(triggers: Triggers) {
    // SAFETY: while the library is loaded, in the only thread.
    unsafe {
        TRIGGERS = triggers;
        BEFORE = pg_sys::ExecutorFinish_hook;
        pg_sys::ExecutorFinish_hook = Some(finish);
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn finish(query: *mut pg_sys::QueryDesc) {
    // SAFETY: the statement that the server ends; hooks and the standard function take the same.
    unsafe {
        let merges = (*query).operation == pg_sys::CmdType::CMD_MERGE || (*(*query).plannedstmt).hasModifyingCTE;
        let has_triggers = (*(*query).estate).es_top_eflags as u32 & pg_sys::EXEC_FLAG_SKIP_TRIGGERS == 0;
        if merges && has_triggers {
            let outside = pg_sys::MemoryContextSwitchTo((*(*query).estate).es_query_cxt);
            queue_missing(query);
            pg_sys::MemoryContextSwitchTo(outside);
        }
        match BEFORE {
            Some(before) => guarded(|| before(query)),
            None => pg_sys::standard_ExecutorFinish(query),
        }
    }
}

/// # Safety
/// The statement has run, and has not been ended.
unsafe fn queue_missing(query: *mut pg_sys::QueryDesc) {
    // SAFETY: plan nodes of the statement; the tag tells what each is.
    unsafe {
        let estate = (*query).estate;
        let of_with = (*estate).es_auxmodifytables;
        let count = if of_with.is_null() { 0 } else { (*of_with).length as usize };
        for i in 0..count {
            let node = (*(*of_with).elements.add(i)).ptr_value.cast::<pg_sys::ModifyTableState>();
            if (*node).operation == pg_sys::CmdType::CMD_MERGE {
                run_to_end(estate, node.cast());
                queue_for(estate, node);
            }
        }
        let top = (*query).planstate;
        if (*top).type_ == pg_sys::NodeTag::T_ModifyTableState {
            queue_for(estate, top.cast());
        }
    }
}

/// Does now what the query did not ask for, as the server itself would next.
///
/// # Safety
/// A node of the statement's.
unsafe fn run_to_end(estate: *mut pg_sys::EState, node: *mut pg_sys::PlanState) {
    // SAFETY: as the server's own function of the same purpose does it.
    unsafe {
        (*estate).es_direction = pg_sys::ScanDirection::ForwardScanDirection;
        while let Some(next) = (*node).ExecProcNode {
            if !(*estate).es_per_tuple_exprcontext.is_null() {
                pg_sys::MemoryContextReset((*(*estate).es_per_tuple_exprcontext).ecxt_per_tuple_memory);
            }
            let row = guarded(|| next(node));
            if row.is_null() || u32::from((*row).tts_flags) & pg_sys::TTS_FLAG_EMPTY != 0 {
                break;
            }
        }
    }
}

/// # Safety
/// A node of the statement's that has done its work.
unsafe fn queue_for(estate: *mut pg_sys::EState, node: *mut pg_sys::ModifyTableState) {
    // SAFETY: the target of the statement is open; its triggers are copied, so that the server sees ours alone.
    unsafe {
        let named = (*node).mt_merge_subcommands as u32;
        let target = (*node).rootResultRelInfo;
        if (*node).operation != pg_sys::CmdType::CMD_MERGE || named & pg_sys::MERGE_UPDATE == 0 || target.is_null() {
            return;
        }
        let is_partitioned = (*(*(*target).ri_RelationDesc).rd_rel).relkind as u8 == pg_sys::RELKIND_PARTITIONED_TABLE;
        let (moved, triggers) = ((*node).mt_transition_capture, (*target).ri_TrigDesc);
        if !is_partitioned || moved.is_null() || triggers.is_null() {
            return;
        }
        let ours = |name: &CStr| {
            (0..(*triggers).numtriggers as usize)
                .map(|i| (*triggers).triggers.add(i))
                .find(|trigger| CStr::from_ptr((**trigger).tgname) == name && is_our_function((**trigger).tgfoid))
        };
        if named & pg_sys::MERGE_DELETE == 0
            && let Some(delete) = ours(TRIGGERS.delete)
        {
            let mut only = pg_sys::TriggerDesc { triggers: delete, numtriggers: 1, ..*triggers };
            let mut target = pg_sys::ResultRelInfo { ri_TrigDesc: &raw mut only, ..*target };
            pg_sys::ExecASDeleteTriggers(estate, &raw mut target, moved);
        }
        if named & pg_sys::MERGE_INSERT == 0
            && let Some(insert) = ours(TRIGGERS.insert)
        {
            let mut only = pg_sys::TriggerDesc { triggers: insert, numtriggers: 1, ..*triggers };
            let mut target = pg_sys::ResultRelInfo { ri_TrigDesc: &raw mut only, ..*target };
            pg_sys::ExecASInsertTriggers(estate, &raw mut target, moved);
        }
    }
}

/// Somebody else's trigger may have the same name.
fn is_our_function(function: pg_sys::Oid) -> bool {
    let Some(registry) = tables::find(c"source") else { return false };
    // SAFETY: look-ups in the catalog.
    unsafe {
        let name = pg_sys::get_func_name(function);
        !name.is_null()
            && CStr::from_ptr(name) == c"count_rows"
            && pg_sys::get_func_namespace(function) == pg_sys::get_rel_namespace(registry)
    }
}
