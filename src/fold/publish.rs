//! One match of a fold: its sums into the aggregates, its totals and message into the feed.

use crate::error::{Result, refused, too_large};
use crate::fold::aggregate::{self, Aggregate, Sum, Target};
use crate::fold::feed::{Change, Fold, Head};
use crate::pg::spi::Spi;
use crate::settings;
use vote_agg_core::Country;
use vote_agg_core::feed::message::MAX_CELLS;
use vote_agg_core::vote::tally::{MINUTE, Tally};
use vote_agg_core::vote::{cell, change};

/// How many times `vote_agg.max_teams` a fold still takes: sessions do not know of each other's teams.
const TEAMS_SPARE: usize = 10;

/// Adds what came for a match to its aggregates, and tells the feed.
///
/// # Errors
/// 22003 when a sum leaves 64 bits; those of the server.
pub fn publish(spi: &Spi, fold: &Fold, match_id: &str, head: &Head, tally: &Tally, is_final: bool) -> Result<()> {
    let (teams, most) = (tally.teams().len(), TEAMS_SPARE * settings::max_teams());
    if teams > most {
        return Err(too_large(
            format!("it has {teams} teams, and no match with more than {most} is folded"),
            "Raise vote_agg.max_teams, of which this is ten times, or purge the match.",
        ));
    }
    let cells = tally.cell_changes().map_err(refused)?;
    let of = |wants_names| Target { match_id, teams, wants_names, seq: head.seq + 1 };
    // A message with more cells leaves them out.
    let (cells, new_cells, emptied_cells) =
        add(spi, Aggregate::Cells, of(cells.len() <= MAX_CELLS), cells, |cell| cell::cell_to_bits(*cell))?;
    let country_key = |country: &Country| i64::from(country.number());
    let countries = tally.country_changes().map_err(refused)?;
    let (countries, new_countries, emptied_countries) = add(spi, Aggregate::Countries, of(true), countries, country_key)?;
    add(spi, Aggregate::Minutes, of(false), tally.minute_changes(), |start| start / MINUTE)?;
    let minute_key = |(start, country): &(i64, Country)| aggregate::country_minute(*start, country.number());
    add(spi, Aggregate::CountryMinutes, of(false), tally.country_minute_changes(), minute_key)?;
    let change = Change {
        match_id,
        head: head.clone(),
        tally,
        cells,
        countries,
        new_cells,
        new_countries,
        emptied: emptied_cells + emptied_countries,
        is_final,
        is_rebuilt: false,
    };
    change.publish(spi, fold)
}

/// Adds changes by key; returns the new sums, how many keys have votes now that had none, less those that lost theirs, and
/// how many lost theirs.
fn add<K>(
    spi: &Spi,
    table: Aggregate,
    target: Target,
    changes: Vec<(K, change::Change)>,
    key: impl Fn(&K) -> i64,
) -> Result<(Vec<(K, Sum)>, i64, i64)> {
    let (keys, changes): (Vec<K>, Vec<change::Change>) = changes.into_iter().unzip();
    let changes: Vec<(i64, change::Change)> = keys.iter().map(key).zip(changes).collect();
    let sums = aggregate::add(spi, table, target, &changes)?;
    let (mut newly, mut emptied) = (0, 0);
    for (sum, (_, change)) in sums.iter().zip(&changes) {
        let had = sum.total.saturating_sub(change::total(change).map_err(refused)?);
        newly += i64::from(sum.total > 0) - i64::from(had > 0);
        emptied += i64::from(sum.total <= 0 && had > 0);
    }
    Ok((keys.into_iter().zip(sums).collect(), newly, emptied))
}
