//! What the decision listener counts.

use std::time::Duration;

use http::StatusCode;
use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts};

use crate::{
    net::Ending,
    telemetry::{EndedConnections, MILLISECOND_BUCKETS, MetricsError, Registry},
};

/// The metrics of the decision listener. All labels come from closed sets.
#[derive(Debug, Clone)]
pub struct DecisionMetrics {
    requests: IntCounterVec,
    seconds: Histogram,
    ended: EndedConnections,
}

impl DecisionMetrics {
    /// Makes the metrics and registers them; connections that end are counted with those of other listeners.
    pub fn new(registry: &Registry, ended: EndedConnections) -> Result<Self, MetricsError> {
        let seconds = HistogramOpts::new(
            "portcullis_decision_api_duration_seconds",
            "Time from the head of a request on the decision listener to the head of its answer.",
        );
        Ok(Self {
            requests: registry.register(IntCounterVec::new(
                Opts::new(
                    "portcullis_decision_api_requests_total",
                    "Requests on the decision listener, by endpoint and outcome.",
                ),
                &["endpoint", "outcome"],
            ))?,
            seconds: registry.register(Histogram::with_opts(seconds.buckets(MILLISECOND_BUCKETS.to_vec())))?,
            ended,
        })
    }

    pub(super) fn ended(&self, ending: Ending) {
        self.ended.count(ending.name());
    }

    pub(super) fn answered(&self, endpoint: &str, status: StatusCode, took: Duration) {
        self.requests.with_label_values(&[endpoint, outcome(status)]).inc();
        self.seconds.observe(took.as_secs_f64());
    }
}

const fn outcome(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "unauthenticated",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_IMPLEMENTED => "unimplemented",
        StatusCode::SERVICE_UNAVAILABLE => "unavailable",
        _ if status.as_u16() < 400 => "answered",
        _ if status.as_u16() < 500 => "invalid",
        _ => "failed",
    }
}
