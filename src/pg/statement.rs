//! The statement that an event trigger fired for, and what it may do to an attached table, as its parse tree tells.

#![allow(unsafe_code, reason = "parse trees are the server's own structures")]

use pgrx::callconv::{Arg, ArgAbi};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// The call of a function that is meant to be an event trigger's.
pub struct Call<'a>(Option<Statement<'a>>);

impl<'a> Call<'a> {
    /// The statement; `None` where a query called the function.
    pub const fn statement(&self) -> Option<Statement<'a>> {
        self.0
    }
}

// SAFETY: no argument of SQL: it is made of the call itself.
unsafe impl<'fcx> ArgAbi<'fcx> for Call<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the server's call; the context's type tells what it is.
        unsafe {
            let call: pg_sys::FunctionCallInfo = arg.unbox_unchecked();
            let data = (*call).context.cast::<pg_sys::EventTriggerData>().as_ref();
            let data = data.filter(|data| data.type_ == pg_sys::NodeTag::T_EventTriggerData);
            Self(data.and_then(|data| data.parsetree.as_ref()).map(Statement))
        }
    }

    fn is_virtual_arg() -> bool {
        true
    }
}

pgrx::impl_sql_translatable!(Call<'_>, arg_only = "internal");

/// A statement, as its parse tree tells.
#[derive(Clone, Copy)]
pub struct Statement<'a>(&'a pg_sys::Node);

impl Statement<'_> {
    /// What it does, of what concerns us.
    pub fn effect(self) -> Effect {
        // SAFETY: the parse tree of the event trigger's call.
        unsafe { Effect::of(std::ptr::from_ref(self.0).cast_mut()) }
    }

    /// Does it drop an extension (or something else whose name has no schema) of this name?
    pub fn drops(self, name: &CStr) -> bool {
        let tree = std::ptr::from_ref(self.0);
        // SAFETY: the tag tells what the node is; names without a schema are strings.
        unsafe {
            (*tree).type_ == pg_sys::NodeTag::T_DropStmt && {
                let objects = (*tree.cast::<pg_sys::DropStmt>()).objects;
                let count = if objects.is_null() { 0 } else { (*objects).length as usize };
                (0..count).any(|i| {
                    let object = (*(*objects).elements.add(i)).ptr_value.cast::<pg_sys::String>();
                    (*object).type_ == pg_sys::NodeTag::T_String && CStr::from_ptr((*object).sval) == name
                })
            }
        }
    }
}

/// Nothing, for most statements.
#[derive(Clone, Default)]
pub struct Effect {
    /// A table has become part of another.
    pub comes: bool,
    /// A partition has become a table of its own.
    pub goes: bool,
    /// A column, key or the kind of storage is another or gone.
    pub changes: bool,
    /// Columns that get another type, or another expression that they are generated from.
    pub columns: Vec<CString>,
    /// Values of a type say something else from now on: a label of an enum is another, or there is a new cast.
    pub rereads: bool,
    /// It names a type, and so concerns tables that it does not name.
    pub is_about_type: bool,
}

impl Effect {
    /// What the statement does, of what concerns us.
    ///
    /// # Safety
    /// The parse tree is that of a statement.
    unsafe fn of(tree: *mut pg_sys::Node) -> Self {
        // SAFETY: the tag tells what each node is.
        unsafe {
            match (*tree).type_ {
                // Of a foreign table, the same comes first.
                pg_sys::NodeTag::T_CreateStmt | pg_sys::NodeTag::T_CreateForeignTableStmt => {
                    Self { comes: !(*tree.cast::<pg_sys::CreateStmt>()).inhRelations.is_null(), ..Self::default() }
                }
                pg_sys::NodeTag::T_CreateSchemaStmt => {
                    Self { comes: !(*tree.cast::<pg_sys::CreateSchemaStmt>()).schemaElts.is_null(), ..Self::default() }
                }
                pg_sys::NodeTag::T_RenameStmt => Self::of_rename((*tree.cast::<pg_sys::RenameStmt>()).renameType),
                pg_sys::NodeTag::T_AlterTableStmt => Self::of_alter(&*tree.cast::<pg_sys::AlterTableStmt>()),
                // A label that is added says nothing else of rows that are there.
                pg_sys::NodeTag::T_AlterEnumStmt => {
                    Self { rereads: !(*tree.cast::<pg_sys::AlterEnumStmt>()).oldVal.is_null(), ..Self::default() }
                }
                pg_sys::NodeTag::T_CreateCastStmt => Self { rereads: true, ..Self::default() },
                _ => Self::default(),
            }
        }
    }

    /// Is there nothing to look at?
    pub fn is_none(&self) -> bool {
        !(self.comes || self.goes || self.changes || self.rereads) && self.columns.is_empty()
    }

    fn of_rename(what: pg_sys::ObjectType::Type) -> Self {
        let is_about_type = what == pg_sys::ObjectType::OBJECT_ATTRIBUTE;
        Self { changes: is_about_type || what == pg_sys::ObjectType::OBJECT_COLUMN, is_about_type, ..Self::default() }
    }

    unsafe fn of_alter(statement: &pg_sys::AlterTableStmt) -> Self {
        let is_about_type = statement.objtype == pg_sys::ObjectType::OBJECT_TYPE;
        let mut effect = Self { is_about_type, ..Self::default() };
        // SAFETY: a list of commands.
        unsafe {
            let count = if statement.cmds.is_null() { 0 } else { (*statement.cmds).length as usize };
            for i in 0..count {
                effect.add(&*(*(*statement.cmds).elements.add(i)).ptr_value.cast::<pg_sys::AlterTableCmd>());
            }
        }
        effect
    }

    unsafe fn add(&mut self, command: &pg_sys::AlterTableCmd) {
        use pg_sys::AlterTableType as Type;
        #[cfg(any(feature = "pg15", feature = "pg16"))]
        let makes_anew = command.subtype == Type::AT_AlterColumnType;
        #[cfg(not(any(feature = "pg15", feature = "pg16")))]
        let makes_anew = [Type::AT_AlterColumnType, Type::AT_SetExpression].contains(&command.subtype);
        if makes_anew && !command.name.is_null() {
            // SAFETY: the name of a column.
            self.columns.push(unsafe { CStr::from_ptr(command.name) }.to_owned());
        }
        match command.subtype {
            Type::AT_AttachPartition | Type::AT_AddInherit => self.comes = true,
            Type::AT_DetachPartition | Type::AT_DetachPartitionFinalize => self.goes = true,
            Type::AT_DropColumn
            | Type::AT_AlterColumnType
            | Type::AT_DropConstraint
            | Type::AT_DropNotNull
            | Type::AT_SetAccessMethod
            | Type::AT_SetLogged
            | Type::AT_SetUnLogged => self.changes = true,
            _ => {}
        }
    }
}
