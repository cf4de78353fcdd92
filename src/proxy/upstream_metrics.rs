//! What upstreams show of their endpoints.

use std::sync::Arc;

use prometheus::{
    IntCounterVec, IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use tokio::sync::watch;

use crate::{
    net::Endpoints,
    telemetry::{MetricsError, Registry},
};

/// Registers what is known of the endpoints of the last list. It is looked at when somebody asks; requests count nothing here.
pub fn register_upstream_metrics(
    all: watch::Receiver<Vec<Arc<Endpoints>>>,
    registry: &Registry,
) -> Result<(), MetricsError> {
    registry.register(Families::empty().map(|empty| UpstreamMetrics { all, empty }))?;
    Ok(())
}

#[derive(Debug, Clone)]
struct UpstreamMetrics {
    all: watch::Receiver<Vec<Arc<Endpoints>>>,
    empty: Families,
}

#[derive(Debug, Clone)]
struct Families {
    endpoints: IntGaugeVec,
    in_flight: IntGaugeVec,
    ejections: IntCounterVec,
    retries: IntCounterVec,
    unresolved: IntCounterVec,
}

impl Families {
    fn empty() -> Result<Self, prometheus::Error> {
        let gauges = |name, help, labels: &[&str]| IntGaugeVec::new(Opts::new(name, help), labels);
        let counters = |name, help, labels: &[&str]| IntCounterVec::new(Opts::new(name, help), labels);
        Ok(Self {
            endpoints: gauges(
                "portcullis_upstream_endpoints",
                "Endpoints by upstream and state: up; ejected (they failed, and are left alone for a while); down (their \
                 checks fail).",
                &["upstream", "state"],
            )?,
            in_flight: gauges(
                "portcullis_upstream_requests_in_flight",
                "Requests to upstreams with `limits.in_flight` whose answer has not reached its end.",
                &["upstream"],
            )?,
            ejections: counters(
                "portcullis_upstream_ejections_total",
                "How often an endpoint was left alone because it failed, by upstream.",
                &["upstream"],
            )?,
            retries: counters(
                "portcullis_upstream_retries_total",
                "Requests that the upstream may have seen and that were sent again (sent), or were not because too many \
                 were (over_budget), by upstream.",
                &["upstream", "outcome"],
            )?,
            unresolved: counters(
                "portcullis_upstream_resolution_failures_total",
                "How often a name of an upstream could not be resolved.",
                &["upstream"],
            )?,
        })
    }

    fn note(&self, endpoints: &Endpoints) {
        let (upstream, report) = (endpoints.rules().name.as_ref(), endpoints.report());
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (state, count) in report.endpoints {
            self.endpoints.with_label_values(&[upstream, state.name()]).set(number(count));
        }
        if let Some(in_flight) = report.in_flight {
            self.in_flight.with_label_values(&[upstream]).set(number(in_flight));
        }
        self.ejections.with_label_values(&[upstream]).inc_by(report.ejections);
        self.retries.with_label_values(&[upstream, "sent"]).inc_by(report.retries);
        self.retries.with_label_values(&[upstream, "over_budget"]).inc_by(report.retries_over_budget);
        self.unresolved.with_label_values(&[upstream]).inc_by(report.unresolved);
    }

    fn all(&self) -> [&dyn Collector; 5] {
        [&self.endpoints, &self.in_flight, &self.ejections, &self.retries, &self.unresolved]
    }
}

impl Collector for UpstreamMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.empty.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // What cannot be made now could not be registered.
        let Ok(families) = Families::empty() else { return Vec::new() };
        self.all.borrow().iter().for_each(|endpoints| families.note(endpoints));
        families.all().into_iter().flat_map(Collector::collect).collect()
    }
}
