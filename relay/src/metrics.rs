//! What the relay counts, in the form that Prometheus reads.

use crate::process::Process;
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use std::time::Instant;

type Label = [(&'static str, &'static str); 1];

/// Bounds for what takes milliseconds, or seconds on a bad day.
const DURATIONS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];

/// How long something took.
#[must_use]
pub fn durations() -> Histogram {
    Histogram::new(DURATIONS)
}

/// Counters and gauges. No label names a match or a client: their number has no bound.
pub struct Metrics {
    registry: Registry,
    pub clients: Gauge,
    pub streams: Gauge,
    pub matches: Gauge,
    pub messages: Counter,
    pub bytes: Counter,
    pub undelivered: Counter,
    pub lag: Histogram,
    pub joins: Counter,
    pub join_times: Histogram,
    pub kicked: Counter,
    pub snapshots: Counter,
    pub refused: Family<Label, Counter>,
    pub paced: Counter,
    pub undeclared_proxy: Counter,
    pub slow: Counter,
    pub behind: Gauge,
    pub slow_resumed: Counter,
    pub slow_closed: Counter,
    pub reads: Counter,
    pub answers: Family<Label, Histogram, fn() -> Histogram>,
    pub doorbells: Counter,
    pub polls: Counter,
    pub applied: Counter,
    pub listening: Gauge,
    pub reconnects: Counter,
    pub resyncs: Counter,
    pub cache_hits: Counter,
    pub cache_misses: Counter,
    pub cache_invalidations: Counter,
    #[cfg(feature = "door")]
    pub door: vote_agg_door::Metrics,
}

impl Metrics {
    /// `statements`: how long those of the database take.
    #[must_use]
    pub fn new(statements: Histogram) -> Self {
        let lag = Histogram::new([0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0]);
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Process));
        let r = registry.sub_registry_with_prefix("vote_relay");
        let build: Family<Label, Gauge> = new(r, "build_info", "1; the version is a label");
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        register(r, "statement_duration_seconds", "How long statements of the database took, but those of the feed", statements);
        Self {
            clients: new(r, "clients", "Clients of Socket.IO connected"),
            streams: new(r, "streams", "Event streams open"),
            matches: new(r, "matches", "Matches followed, in memory"),
            messages: new(r, "messages", "Messages sent, each client's counted"),
            bytes: new(r, "bytes", "Bytes of payload sent, each client's counted"),
            undelivered: new(r, "undelivered", "Broadcasts that did not reach everybody"),
            lag: register(r, "lag_seconds", "From the start of a fold to the sockets", lag),
            joins: new(r, "joins", "Joins"),
            join_times: register(r, "join_duration_seconds", "From the arrival of a join to its answer", durations()),
            kicked: new(r, "kicked", "Clients and event streams ended by the operator"),
            snapshots: new(r, "snapshots", "Snapshots encoded, each for everybody who needs it"),
            refused: new(r, "refused", "What was refused, by reason"),
            paced: new(r, "paced_reads", "Reads after which an address had to wait, since it sends more than is read of one"),
            undeclared_proxy: new(
                r,
                "undeclared_proxy_requests",
                "Requests with X-Forwarded-For from addresses that are no declared proxy",
            ),
            slow: new(r, "slow", "Times a client fell behind"),
            behind: new(r, "behind", "Clients that are behind"),
            slow_resumed: new(r, "slow_resumed", "Times a slow client was caught up by a snapshot"),
            slow_closed: new(r, "slow_closed", "Slow clients disconnected"),
            reads: new(r, "reads", "Matches and HTTP answers read from the database"),
            answers: register(
                r,
                "answer_duration_seconds",
                "How long HTTP answers about matches took, by kind",
                Family::new_with_constructor(durations as fn() -> Histogram),
            ),
            doorbells: new(r, "doorbells", "Times that notifications woke the relay"),
            polls: new(r, "polls", "Reads of the feed"),
            applied: new(r, "feed_messages", "Messages of the feed applied"),
            listening: new(r, "listening", "1 while the session that listens is up"),
            reconnects: new(r, "reconnects", "Times the session that listens was lost"),
            resyncs: new(r, "resyncs", "Times a match was loaded again"),
            cache_hits: new(r, "cache_hits", "HTTP answers from memory"),
            cache_misses: new(r, "cache_misses", "HTTP answers that had to be made"),
            cache_invalidations: new(r, "cache_invalidations", "HTTP answers dropped because their match changed"),
            #[cfg(feature = "door")]
            door: vote_agg_door::Metrics::new(r),
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

    /// Notes how long an HTTP answer took.
    pub fn answered(&self, kind: &'static str, began: Instant) {
        self.answers.get_or_create(&[("kind", kind)]).observe(began.elapsed().as_secs_f64());
    }

    /// All metrics, in the text format of Prometheus or in OpenMetrics; and how HTTP names the format.
    #[must_use]
    pub fn text(&self, is_open: bool) -> (&'static str, String) {
        let mut text = String::new();
        // Writing to a String cannot fail.
        if is_open {
            let _ = text::encode(&mut text, &self.registry);
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
        } else {
            let _ = prometheus_text::encode(&mut text, &self.registry);
            (prometheus_text::CONTENT_TYPE, text)
        }
    }
}
