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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        access::{Revision, Timestamp},
        compile::{ModelDocument, ModelFormat},
        identity::{Authenticator, AuthenticatorSettings},
        policy::{Policy, PolicySettings, RelationshipTuple, TupleText},
        route::RouteTable,
        snapshot::{Callers, ChangeError, Delta, StoredModel, Surroundings},
    };

    fn now() -> Timestamp {
        std::time::SystemTime::UNIX_EPOCH.into()
    }

    fn model() -> Arc<StoredModel> {
        let text = "model\n  schema 1.1\ntype user\ntype note\n  relations\n    define reader: [user]\n";
        let mut beside = |_: &str| Err(String::new());
        let document = ModelDocument::read(&"model".into(), text, ModelFormat::Dsl, &mut beside).unwrap();
        Arc::new(StoredModel::by_content(document))
    }

    fn surroundings(most_steps: u32) -> Surroundings {
        Surroundings {
            source: "files".into(),
            routes_file: "test".into(),
            routes: Arc::new(RouteTable::new(Vec::new()).unwrap()),
            upstreams: Arc::default(),
            authenticator: Arc::new(Authenticator::new(AuthenticatorSettings::default()).unwrap()),
            mapped: Arc::default(),
            principals: Arc::default(),
            transaction_tokens: None,
            denylist: Arc::default(),
            callers: Arc::new(Callers::default()),
            settings: PolicySettings { most_steps, ..PolicySettings::default() },
            max_staleness: None,
        }
    }

    fn empty(model: &StoredModel) -> Policy {
        Policy::new(crate::policy::GraphBuilder::new(Arc::clone(&model.model)).finish(), PolicySettings::default())
    }

    fn cell() -> SnapshotCell {
        let (cell, model) = (SnapshotCell::default(), model());
        let policy = empty(&model);
        let first = surroundings(1).around(model, &policy, Revision::new(1), now()).unwrap();
        cell.publish(first).unwrap();
        cell
    }

    fn write(cell: &SnapshotCell, ids: std::ops::Range<usize>) {
        for id in ids {
            let object = format!("note:{id}");
            let tuple = TupleText { user: "user:erin", relation: "reader", object: &object };
            cell.change(Delta::Tuples(&[TupleChange::Write(tuple, None)]), now()).unwrap();
        }
    }

    fn holds(cell: &SnapshotCell, id: usize) -> bool {
        let tuple = RelationshipTuple::parse("user:erin", "reader", &format!("note:{id}")).unwrap();
        cell.load().unwrap().policy.graph().contains(&tuple)
    }

    #[test]
    fn changes_during_a_compaction_are_not_lost() {
        let cell = cell();
        write(&cell, 0..1_100);
        let begun = cell.begin_compaction().unwrap();
        write(&cell, 1_100..1_200);
        let gone = TupleText { user: "user:erin", relation: "reader", object: "note:7" };
        cell.change(Delta::Tuples(&[TupleChange::Delete(gone)]), now()).unwrap();
        cell.change(Delta::Surroundings(surroundings(2)), now()).unwrap();
        let revision = cell.load().unwrap().revision;
        assert_eq!(cell.finish_compaction(&begun), Compacted::Published);
        let snapshot = cell.load().unwrap();
        assert_eq!((snapshot.revision, snapshot.policy.settings().most_steps), (revision, 2));
        assert!(!snapshot.policy.needs_compaction());
        assert_eq!(snapshot.policy.statistics().tuples, 1_199);
        assert!(holds(&cell, 6) && !holds(&cell, 7) && holds(&cell, 1_199));
        // What comes after it is laid over it, and not over what was before.
        write(&cell, 1_200..1_201);
        assert!(holds(&cell, 6) && holds(&cell, 1_200));
    }

    #[test]
    fn a_policy_that_comes_during_a_compaction_stays() {
        for whole in [false, true] {
            let cell = cell();
            write(&cell, 0..1_100);
            let begun = cell.begin_compaction().unwrap();
            let (model, next) = (model(), cell.load().unwrap().revision.next());
            let policy = empty(&model);
            if whole {
                cell.publish(surroundings(1).around(model, &policy, next, now()).unwrap()).unwrap();
            } else {
                cell.change(Delta::Policy(model, policy), now()).unwrap();
            }
            write(&cell, 0..1);
            assert_eq!(cell.finish_compaction(&begun), Compacted::Abandoned);
            assert!(holds(&cell, 0) && !holds(&cell, 1), "{whole}");
        }
    }

    #[test]
    fn a_closed_cell_is_not_compacted_and_an_empty_one_not_changed() {
        let cell = SnapshotCell::default();
        assert_eq!(cell.change(Delta::Tuples(&[]), now()).unwrap_err(), ChangeError::Missing);
        cell.close();
        assert!(cell.begin_compaction().is_none());
    }

    #[test]
    fn what_cannot_be_held_changes_nothing() {
        let cell = cell();
        let write = |object| TupleChange::Write(TupleText { user: "user:erin", relation: "reader", object }, None);
        let refused = cell.change(Delta::Tuples(&[write("note:1"), write("no object")]), now());
        assert!(matches!(refused, Err(ChangeError::Tuple(_))));
        assert_eq!(cell.load().unwrap().revision, Revision::new(1));
        assert!(!holds(&cell, 1));
    }
}
