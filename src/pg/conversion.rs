//! Columns of any table, read as texts and numbers.
//!
//! Text, varchar and bigint are read as they are. Other types go through their cast, which has to be immutable. A row that is
//! deleted must read as it did when it was inserted, or its vote would not be found again. The cast also has to be compiled
//! code, which superusers install: no code of a table's owner runs in the sessions of others that read the table.

#![allow(unsafe_code, reason = "values of any type are read through the server's own functions")]

use crate::pg::catalog;
use crate::pg::slot::Slot;
use pgrx::{FromDatum, pg_sys};
use std::ffi::CStr;

/// What a value is read as.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Text,
    Bigint,
    Float,
}

impl Kind {
    /// The type of SQL.
    pub const fn oid(self) -> pg_sys::Oid {
        match self {
            Self::Text => pg_sys::TEXTOID,
            Self::Bigint => pg_sys::INT8OID,
            Self::Float => pg_sys::FLOAT8OID,
        }
    }
}

/// How a value becomes one of that kind.
#[derive(Clone, Copy)]
enum Conversion {
    AsItIs,
    /// A cast's function, with how many arguments it takes.
    Cast(pg_sys::Oid, i32),
    /// The type's output function.
    Output(pg_sys::Oid),
}

/// A column as it is found in one table.
pub struct Column {
    number: i16,
    name: String,
    kind: Kind,
    conversion: Conversion,
}

/// Why a column can't be read.
pub enum Unreadable {
    Missing,
    /// It has this type.
    Type(pg_sys::Oid),
}

impl Column {
    /// Looks it up. `through_output`: a type that casts to text in no other way is read as it is printed.
    ///
    /// # Errors
    /// Where it is missing, or has a type that reads as none of `kinds`.
    pub fn find(table: pg_sys::Oid, name: &CStr, kinds: &[Kind], through_output: bool) -> Result<Self, Unreadable> {
        let number = catalog::column_number(table, name);
        if number <= 0 {
            return Err(Unreadable::Missing);
        }
        // SAFETY: look-ups in the catalog by a table that is locked. Virtual columns (PostgreSQL 18) are not in the rows that a
        // trigger is shown.
        let (given, is_virtual) =
            unsafe { (pg_sys::get_atttype(table, number), pg_sys::get_attgenerated(table, number) as u8 == b'v') };
        let found = kinds.iter().find_map(|kind| Some((*kind, conversion(given, *kind, through_output)?)));
        let (kind, conversion) = found.filter(|_| !is_virtual).ok_or(Unreadable::Type(given))?;
        Ok(Self { number, name: name.to_string_lossy().into_owned(), kind, conversion })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number, from 1.
    pub const fn number(&self) -> i16 {
        self.number
    }

    /// What it is read as.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Is what it stores the very value that is read?
    pub const fn is_as_it_is(&self) -> bool {
        matches!(self.conversion, Conversion::AsItIs)
    }

    /// Prepares for rows of one statement.
    pub fn prepare(&self) -> Prepared {
        Prepared(match self.conversion {
            Conversion::AsItIs => None,
            Conversion::Cast(function, _) | Conversion::Output(function) => {
                let mut info = pg_sys::FmgrInfo::default();
                // SAFETY: a function that exists; it lives as long as the statement's memory.
                unsafe { pg_sys::fmgr_info(function, &mut info) };
                Some(info)
            }
        })
    }

    /// The value as its kind's datum.
    fn value(&self, call: &mut Prepared, slot: &Slot) -> Option<pg_sys::Datum> {
        let given = slot.get(self.number)?;
        let (Some(info), Conversion::Cast(_, arguments)) = (&mut call.0, self.conversion) else { return Some(given) };
        // SAFETY: the cast's function takes the value, then the type modifier (none) and whether it is explicit.
        unsafe {
            let collation = pg_sys::DEFAULT_COLLATION_OID;
            let (modifier, explicit) = (pg_sys::Datum::from(-1i32), pg_sys::Datum::from(true));
            Some(match arguments {
                1 => pg_sys::FunctionCall1Coll(info, collation, given),
                2 => pg_sys::FunctionCall2Coll(info, collation, given, modifier),
                _ => pg_sys::FunctionCall3Coll(info, collation, given, modifier, explicit),
            })
        }
    }

    /// The value of a column of texts, `None` for NULL. It stays until the [`Memory`] in use is, or the row moves on.
    pub fn text<'a>(&self, call: &'a mut Prepared, slot: &'a Slot) -> Option<&'a [u8]> {
        // SAFETY: a text as the conversion makes it.
        unsafe {
            if let (Some(info), Conversion::Output(_)) = (&mut call.0, self.conversion) {
                return Some(CStr::from_ptr(pg_sys::OutputFunctionCall(info, slot.get(self.number)?)).to_bytes());
            }
            let datum = self.value(call, slot)?;
            Some(pgrx::varlena::varlena_to_byte_slice(pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr())))
        }
    }

