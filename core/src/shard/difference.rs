//! From what a root holds of a shard's match to what the shard says of it now: votes that, added to the root's totals, make up
//! the difference. It may be negative: the shard is the truth.
//!
//! A shard tells sums by cell, by country, by minute, not votes. So the votes here are made to have those sums:
//!
//! 1. Each cell's difference is in the newest minute, and so is what has no cell.
//! 2. What belongs to another minute is added there and taken from the newest, without a cell.
//! 3. Countries have rows that count in no total, each in its own minute.
//! 4. A row that counts nowhere takes those out of the source's sum, which is the shard's total then.

use crate::shard::rows::{Line, MatchRows};
use crate::vote::cell::cell_from_bits;
use crate::vote::change::{self, Change};
use crate::vote::counts::{Counts, sum};
use crate::vote::tally::{MINUTE, Source, Vote};
use crate::{Country, Error};
use std::collections::{BTreeMap, HashMap};
use std::fmt;

/// The kinds of keys that a root holds, in the order of [`Held::lines`].
pub const KINDS: usize = 4;

/// What a root holds of a shard's match.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// As the shard numbered them.
    pub teams: Vec<String>,
    pub votes: Counts,
    /// Cells, countries, minutes, minutes of countries: all that there are, or those that the shard names.
    pub lines: [BTreeMap<i64, Counts>; KINDS],
    pub unplaced: Counts,
}

/// Why what a shard says cannot be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Mismatch {
    Value(Error),
    /// A count of a team that is not named, or a team that is named twice.
    Teams,
    /// A key that is told twice.
    Twice {
        key: i64,
    },
    /// Teams that the root knows have other numbers now.
    Renumbered,
    /// Cells and what has none do not make up the total of a team.
    Sum {
        team: String,
        total: i64,
        cells: i64,
    },
}

impl From<Error> for Mismatch {
    fn from(error: Error) -> Self {
        Self::Value(error)
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(error) => error.fmt(f),
            Self::Teams => write!(f, "a team is named twice, or one that has votes is not named"),
            Self::Twice { key } => write!(f, "key {key} is told twice"),
            Self::Renumbered => write!(f, "the teams have other numbers than before"),
            Self::Sum { team, total, cells } => {
                write!(f, "team \"{team}\" has {total} votes more than before, its cells and votes without one have {cells}")
            }
        }
    }
}

impl MatchRows {
    /// The lines by kind.
    #[must_use]
    pub const fn lines(&self) -> [&Vec<Line>; KINDS] {
        [&self.cells, &self.countries, &self.minutes, &self.country_minutes]
    }

    /// Is a key of a kind one that the root follows? Minutes that the shard may have erased are not.
    #[must_use]
    pub fn is_kept(&self, kind: usize, key: i64) -> bool {
        let minute = match kind {
            2 => key,
            3 => key >> 16,
            _ => return true,
        };
        self.kept_from.is_none_or(|from| minute >= from.div_euclid(MINUTE))
    }

    fn check_teams(&self) -> Result<(), Mismatch> {
        let teams = self.teams.len();
        let named: std::collections::HashSet<&str> = self.teams.iter().map(String::as_str).collect();
        let is_known = |change: &Change| change.iter().all(|(team, _)| *team < teams);
        let all = self.lines().into_iter().flatten().all(|(_, change)| is_known(change));
        let sound = named.len() == teams && self.votes.len() <= teams && self.unplaced.len() <= teams && all;
        if sound { Ok(()) } else { Err(Mismatch::Teams) }
    }
}

/// The teams of both sides: the shard's first, then those that it does not name any more.
struct Teams<'a> {
    names: Vec<&'a str>,
    /// The number here of each team that is held.
    held: Vec<usize>,
}

impl<'a> Teams<'a> {
    fn of(held: &'a Held, now: &'a MatchRows) -> Result<Self, Mismatch> {
        let mut names: Vec<&str> = now.teams.iter().map(String::as_str).collect();
        let mut numbers: HashMap<&str, usize> = names.iter().enumerate().map(|(number, name)| (*name, number)).collect();
        let mut places = Vec::with_capacity(held.teams.len());
        for (place, team) in held.teams.iter().enumerate() {
            let number = *numbers.entry(team).or_insert_with(|| {
                names.push(team);
                names.len() - 1
            });
            if number != place && !now.whole {
                return Err(Mismatch::Renumbered);
            }
            places.push(number);
        }
        Ok(Self { names, held: places })
    }

