//! The feed: what each fold changed in each match, as rows that carry the match's totals and the message for everyone.

use crate::error::Result;
use crate::fold::aggregate::Sum;
use crate::fold::flips::{self, Announced};
use crate::fold::history::History;
use crate::pg::bigints::{Bigints, number_of, team_of};
use crate::pg::clock;
use crate::pg::spi::{Insert, Plan, Row, Sees, Spi, time, value};
use crate::settings;
use pgrx::{IntoDatum, pg_sys};
use std::borrow::Cow;
use std::collections::BTreeMap;
use vote_agg_core::feed::flip::{self, Lead, LeadChange};
use vote_agg_core::feed::message::{self, CellVotes, Code, CountryVotes, Flip, Hex, Message, NewVotes, Scope, Votes};
use vote_agg_core::feed::timeline::Recent;
use vote_agg_core::vote::tally::{self, Source, Tally};
use vote_agg_core::{CellIndex, Country};

thread_local! {
    // One row, whether the match has been folded or opened or neither.
    static HEAD: Plan = const { Plan::new(
        "SELECT f.seq, f.epoch, f.at, f.born, f.teams, f.votes, f.cells, f.countries, f.last_vote_at, f.minute, f.minute_votes,
                f.leader, f.lead_changes, f.lead_changed_at, f.lead_changed_from, f.lead_changed_to,
                f.sources, f.source_votes, f.emptied, f.unplaced, f.rebuilt, m.teams AS opened_with
         FROM (VALUES (1)) AS one
         LEFT JOIN LATERAL (SELECT * FROM vote_agg.feed WHERE match_id = $1 ORDER BY seq DESC LIMIT 1) AS f ON true
         LEFT JOIN vote_agg.match m ON m.match_id = $1",
        &[pg_sys::TEXTOID]) };
    // The same for many matches.
    static HEADS: Plan = const { Plan::new(
        "SELECT w.match_id, f.seq, f.epoch, f.at, f.born, f.teams, f.votes, f.cells, f.countries, f.last_vote_at, f.minute,
                f.minute_votes, f.leader, f.lead_changes, f.lead_changed_at, f.lead_changed_from, f.lead_changed_to,
                f.sources, f.source_votes, f.emptied, f.unplaced, f.rebuilt, m.teams AS opened_with
         FROM unnest($1) AS w(match_id)
         LEFT JOIN LATERAL (SELECT * FROM vote_agg.feed WHERE match_id = w.match_id ORDER BY seq DESC LIMIT 1) AS f ON true
         LEFT JOIN vote_agg.match m ON m.match_id = w.match_id",
        &[pg_sys::TEXTARRAYOID]) };
    static UTC: Plan = const { Plan::new(
        "SELECT pg_catalog.to_char($1 AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')", &[pg_sys::TIMESTAMPTZOID]) };
    static INSERT: Insert = const { Insert::into("vote_agg.feed") };
    static NUMBER: Plan = const { Plan::new(
        "SELECT 1 + greatest(0, (SELECT number FROM vote_agg.feed ORDER BY number DESC LIMIT 1),
                (SELECT number FROM vote_agg.purged ORDER BY number DESC LIMIT 1))", &[]) };
    // One fold adds 8 kB a match at most, and a thousand matches a thousandth of the queue.
    static QUEUE: Plan = const { Plan::new("SELECT pg_catalog.pg_notification_queue_usage() > 0.75", &[]) };
    // Only folds and rebuilds come here, and they hold `Fold`: so no two sessions of ours wait for the notification lock.
    static NOTIFY: Plan = const { Plan::new(
        "SELECT pg_catalog.pg_notify(
            coalesce(nullif(pg_catalog.current_setting('vote_agg.channel', true), ''), 'vote_agg'), call)
         FROM unnest($1) AS call", &[pg_sys::TEXTARRAYOID]) };
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
    /// How often a cell or country lost its last vote: what a session knows of them is worth nothing then (read/new_keys.rs).
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
        let rows = spi.run(&HEAD, &[match_id.into_datum()], sees)?;
        rows.first().map_or_else(|| Ok(Self::default()), |row| Self::of(&row))
    }

    /// Loads those of many matches, as a fold does.
    ///
    /// # Errors
    /// As [`Head::load`].
    pub fn load_all(spi: &Spi, matches: Vec<String>) -> Result<BTreeMap<String, Self>> {
        if matches.is_empty() {
            return Ok(BTreeMap::new());
        }
        let rows = spi.run(&HEADS, &[matches.into_datum()], Sees::Now)?;
        rows.iter().map(|row| Ok((row.need("match_id")?, Self::of(&row)?))).collect()
    }

    fn of(row: &Row) -> Result<Self> {
        let mut head = match row.get("seq")? {
            None => Self::default(),
            Some(seq) => Self {
                seq,
                epoch: row.get("epoch")?,
                at: row.time("at")?.unwrap_or_default(),
                born: row.time("born")?,
                teams: row.need("teams")?,
                votes: row.need::<Bigints>("votes")?.0,
                cells: row.need("cells")?,
                countries: row.need("countries")?,
                last_vote_at: row.time("last_vote_at")?,
                recent: recent(row.time("minute")?.unwrap_or_default(), &row.need::<Bigints>("minute_votes")?.0),
                lead: lead(row)?,
                sources: {
                    let sources: Vec<i16> = row.need("sources")?;
                    sources.into_iter().map(Source).zip(row.need::<Bigints>("source_votes")?.0).collect()
                },
                emptied: row.need("emptied")?,
                unplaced: row.need::<Bigints>("unplaced")?.0,
                rebuilt: row.need("rebuilt")?,
            },
        };
        for team in row.get::<Vec<String>>("opened_with")?.unwrap_or_default() {
            if !head.teams.contains(&team) {
                head.teams.push(team);
            }
        }
        Ok(head)
    }
}

fn lead(row: &Row) -> Result<Lead> {
    let team = |column| row.get(column).map(team_of);
    Ok(Lead {
        leader: team("leader")?,
        changes: row.need("lead_changes")?,
        last: match (row.time("lead_changed_at")?, team("lead_changed_from")?, team("lead_changed_to")?) {
            (Some(at), Some(from), Some(to)) => Some(LeadChange { at, from, to }),
            _ => None,
        },
    })
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
    Ok(spi.run(&UTC, &[Some(at.into())], sees)?.value().unwrap_or_default())
}

/// The number of the next fold, rebuild or purge. Only the holder of the lock of folds asks, so numbers come in commit order.
///
/// # Errors
/// XX000 when SPI itself fails.
pub fn next_number(spi: &Spi) -> Result<i64> {
    Ok(spi.run(&NUMBER, &[], Sees::Now)?.value().unwrap_or(1))
}

/// One fold, for all the matches that it changes.
pub struct Fold {
    /// When it started, in microseconds since PostgreSQL's epoch, and the same as a message writes it.
    pub at: i64,
    pub at_text: String,
    pub history: History,
    /// Counts the folds, rebuilds and purges of all matches in commit order: where a root goes on.
    pub number: i64,
    /// There is no room to notify in. Anybody who may connect can fill the server's queue, and a commit that finds it full fails.
    pub is_silent: bool,
}

impl Fold {
    /// Notifies of changes that are written.
    ///
    /// # Errors
    /// XX000 when SPI itself fails.
    pub fn notify(&self, spi: &Spi, calls: Vec<String>) -> Result<()> {
        if self.is_silent || calls.is_empty() { Ok(()) } else { spi.run(&NOTIFY, &[calls.into_datum()], Sees::Now).map(|_| ()) }
    }
}

/// What a fold that did not notify has to say of it.
pub const SILENT: &str = "nobody was notified: the queue of notifications is filling up, since a session that listens takes none (see the server's log)";

/// Is the queue of notifications so full that a fold had better not add to it?
///
/// # Errors
/// XX000 when SPI itself fails.
pub fn is_queue_full(spi: &Spi) -> Result<bool> {
    Ok(spi.run(&QUEUE, &[], Sees::Now)?.value().unwrap_or(false))
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
    /// Changes of leader beside those of these sums: a rebuild finds them.
    pub announced: Vec<Announced>,
}

impl Change<'_> {
    /// Writes the feed row. Returns what is to be notified: no trigger does, since it could not tell a fold that took long from
    /// rows that are restored.
    ///
    /// # Errors
    /// 22003 when a total leaves 64 bits.
    pub fn publish(&self, spi: &Spi, fold: &Fold) -> Result<String> {
        let teams = self.tally.teams();
        // The fold may have begun long ago, and the clock been set since.
        let now = clock::now();
        let born = self.head.born.unwrap_or(fold.at);
        let epoch = fold.history.epoch(self.match_id, born);
        let mut votes = self.head.votes.clone();
        let change = self.tally.totals().and_then(|totals| tally::add_all(&mut votes, &totals));
        change?;
        votes.resize(teams.len(), 0);
        let recent = self.head.recent.after(&self.tally.minute_changes(), now)?;

        let mut sources = self.head.sources.clone();
        for (source, more) in self.tally.sources() {
            let votes = sources.entry(*source).or_insert(0);
            *votes = tally::total(&[*votes, *more])?;
        }
        let (sources, source_votes): (Vec<i16>, Vec<i64>) = sources.into_iter().map(|(source, votes)| (source.0, votes)).unzip();

        let mut unplaced = self.head.unplaced.clone();
        self.tally.unplaced().and_then(|more| tally::add_all(&mut unplaced, &more))?;

        let newest = |at: i64| self.head.last_vote_at.map_or(at, |before| at.max(before)).min(now);
        let last_vote_at = self.tally.last_at().map(newest).or(self.head.last_vote_at);

        let leader = flip::leader(self.head.lead.leader, &votes, settings::flip_margin());
        let lead = self.head.lead.after(leader, fold.at);

        let announced = self.announced(leader);
        let message = self.message(fold, &epoch, &votes, recent.per_minute(now), &announced)?;
        let body = message::to_json(&message);
        let doorbell = message.doorbell(&body);
        let row = [
            value("match_id", self.match_id),
            value("seq", message.seq),
            value("epoch", epoch.as_str()),
            time("at", fold.at),
            time("born", born),
            value("teams", teams.to_vec()),
            value("votes", Bigints(votes)),
            value("cells", self.head.cells + self.new_cells),
            value("countries", self.head.countries + self.new_countries),
            time("last_vote_at", last_vote_at),
            time("minute", recent.minute),
            value("minute_votes", Bigints(recent.votes.to_vec())),
            value("leader", number_of(lead.leader)),
            value("lead_changes", lead.changes),
            time("lead_changed_at", lead.last.map(|last| last.at)),
            value("lead_changed_from", number_of(lead.last.map(|last| last.from))),
            value("lead_changed_to", number_of(lead.last.map(|last| last.to))),
            value("sources", sources),
            value("source_votes", Bigints(source_votes)),
            value("emptied", self.head.emptied + self.emptied),
            value("unplaced", Bigints(unplaced)),
            value("rebuilt", if self.is_rebuilt { message.seq } else { self.head.rebuilt }),
            value("body", body.as_str()),
            value("doorbell", doorbell.as_deref()),
            value("number", fold.number),
            time("first_minute", self.tally.first_minute()),
        ];
        spi.insert(&INSERT, &row)?;
        flips::keep(spi, self.match_id, message.seq, fold.at, &announced)?;
        Ok(doorbell.unwrap_or(body))
    }

    fn message<'m>(
        &'m self,
        fold: &'m Fold,
        epoch: &'m str,
        votes: &[i64],
        per_minute: i64,
        announced: &[Announced],
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
            let counted = self.tally.arrivals().sorted().into_iter().filter(|(arrival, votes)| arrival.in_total && *votes != 0);
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
            stats: message::Stats::new(teams, votes, per_minute)?,
            cells: fits.then(cells),
            countries: has_few_countries.then(countries),
            new: fits.then(arrived),
            flips: Some(self.flips(announced, fits)).filter(|flips| !flips.is_empty()),
            resync: !fits,
            partial: false,
            is_final: self.is_final,
        })
    }

    /// Changes of the announced leaders of the match and of countries. The first leader is news, and that all votes there were taken
    /// back.
    fn announced(&self, leader: Option<usize>) -> Vec<Announced> {
        let of_match = Announced { country: None, before: self.head.lead.leader, after: leader };
        let of_countries = self.countries.iter().map(|(country, sum)| {
            let country = Some(*country);
            Announced { country, before: sum.leader_before, after: sum.leader }
        });
        let others = self.announced.iter().copied();
        std::iter::once(of_match).chain(of_countries).chain(others).filter(|lead| lead.before != lead.after).collect()
    }

    /// The same with those of cells, where there is room for cells. The first leader of a cell is no news.
    fn flips<'m>(&'m self, announced: &[Announced], with_cells: bool) -> Vec<Flip<'m>> {
        let teams = self.tally.teams();
        let name = |team: Option<usize>| team.and_then(|team| teams.get(team)).map(|team| Cow::Borrowed(team.as_str()));
        let flip = |scope, key, from, to| Flip(scope, key, name(from), name(to));
        let flips = announced.iter().map(|lead| {
            let scope = if lead.country.is_some() { Scope::Country } else { Scope::Match };
            flip(scope, lead.country.map(|country| country.to_string().into()), lead.before, lead.after)
        });
        let mut flips: Vec<Flip> = flips.collect();
        for (cell, sum) in self.cells.iter().filter(|_| with_cells) {
            if sum.leader_before.is_some() && sum.leader.is_some() && sum.leader_before != sum.leader {
                flips.push(flip(Scope::Cell, Some(cell.to_string().into()), sum.leader_before, sum.leader));
            }
        }
        flips
    }
}
