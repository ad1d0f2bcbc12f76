//! Columns of attached tables: where they are, and how their values become a vote.
//!
//! Text, varchar and bigint are read as they are. Other types go through their cast, which has to be immutable. A row that is
//! deleted must read as it did when it was inserted, or its vote would not be found again. The cast also has to be compiled
//! code, which superusers install: no code of a table's owner runs in the sessions of others that read the table.

#![allow(unsafe_code, reason = "values of any type are read through the server's own functions")]

use crate::attached::errors::{mismatched, no_column, refused_in};
use crate::error::Result;
use pgrx::{FromDatum, pg_sys};
use std::ffi::{CStr, CString};
use vote_agg_core::geo::points::parse_point;
use vote_agg_core::vote::cell::cell_from_bits;
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::{Source, Vote};
use vote_agg_core::{CellIndex, Country, Error, Resolution, parse_cell, parse_resolution};

/// The columns that a vote is read from, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnNames {
    pub match_id: CString,
    pub team: CString,
    pub country: Option<CString>,
    pub place: PlaceColumns<CString>,
}

impl ColumnNames {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &CString> {
        let place = match &self.place {
            PlaceColumns::None => [None, None],
            PlaceColumns::Cell(cell) => [Some(cell), None],
            PlaceColumns::Point { latitude, longitude, .. } => [Some(latitude), Some(longitude)],
        };
        [Some(&self.match_id), Some(&self.team), self.country.as_ref()].into_iter().chain(place).flatten()
    }

    /// The types that they have in a table, below all domains. A column that is missing has none.
    pub fn types(&self, table: pg_sys::Oid) -> impl Iterator<Item = pg_sys::Oid> {
        // SAFETY: look-ups in the catalog.
        self.all().filter_map(move |name| unsafe {
            let number = pg_sys::get_attnum(table, name.as_ptr());
            (number > 0).then(|| pg_sys::getBaseType(pg_sys::get_atttype(table, number)))
        })
    }

    /// Waits for whoever renames a label of an enum among these types, and keeps them from it until the transaction ends.
    pub fn hold_labels(&self, table: pg_sys::Oid) {
        for base in self.types(table) {
            // SAFETY: a look-up, and a lock that conflicts with that of ALTER TYPE … VALUE only.
            unsafe {
                if pg_sys::get_typtype(base) as u8 == pg_sys::TYPTYPE_ENUM {
                    pg_sys::LockDatabaseObject(pg_sys::TypeRelationId, base, 0, pg_sys::ShareLock as i32);
                }
            }
        }
    }
}

/// Where a vote comes from: nowhere, a cell, or a point whose cell is looked up.
#[derive(Clone, Debug, PartialEq)]
pub enum PlaceColumns<C> {
    None,
    Cell(C),
    Point { latitude: C, longitude: C, resolution: Resolution },
}

/// The same columns as they are found in a table.
pub struct Columns {
    match_id: Column,
    team: Column,
    country: Option<Column>,
    place: PlaceColumns<Column>,
    /// The last of them, so that a row is taken apart once.
    last: i16,
}

impl Columns {
    /// Looks them up.
    ///
    /// # Errors
    /// 42703 for a missing column, 42804 for a type that can't be read.
    pub fn find(table: pg_sys::Oid, names: &ColumnNames) -> Result<Self> {
        let text = |name: &CString| Column::find(table, name, &[Kind::Text], true);
        let number = |name: &CString| Column::find(table, name, &[Kind::Float], false);
        let columns = Self {
            match_id: text(&names.match_id)?,
            team: text(&names.team)?,
            country: names.country.as_ref().map(text).transpose()?,
            place: match &names.place {
                PlaceColumns::None => PlaceColumns::None,
                PlaceColumns::Cell(name) => PlaceColumns::Cell(Column::find(table, name, &[Kind::Bigint, Kind::Text], false)?),
                PlaceColumns::Point { latitude, longitude, resolution } => {
                    PlaceColumns::Point { latitude: number(latitude)?, longitude: number(longitude)?, resolution: *resolution }
                }
            },
            last: 0,
        };
        let last = columns.all().map(|column| column.number).max().unwrap_or(0);
        Ok(Self { last, ..columns })
    }

    fn all(&self) -> impl Iterator<Item = &Column> {
        let place = match &self.place {
            PlaceColumns::None => [None, None],
            PlaceColumns::Cell(cell) => [Some(cell), None],
            PlaceColumns::Point { latitude, longitude, .. } => [Some(latitude), Some(longitude)],
        };
        [Some(&self.match_id), Some(&self.team), self.country.as_ref()].into_iter().chain(place).flatten()
    }

    /// Is what the column stores the very value that is counted?
    pub fn is_read_as_it_is(&self, name: &CStr) -> bool {
        let name = name.to_string_lossy();
        self.all().all(|column| column.name != name || matches!(column.way, Conversion::AsItIs))
    }
}

