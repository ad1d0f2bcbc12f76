//! Reading the time line: votes by bucket, and the match as it stood at an earlier time.

use crate::error::{Result, invalid, quoted};
use crate::pg::bigints::Bigints;
use crate::pg::clock::now;
use crate::pg::jsonb_out::Jsonb;
use crate::pg::spi::{self, Plan, Spi};
use crate::read::collected::{BUCKETS, COUNTRIES, Countries};
use crate::read::moment::{Moment, named, ranked, time, votes_json};
use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::iter::TableIterator;
use pgrx::{IntoDatum, name, pg_extern, pg_sys};
use vote_agg_core::feed::message::Votes;
use vote_agg_core::feed::timeline::{self, Timeline};
use vote_agg_core::vote::{change, dominance, tally};
use vote_agg_core::{Country, Error};

/// The first moment that PostgreSQL can tell from -infinity, which is the opening balance's place: 4714-11-24 BC.
const EARLIEST: i64 = -211_813_488_000_000_000;

thread_local! {
    static MINUTES: Plan = const { Plan::new(
        "SELECT bucket, votes, kept_from FROM vote_agg.timeline WHERE match_id = $1 AND bucket < $2",
        &[pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID]) };
    static COUNTRY_MINUTES: Plan = const { Plan::new(
        "SELECT country_code, votes FROM vote_agg.country_timeline WHERE match_id = $1 AND bucket < $2",
        &[pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID]) };
}

/// The most rows that one call returns: a day of minutes for 69 teams, or ten years of days for 27.
const MAX_ROWS: u64 = 100_000;

/// The time line before a moment, each minute at its `place`, and where it starts if retention has erased its beginning.
fn line_before(
    spi: &Spi,
    match_id: &str,
    moment: &Moment,
    end: i64,
    place: impl Fn(i64) -> i64,
) -> Result<(Timeline, Option<i64>)> {
    let (mut line, mut kept_from) = (Timeline::default(), None);
    for (minute, change) in moment.pending.minute_changes().into_iter().filter(|(minute, _)| *minute < end) {
        line.add(place(minute), &change::counts(&change))?;
        BUCKETS.check(line.numbers())?;
    }
    spi.each(&MINUTES, &[match_id.into_datum(), Some(end.max(EARLIEST).into())], |row| {
        let (minute, votes) = (row.time("bucket")?.unwrap_or_default(), row.need::<Bigints>("votes")?.0);
        match row.time("kept_from")? {
            Some(start) => {
                kept_from = Some(start);
                line.open(start, votes);
            }
            None => line.add(place(minute), &votes)?,
        }
        BUCKETS.check(line.numbers())
    })?;
    Ok((line, kept_from))
}

/// See the COMMENT in sql/45-timeline.sql.
#[pg_extern(sql = false)]
fn get_match_timeline(
    match_id: Option<&[u8]>,
    bucket: Option<Interval>,
    from: Option<TimestampWithTimeZone>,
    to: Option<TimestampWithTimeZone>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(bucket_start, Option<TimestampWithTimeZone>),
            name!(team_choice, String),
            name!(votes, i64),
            name!(running_total, i64),
        ),
    >,
> {
    let (match_id, width) = (named(match_id)?, width_of(bucket)?);
    let (from, to) = (from.map(i64::from), to.map(i64::from));
    let (teams, buckets) = spi::connect(|spi| {
        let moment = Moment::of(spi, match_id)?;
        let place = |minute| timeline::place(minute, width, from, to);
        let (line, _) = line_before(spi, match_id, &moment, i64::MAX, place)?;
        let rows = line.count(width, from, to).saturating_mul(moment.teams().len() as u64);
        if rows > MAX_ROWS {
            return Err(invalid(
                format!("the time line of match {} would have {rows} rows, more than {MAX_ROWS}", quoted(match_id)),
                "Pass a longer bucket, or \"from\" and \"to\" that are closer.",
            ));
        }
        Ok((moment.teams().to_vec(), line.buckets(width, from, to)?))
    })?;
    let of_team = |counts: &tally::Counts, team: usize| counts.get(team).copied().unwrap_or(0);
    // One by one as they are asked for: a long match with short buckets has many.
    Ok(TableIterator::new(buckets.flat_map(move |bucket| {
        let row = |(team, name): (usize, &String)| {
            (time(bucket.start), name.clone(), of_team(&bucket.votes, team), of_team(&bucket.running, team))
        };
        teams.iter().enumerate().map(row).collect::<Vec<_>>()
    })))
}

