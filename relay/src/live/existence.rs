//! Which matches exist. Names are asked for together, in one statement a second at most, however many there are.

use crate::db::pool::Database;
use crate::error::{Error, Result};
use foldhash::HashSet;
use moka::sync::Cache;
use prometheus_client::metrics::counter::Counter;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Between two statements.
const PAUSE: Duration = Duration::from_secs(1);

/// Names in one statement.
const MOST: usize = 10_000;

/// Names that are known to exist, and for how long: a match may be purged.
const MOST_KNOWN: u64 = 100_000;
const KNOWN_FOR: Duration = Duration::from_secs(600);

/// Which names of a batch exist; None: the database could not say.
type Found = Option<Arc<HashSet<String>>>;

/// Asks, and remembers what it has found to exist.
pub struct Existence {
    reads: Counter,
    known: Cache<String, ()>,
    next: Mutex<Batch>,
}

/// The names that the next statement asks for.
#[derive(Default)]
struct Batch {
    names: HashSet<String>,
    /// Where its answer will be. None: nobody waits for it yet.
    answer: Option<watch::Receiver<Option<Found>>>,
    last_sent_at: Option<Instant>,
}

impl Existence {
    /// `reads` counts statements.
    #[must_use]
    pub fn new(reads: Counter) -> Self {
        let known = Cache::builder().max_capacity(MOST_KNOWN).time_to_live(KNOWN_FOR).build();
        Self { reads, known, next: Mutex::default() }
    }

    fn next(&self) -> MutexGuard<'_, Batch> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody has opened the match or voted in it.
    ///
    /// # Errors
    /// [`Error::TooManyUnknown`] where too many names are asked for at once, [`Error::Unavailable`] without the database.
    pub async fn of(self: &Arc<Self>, database: &Arc<Database>, match_id: &str) -> Result<bool> {
        if self.known.contains_key(match_id) {
            return Ok(true);
        }
        let answered =
            self.enter(database, match_id)?.wait_for(Option::is_some).await.ok().and_then(|answer| answer.clone().flatten());
        let found = answered.ok_or(Error::Unavailable)?;
        Ok(found.contains(match_id))
    }

    /// Puts the name into the next batch. The first one there sees to it that the batch is sent, whoever still waits then.
    fn enter(self: &Arc<Self>, database: &Arc<Database>, match_id: &str) -> Result<watch::Receiver<Option<Found>>> {
        let mut next = self.next();
        if next.names.len() >= MOST && !next.names.contains(match_id) {
            return Err(Error::TooManyUnknown);
        }
        next.names.insert(match_id.to_owned());
        if let Some(answer) = &next.answer {
            return Ok(answer.clone());
        }
        let (told, answer) = watch::channel(None);
        next.answer = Some(answer.clone());
        let due_at = next.last_sent_at.map_or_else(Instant::now, |at| at + PAUSE);
        let (this, database) = (self.clone(), database.clone());
        tokio::spawn(async move {
            sleep_until(due_at).await;
            let names = this.take();
            this.reads.inc();
            let found =
                database.existing(&names).await.inspect_err(|e| tracing::warn!(error = %e, "not known which matches exist"));
            let found = found.ok().map(|found| {
                found.iter().for_each(|name| this.known.insert(name.clone(), ()));
                Arc::new(found)
            });
            told.send_replace(Some(found));
        });
        Ok(answer)
    }

    /// The names of the batch that is sent now. Later ones go into another.
    fn take(&self) -> Vec<String> {
        let batch = std::mem::replace(&mut *self.next(), Batch { last_sent_at: Some(Instant::now()), ..Batch::default() });
        batch.names.into_iter().collect()
    }
}
