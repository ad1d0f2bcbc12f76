//! Cells as SQL functions take and return them: as text or bigint. SQL has a function for each; in Rust both have one body.

#![allow(unsafe_code, reason = "looks up an argument's type in the call")]

use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::{IntoDatum, pg_sys};
use vote_agg_core::vote::cell::{cell_from_bits, cell_to_bits};
use vote_agg_core::{CellIndex, Error, parse_cell};

/// A cell as it is given.
#[derive(Clone, Copy)]
pub enum AnyCell<'a> {
    Text(&'a [u8]),
    Bits(i64),
}

impl AnyCell<'_> {
    /// The cell.
    ///
    /// # Errors
    /// [`Error::Cell`] when it is none.
    pub fn parse(self) -> Result<CellIndex, Error> {
        match self {
            Self::Text(text) => parse_cell(text),
            Self::Bits(bits) => cell_from_bits(bits),
        }
    }

    /// Another cell, as this one is given.
    pub fn alike(self, cell: CellIndex) -> SameCell {
        match self {
            Self::Text(_) => SameCell::Text(cell.to_string()),
            Self::Bits(_) => SameCell::Bits(cell_to_bits(cell)),
        }
    }
}

// SAFETY: a plain value in.
unsafe impl<'fcx> ArgAbi<'fcx> for AnyCell<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        let place = arg.index();
        // SAFETY: an argument of the call, which is not null; a text that is detoasted lives as long as the call.
        unsafe {
            let call: pg_sys::FunctionCallInfo = arg.unbox_unchecked();
            let value = (*call).args.as_slice(place + 1)[place].value;
            if is_bigint((*call).flinfo, place) {
                return Self::Bits(value.value() as i64);
            }
            Self::Text(pgrx::varlena::varlena_to_byte_slice(pg_sys::pg_detoast_datum_packed(value.cast_mut_ptr())))
        }
    }
}

pgrx::impl_sql_translatable!(AnyCell<'_>, arg_only = "text");

/// Is the argument a bigint? A query tells; a call that is none (the fast-path interface) has only the function's number.
///
/// # Safety
/// The function of a call that has this argument.
unsafe fn is_bigint(function: *mut pg_sys::FmgrInfo, place: usize) -> bool {
    // SAFETY: as promised by the caller; a function has a type for each of its arguments.
    unsafe {
        match type_in_query(function, place) {
            pg_sys::INT8OID => true,
            pg_sys::TEXTOID => false,
            _ => {
                let (mut types, mut count) = (std::ptr::null_mut(), 0);
                pg_sys::get_func_signature((*function).fn_oid, &mut types, &mut count);
                *types.add(place) == pg_sys::INT8OID
            }
        }
    }
}

/// The type of an argument in the expression that calls the function, as `get_fn_expr_argtype` finds it; `InvalidOid` where it
/// takes a longer look. A call into the server costs a vote more than a look at a constant, parameter or column.
///
/// # Safety
/// As above.
unsafe fn type_in_query(function: *mut pg_sys::FmgrInfo, place: usize) -> pg_sys::Oid {
    // SAFETY: the tag tells what each node is.
    unsafe {
        let call = (*function).fn_expr.cast::<pg_sys::FuncExpr>();
        if call.is_null() || (*call).xpr.type_ != pg_sys::NodeTag::T_FuncExpr {
            return pg_sys::InvalidOid;
        }
        let argument = (*(*(*call).args).elements.add(place)).ptr_value.cast::<pg_sys::Node>();
        match (*argument).type_ {
            pg_sys::NodeTag::T_Const => (*argument.cast::<pg_sys::Const>()).consttype,
            pg_sys::NodeTag::T_Param => (*argument.cast::<pg_sys::Param>()).paramtype,
            pg_sys::NodeTag::T_Var => (*argument.cast::<pg_sys::Var>()).vartype,
            pg_sys::NodeTag::T_RelabelType => (*argument.cast::<pg_sys::RelabelType>()).resulttype,
            pg_sys::NodeTag::T_FuncExpr => (*argument.cast::<pg_sys::FuncExpr>()).funcresulttype,
            _ => pg_sys::InvalidOid,
        }
    }
}

/// A cell to be returned as another one was given.
pub enum SameCell {
    Text(String),
    Bits(i64),
}

// SAFETY: the install script declares that the function returns what it takes.
unsafe impl BoxRet for SameCell {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        let datum = match self {
            Self::Text(text) => text.into_datum(),
            Self::Bits(bits) => bits.into_datum(),
        };
        match datum {
            // SAFETY: the datum lives in the caller's memory context.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

pgrx::impl_sql_translatable!(SameCell, "text");
