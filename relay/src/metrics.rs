//! What the relay counts, in the form that Prometheus reads.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

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
        let mut registry = Registry::with_prefix("vote_relay");
        let r = &mut registry;
        Self {
            clients: new(r, "clients", "Clients connected"),
            matches: new(r, "matches", "Matches followed, in memory"),
            messages: new(r, "messages", "Messages sent, each client's counted"),
            bytes: new(r, "bytes", "Bytes of payload sent, each client's counted"),
            undelivered: new(r, "undelivered", "Broadcasts that did not reach everybody"),
            lag: register(r, "lag_seconds", "From the start of a fold to the sockets", lag),
            joins: new(r, "joins", "Joins"),
            snapshots: new(r, "snapshots", "Snapshots encoded, each for everybody who needs it"),
            refused: new(r, "refused", "What was refused, by reason"),
            slow: new(r, "slow", "Times a client fell behind"),
            behind: new(r, "behind", "Clients that are behind"),
            slow_resumed: new(r, "slow_resumed", "Times a slow client was caught up by a snapshot"),
            slow_closed: new(r, "slow_closed", "Slow clients disconnected"),
            reads: new(r, "reads", "Matches and HTTP answers read from the database"),
            doorbells: new(r, "doorbells", "Times that notifications woke the relay"),
            polls: new(r, "polls", "Reads of the feed"),
            cursor: new(r, "feed_cursor", "Feed rows applied"),
            listening: new(r, "listening", "1 while the session that listens is up"),
            reconnects: new(r, "reconnects", "Times the session that listens was lost"),
            resyncs: new(r, "resyncs", "Times a match was loaded again"),
            cache_hits: new(r, "cache_hits", "HTTP answers from memory"),
            cache_misses: new(r, "cache_misses", "HTTP answers that had to be made"),
            cache_invalidations: new(r, "cache_invalidations", "HTTP answers dropped because their match changed"),
            registry,
        }
    }
}

fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn new<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    register(registry, name, help, M::default())
}

impl Metrics {
    /// Counts a refusal.
    pub fn refuse(&self, reason: &'static str) {
        self.refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// All metrics as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
