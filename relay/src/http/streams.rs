//! The event streams that are open: counted, and ended by the subject of their token.

use foldhash::HashMap;
use prometheus_client::metrics::gauge::Gauge;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio::sync::SetOnce;

/// All of them.
#[derive(Default)]
pub struct Streams(Mutex<Open>);

#[derive(Default)]
struct Open {
    last: u64,
    streams: HashMap<u64, Weak<OpenStream>>,
}

/// One of them, as long as it is open.
pub struct OpenStream {
    all: Arc<Streams>,
    number: u64,
    subject: Option<String>,
    gauge: Gauge,
    kicked: SetOnce<()>,
}

impl Streams {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream of a client whose token names this subject, if any.
    #[must_use]
    pub fn add(self: &Arc<Self>, subject: Option<String>, gauge: Gauge) -> Arc<OpenStream> {
        gauge.inc();
        let mut open = self.open();
        open.last += 1;
        let number = open.last;
        let stream = Arc::new(OpenStream { all: self.clone(), number, subject, gauge, kicked: SetOnce::new() });
        open.streams.insert(number, Arc::downgrade(&stream));
        stream
    }

    /// Ends all streams of the subject; how many.
    pub fn kick(&self, subject: &str) -> usize {
        // The last owner of a stream locks when it drops it: these outlive the lock.
        let open: Vec<_> = self.open().streams.values().filter_map(Weak::upgrade).collect();
        let theirs = open.iter().filter(|stream| stream.subject.as_deref() == Some(subject));
        theirs.filter(|stream| stream.kicked.set(()).is_ok()).count()
    }
}

impl OpenStream {
    /// Whether it must end.
    #[must_use]
    pub fn is_kicked(&self) -> bool {
        self.kicked.initialized()
    }

    /// Waits until it must end.
    pub async fn kicked(&self) {
        self.kicked.wait().await;
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.gauge.dec();
        self.all.open().streams.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_counted_and_ended_by_subject() {
        let (all, gauge) = (Arc::new(Streams::default()), Gauge::default());
        let subjects = [Some("ann"), Some("bob"), None, Some("ann"), Some("")];
        let mut streams: Vec<_> = subjects.iter().map(|subject| all.add(subject.map(Into::into), gauge.clone())).collect();
        assert_eq!((gauge.get(), all.kick("ann"), all.kick("ann"), all.kick("eve")), (5, 2, 0, 0));
        assert_eq!(streams.iter().map(|stream| stream.is_kicked()).collect::<Vec<_>>(), [true, false, false, true, false]);
        streams.truncate(1);
        let known = all.open().streams.len();
        assert_eq!((gauge.get(), known, all.kick("bob")), (1, 1, 0));
    }
}
