//! Look-ups in the catalog, each by a number that a table, type or name has.

#![allow(unsafe_code, reason = "look-ups in the catalog")]

use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// A type's name for messages.
pub fn type_name(oid: pg_sys::Oid) -> String {
    // SAFETY: gives a text for any number.
    unsafe { CStr::from_ptr(pg_sys::format_type_be(oid)).to_string_lossy().into_owned() }
}

/// A table's name with its schema, quoted where SQL needs it; its number where there is no such table.
pub fn shown(table: pg_sys::Oid) -> String {
    // SAFETY: look-ups that give null for what does not exist.
    unsafe {
        let (name, schema) = (pg_sys::get_rel_name(table), pg_sys::get_namespace_name_or_temp(pg_sys::get_rel_namespace(table)));
        if name.is_null() || schema.is_null() {
            return table.to_u32().to_string();
        }
        CStr::from_ptr(pg_sys::quote_qualified_identifier(schema, name)).to_string_lossy().into_owned()
    }
}

/// A name as an identifier of SQL.
pub fn identifier(name: &CString) -> String {
    // SAFETY: a text that ends with a zero byte.
    unsafe { CStr::from_ptr(pg_sys::quote_identifier(name.as_ptr())).to_string_lossy().into_owned() }
}

/// What kind of relation it is (`RELKIND_…`); 0 where there is none.
pub fn kind(table: pg_sys::Oid) -> u8 {
    // SAFETY: a look-up in the catalog.
    unsafe { pg_sys::get_rel_relkind(table) as u8 }
}

/// Is it permanent, temporary or unlogged (`RELPERSISTENCE_…`)?
pub fn persistence(table: pg_sys::Oid) -> u8 {
    // SAFETY: a look-up in the catalog.
    unsafe { pg_sys::get_rel_persistence(table) as u8 }
}

/// Is it a partition?
pub fn is_partition(table: pg_sys::Oid) -> bool {
    // SAFETY: a look-up in the catalog.
    unsafe { pg_sys::get_rel_relispartition(table) }
}

/// Was it made of a composite type (CREATE TABLE … OF), and so follows what becomes of that?
pub fn is_of_type(table: pg_sys::Oid) -> bool {
    // SAFETY: raises an error when there is no such table; an open relation has its row of pg_class.
    unsafe {
        let table = pg_sys::table_open(table, pg_sys::AccessShareLock as i32);
        let is_of_type = (*(*table).rd_rel).reloftype != pg_sys::InvalidOid;
        pg_sys::table_close(table, pg_sys::NoLock as i32);
        is_of_type
    }
}

/// Does it belong to the server, or lie in the schema of `ours`?
pub fn is_system(table: pg_sys::Oid, ours: Option<pg_sys::Oid>) -> bool {
    // SAFETY: look-ups in the catalog.
    unsafe {
        let schema = pg_sys::get_rel_namespace(table);
        ours.is_some_and(|ours| pg_sys::get_rel_namespace(ours) == schema)
            || pg_sys::IsCatalogRelationOid(table)
            || pg_sys::IsToastNamespace(schema)
    }
}

/// The number of a table's column, from 1; 0 where there is no column of that name, below 0 for the server's own.
pub fn column_number(table: pg_sys::Oid, name: &CStr) -> i16 {
    // SAFETY: a look-up in the catalog.
    unsafe { pg_sys::get_attnum(table, name.as_ptr()) }
}

/// The type of a table's column, below all domains; `None` where there is no such column.
pub fn base_type(table: pg_sys::Oid, column: &CStr) -> Option<pg_sys::Oid> {
    let number = column_number(table, column);
    // SAFETY: look-ups in the catalog.
    (number > 0).then(|| unsafe { pg_sys::getBaseType(pg_sys::get_atttype(table, number)) })
}

/// Is the type an enum?
pub fn is_enum(of: pg_sys::Oid) -> bool {
    // SAFETY: a look-up in the catalog.
    unsafe { pg_sys::get_typtype(of) as u8 == pg_sys::TYPTYPE_ENUM }
}

/// Waits for a transaction that renames a label of an enum, and lets none do it until this one ends.
pub fn hold_type(of: pg_sys::Oid) {
    // SAFETY: a lock that conflicts with that of ALTER TYPE … VALUE only.
    unsafe { pg_sys::LockDatabaseObject(pg_sys::TypeRelationId, of, 0, pg_sys::ShareLock as i32) };
}

/// A name as the server's text, in the database's encoding whatever that is.
pub fn text_of(name: &CStr) -> pg_sys::Datum {
    // SAFETY: copies a text that ends with a zero byte.
    unsafe { pg_sys::cstring_to_text(name.as_ptr()).into() }
}
