//! The thread that writes records as lines of JSON, in order and whole.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use thiserror::Error;

use crate::telemetry::{MetricsError, Registry};

use super::log::{AuditLog, Batch, Capacity, OnFailure, Outlet};

/// What waits to be written, at most.
const QUEUE: Capacity = Capacity { records: 16_384, bytes: 64 * 1024 * 1024 };
/// With so much at once, more is waited for no longer.
const BATCH_BYTES: usize = 256 * 1024;
/// The pause after a write, in which records gather: under load one wake and one write are for many.
const GATHER: Duration = Duration::from_millis(5);
/// The pause after a write that failed.
const RETRY: Duration = Duration::from_millis(200);

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditSink {
    /// Standard output.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// The audit log cannot be started.
#[derive(Debug, Error)]
pub enum SinkError {
    /// The file cannot be opened.
    #[error("`{0}` cannot be opened for audit records: {1}")]
    Open(PathBuf, io::Error),
    /// The thread cannot be started.
    #[error("the audit writer cannot be started: {0}")]
    Thread(io::Error),
    /// A metric is there already.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// The writer's thread.
#[derive(Debug)]
pub struct AuditWriter {
    thread: JoinHandle<()>,
    // Asks the thread to open its file anew.
    rotate: Arc<AtomicBool>,
}

impl AuditWriter {
    /// Opens the sink and starts to write.
    pub fn start(sink: &AuditSink, on_failure: OnFailure, registry: &Registry) -> Result<(AuditLog, Self), SinkError> {
        let output = Output::open(sink)?;
        let (log, outlet) = AuditLog::new(QUEUE, on_failure, registry)?;
        let thread = thread::Builder::new().name("audit".to_owned());
        let rotate = Arc::new(AtomicBool::new(false));
        let mut files = Files { sink: sink.clone(), output, rotate: Arc::clone(&rotate) };
        let thread = thread.spawn(move || write_all(&outlet, &mut files)).map_err(SinkError::Thread)?;
        Ok((log, Self { thread, rotate }))
    }

    /// Whether records are still being written; if not, nothing may pass any more.
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Opens the file anew before the next record is written.
    pub fn rotate(&self) {
        self.rotate.store(true, Ordering::Relaxed);
    }

    /// Waits until every record is written; all logs must be dropped before. False if that takes longer than `limit`.
    pub fn finish(self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while !self.thread.is_finished() {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.thread.join().is_ok()
    }
}

/// The sink, open, and how to open it anew.
#[derive(Debug)]
struct Files {
    sink: AuditSink,
    output: Output,
    rotate: Arc<AtomicBool>,
}

impl Files {
    /// Writes a part of the bytes. Between two lines, a file that was moved away is opened anew.
    fn write(&mut self, bytes: &[u8], between_lines: bool) -> io::Result<usize> {
        if between_lines && self.rotate.load(Ordering::Relaxed) {
            self.output = Output::open(&self.sink).map_err(io::Error::other)?;
            self.rotate.store(false, Ordering::Relaxed);
        }
        self.output.write(bytes)
    }
}

#[derive(Debug)]
enum Output {
    Stdout(io::Stdout),
    File(File),
}

impl Output {
    fn open(sink: &AuditSink) -> Result<Self, SinkError> {
        match sink {
            AuditSink::Stdout => Ok(Self::Stdout(io::stdout())),
            AuditSink::File(path) => append(path).map(Self::File).map_err(|error| SinkError::Open(path.clone(), error)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => {
                let mut stdout = stdout.lock();
                let written = stdout.write(bytes)?;
                stdout.flush().map(|()| written)
            }
            Self::File(file) => file.write(bytes),
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

fn write_all(outlet: &Outlet, files: &mut Files) {
    let mut batch = Batch::default();
    while outlet.take(&mut batch) {
        if !write_lines(outlet, files, &batch.lines) {
            return;
        }
        let is_full = batch.lines.len() >= BATCH_BYTES;
        outlet.written(&batch);
        batch.clear(BATCH_BYTES);
        // A full batch shows that more wait already.
        if !is_full {
            thread::sleep(GATHER);
        }
    }
}

/// Writes the lines whole, however often that fails. False if the log was closed while the sink failed.
fn write_lines(outlet: &Outlet, files: &mut Files, lines: &[u8]) -> bool {
    let mut rest = lines;
    while !rest.is_empty() {
        let error = match files.write(rest, rest.len() == lines.len()) {
            Ok(written) if written > 0 => {
                // What was written stays written: after a full disk the line goes on where it stopped.
                rest = rest.get(written..).unwrap_or_default();
                if outlet.note_failing(false) {
                    tracing::info!("audit records are written again");
                }
                continue;
            }
            Ok(_) => io::ErrorKind::WriteZero.into(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        outlet.count_failure();
        if outlet.note_failing(true) {
            tracing::error!(%error, "audit records cannot be written");
        }
        if outlet.is_at_its_end() {
            return false;
        }
        thread::sleep(RETRY);
    }
    true
}
