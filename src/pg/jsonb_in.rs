//! jsonb read in its own format (utils/jsonb.h), without making text or a tree of it. Measured on 100,000 votes against typed
//! serde over the printed text: 24 instead of 59 ms, of which printing alone took 25.

#![allow(unsafe_code, reason = "reads the server's own format")]

use pgrx::callconv::{Arg, ArgAbi};
use pgrx::pg_sys::{
    JB_FARRAY, JB_FOBJECT, JB_FSCALAR, JENTRY_HAS_OFF, JENTRY_ISBOOL_FALSE, JENTRY_ISBOOL_TRUE, JENTRY_ISCONTAINER,
    JENTRY_ISNULL, JENTRY_ISNUMERIC, JENTRY_ISSTRING, JENTRY_OFFLENMASK, JENTRY_TYPEMASK,
};
use pgrx::{FromDatum, pg_sys};
use std::ffi::CStr;
use vote_agg_core::Error;
use vote_agg_core::vote::element::{Element, Refusal, Value};

/// A jsonb argument.
pub struct Jsonb<'a>(Node<'a>);

impl FromDatum for Jsonb<'_> {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: the argument is a jsonb; what is detoasted lives as long as the call.
        let bytes = unsafe { pgrx::varlena::varlena_to_byte_slice(pg_sys::pg_detoast_datum(datum.cast_mut_ptr())) };
        let root = Container::read(bytes)?;
        // A lone number or text is stored as an array of one, with a flag.
        Some(Self(if root.header & JB_FSCALAR != 0 { root.children().next()? } else { root.into_node() }))
    }
}

// SAFETY: a plain value in.
unsafe impl<'fcx> ArgAbi<'fcx> for Jsonb<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the install script declares the argument as jsonb.
        unsafe { arg.unbox_arg_using_from_datum().unwrap_or(Self(Node::Null)) }
    }
}

pgrx::impl_sql_translatable!(Jsonb<'_>, arg_only = "jsonb");

/// A jsonb argument that is handed on to SQL as it is.
pub struct Unread(pg_sys::Datum);

impl Unread {
    /// The argument, as long as the call lasts.
    pub const fn datum(&self) -> pg_sys::Datum {
        self.0
    }
}

impl FromDatum for Unread {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        (!is_null).then_some(Self(datum))
    }
}

// SAFETY: a plain value in.
unsafe impl<'fcx> ArgAbi<'fcx> for Unread {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: the install script declares the argument as jsonb.
        unsafe { arg.unbox_arg_using_from_datum().unwrap_or(Self(pg_sys::Datum::null())) }
    }
}

pgrx::impl_sql_translatable!(Unread, arg_only = "jsonb");

impl Jsonb<'_> {
    /// Shows each object of the array, in order.
    ///
    /// # Errors
    /// The first refusal: by the rules of [`Element`], or by `see`.
    pub fn each_element(&self, mut see: impl FnMut(&Element) -> Result<(), Error>) -> Result<(), Refusal> {
        let Node::Array(array) = &self.0 else {
            return Err(Refusal { position: 0, error: Error::Shape { what: self.0.name() } });
        };
        for (i, node) in array.children().enumerate() {
            let element = match &node {
                Node::Object(object) => read_element(object),
                other => Err(Error::Shape { what: other.name() }),
            };
            element.and_then(|element| see(&element)).map_err(|error| Refusal { position: i + 1, error })?;
            if i % 65_536 == 0 {
                pgrx::check_for_interrupts!();
            }
        }
        Ok(())
    }

    /// The whole numbers of an object, in order of its keys.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Type`].
    pub fn numbers(&self) -> Result<Vec<i64>, Error> {
        let Node::Object(object) = &self.0 else { return Err(Error::Shape { what: self.0.name() }) };
        let whole = |(_, node): (&[u8], Node)| match node.value() {
            Some(Value::Whole(number)) => Ok(number),
            other => {
                let value = other.map_or_else(|| "null".to_owned(), |value| value.to_string());
                Err(Error::Type { key: "a team's votes", value, expected: "a whole number" })
            }
        };
        object.pairs().map(whole).collect()
    }
}

