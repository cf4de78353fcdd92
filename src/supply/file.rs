//! Snapshots from files: watched, and built again when one of them changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::access::{Diagnostic, Place, Revision};

use super::{
    keys::{KeyDocuments, KeyFetcher, KeySetMetrics, KeyUrl},
    source::{Change, Loaded, Source},
};

/// Files must have been quiet for this long before they are read: writers write in pieces.
const QUIET: Duration = Duration::from_millis(50);
/// A writer that never rests does not delay the read for longer.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// Files are looked at this often even if the kernel reports nothing.
const POLL: Duration = Duration::from_secs(1);
/// So often files are read for one build at most, if they change meanwhile.
const READINGS: u32 = 3;

/// What was made of the files.
#[derive(Debug)]
pub struct Assembly {
    /// A snapshot, or why there is none.
    pub loaded: Loaded,
    /// Every file that was read or looked for: a change of one of them is a reason to assemble again.
    pub files: Vec<PathBuf>,
    /// Every key set that has to be fetched.
    pub keys: Vec<KeyUrl>,
}

/// Makes a snapshot of files. The composition root knows how.
pub trait Assemble: Send + 'static {
    /// Reads the files and builds a snapshot of this revision. May take long; runs on a thread of its own.
    fn assemble(&mut self, keys: &KeyDocuments, revision: Revision) -> Assembly;

    /// What was assembled last is in force.
    fn published(&mut self) {}
}

/// The files of a configuration, as a source.
#[derive(Debug)]
pub struct FileSource<A> {
    // `None` only while it works on a thread of its own.
    assembler: Option<A>,
    keys: KeyFetcher,
    watch: Watch,
}

impl<A: Assemble> FileSource<A> {
    /// A source that has not been loaded yet. `unknown_key` tells that a token named a key that is not there.
    pub fn new(assembler: A, unknown_key: Arc<Notify>, metrics: KeySetMetrics) -> Self {
        Self { assembler: Some(assembler), keys: KeyFetcher::new(unknown_key, metrics), watch: Watch::new() }
    }
}

impl<A: Assemble> Source for FileSource<A> {
    async fn changed(&mut self) -> Change {
        tokio::select! {
            change = self.watch.changed() => change,
            () = self.keys.changed() => Change::Changed,
        }
    }

    async fn load(&mut self, revision: Revision) -> Loaded {
        let lost = || {
            let message = "a build broke off by a fault, nothing is built any more";
            let problem = Diagnostic::new(&"portcullis".into(), Place::default(), message);
            Loaded::Refused(vec![problem.with_help("restart, and report the log")])
        };
        let mut readings = 0;
        loop {
            let Some(mut assembler) = self.assembler.take() else { return lost() };
            let documents = self.keys.documents();
            let (begun, before) = (SystemTime::now(), self.watch.fingerprints());
            let build = tokio::task::spawn_blocking(move || {
                let assembly = assembler.assemble(&documents, revision);
                (assembler, assembly)
            });
            // A panic while building would leave no assembler: nothing is published any more, and that is logged.
            let Ok((assembler, assembly)) = build.await else { return lost() };
            self.assembler = Some(assembler);
            self.keys.want(&assembly.keys);
            self.watch.follow(&assembly.files, &before, begun);
            readings += 1;
            // What was read while it changed may be of two states. Files that never rest are taken as they are: their next
            // change is the next build.
            if self.watch.are_as_read() || readings == READINGS {
                return assembly.loaded;
            }
            self.watch.settle().await;
        }
    }

    fn published(&mut self) {
        if let Some(assembler) = &mut self.assembler {
            assembler.published();
        }
    }
}

/// What tells one state of a file from another: where its symbolic links lead, its time, its size and its inode.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    target: PathBuf,
    state: Option<(SystemTime, u64, u64)>,
}

impl Fingerprint {
    fn of(file: &Path) -> Self {
        let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
        let state = fs::metadata(&target).ok().map(|metadata| {
            #[cfg(unix)]
            let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
            #[cfg(not(unix))]
            let inode = 0;
            (metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len(), inode)
        });
        Self { target, state }
    }

    /// The fingerprint of a file that was read after `begun` without a look at it before: if it changed since then,
    /// nobody knows which state was read, and it counts as changed.
    fn of_read(file: &Path, begun: SystemTime) -> Self {
        let mut now = Self::of(file);
        now.state = now.state.filter(|(modified, _, _)| *modified <= begun);
        now
    }
}

type Fingerprints = BTreeMap<PathBuf, Fingerprint>;

