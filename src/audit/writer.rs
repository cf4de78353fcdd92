//! The thread that writes records as lines of JSON, in order and whole.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
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

use super::log::{AuditLog, Batch, Capacity, OnFailure, Outlet, Unwritten};

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

/// Records that were never written, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LostRecords {
    /// The sink failed to the end.
    #[error("the sink failed to the end")]
    Failed(usize),
    /// The sink was still at work at the end of the time for it.
    #[error("the sink was still at work at the deadline")]
    Late(usize),
}

impl LostRecords {
    /// How many. At the deadline one of them may yet have been written.
    pub fn count(self) -> usize {
        match self {
            Self::Failed(count) | Self::Late(count) => count,
        }
    }
}

/// The writer's thread.
#[derive(Debug)]
pub struct AuditWriter {
    thread: JoinHandle<()>,
    unwritten: Unwritten,
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
        let unwritten = outlet.unwritten();
        let mut files = Files { sink: sink.clone(), output, rotate: Arc::clone(&rotate) };
        let thread = thread.spawn(move || write_all(&outlet, &mut files)).map_err(SinkError::Thread)?;
        Ok((log, Self { thread, unwritten, rotate }))
    }

    /// Whether records are still being written; if not, nothing may pass any more.
    pub fn is_alive(&self) -> bool {
        !self.thread.is_finished()
    }

    /// Opens the file anew before the next record is written.
    pub fn rotate(&self) {
        self.rotate.store(true, Ordering::Relaxed);
    }

    /// Waits until every record is written, for `limit` at most; all logs must be dropped before.
    ///
    /// A sink that fails then is not waited for: what it did not take is lost.
    pub fn finish(self, limit: Duration) -> Result<(), LostRecords> {
        let deadline = Instant::now() + limit;
        while !self.thread.is_finished() {
            if Instant::now() > deadline {
                return Err(LostRecords::Late(self.unwritten.records()));
            }
            thread::sleep(Duration::from_millis(2));
        }
        match (self.thread.join(), self.unwritten.records()) {
            (Ok(()), 0) => Ok(()),
            (Ok(()) | Err(_), lost) => Err(LostRecords::Failed(lost)),
        }
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
    File {
        file: File,
        // It ends with a part of a line, of a process before: the next record begins a new one.
        is_within_line: bool,
    },
}

impl Output {
    fn open(sink: &AuditSink) -> Result<Self, SinkError> {
        match sink {
            AuditSink::Stdout => Ok(Self::Stdout(io::stdout())),
            AuditSink::File(path) => {
                let file = append(path).map_err(|error| SinkError::Open(path.clone(), error))?;
                Ok(Self::File { file, is_within_line: ends_within_line(path) })
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => {
                let mut stdout = stdout.lock();
                let written = stdout.write(bytes)?;
                stdout.flush().map(|()| written)
            }
            Self::File { file, is_within_line } => {
                if *is_within_line {
                    file.write_all(b"\n")?;
                    *is_within_line = false;
                }
                file.write(bytes)
            }
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

/// Whether the last line of a file is not whole. One that cannot be read is taken for such: an empty line hurts nobody.
fn ends_within_line(path: &Path) -> bool {
    // Of pipes and devices nothing is read.
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
        && !last_byte(path).is_ok_and(|last| last == b'\n')
}

fn last_byte(path: &Path) -> io::Result<u8> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    let [last] = last;
    Ok(last)
}

fn write_all(outlet: &Outlet, files: &mut Files) {
    let mut batch = Batch::default();
    while outlet.take(&mut batch) {
        let written = write_lines(outlet, files, &batch.lines);
        if written < batch.lines.len() {
            let whole = batch.lines.iter().take(written).filter(|byte| **byte == b'\n').count();
            outlet.written(whole, written);
            return;
        }
        let is_full = batch.lines.len() >= BATCH_BYTES;
        outlet.written_whole(&batch);
        batch.clear(BATCH_BYTES);
        // A full batch shows that more wait already.
        if !is_full {
            thread::sleep(GATHER);
        }
    }
}

/// Writes the lines whole, however often that fails, and says how many bytes were written: fewer only if the log was closed
/// and the sink fails.
fn write_lines(outlet: &Outlet, files: &mut Files, lines: &[u8]) -> usize {
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
        if outlet.is_closed() {
            return lines.len() - rest.len();
        }
        thread::sleep(RETRY);
    }
    lines.len()
}
