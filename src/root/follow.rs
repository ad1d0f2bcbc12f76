//! Which shards the root follows.

use crate::error::{Result, quoted, unknown};
use crate::pg::spi::{self, Plan, Sees};
use crate::pg::transaction;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{IntoDatum, pg_extern, pg_sys};
use vote_agg_core::vote::name::parse_name;

thread_local! {
    static FOLLOW: Plan = const { Plan::new(
        "INSERT INTO vote_agg.shard AS s (name, number, followed_at)
         SELECT $1, coalesce((SELECT number FROM vote_agg.shard WHERE name = $1),
                pg_catalog.nextval('vote_agg.source_number')::smallint), pg_catalog.clock_timestamp()
         ON CONFLICT (name) DO UPDATE SET left_at = NULL, followed_at = excluded.followed_at WHERE s.left_at IS NOT NULL",
        &[pg_sys::TEXTOID]) };
    static UNFOLLOW: Plan = const { Plan::new(
        "UPDATE vote_agg.shard SET left_at = coalesce(left_at, pg_catalog.clock_timestamp()), incarnation = incarnation + 1
         WHERE name = $1", &[pg_sys::TEXTOID]) };
}

/// See the COMMENT in sql/62-follow.sql.
#[pg_extern(sql = false)]
fn follow(shard: Option<&[u8]>) -> Result<()> {
    transaction::prevent_read_only(c"follow()");
    let shard = parse_name("shard", shard)?;
    spi::connect(|spi| spi.run(&FOLLOW, &[shard.into_datum()], Sees::Now).map(|_| ()))
}

/// See the COMMENT in sql/62-follow.sql.
#[pg_extern(sql = false)]
fn unfollow(shard: Option<&[u8]>) -> Result<()> {
    transaction::prevent_read_only(c"unfollow()");
    let shard = parse_name("shard", shard)?;
    let found = spi::connect(|spi| Ok(spi.run(&UNFOLLOW, &[shard.into_datum()], Sees::Now)?.count()))?;
    if found == 0 { Err(not_followed(shard)) } else { Ok(()) }
}

/// A shard that nobody named.
pub fn not_followed(shard: &str) -> ErrorReport {
    unknown(
        format!("shard {} is not followed", quoted(shard)),
        "Name it with vote_agg.follow; vote_agg.stat_shards has all.".into(),
    )
}
