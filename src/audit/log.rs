//! The queue of records: a place in it is reserved before a request may pass.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::SystemTime,
};

use prometheus::{IntCounter, IntGauge};
use thiserror::Error;

use crate::telemetry::{MetricsError, Registry};

use super::{gap::write_gap, record::AuditRecord, signal::SignalRecord};

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

/// How much may wait to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Capacity {
    /// Records, and places for records.
    pub(super) records: usize,
    /// Bytes of records.
    pub(super) bytes: usize,
}

impl Capacity {
    /// What denials may take of it: whoever is denied in floods, and quicker than a disk writes, leaves room for those who are
    /// not.
    fn of_denials(self) -> Self {
        Self { records: self.records / 4 * 3, bytes: self.bytes / 4 * 3 }
    }
}

/// Records that wait to be written, and the places of those that will come.
///
/// They wait as the lines that they will be: the thread that decided writes its record out, and the one that keeps it
/// only hands bytes to the sink.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    // Told when something came, or nothing will come any more.
    came: Condvar,
    capacity: Capacity,
    // Places that are reserved, and records that are not written yet.
    places: AtomicUsize,
    bytes: AtomicUsize,
    // Records that had no place, of which the log does not tell yet.
    untold: AtomicUsize,
    // Set by the writer while the sink fails.
    failing: AtomicBool,
    // Set when the writer is gone: nothing will be written any more.
    abandoned: AtomicBool,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Waiting {
    batch: Batch,
    is_awaited: bool,
    is_closed: bool,
}

/// Whole lines, one for each record.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    pub(super) records: usize,
    // So many that had no place does it tell of, in its last line.
    lost: usize,
    // What is after it is a line that was not finished.
    whole: usize,
}

impl Batch {
    /// Adds a record, and says how long its line is.
    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let bytes = self.tell(write);
        self.records += 1;
        bytes
    }

    /// Adds a line that is no record of its own, and says how long it is.
    fn tell(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let begin = self.whole;
        self.lines.truncate(begin);
        write(&mut self.lines);
        self.lines.push(b'\n');
        self.whole = self.lines.len();
        self.whole - begin
    }

    /// Empties it; room for more than `bytes` is given back.
    pub(super) fn clear(&mut self, bytes: usize) {
        self.lines.clear();
        self.lines.shrink_to(bytes);
        (self.records, self.lost, self.whole) = (0, 0, 0);
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A fault leaves a line behind that is not finished, and that the next one replaces.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place among so many.
    fn take_place(&self, among: Capacity) -> bool {
        if self.abandoned.load(Ordering::Relaxed) || self.bytes.load(Ordering::Relaxed) >= among.bytes {
            return false;
        }
        let has_place = self.places.fetch_add(1, Ordering::Relaxed) < among.records;
        if !has_place {
            self.give_back(1);
        }
        has_place
    }

    fn give_back(&self, places: usize) {
        self.places.fetch_sub(places, Ordering::Relaxed);
    }

    fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.waiting();
        let bytes = waiting.batch.push(write);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if std::mem::take(&mut waiting.is_awaited) {
            self.came.notify_one();
        }
    }

    /// Lets the writer look again.
    fn wake(&self) {
        if std::mem::take(&mut self.waiting().is_awaited) {
            self.came.notify_one();
        }
    }

    fn close(&self) {
        self.waiting().is_closed = true;
        self.came.notify_one();
    }
}

/// The log that decisions are recorded in.
#[derive(Debug, Clone)]
pub struct AuditLog {
    open: Arc<Open>,
    on_failure: OnFailure,
}

