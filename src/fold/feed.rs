//! The feed: what each fold changed in each match, as rows that carry the match's totals and the message for everyone.

use crate::error::{Result, refused};
use crate::fold::aggregate::Sum;
use crate::fold::history::History;
use crate::pg::bigints::{Bigints, number_of, team_of};
use crate::pg::clock;
use crate::pg::spi::{Plan, Sees, Spi};
use crate::settings;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::{IntoDatum, pg_sys};
use std::borrow::Cow;
use std::collections::BTreeMap;
use vote_agg_core::feed::flip::{self, Lead, LeadChange};
use vote_agg_core::feed::message::{self, CellVotes, Code, CountryVotes, Flip, Hex, Message, NewVotes, Scope, Votes};
use vote_agg_core::feed::timeline::Recent;
use vote_agg_core::vote::tally::{self, Source, Tally};
use vote_agg_core::{CellIndex, Country};

thread_local! {
    static HEAD: Plan = const { Plan::new(
        "SELECT seq, epoch, at, born, teams, votes, cells, countries, last_vote_at, minute, minute_votes,
                leader, lead_changes, lead_changed_at, lead_changed_from, lead_changed_to,
                sources, source_votes, emptied, unplaced, rebuilt
         FROM vote_agg.feed WHERE match_id = $1 ORDER BY seq DESC LIMIT 1",
        &[pg_sys::TEXTOID]) };
    static UTC: Plan = const { Plan::new(
        "SELECT pg_catalog.to_char($1 AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')", &[pg_sys::TIMESTAMPTZOID]) };
    static TEAMS: Plan = const { Plan::new(
        "SELECT teams FROM vote_agg.match WHERE match_id = $1", &[pg_sys::TEXTOID]) };
    static INSERT: Plan = const { Plan::new(
        "INSERT INTO vote_agg.feed (match_id, seq, epoch, at, born, teams, votes, cells, countries, last_vote_at,
             minute, minute_votes, leader, lead_changes, lead_changed_at, lead_changed_from, lead_changed_to,
             sources, source_votes, emptied, unplaced, rebuilt, body, doorbell)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24)",
        &[pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID, pg_sys::TEXTARRAYOID,
          pg_sys::INT8ARRAYOID, pg_sys::INT8OID, pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID, pg_sys::TIMESTAMPTZOID,
          pg_sys::INT8ARRAYOID, pg_sys::INT4OID, pg_sys::INT8OID, pg_sys::TIMESTAMPTZOID, pg_sys::INT4OID, pg_sys::INT4OID,
          pg_sys::INT2ARRAYOID, pg_sys::INT8ARRAYOID, pg_sys::INT8OID, pg_sys::INT8ARRAYOID,
          pg_sys::INT8OID, pg_sys::TEXTOID, pg_sys::TEXTOID]) };
    // Only folds come here, so only folds ever hold the notification lock.
    static NOTIFY: Plan = const { Plan::new(
        "SELECT pg_catalog.pg_notify(
            coalesce(nullif(pg_catalog.current_setting('vote_agg.channel', true), ''), 'vote_agg'), $1)", &[pg_sys::TEXTOID]) };
}

/// The folded totals of a match: its newest feed row. Times are microseconds since PostgreSQL's epoch.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// 0: nothing folded yet.
    pub seq: i64,
    pub epoch: Option<String>,
    pub at: i64,
    /// When the first fold met the match: a purged match that comes back starts a new history.
    pub born: Option<i64>,
    pub teams: Vec<String>,
    pub votes: tally::Counts,
    pub cells: i64,
    pub countries: i64,
    pub last_vote_at: Option<i64>,
    pub recent: Recent,
    /// How many votes of each source are counted.
    pub sources: BTreeMap<Source, i64>,
    /// How often a cell or country lost its last vote: what a session knows of them is worth nothing then (read/known.rs).
    pub emptied: i64,
    /// The part of `votes` that has no cell.
    pub unplaced: tally::Counts,
    /// The seq of the last rebuild, which may have removed rows that nothing remembers; 0: none.
    pub rebuilt: i64,
    pub lead: Lead,
}

