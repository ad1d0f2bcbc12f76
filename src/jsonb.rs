//! jsonb as text: the server's own parser and printer, without a tree in between.

#![allow(unsafe_code, reason = "calls the server's jsonb functions")]

use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::{FromDatum, IntoDatum, pg_sys};
use std::ffi::{CStr, CString};

/// A jsonb value's text.
pub struct JsonbText(pub String);

impl FromDatum for JsonbText {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: the argument is a jsonb; the printer's text ends with a zero byte. Outside UTF-8 databases the text
        // may be in another encoding, so it is checked.
        unsafe {
            let jsonb: *mut pg_sys::varlena = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
            let length = i32::try_from(pgrx::varlena::varsize_any(jsonb)).ok()?;
            let root = jsonb.cast::<u8>().add(pg_sys::VARHDRSZ).cast();
            let text = pg_sys::JsonbToCString(std::ptr::null_mut(), root, length);
            let owned = CStr::from_ptr(text).to_str().map(str::to_owned);
            pg_sys::pfree(text.cast());
            owned.ok().map(Self)
        }
    }
}

impl IntoDatum for JsonbText {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        let text = CString::new(self.0).ok()?;
        // SAFETY: jsonb_in takes one C string.
        unsafe { pgrx::direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(pg_sys::Datum::from(text.as_ptr()))]) }
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

// SAFETY: a plain value in, a plain value out.
unsafe impl<'fcx> ArgAbi<'fcx> for JsonbText {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the install script declares the argument as jsonb.
        unsafe { arg.unbox_arg_using_from_datum().unwrap_or(Self(String::new())) }
    }
}

// SAFETY: as above.
unsafe impl BoxRet for JsonbText {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: the datum lives in the caller's memory context.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

pgrx::impl_sql_translatable!(JsonbText, "jsonb");