    /// What is to be added to `held` to make it `now`.
    fn change(&self, held: &[i64], now: &[(usize, i64)]) -> Result<Change, Mismatch> {
        let mut sums: BTreeMap<usize, i64> = BTreeMap::new();
        for (team, votes) in now {
            let entry = sums.entry(*team).or_default();
            *entry = sum(*entry, *votes)?;
        }
        for (place, votes) in held.iter().enumerate().filter(|(_, votes)| **votes != 0) {
            let team = *self.held.get(place).ok_or(Mismatch::Teams)?;
            let entry = sums.entry(team).or_default();
            *entry = sum(*entry, votes.checked_neg().ok_or(Error::ManyVotes { votes: i128::from(*votes) })?)?;
        }
        Ok(sums.into_iter().filter(|(_, votes)| *votes != 0).collect())
    }

    /// The same for all keys of a kind, in order of keys.
    fn changes(&self, held: &Held, now: &MatchRows, kind: usize) -> Result<Vec<Line>, Mismatch> {
        let lines = now.lines()[kind];
        let told: BTreeMap<i64, &Change> = lines.iter().map(|(key, change)| (*key, change)).collect();
        if told.len() < lines.len() {
            let twice = lines.iter().find(|(key, change)| told.get(key).is_some_and(|last| !std::ptr::eq(*last, change)));
            return Err(Mismatch::Twice { key: twice.map_or(0, |(key, _)| *key) });
        }
        let (nothing, none) = (Change::new(), Counts::new());
        let mut keys: Vec<i64> = told.keys().copied().collect();
        if now.whole {
            keys.extend(held.lines[kind].keys().filter(|key| !told.contains_key(key)));
            keys.sort_unstable();
        }
        let changed = keys.into_iter().filter(|key| now.is_kept(kind, *key)).map(|key| {
            let (before, after) = (held.lines[kind].get(&key).unwrap_or(&none), told.get(&key).copied().unwrap_or(&nothing));
            Ok((key, self.change(before, after)?))
        });
        changed.filter(|line| line.as_ref().map_or(true, |(_, change)| !change.is_empty())).collect()
    }
}

/// Adds up changes by team.
fn summed<'a>(changes: impl Iterator<Item = &'a Change>) -> Result<BTreeMap<usize, i64>, Error> {
    let mut sums = BTreeMap::new();
    for (team, votes) in changes.flatten() {
        let entry = sums.entry(*team).or_insert(0);
        *entry = sum(*entry, *votes)?;
    }
    Ok(sums)
}

/// The votes that make `held` what the shard says `now`.
///
/// # Errors
/// What cannot be in what the shard says.
pub fn difference<'a>(held: &'a Held, now: &'a MatchRows, source: Source) -> Result<Vec<Vote<'a>>, Mismatch> {
    now.check_teams()?;
    let teams = Teams::of(held, now)?;
    let lines = (0..KINDS).map(|kind| teams.changes(held, now, kind)).collect::<Result<Vec<_>, _>>()?;
    let [cells, countries, minutes, country_minutes] = &lines[..] else { return Err(Mismatch::Teams) };
    let totals = teams.change(&held.votes, &change::of(&now.votes))?;
    let unplaced = teams.change(&held.unplaced, &change::of(&now.unplaced))?;
    let placed = summed(cells.iter().map(|(_, change)| change).chain([&unplaced]))?;
    let mut rows = Rows { clock: Clock::of(now)?, names: teams.names, source, rows: Vec::new(), beside: 0 };
    refuse_unequal(&rows.names, &totals, &placed)?;

    let newest = rows.clock.newest;
    for (key, change) in cells {
        let cell = Some(cell_from_bits(*key)?);
        change.iter().try_for_each(|(team, votes)| rows.add(*team, cell, None, *votes, newest))?;
    }
    unplaced.iter().try_for_each(|(team, votes)| rows.add(*team, None, None, *votes, newest))?;
    let told = summed(minutes.iter().map(|(_, change)| change))?;
    for (minute, change) in minutes {
        change.iter().try_for_each(|(team, votes)| rows.shift(*team, *votes, *minute))?;
    }
    // What came in minutes that the shard tells nothing of.
    let erased = rows.clock.erased;
    for (team, votes) in placed_but_not_told(&placed, &told)? {
        rows.shift(team, votes, erased)?;
    }

    let mut by_country: BTreeMap<(i64, usize), i64> = BTreeMap::new();
    for (country, change) in countries {
        by_country.extend(change.iter().map(|(team, votes)| ((*country, *team), *votes)));
    }
    for (key, change) in country_minutes {
        let country = key & 0xffff;
        for (team, votes) in change {
            rows.add(*team, None, Some(country_of(country)?), *votes, key >> 16)?;
            let left = by_country.entry((country, *team)).or_default();
            *left = left.checked_sub(*votes).ok_or(Error::ManyVotes { votes: i128::from(*votes) })?;
        }
    }
    for ((country, team), votes) in by_country {
        rows.add(team, None, Some(country_of(country)?), votes, erased)?;
    }
    rows.even_out()
}

