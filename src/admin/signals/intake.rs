//! One way for all signals: heard by the snapshot in force, counted, logged and recorded.

use std::{sync::Arc, time::SystemTime};

use prometheus::{IntCounterVec, Opts};
use thiserror::Error;
use tokio::sync::Notify;

use crate::{
    access::{Entity, Timestamp},
    audit::{AuditLog, SignalRecord, SignalWay},
    identity::{Authenticator, Heard, InvalidSignal, Signal},
    net::Ending,
    snapshot::SnapshotCell,
    telemetry::{EndedConnections, MetricsError, Registry},
};

/// What came of signals, and of the polls for them.
#[derive(Debug, Clone)]
pub struct SignalMetrics {
    signals: IntCounterVec,
    polls: IntCounterVec,
    ended: EndedConnections,
}

impl SignalMetrics {
    /// Makes the metrics and registers them; connections that end are counted with those of other listeners.
    pub fn new(registry: &Registry, ended: EndedConnections) -> Result<Self, MetricsError> {
        let signals = Opts::new("portcullis_signals_total", "Signals of issuers that sessions ended, by outcome.");
        let polls = Opts::new("portcullis_signal_polls_total", "Polls for signals, by outcome.");
        let metrics = Self {
            signals: registry.register(IntCounterVec::new(signals, &["outcome"]))?,
            polls: registry.register(IntCounterVec::new(polls, &["outcome"]))?,
            ended,
        };
        for outcome in ["revoked", "verified", "repeated", "passed", "refused", "unauthenticated"] {
            metrics.signals.with_label_values(&[outcome]).inc_by(0);
        }
        for outcome in ["answered", "unanswered", "failed"] {
            metrics.polls.with_label_values(&[outcome]).inc_by(0);
        }
        Ok(metrics)
    }

    pub(super) fn count(&self, outcome: &str) {
        self.signals.with_label_values(&[outcome]).inc();
    }

    pub(super) fn ended(&self, ending: Ending) {
        self.ended.count(ending.name());
    }

    pub(super) fn count_poll(&self, outcome: &str) {
        self.polls.with_label_values(&[outcome]).inc();
    }
}

/// Why a signal was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum NotTaken {
    /// There is no snapshot to hear it by.
    #[error("not ready")]
    NotReady,
    /// It is refused.
    #[error(transparent)]
    Invalid(#[from] InvalidSignal),
}

/// Where a signal came from.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) way: SignalWay,
    /// The address of who pushed it, or the URL that was polled.
    pub(super) source: Arc<str>,
}

/// Takes signals by the issuers and keys of the snapshot in force. What it takes counts with the next request.
#[derive(Debug, Clone)]
pub struct SignalIntake {
    snapshots: Arc<SnapshotCell>,
    metrics: SignalMetrics,
    audit: AuditLog,
    unknown_key: Arc<Notify>,
}

impl SignalIntake {
    /// An intake that tells `unknown_key` when a signal names a key that is not there.
    pub fn new(
        snapshots: Arc<SnapshotCell>,
        metrics: SignalMetrics,
        audit: AuditLog,
        unknown_key: Arc<Notify>,
    ) -> Self {
        Self { snapshots, metrics, audit, unknown_key }
    }

    pub(super) fn metrics(&self) -> &SignalMetrics {
        &self.metrics
    }

    /// Who is known now.
    pub(super) fn authenticator(&self) -> Result<Arc<Authenticator>, NotTaken> {
        self.snapshots.load().map(|snapshot| Arc::clone(&snapshot.authenticator)).ok_or(NotTaken::NotReady)
    }

    /// Takes one signal. When this returns without a problem, it counts.
    pub(super) fn take(&self, text: &str, sender: &Sender) -> Result<Heard, NotTaken> {
        let now = SystemTime::now();
        let signal = self.authenticator()?.hear(text, Timestamp::from(now));
        // A token with a key that is not there may be newer than the keys.
        if signal.outcome.as_ref().is_err_and(InvalidSignal::is_for_later) {
            self.unknown_key.notify_one();
        }
        let record = record(&signal, sender, now);
        self.metrics.count(record.outcome);
        log(&record);
        // It counts already, or is refused already: a record that cannot be kept is counted as lost.
        self.audit.reserve_for_denial().record_signal(&record);
        Ok(signal.outcome?)
    }
}

fn record(signal: &Signal, sender: &Sender, now: SystemTime) -> SignalRecord {
    let Signal { origin, outcome } = signal;
    let (subject, revoked, before) = match outcome {
        Ok(Heard::Revoked { name, entities, before }) => (Some(name.clone()), entities.clone(), Some(*before)),
        Ok(Heard::Verified | Heard::Repeated | Heard::Passed) | Err(_) => (None, Vec::new(), None),
    };
    SignalRecord {
        time: now,
        outcome: name(outcome),
        way: sender.way,
        source: Arc::clone(&sender.source),
        issuer: origin.as_ref().map(|origin| Arc::clone(&origin.issuer)),
        id: origin.as_ref().and_then(|origin| origin.id.clone()),
        event: origin.as_ref().and_then(|origin| origin.event.clone()),
        subject,
        revoked,
        before,
        detail: outcome.as_ref().err().map(ToString::to_string),
    }
}

const fn name(outcome: &Result<Heard, InvalidSignal>) -> &'static str {
    match outcome {
        Ok(Heard::Revoked { .. }) => "revoked",
        Ok(Heard::Verified) => "verified",
        Ok(Heard::Repeated) => "repeated",
        Ok(Heard::Passed) => "passed",
        Err(_) => "refused",
    }
}

fn log(record: &SignalRecord) {
    let (way, source) = (record.way.name(), &*record.source);
    if let Some(before) = record.before {
        let entities = record.revoked.iter().map(Entity::as_str).collect::<Vec<_>>().join(" ");
        let subject = record.subject.as_deref().unwrap_or_default();
        tracing::info!(way, source, subject, entities, before = before.seconds(), "a signal revoked tokens");
    } else if let Some(problem) = &record.detail {
        tracing::warn!(way, source, problem, "a signal was refused");
    } else {
        tracing::debug!(way, source, outcome = record.outcome, "a signal changed nothing");
    }
}
