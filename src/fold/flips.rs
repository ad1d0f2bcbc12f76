//! Announced changes of leader, kept for those who come later: of the match and of countries. Those of cells are too many, and
//! stand in the messages alone. A fold without such a change runs no statement.

use crate::error::Result;
use crate::pg::bigints::number_of;
use crate::pg::spi::{Plan, Sees, Spi};
use pgrx::{IntoDatum, pg_sys};
use vote_agg_core::Country;

thread_local! {
    static KEEP: Plan = const { Plan::new(
        "INSERT INTO vote_agg.flip (match_id, seq, at, country_code, before, after)
         SELECT $1, $2, $3, f.country_code, f.before, f.after FROM unnest($4, $5, $6) AS f(country_code, before, after)",
        &[pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTARRAYOID, pg_sys::INT4ARRAYOID,
          pg_sys::INT4ARRAYOID]) };
    static ERASE: Plan = const { Plan::new("DELETE FROM vote_agg.flip WHERE at < $1", &[pg_sys::TIMESTAMPTZOID]) };
}

/// A change of the announced leader, by numbers of teams: of a country or, without one, of the match.
#[derive(Clone, Copy)]
pub struct Announced {
    pub country: Option<Country>,
    pub before: Option<usize>,
    pub after: Option<usize>,
}

/// Keeps what the message `seq` of a fold at `at` announces.
///
/// # Errors
/// Those of the server.
pub fn keep(spi: &Spi, match_id: &str, seq: i64, at: i64, announced: &[Announced]) -> Result<()> {
    if announced.is_empty() {
        return Ok(());
    }
    let countries: Vec<_> = announced.iter().map(|announced| announced.country.map(|country| country.to_string())).collect();
    let teams =
        |team: fn(&Announced) -> Option<usize>| announced.iter().map(|announced| number_of(team(announced))).collect::<Vec<_>>();
    let args = [
        match_id.into_datum(),
        seq.into_datum(),
        Some(at.into()),
        countries.into_datum(),
        teams(|announced| announced.before).into_datum(),
        teams(|announced| announced.after).into_datum(),
    ];
    spi.run(&KEEP, &args, Sees::Now).map(|_| ())
}

/// Erases what is older than `horizon`, of all matches.
///
/// # Errors
/// Those of the server.
pub fn erase(spi: &Spi, horizon: i64) -> Result<()> {
    spi.run(&ERASE, &[Some(horizon.into())], Sees::Now).map(|_| ())
}
