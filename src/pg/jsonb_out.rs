//! jsonb written in its own format: whatever serde can serialize becomes the bytes that PostgreSQL stores (utils/jsonb.h:
//! each container is a header, one entry a child, then the children). Measured against making text for `jsonb_in`, which
//! has to parse it again: a snapshot of 100,000 cells takes a third of the time.

#![allow(unsafe_code, reason = "calls the server's functions for jsonb and numeric")]

use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::{IntoDatum, pg_sys};
use serde::ser::{self, Impossible, Serialize, Serializer};
use std::fmt;
use std::ops::Range;

/// A jsonb value to return: an object or array.
pub struct Jsonb(Vec<u8>);

impl Jsonb {
    /// The value as jsonb.
    ///
    /// # Errors
    /// 54000 when a part of it is longer than 256 MB; XX000 when it is no object or array, or has keys that are no text.
    pub fn of(value: &impl Serialize) -> crate::error::Result<Self> {
        let mut writer = Writer::default();
        match value.serialize(&mut writer) {
            Ok(entry) if entry & JENTRY_TYPEMASK == JENTRY_ISCONTAINER => Ok(Self(writer.bytes)),
            Ok(_) => Err(crate::error::broken("a jsonb to return is no object or array".into())),
            Err(error) => Err(pgrx::pg_sys::panic::ErrorReport::new(
                pgrx::PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                error.0,
                pgrx::function_name!(),
            )),
        }
    }
}

impl IntoDatum for Jsonb {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        let length = 4 + self.0.len();
        // SAFETY: the allocation has `length` bytes, aligned for any type, and each is written.
        unsafe {
            let value = pg_sys::palloc(length).cast::<u8>();
            pgrx::varlena::set_varsize_4b(value.cast(), i32::try_from(length).ok()?);
            std::ptr::copy_nonoverlapping(self.0.as_ptr(), value.add(4), self.0.len());
            Some(pg_sys::Datum::from(value))
        }
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

// SAFETY: a plain value out.
unsafe impl BoxRet for Jsonb {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: the datum lives in the caller's memory context.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

pgrx::impl_sql_translatable!(Jsonb, "jsonb");

use pg_sys::{
    JB_FARRAY, JB_FOBJECT, JB_OFFSET_STRIDE, JENTRY_HAS_OFF, JENTRY_ISBOOL_FALSE, JENTRY_ISBOOL_TRUE, JENTRY_ISCONTAINER,
    JENTRY_ISNULL, JENTRY_ISNUMERIC, JENTRY_ISSTRING, JENTRY_OFFLENMASK, JENTRY_TYPEMASK,
};

/// The longest value, in bytes.
const MAX_LENGTH: usize = JENTRY_OFFLENMASK as usize;

/// Appends values to the bytes and returns their entries, which tell type and length.
#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Containers and numbers start at multiples of 4.
    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn word(&mut self, word: u32) {
        self.bytes.extend(word.to_ne_bytes());
    }

    fn entry(&self, kind: u32, start: usize) -> Result<u32, Error> {
        match self.bytes.len() - start {
            length if length <= MAX_LENGTH => Ok(kind | length as u32),
            length => Err(Error(format!("a JSON value of {length} bytes is too long"))),
        }
    }

    fn numeric(&mut self, number: pg_sys::Datum) -> Result<u32, Error> {
        let start = self.bytes.len();
        self.align();
        let number: *mut pg_sys::varlena = number.cast_mut_ptr();
        // SAFETY: a numeric that the server just made.
        unsafe {
            self.bytes.extend(std::slice::from_raw_parts(number.cast::<u8>(), pgrx::varlena::varsize_any(number)));
            pg_sys::pfree(number.cast());
        }
        self.entry(JENTRY_ISNUMERIC, start)
    }

    fn begin(&mut self, header: u32, count: usize, entries: usize) -> Children<'_> {
        let start = self.bytes.len();
        self.align();
        self.word(header | count as u32);
        let first_entry = self.bytes.len();
        self.bytes.resize(first_entry + 4 * entries, 0);
        Children { writer: self, start, first_entry, entries, done: 0, length: 0 }
    }
}

