//! A match in memory: the whole of it, and what it looks like at coarser resolutions.
//!
//! Filled from a snapshot, brought forward by messages. Nothing here knows sockets or the database.

use crate::error::{Error, Result};
use foldhash::{HashMap, HashMapExt};
use std::collections::{BTreeMap, BTreeSet};
use vote_agg_core::feed::message::{self, CellVotes, CountryVotes, Message, Snapshot, Stats, Votes};
use vote_agg_core::vote::cell::roll_up;
use vote_agg_core::vote::tally::Counts;
use vote_agg_core::{CellIndex, Country, Resolution};

type Cells = HashMap<CellIndex, Counts>;

/// The folded match at one seq of one epoch.
#[derive(Debug)]
pub struct MatchState {
    pub match_id: String,
    pub seq: i64,
    /// None: nothing was folded yet.
    pub epoch: Option<String>,
    pub at: Option<String>,
    pub status: String,
    pub stats: Stats<'static>,
    /// The match's teams; counts are in this order, which is our own: JSON objects have none, and a snapshot's comes sorted.
    teams: Vec<String>,
    cells: Cells,
    countries: BTreeMap<Country, Counts>,
    rolled: BTreeMap<Resolution, Cells>,
}

impl MatchState {
    /// Takes a snapshot at the cells' own resolutions.
    ///
    /// # Errors
    /// [`Error::Gap`] when it contradicts itself.
    pub fn new(snapshot: Snapshot<'static>) -> Result<Self> {
        let teams = names(&snapshot.stats);
        let cells: Result<Cells> =
            snapshot.cells.iter().map(|CellVotes(cell, votes)| Ok((*cell, counts(&teams, votes)?))).collect();
        let countries: Result<BTreeMap<_, _>> =
            snapshot.countries.iter().map(|CountryVotes(country, votes)| Ok((*country, counts(&teams, votes)?))).collect();
        Ok(Self {
            match_id: snapshot.match_id.into_owned(),
            seq: snapshot.seq,
            epoch: snapshot.epoch.map(Into::into),
            at: snapshot.at.map(Into::into),
            status: snapshot.status.into_owned(),
            stats: snapshot.stats,
            cells: cells?,
            countries: countries?,
            teams,
            rolled: BTreeMap::new(),
        })
    }

