//! What the door counts, in the form that Prometheus reads.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// All outcomes. Each is there from the start, so that a first one is seen to rise.
const OUTCOMES: [&str; 9] =
    ["counted", "changed", "unchanged", "retracted", "superseded", "refused", "not_sent", "unknown", WITHDRAWN];

/// The client went before its vote was sent.
pub const WITHDRAWN: &str = "withdrawn";

/// Counters, a gauge, histograms.
#[derive(Clone, Debug)]
pub struct Metrics {
    answers: Family<[(&'static str, &'static str); 1], Counter>,
    pub queued: Gauge,
    pub calls: Histogram,
    pub times: Histogram,
    pub busy: Counter,
    pub repeated: Counter,
    pub replaced: Counter,
}

impl Metrics {
    /// Registers them.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let sizes = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 8_192.0];
        let times = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];
        let metrics = Self {
            answers: Family::default(),
            queued: Gauge::default(),
            calls: Histogram::new(sizes),
            times: Histogram::new(times),
            busy: Counter::default(),
            repeated: Counter::default(),
            replaced: Counter::default(),
        };
        registry.register("votes", "Votes taken or refused, by outcome", metrics.answers.clone());
        registry.register("votes_queued", "Votes that wait or are on their way", metrics.queued.clone());
        registry.register("votes_a_call", "Votes that one call to the database brought", metrics.calls.clone());
        registry.register("vote_duration_seconds", "From the arrival of a vote to its answer", metrics.times.clone());
        registry.register("votes_busy", "Votes asked again because another transaction held the ballot", metrics.busy.clone());
        registry.register("votes_repeated", "Calls to the database asked again after an error", metrics.repeated.clone());
        registry.register("vote_senders_replaced", "Senders of votes that ended and were replaced", metrics.replaced.clone());
        for outcome in OUTCOMES {
            drop(metrics.answers.get_or_create(&[("outcome", outcome)]));
        }
        metrics
    }

    /// Counts votes that the queue had no room for.
    pub fn not_taken(&self, votes: u64) {
        self.answers.get_or_create(&[("outcome", "not_sent")]).inc_by(votes);
    }

    /// Counts an answer.
    pub fn answered(&self, outcome: &'static str) {
        self.answers.get_or_create(&[("outcome", outcome)]).inc();
    }
}
