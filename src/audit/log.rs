//! The queue of records: a place in it is reserved before a request may pass.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use prometheus::{IntCounter, IntGauge};
use thiserror::Error;
use tokio::sync::mpsc;

use crate::telemetry::{MetricsError, Registry};

use super::record::AuditRecord;

/// What happens to requests while records cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// They are denied.
    #[default]
    Deny,
    /// They are served, and the lost records are counted.
    Count,
}

/// No record can be kept now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no record can be kept: the sink fails or the queue is full")]
pub struct AuditUnavailable;

/// The metrics of the audit log.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    pub(super) written: IntCounter,
    pub(super) failures: IntCounter,
    pub(super) failing: IntGauge,
    lost: IntCounter,
}

impl Metrics {
    fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let counter = |name, help| registry.register(IntCounter::new(name, help));
        Ok(Self {
            written: counter("portcullis_audit_records_total", "Audit records written to the sink.")?,
            failures: counter("portcullis_audit_write_failures_total", "Writes to the audit sink that failed.")?,
            lost: counter("portcullis_audit_records_lost_total", "Audit records that could not be queued.")?,
            failing: registry.register(IntGauge::new("portcullis_audit_failing", "1 while the sink fails."))?,
        })
    }
}

/// The log that decisions are recorded in.
#[derive(Debug, Clone)]
pub struct AuditLog {
    queue: mpsc::Sender<Box<AuditRecord>>,
    // Set by the writer while the sink fails.
    failing: Arc<AtomicBool>,
    on_failure: OnFailure,
    metrics: Metrics,
}

/// A place in the queue, for exactly one record.
#[derive(Debug)]
pub struct Slot {
    // `None` if the record is lost and only counted.
    permit: Option<mpsc::OwnedPermit<Box<AuditRecord>>>,
    lost: IntCounter,
}

/// What the writer needs of the log.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) queue: mpsc::Receiver<Box<AuditRecord>>,
    pub(super) failing: Arc<AtomicBool>,
    pub(super) metrics: Metrics,
}

impl AuditLog {
    pub(super) fn new(
        capacity: usize,
        on_failure: OnFailure,
        registry: &Registry,
    ) -> Result<(Self, Outlet), MetricsError> {
        let (queue, records) = mpsc::channel(capacity);
        let failing = Arc::new(AtomicBool::new(false));
        let metrics = Metrics::new(registry)?;
        let outlet = Outlet { queue: records, failing: Arc::clone(&failing), metrics: metrics.clone() };
        Ok((Self { queue, failing, on_failure, metrics }, outlet))
    }

    /// A place for the record of a request that may be let through.
    pub fn reserve(&self) -> Result<Slot, AuditUnavailable> {
        let healthy = !self.failing.load(Ordering::Relaxed);
        let permit = self.queue.clone().try_reserve_owned().ok();
        match self.on_failure {
            OnFailure::Deny if permit.is_none() || !healthy => Err(AuditUnavailable),
            OnFailure::Deny | OnFailure::Count => Ok(Slot { permit, lost: self.metrics.lost.clone() }),
        }
    }

    /// A place for the record of a request that is denied already: if there is none, the record is lost and counted.
    pub fn reserve_for_denial(&self) -> Slot {
        Slot { permit: self.queue.clone().try_reserve_owned().ok(), lost: self.metrics.lost.clone() }
    }
}

impl Slot {
    /// Puts the record into its place.
    pub fn record(self, record: Box<AuditRecord>) {
        match self.permit {
            Some(permit) => {
                permit.send(record);
            }
            None => self.lost.inc(),
        }
    }
}