    /// The value of a column of bigints, `None` for NULL.
    pub fn bigint(&self, call: &mut Prepared, slot: &Slot) -> Option<i64> {
        self.value(call, slot).map(|value| value.value() as i64)
    }

    /// The value of a column of floats, `None` for NULL.
    pub fn float(&self, call: &mut Prepared, slot: &Slot) -> Option<f64> {
        // SAFETY: a float8 as the conversion makes it.
        unsafe { f64::from_datum(self.value(call, slot)?, false) }
    }
}

/// A column's function, looked up once a statement.
#[derive(Default)]
pub struct Prepared(Option<pg_sys::FmgrInfo>);

/// Memory for what casts allocate, which is freed again and again.
pub struct Memory {
    rows: pg_sys::MemoryContext,
    read: u32,
}

impl Memory {
    /// A child of the current memory, so that an error frees it too.
    pub fn new() -> Self {
        // SAFETY: deleted when this is dropped, or with its parent.
        let rows = unsafe {
            pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"vote_agg rows".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            )
        };
        Self { rows, read: 0 }
    }

    /// Reads one row in this memory. What rows before left there may be gone.
    pub fn read_row<T>(&mut self, read: impl FnOnce() -> T) -> T {
        const KEEP_ROWS: u32 = 256;
        self.read += 1;
        // SAFETY: the memory is ours; what was read before is not used any more.
        let outside = unsafe {
            if self.read.is_multiple_of(KEEP_ROWS) {
                pg_sys::MemoryContextReset(self.rows);
            }
            pg_sys::MemoryContextSwitchTo(self.rows)
        };
        let row = read();
        // SAFETY: back to where we came from.
        unsafe { pg_sys::MemoryContextSwitchTo(outside) };
        row
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // While an error passes through, the statement's memory goes with this in it.
        if !std::thread::panicking() {
            // SAFETY: ours, and nothing read from it is left.
            unsafe { pg_sys::MemoryContextDelete(self.rows) };
        }
    }
}

/// Types without a cast to text that print alike whatever the session's settings are. The server calls more output functions
/// immutable than are: numbers of floating point, points and bytea print as settings say.
const PRINTED: [pg_sys::Oid; 12] = [
    pg_sys::INT2OID,
    pg_sys::INT4OID,
    pg_sys::INT8OID,
    pg_sys::OIDOID,
    pg_sys::NUMERICOID,
    pg_sys::UUIDOID,
    pg_sys::MACADDROID,
    pg_sys::MACADDR8OID,
    pg_sys::BITOID,
    pg_sys::VARBITOID,
    pg_sys::JSONOID,
    pg_sys::JSONBOID,
];

/// The languages of compiled code, by their fixed numbers in pg_language.
const INTERNAL: pg_sys::Oid = pg_sys::Oid::from_u32(12);
const C: pg_sys::Oid = pg_sys::Oid::from_u32(13);

/// Is this a function of compiled code that gives the same at all times?
fn can_be_trusted(function: pg_sys::Oid) -> bool {
    // SAFETY: a look-up in the catalog; the row is given back.
    unsafe {
        let found = pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as i32, function.into());
        if found.is_null() {
            return false;
        }
        let row = &*pg_sys::GETSTRUCT(found).cast::<pg_sys::FormData_pg_proc>();
        let is_compiled = [INTERNAL, C].contains(&row.prolang);
        let is_immutable = row.provolatile as u8 == pg_sys::PROVOLATILE_IMMUTABLE;
        pg_sys::ReleaseSysCache(found);
        is_compiled && is_immutable
    }
}

/// How values of type `given` become `kind`; `None` where they don't, or not in the same way at all times.
fn conversion(given: pg_sys::Oid, kind: Kind, through_output: bool) -> Option<Conversion> {
    // SAFETY: look-ups in the catalog by a type that a column has.
    unsafe {
        let base = pg_sys::getBaseType(given);
        if base == kind.oid() {
            return Some(Conversion::AsItIs);
        }
        let mut function = pg_sys::InvalidOid;
        match pg_sys::find_coercion_pathway(kind.oid(), base, pg_sys::CoercionContext::COERCION_EXPLICIT, &mut function) {
            // What xml is as text depends on the encoding that it says it has.
            pg_sys::CoercionPathType::COERCION_PATH_RELABELTYPE if base != pg_sys::XMLOID => Some(Conversion::AsItIs),
            pg_sys::CoercionPathType::COERCION_PATH_FUNC if can_be_trusted(function) => {
                Some(Conversion::Cast(function, pg_sys::get_func_nargs(function)))
            }
            pg_sys::CoercionPathType::COERCION_PATH_COERCEVIAIO if through_output => {
                let (mut output, mut is_varlena) = (pg_sys::InvalidOid, false);
                pg_sys::getTypeOutputInfo(base, &mut output, &mut is_varlena);
                // Labels of an enum can be renamed, so its output is not immutable; that is refused (attached/ddl.rs).
                (catalog::is_enum(base) || PRINTED.contains(&base)).then_some(Conversion::Output(output))
            }
            _ => None,
        }
    }
}
