//! Counting a match again from what remembers its votes: its ballots and attached tables.

use crate::attached::recount;
use crate::error::{Result, not_now, quoted, unknown};
use crate::fold::aggregate::{self, Aggregate, Target};
use crate::fold::feed::Change;
use crate::fold::once;
use crate::pg::lock::Lock;
use crate::pg::snapshot::ActiveSnapshot;
use crate::pg::spi::{self, Plan, Sees, Spi};
use crate::pg::{clock, extension, transaction};
use crate::read::moment::Moment;
use crate::verify::leaders::Leaders;
use crate::verify::timelines::Timelines;
use pgrx::{IntoDatum, pg_extern, pg_sys};
use std::collections::BTreeMap;
use vote_agg_core::feed::timeline::Recent;
use vote_agg_core::vote::cell::{cell_from_bits, cell_to_bits};
use vote_agg_core::vote::name::parse_name;
use vote_agg_core::vote::tally::{self, Source, Tally, Vote};
use vote_agg_core::{CellIndex, Country, Error};

thread_local! {
    static RECOUNT: Plan = const { Plan::new(
        "SELECT source, team_choice, h3_index, country_code, votes FROM vote_agg.recount($1)", &[pg_sys::TEXTOID]) };
    static RECOUNTABLE: Plan = const { Plan::new("SELECT source FROM vote_agg.recountable($1)", &[pg_sys::TEXTOID]) };
    static CLEAR: Plan = const { Plan::new(
        "WITH h AS (DELETE FROM vote_agg.h3_aggregate WHERE match_id = $1)
         DELETE FROM vote_agg.country_aggregate WHERE match_id = $1", &[pg_sys::TEXTOID]) };
}

/// See the COMMENT in sql/65-verify.sql.
#[pg_extern(sql = false)]
fn rebuild_match(match_id: Option<&[u8]>) -> Result<i64> {
    transaction::prevent_read_only(c"rebuild_match()");
    transaction::require_read_committed("rebuild_match")?;
    let match_id = parse_name("match_id", match_id)?;
    // Locks first, then the snapshot. Those of tables come before that of folds, which must not wait for somebody's TRUNCATE.
    extension::hold();
    recount::lock()?;
    // No fold writes meanwhile, so that what is read here stays true.
    Lock::Fold.wait_for_transaction();
    recount::lock_newcomers()?;
    let at = clock::now();
    spi::connect(|spi| {
        let counted = {
            let _moment = ActiveSnapshot::latest();
            Recount::read(spi, match_id)?
        };
        counted.write(spi, match_id, at)
    })
}

/// The sum of the sources at one moment, less the votes pending in it: the aggregates have to be that.
struct Recount {
    moment: Moment,
    tally: Tally,
    sources: BTreeMap<Source, i64>,
    lines: Timelines,
}

impl Recount {
    fn read(spi: &Spi, match_id: &str) -> Result<Self> {
        let moment = Moment::of(spi, match_id)?;
        refuse_lost(spi, match_id, &moment)?;
        let mut tally = Tally::new(moment.head.teams.clone());
        let of_match = [match_id.into_datum()];
        spi.each(&RECOUNT, &of_match, |row| {
            let (source, team): (i16, String) = (row.need("source")?, row.need("team_choice")?);
            let (cell, country): (Option<i64>, Option<String>) = (row.get("h3_index")?, row.get("country_code")?);
            let parse = || -> std::result::Result<(Option<CellIndex>, Option<Country>), Error> {
                let country = country.map(|code| Country::parse(code.as_bytes())).transpose()?;
                Ok((cell.map(cell_from_bits).transpose()?, country))
            };
            let votes = row.need("votes")?;
            let added = parse().and_then(|(cell, country)| tally.add(&vote(&team, cell, country, votes, Source(source))));
            Ok(added?)
        })?;
        let mut sources = tally.sources().clone();
        for (source, votes) in moment.pending.sources() {
            *sources.entry(*source).or_insert(0) -= votes;
        }
        for (arrival, votes) in moment.pending.arrivals().sorted() {
            let team = &moment.pending.teams()[arrival.team];
            tally.add(&vote(team, arrival.cell, arrival.country, -votes, Source::CALL))?;
        }
        Ok(Self { moment, tally, sources, lines: Timelines::read(spi, match_id)? })
    }

    /// Replaces the aggregates, and tells the followers to start again.
    fn write(mut self, spi: &Spi, match_id: &str, at: i64) -> Result<i64> {
        let leaders = Leaders::read(spi, match_id, self.tally.teams().len())?;
        spi.run(&CLEAR, &[match_id.into_datum()], Sees::Now)?;
        let target = Target { match_id, teams: self.tally.teams().len(), wants_names: false, seq: self.moment.head.seq + 1 };
        let cells = non_zero(self.tally.cells()?);
        let countries = non_zero(self.tally.countries()?);
        let keyed =
            |cells: &[(CellIndex, tally::Counts)]| cells.iter().map(|(c, v)| (cell_to_bits(*c), v.clone())).collect::<Vec<_>>();
        aggregate::add_counts(spi, Aggregate::Cells, target, &keyed(&cells))?;
        let by_number: Vec<_> = countries.iter().map(|(c, v)| (i64::from(c.number()), v.clone())).collect();
        aggregate::add_counts(spi, Aggregate::Countries, target, &by_number)?;
        let announced = leaders.keep(spi, match_id, target.teams)?;

        let totals = self.tally.totals()?;
        let by_country = countries.iter().map(|(country, votes)| (Some(*country), votes.clone()));
        self.lines.complete(by_country.chain([(None, totals.clone())]).collect(), target.teams, at)?;
        self.lines.write(spi, target)?;

        let with_votes = |places: usize| i64::try_from(places).unwrap_or(i64::MAX);
        let pending = self.moment.totals_pending()?;
        let mut head = self.moment.head;
        head.cells = with_votes(cells.iter().filter(|(_, votes)| votes.iter().sum::<i64>() > 0).count());
        head.countries = with_votes(countries.iter().filter(|(_, votes)| votes.iter().sum::<i64>() > 0).count());
        head.unplaced = self.tally.unplaced()?;
        head.recent = Recent::default().after(&self.lines.minute_changes(), at)?;
        head.sources = self.sources;
        head.votes = totals.clone();
        let nothing = Tally::new(self.tally.teams().to_vec());
        let is_final = self.moment.opened.is_some_and(|opened| opened.finalized_at.is_some());
        let change = Change {
            match_id,
            head,
            tally: &nothing,
            cells: Vec::new(),
            countries: Vec::new(),
            new_cells: 0,
            new_countries: 0,
            emptied: 1,
            is_final,
            is_rebuilt: true,
            announced,
        };
        let fold = once::begin(spi, at)?;
        let call = change.publish(spi, &fold)?;
        fold.notify(spi, vec![call])?;
        Ok(tally::total(&totals).and_then(|votes| tally::total(&[votes, pending]))?)
    }
}

fn vote(team: &str, cell: Option<CellIndex>, country: Option<Country>, votes: i64, source: Source) -> Vote<'_> {
    Vote { team, cell, country, votes, in_total: true, source, at: 0 }
}

fn non_zero<K>(mut places: Vec<(K, tally::Counts)>) -> Vec<(K, tally::Counts)> {
    places.retain(|(_, votes)| votes.iter().any(|votes| *votes != 0));
    places
}

/// Refuses a match with votes that cannot be counted again.
fn refuse_lost(spi: &Spi, match_id: &str, moment: &Moment) -> Result<()> {
    if moment.head.seq == 0 && moment.pending.distinct() == 0 {
        return Err(unknown(format!("match {} has no votes", quoted(match_id)), "Check the name.".into()));
    }
    let mut votes = moment.head.sources.clone();
    for (source, more) in moment.pending.sources() {
        *votes.entry(*source).or_insert(0) += more;
    }
    let recountable: Vec<i16> = spi.run(&RECOUNTABLE, &[match_id.into_datum()], Sees::TheCallersMoment)?.values()?;
    let Some((source, votes)) = votes.into_iter().find(|(source, votes)| *votes != 0 && !recountable.contains(&source.0)) else {
        return Ok(());
    };
    let what = match source {
        Source::CALL => "recorded by calls such as record_vote, which nothing remembers",
        Source::BALLOT => "from ballots that were erased after vote_agg.ballot_retention",
        _ => "from a table that is not attached any more",
    };
    Err(not_now(
        format!("match {} cannot be rebuilt", quoted(match_id)),
        format!("{votes} of its votes are {what}."),
        "verify_match shows what can still be checked.",
    ))
}

/// See the COMMENT in sql/65-verify.sql.
#[pg_extern(sql = false)]
fn is_cell(h3_index: i64) -> bool {
    cell_from_bits(h3_index).is_ok()
}

/// See the COMMENT in sql/65-verify.sql.
#[pg_extern(sql = false)]
fn is_country(country_code: &str) -> bool {
    Country::parse(country_code.as_bytes()).is_ok_and(|country| country.as_str() == country_code)
}
