//! The statements over the extension's functions, and the rows that they return.

use crate::error::{Error, Result};
use std::time::SystemTime;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};
use vote_agg_core::feed::message::Votes;

/// The statements, with the schema in which the extension's functions live. It comes from the catalog, quoted by the server.
#[derive(Debug)]
pub struct Sql {
    pub schema: String,
    pub changes: String,
    heads: String,
    pub existing: String,
    pub existing_of_many: String,
    pub snapshot: String,
    pub update: String,
    pub stats: String,
}

impl Sql {
    fn new(schema: &str) -> Self {
        Self {
            schema: schema.to_owned(),
            changes: format!(
                "SELECT m.match_id, c.seq, c.at, c.body::text, c.resync
                 FROM unnest($1, $2) WITH ORDINALITY AS m(match_id, seq, number)
                 CROSS JOIN LATERAL {schema}.get_match_changes(m.match_id, m.seq) AS c ORDER BY m.number, c.seq"
            ),
            heads: format!(
                "SELECT m.match_id, s.seq, s.epoch, s.status, s.votes_per_minute FROM unnest($1) AS m(match_id)
                 CROSS JOIN LATERAL {schema}.get_realtime_stats(m.match_id) AS s"
            ),
            // Votes that are still to be folded count too. The first statement looks at them once for each name, the second one
            // only once, but at all matches.
            existing_of_many: "SELECT m FROM vote_agg.matches() AS m WHERE m = ANY ($1)".to_owned(),
            existing: format!(
                "SELECT m.match_id FROM unnest($1) AS m(match_id)
                 CROSS JOIN LATERAL {schema}.get_realtime_stats(m.match_id) AS s
                 WHERE s.epoch IS NOT NULL OR s.status <> 'unknown' OR s.total_votes <> 0"
            ),
            snapshot: format!("SELECT {schema}.get_match_snapshot($1, $2)::text"),
            update: format!("SELECT {schema}.get_match_update($1, $2)::text"),
            stats: format!("SELECT to_jsonb(s)::text FROM {schema}.get_realtime_stats($1) AS s"),
        }
    }

    /// Finds the extension.
    ///
    /// # Errors
    /// [`Error::NoExtension`] where there is none, [`Error::NoRights`] where the role may not call what is called here.
    pub async fn find(client: &Client) -> Result<Self> {
        let row = client
            .query_opt(
                "SELECT pg_catalog.quote_ident(n.nspname), pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND coalesce((
                     SELECT pg_catalog.bool_and(pg_catalog.has_schema_privilege(p.pronamespace, 'USAGE')
                                                AND pg_catalog.has_function_privilege(p.oid, 'EXECUTE'))
                     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace f ON f.oid = p.pronamespace
                     WHERE (p.pronamespace = n.oid AND p.proname IN ('get_match_changes', 'get_realtime_stats', 'get_match_snapshot',
                                                                     'get_match_update'))
                        OR (f.nspname = 'vote_agg' AND p.proname = 'matches')), true), current_user::text
                 FROM pg_catalog.pg_extension e
                 JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vote_agg'",
                &[],
            )
            .await?
            .ok_or(Error::NoExtension)?;
        if row.get(1) { Ok(Self::new(row.get(0))) } else { Err(Error::NoRights(row.get(2))) }
    }

    /// The feed of many matches, each past its own seq, in one statement.
    ///
    /// # Errors
    /// What the database has against it.
    pub async fn changes(&self, client: &Client, matches: &[String], since: &[i64]) -> Result<Vec<Change>> {
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&matches, Type::TEXT_ARRAY), (&since, Type::INT8_ARRAY)];
        let rows = client.query_typed(&self.changes, &params).await?;
        Ok(rows.iter().map(Change::from).collect())
    }

    /// The seq, epoch, status and rate of each match.
    ///
    /// # Errors
    /// What the database has against it.
    pub async fn heads(&self, client: &Client, matches: &[String]) -> Result<Vec<Head>> {
        let rows = client.query_typed(&self.heads, &[(&matches, Type::TEXT_ARRAY)]).await?;
        let head = |row: &Row| Head {
            match_id: row.get(0),
            seq: row.get(1),
            epoch: row.get(2),
            status: row.get(3),
            per_minute: row.get(4),
        };
        Ok(rows.iter().map(head).collect())
    }
}

/// A row of the feed. Without a body: what is asked for is no longer kept, or not there yet.
#[derive(Debug)]
pub struct Change {
    pub match_id: String,
    pub at: Option<SystemTime>,
    pub body: Option<String>,
}

impl From<&Row> for Change {
    fn from(row: &Row) -> Self {
        let resync: bool = row.get(4);
        Self { match_id: row.get(0), at: row.get(2), body: row.get::<_, Option<String>>(3).filter(|_| !resync) }
    }
}

/// The newest fold of a match, and what changes without one.
#[derive(Debug)]
pub struct Head {
    pub match_id: String,
    pub seq: i64,
    pub epoch: Option<String>,
    pub status: String,
    pub per_minute: i64,
}

/// A row of get_realtime_stats.
#[derive(Debug, serde::Deserialize)]
pub struct StatsRow {
    pub status: String,
    #[serde(rename = "total_votes")]
    pub total: i64,
    pub votes: Votes<'static>,
    pub leader: Option<String>,
    pub dominance: f64,
    #[serde(rename = "votes_per_minute")]
    pub per_minute: i64,
    #[serde(rename = "active_cells")]
    pub cells: i64,
    #[serde(rename = "active_countries")]
    pub countries: i64,
    pub seq: i64,
    pub epoch: Option<String>,
}
