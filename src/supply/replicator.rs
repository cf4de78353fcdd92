//! Publishes what a source holds, revision after revision.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use prometheus::{Histogram, HistogramOpts, IntCounterVec, IntGauge, Opts};

use crate::{
    access::{Diagnostic, Revision, Timestamp},
    net::DrainSignal,
    snapshot::{ChangeError, Delta, Snapshot, SnapshotCell},
    telemetry::{MetricsError, Registry},
};

use super::source::{Change, Loaded, Source};

/// What the replicator counts.
#[derive(Debug, Clone)]
pub struct SupplyMetrics {
    builds: IntCounterVec,
    seconds: Histogram,
    last_refused: IntGauge,
}

impl SupplyMetrics {
    /// Makes the metrics and registers them.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let buckets = vec![0.001, 0.004, 0.016, 0.064, 0.25, 1.0, 4.0, 16.0, 64.0];
        let seconds =
            HistogramOpts::new("portcullis_snapshot_build_duration_seconds", "Time to read and build a snapshot.");
        let metrics = Self {
            builds: registry.register(IntCounterVec::new(
                Opts::new(
                    "portcullis_snapshot_builds_total",
                    "Snapshots that were published, refused, or are waited for.",
                ),
                &["outcome"],
            ))?,
            seconds: registry.register(Histogram::with_opts(seconds.buckets(buckets)))?,
            last_refused: registry.register(IntGauge::new(
                "portcullis_snapshot_last_build_refused",
                "1 if what the source holds now was refused or is waited for, so that an older snapshot decides.",
            ))?,
        };
        for outcome in ["published", "refused", "waiting"] {
            metrics.builds.with_label_values(&[outcome]).inc_by(0);
        }
        Ok(metrics)
    }
}

/// Follows one source and publishes its snapshots to one cell.
#[derive(Debug)]
pub struct Replicator<S> {
    source: S,
    cell: Arc<SnapshotCell>,
    metrics: SupplyMetrics,
    // The source still holds what the current snapshot was built from.
    faithful: bool,
}

impl<S: Source> Replicator<S> {
    /// A replicator that has not loaded anything yet.
    pub fn new(source: S, cell: Arc<SnapshotCell>, metrics: SupplyMetrics) -> Self {
        Self { source, cell, metrics, faithful: false }
    }

    /// Loads the source once. Refuses what is no snapshot, with every problem; the current snapshot stays.
    pub async fn load(&mut self) -> Result<(), Vec<Diagnostic>> {
        let current = self.cell.load().map_or(Revision::default(), |snapshot| snapshot.revision);
        let begun = Instant::now();
        let loaded = self.source.load(current.next()).await;
        self.metrics.seconds.observe(begun.elapsed().as_secs_f64());
        let builds = self.metrics.builds.clone();
        let count = |outcome| builds.with_label_values(&[outcome]).inc();
        match loaded {
            Loaded::Built(snapshot) => {
                self.publish(*snapshot, begun);
                count("published");
                Ok(())
            }
            Loaded::Around(surroundings) => {
                let now = Timestamp::from(SystemTime::now());
                match self.cell.change(Delta::Surroundings(*surroundings), now) {
                    Ok(snapshot) => {
                        self.cell.confirm(now);
                        self.in_force(&snapshot, begun);
                        count("published");
                        Ok(())
                    }
                    Err(ChangeError::Unfit(problems)) => self.refused(problems),
                    Err(error @ (ChangeError::Missing | ChangeError::Tuple(_))) => {
                        // Only a source that has built a snapshot before says what is around it.
                        tracing::error!(%error, "a snapshot was not published");
                        self.refused(Vec::new())
                    }
                }
            }
            Loaded::Waiting(what) => {
                // What is in force is not what the source holds: from now on it ages.
                self.faithful = false;
                self.metrics.last_refused.set(1);
                match self.cell.load() {
                    Some(_) => tracing::warn!(what, "there is no new snapshot yet, the one before stays in force"),
                    None => tracing::warn!(what, "there is no snapshot yet, until then every request is denied"),
                }
                count("waiting");
                Ok(())
            }
            Loaded::Refused(problems) => self.refused(problems),
        }
    }

    fn refused(&mut self, problems: Vec<Diagnostic>) -> Result<(), Vec<Diagnostic>> {
        self.faithful = false;
        self.metrics.last_refused.set(1);
        self.metrics.builds.with_label_values(&["refused"]).inc();
        Err(problems)
    }

    /// Follows the source until the drain is ordered.
    pub async fn run(mut self, mut drain: DrainSignal) {
        loop {
            let change = tokio::select! {
                biased;
                () = drain.ordered() => return,
                change = self.source.changed() => change,
            };
            match change {
                Change::Confirmed if self.faithful => self.cell.confirm(Timestamp::from(SystemTime::now())),
                Change::Confirmed => {}
                Change::Changed => {
                    let loaded = tokio::select! {
                        biased;
                        () = drain.ordered() => return,
                        loaded = self.load() => loaded,
                    };
                    if let Err(problems) = loaded {
                        self.log_refusal(&problems);
                    }
                }
            }
        }
    }

    fn publish(&mut self, snapshot: Snapshot, begun: Instant) {
        let kept = snapshot.clone();
        match self.cell.publish(snapshot) {
            Ok(()) => self.in_force(&kept, begun),
            Err(error) => tracing::error!(%error, "a snapshot was not published"),
        }
    }

    fn in_force(&mut self, snapshot: &Snapshot, begun: Instant) {
        let stats = snapshot.policy.statistics();
        self.source.published();
        self.faithful = true;
        self.metrics.last_refused.set(0);
        tracing::info!(
            revision = snapshot.revision.number(),
            tuples = stats.tuples,
            set_aside = stats.set_aside,
            took = ?begun.elapsed(),
            "a snapshot is in force"
        );
    }

    fn log_refusal(&self, problems: &[Diagnostic]) {
        let count = problems.len();
        match self.cell.load() {
            Some(_) => {
                tracing::error!(problems = count, "the change was refused, the snapshot before it stays in force")
            }
            None => {
                tracing::error!(problems = count, "the change was refused, there is no snapshot: requests are denied")
            }
        }
        for problem in problems {
            tracing::error!("{problem}");
        }
    }
}
