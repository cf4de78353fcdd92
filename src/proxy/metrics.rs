//! What the proxy counts.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts};

use crate::{
    net::Refused,
    telemetry::{MICROSECOND_BUCKETS, MILLISECOND_BUCKETS, MetricsError, Registry},
};

/// The metrics of the enforcement point. All labels come from closed sets or from the configuration.
#[derive(Debug, Clone)]
pub struct ProxyMetrics {
    pub(super) decisions: IntCounterVec,
    pub(super) decision_seconds: Histogram,
    pub(super) added_seconds: Histogram,
    pub(super) request_seconds: Histogram,
    pub(super) in_flight: IntGauge,
    pub(super) upstream_errors: IntCounterVec,
    pub(super) cut: IntCounterVec,
    refused: IntCounterVec,
}

impl ProxyMetrics {
    /// Requests whose answer has not yet reached its end.
    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// Counts a connection that has ended before its first request.
    pub(super) fn refused(&self, refused: Refused) {
        self.refused.with_label_values(&[refused.name()]).inc();
    }

    /// Makes the metrics and registers them.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            registry.register(IntCounterVec::new(Opts::new(name, help), labels))
        };
        let seconds = |name: &str, help: &str, buckets: &[f64]| {
            registry.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
        };
        let refused = counters(
            "portcullis_connections_refused_total",
            "Connections to data listeners that were closed before their first request, by reason.",
            &["reason"],
        )?;
        // All are there from the start, so that the first one is seen as a rise.
        Refused::ALL.iter().for_each(|reason| drop(refused.with_label_values(&[reason.name()])));
        Ok(Self {
            decisions: counters(
                "portcullis_decisions_total",
                "Requests by route, outcome (allow or deny) and reason. The route is empty if none was found.",
                &["route", "outcome", "reason"],
            )?,
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
            in_flight: registry.register(IntGauge::new(
                "portcullis_requests_in_flight",
                "Requests whose answer has not yet reached its end.",
            ))?,
            upstream_errors: counters(
                "portcullis_upstream_errors_total",
                "Requests that were allowed and got no answer of the upstream, by upstream and reason.",
                &["upstream", "reason"],
            )?,
            cut: counters(
                "portcullis_cut_total",
                "Requests and answers that were cut off because they were not permitted any more, by route and reason.",
                &["route", "reason"],
            )?,
            refused,
        })
    }
}