impl Head {
    /// Loads it. The teams are those counted so far and then the others that the match was opened with.
    ///
    /// # Errors
    /// XX000 when a row makes no sense.
    pub fn load(spi: &Spi, match_id: &str, sees: Sees) -> Result<Self> {
        let key = || [match_id.into_datum()];
        let time = |row: &crate::pg::spi::Row, column| row.get::<TimestampWithTimeZone>(column).map(pg_sys::TimestampTz::from);
        let mut head = match spi.run(&HEAD, &key(), sees)?.first() {
            None => Self::default(),
            Some(row) => Self {
                seq: row.need(1)?,
                epoch: row.get(2),
                at: time(&row, 3).unwrap_or_default(),
                born: time(&row, 4),
                teams: row.need(5)?,
                votes: row.need::<Bigints>(6)?.0,
                cells: row.need(7)?,
                countries: row.need(8)?,
                last_vote_at: time(&row, 9),
                recent: recent(time(&row, 10).unwrap_or_default(), &row.need::<Bigints>(11)?.0),
                lead: Lead {
                    leader: team_of(row.get(12)),
                    changes: row.need(13)?,
                    last: match (time(&row, 14), team_of(row.get(15)), team_of(row.get(16))) {
                        (Some(at), Some(from), Some(to)) => Some(LeadChange { at, from, to }),
                        _ => None,
                    },
                },
                sources: row.need::<Vec<i16>>(17)?.into_iter().map(Source).zip(row.need::<Bigints>(18)?.0).collect(),
                emptied: row.need(19)?,
                unplaced: row.need::<Bigints>(20)?.0,
                rebuilt: row.need(21)?,
            },
        };
        let opened_with: Option<Vec<String>> = spi.run(&TEAMS, &key(), sees)?.first().and_then(|row| row.get(1));
        for team in opened_with.unwrap_or_default() {
            if !head.teams.contains(&team) {
                head.teams.push(team);
            }
        }
        Ok(head)
    }
}

fn recent(minute: i64, votes: &[i64]) -> Recent {
    let mut recent = Recent { minute, ..Recent::default() };
    recent.votes.iter_mut().zip(votes).for_each(|(held, votes)| *held = *votes);
    recent
}

/// A time as a message writes it.
///
/// # Errors
/// XX000 when SPI itself fails.
pub fn utc_text(spi: &Spi, at: i64, sees: Sees) -> Result<String> {
    let rows = spi.run(&UTC, &[Some(at.into())], sees)?;
    rows.first().map_or_else(|| Ok(String::new()), |row| row.need(1))
}

/// One fold, for all the matches that it changes.
pub struct Fold {
    /// When it started, in microseconds since PostgreSQL's epoch, and the same as a message writes it.
    pub at: i64,
    pub at_text: String,
    pub history: History,
}

/// The change that a fold made to one match: its new totals.
pub struct Change<'a> {
    pub match_id: &'a str,
    /// The match before this fold.
    pub head: Head,
    pub tally: &'a Tally,
    pub cells: Vec<(CellIndex, Sum)>,
    pub countries: Vec<(Country, Sum)>,
    /// Cells and countries that have votes now and had none before, less those that lost their last.
    pub new_cells: i64,
    pub new_countries: i64,
    /// Cells and countries that lost their last vote.
    pub emptied: i64,
    pub is_final: bool,
    /// Everything may have changed.
    pub is_rebuilt: bool,
}