/// The microseconds of a bucket of whole minutes.
fn width_of(bucket: Option<Interval>) -> Result<i64> {
    let bucket = bucket.ok_or(Error::Null { what: "bucket" })?;
    let width = if bucket.months() == 0 { timeline::width(bucket.days(), bucket.micros()) } else { None };
    width.ok_or_else(|| {
        invalid(
            format!("bucket must be a whole number of minutes, 1 minute to 36525 days, not {bucket}"),
            "Pass an interval such as '5 minutes'; months have no fixed length.",
        )
    })
}

type Standing = (Option<TimestampWithTimeZone>, Option<String>, i64, Jsonb, Option<String>, f64);

/// See the COMMENT in sql/45-timeline.sql.
#[pg_extern(sql = false)]
fn get_match_at(
    match_id: Option<&[u8]>,
    ts: Option<TimestampWithTimeZone>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(as_of, Option<TimestampWithTimeZone>),
            name!(country_code, Option<String>),
            name!(total_votes, i64),
            name!(votes, Jsonb),
            name!(leader, Option<String>),
            name!(dominance, f64),
        ),
    >,
> {
    let match_id = named(match_id)?;
    let ts = ts.ok_or(Error::Null { what: "ts" })?;
    let (ts_at, now) = (i64::from(ts), now());
    let as_of = timeline::as_of(ts_at, now);
    // A clock that was ahead may have put votes into minutes to come. Now they are counted.
    let end = if ts_at > now { i64::MAX } else { as_of };
    let rows = spi::connect(|spi| {
        let moment = Moment::of(spi, match_id)?;
        // Only its sum is asked for.
        let (line, kept_from) = line_before(spi, match_id, &moment, end, |_| 0)?;
        if let Some(start) = kept_from.filter(|start| as_of < *start) {
            let start = time(start).map_or_else(String::new, |start| start.to_string());
            return Err(invalid(
                format!("the time line of match {} is kept from {start} on, not at {ts}", quoted(match_id)),
                "Ask for a later time. vote_agg.timeline_retention says how long a minute is kept.",
            ));
        }
        let mut totals = line.total()?;
        totals.resize(moment.teams().len(), 0);
        let teams = moment.teams();
        let name = |votes: &[i64]| dominance::leader(votes).map(|place| teams[place].clone());
        let total = tally::total(&totals)?;
        let all = Jsonb::of(&Votes::all(teams, &totals))?;
        let mut rows: Vec<Standing> = vec![(time(as_of), None, total, all, name(&totals), dominance::dominance(&totals))];
        for (country, total, votes) in ranked(countries_before(spi, match_id, &moment, end)?, None, |c| c.number().into())? {
            let by_team = votes_json(teams, &votes)?;
            rows.push((time(as_of), Some(country.to_string()), total, by_team, name(&votes), dominance::dominance(&votes)));
        }
        Ok(rows)
    })?;
    Ok(TableIterator::new(rows))
}

fn countries_before(
    spi: &Spi,
    match_id: &str,
    moment: &Moment,
    end: i64,
) -> Result<impl Iterator<Item = (Country, tally::Counts)>> {
    let mut countries = Countries::new(&COUNTRIES);
    for ((_, country), change) in moment.pending.country_minute_changes().into_iter().filter(|((minute, _), _)| *minute < end) {
        countries.add(country, change::counts(&change))?;
    }
    spi.each(&COUNTRY_MINUTES, &[match_id.into_datum(), Some(end.max(EARLIEST).into())], |row| {
        let country = Country::parse(row.need::<String>("country_code")?.as_bytes())?;
        countries.add(country, row.need::<Bigints>("votes")?.0)
    })?;
    Ok(countries.all())
}
