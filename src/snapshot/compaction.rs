//! Changes that lie over a graph are folded into it, beside those who read and those who write.

use std::time::Instant;

use prometheus::{Histogram, HistogramOpts, IntCounterVec, Opts};

use crate::{
    policy::TupleChange,
    telemetry::{MetricsError, Registry},
};

use super::{cell::SnapshotCell, change::KeptChange, snapshot::Snapshot};

/// What compaction counts.
#[derive(Debug, Clone)]
pub struct CompactionMetrics {
    compactions: IntCounterVec,
    seconds: Histogram,
}

impl CompactionMetrics {
    /// Makes the metrics and registers them.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let buckets = vec![0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 4.0, 16.0, 64.0];
        let seconds = HistogramOpts::new(
            "portcullis_snapshot_compaction_duration_seconds",
            "Time to fold the changes that lie over a snapshot's tuples into them.",
        );
        let metrics = Self {
            compactions: registry.register(IntCounterVec::new(
                Opts::new(
                    "portcullis_snapshot_compactions_total",
                    "Compactions of the snapshot that were published, or abandoned because of another policy.",
                ),
                &["outcome"],
            ))?,
            seconds: registry.register(Histogram::with_opts(seconds.buckets(buckets)))?,
        };
        for outcome in ["published", "abandoned"] {
            metrics.compactions.with_label_values(&[outcome]).inc_by(0);
        }
        Ok(metrics)
    }
}

/// What became of a compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compacted {
    /// Its snapshot decides from now on, by the same tuples and the same revision.
    Published,
    /// Another policy came in the meantime.
    Abandoned,
}

impl SnapshotCell {
    /// Compacts the snapshot whenever the changes over its tuples slow readers down, until the cell is closed.
    ///
    /// For a thread of its own. Neither readers nor writers wait for it, but for the moment at the end in which the
    /// changes that came in the meantime are made again. See [`Policy::needs_compaction`](crate::policy::Policy) for
    /// how many changes these are: a thousand, and one for each hundred tuples.
    pub fn compact_until_closed(&self, metrics: &CompactionMetrics) {
        while let Some(snapshot) = self.begin_compaction() {
            let begun = Instant::now();
            let compacted = self.finish_compaction(&snapshot);
            let took = begun.elapsed();
            let outcome = match compacted {
                Compacted::Published => "published",
                Compacted::Abandoned => "abandoned",
            };
            metrics.compactions.with_label_values(&[outcome]).inc();
            metrics.seconds.observe(took.as_secs_f64());
            tracing::debug!(outcome, ?took, revision = snapshot.revision.number(), "the snapshot was compacted");
        }
    }

    /// Compacts this snapshot, which [`begin_compaction`](Self::begin_compaction) gave.
    pub(super) fn finish_compaction(&self, begun: &Snapshot) -> Compacted {
        let compacted = begun.policy.compacted();
        let mut writer = self.writer();
        let Some(since) = writer.since_begun.take() else { return Compacted::Abandoned };
        let Some(current) = self.load() else { return Compacted::Abandoned };
        let changes: Vec<TupleChange<'_>> = since.iter().map(KeptChange::borrowed).collect();
        // What could be changed once can be changed again: compaction only makes room.
        let Ok((policy, _)) = compacted.with_changes(changes) else { return Compacted::Abandoned };
        let policy = policy.with_settings(current.policy.settings().clone());
        // The same tuples, and so the same revision.
        self.replace(Snapshot { policy: policy.into(), ..Snapshot::clone(&current) });
        Compacted::Published
    }
}