/// A container whose children are being written.
struct Children<'a> {
    writer: &'a mut Writer,
    start: usize,
    first_entry: usize,
    entries: usize,
    done: usize,
    length: usize,
}

impl Children<'_> {
    fn note(&mut self, entry: u32) -> Result<(), Error> {
        if self.done == self.entries {
            return Err(Error("a list is longer than it said".into()));
        }
        self.length += entry as usize & MAX_LENGTH;
        // Most entries hold a length, which compresses well; each 32nd the offset, so that none has to be added up.
        let entry = if self.done.is_multiple_of(JB_OFFSET_STRIDE as usize) {
            entry & JENTRY_TYPEMASK | self.length as u32 | JENTRY_HAS_OFF
        } else {
            entry
        };
        if self.length > MAX_LENGTH {
            return Err(Error(format!("a JSON list or object of more than {MAX_LENGTH} bytes is too long")));
        }
        let at = self.first_entry + 4 * self.done;
        self.writer.bytes[at..at + 4].copy_from_slice(&entry.to_ne_bytes());
        self.done += 1;
        Ok(())
    }

    fn end(self) -> Result<u32, Error> {
        if self.done < self.entries {
            return Err(Error("a list is shorter than it said".into()));
        }
        self.writer.entry(JENTRY_ISCONTAINER, self.start)
    }
}

impl ser::SerializeSeq for Children<'_> {
    type Ok = u32;
    type Error = Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let entry = value.serialize(&mut *self.writer)?;
        self.note(entry)
    }
    fn end(self) -> Result<u32, Error> {
        Children::end(self)
    }
}

impl ser::SerializeTuple for Children<'_> {
    type Ok = u32;
    type Error = Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        ser::SerializeSeq::serialize_element(self, value)
    }
    fn end(self) -> Result<u32, Error> {
        Children::end(self)
    }
}

impl ser::SerializeTupleStruct for Children<'_> {
    type Ok = u32;
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        ser::SerializeSeq::serialize_element(self, value)
    }
    fn end(self) -> Result<u32, Error> {
        Children::end(self)
    }
}

/// An object whose pairs are being collected: they are stored in order of their keys, all keys before all values.
struct Pairs<'a> {
    writer: &'a mut Writer,
    /// Keys and values as they came, each value at a multiple of 4.
    collected: Writer,
    key: Range<usize>,
    pairs: Vec<(Range<usize>, u32, Range<usize>)>,
}

impl Pairs<'_> {
    fn add_key(&mut self, key: &[u8]) {
        let start = self.collected.bytes.len();
        self.collected.bytes.extend(key);
        self.key = start..self.collected.bytes.len();
    }

    fn add_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.collected.align();
        let start = self.collected.bytes.len();
        let entry = value.serialize(&mut self.collected)?;
        self.pairs.push((self.key.clone(), entry, start..self.collected.bytes.len()));
        Ok(())
    }

    fn finish(mut self) -> Result<u32, Error> {
        let bytes = &self.collected.bytes;
        // jsonb's order: by length, then by bytes. Keys come from maps and structs, so none is there twice.
        self.pairs.sort_unstable_by(|(a, ..), (b, ..)| (a.len(), &bytes[a.clone()]).cmp(&(b.len(), &bytes[b.clone()])));
        let mut children = self.writer.begin(JB_FOBJECT, self.pairs.len(), 2 * self.pairs.len());
        for (key, ..) in &self.pairs {
            let start = children.writer.bytes.len();
            children.writer.bytes.extend(&bytes[key.clone()]);
            let entry = children.writer.entry(JENTRY_ISSTRING, start)?;
            children.note(entry)?;
        }
        for (_, entry, value) in &self.pairs {
            let start = children.writer.bytes.len();
            if matches!(entry & JENTRY_TYPEMASK, JENTRY_ISCONTAINER | JENTRY_ISNUMERIC) {
                children.writer.align();
            }
            children.writer.bytes.extend(&bytes[value.clone()]);
            let entry = children.writer.entry(entry & JENTRY_TYPEMASK, start)?;
            children.note(entry)?;
        }
        children.end()
    }
}