fn placed_but_not_told(placed: &BTreeMap<usize, i64>, told: &BTreeMap<usize, i64>) -> Result<Vec<(usize, i64)>, Error> {
    let mut left = placed.clone();
    for (team, votes) in told {
        let entry = left.entry(*team).or_default();
        *entry = entry.checked_sub(*votes).ok_or(Error::ManyVotes { votes: i128::from(*votes) })?;
    }
    Ok(left.into_iter().filter(|(_, votes)| *votes != 0).collect())
}

fn refuse_unequal(names: &[&str], totals: &Change, placed: &BTreeMap<usize, i64>) -> Result<(), Mismatch> {
    let totals: BTreeMap<usize, i64> = totals.iter().copied().collect();
    for (team, name) in names.iter().enumerate() {
        let of = |sums: &BTreeMap<usize, i64>| sums.get(&team).copied().unwrap_or(0);
        if of(&totals) != of(placed) {
            return Err(Mismatch::Sum { team: (*name).to_owned(), total: of(&totals), cells: of(placed) });
        }
    }
    Ok(())
}

fn country_of(number: i64) -> Result<Country, Error> {
    let bytes = u16::try_from(number).unwrap_or(0).to_be_bytes();
    Country::parse(&bytes)
}

/// Minutes since 2000 that are times in PostgreSQL, some days spared at both ends.
const MINUTES: std::ops::Range<i64> = -3_530_000_000..153_000_000_000;

fn check_minute(minute: i64) -> Result<(), Error> {
    let range = "-3530000000 to 153000000000 minutes from 2000-01-01 on";
    if MINUTES.contains(&minute) { Ok(()) } else { Err(Error::Range { what: "minute", value: minute.to_string(), range }) }
}

/// When votes are said to have come.
struct Clock {
    /// The minute of the newest vote, and when that came.
    newest: i64,
    last: i64,
    /// The minute of what the shard does not tell by minutes.
    erased: i64,
}

impl Clock {
    fn of(now: &MatchRows) -> Result<Self, Error> {
        let last = now.last_vote_at.unwrap_or(now.at);
        let newest = last.div_euclid(MINUTE);
        let clock = Self { newest, last, erased: now.kept_from.map_or(newest, |from| from.div_euclid(MINUTE) - 1) };
        [newest, clock.erased].into_iter().try_for_each(check_minute)?;
        Ok(clock)
    }

    fn at(&self, minute: i64) -> Result<i64, Error> {
        check_minute(minute)?;
        let start = minute * MINUTE;
        Ok(match minute.cmp(&self.newest) {
            std::cmp::Ordering::Less => start + (MINUTE - 1),
            std::cmp::Ordering::Equal => self.last,
            std::cmp::Ordering::Greater => start,
        })
    }
}

/// The votes that are being made.
struct Rows<'a> {
    clock: Clock,
    names: Vec<&'a str>,
    source: Source,
    rows: Vec<Vote<'a>>,
    /// The sum of the rows that count in no total.
    beside: i64,
}

impl<'a> Rows<'a> {
    fn add(
        &mut self,
        team: usize,
        cell: Option<crate::CellIndex>,
        country: Option<Country>,
        votes: i64,
        minute: i64,
    ) -> Result<(), Error> {
        if votes == 0 {
            return Ok(());
        }
        let in_total = country.is_none();
        if !in_total {
            self.beside = sum(self.beside, votes)?;
        }
        let at = self.clock.at(minute)?;
        self.rows.push(Vote { team: self.names[team], cell, country, votes, in_total, source: self.source, at });
        Ok(())
    }

    /// Moves votes without a cell from the newest minute to another.
    fn shift(&mut self, team: usize, votes: i64, minute: i64) -> Result<(), Error> {
        if minute == self.clock.newest {
            return Ok(());
        }
        self.add(team, None, None, votes, minute)?;
        let back = votes.checked_neg().ok_or(Error::ManyVotes { votes: i128::from(votes) })?;
        self.add(team, None, None, back, self.clock.newest)
    }

    /// Takes the rows that count in no total out of the sum of the source.
    fn even_out(mut self) -> Result<Vec<Vote<'a>>, Mismatch> {
        if self.beside != 0 {
            let votes = self.beside.checked_neg().ok_or(Error::ManyVotes { votes: i128::from(self.beside) })?;
            let at = self.clock.last;
            let team = self.names.first().copied().unwrap_or_default();
            self.rows.push(Vote { team, cell: None, country: None, votes, in_total: false, source: self.source, at });
        }
        Ok(self.rows)
    }
}

#[cfg(test)]
mod tests;
