//! What the running proxy says of itself.

use std::{fmt, time::SystemTime};

use serde_json::{Value, json};

use crate::{
    access::Timestamp,
    net::DrainSignal,
    snapshot::{Snapshot, SnapshotCell},
};

/// Where the proxy listens.
#[derive(Debug, Clone)]
pub struct Listening {
    /// What for, such as `data`.
    pub purpose: &'static str,
    /// The address, with its real port, or the path.
    pub at: String,
}

/// The parts of a running proxy that its state is told from.
pub struct ProxyState {
    /// Where it listens.
    pub listeners: Vec<Listening>,
    /// How many requests of agents are in flight.
    pub in_flight: Box<dyn Fn() -> i64 + Send + Sync>,
    /// Ordered once it drains.
    pub drain: DrainSignal,
}

impl fmt::Debug for ProxyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyState").field("listeners", &self.listeners).finish_non_exhaustive()
    }
}

impl ProxyState {
    /// The state at this time. What belongs to a snapshot is `null` while there is none.
    pub(super) fn document(&self, cell: &SnapshotCell, now: Timestamp) -> Value {
        let snapshot = cell.load();
        let of_snapshot = snapshot.as_deref().map(|snapshot| snapshot_document(snapshot, cell, now));
        let listeners: Vec<Value> =
            self.listeners.iter().map(|one| json!({ "purpose": one.purpose, "at": one.at })).collect();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "process": std::process::id(),
            "draining": self.drain.is_ordered(),
            "in_flight": (self.in_flight)(),
            "listeners": listeners,
            "snapshot": of_snapshot,
        })
    }
}

fn snapshot_document(snapshot: &Snapshot, cell: &SnapshotCell, now: Timestamp) -> Value {
    let statistics = snapshot.policy.statistics();
    let model = snapshot.policy.model();
    json!({
        "revision": snapshot.revision.number(),
        "built_at": humantime::format_rfc3339_millis(SystemTime::from(snapshot.built_at)).to_string(),
        "age_seconds": cell.age(now).as_secs_f64(),
        "max_staleness_seconds": snapshot.max_staleness.map(|bound| bound.as_secs_f64()),
        "stale": cell.is_stale(snapshot, now),
        "source": &*snapshot.source,
        "model": {
            "types": model.types().count(),
            "relations": model.relation_count(),
            "conditions": model.conditions().iter().count(),
        },
        "tuples": { "count": statistics.tuples, "set_aside": statistics.set_aside },
        "routes": snapshot.routes.routes().len(),
    })
}
