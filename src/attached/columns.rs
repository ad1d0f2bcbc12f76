//! Columns of attached tables: where they are, and how a row becomes a vote.

use crate::attached::errors::{BadValue, mismatched, no_column};
use crate::error::Result;
use crate::pg::catalog;
use crate::pg::conversion::{Column, Kind, Memory, Prepared, Unreadable};
use crate::pg::slot::Slot;
use pgrx::pg_sys;
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
        self.all().filter_map(move |name| catalog::base_type(table, name))
    }

    /// Waits for a transaction that renames a label of an enum among these types, and keeps them from it until the transaction ends.
    pub fn hold_labels(&self, table: pg_sys::Oid) {
        self.types(table).filter(|base| catalog::is_enum(*base)).for_each(catalog::hold_type);
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
        let text = |name: &CString| found(table, name, &[Kind::Text], true);
        let number = |name: &CString| found(table, name, &[Kind::Float], false);
        let columns = Self {
            match_id: text(&names.match_id)?,
            team: text(&names.team)?,
            country: names.country.as_ref().map(text).transpose()?,
            place: match &names.place {
                PlaceColumns::None => PlaceColumns::None,
                PlaceColumns::Cell(name) => PlaceColumns::Cell(found(table, name, &[Kind::Bigint, Kind::Text], false)?),
                PlaceColumns::Point { latitude, longitude, resolution } => {
                    PlaceColumns::Point { latitude: number(latitude)?, longitude: number(longitude)?, resolution: *resolution }
                }
            },
            last: 0,
        };
        let last = columns.all().map(Column::number).max().unwrap_or(0);
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
        self.all().all(|column| column.name() != name || column.is_as_it_is())
    }
}

fn found(table: pg_sys::Oid, name: &CStr, kinds: &[Kind], through_output: bool) -> Result<Column> {
    Column::find(table, name, kinds, through_output).map_err(|reason| match reason {
        Unreadable::Missing => no_column(table, &name.to_string_lossy()),
        Unreadable::Type(given) => mismatched(&name.to_string_lossy(), given, kinds.iter().map(|kind| kind.oid())),
    })
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

/// Reads rows for the time of one statement.
pub struct Reader<'c> {
    columns: &'c Columns,
    /// The functions of match, team, country, cell or latitude, longitude.
    calls: [Prepared; 5],
    memory: Memory,
}

impl<'c> Reader<'c> {
    /// Prepares for columns of a table.
    pub fn new(columns: &'c Columns) -> Self {
        let (place, longitude) = match &columns.place {
            PlaceColumns::None => (None, None),
            PlaceColumns::Cell(cell) => (Some(cell), None),
            PlaceColumns::Point { latitude, longitude, .. } => (Some(latitude), Some(longitude)),
        };
        let read = [Some(&columns.match_id), Some(&columns.team), columns.country.as_ref(), place, longitude];
        let calls = read.map(|column| column.map_or_else(Prepared::default, Column::prepare));
        Self { columns, calls, memory: Memory::new() }
    }

    /// The vote of a row; `None` where it has no match or no team, and so is no vote.
    ///
    /// # Errors
    /// The first column with a value that no vote has.
    pub fn read<'r>(&'r mut self, slot: &'r Slot) -> std::result::Result<Option<RowVote<'r>>, BadValue> {
        let Self { columns, calls, memory } = self;
        memory.read_row(|| vote(columns, calls, slot))
    }
}

fn vote<'r>(
    columns: &Columns,
    calls: &'r mut [Prepared; 5],
    slot: &'r Slot,
) -> std::result::Result<Option<RowVote<'r>>, BadValue> {
    slot.deform(columns.last);
    let [matches, teams, countries, places, longitudes] = calls;
    let Some((match_id, team)) = columns.match_id.text(matches, slot).zip(columns.team.text(teams, slot)) else {
        return Ok(None);
    };
    let name = |column: &Column, what, bytes| parse_name(what, Some(bytes)).map_err(|e| BadValue::of(column.name(), e));
    let country = match &columns.country {
        None => None,
        Some(column) => {
            let code = column.text(countries, slot);
            code.map(Country::parse).transpose().map_err(|e| BadValue::of(column.name(), e))?
        }
    };
    let cell = match &columns.place {
        PlaceColumns::None => None,
        PlaceColumns::Cell(column) => {
            let cell = match column.kind() {
                Kind::Text => column.text(places, slot).map(parse_cell).transpose(),
                _ => column.bigint(places, slot).map(cell_from_bits).transpose(),
            };
            cell.map_err(|e| BadValue::of(column.name(), e))?
        }
        PlaceColumns::Point { latitude, longitude, resolution } => {
            let point = latitude.float(places, slot).zip(longitude.float(longitudes, slot));
            let cell = point.map(|(north, east)| parse_point(north, east).map(|point| point.to_cell(*resolution)));
            cell.transpose().map_err(|e| {
                let column = if matches!(e, Error::Range { what: "lat", .. }) { latitude } else { longitude };
                BadValue::of(column.name(), e)
            })?
        }
    };
    let (match_id, team) = (name(&columns.match_id, "match_id", match_id)?, name(&columns.team, "team_choice", team)?);
    Ok(Some(RowVote { match_id, team, cell, country }))
}

/// A resolution as `attach_votes` and the registry give it.
///
/// # Errors
/// 22023 outside 0 to 15.
pub fn resolution(value: i32) -> Result<Resolution> {
    Ok(parse_resolution(value.into())?)
}
