//! The form of rows: which columns they have by name, and the values of a row that is read or written below SQL.

#![allow(unsafe_code, reason = "row types are the server's own structures")]

use crate::error::{Result, broken};
use pgrx::{IntoDatum, pg_sys};

/// How many columns there are.
///
/// # Safety
/// The form is valid.
pub unsafe fn width(form: pg_sys::TupleDesc) -> usize {
    // SAFETY: as promised by the caller.
    usize::try_from(unsafe { (*form).natts }).unwrap_or(0)
}

/// Whether the column at a place, from 0, has this name.
///
/// # Safety
/// The form is valid, and has that many columns.
unsafe fn is_named(form: pg_sys::TupleDesc, place: usize, column: &str) -> bool {
    // SAFETY: as promised by the caller; a name has as many bytes as are compared.
    let name = unsafe {
        #[cfg(not(feature = "pg18"))]
        let first: *const pg_sys::FormData_pg_attribute = (*form).attrs.as_ptr();
        // They lie after as many compact ones.
        #[cfg(feature = "pg18")]
        let first: *const pg_sys::FormData_pg_attribute = (*form).compact_attrs.as_ptr().add(width(form)).cast();
        std::slice::from_raw_parts((*first.add(place)).attname.data.as_ptr().cast::<u8>(), pg_sys::NAMEDATALEN as usize)
    };
    name.strip_prefix(column.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
}

/// The place, from 0, of a column. The look begins at the place `from`: columns that are read in their order are found at once.
///
/// # Errors
/// XX000 where there is no such column.
///
/// # Safety
/// The form is valid.
pub unsafe fn place_of(form: pg_sys::TupleDesc, column: &str, from: usize) -> Result<usize> {
    // SAFETY: as promised by the caller.
    let (width, is) = unsafe { (width(form), |place: &usize| is_named(form, *place, column)) };
    let found = (from..width).chain(0..from.min(width)).find(is);
    found.ok_or_else(|| broken(format!("a row that vote_agg reads has no column {column}")))
}

/// Checks that the columns are these, in this order: for rows that are read and written below SQL, by place.
///
/// # Errors
/// XX000 where they are others.
///
/// # Safety
/// The form is valid.
pub unsafe fn check(form: pg_sys::TupleDesc, expected: &[&str]) -> Result<()> {
    // SAFETY: as promised by the caller.
    let is_same = unsafe {
        width(form) == expected.len() && expected.iter().enumerate().all(|(place, column)| is_named(form, place, column))
    };
    if is_same { Ok(()) } else { Err(broken(format!("a table of vote_agg has other columns than {}", expected.join(", ")))) }
}

/// The values of a row that is read and written below SQL, each at the place of its column.
#[derive(Clone, Copy)]
pub struct Values<const N: usize> {
    datums: [pg_sys::Datum; N],
    nulls: [bool; N],
}

impl<const N: usize> Values<N> {
    /// All of them NULL.
    pub const fn none() -> Self {
        Self { datums: [pg_sys::Datum::null(); N], nulls: [true; N] }
    }

    /// The value at a place, `None` for NULL.
    pub fn get(&self, place: usize) -> Option<pg_sys::Datum> {
        (!self.nulls[place]).then_some(self.datums[place])
    }

    /// Sets a value.
    pub fn set(&mut self, place: usize, value: impl Into<pg_sys::Datum>) {
        (self.datums[place], self.nulls[place]) = (value.into(), false);
    }

    /// Sets a text, which is copied to the current memory.
    pub fn set_text(&mut self, place: usize, text: &str) {
        if let Some(copy) = text.into_datum() {
            self.set(place, copy);
        }
    }

    /// Frees a text.
    ///
    /// # Safety
    /// It was set here, and nobody uses it any more.
    pub unsafe fn free_text(&self, place: usize) {
        if let Some(text) = self.get(place) {
            // SAFETY: as promised by the caller.
            unsafe { pg_sys::pfree(text.cast_mut_ptr()) };
        }
    }

    /// Takes a row apart. What is not by value stays where the row is.
    ///
    /// # Safety
    /// A valid row of this form, which has at most `N` columns.
    pub unsafe fn read(&mut self, tuple: pg_sys::HeapTuple, form: pg_sys::TupleDesc) {
        // SAFETY: as promised by the caller.
        unsafe { pg_sys::heap_deform_tuple(tuple, form, self.datums.as_mut_ptr(), self.nulls.as_mut_ptr()) };
    }

    /// Makes a row in the current memory.
    ///
    /// # Safety
    /// The form has at most `N` columns, whose types are those of the values.
    pub unsafe fn write(&mut self, form: pg_sys::TupleDesc) -> pg_sys::HeapTuple {
        // SAFETY: as promised by the caller.
        unsafe { pg_sys::heap_form_tuple(form, self.datums.as_mut_ptr(), self.nulls.as_mut_ptr()) }
    }
}
