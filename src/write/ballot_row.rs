//! A row of `vote_agg.ballot`, in the server's form.

#![allow(unsafe_code, reason = "part of the ballot box: its rows are written below SQL")]

use crate::error::Result;
use crate::pg::form::Values;
use crate::pg::table::Table;
use pgrx::{FromDatum, pg_sys};
use vote_agg_core::Country;
use vote_agg_core::vote::ballot::{Ballot, Choice};
use vote_agg_core::vote::cell::{cell_from_bits, cell_to_bits};

/// A voter in a match.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct Voter<'a> {
    pub match_id: &'a str,
    pub voter_id: &'a str,
}

/// The columns of `vote_agg.ballot`, as sql/10-tables.sql names them.
pub const COLUMNS: [&str; 6] = ["h3_index", "match_id", "voter_id", "team_choice", "country_code", "turn"];

/// Their places.
#[repr(usize)]
enum Column {
    Cell,
    Match,
    Voter,
    Team,
    Country,
    Turn,
}

/// The row of a voter's ballot, in the current memory context.
pub fn form(table: &Table, voter: Voter, ballot: &Ballot) -> pg_sys::HeapTuple {
    let mut values = Values::<{ COLUMNS.len() }>::none();
    values.set_text(Column::Match as usize, voter.match_id);
    values.set_text(Column::Voter as usize, voter.voter_id);
    if let Some(choice) = &ballot.choice {
        values.set_text(Column::Team as usize, &choice.team);
        if let Some(cell) = choice.cell {
            values.set(Column::Cell as usize, cell_to_bits(cell));
        }
        if let Some(country) = &choice.country {
            values.set_text(Column::Country as usize, country.as_str());
        }
    }
    if let Some(turn) = ballot.turn {
        values.set(Column::Turn as usize, turn);
    }
    // SAFETY: the values are those of the table's columns.
    unsafe { values.write(table.row_form()) }
}

/// The ballot that a row of the table says.
///
/// # Errors
/// 22023 for a cell or country that is none, which somebody else wrote there.
pub fn read(table: &Table, tuple: pg_sys::HeapTuple) -> Result<Ballot> {
    let mut values = Values::<{ COLUMNS.len() }>::none();
    // SAFETY: a row of this table, whose columns have these types.
    let (team, country) = unsafe {
        values.read(tuple, table.row_form());
        let text = |column: Column| values.get(column as usize).and_then(|text| String::from_datum(text, false));
        (text(Column::Team), text(Column::Country))
    };
    let number = |column: Column| values.get(column as usize).map(|number| number.value() as i64);
    let turn = number(Column::Turn);
    let Some(team) = team else { return Ok(Ballot { choice: None, turn }) };
    let cell = number(Column::Cell).map(cell_from_bits).transpose()?;
    let country = country.map(|code| Country::parse(code.as_bytes())).transpose()?;
    Ok(Ballot { choice: Some(Choice { team, cell, country }), turn })
}