impl Change<'_> {
    /// Writes the feed row and notifies. No trigger does: it could not tell a fold that took long from rows that are restored.
    ///
    /// # Errors
    /// 22003 when a total leaves 64 bits.
    pub fn publish(&self, spi: &Spi, fold: &Fold) -> Result<()> {
        let teams = self.tally.teams();
        // The fold may have begun long ago, and the clock been set since.
        let now = clock::now();
        let born = self.head.born.unwrap_or(fold.at);
        let epoch = fold.history.epoch(self.match_id, born);
        let mut votes = self.head.votes.clone();
        let change = self.tally.totals().and_then(|totals| tally::add_all(&mut votes, &totals));
        change.map_err(refused)?;
        votes.resize(teams.len(), 0);
        let recent = self.head.recent.after(&self.tally.minutes(), now).map_err(refused)?;

        let mut sources = self.head.sources.clone();
        for (source, more) in self.tally.sources() {
            let votes = sources.entry(*source).or_insert(0);
            *votes = tally::total(&[*votes, *more]).map_err(refused)?;
        }
        let (sources, source_votes): (Vec<i16>, Vec<i64>) = sources.into_iter().map(|(source, votes)| (source.0, votes)).unzip();

        let mut unplaced = self.head.unplaced.clone();
        self.tally.unplaced().and_then(|more| tally::add_all(&mut unplaced, &more)).map_err(refused)?;

        let newest = |at: i64| self.head.last_vote_at.map_or(at, |before| at.max(before)).min(now);
        let last_vote_at = self.tally.last_at().map(newest).or(self.head.last_vote_at);

        let leader = flip::leader(self.head.lead.leader, &votes, settings::flip_margin());
        let lead = self.head.lead.after(leader, fold.at);

        let message = self.message(fold, &epoch, &votes, recent.per_minute(now), leader)?;
        let body = message::to_json(&message);
        let doorbell = message.doorbell(&body);
        let args = [
            self.match_id.into_datum(),
            message.seq.into_datum(),
            epoch.as_str().into_datum(),
            Some(fold.at.into()),
            Some(born.into()),
            teams.to_vec().into_datum(),
            Bigints(votes).into_datum(),
            (self.head.cells + self.new_cells).into_datum(),
            (self.head.countries + self.new_countries).into_datum(),
            last_vote_at.map(Into::into),
            Some(recent.minute.into()),
            Bigints(recent.votes.to_vec()).into_datum(),
            number_of(lead.leader).into_datum(),
            lead.changes.into_datum(),
            lead.last.map(|last| last.at.into()),
            number_of(lead.last.map(|last| last.from)).into_datum(),
            number_of(lead.last.map(|last| last.to)).into_datum(),
            sources.into_datum(),
            Bigints(source_votes).into_datum(),
            (self.head.emptied + self.emptied).into_datum(),
            Bigints(unplaced).into_datum(),
            if self.is_rebuilt { message.seq } else { self.head.rebuilt }.into_datum(),
            body.as_str().into_datum(),
            doorbell.as_deref().into_datum(),
        ];
        spi.run(&INSERT, &args, Sees::Now)?;
        spi.run(&NOTIFY, &[doorbell.unwrap_or(body).into_datum()], Sees::Now).map(|_| ())
    }

    fn message<'m>(
        &'m self,
        fold: &'m Fold,
        epoch: &'m str,
        votes: &[i64],
        per_minute: i64,
        leader: Option<usize>,
    ) -> Result<Message<'m>> {
        let teams = self.tally.teams();
        let named = |sums: &mut dyn Iterator<Item = &Sum>| sums.map(|sum| sum.named.len()).sum::<usize>() <= message::MAX_NAMED;
        let has_few_countries = named(&mut self.countries.iter().map(|(_, sum)| sum));
        let fits = !self.is_rebuilt
            && has_few_countries
            && self.cells.len() <= message::MAX_CELLS
            && self.tally.distinct() <= message::MAX_CELLS
            && named(&mut self.cells.iter().map(|(_, sum)| sum));
        let cells = || self.cells.iter().map(|(cell, sum)| CellVotes(*cell, Votes::of(teams, &sum.named))).collect();
        let countries =
            || self.countries.iter().map(|(country, sum)| CountryVotes(*country, Votes::of(teams, &sum.named))).collect();
        let arrived = || {
            let counted = self.tally.arrivals().into_iter().filter(|(arrival, votes)| arrival.in_total && *votes != 0);
            let new =
                counted.map(|(a, votes)| NewVotes(Cow::Borrowed(&teams[a.team]), a.cell.map(Hex), a.country.map(Code), votes));
            new.collect()
        };
        Ok(Message {
            v: message::VERSION,
            match_id: self.match_id.into(),
            seq: self.head.seq + 1,
            prev: self.head.seq,
            epoch: epoch.into(),
            at: fold.at_text.as_str().into(),
            stats: message::Stats::new(teams, votes, per_minute).map_err(refused)?,
            cells: fits.then(cells),
            countries: has_few_countries.then(countries),
            new: fits.then(arrived),
            flips: Some(self.flips(leader, fits)).filter(|flips| !flips.is_empty()),
            resync: !fits,
            partial: false,
            is_final: self.is_final,
        })
    }

    /// Changes of the announced leaders: of the match, of countries, and of cells where there is room for cells. The first leader
    /// of a cell is no news; that of the match or a country is, and that all votes there were taken back.
    fn flips<'m>(&'m self, leader: Option<usize>, with_cells: bool) -> Vec<Flip<'m>> {
        let teams = self.tally.teams();
        let name = |team: Option<usize>| team.and_then(|team| teams.get(team)).map(|team| Cow::Borrowed(team.as_str()));
        let flip = |scope, key, from, to| Flip(scope, key, name(from), name(to));
        let mut flips = Vec::new();
        if self.head.lead.leader != leader {
            flips.push(flip(Scope::Match, None, self.head.lead.leader, leader));
        }
        for (country, sum) in self.countries.iter().filter(|(_, sum)| sum.leader_before != sum.leader) {
            flips.push(flip(Scope::Country, Some(country.as_str().into()), sum.leader_before, sum.leader));
        }
        for (cell, sum) in self.cells.iter().filter(|_| with_cells) {
            if sum.leader_before.is_some() && sum.leader.is_some() && sum.leader_before != sum.leader {
                flips.push(flip(Scope::Cell, Some(cell.to_string().into()), sum.leader_before, sum.leader));
            }
        }
        flips
    }
}
