//! SQL from inside: statements are prepared once a session and kept.
//!
//! pgrx's own SPI client takes a new snapshot for a SELECT as soon as the transaction has an id, so that two queries of
//! one function would see two moments. Here the caller says what a query sees.
//!
//! A statement here names its tables with their schema, and its operators, functions and types without. So it is prepared
//! and run under a search path that has the server's own only: a plan that is kept is looked up anew when the path changed.

#![allow(unsafe_code, reason = "SPI is the server's own interface")]

use crate::error::{Result, broken};
use crate::pg::{catalog, form, role};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::{FromDatum, IntoDatum, pg_sys};
use std::cell::Cell;
use std::ffi::CString;
use std::thread::LocalKey;

/// What a statement sees.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum Sees {
    /// What the statement that called us sees: for reading. Nothing can be written, no transaction id is taken.
    TheCallersMoment,
    /// Everything committed by now, and what this transaction did.
    Now,
}

/// A statement, prepared when it is first run in a session. Names of tables in it are qualified.
pub struct Plan {
    sql: &'static str,
    types: &'static [pg_sys::Oid],
    kept: Cell<pg_sys::SPIPlanPtr>,
}

impl Plan {
    /// The statement and the types of its parameters.
    pub const fn new(sql: &'static str, types: &'static [pg_sys::Oid]) -> Self {
        Self { sql, types, kept: Cell::new(std::ptr::null_mut()) }
    }

    fn prepared(&self) -> Result<pg_sys::SPIPlanPtr> {
        if self.kept.get().is_null() {
            self.kept.set(prepare(self.sql, self.types)?);
        }
        Ok(self.kept.get())
    }
}

fn prepare(sql: &str, types: &[pg_sys::Oid]) -> Result<pg_sys::SPIPlanPtr> {
    let sql = CString::new(sql).map_err(|e| broken(e.to_string()))?;
    let count = i32::try_from(types.len()).unwrap_or(i32::MAX);
    // SAFETY: connected to SPI; the list of types has `count` places.
    unsafe {
        let plan = pg_sys::SPI_prepare(sql.as_ptr(), count, types.as_ptr().cast_mut());
        if plan.is_null() || pg_sys::SPI_keepplan(plan) != 0 {
            let code = pg_sys::SPI_result;
            return Err(broken(format!("SPI_prepare failed with code {code}")));
        }
        Ok(plan)
    }
}

/// An INSERT of one row. Its columns are named where the row is made, and nowhere else: the statement follows from them.
pub struct Insert {
    table: &'static str,
    /// What comes after the values.
    rest: &'static str,
    kept: Cell<pg_sys::SPIPlanPtr>,
}

impl Insert {
    /// Into a table, given with its schema.
    pub const fn into(table: &'static str) -> Self {
        Self::or(table, "")
    }

    /// The same with an ON CONFLICT clause.
    pub const fn or(table: &'static str, rest: &'static str) -> Self {
        Self { table, rest, kept: Cell::new(std::ptr::null_mut()) }
    }

    fn prepared(&self, row: &[Value]) -> Result<pg_sys::SPIPlanPtr> {
        if self.kept.get().is_null() {
            let columns: Vec<&str> = row.iter().map(|value| value.column).collect();
            let places: Vec<String> = (1..=row.len()).map(|place| format!("${place}")).collect();
            let (columns, places) = (columns.join(", "), places.join(", "));
            let sql = format!("INSERT INTO {} ({columns}) VALUES ({places}) {}", self.table, self.rest);
            let types: Vec<pg_sys::Oid> = row.iter().map(|value| value.of).collect();
            self.kept.set(prepare(&sql, &types)?);
        }
        Ok(self.kept.get())
    }
}

/// The value of a column.
pub struct Value {
    column: &'static str,
    of: pg_sys::Oid,
    datum: Option<pg_sys::Datum>,
}

/// A column with its value.
pub fn value<T: IntoDatum>(column: &'static str, value: T) -> Value {
    Value { column, of: T::type_oid(), datum: value.into_datum() }
}

/// A column of numbers of objects with its value. (pgrx takes 0 for NULL.)
pub fn oid(column: &'static str, number: pg_sys::Oid) -> Value {
    Value { column, of: pg_sys::OIDOID, datum: Some(number.into()) }
}

/// A column of names with its value, in the database's encoding whatever that is.
pub fn name(column: &'static str, name: Option<&CString>) -> Value {
    Value { column, of: pg_sys::TEXTOID, datum: name.map(|name| catalog::text_of(name)) }
}

