//! The loop of one shard: which matches moved, what each of them is now, and the root that counts the difference.
//!
//! 1. `get_heads` names the matches that moved since the cursor. They are put on a list, and the cursor moves on.
//! 2. Each match of the list is read as of what the root has applied, and handed on with that. Where another puller was faster,
//!    the root says so, and the match is read again.
//! 3. A match that fails is tried again after a pause. It stops no other one, and no other shard.
//!
//! No transaction is open while something is waited for.

use crate::error::{Error, Result};
use crate::pull::config::Target;
use crate::pull::metrics::Metrics;
use crate::pull::session::{Session, is_lost};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio_postgres::types::Type;

/// How long after a failure something is tried again, at first and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// How often the root is told that the shard answers.
const NOTE_EVERY: Duration = Duration::from_millis(500);

/// How much less often a quiet shard is asked.
const QUIET: u32 = 4;

/// A pull that a crash takes back is pulled again; no fold is lost with it.
const ROOT_SETTINGS: &str = "SET synchronous_commit = off; SET default_transaction_isolation = 'read committed'";

const GET_SHARD: &str = "SELECT incarnation, match_ids, epochs, seqs FROM vote_agg.get_shard($1)";
const GET_HEADS: &str = "SELECT clock, next_cursor, whole, match_ids, epochs, seqs, purged FROM vote_agg.get_heads($1)";
const GET_ROWS: &str = "SELECT vote_agg.get_match_rows($1, $2, $3)::text";
const APPLY: &str = "SELECT outcome, next_incarnation, next_epoch, next_seq FROM vote_agg.apply_pull($1, $2, $3, $4, $5::json)";
const NOTE: &str = "SELECT vote_agg.note_shard($1, $2, $3, $4)";

/// Epoch and seq; no epoch: nothing.
type Head = (Option<String>, i64);

/// A match that is to be pulled.
struct Due {
    head: Head,
    after: Instant,
    pause: Duration,
}

impl Due {
    fn now() -> Self {
        Self { head: (None, 0), after: Instant::now(), pause: PAUSES.0 }
    }
}

/// A shard, and what the puller knows of it.
pub struct Shard {
    pub name: String,
    pub root: Target,
    pub node: Target,
    pub interval: Duration,
    pub patience: Duration,
    pub metrics: Arc<Metrics>,
    /// The root's, and how far it has applied each match.
    incarnation: i64,
    applied: HashMap<String, Head>,
    cursor: Option<String>,
    list: BTreeMap<String, Due>,
    /// What went wrong last with a match, until none waits any more.
    trouble: Option<String>,
    noted: Option<Instant>,
}

