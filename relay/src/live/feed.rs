//! Following the feed: a ring, a look, and what is found is applied.
//!
//! What changed comes from the feed, past what each match has; never from the notification.
//!
//! The session has a thread of its own, which sleeps between two looks. A runtime that watches a session is woken by every
//! notification, and for most of them that would cost more than all the rest.

use crate::db::address::shown;
use crate::db::listen::{self, Channel, Doorbell, Line, Session};
use crate::db::pool::patiently;
use crate::db::statements::Sql;
use crate::error::Result;
use crate::live::hub::{Hub, LOOK, PART};
use foldhash::{HashSet, HashSetExt};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_postgres::Client;

/// Looks are at least this far apart, however often the bell rings: half a fold's interval by default.
const GAP: Duration = Duration::from_millis(50);

/// And this far while the bell rings for nothing.
const LONG_GAP: Duration = Duration::from_millis(200);

/// Looks at a match are at most this far apart, though the bell be silent: if there are at most [`LOOK`] matches.
const SLOW_POLL: Duration = Duration::from_secs(2);

/// Such looks are at some matches at a time, since the next ring waits for them. So many of them make one of [`SLOW_POLL`].
const MOST_PARTS: usize = LOOK / PART;

/// Between two checks that the session still listens.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// The longest pause between two tries to connect.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Follows the feed until what is returned is dropped.
///
/// # Errors
/// [`Error::Io`](crate::error::Error::Io) where the system has no thread left.
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
        let Err(e) = follow_until_lost(hub).await else { continue };
        hub.metrics.listening.set(0);
        hub.staleness.lose();
        hub.metrics.reconnects.inc();
        failures = if started.elapsed() > MAX_PAUSE * 2 { 1 } else { failures + 1 };
        let pause = pause(failures);
        let database = shown(&hub.database.postgres);
        tracing::warn!(error = %e, database, retry_in_ms = pause.as_millis() as u64, "not following the feed");
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

async fn follow_until_lost(hub: &Arc<Hub>) -> Result<()> {
    let mut session = Session::connect(&hub.database, format!("vote_agg_relay_{:016x}", chance())).await?;
    let followed = follow(hub, &mut session).await;
    hub.freshness.distrust(session.line.doorbell.drain().rung);
    followed
}

async fn follow(hub: &Arc<Hub>, Session { client, line }: &mut Session) -> Result<()> {
    // LISTEN comes first, then the first look: what is folded between the two rings.
    let channel = line.until(patiently(Channel::find(client, hub.config.channel.as_deref()))).await?;
    let listen = format!("LISTEN {}; LISTEN {}", channel.quoted, line.own);
    line.until(patiently(async { Ok(client.batch_execute(&listen).await?) })).await?;
    hub.database.forget();
    let sql = line.until(patiently(Sql::find(client))).await?;
    call_oneself(hub, line).await?;
    hub.freshness.distrust_all();
    tracing::info!(channel = channel.name, "following the feed");
    hub.staleness.find();
    hub.metrics.listening.set(1);

    compare(hub, client, line, &sql, hub.loaded_matches()).await?;
    let (mut heartbeat, mut compared, mut looked) = (Instant::now(), Instant::now(), Instant::now());
    let (mut gap, mut due) = (GAP, Due::All);
    let (mut turn, mut compare_turn, mut slow_poll) = (0, 0, SLOW_POLL);
    loop {
        let began = Instant::now();
        let Doorbell { is_unclear, rung, .. } = line.doorbell.drain();
        let has_rung = due.add(hub, is_unclear, &rung);
        hub.freshness.distrust(rung);
        hub.retry();
        if looked.elapsed() >= slow_poll {
            (looked, turn) = (began, turn + 1);
            let (some, parts) = hub.some(turn, PART);
            due.add_names(some);
            slow_poll = SLOW_POLL / parts.min(MOST_PARTS) as u32;
        }
        let matches = std::mem::take(&mut due).matches(hub);
        let has_found = !matches.is_empty() && look(hub, client, line, &sql, &matches).await?;
        // Matches that were just loaded have rarely changed since. No other match waits for that.
        gap = if has_found || !has_rung { GAP } else { LONG_GAP.min(gap * 2) };
        if compared.elapsed() >= SLOW_POLL {
            (compared, compare_turn) = (Instant::now(), compare_turn + 1);
            compare(hub, client, line, &sql, hub.some(compare_turn, PART).0).await?;
        }
        if heartbeat.elapsed() >= HEARTBEAT {
            heartbeat = Instant::now();
            line.until(channel.check(client)).await?;
        }
        std::thread::sleep(gap.saturating_sub(began.elapsed()));
        let expected = async {
            tokio::select! {
                rung = line.until_ring() => rung,
                () = hub.loaded.wait() => Ok(()),
            }
        };
        // Silence is no news either: then it is time for a look anyway.
        if let Ok(came) = timeout(slow_poll, expected).await {
            came?;
        }
        due.add_names(hub.loaded.drain());
        hub.metrics.doorbells.inc_by(u64::from(line.doorbell.has_rung));
    }
}

/// The matches that the next look is about: those that rang, and are followed.
enum Due {
    All,
    Some(HashSet<String>),
}

impl Default for Due {
    fn default() -> Self {
        Self::Some(HashSet::new())
    }
}

impl Due {
    /// Adds what rang. True: somebody follows it.
    fn add(&mut self, hub: &Hub, is_unclear: bool, rung: &HashSet<String>) -> bool {
        if is_unclear {
            *self = Self::All;
        }
        let followed: Vec<_> = rung.iter().filter(|match_id| hub.followed(match_id).is_some()).cloned().collect();
        let has_rung = is_unclear || !followed.is_empty();
        self.add_names(followed);
        has_rung
    }

    fn add_names(&mut self, names: impl IntoIterator<Item = String>) {
        if let Self::Some(due) = self {
            due.extend(names);
        }
    }

    fn matches(self, hub: &Hub) -> Vec<String> {
        match self {
            Self::All => hub.loaded_matches(),
            Self::Some(due) => due.into_iter().collect(),
        }
    }
}

/// Notifies itself through another session, and waits until it hears that.
async fn call_oneself(hub: &Arc<Hub>, line: &mut Line) -> Result<()> {
    let (own, database) = (line.own.clone(), hub.database.clone());
    line.until(hub.serve(async move { listen::call(&database, &own).await })).await??;
    line.until_heard().await
}

/// Reads the feed of these matches and applies it. True: there was something.
async fn look(hub: &Arc<Hub>, client: &Client, line: &mut Line, sql: &Sql, matches: &[String]) -> Result<bool> {
    let mut has_found = false;
    for part in matches.chunks(LOOK) {
        let (matches, since) = hub.cursors(part.to_vec());
        if matches.is_empty() {
            continue;
        }
        hub.metrics.polls.inc();
        let changes = line.until(patiently(sql.changes(client, &matches, &since))).await?;
        if !changes.is_empty() {
            has_found = true;
            let this = hub.clone();
            hub.serve(async move { this.apply(changes).await }).await?;
        }
    }
    Ok(has_found)
}

async fn compare(hub: &Arc<Hub>, client: &Client, line: &mut Line, sql: &Sql, matches: Vec<String>) -> Result<()> {
    if !matches.is_empty() {
        hub.compare(line.until(patiently(sql.heads(client, &matches))).await?);
    }
    Ok(())
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
}