impl ser::SerializeMap for Pairs<'_> {
    type Ok = u32;
    type Error = Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        let start = self.collected.bytes.len();
        if key.serialize(&mut self.collected)? & JENTRY_TYPEMASK != JENTRY_ISSTRING {
            return Err(Error("a key of a JSON object is no text".into()));
        }
        self.key = start..self.collected.bytes.len();
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.add_value(value)
    }
    fn end(self) -> Result<u32, Error> {
        self.finish()
    }
}

impl ser::SerializeStruct for Pairs<'_> {
    type Ok = u32;
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.add_key(key.as_bytes());
        self.add_value(value)
    }
    fn end(self) -> Result<u32, Error> {
        self.finish()
    }
}

/// Why a value can't be written.
#[derive(Debug)]
struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

impl Error {
    fn unused<T>() -> Result<T, Self> {
        Err(Self("a kind of value that no message has".into()))
    }
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = u32;
    type Error = Error;
    type SerializeSeq = Children<'a>;
    type SerializeTuple = Children<'a>;
    type SerializeTupleStruct = Children<'a>;
    type SerializeTupleVariant = Impossible<u32, Error>;
    type SerializeMap = Pairs<'a>;
    type SerializeStruct = Pairs<'a>;
    type SerializeStructVariant = Impossible<u32, Error>;

    fn serialize_bool(self, value: bool) -> Result<u32, Error> {
        Ok(if value { JENTRY_ISBOOL_TRUE } else { JENTRY_ISBOOL_FALSE })
    }
    fn serialize_i64(self, value: i64) -> Result<u32, Error> {
        // SAFETY: makes a numeric in the current memory context.
        self.numeric(pg_sys::Datum::from(unsafe { pg_sys::int64_to_numeric(value) }))
    }
    fn serialize_f64(self, value: f64) -> Result<u32, Error> {
        // SAFETY: float8_numeric takes one float8, by value.
        let number = unsafe { pgrx::direct_function_call_as_datum(pg_sys::float8_numeric, &[value.into_datum()]) };
        number.map_or_else(Error::unused, |number| self.numeric(number))
    }
    fn serialize_i8(self, value: i8) -> Result<u32, Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_i16(self, value: i16) -> Result<u32, Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_i32(self, value: i32) -> Result<u32, Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_u8(self, value: u8) -> Result<u32, Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_u16(self, value: u16) -> Result<u32, Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_u32(self, value: u32) -> Result<u32, Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_u64(self, value: u64) -> Result<u32, Error> {
        i64::try_from(value).map_or_else(|_| Error::unused(), |value| self.serialize_i64(value))
    }
    fn serialize_f32(self, value: f32) -> Result<u32, Error> {
        self.serialize_f64(value.into())
    }
    fn serialize_char(self, value: char) -> Result<u32, Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, value: &str) -> Result<u32, Error> {
        let start = self.bytes.len();
        self.bytes.extend(value.as_bytes());
        self.entry(JENTRY_ISSTRING, start)
    }
    fn serialize_bytes(self, _: &[u8]) -> Result<u32, Error> {
        Error::unused()
    }
    fn serialize_none(self) -> Result<u32, Error> {
        Ok(JENTRY_ISNULL)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<u32, Error> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<u32, Error> {
        Ok(JENTRY_ISNULL)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result<u32, Error> {
        Ok(JENTRY_ISNULL)
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<u32, Error> {
        Error::unused()
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<u32, Error> {
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<u32, Error> {
        Error::unused()
    }
    fn serialize_seq(self, length: Option<usize>) -> Result<Children<'a>, Error> {
        length.map_or_else(Error::unused, |length| Ok(self.begin(JB_FARRAY, length, length)))
    }
    fn serialize_tuple(self, length: usize) -> Result<Children<'a>, Error> {
        self.serialize_seq(Some(length))
    }
    fn serialize_tuple_struct(self, _: &'static str, length: usize) -> Result<Children<'a>, Error> {
        self.serialize_seq(Some(length))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<u32, Error>, Error> {
        Error::unused()
    }
    fn serialize_map(self, length: Option<usize>) -> Result<Pairs<'a>, Error> {
        Ok(Pairs { writer: self, collected: Writer::default(), key: 0..0, pairs: Vec::with_capacity(length.unwrap_or(0)) })
    }
    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Pairs<'a>, Error> {
        self.serialize_map(Some(length))
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<u32, Error>, Error> {
        Error::unused()
    }
}
