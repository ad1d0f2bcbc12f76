//! Reading changes of leader that were announced before.

use crate::error::{Result, broken, quoted};
use crate::fold::feed::Head;
use crate::pg::spi::{self, Plan, Row, Sees};
use crate::read::moment::named;
use pgrx::datum::TimestampWithTimeZone;
use pgrx::iter::TableIterator;
use pgrx::{IntoDatum, name, pg_extern, pg_sys};
use vote_agg_core::feed::flip::parse_max;

thread_local! {
    static FLIPS: Plan = const { Plan::new(
        "SELECT at, seq, country_code, before, after FROM vote_agg.flip WHERE match_id = $1 AND ($2 IS NULL OR at >= $2)
         ORDER BY seq DESC, country_code NULLS FIRST LIMIT $3",
        &[pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID, pg_sys::INT8OID]) };
}

type Flip = (Option<TimestampWithTimeZone>, i64, &'static str, Option<String>, Option<String>, Option<String>);

/// See the COMMENT in sql/45-timeline.sql.
#[pg_extern(sql = false)]
fn get_match_flips(
    match_id: Option<&[u8]>,
    since: Option<TimestampWithTimeZone>,
    max_rows: Option<i32>,
) -> Result<
    TableIterator<
        'static,
        (
            name!(at, Option<TimestampWithTimeZone>),
            name!(seq, i64),
            name!(scope, &'static str),
            name!(country_code, Option<String>),
            name!(before, Option<String>),
            name!(after, Option<String>),
        ),
    >,
> {
    let (match_id, most) = (named(match_id)?, parse_max("max_rows", max_rows.map(i64::from))?);
    let rows = spi::connect(|spi| {
        // Numbers of teams are places in the newest list, which only grows.
        let teams = Head::load(spi, match_id, Sees::TheCallersMoment)?.teams;
        let team = |row: &Row, column: &str| match row.get::<i32>(column)? {
            None => Ok(None),
            Some(number) => {
                usize::try_from(number).ok().and_then(|number| teams.get(number)).cloned().map(Some).ok_or_else(|| {
                    broken(format!("a flip of match {} names team {number}, of {} teams", quoted(match_id), teams.len()))
                })
            }
        };
        let flip = |row: Row| -> Result<Flip> {
            let country: Option<String> = row.get("country_code")?;
            let scope = if country.is_none() { "match" } else { "country" };
            Ok((row.get("at")?, row.need("seq")?, scope, country, team(&row, "before")?, team(&row, "after")?))
        };
        let args = [match_id.into_datum(), since.into_datum(), most.into_datum()];
        spi.run(&FLIPS, &args, Sees::TheCallersMoment)?.iter().map(flip).collect::<Result<Vec<_>>>()
    })?;
    Ok(TableIterator::new(rows))
}