/// What a value is read as.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Bigint,
    Float,
}

impl Kind {
    const fn oid(self) -> pg_sys::Oid {
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
    way: Conversion,
}

impl Column {
    /// `through_output`: a type that casts to text in no other way is read as it is printed.
    fn find(table: pg_sys::Oid, name: &CStr, kinds: &[Kind], through_output: bool) -> Result<Self> {
        let shown = name.to_string_lossy().into_owned();
        // SAFETY: look-ups in the catalog by a table that is locked.
        let (number, given) = unsafe {
            let number = pg_sys::get_attnum(table, name.as_ptr());
            if number <= 0 {
                return Err(no_column(table, &shown));
            }
            (number, pg_sys::get_atttype(table, number))
        };
        // SAFETY: as above. Virtual columns (PostgreSQL 18) are not in the rows that a trigger is shown.
        let is_virtual = unsafe { pg_sys::get_attgenerated(table, number) } as u8 == b'v';
        let ways = kinds.iter().find_map(|kind| Some((*kind, way(given, *kind, through_output)?)));
        match ways.filter(|_| !is_virtual) {
            Some((kind, way)) => Ok(Self { number, name: shown, kind, way }),
            None => Err(mismatched(&shown, given, kinds.iter().map(|kind| kind.oid()))),
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

/// The languages of compiled code, by their fixed numbers in pg_language.
const INTERNAL: pg_sys::Oid = pg_sys::Oid::from_u32(12);
const C: pg_sys::Oid = pg_sys::Oid::from_u32(13);

/// How values of type `given` become `kind`; `None` where they don't, or not in the same way at all times.
fn way(given: pg_sys::Oid, kind: Kind, through_output: bool) -> Option<Conversion> {
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
                // Labels of an enum can be renamed, so its output is not immutable; that is refused (ddl.rs).
                let is_enum = pg_sys::get_typtype(base) as u8 == pg_sys::TYPTYPE_ENUM;
                (is_enum || PRINTED.contains(&base)).then_some(Conversion::Output(output))
            }
            _ => None,
        }
    }
}

/// One row, taken apart as far as its columns are asked for.
pub struct Slot(*mut pg_sys::TupleTableSlot);

impl Slot {
    /// # Safety
    /// The slot holds a row, as long as this lives.
    pub const unsafe fn new(slot: *mut pg_sys::TupleTableSlot) -> Self {
        Self(slot)
    }

    fn deform(&self, last: i16) {
        // SAFETY: as promised to `new`; the table has that many columns.
        unsafe {
            if (*self.0).tts_nvalid < last {
                pg_sys::slot_getsomeattrs_int(self.0, last.into());
            }
        }
    }

    fn get(&self, number: i16) -> Option<pg_sys::Datum> {
        let place = usize::try_from(number).ok()? - 1;
        // SAFETY: taken apart at least as far.
        unsafe { (!*(*self.0).tts_isnull.add(place)).then(|| *(*self.0).tts_values.add(place)) }
    }
}

/// A vote as a row tells it.
#[derive(PartialEq)]
pub struct RowVote<'a> {
    pub match_id: &'a str,
    pub team: &'a str,
    pub cell: Option<CellIndex>,
    pub country: Option<Country>,
}

impl<'a> RowVote<'a> {
    /// So many votes of this kind.
    pub const fn times(&self, votes: i64, source: Source, at: i64) -> Vote<'a> {
        Vote { team: self.team, cell: self.cell, country: self.country, votes, in_total: true, source, at }
    }
}

/// Reads rows for the time of one statement. What casts allocate is freed again and again.
pub struct Reader<'c> {
    columns: &'c Columns,
    /// The functions of match, team, country, cell or latitude, longitude.
    calls: [Option<pg_sys::FmgrInfo>; 5],
    rows: pg_sys::MemoryContext,
    read: u32,
}