#[derive(Debug)]
struct Watch {
    // What the files were when they were last read.
    read: Fingerprints,
    // `None` where the kernel offers no events: then only the poll notices changes.
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    event: Arc<Notify>,
}

impl Watch {
    fn new() -> Self {
        let event = Arc::new(Notify::new());
        let told = Arc::clone(&event);
        let watcher = notify::recommended_watcher(move |_| told.notify_one());
        let watcher = watcher.inspect_err(|error| tracing::warn!(%error, "files are only polled for changes")).ok();
        Self { read: Fingerprints::new(), watcher, folders: BTreeSet::new(), event }
    }

    async fn changed(&mut self) -> Change {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        tokio::select! {
            () = self.event.notified() => {}
            _ = ticks.tick() => {}
        }
        if self.are_as_read() {
            // Another file of these folders changes, and may do so all the time: an audit log, for one.
            sleep(QUIET).await;
            return Change::Confirmed;
        }
        self.settle().await;
        Change::Changed
    }

    /// Waits until the files rest.
    async fn settle(&self) {
        let rest = async {
            let mut last = self.fingerprints();
            loop {
                sleep(QUIET).await;
                let now = self.fingerprints();
                if now == last {
                    return;
                }
                last = now;
            }
        };
        // A writer that does not rest is read as it is; its next write is the next change.
        let _ = timeout(LONGEST_WAIT, rest).await;
    }

    fn are_as_read(&self) -> bool {
        self.fingerprints() == self.read
    }

    fn fingerprints(&self) -> Fingerprints {
        self.read.keys().map(|file| (file.clone(), Fingerprint::of(file))).collect()
    }

    /// Follows these files from now on. They were read after `begun`; `before` is what was seen of them until then.
    fn follow(&mut self, files: &[PathBuf], before: &Fingerprints, begun: SystemTime) {
        let seen = |file: &PathBuf| before.get(file).cloned().unwrap_or_else(|| Fingerprint::of_read(file, begun));
        self.read = files.iter().map(|file| (file.clone(), seen(file))).collect();
        let folders: BTreeSet<PathBuf> = files.iter().filter_map(|file| folder_of(file)).collect();
        let Some(watcher) = &mut self.watcher else { return };
        for folder in folders.difference(&self.folders) {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::warn!(%error, folder = %folder.display(), "this folder is only polled for changes");
            }
        }
        for folder in self.folders.difference(&folders) {
            // It may be gone, and then it is not watched any more anyway.
            let _ = watcher.unwatch(folder);
        }
        self.folders = folders;
    }
}

fn folder_of(file: &Path) -> Option<PathBuf> {
    let folder = file.parent()?;
    Some(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::telemetry::Registry;

    /// Reads two files, between which somebody changes both.
    struct Reading {
        files: [PathBuf; 2],
        changes: Arc<AtomicU32>,
    }

    fn write(files: &[PathBuf; 2], text: &str) {
        files.iter().for_each(|file| fs::write(file, text).unwrap());
    }

    impl Assemble for Reading {
        fn assemble(&mut self, _: &KeyDocuments, _: Revision) -> Assembly {
            let [first, second] = &self.files;
            let first = fs::read_to_string(first).unwrap();
            let left = self.changes.load(Ordering::Relaxed);
            if left > 0 {
                self.changes.store(left - 1, Ordering::Relaxed);
                write(&self.files, &"x".repeat(100 + usize::try_from(left).unwrap()));
            }
            let second = fs::read_to_string(second).unwrap();
            let loaded = Loaded::Waiting(if first == second { "alike" } else { "a mix" }.to_owned());
            Assembly { loaded, files: self.files.to_vec(), keys: Vec::new() }
        }
    }

    #[tokio::test]
    async fn what_changed_while_it_was_read_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["first", "second"].map(|name| folder.path().join(name));
        write(&files, "x");
        let changes = Arc::<AtomicU32>::default();
        let reading = Reading { files, changes: Arc::clone(&changes) };
        let metrics = KeySetMetrics::new(&Registry::default()).unwrap();
        let mut source = FileSource::new(reading, Arc::default(), metrics);
        for (times, what) in [(0, "alike"), (1, "alike"), (2, "alike"), (READINGS, "a mix")] {
            changes.store(times, Ordering::Relaxed);
            let Loaded::Waiting(is) = source.load(Revision::new(1)).await else { panic!("it is waited for") };
            assert_eq!(is, what, "changed {times} times");
        }
        // Its last change is seen as one.
        assert!(!source.watch.are_as_read());
    }
}
