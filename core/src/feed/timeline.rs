//! The time line: votes by minute, cut into buckets, with the running total.
//!
//! Votes count in the minute in which they were recorded. Where a ballot was changed or taken back, a minute holds the net
//! change, which may be below zero. Old minutes may be gone (retention); what they held is one opening balance then.

use crate::Error;
use crate::vote::change::{self, Change};
use crate::vote::tally;
use crate::vote::tally::{Counts, MINUTE, add_all};
use std::collections::BTreeMap;

/// The longest bucket: a hundred years, in microseconds.
pub const MAX_WIDTH: i64 = 36_525 * 1_440 * MINUTE;

/// Seven days. A bucket of whole weeks begins on a Monday, as weeks do by ISO 8601; 2000-01-01 was a Saturday.
const WEEK: i64 = 7 * 1_440 * MINUTE;
const MONDAY: i64 = 2 * 1_440 * MINUTE;

/// Votes by minute. Times are microseconds since 2000-01-01 UTC.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    minutes: BTreeMap<i64, Counts>,
    /// How many numbers the minutes have.
    numbers: usize,
    /// What was counted in minutes that are gone.
    opening: Counts,
    /// Where the minutes that are kept start; `None`: all are kept.
    kept_from: Option<i64>,
}

/// One bucket: its start, the votes in it, and all votes from the match's beginning to its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bucket {
    pub start: i64,
    pub votes: Counts,
    pub running: Counts,
}

impl Timeline {
    /// Minutes before `kept_from` are gone, and held `votes`.
    pub fn open(&mut self, kept_from: i64, votes: Counts) {
        self.kept_from = Some(kept_from);
        self.opening = votes;
    }

    /// Adds the votes of a minute.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn add(&mut self, minute: i64, votes: &[i64]) -> Result<(), Error> {
        let held = self.minutes.entry(minute).or_default();
        let before = held.len();
        let added = add_all(held, votes);
        self.numbers += held.len() - before;
        added
    }

    /// How many numbers it holds, one a minute and team.
    #[must_use]
    pub const fn numbers(&self) -> usize {
        self.numbers
    }

    /// All votes.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn total(&self) -> Result<Counts, Error> {
        let mut total = self.opening.clone();
        self.minutes.values().try_for_each(|votes| add_all(&mut total, votes))?;
        Ok(total)
    }

    /// The buckets of `width` from the first that has votes to the last, those between without votes too. `from` and `to` cut:
    /// the bucket that `from` lies in is the first, the last one starts before `to`. Buckets that are gone, or a part of which
    /// is, are left out. Running totals count from the match's beginning all the same.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn buckets(&self, width: i64, from: Option<i64>, to: Option<i64>) -> Result<impl Iterator<Item = Bucket> + use<>, Error> {
        let (first, end) = self.bounds(width, from, to);
        let mut held: BTreeMap<i64, Bucket> = BTreeMap::new();
        let mut running = self.opening.clone();
        for (minute, votes) in &self.minutes {
            let start = floor(*minute, width);
            let bucket = held.entry(start).or_insert_with(|| Bucket { start, votes: Counts::new(), running: Counts::new() });
            add_all(&mut bucket.votes, votes)?;
            add_all(&mut running, votes)?;
            bucket.running.clone_from(&running);
        }
        let mut running = held.range(..first).next_back().map_or_else(|| self.opening.clone(), |(_, last)| last.running.clone());
        let mut next = first;
        Ok(std::iter::from_fn(move || {
            let start = next;
            (start < end).then(|| {
                next += width;
                let empty = || Bucket { start, votes: Counts::new(), running: running.clone() };
                let bucket = held.remove(&start).unwrap_or_else(empty);
                running.clone_from(&bucket.running);
                bucket
            })
        }))
    }

    /// How many buckets there are between the same cuts.
    #[must_use]
    pub fn count(&self, width: i64, from: Option<i64>, to: Option<i64>) -> u64 {
        let (first, end) = self.bounds(width, from, to);
        let length = u64::try_from(i128::from(end) - i128::from(first)).unwrap_or(0);
        length.div_ceil(width.unsigned_abs())
    }

    /// Where the first bucket starts, and before what the last one does.
    fn bounds(&self, width: i64, from: Option<i64>, to: Option<i64>) -> (i64, i64) {
        let mut first = self.minutes.keys().next().map_or(0, |minute| floor(*minute, width));
        let mut end = self.minutes.keys().next_back().map_or(i64::MIN, |minute| floor(*minute, width) + width);
        if let Some(kept_from) = self.kept_from {
            // What is kept may start in the middle of a bucket. Where votes came before, it starts even without votes.
            let whole = floor(kept_from - 1, width) + width;
            first = if self.opening.is_empty() { first.max(whole) } else { whole };
        }
        if let Some(from) = from.filter(|from| *from > first) {
            first = floor(from, width);
        }
        if let Some(to) = to {
            end = end.min(to);
        }
        (first, end)
    }
}

