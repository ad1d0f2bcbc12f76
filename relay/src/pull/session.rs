//! A session with a database. An answer that does not come in its time ends it: it might come for the next question.

use crate::error::{Error, Result};
use crate::pull::config::Target;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

pub type Params<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// A session. It ends when this goes.
pub struct Session {
    client: Client,
    driver: JoinHandle<()>,
    patience: Duration,
}

impl Session {
    /// Connects, and tells the server its limits; `settings` are more of them.
    ///
    /// # Errors
    /// What the database has against it, or no answer in time.
    pub async fn open(target: &Target, patience: Duration, settings: &str) -> Result<Self> {
        let connecting = target.postgres.connect(target.tls.clone());
        let (client, connection) = tokio::time::timeout(patience, connecting).await.map_err(|_| Error::Timeout)??;
        let driver = tokio::spawn(async move {
            // Its error comes with the answer that is waited for.
            let _ = connection.await;
        });
        let session = Self { client, driver, patience };
        // The server gives up with us, and waits for no lock for longer.
        let limits = format!("SET statement_timeout = {}; {settings}", patience.as_millis());
        session.in_time(session.client.batch_execute(&limits)).await?;
        Ok(session)
    }

    /// Asks something.
    ///
    /// # Errors
    /// What the database has against it, or no answer in time.
    pub async fn ask(&self, statement: &str, params: Params<'_>) -> Result<Vec<Row>> {
        self.in_time(self.client.query_typed(statement, params)).await
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T> {
        // A second more than the server: its error says more.
        let patience = self.patience + Duration::from_secs(1);
        Ok(tokio::time::timeout(patience, answer).await.map_err(|_| Error::Timeout)??)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Is the session of no use any more?
pub fn is_lost(error: &Error) -> bool {
    match error {
        Error::Database(e) => e.as_db_error().is_none_or(|e| e.code().code().starts_with("57P")),
        _ => true,
    }
}
