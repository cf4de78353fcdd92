//! What the proxy counts.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use prometheus::{
    Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts,
    core::{Collector, Desc},
    local::{LocalHistogram, LocalIntCounterVec},
    proto::MetricFamily,
};

use crate::{
    net::{Ending, Refused},
    telemetry::{EndedConnections, MICROSECOND_BUCKETS, MILLISECOND_BUCKETS, MetricsError, Registry},
};

/// The metrics of the enforcement point. All labels come from closed sets or from the configuration.
#[derive(Debug, Clone)]
pub struct ProxyMetrics {
    decisions: IntCounterVec,
    decision_seconds: Histogram,
    added_seconds: Histogram,
    request_seconds: Histogram,
    shards: Shards,
    pub(super) in_flight: IntGauge,
    pub(super) tunnels: IntGauge,
    pub(super) upstream_errors: IntCounterVec,
    pub(super) cut: IntCounterVec,
    refused: IntCounterVec,
    ended: EndedConnections,
}

/// What one worker has counted of its requests since somebody asked: no worker waits for the memory of another.
#[derive(Debug)]
pub(super) struct Shard(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    decisions: LocalIntCounterVec,
    decision_seconds: LocalHistogram,
    added_seconds: LocalHistogram,
    request_seconds: LocalHistogram,
}

/// A request at its end.
#[derive(Debug)]
pub(super) struct Ended<'a> {
    /// The values of the labels: route, outcome and reason.
    pub(super) labels: [&'a str; 3],
    pub(super) total: Duration,
    pub(super) decision: Option<Duration>,
    pub(super) added: Option<Duration>,
}

impl Shard {
    pub(super) fn count(&self, ended: &Ended<'_>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.decisions.with_label_values(&ended.labels).inc();
        counts.request_seconds.observe(ended.total.as_secs_f64());
        if let Some(decision) = ended.decision {
            counts.decision_seconds.observe(decision.as_secs_f64());
        }
        if let Some(added) = ended.added {
            counts.added_seconds.observe(added.as_secs_f64());
        }
    }

    fn flush(&self) {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.decisions.flush();
        for seconds in [&counts.decision_seconds, &counts.added_seconds, &counts.request_seconds] {
            seconds.flush();
        }
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        // A worker may end before the process does.
        self.flush();
    }
}

#[derive(Debug, Clone, Default)]
struct Shards(Arc<Mutex<Vec<Weak<Shard>>>>);

impl Shards {
    fn flush(&self) {
        let shards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shards.iter().filter_map(Weak::upgrade).for_each(|shard| shard.flush());
    }
}

/// A metric that the workers count in their shards.
#[derive(Debug, Clone)]
struct Sharded<C> {
    metric: C,
    shards: Shards,
}

impl<C: Collector> Collector for Sharded<C> {
    fn desc(&self) -> Vec<&Desc> {
        self.metric.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.shards.flush();
        self.metric.collect()
    }
}

impl ProxyMetrics {
    /// What another worker counts in.
    pub(super) fn shard(&self) -> Arc<Shard> {
        let shard = Arc::new(Shard(Mutex::new(Counts {
            decisions: self.decisions.local(),
            decision_seconds: self.decision_seconds.local(),
            added_seconds: self.added_seconds.local(),
            request_seconds: self.request_seconds.local(),
        })));
        self.shards.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&shard));
        shard
    }

    /// Requests whose answer has not yet reached its end.
    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// Counts a connection that has ended before its first request.
    pub(super) fn refused(&self, refused: Refused) {
        self.refused.with_label_values(&[refused.name()]).inc();
    }

    /// Counts a connection, or a stream, that was ended though its client would have gone on.
    pub(super) fn ended(&self, ending: Ending) {
        self.ended.count(ending.name());
    }

    /// Makes the metrics and registers them; connections that end are counted with those of other listeners.
    pub fn new(registry: &Registry, ended: EndedConnections) -> Result<Self, MetricsError> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            registry.register(IntCounterVec::new(Opts::new(name, help), labels))
        };
        let shards = Shards::default();
        let seconds = |name: &str, help: &str, buckets: &[f64]| {
            let metric = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec()));
            let sharded = metric.map(|metric| Sharded { metric, shards: shards.clone() });
            registry.register(sharded).map(|sharded| sharded.metric)
        };
        let refused = counters(
            "portcullis_connections_refused_total",
            "Connections to data listeners that were closed before their first request, by reason.",
            &["reason"],
        )?;
        // All are there from the start, so that the first one is seen as a rise.
        Refused::ALL.iter().for_each(|reason| drop(refused.with_label_values(&[reason.name()])));
        let decisions = IntCounterVec::new(
            Opts::new(
                "portcullis_decisions_total",
                "Requests by route, outcome (allow, deny, or answer for what the proxy answers itself) and reason. The \
                 route is empty if none was found.",
            ),
            &["route", "outcome", "reason"],
        );
        let decisions = decisions.map(|metric| Sharded { metric, shards: shards.clone() });
        Ok(Self {
            decisions: registry.register(decisions)?.metric,
            decision_seconds: seconds(
                "portcullis_decision_duration_seconds",
                "Time that the engine took to decide a request.",
                MICROSECOND_BUCKETS,
            )?,
            added_seconds: seconds(
                "portcullis_added_latency_seconds",
                "Time from a request's head to the answer's head, without the time waited for client and upstream.",
                MILLISECOND_BUCKETS,
            )?,
            request_seconds: seconds(
                "portcullis_request_duration_seconds",
                "Time from a request's head to the end of its answer.",
                MILLISECOND_BUCKETS,
            )?,
            shards: shards.clone(),
            in_flight: registry.register(IntGauge::new(
                "portcullis_requests_in_flight",
                "Requests whose answer has not yet reached its end.",
            ))?,
            tunnels: registry.register(IntGauge::new(
                "portcullis_tunnels_open",
                "Tunnels through explicit proxies that are open, whatever is asked in them.",
            ))?,
            upstream_errors: counters(
                "portcullis_upstream_errors_total",
                "Requests that were allowed and got no answer of the upstream, by upstream and reason.",
                &["upstream", "reason"],
            )?,
            cut: counters(
                "portcullis_cut_total",
                "Requests and answers that were cut off because they were not permitted any more, or came too slowly, by route and reason.",
                &["route", "reason"],
            )?,
            refused,
            ended,
        })
    }
}
