//! Since when the relay has lost its database, and what its clients are told of it.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// A loss that is shorter is told to nobody: a connection that was cut is back by then.
const SHORT: Duration = Duration::from_secs(2);

/// The time since which the feed is not followed.
pub struct Staleness {
    lost: Mutex<Option<(Instant, String)>>,
    told: watch::Sender<Option<String>>,
}

impl Default for Staleness {
    /// Lost until it is found for the first time.
    fn default() -> Self {
        Self { lost: Mutex::new(Some((Instant::now(), now()))), told: watch::Sender::new(None) }
    }
}

impl Staleness {
    /// The feed is no longer followed.
    pub fn lose(&self) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| (Instant::now(), now()));
    }

    /// The feed is followed again.
    pub fn find(&self) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long it has been lost.
    #[must_use]
    pub fn lasts(&self) -> Duration {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(Duration::ZERO, |(at, _)| at.elapsed())
    }

    /// Called again and again: decides what clients are told. True: that is something new.
    pub fn look(&self) -> bool {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let since = lost.as_ref().filter(|(at, _)| at.elapsed() >= SHORT).map(|(_, since)| since.clone());
        self.told.send_if_modified(|told| {
            let is_new = *told != since;
            *told = since;
            is_new
        })
    }

    /// What clients are told: since when (RFC 3339), or None while all is well.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        self.told.borrow().clone()
    }

    /// The same, again and again.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Option<String>> {
        self.told.subscribe()
    }
}

fn now() -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_loss_is_told_to_nobody() {
        let staleness = Staleness::default();
        assert!(!staleness.look() && staleness.told().is_none());
        staleness.find();
        assert!(!staleness.look() && staleness.lasts().is_zero());
        let past = Instant::now().checked_sub(SHORT).expect("after the start of time");
        *staleness.lost.lock().expect("sound") = Some((past, now()));
        staleness.lose();
        assert!(staleness.look() && !staleness.look(), "told once");
        assert!(staleness.told().is_some_and(|since| since.ends_with('Z') && since.contains('T')));
        assert!(staleness.lasts() >= SHORT);
        staleness.find();
        assert!(staleness.look() && staleness.told().is_none());
    }

    #[test]
    fn a_loss_begins_once() {
        let staleness = Staleness::default();
        staleness.find();
        let lost = || staleness.lost.lock().expect("sound").clone();
        assert!(lost().is_none());
        staleness.lose();
        let first = lost();
        staleness.lose();
        assert!(first.is_some() && lost() == first);
    }
}
