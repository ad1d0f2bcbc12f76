//! Reads for a root: which matches have moved, and what a match is, or became since a seq. Folded votes alone.

use crate::error::{Result, invalid, not_now};
use crate::fold::history::History;
use crate::pg::bigints::Bigints;
use crate::pg::clock;
use crate::pg::database::{self, Identity};
use crate::pg::spi::{self, Plan, Sees, Spi};
use crate::read::collected::{self, Limit};
use crate::read::moment::{Moment, named, time};
use crate::settings;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::{IntoDatum, name, pg_extern, pg_sys};
use std::thread::LocalKey;
use vote_agg_core::Country;
use vote_agg_core::feed::message;
use vote_agg_core::shard::rows::{Line, MatchRows, Opened, VERSION};
use vote_agg_core::vote::change;
use vote_agg_core::vote::tally::MINUTE;

const SINCE: &[pg_sys::Oid] = &[pg_sys::TEXTOID, pg_sys::INT8OID];
const FROM: &[pg_sys::Oid] = &[pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID];

/// The first moment that PostgreSQL can tell from -infinity, which is the opening balance's place: 4714-11-24 BC.
const EARLIEST: i64 = -211_813_488_000_000_000;

thread_local! {
    static NUMBERS: Plan = const { Plan::new(
        "SELECT greatest(0, (SELECT number FROM vote_agg.feed ORDER BY number DESC LIMIT 1),
                (SELECT number FROM vote_agg.purged ORDER BY number DESC LIMIT 1)) AS newest,
            coalesce((SELECT number FROM vote_agg.purged WHERE match_id = ''), 0) AS forgotten", &[]) };
    static MOVED: Plan = const { Plan::new(
        "SELECT DISTINCT ON (f.match_id) f.match_id, f.seq, f.born FROM vote_agg.feed f WHERE f.number > $1
         ORDER BY f.match_id, f.seq DESC", &[pg_sys::INT8OID]) };
    // From one name of the feed's key to the next, instead of over all its rows.
    static ALL: Plan = const { Plan::new(
        "WITH RECURSIVE fed(id) AS (
            SELECT (SELECT f.match_id FROM vote_agg.feed f ORDER BY f.match_id LIMIT 1)
            UNION ALL
            SELECT (SELECT f.match_id FROM vote_agg.feed f WHERE f.match_id > fed.id ORDER BY f.match_id LIMIT 1)
            FROM fed WHERE fed.id IS NOT NULL)
         SELECT fed.id AS match_id, n.seq, n.born FROM fed CROSS JOIN LATERAL (
            SELECT f.seq, f.born FROM vote_agg.feed f WHERE f.match_id = fed.id ORDER BY f.seq DESC LIMIT 1) AS n", &[]) };
    // One that came back has moved, to another epoch.
    static PURGED: Plan = const { Plan::new(
        "SELECT p.match_id FROM vote_agg.purged p WHERE p.number > $1 AND p.match_id <> ''
            AND NOT EXISTS (SELECT FROM vote_agg.feed f WHERE f.match_id = p.match_id)", &[pg_sys::INT8OID]) };
    static TOUCHED: Plan = const { Plan::new(
        "SELECT pg_catalog.count(*) AS folds, pg_catalog.min(first_minute) AS minute FROM vote_agg.feed
         WHERE match_id = $1 AND seq > $2", SINCE) };
    static CELLS: Plan = const { Plan::new(
        "SELECT h3_index AS key, votes FROM vote_agg.h3_aggregate WHERE match_id = $1 AND seq > $2", SINCE) };
    static COUNTRIES: Plan = const { Plan::new(
        "SELECT country_code, votes FROM vote_agg.country_aggregate WHERE match_id = $1 AND seq > $2", SINCE) };
    static MINUTES: Plan = const { Plan::new(
        "SELECT bucket, votes FROM vote_agg.timeline WHERE match_id = $1 AND bucket >= $2", FROM) };
    static COUNTRY_MINUTES: Plan = const { Plan::new(
        "SELECT bucket, country_code, votes FROM vote_agg.country_timeline WHERE match_id = $1 AND bucket >= $2", FROM) };
    static KEPT: Plan = const { Plan::new(
        "SELECT kept_from FROM vote_agg.timeline WHERE match_id = $1 AND bucket = '-infinity'", &[pg_sys::TEXTOID]) };
}

/// Which server and database this is.
fn identity() -> Result<Identity> {
    let reason = || "A root follows a shard's primary: only there one history follows another.".into();
    match database::identity() {
        Some(identity) => Ok(identity),
        None => Err(not_now("this server is a standby".into(), reason(), "Connect to the primary.")),
    }
}

type HeadsRow = (String, i64, i64, Option<TimestampWithTimeZone>, String, bool, Vec<String>, Vec<String>, Vec<i64>, Vec<String>);

/// See the COMMENT in sql/46-pull.sql.
#[pg_extern(sql = false)]
fn get_heads(
    cursor: Option<&str>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(system, String),
            name!(timeline, i64),
            name!(database, i64),
            name!(clock, Option<TimestampWithTimeZone>),
            name!(next_cursor, String),
            name!(whole, bool),
            name!(match_ids, Vec<String>),
            name!(epochs, Vec<String>),
            name!(seqs, Vec<i64>),
            name!(purged, Vec<String>),
        ),
    >,
> {
    let (identity, history) = (identity()?, History::now()?);
    let name = history.name();
    let after = cursor.map(|cursor| number_of(cursor, &name)).transpose()?.flatten();
    let row: HeadsRow = spi::connect(|spi| {
        let see = Sees::TheCallersMoment;
        let (newest, forgotten): (i64, i64) = match spi.run(&NUMBERS, &[], see)?.first() {
            Some(row) => (row.need("newest")?, row.need("forgotten")?),
            None => (0, 0),
        };
        let after = after.filter(|after| (forgotten..=newest).contains(after));
        let (mut matches, mut epochs, mut seqs, mut purged) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        if after != Some(newest) {
            let mut see_head = |row: &spi::Row| {
                let (match_id, born): (String, _) = (row.need("match_id")?, row.time("born")?.unwrap_or_default());
                epochs.push(history.epoch(&match_id, born));
                seqs.push(row.need("seq")?);
                matches.push(match_id);
                Ok(())
            };
            match after {
                Some(after) => spi.each(&MOVED, &[after.into_datum()], &mut see_head)?,
                None => spi.each(&ALL, &[], &mut see_head)?,
            }
            if let Some(after) = after {
                purged = spi.run(&PURGED, &[after.into_datum()], see)?.values()?;
            }
        }
        let Identity { system, timeline, database } = identity;
        let (next, whole) = (format!("{name}:{newest}"), after.is_none());
        Ok((system, timeline.into(), database.into(), time(clock::now()), next, whole, matches, epochs, seqs, purged))
    })?;
    Ok(TableIterator::once(row))
}

/// The fold's number in a cursor of this history.
fn number_of(cursor: &str, history: &str) -> Result<Option<i64>> {
    let refuse =
        || invalid(format!("\"{cursor}\" is no cursor"), "Pass next_cursor of the last answer, or NULL for all matches.");
    let (name, number) = cursor.split_once(':').ok_or_else(refuse)?;
    let number: i64 = number.parse().map_err(|_| refuse())?;
    Ok((name == history).then_some(number))
}

/// See the COMMENT in sql/46-pull.sql.
#[pg_extern(sql = false)]
fn get_match_rows(match_id: Option<&[u8]>, epoch: Option<&str>, since_seq: Option<i64>) -> Result<String> {
    let match_id = named(match_id)?;
    let since = match since_seq.unwrap_or(0) {
        since @ 0.. => since,
        since => {
            return Err(invalid(format!("since_seq must be at least 0, not {since}"), "Pass the seq that was applied last."));
        }
    };
    let Identity { system, timeline, database } = identity()?;
    let mut rows = MatchRows {
        v: VERSION,
        system,
        timeline,
        database,
        match_id: match_id.into(),
        whole: true,
        at: clock::now(),
        ..MatchRows::default()
    };
    spi::connect(|spi| {
        let moment = Moment::folded(spi, match_id)?;
        if moment.head.seq > 0 {
            read(spi, match_id, &moment, epoch, since, &mut rows)?;
        } else {
            rows.is_final = !settings::auto_open() && Moment::of(spi, match_id)?.status() == "unknown";
        }
        // The install script declares json, which is stored as its text.
        Ok(message::to_json(&rows))
    })
}

fn read(spi: &Spi, match_id: &str, moment: &Moment, epoch: Option<&str>, since: i64, rows: &mut MatchRows) -> Result<()> {
    let head = &moment.head;
    let touched = spi.run(&TOUCHED, &[match_id.into_datum(), since.into_datum()], Sees::TheCallersMoment)?;
    let (folds, first) = match touched.first() {
        Some(row) => (row.need::<i64>("folds")?, row.time("minute")?),
        None => (0, None),
    };
    // A rebuild removes rows that no seq tells of. Without the rows of the feed nothing tells which minutes changed.
    let is_told = epoch.is_some() && epoch == head.epoch.as_deref() && since > 0 && since <= head.seq && since >= head.rebuilt;
    rows.whole = !(is_told && folds == head.seq - since);
    rows.since = if rows.whole { 0 } else { since };
    let first = if rows.whole { Some(EARLIEST) } else { first };
    let key = [match_id.into_datum(), rows.since.into_datum()];
    rows.cells = lines(spi, &CELLS, &key, &collected::CELLS, |row| row.need("key"))?;
    let country = |row: &spi::Row| Ok(i64::from(Country::parse(row.need::<String>("country_code")?.as_bytes())?.number()));
    rows.countries = lines(spi, &COUNTRIES, &key, &collected::COUNTRIES, country)?;
    if let Some(first) = first {
        let from = [match_id.into_datum(), Some(first.into())];
        let minute = |row: &spi::Row| Ok(row.time("bucket")?.unwrap_or_default() / MINUTE);
        rows.minutes = lines(spi, &MINUTES, &from, &collected::BUCKETS, minute)?;
        let both = |row: &spi::Row| Ok(minute(row)? << 16 | country(row)?);
        rows.country_minutes = lines(spi, &COUNTRY_MINUTES, &from, &collected::BUCKETS, both)?;
    }
    rows.kept_from =
        spi.run(&KEPT, &[match_id.into_datum()], Sees::TheCallersMoment)?.value::<TimestampWithTimeZone>().map(i64::from);
    rows.epoch.clone_from(&head.epoch);
    rows.seq = head.seq;
    rows.teams = moment.teams().to_vec();
    rows.votes.clone_from(&head.votes);
    rows.unplaced.clone_from(&head.unplaced);
    rows.sources = head.sources.iter().map(|(source, votes)| (source.0, *votes)).collect();
    rows.last_vote_at = head.last_vote_at;
    rows.at = head.at;
    rows.opened = moment.opened.as_ref().map(|opened| Opened {
        teams: opened.teams.clone(),
        opens_at: opened.opens_at,
        closes_at: opened.closes_at,
        changes_allowed: opened.changes_allowed,
    });
    rows.is_final = moment.opened.as_ref().is_some_and(|opened| opened.finalized_at.is_some());
    Ok(())
}

fn lines(
    spi: &Spi,
    plan: &'static LocalKey<Plan>,
    args: &[Option<pg_sys::Datum>],
    limit: &Limit,
    key: impl Fn(&spi::Row) -> Result<i64>,
) -> Result<Vec<Line>> {
    let (mut lines, mut numbers) = (Vec::new(), 0);
    spi.each(plan, args, |row| {
        let votes = row.need::<Bigints>("votes")?.0;
        numbers += votes.len();
        lines.push((key(row)?, change::of(&votes)));
        limit.check(numbers)
    })?;
    Ok(lines)
}