/// A column of times with its value, in microseconds since PostgreSQL's epoch.
pub fn time(column: &'static str, at: impl Into<Option<i64>>) -> Value {
    Value { column, of: pg_sys::TIMESTAMPTZOID, datum: at.into().map(Into::into) }
}

/// A connection to SPI. What is allocated while it lasts is freed with it.
pub struct Spi(());

/// Connects for the time of `act`, under the trusted search path. An error leaves the cleaning up to the (sub)transaction's
/// abort, as in C.
///
/// # Errors
/// Those of `act`.
pub fn connect<T>(act: impl FnOnce(&Spi) -> Result<T>) -> Result<T> {
    role::with_trusted_names(|| {
        // SAFETY: each connect has its finish, or an abort.
        unsafe {
            if pg_sys::SPI_connect() != pg_sys::SPI_OK_CONNECT as i32 {
                return Err(broken("SPI_connect failed".into()));
            }
            let result = act(&Spi(()))?;
            pg_sys::SPI_finish();
            Ok(result)
        }
    })
}

impl Spi {
    /// Runs a statement; its rows live until the next one runs or the connection ends.
    ///
    /// # Errors
    /// XX000 when SPI itself fails; an SQL error passes through as the server's own.
    pub fn run(&self, plan: &'static LocalKey<Plan>, args: &[Option<pg_sys::Datum>], sees: Sees) -> Result<Rows<'_>> {
        self.execute(plan.with(Plan::prepared)?, args, sees)
    }

    /// Inserts a row.
    ///
    /// # Errors
    /// As [`Spi::run`].
    pub fn insert(&self, into: &'static LocalKey<Insert>, row: &[Value]) -> Result<()> {
        let prepared = into.with(|into| into.prepared(row))?;
        let args: Vec<Option<pg_sys::Datum>> = row.iter().map(|value| value.datum).collect();
        self.execute(prepared, &args, Sees::Now).map(|_| ())
    }

    fn execute(&self, prepared: pg_sys::SPIPlanPtr, args: &[Option<pg_sys::Datum>], sees: Sees) -> Result<Rows<'_>> {
        let (mut values, nulls) = arguments(args);
        let read_only = sees == Sees::TheCallersMoment;
        // SAFETY: the lists have one place an argument; the result stays valid while connected.
        unsafe {
            // Frees the rows of the statement before: a fold runs thousands.
            pg_sys::SPI_freetuptable(pg_sys::SPI_tuptable);
            pg_sys::SPI_tuptable = std::ptr::null_mut();
            let code = pg_sys::SPI_execute_plan(prepared, values.as_mut_ptr(), nulls.as_ptr(), read_only, 0);
            if code < 0 {
                return Err(broken(format!("SPI_execute_plan failed with code {code}")));
            }
            Ok(Rows { table: pg_sys::SPI_tuptable, count: pg_sys::SPI_processed as usize, _spi: self })
        }
    }

    /// Runs a command that is not worth keeping. Names in it are quoted.
    ///
    /// # Errors
    /// XX000 when SPI itself fails; an SQL error passes through as the server's own.
    pub fn command(&self, sql: &str) -> Result<()> {
        let sql = CString::new(sql).map_err(|e| broken(e.to_string()))?;
        // SAFETY: connected to SPI.
        let code = unsafe { pg_sys::SPI_execute(sql.as_ptr(), false, 0) };
        if code < 0 { Err(broken(format!("SPI_execute failed with code {code}"))) } else { Ok(()) }
    }

    /// The same with one parameter; returns how many rows it changed.
    ///
    /// # Errors
    /// As [`Spi::command`].
    pub fn command_with(&self, sql: &str, of: pg_sys::Oid, value: pg_sys::Datum) -> Result<i64> {
        let sql = CString::new(sql).map_err(|e| broken(e.to_string()))?;
        let (mut types, mut values) = ([of], [value]);
        // SAFETY: connected to SPI; one place an argument, none is NULL.
        unsafe {
            let (types, values) = (types.as_mut_ptr(), values.as_mut_ptr());
            let code = pg_sys::SPI_execute_with_args(sql.as_ptr(), 1, types, values, std::ptr::null(), false, 0);
            if code < 0 {
                return Err(broken(format!("SPI_execute_with_args failed with code {code}")));
            }
            Ok(i64::try_from(pg_sys::SPI_processed).unwrap_or(i64::MAX))
        }
    }

