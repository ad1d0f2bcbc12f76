//! Does a vote count? The match's time, its teams, how many teams it has, and whether its ballots may change.

use crate::error::{Refused, Result, quoted};
use crate::pg::snapshot::Snapshot;
use crate::session::match_row;
use crate::settings;
use foldhash::HashSet;
use pgrx::pg_sys;
use std::collections::HashMap;
use vote_agg_core::vote::placement::Place;

/// How many matches a session remembers before it forgets them all and starts again.
const MAX_MATCHES: usize = 1_000;

/// The same for teams, of all matches together: some 10 MB.
const MAX_TEAMS: usize = 100_000;

/// On which terms a match takes votes.
#[derive(Clone, Copy)]
pub struct Terms {
    /// May voters change their ballots?
    pub changes_allowed: bool,
    /// Where the match is on many shards, which one this is: voters of the others are refused.
    pub place: Option<Place>,
}

impl Terms {
    /// Those of a match that the first vote opens.
    const FREE: Self = Self { changes_allowed: true, place: None };

    /// Those of a match that was opened.
    const fn of(opened: &match_row::Match) -> Self {
        Self { changes_allowed: opened.changes_allowed, place: opened.place }
    }
}

/// The matches that a session remembers, so that a vote looks none up.
#[derive(Default)]
pub struct Admissions {
    matches: HashMap<String, Known>,
    /// How many teams of all these.
    teams: usize,
}

impl Admissions {
    /// Reads the match's row, unless it is remembered. `table` has the rows of the matches.
    ///
    /// # Errors
    /// XX000 when the row makes no sense.
    pub fn remember(&mut self, table: pg_sys::Oid, match_id: &str) -> Result<()> {
        if !self.matches.contains_key(match_id) {
            if self.matches.len() >= MAX_MATCHES || self.teams >= MAX_TEAMS {
                *self = Self::default();
            }
            let opened = match_row::find(table, match_id, Snapshot::latest().as_ptr())?;
            self.matches.insert(match_id.to_owned(), Known { opened, teams: HashSet::default() });
        }
        Ok(())
    }

    /// Checks that a vote for one of `teams` counts now in a match that is remembered; returns its terms, and
    /// the teams that are new to this session where any are allowed.
    ///
    /// # Errors
    /// 42704 for an unknown match (auto_open off) or team, 55000 outside the match's time, 54000 for too many teams.
    pub fn check<'a>(
        &self,
        match_id: &str,
        teams: impl Iterator<Item = &'a str>,
        now: i64,
    ) -> std::result::Result<(Terms, HashSet<&'a str>), Refused> {
        let Some(known) = self.matches.get(match_id) else { return Ok((Terms::FREE, HashSet::default())) };
        let Some(opened) = &known.opened else {
            if !settings::auto_open() {
                return Err(Refused::unknown(
                    format!("match {} does not exist", quoted(match_id)),
                    "Open it with open_match, or set vote_agg.auto_open = on.".into(),
                ));
            }
            return Ok((Terms::FREE, known.new_teams(match_id, teams)?));
        };
        if opened.teams.is_some() {
            opened.check(match_id, teams, now)?;
            return Ok((Terms::of(opened), HashSet::default()));
        }
        opened.check(match_id, std::iter::empty(), now)?;
        Ok((Terms::of(opened), known.new_teams(match_id, teams)?))
    }

    /// Remembers teams that votes count for, where any are allowed. A match of which nothing is remembered has no list.
    pub fn add_teams<'a>(&mut self, match_id: &str, teams: impl Iterator<Item = &'a str>) {
        if let Some(known) = self.matches.get_mut(match_id)
            && known.opened.as_ref().is_none_or(|opened| opened.teams.is_none())
        {
            let before = known.teams.len();
            known.teams.extend(teams.filter(|team| !known.teams.contains(*team)).map(str::to_owned).collect::<Vec<_>>());
            self.teams += known.teams.len() - before;
        }
    }
}

/// What a session knows of a match.
struct Known {
    /// `None`: nobody opened it, the first vote does.
    opened: Option<match_row::Match>,
    /// The teams that votes of this session count for, where any are allowed. A rollback forgets them all.
    teams: HashSet<String>,
}

impl Known {
    /// Checks that the match does not get too many teams, as far as this session can tell; returns those that are new to it.
    fn new_teams<'a>(
        &self,
        match_id: &str,
        teams: impl Iterator<Item = &'a str>,
    ) -> std::result::Result<HashSet<&'a str>, Refused> {
        let mut new: HashSet<&str> = HashSet::default();
        for team in teams {
            if self.teams.contains(team) || !new.insert(team) {
                continue;
            }
            let most = settings::max_teams();
            if self.teams.len() + new.len() > most {
                return Err(Refused::too_large(
                    format!("match {} has {most} teams, which is the most: {} would be one more", quoted(match_id), quoted(team)),
                    "Open the match with its teams, or raise vote_agg.max_teams.",
                ));
            }
        }
        Ok(new)
    }
}
