//! The sessions that answer, and the questions put to them.

use crate::config::Config;
use crate::db::address;
use crate::db::statements::{Change, Sql, StatsRow};
use crate::error::{Error, Result};
use crate::metrics::durations;
use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use foldhash::HashSet;
use prometheus_client::metrics::histogram::Histogram;
use std::future::Future;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};
use tokio_postgres_rustls::MakeRustlsConnect;
use vote_agg_core::feed::message::{Message, Snapshot};

/// How long an answer may take. What is asked takes milliseconds; a snapshot of the largest matches takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// Names of matches that are looked up one by one.
const FEW: usize = 20;

/// The way to the database.
pub struct Database {
    pub postgres: tokio_postgres::Config,
    pub tls: MakeRustlsConnect,
    /// How long statements took.
    pub statements: Histogram,
    pool: Pool,
    sql: RwLock<Option<Arc<Sql>>>,
}

impl Database {
    /// Takes the address apart; connects to nothing yet.
    ///
    /// # Errors
    /// [`Error::Config`] for an address or a file of certificates that makes no sense.
    pub fn new(config: &Config) -> Result<Self> {
        let written = address::written("DATABASE_URL", config.database_url.as_ref(), config.database_url_file.as_ref())?;
        let written = written.ok_or_else(|| Error::Config("the relay needs DATABASE_URL or DATABASE_URL_FILE".into()))?;
        let (postgres, tls) = address::reach("DATABASE_URL", &written, "vote-agg-relay", config.database_ca.as_deref())?;
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let pool = Pool::builder(Manager::from_config(postgres.clone(), tls.clone(), recycling))
            .max_size(config.database_sessions.into())
            .wait_timeout(Some(PATIENCE))
            .create_timeout(Some(PATIENCE))
            .post_create(Hook::async_fn(|client, _| {
                Box::pin(async move { client.batch_execute(&limits()).await.map_err(HookError::Backend) })
            }))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|e| Error::Config(format!("DATABASE_SESSIONS: {e}")))?;
        Ok(Self { postgres, tls, statements: durations(), pool, sql: RwLock::new(None) })
    }

    /// What is known of the extension is looked up again: it may have been created anew elsewhere.
    pub fn forget(&self) {
        if let Ok(mut sql) = self.sql.write() {
            *sql = None;
        }
        self.pool.retain(|_, _| false);
    }

    /// The whole match, folded, from the database. `resolution` rolls cells up.
    ///
    /// # Errors
    /// What the database has against it, or no answer in time.
    pub async fn snapshot(&self, match_id: &str, resolution: Option<i32>) -> Result<Snapshot<'static>> {
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&match_id, Type::TEXT), (&resolution, Type::INT4)];
        let rows = self.query(|sql| sql.snapshot.clone(), &params).await?;
        let text: &str = rows.first().ok_or(Error::Gap)?.try_get(0)?;
        Ok(serde_json::from_str(text)?)
    }

    /// All that changed in a match after a seq, as one message. None: nothing was folded yet.
    ///
    /// # Errors
    /// What the database has against it, or no answer in time.
    pub async fn update(&self, match_id: &str, since: i64) -> Result<Option<Message<'static>>> {
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&match_id, Type::TEXT), (&since, Type::INT8)];
        let rows = self.query(|sql| sql.update.clone(), &params).await?;
        let text: Option<&str> = rows.first().ok_or(Error::Gap)?.try_get(0)?;
        Ok(text.map(serde_json::from_str).transpose()?)
    }

    /// The feed of one match past a seq.
    ///
    /// # Errors
    /// What the database has against it, or no answer in time.
    pub async fn changes(&self, match_id: &str, since: i64) -> Result<Vec<Change>> {
        let (matches, since) = ([match_id], [since]);
        let (matches, since) = (&matches[..], &since[..]);
        let params: [(&(dyn ToSql + Sync), Type); 2] = [(&matches, Type::TEXT_ARRAY), (&since, Type::INT8_ARRAY)];
        Ok(self.query(|sql| sql.changes.clone(), &params).await?.iter().map(Change::from).collect())
    }

    /// Those of the matches that exist.
    ///
    /// # Errors
    /// What the database has against it, or no answer in time.
    pub async fn existing(&self, matches: &[String]) -> Result<HashSet<String>> {
        let text = |sql: &Sql| if matches.len() > FEW { sql.existing_of_many.clone() } else { sql.existing.clone() };
        let rows = self.query(text, &[(&matches, Type::TEXT_ARRAY)]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The match at this moment, at little cost.
    ///
    /// # Errors
    /// What the database has against it, or no answer in time.
    pub async fn stats(&self, match_id: &str) -> Result<StatsRow> {
        let rows = self.query(|sql| sql.stats.clone(), &[(&match_id, Type::TEXT)]).await?;
        Ok(serde_json::from_str(rows.first().ok_or(Error::Gap)?.try_get(0)?)?)
    }

    /// A statement over one of the extension's functions, which `text` writes for the schema that it lives in.
    ///
    /// # Errors
    /// What the database has against it, or no answer in time.
    pub async fn call(&self, text: impl Fn(&str) -> String, params: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>> {
        self.query(|sql| text(&sql.schema), params).await
    }

    async fn query(&self, text: impl FnOnce(&Sql) -> String, params: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>> {
        let client = self.pool.get().await.map_err(|e| match e {
            PoolError::Backend(e) => Error::Database(e),
            PoolError::Timeout(_) => Error::Timeout,
            _ => Error::Unavailable,
        })?;
        // A session whose statement nobody waits for any more might answer it to the next one: it is never used again.
        let mut asked = Asked { client: Some(client), tls: &self.tls };
        let answer = patiently(async {
            let Some(client) = &asked.client else { return Err(Error::Unavailable) };
            let sql = self.sql(client).await?;
            let began = Instant::now();
            let rows = client.query_typed(&text(&sql), params).await?;
            self.statements.observe(began.elapsed().as_secs_f64());
            Ok(rows)
        })
        .await;
        if !matches!(answer, Err(Error::Timeout)) {
            drop(asked.client.take());
        }
        answer
    }

    async fn sql(&self, client: &Client) -> Result<Arc<Sql>> {
        if let Some(sql) = self.sql.read().ok().and_then(|sql| sql.clone()) {
            return Ok(sql);
        }
        let found = Arc::new(Sql::find(client).await?);
        if let Ok(mut sql) = self.sql.write() {
            *sql = Some(found.clone());
        }
        Ok(found)
    }
}

/// What a session of the pool is told first: the server itself gives up before the relay does.
fn limits() -> String {
    format!("SET statement_timeout = {}", (PATIENCE - Duration::from_secs(1)).as_millis())
}

/// A session that is asked something. Dropped before the answer has come, its statement is cancelled and it ends.
struct Asked<'a> {
    client: Option<Object>,
    tls: &'a MakeRustlsConnect,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        let client = Object::take(client);
        let (cancel, tls) = (client.cancel_token(), self.tls.clone());
        tokio::spawn(async move {
            // The statement may have ended meanwhile: then there is nothing to cancel.
            let _ = patiently(async { Ok(cancel.cancel_query(tls).await?) }).await;
            drop(client);
        });
    }
}

/// Waits for an answer of the database, not forever.
///
/// # Errors
/// [`Error::Timeout`], or what `answer` ended with.
pub async fn patiently<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or(Err(Error::Timeout))
}