fn read_element<'a>(object: &Container<'a>) -> Result<Element<'a>, Error> {
    let mut element = Element::default();
    for (key, node) in object.pairs() {
        element.set(key, node.value())?;
    }
    Ok(element)
}

/// A value inside a jsonb.
enum Node<'a> {
    Null,
    Bool(bool),
    Number(&'a [u8]),
    Text(&'a [u8]),
    Array(Container<'a>),
    Object(Container<'a>),
}

impl<'a> Node<'a> {
    fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    fn value(&self) -> Option<Value<'a>> {
        match self {
            Self::Null => None,
            Self::Bool(value) => Some(Value::Bool(*value)),
            Self::Number(numeric) => Some(number(numeric)),
            Self::Text(text) => Some(Value::Text(text)),
            Self::Array(_) | Self::Object(_) => Some(Value::Nested),
        }
    }
}

/// A numeric as a whole number if it is one that fits, however many zeros follow the point, else as its text.
fn number(numeric: &[u8]) -> Value<'static> {
    // SAFETY: the bytes of a numeric, where jsonb keeps it aligned; the text is the server's, ending with a zero byte.
    let text = unsafe {
        let datum = pg_sys::Datum::from(numeric.as_ptr());
        let text = pgrx::direct_function_call_as_datum(pg_sys::numeric_out, &[Some(datum)]);
        text.map(|text| CStr::from_ptr(text.cast_mut_ptr()).to_string_lossy().into_owned()).unwrap_or_default()
    };
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|digit| digit == b'0') => whole,
        _ => text.as_str(),
    };
    whole.parse().map_or_else(|_| Value::Number(text.clone()), Value::Whole)
}

/// An array or object: a header, an entry a child (for an object the keys, then the values), the children.
struct Container<'a> {
    header: u32,
    entries: &'a [u8],
    data: &'a [u8],
}

impl<'a> Container<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let header = word(bytes, 0)?;
        let count = (header & JENTRY_OFFLENMASK) as usize;
        let entries = if header & JB_FOBJECT != 0 { 2 * count } else { count };
        Some(Self { header, entries: bytes.get(4..4 + 4 * entries)?, data: bytes.get(4 + 4 * entries..)? })
    }

    const fn into_node(self) -> Node<'a> {
        if self.header & JB_FARRAY != 0 { Node::Array(self) } else { Node::Object(self) }
    }

    /// The children in order; those of an object are its keys and then its values.
    fn children(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let (entries, data) = (self.entries, self.data);
        let (mut i, mut start) = (0, 0usize);
        std::iter::from_fn(move || {
            let entry = word(entries, 4 * i)?;
            let length = (entry & JENTRY_OFFLENMASK) as usize;
            let end = if entry & JENTRY_HAS_OFF != 0 { length } else { start + length };
            let node = node(entry & JENTRY_TYPEMASK, data, start, end)?;
            (i, start) = (i + 1, end);
            Some(node)
        })
    }

    /// The pairs of an object.
    fn pairs(&self) -> impl Iterator<Item = (&'a [u8], Node<'a>)> + use<'a> {
        let count = self.entries.len() / 8;
        let keys = self.children().take(count).filter_map(|key| if let Node::Text(key) = key { Some(key) } else { None });
        keys.zip(self.children().skip(count))
    }
}

fn node<'a>(kind: u32, data: &'a [u8], start: usize, end: usize) -> Option<Node<'a>> {
    let aligned = start.next_multiple_of(4);
    Some(match kind {
        JENTRY_ISSTRING => Node::Text(data.get(start..end)?),
        JENTRY_ISNUMERIC => Node::Number(data.get(aligned..end)?),
        JENTRY_ISBOOL_TRUE => Node::Bool(true),
        JENTRY_ISBOOL_FALSE => Node::Bool(false),
        JENTRY_ISNULL => Node::Null,
        JENTRY_ISCONTAINER => Container::read(data.get(aligned..end)?)?.into_node(),
        _ => return None,
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}
