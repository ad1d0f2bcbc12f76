//! What the puller counts, by shard, in the form that Prometheus reads.

use crate::metrics::durations;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

type Label = [(&'static str, String); 1];

/// Counters and gauges of each shard.
pub struct Metrics {
    registry: Registry,
    pub rounds: Family<Label, Counter>,
    pub applied: Family<Label, Counter>,
    pub behind: Family<Label, Counter>,
    pub alarms: Family<Label, Counter>,
    pub failures: Family<Label, Counter>,
    pub waiting: Family<Label, Gauge>,
    pub duration: Histogram,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let r = registry.sub_registry_with_prefix("vote_pull");
        Self {
            rounds: new(r, "rounds", "Answers of the shard about what moved", Family::default()),
            applied: new(r, "applied", "Differences that the root counted", Family::default()),
            behind: new(r, "behind", "Differences that the root had from elsewhere", Family::default()),
            alarms: new(r, "alarms", "Differences after a match was final, which the root did not count", Family::default()),
            failures: new(r, "failures", "Questions that failed, about a match or a whole shard", Family::default()),
            waiting: new(r, "waiting", "Matches that moved and are not applied yet", Family::default()),
            duration: new(r, "round_duration_seconds", "How long a round of one shard took", durations()),
            registry,
        }
    }

    /// All of them in the text format.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }
}

fn new<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}