    /// Runs a query that may return very many rows, and shows them one by one without holding them all.
    ///
    /// # Errors
    /// Those of `see`, and XX000 when SPI itself fails.
    pub fn each(
        &self,
        plan: &'static LocalKey<Plan>,
        args: &[Option<pg_sys::Datum>],
        mut see: impl FnMut(&Row) -> Result<()>,
    ) -> Result<()> {
        const BATCH: std::ffi::c_long = 1_000;
        let prepared = plan.with(Plan::prepared)?;
        let (mut values, nulls) = arguments(args);
        // SAFETY: as in `run`; the portal is closed here or by the abort.
        unsafe {
            let portal = pg_sys::SPI_cursor_open(std::ptr::null(), prepared, values.as_mut_ptr(), nulls.as_ptr(), true);
            loop {
                pg_sys::SPI_cursor_fetch(portal, true, BATCH);
                let rows = Rows { table: pg_sys::SPI_tuptable, count: pg_sys::SPI_processed as usize, _spi: self };
                for row in rows.iter() {
                    see(&row)?;
                }
                let is_last = rows.count == 0;
                pg_sys::SPI_freetuptable(pg_sys::SPI_tuptable);
                pg_sys::SPI_tuptable = std::ptr::null_mut();
                pgrx::check_for_interrupts!();
                if is_last {
                    pg_sys::SPI_cursor_close(portal);
                    return Ok(());
                }
            }
        }
    }
}

fn arguments(args: &[Option<pg_sys::Datum>]) -> (Vec<pg_sys::Datum>, Vec<std::ffi::c_char>) {
    let values = args.iter().map(|arg| arg.unwrap_or(pg_sys::Datum::null())).collect();
    let nulls = args.iter().map(|arg| if arg.is_some() { b' ' } else { b'n' } as std::ffi::c_char).collect();
    (values, nulls)
}

/// The rows of a statement.
pub struct Rows<'a> {
    table: *mut pg_sys::SPITupleTable,
    count: usize,
    _spi: &'a Spi,
}

impl Rows<'_> {
    /// How many rows the statement returned or, without RETURNING, changed.
    pub const fn count(&self) -> usize {
        self.count
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Row> {
        let count = if self.table.is_null() { 0 } else { self.count };
        // SAFETY: the table holds that many rows while the connection lasts.
        (0..count).map(|i| unsafe { Row { tuple: *(*self.table).vals.add(i), form: (*self.table).tupdesc, next: Cell::new(0) } })
    }

    /// The first row.
    pub fn first(&self) -> Option<Row> {
        self.iter().next()
    }

    /// The value of a statement with one column and one row; `None` for NULL, and where there is no row.
    pub fn value<T: FromDatum>(&self) -> Option<T> {
        self.first().and_then(|row| row.at(0))
    }

    /// The values of a statement with one column, which is never NULL.
    ///
    /// # Errors
    /// XX000 when it is.
    pub fn values<T: FromDatum>(&self) -> Result<Vec<T>> {
        self.iter().map(|row| row.at(0).ok_or_else(|| broken("the value of a query of vote_agg is null".into()))).collect()
    }
}

/// One row of a statement.
pub struct Row {
    tuple: pg_sys::HeapTuple,
    form: pg_sys::TupleDesc,
    /// After the column that was read last, where the next one is looked for first.
    next: Cell<usize>,
}

impl Row {
    /// The value of a column, `None` for NULL.
    ///
    /// # Errors
    /// XX000 where the statement has no such column.
    pub fn get<T: FromDatum>(&self, column: &str) -> Result<Option<T>> {
        // SAFETY: the form lives as long as the rows.
        let place = unsafe { form::place_of(self.form, column, self.next.get()) }?;
        self.next.set(place + 1);
        Ok(self.at(place))
    }

    /// The value of a column that is never NULL.
    ///
    /// # Errors
    /// XX000 when it is, or is not there.
    pub fn need<T: FromDatum>(&self, column: &str) -> Result<T> {
        self.get(column)?.ok_or_else(|| broken(format!("column {column} of a query of vote_agg is null")))
    }

    /// A time, in microseconds since PostgreSQL's epoch.
    ///
    /// # Errors
    /// XX000 where the statement has no such column.
    pub fn time(&self, column: &str) -> Result<Option<i64>> {
        Ok(self.get::<TimestampWithTimeZone>(column)?.map(i64::from))
    }

    fn at<T: FromDatum>(&self, place: usize) -> Option<T> {
        let mut is_null = true;
        // SAFETY: the row outlives this call; statements here name columns of the type that is asked for.
        unsafe {
            let value = pg_sys::SPI_getbinval(self.tuple, self.form, place as i32 + 1, &mut is_null);
            T::from_datum(value, is_null)
        }
    }
}
