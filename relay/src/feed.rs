//! The session that listens, and reads the feed.
//!
//! A notification is a doorbell: it says when to look, never what is there. What is there comes from the feed, past what
//! each match has. So a forged notification costs one look, and a missing one costs no more than the time to the next.

use crate::config::Config;
use crate::database::{Sql, patiently};
use crate::error::{Error, Result};
use crate::hub::Hub;
use foldhash::{HashSet, HashSetExt};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client};

/// Looks are at least this far apart, however often the bell rings: half a fold's interval by default.
const GAP: Duration = Duration::from_millis(50);

/// Looks are at most this far apart, though the bell be silent.
const SLOW_POLL: Duration = Duration::from_secs(2);

/// Between two checks that the session still listens.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The longest pause between two tries to connect.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Names of matches kept between two looks; more than these means that nothing remembered of any match is trusted.
const MAX_RUNG: usize = 10_000;

/// What rang since the last look.
#[derive(Default)]
struct Doorbell {
    ring: Notify,
    rung: Mutex<HashSet<String>>,
}

#[derive(serde::Deserialize)]
struct About {
    #[serde(rename = "match")]
    match_id: String,
}

impl Doorbell {
    fn rung(&self, payload: &str) {
        if let Ok(about) = serde_json::from_str::<About>(payload) {
            let mut rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
            if rung.len() <= MAX_RUNG {
                rung.insert(about.match_id);
            }
        }
        self.ring.notify_one();
    }

    fn take(&self) -> HashSet<String> {
        std::mem::replace(&mut *self.rung.lock().unwrap_or_else(PoisonError::into_inner), HashSet::new())
    }
}

/// Follows the feed for ever: connects, and connects again.
pub async fn run(hub: Arc<Hub>) {
    let mut failures = 0u32;
    loop {
        let started = Instant::now();
        let Err(e) = listen(&hub).await else { continue };
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
    let chance = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), failures) % 1_000;
    longest / 2 + longest / 2 * u32::try_from(chance).unwrap_or(0) / 1_000
}

async fn listen(hub: &Arc<Hub>) -> Result<()> {
    let (client, mut connection) =
        patiently(async { Ok(hub.database.postgres.connect(hub.database.tls.clone()).await?) }).await?;
    let doorbell = Arc::new(Doorbell::default());
    let bell = doorbell.clone();
    let session = tokio::spawn(async move {
        loop {
            match std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                Some(Ok(AsyncMessage::Notification(notification))) => bell.rung(notification.payload()),
                Some(Ok(AsyncMessage::Notice(notice))) => tracing::debug!(%notice, "notice"),
                Some(Ok(_)) => {}
                Some(Err(e)) => break Some(e),
                None => break None,
            }
        }
    });
    let followed = tokio::select! {
        followed = follow(hub, &client, &doorbell) => followed,
        ended = session => match ended {
            Ok(Some(e)) => Err(e.into()),
            _ => Err(Error::Unavailable),
        },
    };
    hub.cache.distrust(doorbell.take());
    followed
}

async fn follow(hub: &Arc<Hub>, client: &Client, doorbell: &Doorbell) -> Result<()> {
    // LISTEN comes first, then the first look: what is folded between the two rings.
    let channel = patiently(channel(client, &hub.config)).await?;
    patiently(async { Ok(client.batch_execute(&format!("LISTEN {}", channel.quoted)).await?) }).await?;
    hub.database.forget();
    let sql = patiently(Sql::find(client)).await?;
    hub.cache.distrust_all();
    tracing::info!(channel = channel.name, "following the feed");
    hub.metrics.listening.set(1);

    let (matches, _) = hub.cursors();
    if !matches.is_empty() {
        hub.compare(patiently(sql.heads(client, &matches)).await?);
    }
    let mut heartbeat = Instant::now();
    loop {
        let looked = Instant::now();
        hub.cache.distrust(doorbell.take());
        hub.retry();
        look(hub, client, &sql).await?;
        if heartbeat.elapsed() >= HEARTBEAT {
            heartbeat = Instant::now();
            check(client, &channel.name).await?;
        }
        tokio::time::sleep_until(looked + GAP).await;
        // Silence is no news either: then it is time for a look anyway.
        if timeout(SLOW_POLL, doorbell.ring.notified()).await.is_ok() {
            hub.metrics.doorbells.inc();
        }
    }
}

async fn look(hub: &Arc<Hub>, client: &Client, sql: &Sql) -> Result<()> {
    let (matches, since) = hub.cursors();
    if matches.is_empty() {
        return Ok(());
    }
    hub.metrics.polls.inc();
    let changes = patiently(sql.changes(client, &matches, &since)).await?;
    hub.apply(changes).await;
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
        let bell = Doorbell::default();
        for payload in ["", "{", "[]", "{\"match\":1}", "{\"match\":\"m\"}", "{\"match\":\"m\",\"seq\":9}"] {
            bell.rung(payload);
        }
        assert_eq!(bell.take().into_iter().collect::<Vec<_>>(), ["m"]);
        (0..MAX_RUNG * 2).for_each(|n| bell.rung(&format!("{{\"match\":\"{n}\"}}")));
        assert_eq!(bell.take().len(), MAX_RUNG + 1);
        assert!(bell.take().is_empty());
    }
}
