//! What the current snapshot shows of itself.

use std::{sync::Arc, time::SystemTime};

use prometheus::{
    Gauge, IntGauge,
    core::{Collector, Desc},
    proto::MetricFamily,
};

use crate::{
    access::Timestamp,
    telemetry::{MetricsError, Registry},
};

use super::cell::SnapshotCell;

/// Registers revision, age and size of the current snapshot.
pub fn register_metrics(cell: &Arc<SnapshotCell>, registry: &Registry) -> Result<(), MetricsError> {
    let gauge = |name, help| IntGauge::new(name, help);
    registry.register(Ok(SnapshotMetrics {
        cell: Arc::clone(cell),
        revision: gauge("portcullis_snapshot_revision", "Revision of the current snapshot, 0 if there is none.")?,
        tuples: gauge("portcullis_snapshot_tuples", "Relationship tuples of the current snapshot.")?,
        set_aside: gauge(
            "portcullis_snapshot_tuples_set_aside",
            "Relationship tuples that the current model does not allow.",
        )?,
        age: Gauge::new(
            "portcullis_snapshot_age_seconds",
            "Seconds since the source last confirmed the current snapshot, -1 if there is none.",
        )?,
    }))?;
    Ok(())
}

#[derive(Debug, Clone)]
struct SnapshotMetrics {
    cell: Arc<SnapshotCell>,
    revision: IntGauge,
    tuples: IntGauge,
    set_aside: IntGauge,
    age: Gauge,
}

impl Collector for SnapshotMetrics {
    fn desc(&self) -> Vec<&Desc> {
        let mut all = self.revision.desc();
        all.extend(self.tuples.desc());
        all.extend(self.set_aside.desc());
        all.extend(self.age.desc());
        all
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        match self.cell.load() {
            Some(snapshot) => {
                let stats = snapshot.policy.statistics();
                self.revision.set(number(snapshot.revision.number()));
                self.tuples.set(size(stats.tuples));
                self.set_aside.set(size(stats.set_aside));
                self.age.set(self.cell.age(Timestamp::from(SystemTime::now())).as_secs_f64());
            }
            None => self.age.set(-1.0),
        }
        let mut all = self.revision.collect();
        all.extend(self.tuples.collect());
        all.extend(self.set_aside.collect());
        all.extend(self.age.collect());
        all
    }
}
