//! Reads for followers of a match: its folded state, what the feed has past a seq, and what changed since one.

use crate::error::{Result, invalid};
use crate::fold::feed::{self, Head};
use crate::pg::bigints::Bigints;
use crate::pg::spi::{self, Plan, Sees};
use crate::read::collected::{self, most_bytes};
use crate::read::moment::{Moment, named, resolution_of, time};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::{IntoDatum, name, pg_extern, pg_sys};
use vote_agg_core::feed::message::{self, CellVotes, CountryVotes, Lazily, Message, Snapshot, Stats, Votes};
use vote_agg_core::vote::cell::cell_from_bits;
use vote_agg_core::{Country, Error};

const SINCE: &[pg_sys::Oid] = &[pg_sys::TEXTOID, pg_sys::INT8OID];

thread_local! {
    static FEED: Plan = const { Plan::new(
        "SELECT seq, at, body FROM vote_agg.feed WHERE match_id = $1 AND seq > $2 ORDER BY seq", SINCE) };
    static CELLS: Plan = const { Plan::new(
        "SELECT h3_index, votes FROM vote_agg.h3_aggregate WHERE match_id = $1 AND seq > $2", SINCE) };
    static COUNTRIES: Plan = const { Plan::new(
        "SELECT country_code, votes FROM vote_agg.country_aggregate WHERE match_id = $1 AND seq > $2", SINCE) };
}

/// The seq that a follower has.
fn since_of(since_seq: Option<i64>) -> Result<i64> {
    match since_seq.ok_or(Error::Null { what: "since_seq" })? {
        since @ 0.. => Ok(since),
        since => Err(invalid(
            format!("since_seq must be at least 0, not {since}"),
            "Pass the seq of the last change that was applied.",
        )),
    }
}

type ChangeRow = (i64, Option<TimestampWithTimeZone>, Option<String>, bool);

/// See the COMMENT in sql/40-read.sql.
#[pg_extern(sql = false)]
fn get_match_changes(
    match_id: Option<&[u8]>,
    since_seq: Option<i64>,
) -> Result<
    TableIterator<
        'static,
        (name!(seq, i64), name!(at, Option<TimestampWithTimeZone>), name!(body, Option<String>), name!(resync, bool)),
    >,
> {
    let (match_id, since) = (named(match_id)?, since_of(since_seq)?);
    let (head, mut rows) = spi::connect(|spi| {
        let head = Head::load(spi, match_id, Sees::TheCallersMoment)?;
        let mut rows: Vec<ChangeRow> = Vec::new();
        let (mut bytes, most) = (0, most_bytes());
        spi.each(&FEED, &[match_id.into_datum(), since.into_datum()], |row| {
            if bytes > most {
                return Ok(());
            }
            let body: Option<String> = row.get("body")?;
            bytes += body.as_ref().map_or(0, String::len);
            rows.push((row.need("seq")?, row.get("at")?, body, false));
            Ok(())
        })?;
        // More than a read may hold is as good as gone: a snapshot takes less.
        if bytes > most {
            rows.clear();
        }
        Ok((head, rows))
    })?;
    let is_gap = rows.first().map_or(since != head.seq, |(seq, ..)| *seq != since + 1);
    if is_gap {
        rows = vec![(head.seq, time(head.at).filter(|_| head.seq > 0), None, true)];
    }
    Ok(TableIterator::new(rows))
}

/// See the COMMENT in sql/40-read.sql.
#[pg_extern(sql = false)]
fn get_match_snapshot(match_id: Option<&[u8]>, resolution: Option<i32>) -> Result<String> {
    let (match_id, resolution) = (named(match_id)?, resolution_of(resolution)?);
    spi::connect(|spi| {
        let moment = Moment::folded(spi, match_id)?;
        let (teams, totals) = (moment.teams(), moment.totals()?);
        let cells = moment.cells(spi, match_id, resolution)?;
        let countries = moment.countries(spi, match_id)?;
        let at = match moment.head.seq {
            0 => None,
            _ => Some(feed::utc_text(spi, moment.head.at, Sees::TheCallersMoment)?),
        };
        let snapshot = Snapshot {
            v: message::VERSION,
            match_id: match_id.into(),
            seq: moment.head.seq,
            epoch: moment.head.epoch.as_deref().map(Into::into),
            at: at.map(Into::into),
            status: moment.status().into(),
            resolution: resolution.map(u8::from),
            stats: Stats::new(teams, &totals, moment.per_minute()?)?,
            cells: Lazily(|| cells.iter().map(|(cell, votes)| CellVotes(*cell, Votes::some(teams, votes)))),
            countries: countries.iter().map(|(country, votes)| CountryVotes(*country, Votes::some(teams, votes))).collect(),
        };
        // The install script declares json, which is stored as its text.
        Ok(message::to_json(&snapshot))
    })
}

/// See the COMMENT in sql/40-read.sql.
#[pg_extern(sql = false)]
fn get_match_update(match_id: Option<&[u8]>, since_seq: Option<i64>) -> Result<Option<String>> {
    let (match_id, since) = (named(match_id)?, since_of(since_seq)?);
    spi::connect(|spi| {
        let moment = Moment::folded(spi, match_id)?;
        let head = &moment.head;
        let Some(epoch) = &head.epoch else { return Ok(None) };
        // A follower that knows nothing has nothing that a rebuild could have removed.
        let is_told = since <= head.seq && (since == 0 || since >= head.rebuilt);
        let (mut cells, mut countries) = (Vec::new(), Vec::new());
        let mut numbers = [0; 2];
        if is_told && since < head.seq {
            let key = [match_id.into_datum(), since.into_datum()];
            spi.each(&CELLS, &key, |row| {
                let cell = cell_from_bits(row.need("h3_index")?)?;
                let votes = row.need::<Bigints>("votes")?.0;
                numbers[0] += votes.len();
                cells.push((cell, votes));
                collected::CELLS.check(numbers[0])
            })?;
            spi.each(&COUNTRIES, &key, |row| {
                let country = Country::parse(row.need::<String>("country_code")?.as_bytes())?;
                let votes = row.need::<Bigints>("votes")?.0;
                numbers[1] += votes.len();
                countries.push((country, votes));
                collected::COUNTRIES.check(numbers[1])
            })?;
            cells.sort_unstable_by_key(|(cell, _)| u64::from(*cell));
            countries.sort_unstable_by_key(|(country, _)| country.number());
        }
        let (teams, totals, at) = (moment.teams(), moment.totals()?, feed::utc_text(spi, head.at, Sees::TheCallersMoment)?);
        let cells = cells.iter().map(|(cell, votes)| CellVotes(*cell, Votes::some(teams, votes)));
        let countries = countries.iter().map(|(country, votes)| CountryVotes(*country, Votes::some(teams, votes)));
        Ok(Some(message::to_json(&Message {
            v: message::VERSION,
            match_id: match_id.into(),
            seq: head.seq,
            prev: since,
            epoch: epoch.into(),
            at: at.into(),
            stats: Stats::new(teams, &totals, moment.per_minute()?)?,
            cells: is_told.then(|| cells.collect()),
            countries: is_told.then(|| countries.collect()),
            new: None,
            flips: None,
            resync: !is_told,
            partial: false,
            is_final: moment.status() == "final",
        })))
    })
}