impl<'c> Reader<'c> {
    /// Prepares for columns of a table.
    pub fn new(columns: &'c Columns) -> Self {
        let call = |column: &Column| match column.way {
            Conversion::AsItIs => None,
            Conversion::Cast(function, _) | Conversion::Output(function) => {
                let mut info = pg_sys::FmgrInfo::default();
                // SAFETY: a function that exists; it lives as long as the statement's memory.
                unsafe { pg_sys::fmgr_info(function, &mut info) };
                Some(info)
            }
        };
        let (place, longitude) = match &columns.place {
            PlaceColumns::None => (None, None),
            PlaceColumns::Cell(cell) => (call(cell), None),
            PlaceColumns::Point { latitude, longitude, .. } => (call(latitude), call(longitude)),
        };
        let calls = [call(&columns.match_id), call(&columns.team), columns.country.as_ref().and_then(call), place, longitude];
        // SAFETY: a child of the current memory, so that an error frees it too.
        let rows = unsafe {
            pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"vote_agg rows".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            )
        };
        Self { columns, calls, rows, read: 0 }
    }

    /// The vote of a row; `None` where it has no match or no team, and so is no vote.
    ///
    /// # Errors
    /// 22023 naming the column and its value.
    pub fn read(&mut self, slot: &Slot) -> Result<Option<RowVote<'_>>> {
        const KEEP_ROWS: u32 = 256;
        self.read += 1;
        // SAFETY: the memory is ours; what was read before is not used any more.
        let outside = unsafe {
            if self.read.is_multiple_of(KEEP_ROWS) {
                pg_sys::MemoryContextReset(self.rows);
            }
            pg_sys::MemoryContextSwitchTo(self.rows)
        };
        let read = self.read_row(slot);
        // SAFETY: back to where we came from.
        unsafe { pg_sys::MemoryContextSwitchTo(outside) };
        read
    }

    fn read_row(&mut self, slot: &Slot) -> Result<Option<RowVote<'_>>> {
        let Self { columns, calls, .. } = self;
        slot.deform(columns.last);
        let [matches, teams, countries, places, longitudes] = calls;
        let Some((match_id, team)) = text(&columns.match_id, matches, slot).zip(text(&columns.team, teams, slot)) else {
            return Ok(None);
        };
        let name = |column: &Column, what, bytes| parse_name(what, Some(bytes)).map_err(|e| refused_in(&column.name, e));
        let country = match columns.country.as_ref().and_then(|column| Some((column, text(column, countries, slot)?))) {
            None => None,
            Some((column, code)) => Some(Country::parse(code).map_err(|e| refused_in(&column.name, e))?),
        };
        let cell = match &columns.place {
            PlaceColumns::None => None,
            PlaceColumns::Cell(column) => cell(column, places, slot).map_err(|e| refused_in(&column.name, e))?,
            PlaceColumns::Point { latitude, longitude, resolution } => {
                match (float(latitude, places, slot), float(longitude, longitudes, slot)) {
                    (Some(north), Some(east)) => {
                        Some(parse_point(north, east).map(|point| point.to_cell(*resolution)).map_err(|e| {
                            let column = if matches!(e, Error::Range { what: "lat", .. }) { latitude } else { longitude };
                            refused_in(&column.name, e)
                        })?)
                    }
                    _ => None,
                }
            }
        };
        let (match_id, team) = (name(&columns.match_id, "match_id", match_id)?, name(&columns.team, "team_choice", team)?);
        Ok(Some(RowVote { match_id, team, cell, country }))
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        // While an error passes through, the statement's memory goes with this in it.
        if !std::thread::panicking() {
            // SAFETY: ours, and nothing read from it is left.
            unsafe { pg_sys::MemoryContextDelete(self.rows) };
        }
    }
}

/// The value as its kind's datum.
fn value(column: &Column, call: &mut Option<pg_sys::FmgrInfo>, slot: &Slot) -> Option<pg_sys::Datum> {
    let given = slot.get(column.number)?;
    let (Some(info), Conversion::Cast(_, arguments)) = (call, column.way) else { return Some(given) };
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

fn text<'a>(column: &Column, call: &mut Option<pg_sys::FmgrInfo>, slot: &Slot) -> Option<&'a [u8]> {
    // SAFETY: a text as the column's way makes it; it stays until the reader's memory is reset or the row moves on.
    unsafe {
        if let (Some(info), Conversion::Output(_)) = (call.as_mut(), column.way) {
            return Some(CStr::from_ptr(pg_sys::OutputFunctionCall(info, slot.get(column.number)?)).to_bytes());
        }
        let datum = value(column, call, slot)?;
        Some(pgrx::varlena::varlena_to_byte_slice(pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr())))
    }
}

fn cell(column: &Column, call: &mut Option<pg_sys::FmgrInfo>, slot: &Slot) -> std::result::Result<Option<CellIndex>, Error> {
    match column.kind {
        Kind::Text => text(column, call, slot).map(parse_cell).transpose(),
        _ => value(column, call, slot).map(|bits| cell_from_bits(bits.value() as i64)).transpose(),
    }
}

fn float(column: &Column, call: &mut Option<pg_sys::FmgrInfo>, slot: &Slot) -> Option<f64> {
    // SAFETY: a float8 as the column's way makes it.
    unsafe { f64::from_datum(value(column, call, slot)?, false) }
}

/// A resolution as `attach_votes` and the registry give it.
///
/// # Errors
/// 22023 outside 0 to 15.
pub fn resolution(value: i32) -> Result<Resolution> {
    parse_resolution(value.into()).map_err(crate::error::refused)
}
