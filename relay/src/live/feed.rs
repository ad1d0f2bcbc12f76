//! The session that listens, and reads the feed.
//!
//! A notification is a doorbell: it says when to look, never what is there. What is there comes from the feed, past what
//! each match has. So a forged notification costs one look, and a missing one costs no more than the time to the next.
//!
//! The session has a thread of its own, which sleeps between two looks. A runtime that watches a session is woken by every
//! notification, and for most of them that would cost more than all the rest.

use crate::config::Config;
use crate::db::database::{Sql, patiently};
use crate::error::{Error, Result};
use crate::live::hub::Hub;
use foldhash::HashSet;
use futures_util::FutureExt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Connection, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Looks are at least this far apart, however often the bell rings: half a fold's interval by default.
const GAP: Duration = Duration::from_millis(50);

/// And this far while they find nothing.
const LONG_GAP: Duration = Duration::from_millis(200);

/// Looks are at most this far apart, though the bell be silent.
const SLOW_POLL: Duration = Duration::from_secs(2);

/// Between two checks that the session still listens.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The longest pause between two tries to connect.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Names of matches kept between two looks; more than these means that nothing remembered of any match is trusted.
const MAX_RUNG: usize = 10_000;

/// What rang since it was last asked.
#[derive(Default)]
struct Doorbell {
    has_rung: bool,
    /// One did not say for which match.
    is_unclear: bool,
    rung: HashSet<String>,
}

#[derive(serde::Deserialize)]
struct About {
    #[serde(rename = "match")]
    match_id: String,
}

impl Doorbell {
    fn ring(&mut self, payload: &str) {
        self.has_rung = true;
        match serde_json::from_str::<About>(payload) {
            Ok(about) if self.rung.len() <= MAX_RUNG => drop(self.rung.insert(about.match_id)),
            _ => self.is_unclear = true,
        }
    }

    fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// The session that listens, read only while something is expected of it: notifications that come in the pauses between looks
/// wait in the socket, and are then taken all at once.
struct Session {
    client: Client,
    line: Line,
}

struct Line {
    connection: Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>,
    doorbell: Doorbell,
    /// The channel on which the relay calls itself.
    own: String,
    is_heard: bool,
}

impl Line {
    /// Takes what has come, until something rang.
    async fn until_ring(&mut self) -> Result<()> {
        while !self.doorbell.has_rung {
            self.next().await?;
        }
        // What else is there already is no reason for another look.
        while let Some(received) = self.next().now_or_never() {
            received?;
        }
        Ok(())
    }

    /// Takes what comes until there is an answer.
    async fn until<T>(&mut self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                received = self.next() => received?,
            }
        }
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

/// Follows the feed until what is returned is dropped.
///
/// # Errors
/// [`Error::Io`] where the system has no thread left.
pub fn start(hub: Arc<Hub>) -> Result<oneshot::Sender<()>> {
    let own = Builder::new_current_thread().enable_all().build()?;
    let (following, dropped) = oneshot::channel();
    let work = move || {
        own.block_on(async {
            tokio::select! {
                () = run(&hub) => {}
                _ = dropped => {}
            }
        });
    };
    std::thread::Builder::new().name("feed".to_owned()).spawn(work)?;
    Ok(following)
}

/// Connects, and connects again.
async fn run(hub: &Arc<Hub>) {
    let mut failures = 0u32;
    loop {
        let started = Instant::now();
        let Err(e) = listen(hub).await else { continue };
        hub.metrics.listening.set(0);
        hub.metrics.reconnects.inc();
        failures = if started.elapsed() > MAX_PAUSE * 2 { 1 } else { failures + 1 };
        let pause = pause(failures);
        tracing::warn!(error = %e, retry_in_ms = pause.as_millis() as u64, "not following the feed");
        tokio::time::sleep(pause).await;
    }
}

/// Twice as long each time, of which up to half is left to chance, so that relays don't come back all at once.
fn pause(failures: u32) -> Duration {
    let longest = (Duration::from_millis(100) * 2u32.saturating_pow(failures.min(10))).min(MAX_PAUSE);
    longest / 2 + longest / 2 * u32::try_from(chance() % 1_000).unwrap_or(0) / 1_000
}

/// A number that no other relay has at the moment.
fn chance() -> u64 {
    std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0)
}

async fn listen(hub: &Arc<Hub>) -> Result<()> {
    let connect = async { Ok(hub.database.postgres.connect(hub.database.tls.clone()).await?) };
    let (client, connection) = patiently(connect).await?;
    let own = format!("vote_agg_relay_{:016x}", chance());
    let mut session = Session { client, line: Line { connection, doorbell: Doorbell::default(), own, is_heard: false } };
    let followed = follow(hub, &mut session).await;
    hub.cache.distrust(session.line.doorbell.take().rung);
    followed
}

