//! Replaces what should never end.

use std::future::Future;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Before another one takes the place of one that ended.
const PAUSE: Duration = Duration::from_millis(100);

/// Keeps `count` of these running, for ever. Where one ends or panics, `ended` hears of it, and another one begins.
pub async fn keep<F: Future<Output = ()> + Send + 'static>(count: usize, make: impl Fn() -> F, ended: impl Fn()) {
    let mut running = JoinSet::new();
    for _ in 0..count {
        running.spawn(make());
    }
    while let Some(end) = running.join_next().await {
        tracing::error!(has_panicked = end.is_err(), "a sender of votes has ended; another one takes its place");
        ended();
        sleep(PAUSE).await;
        running.spawn(make());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn what_ends_is_replaced() {
        let (begun, ended, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let make = {
            let (begun, enough) = (begun.clone(), enough.clone());
            move || {
                let (number, enough) = (begun.fetch_add(1, Ordering::SeqCst), enough.clone());
                async move {
                    match number {
                        0 => std::panic::resume_unwind(Box::new("a sender panics")),
                        1 | 2 => {}
                        _ => {
                            enough.add_permits(1);
                            std::future::pending().await
                        }
                    }
                }
            }
        };
        let count = ended.clone();
        let keeper = tokio::spawn(keep(2, make, move || {
            count.fetch_add(1, Ordering::SeqCst);
        }));
        drop(enough.acquire_many(2).await.expect("two run in the end"));
        assert_eq!((begun.load(Ordering::SeqCst), ended.load(Ordering::SeqCst)), (5, 3));
        keeper.abort();
    }
}
