//! What a client that looks at an area is sent beside updates: a snapshot of its part, and what comes into it.

use crate::live::area::Area;
use serde::{Serialize, Serializer};
use vote_agg_core::CellIndex;
use vote_agg_core::feed::message::{self, CellVotes, Snapshot};

/// A snapshot for a client that looks at an area.
#[derive(Serialize)]
pub struct SnapshotWithin<'a> {
    #[serde(flatten)]
    pub snapshot: Snapshot<'a>,
    #[serde(serialize_with = "names")]
    pub area: &'a [CellIndex],
}

/// The cells which have come into a client's area, as they are at that seq.
#[derive(Serialize)]
pub struct Arrived<'a> {
    v: u32,
    #[serde(rename = "match")]
    match_id: &'a str,
    seq: i64,
    epoch: &'a str,
    resolution: Option<u8>,
    /// What the client sees from now on. Null: all cells.
    #[serde(serialize_with = "names_or_null")]
    area: Option<&'a Area>,
    cells: &'a [CellVotes<'a>],
}

impl<'a> Arrived<'a> {
    /// `seq` and `epoch` say when.
    #[must_use]
    pub fn new(
        match_id: &'a str,
        (seq, epoch): (i64, &'a str),
        resolution: Option<u8>,
        area: Option<&'a Area>,
        cells: &'a [CellVotes<'a>],
    ) -> Self {
        Self { v: message::VERSION, match_id, seq, epoch, resolution, area, cells }
    }
}

fn names<S: Serializer>(cells: &[CellIndex], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(cells.iter().map(|cell| message::Hex(*cell)))
}

#[allow(clippy::ref_option, reason = "what serde passes")]
fn names_or_null<S: Serializer>(area: &Option<&Area>, serializer: S) -> Result<S::Ok, S::Error> {
    match area {
        Some(area) => names(&area.cells, serializer),
        None => serializer.serialize_none(),
    }
}