    /// How many cells there are, and how many countries.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.cells.len(), self.countries.len())
    }

    /// Whether somebody has opened it or voted in it.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.epoch.is_some() || self.status != "unknown"
    }

    /// Whether `message` is the one that comes next.
    #[must_use]
    pub fn is_next(&self, message: &Message) -> bool {
        message.prev == self.seq
            && message.seq == self.seq + 1
            && self.epoch.as_deref().is_none_or(|epoch| epoch == message.epoch)
            && !message.resync
            && !message.partial
            && message.cells.is_some()
            && message.countries.is_some()
            && self.teams.iter().all(|team| message.stats.votes.0.iter().any(|(name, _)| name == team))
    }

    /// Brings the match forward by the message that comes next. Returns the changed cells of each resolution kept.
    ///
    /// # Errors
    /// [`Error::Gap`] when it is another one, or contradicts itself; the state must then be loaded again.
    pub fn apply(&mut self, message: &Message<'static>) -> Result<BTreeMap<Resolution, Vec<CellVotes<'static>>>> {
        if !self.is_next(message) {
            return Err(Error::Gap);
        }
        for team in names(&message.stats) {
            if !self.teams.contains(&team) {
                self.teams.push(team);
            }
        }
        let mut changed: BTreeMap<Resolution, BTreeSet<u64>> = self.rolled.keys().map(|r| (*r, BTreeSet::new())).collect();
        for CellVotes(cell, votes) in message.cells.iter().flatten() {
            let new = counts(&self.teams, votes)?;
            let old = replace(&mut self.cells, *cell, &new);
            for (resolution, cells) in &mut self.rolled {
                let parent = roll_up(*cell, *resolution);
                shift(cells, parent, &old, &new)?;
                changed.entry(*resolution).or_default().insert(parent.into());
            }
        }
        for CountryVotes(country, votes) in message.countries.iter().flatten() {
            let new = counts(&self.teams, votes)?;
            if new.iter().any(|votes| *votes != 0) {
                self.countries.insert(*country, new);
            } else {
                self.countries.remove(country);
            }
        }
        self.seq = message.seq;
        self.epoch = Some(message.epoch.clone().into_owned());
        self.at = Some(message.at.clone().into_owned());
        self.stats = message.stats.clone();
        if message.is_final {
            "final".clone_into(&mut self.status);
        } else if self.status == "unknown" {
            "open".clone_into(&mut self.status);
        }
        Ok(changed.into_iter().map(|(resolution, cells)| (resolution, self.cells_at(resolution, &cells))).collect())
    }

    /// The votes of these cells of a resolution that is kept, by their numbers.
    #[must_use]
    pub fn cells_at(&self, resolution: Resolution, numbers: &BTreeSet<u64>) -> Vec<CellVotes<'static>> {
        let kept = self.rolled.get(&resolution);
        let cells = numbers.iter().filter_map(|number| CellIndex::try_from(*number).ok());
        cells.map(|cell| CellVotes(cell, self.votes(kept.and_then(|kept| kept.get(&cell))))).collect()
    }

    /// From now on the match is also kept rolled up to `resolution`.
    ///
    /// # Errors
    /// [`Error::Gap`] when a sum leaves 64 bits.
    pub fn roll(&mut self, resolution: Resolution) -> Result<()> {
        if !self.rolled.contains_key(&resolution) {
            let rolled = self.rolled_up(resolution)?;
            self.rolled.insert(resolution, rolled);
        }
        Ok(())
    }

    fn rolled_up(&self, resolution: Resolution) -> Result<Cells> {
        let mut rolled = Cells::new();
        for (cell, votes) in &self.cells {
            shift(&mut rolled, roll_up(*cell, resolution), &[], votes)?;
        }
        Ok(rolled)
    }

    /// Nobody needs that resolution any more.
    pub fn forget(&mut self, resolution: Resolution) {
        self.rolled.remove(&resolution);
    }

    /// The same at any resolution, kept or not.
    ///
    /// # Errors
    /// [`Error::Gap`] when a sum leaves 64 bits.
    pub fn snapshot_at(&self, resolution: Option<Resolution>) -> Result<Snapshot<'_>> {
        let mut snapshot = self.snapshot(resolution);
        if let Some(resolution) = resolution
            && !self.rolled.contains_key(&resolution)
        {
            let rolled = self.rolled_up(resolution)?;
            let mut cells: Vec<_> = rolled.iter().map(|(cell, votes)| CellVotes(*cell, self.votes(Some(votes)))).collect();
            cells.sort_unstable_by_key(|CellVotes(cell, _)| u64::from(*cell));
            snapshot.cells = cells;
        }
        Ok(snapshot)
    }

    /// The match as a snapshot, rolled up to `resolution` if it is kept.
    #[must_use]
    pub fn snapshot(&self, resolution: Option<Resolution>) -> Snapshot<'_> {
        let cells = resolution.and_then(|resolution| self.rolled.get(&resolution)).unwrap_or(&self.cells);
        let mut cells: Vec<_> = cells.iter().map(|(cell, votes)| CellVotes(*cell, Votes::some(&self.teams, votes))).collect();
        cells.sort_unstable_by_key(|CellVotes(cell, _)| u64::from(*cell));
        let countries = self.countries.iter().map(|(country, votes)| CountryVotes(*country, Votes::some(&self.teams, votes)));
        Snapshot {
            v: message::VERSION,
            match_id: self.match_id.as_str().into(),
            seq: self.seq,
            epoch: self.epoch.as_deref().map(Into::into),
            at: self.at.as_deref().map(Into::into),
            status: self.status.as_str().into(),
            resolution: resolution.map(u8::from),
            stats: self.stats.clone(),
            cells,
            countries: countries.collect(),
        }
    }

    fn votes(&self, counts: Option<&Counts>) -> Votes<'static> {
        let pairs = self.teams.iter().zip(counts.into_iter().flatten()).filter(|(_, votes)| **votes != 0);
        Votes(pairs.map(|(team, votes)| (team.clone().into(), *votes)).collect())
    }
}

fn names(stats: &Stats) -> Vec<String> {
    stats.votes.0.iter().map(|(team, _)| team.clone().into_owned()).collect()
}

fn counts(teams: &[String], votes: &Votes) -> Result<Counts> {
    let mut counts = vec![0; teams.len()];
    for (team, votes) in &votes.0 {
        let place = teams.iter().position(|name| name == team).ok_or(Error::Gap)?;
        counts[place] = *votes;
    }
    Ok(counts)
}

