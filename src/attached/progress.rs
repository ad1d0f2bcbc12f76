//! How far a fill is: which blocks of which tables are counted, so that a fill that ends early goes on after them.
//!
//! Numbers of blocks mean something in one file only. A table that has another one (TRUNCATE, VACUUM FULL, CLUSTER) or is no
//! partition any more is forgotten, and begun again if it is still there.

use crate::error::Result;
use crate::pending::row::RowPlace;
use crate::pg::spi::{Insert, Plan, Sees, Spi, oid, value};
use crate::pg::table::Table;
use crate::settings;
use pgrx::{IntoDatum, pg_sys};
use std::collections::BTreeMap;
use vote_agg_core::vote::tally::Source;

thread_local! {
    static LOAD: Plan = const { Plan::new(
        "SELECT p.relation::oid AS relation, p.file, p.blocks, p.rows FROM vote_agg.source_part p WHERE p.source = $1", &[pg_sys::INT2OID]) };
    static SAVE: Insert = const { Insert::or("vote_agg.source_part",
        "ON CONFLICT (relation) DO UPDATE SET (source, file, blocks, rows)
           = (excluded.source, excluded.file, excluded.blocks, excluded.rows)") };
    static FORGET: Plan = const { Plan::new(
        "WITH part AS (DELETE FROM vote_agg.source_part p WHERE p.relation = $1)
         DELETE FROM vote_agg.source_sum s WHERE s.relation = $1", &[pg_sys::OIDOID]) };
    static FORGET_ALL: Plan = const { Plan::new(
        "WITH part AS (DELETE FROM vote_agg.source_part p WHERE p.source = $1)
         DELETE FROM vote_agg.source_sum s WHERE s.source = $1", &[pg_sys::INT2OID]) };
}

/// After the last block: all are counted, those to come too.
const END: u32 = pg_sys::InvalidBlockNumber;

/// The parts of a fill are as many at most, so that their sums don't become more than the table.
const MOST: u32 = 64;

#[derive(Clone, Copy)]
struct Progress {
    file: u32,
    /// The first ones of the file.
    blocks: u32,
    rows: i64,
}

/// Blocks to be counted: from the first number to before the second.
pub struct Part {
    pub relation: pg_sys::Oid,
    pub blocks: std::ops::Range<u32>,
}

/// The counted part of a table and its partitions, which are all locked against being emptied or dropped.
pub struct Parts {
    source: Source,
    /// By their number, which is the order in which they are counted.
    tables: BTreeMap<u32, Progress>,
}

impl Parts {
    /// Looks, and forgets what is worth nothing any more.
    ///
    /// # Errors
    /// Those of the server.
    pub fn load(spi: &Spi, source: Source, family: &[pg_sys::Oid]) -> Result<Self> {
        let mut tables = BTreeMap::new();
        for relation in family {
            let table = Table::open(*relation, pg_sys::NoLock);
            if table.has_storage() {
                tables.insert(relation.to_u32(), Progress { file: table.file().to_u32(), blocks: 0, rows: 0 });
            }
        }
        let mut worthless = Vec::new();
        for row in spi.run(&LOAD, &[source.0.into_datum()], Sees::Now)?.iter() {
            let (relation, file): (pg_sys::Oid, pg_sys::Oid) = (row.need("relation")?, row.need("file")?);
            let blocks = u32::try_from(row.need::<i64>("blocks")?).unwrap_or(0);
            match tables.get_mut(&relation.to_u32()).filter(|table| table.file == file.to_u32()) {
                Some(table) => (table.blocks, table.rows) = (blocks, row.need("rows")?),
                None => worthless.push(relation),
            }
        }
        worthless.iter().try_for_each(|relation| forget(spi, *relation))?;
        Ok(Self { source, tables })
    }

    /// The rows that were counted.
    pub fn rows(&self) -> i64 {
        self.tables.values().map(|table| table.rows).sum()
    }

    /// Were rows in this place counted already?
    pub fn have(&self, place: RowPlace) -> bool {
        self.tables.get(&place.relation.to_u32()).is_some_and(|table| place.block < table.blocks)
    }

    /// Is everything counted?
    pub fn are_all(&self) -> bool {
        self.tables.values().all(|table| table.blocks == END)
    }

    /// The next thing to count: a part of a big table, or several small tables.
    pub fn next(&self) -> Vec<Part> {
        let size = |relation: &u32| Table::open((*relation).into(), pg_sys::NoLock).blocks();
        let sizes: Vec<u32> = self.tables.keys().map(size).collect();
        let all = sizes.iter().fold(0u32, |all, blocks| all.saturating_add(*blocks));
        let mut room = settings::fill_part().max(all / MOST);
        let mut parts = Vec::new();
        for ((relation, table), blocks) in self.tables.iter().zip(sizes).filter(|((_, table), _)| table.blocks != END) {
            let left = blocks.saturating_sub(table.blocks);
            let end = if left > room { table.blocks + room } else { END };
            parts.push(Part { relation: (*relation).into(), blocks: table.blocks..end });
            room -= left.min(room);
            if room == 0 {
                break;
            }
        }
        parts
    }

    /// Counts a part as counted, with this many rows.
    pub fn add(&mut self, part: &Part, rows: i64) {
        if let Some(table) = self.tables.get_mut(&part.relation.to_u32()) {
            table.blocks = part.blocks.end;
            table.rows += rows;
        }
    }

    /// Keeps how far it is in the tables of these parts.
    ///
    /// # Errors
    /// Those of the server.
    pub fn save(&self, spi: &Spi, parts: &[Part]) -> Result<()> {
        for (relation, table) in parts.iter().filter_map(|part| self.tables.get_key_value(&part.relation.to_u32())) {
            spi.insert(
                &SAVE,
                &[
                    oid("relation", pg_sys::Oid::from(*relation)),
                    value("source", self.source.0),
                    oid("file", pg_sys::Oid::from(table.file)),
                    value("blocks", i64::from(table.blocks)),
                    value("rows", table.rows),
                ],
            )?;
        }
        Ok(())
    }
}

/// Forgets what was counted of a table.
///
/// # Errors
/// Those of the server.
pub fn forget(spi: &Spi, relation: pg_sys::Oid) -> Result<()> {
    spi.run(&FORGET, &[Some(relation.into())], Sees::Now).map(|_| ())
}

/// Forgets what was counted of a source.
///
/// # Errors
/// Those of the server.
pub fn forget_all(spi: &Spi, source: Source) -> Result<()> {
    spi.run(&FORGET_ALL, &[source.0.into_datum()], Sees::Now).map(|_| ())
}
