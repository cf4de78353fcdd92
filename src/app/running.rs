//! A running Portcullis: workers that serve, a control thread that keeps the snapshot fresh.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    runtime::{Builder, Runtime},
    sync::{Notify, watch},
};

use crate::{
    access::Diagnostic,
    admin::{
        DecisionHandler, DecisionMetrics, SignalHandler, SignalIntake, SignalMetrics, SignalPoller, TelemetryHandler,
    },
    audit::{AuditLog, AuditWriter, SinkError},
    config::{ListenSettings, PolicySource, Settings},
    net::{
        Descriptors, Drain, DrainSignal, Ending, HandOverError, ListenAddress, Listener, ListenerError, Passage,
        Predecessor, ServerSettings, ServerTls, TooFewDescriptors, first_kept_descriptor, look_after, refuse_too_few,
        serve,
    },
    proxy::{Enforcer, ProxyMetrics, SessionKey, Shared, register_upstream_metrics},
    snapshot::{CompactionMetrics, SnapshotCell, register_metrics},
    supply::{FileSource, KeySetMetrics, Replicator, SupplyMetrics},
    telemetry::{EndedConnections, MetricsError, Registry},
};

use super::{
    assembler::{Assembler, Fixed, Seed, check_everything, interceptions, listeners},
    clock::{ClockMetrics, watch_clock},
    huge_pages::HugePages,
    operator::{AdminError, Told},
    sockets::Sockets,
    upstreams::KnownEndpoints,
    worker::start_worker,
};

