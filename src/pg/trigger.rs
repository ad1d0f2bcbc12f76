//! The call of a trigger: what it fired for, and the rows that came and went.

#![allow(unsafe_code, reason = "triggers are called with the server's own structures")]

use crate::error;
use crate::pg::slot::Slot;
use pgrx::callconv::{Arg, ArgAbi};
use pgrx::pg_sys;
use std::ffi::CStr;

/// The call of a function that is meant to be a trigger's.
pub struct Call<'a>(Option<Fired<'a>>);

impl<'a> Call<'a> {
    /// What fired; `None` where a query called the function.
    pub const fn fired(&self) -> Option<&Fired<'a>> {
        self.0.as_ref()
    }
}

// SAFETY: no argument of SQL: it is made of the call itself.
unsafe impl<'fcx> ArgAbi<'fcx> for Call<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the server's call; the context's type tells what it is.
        let data = unsafe {
            let call: pg_sys::FunctionCallInfo = arg.unbox_unchecked();
            (*call).context.cast::<pg_sys::TriggerData>().as_ref()
        };
        Self(data.filter(|data| data.type_ == pg_sys::NodeTag::T_TriggerData).map(|data| Fired { data }))
    }

    fn is_virtual_arg() -> bool {
        true
    }
}

pgrx::impl_sql_translatable!(Call<'_>, arg_only = "internal");

/// What a statement or a change of a row did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    Insert,
    Update,
    Delete,
    Truncate,
}

/// A trigger that fired.
pub struct Fired<'a> {
    data: &'a pg_sys::TriggerData,
}

impl<'a> Fired<'a> {
    /// The table.
    pub fn table(&self) -> pg_sys::Oid {
        // SAFETY: the relation of a trigger's call is open.
        unsafe { (*self.data.tg_relation).rd_id }
    }

    /// The trigger's own name.
    pub fn name(&self) -> &CStr {
        // SAFETY: a text that ends with a zero byte, and lives as long as the call.
        unsafe { CStr::from_ptr((*self.data.tg_trigger).tgname) }
    }

    /// What it fired for.
    pub const fn event(&self) -> Event {
        match self.data.tg_event & pg_sys::TRIGGER_EVENT_OPMASK {
            pg_sys::TRIGGER_EVENT_INSERT => Event::Insert,
            pg_sys::TRIGGER_EVENT_UPDATE => Event::Update,
            pg_sys::TRIGGER_EVENT_DELETE => Event::Delete,
            _ => Event::Truncate,
        }
    }

    /// Before it is done?
    pub const fn is_before(&self) -> bool {
        self.data.tg_event & pg_sys::TRIGGER_EVENT_TIMINGMASK == pg_sys::TRIGGER_EVENT_BEFORE
    }

    /// For each row?
    pub const fn is_for_row(&self) -> bool {
        self.data.tg_event & pg_sys::TRIGGER_EVENT_ROW != 0
    }

    /// The rows that went with the statement, where the trigger asks for them.
    pub const fn old_rows(&self) -> Option<Transition<'a>> {
        self.transition(self.data.tg_oldtable)
    }

    /// The rows that came.
    pub const fn new_rows(&self) -> Option<Transition<'a>> {
        self.transition(self.data.tg_newtable)
    }

    const fn transition(&self, store: *mut pg_sys::Tuplestorestate) -> Option<Transition<'a>> {
        if store.is_null() { None } else { Some(Transition { store, data: self.data }) }
    }

    /// The row that went, of a trigger for each row.
    pub const fn old_row(&self) -> Option<Slot> {
        match self.event() {
            Event::Insert => None,
            _ => Some(self.slot(self.data.tg_trigslot)),
        }
    }

    /// The row that came.
    pub const fn new_row(&self) -> Option<Slot> {
        match self.event() {
            Event::Insert => Some(self.slot(self.data.tg_trigslot)),
            Event::Update => Some(self.slot(self.data.tg_newslot)),
            _ => None,
        }
    }

    const fn slot(&self, slot: *mut pg_sys::TupleTableSlot) -> Slot {
        // SAFETY: a row of the trigger's call.
        unsafe { Slot::new(slot) }
    }
}

/// A statement's transition table.
pub struct Transition<'a> {
    store: *mut pg_sys::Tuplestorestate,
    data: &'a pg_sys::TriggerData,
}

impl Transition<'_> {
    /// Shows every row.
    ///
    /// # Errors
    /// Those of `see`.
    pub fn each(&self, mut see: impl FnMut(&Slot) -> error::Result<()>) -> error::Result<()> {
        // SAFETY: the store belongs to the trigger's call and holds rows of the table. Its first read pointer is nobody else's:
        // queries over it make their own.
        unsafe {
            let form = (*self.data.tg_relation).rd_att;
            let slot = pg_sys::MakeSingleTupleTableSlot(form, &raw const pg_sys::TTSOpsMinimalTuple);
            pg_sys::tuplestore_select_read_pointer(self.store, 0);
            pg_sys::tuplestore_rescan(self.store);
            while pg_sys::tuplestore_gettupleslot(self.store, true, false, slot) {
                see(&Slot::new(slot))?;
            }
            pg_sys::ExecDropSingleTupleTableSlot(slot);
        }
        Ok(())
    }
}
