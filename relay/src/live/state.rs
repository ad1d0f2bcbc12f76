//! A match in memory: the whole of it, and what it looks like at coarser resolutions.
//!
//! Filled from a snapshot, brought forward by messages. Nothing here knows sockets or the database.

use crate::error::{Error, Result};
use crate::live::area::{Area, Spot};
use std::collections::{BTreeMap, BTreeSet};
use vote_agg_core::feed::message::{self, CellVotes, CountryVotes, Message, Snapshot, Stats, Votes};
use vote_agg_core::vote::cell::roll_up;
use vote_agg_core::vote::tally::Counts;
use vote_agg_core::{CellIndex, Country, Resolution};

/// In the order of an area, so that its cells are found without a look at the others.
type Cells = BTreeMap<Spot, Counts>;

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
            snapshot.cells.iter().map(|CellVotes(cell, votes)| Ok((Spot(*cell), counts(&teams, votes)?))).collect();
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

    /// The snapshot of a match that nobody has opened or voted in.
    #[must_use]
    pub fn before_any_vote(match_id: &str) -> Snapshot<'static> {
        Snapshot {
            v: message::VERSION,
            match_id: match_id.to_owned().into(),
            seq: 0,
            epoch: None,
            at: None,
            status: "unknown".into(),
            resolution: None,
            stats: Stats { total: 0, votes: Votes::default(), leader: None, dominance: 0.0, per_minute: 0 },
            cells: Vec::new(),
            countries: Vec::new(),
        }
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
        cells.map(|cell| CellVotes(cell, self.votes(kept.and_then(|kept| kept.get(&Spot(cell)))))).collect()
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
        for (Spot(cell), votes) in &self.cells {
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
            let mut cells: Vec<_> = rolled.iter().map(|(Spot(cell), votes)| CellVotes(*cell, self.votes(Some(votes)))).collect();
            cells.sort_unstable_by_key(|CellVotes(cell, _)| u64::from(*cell));
            snapshot.cells = cells;
        }
        Ok(snapshot)
    }

    /// The match as a snapshot, rolled up to `resolution` if it is kept.
    #[must_use]
    pub fn snapshot(&self, resolution: Option<Resolution>) -> Snapshot<'_> {
        self.snapshot_within(resolution, None)
    }

    /// The same with the cells of an area alone.
    #[must_use]
    pub fn snapshot_within(&self, resolution: Option<Resolution>, area: Option<&Area>) -> Snapshot<'_> {
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
            cells: self.cells_within(resolution, area),
            countries: countries.collect(),
        }
    }

    /// The cells in an area, at a resolution that is kept. That costs by these cells, not by those of the match.
    #[must_use]
    pub fn cells_within(&self, resolution: Option<Resolution>, area: Option<&Area>) -> Vec<CellVotes<'_>> {
        let kept = resolution.and_then(|resolution| self.rolled.get(&resolution)).unwrap_or(&self.cells);
        let votes = |(Spot(cell), votes): (&Spot, &Counts)| CellVotes(*cell, Votes::some(&self.teams, votes));
        let mut cells: Vec<_> = match area {
            None => kept.iter().map(votes).collect(),
            Some(area) => area.ranges().iter().flat_map(|range| kept.range(range.clone())).map(votes).collect(),
        };
        cells.sort_unstable_by_key(|CellVotes(cell, _)| u64::from(*cell));
        cells
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
    let spot = Spot(cell);
    let old = if new.iter().all(|votes| *votes == 0) { cells.remove(&spot) } else { cells.insert(spot, new.clone()) };
    old.unwrap_or_default()
}

