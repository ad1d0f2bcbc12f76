//! What the relay counts, in the form that Prometheus reads.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type Label = [(&'static str, &'static str); 1];

/// Counters and gauges. No label names a match or a client: their number has no bound.
pub struct Metrics {
    registry: Registry,
    pub clients: Gauge,
    pub matches: Gauge,
    pub messages: Counter,
    pub bytes: Counter,
    pub undelivered: Counter,
    pub lag: Histogram,
    pub joins: Counter,
    pub snapshots: Counter,
    pub refused: Family<Label, Counter>,
    pub slow: Counter,
    pub behind: Gauge,
    pub slow_resumed: Counter,
    pub slow_closed: Counter,
    pub reads: Counter,
    pub doorbells: Counter,
    pub polls: Counter,
    pub cursor: Gauge,
    pub listening: Gauge,
    pub reconnects: Counter,
    pub resyncs: Counter,
    pub cache_hits: Counter,
    pub cache_misses: Counter,
    pub cache_invalidations: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let lag = Histogram::new([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0]);
        let mut metrics = Self {
            registry: Registry::default(),
            clients: Gauge::default(),
            matches: Gauge::default(),
            messages: Counter::default(),
            bytes: Counter::default(),
            undelivered: Counter::default(),
            lag,
            joins: Counter::default(),
            snapshots: Counter::default(),
            refused: Family::default(),
            slow: Counter::default(),
            behind: Gauge::default(),
            slow_resumed: Counter::default(),
            slow_closed: Counter::default(),
            reads: Counter::default(),
            doorbells: Counter::default(),
            polls: Counter::default(),
            cursor: Gauge::default(),
            listening: Gauge::default(),
            reconnects: Counter::default(),
            resyncs: Counter::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            cache_invalidations: Counter::default(),
        };
        let m = &mut metrics;
        let r = &mut m.registry;
        r.register("vote_relay_clients", "Clients connected", m.clients.clone());
        r.register("vote_relay_matches", "Matches followed, in memory", m.matches.clone());
        r.register("vote_relay_messages", "Messages sent, each client's counted", m.messages.clone());
        r.register("vote_relay_bytes", "Bytes of payload sent, each client's counted", m.bytes.clone());
        r.register("vote_relay_undelivered", "Broadcasts that did not reach everybody", m.undelivered.clone());
        r.register("vote_relay_lag_seconds", "From the start of a fold to the sockets", m.lag.clone());
        r.register("vote_relay_joins", "Joins", m.joins.clone());
        r.register("vote_relay_snapshots", "Snapshots encoded, each for everybody who needs it", m.snapshots.clone());
        r.register("vote_relay_refused", "What was refused, by reason", m.refused.clone());
        r.register("vote_relay_slow", "Times a client fell behind", m.slow.clone());
        r.register("vote_relay_behind", "Clients that are behind", m.behind.clone());
        r.register("vote_relay_slow_resumed", "Times a slow client was caught up by a snapshot", m.slow_resumed.clone());
        r.register("vote_relay_slow_closed", "Slow clients disconnected", m.slow_closed.clone());
        r.register("vote_relay_reads", "Matches and HTTP answers read from the database", m.reads.clone());
        r.register("vote_relay_doorbells", "Times that notifications woke the relay", m.doorbells.clone());
        r.register("vote_relay_polls", "Reads of the feed", m.polls.clone());
        r.register("vote_relay_feed_cursor", "Feed rows applied", m.cursor.clone());
        r.register("vote_relay_listening", "1 while the session that listens is up", m.listening.clone());
        r.register("vote_relay_reconnects", "Times the session that listens was lost", m.reconnects.clone());
        r.register("vote_relay_resyncs", "Times a match was loaded again", m.resyncs.clone());
        r.register("vote_relay_cache_hits", "HTTP answers from memory", m.cache_hits.clone());
        r.register("vote_relay_cache_misses", "HTTP answers that had to be made", m.cache_misses.clone());
        r.register(
            "vote_relay_cache_invalidations",
            "HTTP answers dropped because their match changed",
            m.cache_invalidations.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// Counts a refusal.
    pub fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// All of it as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
