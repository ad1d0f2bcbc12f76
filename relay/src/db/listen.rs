//! The session that listens.
//!
//! A notification is a doorbell: it says when to look, never what is there. So a forged notification costs one look, and a
//! missing one costs no more than the time to the next.

use crate::db::pool::{Database, patiently};
use crate::error::{Error, Result};
use foldhash::HashSet;
use futures_util::FutureExt;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use tokio::time::timeout;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long the session has to show that it listens.
const PATIENCE: Duration = Duration::from_secs(5);

/// Names of matches kept between two looks. With more than these the doorbell is unclear: any match may have changed.
const MAX_RUNG: usize = 10_000;

/// The matches that rang since the doorbell was last drained.
#[derive(Default)]
pub struct Doorbell {
    pub has_rung: bool,
    /// A notification named no match, or there were too many names.
    pub is_unclear: bool,
    pub rung: HashSet<String>,
}

#[derive(serde::Deserialize)]
struct Payload {
    #[serde(rename = "match")]
    match_id: String,
}

impl Doorbell {
    fn ring(&mut self, payload: &str) {
        self.has_rung = true;
        match serde_json::from_str::<Payload>(payload) {
            Ok(payload) if self.rung.len() <= MAX_RUNG => drop(self.rung.insert(payload.match_id)),
            _ => self.is_unclear = true,
        }
    }

    /// What rang, which is then forgotten.
    pub fn drain(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// The session that listens. It is read only while something is expected of it: notifications that come in the pauses
/// between looks wait in the socket, and are then read all at once.
pub struct Session {
    pub client: Client,
    pub line: Line,
}

impl Session {
    /// Connects, and listens to nothing yet. `own` is the channel on which the relay calls itself.
    ///
    /// # Errors
    /// What the database has against it, or no answer in time.
    pub async fn connect(database: &Database, own: String) -> Result<Self> {
        let connect = async { Ok(database.postgres.connect(database.tls.clone()).await?) };
        let (client, connection) = patiently(connect).await?;
        Ok(Self { client, line: Line { connection, doorbell: Doorbell::default(), own, is_heard: false } })
    }
}

/// The connection of the session, and what came over it.
pub struct Line {
    connection: Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>,
    pub doorbell: Doorbell,
    pub own: String,
    is_heard: bool,
}

impl Line {
    /// Reads until something rang.
    ///
    /// # Errors
    /// When the connection ended.
    pub async fn until_ring(&mut self) -> Result<()> {
        while !self.doorbell.has_rung {
            self.next().await?;
        }
        // Notifications that are there already are no reason for another look.
        while let Some(received) = self.next().now_or_never() {
            received?;
        }
        Ok(())
    }

    /// Reads until there is an answer.
    ///
    /// # Errors
    /// When the connection ended, or what the answer ended with.
    pub async fn until<T>(&mut self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                received = self.next() => received?,
            }
        }
    }

    /// Reads until the relay's own call is heard. Behind a transaction pooler LISTEN succeeds, and nothing is ever heard.
    ///
    /// # Errors
    /// [`Error::NotListening`] when it is not heard in time.
    pub async fn until_heard(&mut self) -> Result<()> {
        let heard = async {
            while !self.is_heard {
                self.next().await?;
            }
            Ok(())
        };
        timeout(PATIENCE, heard).await.map_err(|_| Error::NotListening)?
    }

    async fn next(&mut self) -> Result<()> {
        match std::future::poll_fn(|cx| self.connection.poll_message(cx)).await.ok_or(Error::Unavailable)?? {
            AsyncMessage::Notification(notification) if notification.channel() == self.own => self.is_heard = true,
            AsyncMessage::Notification(notification) => self.doorbell.ring(notification.payload()),
            AsyncMessage::Notice(notice) => tracing::debug!(%notice, "notice"),
            _ => {}
        }
        Ok(())
    }
}

/// Rings on the channel `own`, from a session of the pool.
///
/// # Errors
/// What the database has against it, or no answer in time.
pub async fn call(database: &Database, own: &str) -> Result<()> {
    let params: [(&(dyn ToSql + Sync), Type); 1] = [(&own, Type::TEXT)];
    database.call(|_| "SELECT pg_catalog.pg_notify($1, '')".to_owned(), &params).await.map(drop)
}

/// The channel that folds notify.
pub struct Channel {
    pub name: String,
    pub quoted: String,
}

impl Channel {
    /// The one given, else the database's setting.
    ///
    /// # Errors
    /// What the database has against it.
    pub async fn find(client: &Client, given: Option<&str>) -> Result<Self> {
        let row = client
            .query_typed(
                "SELECT c.name, pg_catalog.quote_ident(c.name) FROM coalesce(
                     $1, nullif(pg_catalog.current_setting('vote_agg.channel', true), ''), 'vote_agg') AS c(name)",
                &[(&given, Type::TEXT)],
            )
            .await?;
        let row = row.first().ok_or(Error::Unavailable)?;
        Ok(Self { name: row.get(0), quoted: row.get(1) })
    }

    /// Whether the session still listens to it.
    ///
    /// # Errors
    /// [`Error::NotListening`], or no answer in time.
    pub async fn check(&self, client: &Client) -> Result<()> {
        let listens = "SELECT 1 FROM pg_catalog.pg_listening_channels() AS c(name) WHERE c.name = $1";
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&self.name, Type::TEXT)];
        let rows = timeout(PATIENCE, client.query_typed(listens, &params)).await.map_err(|_| Error::Timeout)??;
        if rows.is_empty() { Err(Error::NotListening) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_rings_too_but_is_not_kept() {
        let mut bell = Doorbell::default();
        for payload in ["", "{", "[]", "{\"match\":1}", "{\"match\":\"m\"}", "{\"match\":\"m\",\"seq\":9}"] {
            bell.ring(payload);
        }
        let rung = bell.drain();
        assert!(rung.has_rung && rung.is_unclear);
        assert_eq!(rung.rung.into_iter().collect::<Vec<_>>(), ["m"]);
        bell.ring("{\"match\":\"m\"}");
        assert!(!bell.drain().is_unclear);
        (0..MAX_RUNG * 2).for_each(|n| bell.ring(&format!("{{\"match\":\"{n}\"}}")));
        let rung = bell.drain();
        assert_eq!((rung.rung.len(), rung.is_unclear), (MAX_RUNG + 1, true));
        assert!(!bell.has_rung && bell.rung.is_empty());
    }
}