impl Shard {
    pub fn new(name: String, root: Target, node: Target, interval: Duration, patience: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            name,
            root,
            node,
            interval,
            patience,
            metrics,
            incarnation: 0,
            applied: HashMap::new(),
            cursor: None,
            list: BTreeMap::new(),
            trouble: None,
            noted: None,
        }
    }

    /// Pulls until the task is ended.
    pub async fn follow(mut self) {
        let mut pause = PAUSES.0;
        loop {
            let began = Instant::now();
            let Err(error) = self.follow_while_connected().await;
            self.metrics.failures.get_or_create(&self.label()).inc();
            tracing::warn!(shard = self.name, %error, "the shard cannot be followed at the moment");
            // A session that lasted is no reason to wait long for the next.
            pause = if began.elapsed() > PAUSES.1 { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
            if let Err(error) = self.note_trouble(&error.to_string()).await {
                tracing::warn!(shard = self.name, %error, "the root cannot be told");
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn follow_while_connected(&mut self) -> Result<std::convert::Infallible> {
        let root = Session::open(&self.root, self.patience, ROOT_SETTINGS).await?;
        let node = Session::open(&self.node, self.patience, "").await?;
        self.begin(&root).await?;
        let mut rests = 1;
        loop {
            let began = Instant::now();
            let is_news = self.look(&node, &root).await?;
            self.metrics.rounds.get_or_create(&self.label()).inc();
            rests = if is_news { 1 } else { (rests + 1).min(QUIET) };
            tokio::time::sleep((self.interval * rests).saturating_sub(began.elapsed())).await;
        }
    }

    /// Learns how far the root is.
    async fn begin(&mut self, root: &Session) -> Result<()> {
        let rows = root.ask(GET_SHARD, &[(&self.name, Type::TEXT)]).await?;
        let refuse = || Error::Config(format!("the root does not follow shard {}: SELECT vote_agg.follow(name)", self.name));
        let row = rows.first().ok_or_else(refuse)?;
        let (matches, epochs, seqs): (Vec<String>, Vec<Option<String>>, Vec<i64>) =
            (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        self.incarnation = row.try_get(0)?;
        self.applied = matches.into_iter().zip(epochs.into_iter().zip(seqs)).collect();
        // What moved before is told again: the root may have gone back.
        self.cursor = None;
        Ok(())
    }

    /// One round; returns whether anything moved.
    async fn look(&mut self, node: &Session, root: &Session) -> Result<bool> {
        let began = Instant::now();
        let clock = self.list_moved(node).await?;
        let answered = Instant::now();
        let due: Vec<String> =
            self.list.iter().filter(|(_, due)| due.after <= answered).map(|(match_id, _)| match_id.clone()).collect();
        // The shard's clock was read half a round trip before the answer came.
        let clock = clock + (answered - began) / 2;
        for match_id in &due {
            self.pull(node, root, match_id).await?;
            self.note_now_and_then(root, clock + answered.elapsed()).await?;
        }
        self.metrics.waiting.get_or_create(&self.label()).set(i64::try_from(self.list.len()).unwrap_or(i64::MAX));
        self.metrics.duration.observe(began.elapsed().as_secs_f64());
        if self.list.is_empty() {
            self.trouble = None;
        }
        self.note_now_and_then(root, clock + answered.elapsed()).await?;
        Ok(!due.is_empty())
    }

    async fn note_now_and_then(&mut self, root: &Session, clock: SystemTime) -> Result<()> {
        if self.noted.is_none_or(|noted| noted.elapsed() >= NOTE_EVERY) {
            self.note(root, Some(clock), self.trouble.clone()).await?;
        }
        Ok(())
    }

    /// Puts the matches that moved on the list; returns the shard's clock.
    async fn list_moved(&mut self, node: &Session) -> Result<SystemTime> {
        let rows = node.ask(GET_HEADS, &[(&self.cursor, Type::TEXT)]).await?;
        let row = rows.first().ok_or(Error::Gap)?;
        let (clock, whole): (SystemTime, bool) = (row.try_get(0)?, row.try_get(2)?);
        let (matches, epochs, seqs): (Vec<String>, Vec<String>, Vec<i64>) = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
        let mut moved: HashMap<String, Head> =
            matches.into_iter().zip(epochs.into_iter().map(Some).zip(seqs)).collect::<HashMap<_, _>>();
        let gone = |match_id: &String| (match_id.clone(), (None, 0));
        if whole {
            let missing = self.applied.iter().filter(|(match_id, head)| head.0.is_some() && !moved.contains_key(*match_id));
            let missing: Vec<_> = missing.map(|(match_id, _)| gone(match_id)).collect();
            moved.extend(missing);
        }
        moved.extend(row.try_get::<_, Vec<String>>(6)?.iter().map(gone));
        for (match_id, head) in moved {
            if self.applied.get(&match_id).unwrap_or(&(None, 0)) != &head {
                self.list.entry(match_id).or_insert_with(Due::now).head = head;
            }
        }
        self.cursor = Some(row.try_get(1)?);
        Ok(clock)
    }

    /// Pulls one match. One that fails is put off.
    async fn pull(&mut self, node: &Session, root: &Session, match_id: &str) -> Result<()> {
        let Err(error) = self.hand_on(node, root, match_id).await else { return Ok(()) };
        self.metrics.failures.get_or_create(&self.label()).inc();
        tracing::warn!(shard = self.name, match_id, %error, "a match of the shard cannot be pulled at the moment");
        self.trouble = Some(format!("match {match_id}: {error}"));
        if let Some(due) = self.list.get_mut(match_id) {
            due.after = Instant::now() + due.pause;
            due.pause = (due.pause * 2).min(PAUSES.1);
        }
        // What the root refused to apply as a change may be told as a whole.
        if error.is_about_a_value().is_some() && self.applied.get(match_id).is_some_and(|head| head.0.is_some()) {
            return self.hand_on_whole(node, root, match_id).await.or_else(|e| if is_lost(&e) { Err(e) } else { Ok(()) });
        }
        if is_lost(&error) { Err(error) } else { Ok(()) }
    }

    async fn hand_on(&mut self, node: &Session, root: &Session, match_id: &str) -> Result<()> {
        let (epoch, seq) = self.applied.get(match_id).cloned().unwrap_or_default();
        let rows = node.ask(GET_ROWS, &[(&match_id, Type::TEXT), (&epoch, Type::TEXT), (&seq, Type::INT8)]).await?;
        let text: String = rows.first().ok_or(Error::Gap)?.try_get(0)?;
        self.apply(root, match_id, &text).await
    }

    async fn hand_on_whole(&mut self, node: &Session, root: &Session, match_id: &str) -> Result<()> {
        let rows = node.ask(GET_ROWS, &[(&match_id, Type::TEXT), (&None::<String>, Type::TEXT), (&0i64, Type::INT8)]).await?;
        let text: String = rows.first().ok_or(Error::Gap)?.try_get(0)?;
        self.apply(root, match_id, &text).await
    }

    async fn apply(&mut self, root: &Session, match_id: &str, text: &str) -> Result<()> {
        let (epoch, seq) = self.applied.get(match_id).cloned().unwrap_or_default();
        let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 5] = [
            (&self.name, Type::TEXT),
            (&self.incarnation, Type::INT8),
            (&epoch, Type::TEXT),
            (&seq, Type::INT8),
            (&text, Type::TEXT),
        ];
        let rows = root.ask(APPLY, &params).await?;
        let row = rows.first().ok_or(Error::Gap)?;
        let outcome: String = row.try_get(0)?;
        self.incarnation = row.try_get(1)?;
        let head: Head = (row.try_get(2)?, row.try_get(3)?);
        let label = self.label();
        match outcome.as_str() {
            "applied" => self.metrics.applied.get_or_create(&label).inc(),
            "alarm" => {
                tracing::error!(shard = self.name, match_id, "the match changed there after it was final: not counted");
                self.metrics.alarms.get_or_create(&label).inc()
            }
            _ => self.metrics.behind.get_or_create(&label).inc(),
        };
        // What the shard said may be newer than what was listed.
        let is_done = outcome != "behind" || self.list.get(match_id).is_none_or(|due| due.head == head);
        self.applied.insert(match_id.to_owned(), head);
        if is_done {
            self.list.remove(match_id);
        }
        Ok(())
    }

    async fn note(&mut self, root: &Session, clock: Option<SystemTime>, error: Option<String>) -> Result<()> {
        let waiting = i64::try_from(self.list.len()).unwrap_or(i64::MAX);
        let params: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] =
            [(&self.name, Type::TEXT), (&clock, Type::TIMESTAMPTZ), (&waiting, Type::INT8), (&error, Type::TEXT)];
        let rows = root.ask(NOTE, &params).await?;
        // Their end waits for the shard, which may not have them.
        for match_id in rows.first().ok_or(Error::Gap)?.try_get::<_, Vec<String>>(0)? {
            self.list.entry(match_id).or_insert_with(Due::now);
        }
        self.noted = Some(Instant::now());
        Ok(())
    }

    /// Tells the root, over a session of its own, that the shard cannot be followed.
    async fn note_trouble(&mut self, error: &str) -> Result<()> {
        let root = Session::open(&self.root, self.patience, "").await?;
        self.note(&root, None, Some(error.to_owned())).await
    }

    fn label(&self) -> [(&'static str, String); 1] {
        [("shard", self.name.clone())]
    }
}
