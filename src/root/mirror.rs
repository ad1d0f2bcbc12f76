//! What each shard has of a match, as it was applied last.

use crate::error::Result;
use crate::pg::bigints::{self, Bigints, Entry};
use crate::pg::spi::{Plan, Row, Sees, Spi};
use pgrx::{IntoDatum, pg_sys};
use vote_agg_core::shard::difference::{Held, KINDS};
use vote_agg_core::shard::rows::{Line, MatchRows};

const OF_MATCH: &[pg_sys::Oid] = &[pg_sys::TEXTOID, pg_sys::INT2OID];
const PACKED: &[pg_sys::Oid] = &[pg_sys::TEXTOID, pg_sys::INT2OID, pg_sys::BYTEAOID];

thread_local! {
    static HEAD: Plan = const { Plan::new(
        "SELECT epoch, seq, teams, votes, unplaced FROM vote_agg.shard_head WHERE match_id = $1 AND shard = $2", OF_MATCH) };
    static ALL: Plan = const { Plan::new(
        "SELECT kind, key, votes FROM vote_agg.mirror WHERE match_id = $1 AND shard = $2", OF_MATCH) };
    static SOME: Plan = const { Plan::new(
        "SELECT m.kind, m.key, m.votes FROM vote_agg.unpack($3) u JOIN vote_agg.mirror m
            ON m.match_id = $1 AND m.shard = $2 AND m.kind = u.number AND m.key = u.key", PACKED) };
    static CLEAR: Plan = const { Plan::new("DELETE FROM vote_agg.mirror WHERE match_id = $1 AND shard = $2", OF_MATCH) };
    static WRITE: Plan = const { Plan::new(
        "INSERT INTO vote_agg.mirror (match_id, shard, kind, key, votes)
         SELECT $1, $2, u.number::smallint, u.key, vote_agg.add_votes('{}', u.change) FROM vote_agg.unpack($3) u
         ON CONFLICT (match_id, shard, kind, key) DO UPDATE SET votes = excluded.votes", PACKED) };
    static WRITE_HEAD: Plan = const { Plan::new(
        "INSERT INTO vote_agg.shard_head (match_id, shard, epoch, seq, teams, votes, unplaced, sources, source_votes, is_final,
            applied_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, pg_catalog.clock_timestamp())
         ON CONFLICT (match_id, shard) DO UPDATE SET epoch = excluded.epoch, seq = excluded.seq, teams = excluded.teams,
            votes = excluded.votes, unplaced = excluded.unplaced, sources = excluded.sources,
            source_votes = excluded.source_votes, is_final = excluded.is_final,
            applied_at = excluded.applied_at, alarm = NULL",
        &[pg_sys::TEXTOID, pg_sys::INT2OID, pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::TEXTARRAYOID, pg_sys::INT8ARRAYOID,
          pg_sys::INT8ARRAYOID, pg_sys::INT2ARRAYOID, pg_sys::INT8ARRAYOID, pg_sys::BOOLOID]) };
    static ALARM: Plan = const { Plan::new(
        "UPDATE vote_agg.shard_head SET alarm = $3 WHERE match_id = $1 AND shard = $2",
        &[pg_sys::TEXTOID, pg_sys::INT2OID, pg_sys::TEXTOID]) };
}

/// A match of a shard.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub match_id: &'a str,
    /// The shard, by its number as a source.
    pub shard: i16,
}

impl Place<'_> {
    fn key(self) -> [Option<pg_sys::Datum>; 2] {
        [self.match_id.into_datum(), self.shard.into_datum()]
    }
}

/// How far a match of a shard is applied. As if at seq 0 of no epoch where it never was.
#[derive(Default)]
pub struct ShardHead {
    pub epoch: Option<String>,
    pub seq: i64,
    /// Its totals; the lines are loaded apart.
    pub held: Held,
}

impl ShardHead {
    /// Loads it. The row of the shard is locked.
    ///
    /// # Errors
    /// XX000 when the row makes no sense.
    pub fn load(spi: &Spi, place: Place) -> Result<Self> {
        let rows = spi.run(&HEAD, &place.key(), Sees::Now)?;
        let Some(row) = rows.first() else { return Ok(Self::default()) };
        let held = Held {
            teams: row.need("teams")?,
            votes: row.need::<Bigints>("votes")?.0,
            unplaced: row.need::<Bigints>("unplaced")?.0,
            ..Held::default()
        };
        Ok(Self { epoch: row.get("epoch")?, seq: row.need("seq")?, held })
    }
}

/// Loads what is held of the keys that the shard names; of all where it names all.
///
/// # Errors
/// XX000 when a row makes no sense.
pub fn load(spi: &Spi, place: Place, rows: &MatchRows, held: &mut Held) -> Result<()> {
    let mut see = |row: &Row| {
        let (kind, key): (i16, i64) = (row.need("kind")?, row.need("key")?);
        if let Some(lines) = usize::try_from(kind).ok().and_then(|kind| held.lines.get_mut(kind)) {
            lines.insert(key, row.need::<Bigints>("votes")?.0);
        }
        Ok(())
    };
    if rows.whole {
        return spi.each(&ALL, &place.key(), see);
    }
    let packed = pack(place, rows);
    if packed.is_empty() {
        return Ok(());
    }
    let [match_id, shard] = place.key();
    spi.run(&SOME, &[match_id, shard, packed.as_slice().into_datum()], Sees::Now)?.iter().try_for_each(|row| see(&row))
}

/// Holds what the shard says from now on.
///
/// # Errors
/// Those of the server.
pub fn write(spi: &Spi, place: Place, rows: &MatchRows) -> Result<()> {
    if rows.whole {
        spi.run(&CLEAR, &place.key(), Sees::Now)?;
    }
    let [match_id, shard] = place.key();
    let packed = pack(place, rows);
    if !packed.is_empty() {
        spi.run(&WRITE, &[match_id, shard, packed.as_slice().into_datum()], Sees::Now)?;
    }
    let (sources, source_votes): (Vec<i16>, Vec<i64>) = rows.sources.iter().copied().unzip();
    let args = [
        match_id,
        shard,
        rows.epoch.as_deref().into_datum(),
        rows.seq.into_datum(),
        rows.teams.clone().into_datum(),
        Bigints(rows.votes.clone()).into_datum(),
        Bigints(rows.unplaced.clone()).into_datum(),
        sources.into_datum(),
        Bigints(source_votes).into_datum(),
        rows.is_final.into_datum(),
    ];
    spi.run(&WRITE_HEAD, &args, Sees::Now).map(|_| ())
}

/// Notes what a shard said too late.
///
/// # Errors
/// Those of the server.
pub fn alarm(spi: &Spi, place: Place, text: &str) -> Result<()> {
    let [match_id, shard] = place.key();
    spi.run(&ALARM, &[match_id, shard, text.into_datum()], Sees::Now).map(|_| ())
}

/// The lines that are followed, with their kinds as numbers.
fn pack(place: Place, rows: &MatchRows) -> Vec<u8> {
    let kept =
        |kind: usize| rows.lines()[kind].iter().filter(move |(key, _)| rows.is_kept(kind, *key)).map(move |line| (kind, line));
    let is_worth = |(_, (_, change)): &(usize, &Line)| !rows.whole || !change.is_empty();
    let nowhere = pg_sys::ItemPointerData::default();
    let entry = |(number, (key, change)): (usize, &'_ Line)| (number, *key, change.clone());
    let lines: Vec<_> = (0..KINDS).flat_map(kept).filter(is_worth).map(entry).collect();
    let entries: Vec<Entry> = lines
        .iter()
        .map(|(number, key, change)| Entry {
            match_id: place.match_id,
            seq: rows.seq,
            number: *number,
            key: *key,
            place: nowhere,
            change,
        })
        .collect();
    bigints::pack(&entries)
}