/// Whoever holds it may yet bring a record.
#[derive(Debug)]
struct Open(Arc<Queue>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A place in the queue, for exactly one record.
#[derive(Debug)]
pub struct Slot {
    open: Arc<Open>,
    // If not, the record is lost and only counted.
    has_place: bool,
}

/// What the writer takes records from. When it is dropped, nothing will be written any more.
#[derive(Debug)]
pub(super) struct Outlet(Arc<Queue>);

impl AuditLog {
    pub(super) fn new(
        capacity: Capacity,
        on_failure: OnFailure,
        registry: &Registry,
    ) -> Result<(Self, Outlet), MetricsError> {
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            came: Condvar::new(),
            capacity,
            places: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            untold: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            metrics: Metrics::new(registry)?,
        });
        let outlet = Outlet(Arc::clone(&queue));
        Ok((Self { open: Arc::new(Open(queue)), on_failure }, outlet))
    }

    /// A place for the record of a request that may be let through.
    pub fn reserve(&self) -> Result<Slot, AuditUnavailable> {
        let healthy = !self.open.0.failing.load(Ordering::Relaxed);
        let slot = self.slot_among(self.open.0.capacity);
        match self.on_failure {
            OnFailure::Deny if !slot.has_place || !healthy => Err(AuditUnavailable),
            OnFailure::Deny | OnFailure::Count => Ok(slot),
        }
    }

    /// A place for the record of what is so already, such as a denial: if there is none, the record is lost and counted.
    pub fn reserve_for_denial(&self) -> Slot {
        self.slot_among(self.open.0.capacity.of_denials())
    }

    fn slot_among(&self, capacity: Capacity) -> Slot {
        Slot { has_place: self.open.0.take_place(capacity), open: Arc::clone(&self.open) }
    }
}

impl Slot {
    /// Puts the record into its place.
    pub fn record(self, record: &AuditRecord) {
        self.put(|line| record.write(line));
    }

    /// Puts the record of a signal into its place.
    pub fn record_signal(self, record: &SignalRecord) {
        self.put(|line| record.write(line));
    }

    fn put(mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let queue = &self.open.0;
        if !std::mem::take(&mut self.has_place) {
            queue.metrics.lost.inc();
            queue.untold.fetch_add(1, Ordering::Relaxed);
            // All places may be those of records that come much later.
            return queue.wake();
        }
        queue.push(write);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if self.has_place {
            self.open.0.give_back(1);
        }
    }
}

impl Outlet {
    /// Waits for records, and takes all that are there in exchange for an empty batch; behind them a line that tells how many
    /// had no place, if there are such. False once no more can come.
    pub(super) fn take(&self, batch: &mut Batch) -> bool {
        let mut waiting = self.0.waiting();
        while waiting.batch.records == 0 && !waiting.is_closed && self.0.untold.load(Ordering::Relaxed) == 0 {
            waiting.is_awaited = true;
            waiting = self.0.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut waiting.batch, batch);
        drop(waiting);
        batch.lines.truncate(batch.whole);
        batch.lost = self.0.untold.load(Ordering::Relaxed);
        if batch.lost > 0 {
            let lost = batch.lost;
            let bytes = batch.tell(|line| write_gap(line, SystemTime::now(), lost));
            self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        !batch.lines.is_empty()
    }

    /// A whole batch is written.
    pub(super) fn written_whole(&self, batch: &Batch) {
        self.0.untold.fetch_sub(batch.lost, Ordering::Relaxed);
        self.written(batch.records, batch.lines.len());
    }

    /// Frees the places of records that are written.
    pub(super) fn written(&self, records: usize, bytes: usize) {
        self.0.give_back(records);
        self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.0.metrics.written.inc_by(u64::try_from(records).unwrap_or(0));
    }

    /// What can tell how much is not written, also when this is gone.
    pub(super) fn unwritten(&self) -> Unwritten {
        Unwritten(Arc::clone(&self.0))
    }

    /// Notes whether the sink fails; true if that is new.
    pub(super) fn note_failing(&self, failing: bool) -> bool {
        let changed = self.0.failing.swap(failing, Ordering::Relaxed) != failing;
        if changed {
            self.0.metrics.failing.set(failing.into());
        }
        changed
    }

    /// Counts a write that failed.
    pub(super) fn count_failure(&self) {
        self.0.metrics.failures.inc();
    }

    /// Whether no more records can come.
    pub(super) fn is_closed(&self) -> bool {
        self.0.waiting().is_closed
    }
}

/// Tells how much is not written.
#[derive(Debug)]
pub(super) struct Unwritten(Arc<Queue>);

impl Unwritten {
    /// The records that are not written yet, with the places of those that will come, and with those that had none and of
    /// which nothing is told.
    pub(super) fn records(&self) -> usize {
        self.0.places.load(Ordering::Relaxed) + self.0.untold.load(Ordering::Relaxed)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.0.abandoned.store(true, Ordering::Relaxed);
    }
}
