//! Waiting for a lock that others hold, or for one of few sessions. It is no work of the one who waits.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The time that one request has waited.
#[derive(Default)]
pub struct Waiting(AtomicU64);

impl Waiting {
    /// Waits, and counts how long.
    pub async fn wait<T>(&self, until: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let value = until.await;
        self.0.fetch_add(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        value
    }

    /// How long it was.
    #[must_use]
    pub fn waited(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}