/// Moves a rolled-up cell by the change of one cell in it.
fn shift(cells: &mut Cells, parent: CellIndex, old: &[i64], new: &[i64]) -> Result<()> {
    let sums = cells.entry(Spot(parent)).or_default();
    sums.resize(sums.len().max(new.len()), 0);
    for (place, sum) in sums.iter_mut().enumerate() {
        let at = |counts: &[i64]| counts.get(place).copied().unwrap_or(0);
        let moved = at(new).checked_sub(at(old)).and_then(|change| sum.checked_add(change));
        *sum = moved.ok_or(Error::Gap)?;
    }
    if sums.iter().all(|votes| *votes == 0) {
        cells.remove(&Spot(parent));
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

    #[test]
    fn a_match_exists_once_it_was_opened_or_voted_in() {
        let state = |epoch: Option<&'static str>, status: &'static str| {
            MatchState::new(Snapshot { epoch: epoch.map(Into::into), status: status.into(), ..snapshot() }).expect("sound")
        };
        assert!(!state(None, "unknown").exists());
        assert!(state(None, "open").exists() && state(Some("e"), "unknown").exists());
        let mut unknown = state(None, "unknown");
        let stats = message::to_json(&snapshot().stats.votes);
        let first = next(&unknown, "[]", &stats);
        unknown.apply(&first).expect("next");
        assert_eq!(
            (unknown.status.as_str(), unknown.epoch.as_deref(), unknown.at.as_deref()),
            ("open", Some(""), Some(&*first.at))
        );
        let last = Message { is_final: true, ..next(&unknown, "[]", &stats) };
        unknown.apply(&last).expect("next");
        assert_eq!((unknown.status.as_str(), unknown.seq), ("final", last.seq));
        let mut closed = state(Some("e"), "closed");
        let message = next(&closed, "[]", &stats);
        closed.apply(&message).expect("next");
        assert_eq!(closed.status, "closed", "a fold of votes from before does not open it again");
    }

    #[test]
    fn an_area_shows_its_cells_at_every_resolution() {
        let mut state = MatchState::new(snapshot()).expect("sound");
        let stats = message::to_json(&snapshot().stats.votes);
        let cells = r#"[["872a10728ffffff",{"away":2}],["872830828ffffff",{"home":3}],["822a17fffffffff",{"home":1}]]"#;
        let more = next(&state, cells, &stats);
        state.apply(&more).expect("next");
        let three = parse_resolution(3).expect("3");
        state.roll(three).expect("small");
        let area = Area::parse("area", &serde_json::json!(["842a107ffffffff"])).expect("an area");
        for resolution in [None, Some(three)] {
            let all = state.snapshot(resolution).cells;
            let within: Vec<_> = all.iter().filter(|CellVotes(cell, _)| area.contains(*cell)).cloned().collect();
            assert_eq!(state.snapshot_within(resolution, Some(&area)).cells, within);
            assert_eq!((within.len() + 1, state.cells_within(resolution, None)), (all.len(), all), "one is elsewhere");
        }
    }

    #[test]
    fn places_come_and_go_with_their_votes() {
        let mut state = MatchState::new(snapshot()).expect("sound");
        assert_eq!(state.size(), (1, 1));
        let stats = message::to_json(&snapshot().stats.votes);
        let more = next(&state, r#"[["872a10728ffffff",{"away":2}],["822a17fffffffff",{"home":1}]]"#, &stats);
        state.apply(&more).expect("next");
        assert_eq!(state.size(), (3, 0), "the country has none left");
        let countries = serde_json::from_str(r#"[["FR",{"home":1}],["US",{"away":1}]]"#).expect("countries");
        let back = Message { countries: Some(countries), ..next(&state, r#"[["872a10728ffffff",{}]]"#, &stats) };
        state.apply(&back).expect("next");
        assert_eq!(state.size(), (2, 2));
        let unknown = next(&state, r#"[["872a10728ffffff",{"nobody":2}]]"#, &stats);
        assert!(matches!(state.apply(&unknown), Err(Error::Gap)), "a team that the stats do not name");
    }

    #[test]
    fn a_resolution_is_the_same_kept_or_not() {
        let three = parse_resolution(3).expect("3");
        let mut state = MatchState::new(snapshot()).expect("sound");
        let stats = message::to_json(&snapshot().stats.votes);
        let more = next(&state, r#"[["872a10728ffffff",{"away":2}],["872830828ffffff",{"home":3}]]"#, &stats);
        state.apply(&more).expect("next");
        let fresh = message::to_json(&state.snapshot_at(Some(three)).expect("small"));
        assert!(
            fresh.contains(r#""resolution":3"#) && fresh.contains(r#"["832a10fffffffff",{"home":120,"away":100}]"#),
            "{fresh}"
        );
        state.roll(three).expect("small");
        assert_eq!(message::to_json(&state.snapshot_at(Some(three)).expect("small")), fresh);
        assert_eq!(message::to_json(&state.snapshot(Some(three))), fresh);
        // What is kept is shown: it is not made again.
        state.rolled.insert(three, Cells::new());
        assert!(state.snapshot_at(Some(three)).expect("small").cells.is_empty());
        state.forget(three);
        assert_eq!(state.snapshot_at(Some(three)).expect("small").cells.len(), 2);
        assert_eq!(state.snapshot_at(None).expect("small"), state.snapshot(None));
    }
}