/// Puts in the new counts; returns the old.
fn replace(cells: &mut Cells, cell: CellIndex, new: &Counts) -> Counts {
    let old = if new.iter().all(|votes| *votes == 0) { cells.remove(&cell) } else { cells.insert(cell, new.clone()) };
    old.unwrap_or_default()
}

/// Moves a rolled-up cell by the change of one cell in it.
fn shift(cells: &mut Cells, parent: CellIndex, old: &[i64], new: &[i64]) -> Result<()> {
    let sums = cells.entry(parent).or_default();
    if sums.len() < new.len() {
        sums.resize(new.len(), 0);
    }
    for (place, sum) in sums.iter_mut().enumerate() {
        let at = |counts: &[i64]| counts.get(place).copied().unwrap_or(0);
        let moved = at(new).checked_sub(at(old)).and_then(|change| sum.checked_add(change));
        *sum = moved.ok_or(Error::Gap)?;
    }
    if sums.iter().all(|votes| *votes == 0) {
        cells.remove(&parent);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use vote_agg_core::parse_resolution;

    fn snapshot() -> Snapshot<'static> {
        serde_json::from_str(include_str!("../../../fixtures/snapshot.json")).expect("golden snapshot")
    }

    fn next(state: &MatchState, cells: &str, stats: &str) -> Message<'static> {
        let (seq, epoch) = (state.seq, state.epoch.as_deref().unwrap_or_default());
        let text = format!(
            r#"{{"v":1,"match":"final","seq":{},"prev":{seq},"epoch":"{epoch}","at":"2026-07-19T20:11:03.120Z",
               "stats":{{"total":9,"votes":{stats},"leader":null,"dominance":0,"per_minute":0}},
               "cells":{cells},"countries":[["FR",{{}}]],"new":[]}}"#,
            seq + 1
        );
        serde_json::from_str(&text).expect("message")
    }

    #[test]
    fn a_snapshot_comes_back_as_it_was() {
        let state = MatchState::new(snapshot()).expect("sound");
        assert_eq!(message::to_json(&state.snapshot(None)), message::to_json(&snapshot()));
    }

    #[test]
    fn rolling_up_before_or_after_a_change_is_the_same() {
        let three = parse_resolution(3).expect("3");
        let cells = r#"[["872a1072bffffff",{"home":7,"new":1}],["872a10728ffffff",{"away":2}],["8f2a1072b59b0db",{"home":1}]]"#;
        let stats = r#"{"away":3,"new":1,"home":5}"#;
        let mut before = MatchState::new(snapshot()).expect("sound");
        before.roll(three).expect("small");
        let message = next(&before, cells, stats);
        let changed = before.apply(&message).expect("next");
        assert_eq!(changed[&three].len(), 1);
        let mut after = MatchState::new(snapshot()).expect("sound");
        after.apply(&message).expect("next");
        after.roll(three).expect("small");
        assert_eq!(before.snapshot(Some(three)), after.snapshot(Some(three)));
        // votes taken back leave nothing behind
        let taken = next(&before, r#"[["872a1072bffffff",{}],["872a10728ffffff",{}],["8f2a1072b59b0db",{}]]"#, stats);
        let gone: Vec<_> = before.apply(&taken).expect("next")[&three].clone();
        after.apply(&taken).expect("next");
        after.forget(three);
        after.roll(three).expect("small");
        assert_eq!(before.snapshot(Some(three)), after.snapshot(Some(three)));
        assert_eq!(gone.len(), 1);
    }

    #[test]
    fn only_the_next_message_is_taken() {
        let mut state = MatchState::new(snapshot()).expect("sound");
        let stats = message::to_json(&snapshot().stats.votes);
        let good = next(&state, "[]", &stats);
        for bad in [
            Message { seq: good.seq + 1, ..good.clone() },
            Message { prev: good.prev - 1, ..good.clone() },
            Message { epoch: "another".into(), ..good.clone() },
            Message { resync: true, ..good.clone() },
            Message { partial: true, ..good.clone() },
            Message { cells: None, ..good.clone() },
            Message { stats: Stats { votes: Votes(vec![("other".into(), 1)]), ..good.stats.clone() }, ..good.clone() },
        ] {
            assert!(matches!(state.apply(&bad), Err(Error::Gap)), "{bad:?}");
        }
        assert!(state.apply(&good).is_ok());
        assert!(matches!(state.apply(&good), Err(Error::Gap)), "not twice");
    }
}
