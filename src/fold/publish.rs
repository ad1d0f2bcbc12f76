//! The matches of a fold: their sums into the aggregates, their totals and messages into the feed.

use crate::error::{Result, too_large};
use crate::fold::aggregate::{self, Addition, Aggregate, Sum, Target};
use crate::fold::feed::{Change, Fold, Head};
use crate::pg::spi::Spi;
use crate::settings;
use vote_agg_core::Country;
use vote_agg_core::feed::message::MAX_CELLS;
use vote_agg_core::vote::tally::{MINUTE, Tally};
use vote_agg_core::vote::{cell, change};

/// How many times `vote_agg.max_teams` a fold still takes: sessions do not know of each other's teams.
const TEAMS_SPARE: usize = 10;

/// The most numbers of votes, rows times teams, that are published together. One match alone may have more. So what a fold
/// holds of all its matches is bounded.
const MAX_NUMBERS: usize = 500_000;

/// A match with what came for it.
#[derive(Clone, Copy)]
pub struct Counted<'a> {
    pub match_id: &'a str,
    /// The match before this fold.
    pub head: &'a Head,
    pub tally: &'a Tally,
    pub is_final: bool,
}

impl Counted<'_> {
    fn numbers(&self) -> usize {
        self.tally.distinct().saturating_mul(self.tally.teams().len())
    }

    fn check_teams(&self) -> Result<()> {
        let (teams, most) = (self.tally.teams().len(), TEAMS_SPARE * settings::max_teams());
        if teams <= most {
            return Ok(());
        }
        Err(too_large(
            format!("it has {teams} teams, and no match with more than {most} is folded"),
            "Raise vote_agg.max_teams, of which this is ten times, or purge the match.",
        ))
    }
}

/// How many notifications go with one statement.
const MAX_CALLS: usize = 1_000;

/// Adds what came for matches to their aggregates, and tells the feed. Each table is written for many matches at once: what a
/// statement costs besides its rows is most of what a match with few votes costs.
///
/// # Errors
/// 54000 when a match has too many teams; 22003 when a sum leaves 64 bits; those of the server.
pub fn publish(spi: &Spi, fold: &Fold, matches: &[Counted]) -> Result<()> {
    let mut rest = matches;
    while !rest.is_empty() {
        let mut numbers = 0;
        let fit = rest.iter().take_while(|counted| {
            numbers += counted.numbers();
            numbers <= MAX_NUMBERS
        });
        let (some, others) = rest.split_at(fit.count().max(1));
        publish_some(spi, fold, some)?;
        rest = others;
    }
    Ok(())
}

fn publish_some(spi: &Spi, fold: &Fold, matches: &[Counted]) -> Result<()> {
    matches.iter().try_for_each(Counted::check_teams)?;
    // A message with more cells leaves them out.
    let cells = |tally: &Tally| Ok(tally.cell_changes()?);
    let cells = add(spi, Aggregate::Cells, matches, Some(MAX_CELLS), cells, |cell| cell::cell_to_bits(*cell))?;
    let countries = |tally: &Tally| Ok(tally.country_changes()?);
    let country_key = |country: &Country| i64::from(country.number());
    let countries = add(spi, Aggregate::Countries, matches, Some(usize::MAX), countries, country_key)?;
    add(spi, Aggregate::Minutes, matches, None, |tally| Ok(tally.minute_changes()), |start| start / MINUTE)?;
    let minute_key = |(start, country): &(i64, Country)| aggregate::country_minute(*start, country.number());
    add(spi, Aggregate::CountryMinutes, matches, None, |tally| Ok(tally.country_minute_changes()), minute_key)?;
    let mut calls = Vec::new();
    for ((counted, cells), countries) in matches.iter().zip(cells).zip(countries) {
        let change = Change {
            match_id: counted.match_id,
            head: counted.head.clone(),
            tally: counted.tally,
            cells: cells.sums,
            countries: countries.sums,
            new_cells: cells.newly,
            new_countries: countries.newly,
            emptied: cells.emptied + countries.emptied,
            is_final: counted.is_final,
            is_rebuilt: false,
            announced: Vec::new(),
        };
        calls.push(change.publish(spi, fold)?);
        if calls.len() == MAX_CALLS {
            fold.notify(spi, std::mem::take(&mut calls))?;
        }
    }
    fold.notify(spi, calls)?;
    Ok(())
}

/// What a match has in one table now.
struct Added<K> {
    sums: Vec<(K, Sum)>,
    /// How many keys have votes now that had none, less those that lost theirs.
    newly: i64,
    /// How many lost theirs.
    emptied: i64,
}

/// Adds changes by key to a table. Sums name teams and their votes where a match has no more keys than `names_up_to`.
fn add<K>(
    spi: &Spi,
    table: Aggregate,
    matches: &[Counted],
    names_up_to: Option<usize>,
    changes_of: impl Fn(&Tally) -> Result<Vec<(K, change::Change)>>,
    key: impl Fn(&K) -> i64,
) -> Result<Vec<Added<K>>> {
    let (mut keys, mut additions) = (Vec::with_capacity(matches.len()), Vec::with_capacity(matches.len()));
    for counted in matches {
        let (of_match, changes): (Vec<K>, Vec<change::Change>) = changes_of(counted.tally)?.into_iter().unzip();
        let target = Target {
            match_id: counted.match_id,
            teams: counted.tally.teams().len(),
            wants_names: names_up_to.is_some_and(|most| of_match.len() <= most),
            seq: counted.head.seq + 1,
        };
        additions.push(Addition { target, changes: of_match.iter().map(&key).zip(changes).collect() });
        keys.push(of_match);
    }
    let sums = aggregate::add(spi, table, &additions)?;
    keys.into_iter().zip(sums).zip(&additions).map(|((keys, sums), addition)| added(keys, sums, addition)).collect()
}

fn added<K>(keys: Vec<K>, sums: Vec<Sum>, addition: &Addition) -> Result<Added<K>> {
    let (mut newly, mut emptied) = (0, 0);
    for (sum, (_, change)) in sums.iter().zip(&addition.changes) {
        let had = sum.total.saturating_sub(change::total(change)?);
        newly += i64::from(sum.total > 0) - i64::from(had > 0);
        emptied += i64::from(sum.total <= 0 && had > 0);
    }
    Ok(Added { sums: keys.into_iter().zip(sums).collect(), newly, emptied })
}
