//! Connections that were ended though their clients would have gone on.

use prometheus::{IntCounterVec, Opts};

use super::registry::{MetricsError, Registry};

/// How many connections and streams were ended, of all listeners for agents, applications and issuers together.
#[derive(Debug, Clone)]
pub struct EndedConnections(IntCounterVec);

impl EndedConnections {
    /// Makes the metric, with these reasons and no others, and registers it.
    pub fn new(registry: &Registry, reasons: impl IntoIterator<Item = &'static str>) -> Result<Self, MetricsError> {
        let options = Opts::new(
            "portcullis_connections_ended_total",
            "Connections and streams that were ended though their clients would have gone on, by reason.",
        );
        let ended = registry.register(IntCounterVec::new(options, &["reason"]))?;
        // All are there from the start, so that the first one is seen as a rise.
        reasons.into_iter().for_each(|reason| drop(ended.with_label_values(&[reason])));
        Ok(Self(ended))
    }

    /// Counts one.
    pub fn count(&self, reason: &'static str) {
        self.0.with_label_values(&[reason]).inc();
    }
}
