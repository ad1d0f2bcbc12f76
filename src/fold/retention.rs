//! Retention of the time line: erases minutes past their time, and keeps their sum as an opening balance, so that running
//! totals and totals at a later time stay right. Announced changes of leader go with the minutes. Called by a fold, in its
//! transaction and under its lock.
//!
//! A vote may come late, for an erased minute. A process that remembers where the row lay (aggregate.rs) finds nothing there,
//! looks by key, and makes the row anew. So the vote counts, and the next retention adds it to the balance.

use crate::error::Result;
use crate::fold::flips;
use crate::pg::bigints::{self, Bigints, Entry};
use crate::pg::spi::{Plan, Sees, Spi};
use crate::settings;
use pgrx::{IntoDatum, pg_sys};
use std::collections::BTreeMap;
use vote_agg_core::Country;
use vote_agg_core::vote::change;
use vote_agg_core::vote::tally::{self, MINUTE};

const KEY_TYPES: &[pg_sys::Oid] = &[pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID];

thread_local! {
    static OLD: Plan = const { Plan::new(
        "SELECT match_id FROM vote_agg.timeline WHERE bucket < $1 AND bucket > '-infinity'
         UNION SELECT match_id FROM vote_agg.country_timeline WHERE bucket < $1 AND bucket > '-infinity'",
        &[pg_sys::TIMESTAMPTZOID]) };
    static ERASE: Plan = const { Plan::new(
        "DELETE FROM vote_agg.timeline WHERE match_id = $1 AND bucket < $2 RETURNING votes, kept_from", KEY_TYPES) };
    static BALANCE: Plan = const { Plan::new(
        "INSERT INTO vote_agg.timeline (match_id, bucket, votes, kept_from) VALUES ($1, '-infinity', $3, $2)",
        &[pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::INT8ARRAYOID]) };
    static ERASE_COUNTRIES: Plan = const { Plan::new(
        "DELETE FROM vote_agg.country_timeline WHERE match_id = $1 AND bucket < $2 RETURNING country_code, votes", KEY_TYPES) };
    static BALANCE_COUNTRIES: Plan = const { Plan::new(
        "INSERT INTO vote_agg.country_timeline (match_id, bucket, country_code, votes)
         SELECT u.match_id, '-infinity', pg_catalog.chr((u.key / 256)::integer) || pg_catalog.chr((u.key % 256)::integer),
                vote_agg.add_votes('{}', u.change)
         FROM vote_agg.unpack($1) u",
        &[pg_sys::BYTEAOID]) };
}

/// Erases what is past its time at `at`, of all matches.
///
/// # Errors
/// 22003 when a sum leaves 64 bits.
pub fn apply(spi: &Spi, at: i64) -> Result<()> {
    let Some(retention) = settings::timeline_retention() else { return Ok(()) };
    let horizon = at - at.rem_euclid(MINUTE) - retention;
    let old: Vec<String> = spi.run(&OLD, &[Some(horizon.into())], Sees::Now)?.values()?;
    for match_id in old {
        let key = || [match_id.as_str().into_datum(), Some(horizon.into())];
        let (mut balance, mut kept_from) = (tally::Counts::new(), horizon);
        for row in spi.run(&ERASE, &key(), Sees::Now)?.iter() {
            tally::add_all(&mut balance, &row.need::<Bigints>("votes")?.0)?;
            // Erased minutes stay erased when the setting is raised.
            kept_from = row.time("kept_from")?.map_or(kept_from, |before| kept_from.max(before));
        }
        open(spi, &match_id, kept_from, balance)?;

        let mut balances: BTreeMap<u16, tally::Counts> = BTreeMap::new();
        for row in spi.run(&ERASE_COUNTRIES, &key(), Sees::Now)?.iter() {
            let country = Country::parse(row.need::<String>("country_code")?.as_bytes())?;
            let balance = balances.entry(country.number()).or_default();
            tally::add_all(balance, &row.need::<Bigints>("votes")?.0)?;
        }
        open_countries(spi, &match_id, &balances)?;
        pgrx::check_for_interrupts!();
    }
    flips::erase(spi, horizon)
}

/// Makes the opening balance of a time line that is kept from `kept_from` on.
///
/// # Errors
/// Those of the server.
pub fn open(spi: &Spi, match_id: &str, kept_from: i64, balance: tally::Counts) -> Result<()> {
    let args = [match_id.into_datum(), Some(kept_from.into()), Bigints(balance).into_datum()];
    spi.run(&BALANCE, &args, Sees::Now).map(|_| ())
}

/// Makes the opening balances of countries, given by their numbers.
///
/// # Errors
/// Those of the server.
pub fn open_countries(spi: &Spi, match_id: &str, balances: &BTreeMap<u16, tally::Counts>) -> Result<()> {
    let changes: Vec<_> = balances.iter().map(|(country, votes)| (i64::from(*country), change::of(votes))).collect();
    let place = pg_sys::ItemPointerData::default();
    let entries = changes.iter().enumerate();
    let entries = entries.map(|(number, (key, change))| Entry { match_id, seq: 0, number, key: *key, place, change });
    let packed = bigints::pack(&entries.collect::<Vec<_>>());
    spi.run(&BALANCE_COUNTRIES, &[packed.as_slice().into_datum()], Sees::Now).map(|_| ())
}