async fn follow(hub: &Arc<Hub>, Session { client, line }: &mut Session) -> Result<()> {
    // LISTEN comes first, then the first look: what is folded between the two rings.
    let channel = line.until(patiently(channel(client, &hub.config))).await?;
    let listen = format!("LISTEN {}; LISTEN {}", channel.quoted, line.own);
    line.until(patiently(async { Ok(client.batch_execute(&listen).await?) })).await?;
    hub.database.forget();
    let sql = line.until(patiently(Sql::find(client))).await?;
    call_oneself(hub, line).await?;
    hub.cache.distrust_all();
    tracing::info!(channel = channel.name, "following the feed");
    hub.metrics.listening.set(1);

    compare(hub, client, line, &sql, hub.cursors().0).await?;
    let (mut heartbeat, mut compared, mut looked) = (Instant::now(), Instant::now(), Instant::now());
    let (mut is_due, mut gap, mut turn) = (true, GAP, 0);
    loop {
        let began = Instant::now();
        let Doorbell { is_unclear, rung, .. } = line.doorbell.take();
        is_due |= is_unclear || looked.elapsed() >= SLOW_POLL || rung.iter().any(|match_id| hub.followed(match_id).is_some());
        hub.cache.distrust(rung);
        hub.retry();
        if is_due {
            looked = began;
            gap = if look(hub, client, line, &sql).await? { GAP } else { LONG_GAP.min(gap * 2) };
        } else {
            gap = GAP;
        }
        if compared.elapsed() >= SLOW_POLL {
            (compared, turn) = (Instant::now(), turn + 1);
            compare(hub, client, line, &sql, hub.some(turn)).await?;
        }
        if heartbeat.elapsed() >= HEARTBEAT {
            heartbeat = Instant::now();
            line.until(check(client, &channel.name)).await?;
        }
        std::thread::sleep(gap.saturating_sub(began.elapsed()));
        let expected = async {
            tokio::select! {
                rung = line.until_ring() => rung.map(|()| false),
                () = hub.loaded.notified() => Ok(true),
            }
        };
        // Silence is no news either: then it is time for a look anyway.
        match timeout(SLOW_POLL, expected).await {
            Ok(has_loaded) => is_due = has_loaded?,
            Err(_) => is_due = true,
        }
        hub.metrics.doorbells.inc_by(u64::from(line.doorbell.has_rung));
    }
}

/// Notifies itself through another session. Behind a transaction pooler LISTEN succeeds, and nothing is ever heard.
async fn call_oneself(hub: &Arc<Hub>, line: &mut Line) -> Result<()> {
    let (own, database) = (line.own.clone(), hub.clone());
    let call = async move {
        let params: [(&(dyn ToSql + Sync), Type); 1] = [(&own, Type::TEXT)];
        database.database.call(|_| "SELECT pg_catalog.pg_notify($1, '')".to_owned(), &params).await
    };
    line.until(hub.serve(call)).await??;
    let heard = async {
        while !line.is_heard {
            line.next().await?;
        }
        Ok(())
    };
    timeout(HEARTBEAT / 2, heard).await.map_err(|_| Error::NotListening)?
}

/// True: there was something.
async fn look(hub: &Arc<Hub>, client: &Client, line: &mut Line, sql: &Sql) -> Result<bool> {
    let (matches, since) = hub.cursors();
    if matches.is_empty() {
        return Ok(true);
    }
    hub.metrics.polls.inc();
    let changes = line.until(patiently(sql.changes(client, &matches, &since))).await?;
    let has_found = !changes.is_empty();
    if has_found {
        let this = hub.clone();
        hub.serve(async move { this.apply(changes).await }).await?;
    }
    Ok(has_found)
}

async fn compare(hub: &Arc<Hub>, client: &Client, line: &mut Line, sql: &Sql, matches: Vec<String>) -> Result<()> {
    if !matches.is_empty() {
        hub.compare(line.until(patiently(sql.heads(client, &matches))).await?);
    }
    Ok(())
}

async fn check(client: &Client, channel: &str) -> Result<()> {
    let listens = "SELECT 1 FROM pg_catalog.pg_listening_channels() AS c(name) WHERE c.name = $1";
    let params: [(&(dyn ToSql + Sync), Type); 1] = [(&channel, Type::TEXT)];
    let rows = timeout(HEARTBEAT / 2, client.query_typed(listens, &params)).await.map_err(|_| Error::Timeout)??;
    if rows.is_empty() { Err(Error::NotListening) } else { Ok(()) }
}

struct Channel {
    name: String,
    quoted: String,
}

async fn channel(client: &Client, config: &Config) -> Result<Channel> {
    let row = client
        .query_typed(
            "SELECT c.name, pg_catalog.quote_ident(c.name) FROM coalesce(
                 $1, nullif(pg_catalog.current_setting('vote_agg.channel', true), ''), 'vote_agg') AS c(name)",
            &[(&config.channel, Type::TEXT)],
        )
        .await?;
    let row = row.first().ok_or(Error::Unavailable)?;
    Ok(Channel { name: row.get(0), quoted: row.get(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_bound_and_differ() {
        for failures in 1..100 {
            let pause = pause(failures);
            assert!(pause >= Duration::from_millis(100) && pause <= MAX_PAUSE, "{pause:?}");
        }
        assert!(pause(9) >= MAX_PAUSE / 2);
        assert!((0..50).map(|_| pause(9)).collect::<std::collections::HashSet<_>>().len() > 10);
    }

    #[test]
    fn garbage_rings_too_but_is_not_kept() {
        let mut bell = Doorbell::default();
        for payload in ["", "{", "[]", "{\"match\":1}", "{\"match\":\"m\"}", "{\"match\":\"m\",\"seq\":9}"] {
            bell.ring(payload);
        }
        let rung = bell.take();
        assert!(rung.has_rung && rung.is_unclear);
        assert_eq!(rung.rung.into_iter().collect::<Vec<_>>(), ["m"]);
        bell.ring("{\"match\":\"m\"}");
        assert!(!bell.take().is_unclear);
        (0..MAX_RUNG * 2).for_each(|n| bell.ring(&format!("{{\"match\":\"{n}\"}}")));
        let rung = bell.take();
        assert_eq!((rung.rung.len(), rung.is_unclear), (MAX_RUNG + 1, true));
        assert!(!bell.has_rung && bell.rung.is_empty());
    }
}