/// Why nothing was started.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration, or a file that it names, is not right.
    #[error("{} in the configuration", problems(.0))]
    Invalid(Vec<Diagnostic>),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listener(#[from] ListenerError),
    /// The process before does not pass its sockets, or too many would be passed on.
    #[error(transparent)]
    HandOver(#[from] HandOverError),
    /// No client could ever connect.
    #[error(transparent)]
    Descriptors(#[from] TooFewDescriptors),
    /// Operators could not ask.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Decisions could not be recorded.
    #[error(transparent)]
    Audit(#[from] SinkError),
    /// A metric is there twice.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Nothing that has to be kept from others could be made.
    #[error("the machine gives no random bytes")]
    Random,
    /// A thread or its runtime cannot be started.
    #[error("a thread cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every request had its answer, and every record was written.
    InOrder,
    /// The deadline passed with requests in flight.
    AtDeadline,
    /// Every request had its answer, but not every record was written.
    Unrecorded,
}

/// A Portcullis that serves.
#[derive(Debug)]
pub struct Running {
    data: Vec<ListenAddress>,
    decision: Option<ListenAddress>,
    signals: Option<ListenAddress>,
    telemetry: Option<ListenAddress>,
    admin: Option<PathBuf>,
    // Of the work, and of what is beside it: closed when the work ends, and at the very end.
    listeners: Vec<Listener>,
    doors: Vec<Listener>,
    // How far the next process has taken the sockets.
    passage: Option<watch::Receiver<Passage>>,
    snapshots: Arc<SnapshotCell>,
    // Ordered first: the data listeners.
    work: Drain,
    // Ordered when the last answer has ended: what is revoked until then ends it.
    replication: Drain,
    // Ordered last, so that health can be asked for, and signals are heard, until the last answer has ended.
    health: Drain,
    not_ready: Drain,
    // Ordered at the deadline: what is still in flight is dropped.
    abandon: Drain,
    // Joined at the end, so that every record is handed over.
    threads: Vec<JoinHandle<()>>,
    // The decision listener and the compaction, which keep no records.
    beside: Vec<JoinHandle<()>>,
    audit: AuditWriter,
    patience: Duration,
}

impl Running {
    /// Reads the configuration, builds the first snapshot, and serves. Refuses with every problem.
    pub fn start(config: &Path) -> Result<Self, StartError> {
        let settings = check_everything(config).map_err(StartError::Invalid)?;
        let registry = Registry::default();
        let snapshots = Arc::new(SnapshotCell::default());
        register_metrics(&snapshots, &registry)?;
        let (tls_senders, tls) = tls_channels(&settings);
        let unknown_key = Arc::new(Notify::new());
        let refused_keys = Arc::default();
        let memory = seed(&settings, &snapshots)?;
        let store = memory.as_ref().map(|seed| Arc::clone(&seed.store));
        let (polls_sender, polls) = watch::channel(Vec::new());
        let (endpoints, upstreams) = KnownEndpoints::new();
        register_upstream_metrics(upstreams.clone(), &registry)?;
        let assembler = Assembler {
            path: config.to_owned(),
            fixed: Fixed::of(&settings),
            tls: tls_senders,
            identities: Vec::new(),
            interceptions: interceptions(&settings),
            next_interceptions: Vec::new(),
            polls: polls_sender,
            next_polls: None,
            endpoints,
            memory,
            authenticator: None,
        };
        let control = Builder::new_current_thread().enable_all().build()?;
        let source = FileSource::new(assembler, Arc::clone(&unknown_key), KeySetMetrics::new(&registry)?);
        let mut replicator = Replicator::new(source, Arc::clone(&snapshots), SupplyMetrics::new(&registry)?);
        // Before it takes the memory: what it holds stays as it is.
        HugePages::for_files(&settings.policy.tuples).set();
        control.block_on(replicator.load()).map_err(StartError::Invalid)?;
        if let Some(snapshot) = snapshots.load() {
            HugePages::for_graph(snapshot.policy.statistics().bytes).set();
        }

        let first_kept = first_kept_descriptor();
        let server = ServerSettings { descriptors: Descriptors::Below(first_kept), ..settings.server };
        let (audit, writer) = AuditWriter::start(&settings.audit, settings.on_audit_failure, &registry)?;
        let ended = EndedConnections::new(&registry, Ending::ALL.map(Ending::name))?;
        let (metrics, clock) = (ProxyMetrics::new(&registry, ended.clone())?, ClockMetrics::new(&registry)?);
        let (work, work_signal) = Drain::new();
        let (replication, replicating) = Drain::new();
        let (health, health_signal) = Drain::new();
        let (not_ready, readiness) = Drain::new();
        let (abandon, abandoned) = Drain::new();
        let mut sockets = Sockets::new(settings.hand_over.as_deref())?;
        let (mut tls, mut data) = (tls.into_iter(), Vec::new());
        for listener in &settings.listeners {
            let identity = tls.next().flatten();
            for opened in sockets.open("data", &listener.address)? {
                data.push((opened.arriving(listener.arrival.clone()), identity.clone()));
            }
        }
        // After the identities of data listeners come those of the decision listener and of the one for signals.
        let mut beside_data = |purpose, listener: Option<&ListenSettings>| -> Result<_, StartError> {
            let Some(listener) = listener else { return Ok(None) };
            Ok(Some((sockets.open_one(purpose, &listener.address)?, tls.next().flatten())))
        };
        let decision = beside_data("decision", settings.decision.as_ref().map(|decision| &decision.listener))?;
        let hearing = beside_data("signals", settings.signals.as_ref())?;
        let signals = (work_signal.clone(), abandoned);
        let telemetry = match &settings.telemetry {
            Some(telemetry) => Some(sockets.open_one("telemetry", &telemetry.address.into())?),
            None => None,
        };
        let mut local = |purpose, path: Option<&PathBuf>| {
            let at = path.map(|path| ListenAddress::Unix(path.clone(), ListenAddress::DEFAULT_MODE));
            at.map(|at| sockets.open_one(purpose, &at)).transpose()
        };
        let admin = local("admin", settings.admin.as_ref())?;
        let next = local("hand-over", settings.hand_over.as_ref())?;
        // What can fail does so before anything is accepted, which the process before would have served.
        let accepting = {
            let _inside = control.enter();
            telemetry.as_ref().map(Listener::accepting).transpose()?
        };
        let names = settings.telemetry.as_ref().map(|telemetry| telemetry.names.clone());
        let (offer, predecessor) = sockets.settled()?;
        let (mut threads, mut beside) = (Vec::new(), Vec::new());
        if decision.is_some() {
            let metrics = DecisionMetrics::new(&registry, ended.clone())?;
            let (cell, unknown_key) = (Arc::clone(&snapshots), Arc::clone(&unknown_key));
            let base = settings.decision.as_ref().and_then(|decision| decision.url.clone());
            let told = (unknown_key, Arc::clone(&refused_keys));
            let handler = DecisionHandler::new(cell, store, metrics, told, base);
            let name = "decision".to_owned();
            beside.push(start_worker(name, decision.as_slice(), server, signals.clone(), handler)?);
        }
        let metrics_of_signals = SignalMetrics::new(&registry, ended)?;
        let (cell, told) = (Arc::clone(&snapshots), Arc::clone(&unknown_key));
        let intake = SignalIntake::new(cell, metrics_of_signals, AuditLog::clone(&audit), told);
        if hearing.is_some() {
            let handler = SignalHandler::new(intake.clone());
            let name = "signals".to_owned();
            // What is told while the last answers go on ends them too.
            let until = (health_signal.clone(), signals.1.clone());
            threads.push(start_worker(name, hearing.as_slice(), server, until, handler)?);
        }
        let polling = SignalPoller::new(intake).run(polls, health_signal.clone());
        if settings.policy.source == PolicySource::Memory {
            beside.push(start_compaction(Arc::clone(&snapshots), CompactionMetrics::new(&registry)?)?);
        }
        let serving = |listeners: &[(Listener, Option<_>)]| -> Vec<ListenAddress> {
            listeners.iter().map(|(listener, _)| listener.address()).collect()
        };
        let (data_at, decision_at, signals_at) =
            (serving(&data), serving(decision.as_slice()), serving(hearing.as_slice()));
        let telemetry_at: Vec<_> = telemetry.iter().map(Listener::address).collect();
        let purposes =
            [("data", &data_at), ("decision", &decision_at), ("signals", &signals_at), ("telemetry", &telemetry_at)];
        let told = Told {
            listeners: purposes
                .iter()
                .flat_map(|(purpose, at)| at.iter().map(|at| (*purpose, at.to_string())))
                .collect(),
            metrics: &metrics,
            draining: readiness.clone(),
            snapshots: &snapshots,
        };
        if let (Some(admin), Some(path)) = (&admin, &settings.admin) {
            told.at((admin, path), &control, health_signal.clone())?;
        }
        let telling = |names| TelemetryHandler::new(registry, Arc::clone(&snapshots), readiness, names);
        let handler = names.map(telling);
        let sessions = match &settings.session_key {
            Some(key) => Arc::clone(key),
            None => Arc::new(SessionKey::random().map_err(|_| StartError::Random)?),
        };
        let shared = Shared { unknown_key, refused_keys, ..Shared::new(sessions) };
        for worker in 0..settings.workers {
            let enforcer = Enforcer::new(
                Arc::clone(&snapshots),
                AuditLog::clone(&audit),
                metrics.clone(),
                settings.enforcer,
                shared.clone(),
            );
            let name = format!("worker-{worker}");
            threads.push(start_worker(name, &data, server, signals.clone(), enforcer)?);
        }
        drop((audit, signals));
        let (hand_over, passage) = offer.unzip();
        let running = Self {
            data: data_at,
            decision: decision_at.into_iter().next(),
            signals: signals_at.into_iter().next(),
            telemetry: telemetry_at.into_iter().next(),
            admin: settings.admin,
            listeners: data.into_iter().chain(decision).chain(hearing).map(|(listener, _)| listener).collect(),
            doors: telemetry.into_iter().chain(admin).collect(),
            passage,
            snapshots,
            work,
            replication,
            health,
            not_ready,
            abandon,
            threads,
            beside,
            audit: writer,
            patience: settings.drain,
        };
        control.spawn(polling);
        control.spawn(watch_clock(Arc::clone(&running.snapshots), clock, health_signal.clone()));
        control.spawn(look_after(upstreams, health_signal.clone()));
        if let Some((accepting, handler)) = accepting.zip(handler) {
            control.spawn(serve(accepting, None, ServerSettings::default(), health_signal.clone(), handler));
        }
        refuse_too_few(first_kept, running.doors.len())?;
        let handle = control.handle().clone();
        let mut running = running.with_control(control, replicator, replicating, health_signal)?;
        // Until now the process before could go on as if nothing had happened.
        predecessor.into_iter().for_each(Predecessor::serving);
        running.listeners.iter_mut().chain(&mut running.doors).for_each(Listener::own);
        if let Some((hand_over, mut next)) = hand_over.zip(next) {
            next.own();
            handle.spawn(hand_over.run(next, work_signal));
        }
        Ok(running)
    }

    /// Where the data listeners are, with their real ports.
    pub fn data_addresses(&self) -> &[ListenAddress] {
        &self.data
    }

    /// Where the decision listener is.
    pub fn decision_address(&self) -> Option<&ListenAddress> {
        self.decision.as_ref()
    }

    /// Where the listener for signals is.
    pub fn signals_address(&self) -> Option<&ListenAddress> {
        self.signals.as_ref()
    }

    /// Where the telemetry listener is.
    pub fn telemetry_address(&self) -> Option<&ListenAddress> {
        self.telemetry.as_ref()
    }

    /// Where the operator can ask.
    pub fn admin_socket(&self) -> Option<&Path> {
        self.admin.as_deref()
    }

    /// Whether the next process serves on the sockets of this one, which has nothing more to do than to stop.
    pub fn is_handed_over(&self) -> bool {
        self.passage() == Passage::Passed
    }

    fn passage(&self) -> Passage {
        self.passage.as_ref().map_or(Passage::Kept, |told| *told.borrow())
    }

    /// Where the current snapshot is.
    pub fn snapshots(&self) -> &Arc<SnapshotCell> {
        &self.snapshots
    }

    /// Opens the audit log anew: the file before may have been moved away.
    pub fn rotate_audit_log(&self) {
        self.audit.rotate();
    }

    /// Whether every thread still works. A worker ends only when it is told to, or by a fault.
    pub fn is_whole(&self) -> bool {
        self.audit.is_alive() && !self.threads.iter().chain(&self.beside).any(JoinHandle::is_finished)
    }

    /// Stops in order: not ready, no new connections, requests in flight to their end, records written.
    pub fn stop(mut self) -> Result<Stopped, StartError> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        self.not_ready.order();
        self.work.order();
        let passage = self.passage();
        if passage == Passage::Passed {
            // What the next process answers on the same sockets must not be contradicted.
            self.health.order();
        }
        if passage != Passage::Kept {
            // What it has is found by these files. Left over they are in nobody's way.
            self.listeners.iter_mut().chain(&mut self.doors).for_each(Listener::leave);
        }
        drop(self.listeners);
        let ended = runtime.block_on(self.work.ended_within(self.patience));
        self.replication.order();
        self.health.order();
        runtime.block_on(self.health.ended_within(Duration::from_secs(1)));
        self.abandon.order();
        self.snapshots.close();
        // Threads that were told to end have nothing left to wait for; a fault in one was logged when it happened.
        self.threads.into_iter().for_each(|thread| drop(thread.join()));
        let recorded = self.audit.finish(Duration::from_secs(2)).inspect_err(|why| {
            tracing::error!(records = why.count(), %why, "audit records are lost: they were not written before the end");
        });
        // The threads beside end with the process at the latest: a compaction at work has nothing to lose.
        drop(self.beside);
        Ok(match (ended, recorded) {
            (false, _) => Stopped::AtDeadline,
            (true, Err(_)) => Stopped::Unrecorded,
            (true, Ok(())) => Stopped::InOrder,
        })
    }

    fn with_control(
        mut self,
        control: Runtime,
        replicator: Replicator<FileSource<Assembler>>,
        until: DrainSignal,
        mut health: DrainSignal,
    ) -> Result<Self, StartError> {
        let thread = thread::Builder::new().name("control".to_owned()).spawn(move || {
            control.block_on(async move {
                replicator.run(until).await;
                health.ordered().await;
            });
            // A long question of an operator does not hold up the end.
            control.shutdown_background();
        })?;
        // A policy that it is loading does not hold up the end either.
        self.beside.push(thread);
        Ok(self)
    }
}

/// What a policy in memory begins with; `None` if the policy is in files.
fn seed(settings: &Settings, cell: &Arc<SnapshotCell>) -> Result<Option<Seed>, StartError> {
    match settings.policy.source {
        PolicySource::Files => Ok(None),
        PolicySource::Memory => {
            tracing::warn!(
                "THE POLICY IS IN MEMORY ONLY: what is written is lost when the process ends. For development and tests"
            );
            if !settings.decision.as_ref().is_some_and(|decision| decision.callers.have_writers()) {
                tracing::warn!("nobody may write to the policy in memory: name callers in `decision.writers`");
            }
            Ok(Some(Seed::load(&settings.policy, cell).map_err(StartError::Invalid)?))
        }
    }
}

fn start_compaction(cell: Arc<SnapshotCell>, metrics: CompactionMetrics) -> Result<JoinHandle<()>, io::Error> {
    thread::Builder::new().name("compaction".to_owned()).spawn(move || cell.compact_until_closed(&metrics))
}

type TlsSenders = Vec<Option<watch::Sender<ServerTls>>>;
type TlsReceivers = Vec<Option<watch::Receiver<ServerTls>>>;

fn tls_channels(settings: &Settings) -> (TlsSenders, TlsReceivers) {
    let channel = |listener: &ListenSettings| listener.tls.as_ref().map(|tls| watch::channel(tls.clone())).unzip();
    listeners(settings).map(channel).unzip()
}

fn problems(found: &[Diagnostic]) -> String {
    match found.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    }
}
