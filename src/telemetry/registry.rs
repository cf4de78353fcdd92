//! The registry of metrics, in the Prometheus text format.

use prometheus::{Encoder, TextEncoder, core::Collector};
use thiserror::Error;

/// Seconds, from a quarter of a microsecond to 16 ms: for decisions.
pub const MICROSECOND_BUCKETS: &[f64] =
    &[2.5e-7, 5e-7, 1e-6, 2e-6, 4e-6, 8e-6, 1.6e-5, 3.2e-5, 6.4e-5, 1.28e-4, 2.56e-4, 1e-3, 4e-3, 1.6e-2];

/// Seconds, from 25 microseconds to 30 seconds: for what the proxy adds and for whole requests.
pub const MILLISECOND_BUCKETS: &[f64] = &[
    2.5e-5, 5e-5, 1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3, 3.2e-3, 6.4e-3, 1.28e-2, 2.56e-2, 5.12e-2, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 30.0,
];

/// A metric could not be made: two modules chose one name.
#[derive(Debug, Error)]
#[error("a metric cannot be registered: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// All metrics of the process.
#[derive(Debug, Clone, Default)]
pub struct Registry(prometheus::Registry);

impl Registry {
    /// Adds a metric and returns it.
    pub fn register<C: Collector + Clone + 'static>(
        &self,
        metric: Result<C, prometheus::Error>,
    ) -> Result<C, MetricsError> {
        let metric = metric?;
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// All metrics in the text format, version 0.0.4.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        // Writing into memory does not fail.
        let _ = TextEncoder::new().encode(&self.0.gather(), &mut text);
        String::from_utf8(text).unwrap_or_default()
    }
}