/// Where the votes of a minute may lie without a change of the buckets between the same cuts: at the start of its bucket. All
/// that a cut leaves out lies together, before the first bucket that is shown or after the last one.
#[must_use]
pub fn place(minute: i64, width: i64, from: Option<i64>, to: Option<i64>) -> i64 {
    let start = floor(minute, width);
    if let Some(first) = from.map(|from| floor(from, width))
        && start < first
    {
        return first.saturating_sub(width);
    }
    match to {
        Some(to) if start >= to => floor(to.saturating_sub(1), width).saturating_add(width),
        _ => start,
    }
}

/// The moment whose totals are asked for by `ts`: the minute that `ts` lies in began then. A time to come means now.
#[must_use]
pub fn as_of(ts: i64, now: i64) -> i64 {
    if ts > now { now } else { ts.checked_sub(ts.rem_euclid(MINUTE)).unwrap_or(ts) }
}

/// The width of a bucket of whole minutes, in microseconds; `None` where it is less than a minute, more than [`MAX_WIDTH`]
/// or none of whole minutes.
#[must_use]
pub fn width(days: i32, microseconds: i64) -> Option<i64> {
    let width = i64::from(days).checked_mul(1_440 * MINUTE)?.checked_add(microseconds)?;
    ((MINUTE..=MAX_WIDTH).contains(&width) && width % MINUTE == 0).then_some(width)
}

/// How many whole minutes before the current one [`Recent::last`] can tell of.
pub const RECENT: usize = 5;

/// The votes of the newest minute that has any, and of the five minutes before it, newest first.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Recent {
    /// Where the newest minute starts.
    pub minute: i64,
    pub votes: [i64; RECENT + 1],
}

impl Recent {
    /// The same after more votes came, given by minute, as it is `now`. Those of older minutes are left out. No minute is to
    /// come: the clock was set back since, and what it put there is taken for what came a moment ago. Else the newest minute
    /// would stand still until the clock gets there.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when a sum leaves 64 bits.
    pub fn after(mut self, minutes: &[(i64, Change)], now: i64) -> Result<Self, Error> {
        let this = floor(now, MINUTE);
        self.minute = self.minute.min(this);
        for (minute, votes) in minutes {
            let minute = this.min(*minute);
            let newest = self.minute.max(minute);
            let gap = usize::try_from((newest - self.minute) / MINUTE).unwrap_or(usize::MAX).min(self.votes.len());
            self.votes.rotate_right(gap);
            self.votes[..gap].fill(0);
            self.minute = newest;
            if let Some(held) = self.place(minute) {
                self.votes[held] = tally::total(&[self.votes[held], change::total(votes)?])?;
            }
        }
        Ok(self)
    }

    /// The votes of a minute; 0 where it is older than what is held.
    fn of(&self, minute: i64) -> i64 {
        self.place(minute).map_or(0, |place| self.votes[place])
    }

    fn place(&self, minute: i64) -> Option<usize> {
        usize::try_from((self.minute - minute) / MINUTE).ok().filter(|place| minute <= self.minute && *place < self.votes.len())
    }

    /// Votes in the minute that ends `now` (a sliding window counter). They are those of this minute, and a part of those of the
    /// minute before: the part that is less than a minute ago, as if its votes had come evenly.
    #[must_use]
    pub fn per_minute(&self, now: i64) -> i64 {
        let this = floor(now, MINUTE);
        let rest = i128::from(self.of(this - MINUTE)) * i128::from((MINUTE - (now - this)).clamp(0, MINUTE)) / i128::from(MINUTE);
        self.of(this).saturating_add(i64::try_from(rest).unwrap_or(i64::MAX))
    }

    /// Votes in the last `minutes` (at most [`RECENT`]) whole minutes before the one that `now` lies in.
    ///
    /// # Errors
    /// [`Error::ManyVotes`] when the sum leaves 64 bits.
    pub fn last(&self, minutes: usize, now: i64) -> Result<i64, Error> {
        let this = floor(now, MINUTE);
        let votes: Vec<i64> = (1..=minutes as i64).map(|back| self.of(this - back * MINUTE)).collect();
        tally::total(&votes)
    }
}

fn floor(at: i64, width: i64) -> i64 {
    let origin = if width % WEEK == 0 { MONDAY } else { 0 };
    at.checked_sub(origin).and_then(|since| at.checked_sub(since.rem_euclid(width))).unwrap_or(at)
}

#[cfg(test)]
mod tests;
