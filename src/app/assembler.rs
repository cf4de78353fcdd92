//! From the configuration file, and all that it names, to a snapshot.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tokio::sync::watch;

use crate::{
    access::{Diagnostic, Place, Revision, Timestamp},
    admin::PollSettings,
    config::{self, ListenSettings, LoadedPolicy, Loading, PolicyFiles, PolicySource, Settings, load_policy},
    identity::{Authenticator, AuthenticatorSettings, InvalidSettings},
    net::{Interception, ListenAddress, Role, ServerTls},
    snapshot::{
        MemoryStore, Snapshot, SnapshotCell, Surroundings, accesses_against_model, mapped_against_model,
        principals_against_model,
    },
    supply::{Assemble, Assembly, KeyDocuments, Loaded},
};

use super::upstreams::KnownEndpoints;

/// What only a restart changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fixed(Vec<(&'static str, String)>);

impl Fixed {
    pub(super) fn of(settings: &Settings) -> Self {
        let listeners: Vec<_> =
            settings.listeners.iter().map(|one| (&one.address, &one.arrival, one.tls.is_some())).collect();
        let decision = settings.decision.as_ref().map(|decision| {
            let listener = &decision.listener;
            (&listener.address, listener.tls.is_some(), &decision.url)
        });
        Self(vec![
            ("listen", format!("{listeners:?}")),
            ("shared_signals", format!("{:?}", signals(settings))),
            ("telemetry", format!("{:?}", settings.telemetry)),
            ("decision", format!("{decision:?}")),
            ("admin", format!("{:?}", settings.admin)),
            ("hand_over", format!("{:?}", settings.hand_over)),
            ("policy.source", format!("{:?}", seeds(&settings.policy))),
            ("workers", format!("{:?}", settings.workers)),
            ("audit", format!("{:?} {:?}", settings.audit, settings.on_audit_failure)),
            (
                "limits, timeouts and requests",
                format!("{:?} {:?} {:?}", settings.server, settings.enforcer, settings.drain),
            ),
        ])
    }

    fn changed(&self, other: &Self) -> Vec<&'static str> {
        let pairs = self.0.iter().zip(&other.0);
        pairs.filter(|(one, other)| one != other).map(|((name, _), _)| *name).collect()
    }
}

/// Assembles a snapshot each time that a file changes.
#[derive(Debug)]
pub(super) struct Assembler {
    pub(super) path: PathBuf,
    pub(super) fixed: Fixed,
    /// One for each listener, in the order of [`listeners`]; `None` for those in the clear.
    pub(super) tls: Vec<Option<watch::Sender<ServerTls>>>,
    /// The identities of the listeners, in the same order, until what they were read with is in force.
    pub(super) identities: Vec<Option<ServerTls>>,
    /// By what the listeners intercept, in the order of the configuration: what is in use, and what will be once what it was
    /// read with is in force.
    pub(super) interceptions: Vec<Option<Interception>>,
    pub(super) next_interceptions: Vec<Option<Interception>>,
    /// Who is polled for signals, and who will be once what they were read with is in force.
    pub(super) polls: watch::Sender<Vec<PollSettings>>,
    pub(super) next_polls: Option<Vec<PollSettings>>,
    /// What is known of upstreams.
    pub(super) endpoints: KnownEndpoints,
    /// What a policy in memory begins with, and where it goes on; `None` if the policy is in files.
    pub(super) memory: Option<Seed>,
    /// The one that is there already, with the tokens that it has verified.
    pub(super) authenticator: Option<Arc<Authenticator>>,
}

/// A policy in memory.
#[derive(Debug)]
pub(super) struct Seed {
    // `None` once it is in the first snapshot, which tuples and models replace.
    loaded: Option<LoadedPolicy>,
    cell: Arc<SnapshotCell>,
    pub(super) store: Arc<MemoryStore>,
}

impl Seed {
    /// Reads what the policy begins with. From then on it is in the cell, and kept in the store.
    pub(super) fn load(files: &PolicyFiles, cell: &Arc<SnapshotCell>) -> Result<Self, Vec<Diagnostic>> {
        let loaded = load_policy(files)?;
        let (model, now) = (Arc::clone(&loaded.model), Timestamp::from(SystemTime::now()));
        let store = Arc::new(MemoryStore::new(model, &loaded.policy, Arc::clone(cell), now));
        Ok(Self { loaded: Some(loaded), cell: Arc::clone(cell), store })
    }

    /// The first snapshot, of the seed; then what is around the policy, which has moved on.
    fn assembled(&mut self, surroundings: Surroundings, revision: Revision) -> Result<Loaded, Vec<Diagnostic>> {
        let Some(LoadedPolicy { model, policy }) = self.loaded.as_ref().filter(|_| self.cell.load().is_none()) else {
            return Ok(Loaded::Around(Box::new(surroundings)));
        };
        let snapshot = surroundings.around(Arc::clone(model), policy, revision, SystemTime::now().into())?;
        Ok(Loaded::Built(Box::new(snapshot)))
    }
}

/// A policy in memory is read once, so that it cannot come from elsewhere later.
fn seeds(policy: &PolicyFiles) -> Option<(&PathBuf, &[PathBuf])> {
    match policy.source {
        PolicySource::Files => None,
        PolicySource::Memory => Some((&policy.model, &policy.tuples)),
    }
}

impl Assemble for Assembler {
    fn assemble(&mut self, keys: &KeyDocuments, revision: Revision) -> Assembly {
        let loading = config::load(&self.path, keys);
        let mut files = loading.files.clone();
        files.sort();
        files.dedup();
        let wanted = loading.keys.clone();
        let loaded = self.snapshot(loading, revision).unwrap_or_else(Loaded::Refused);
        Assembly { loaded, files, keys: wanted }
    }

    fn published(&mut self) {
        for (sender, identity) in self.tls.iter().zip(self.identities.drain(..)) {
            if let Some((sender, identity)) = sender.as_ref().zip(identity) {
                sender.send_replace(identity);
            }
        }
        for (interception, next) in self.interceptions.iter().zip(self.next_interceptions.drain(..)) {
            if let Some((interception, next)) = interception.as_ref().zip(next) {
                interception.take_up(&next);
            }
        }
        if let Some(polls) = self.next_polls.take() {
            self.polls.send_replace(polls);
        }
        if let Some(seed) = &mut self.memory {
            seed.loaded = None;
        }
        self.endpoints.published();
    }
}

impl Assembler {
    fn snapshot(&mut self, loading: Loading, revision: Revision) -> Result<Loaded, Vec<Diagnostic>> {
        let mut settings = settle(loading)?;
        let changed = self.fixed.changed(&Fixed::of(&settings));
        if !changed.is_empty() {
            let message = format!("changed since the start: {}", changed.join(", "));
            let problem = Diagnostic::new(&settings.file, Place::default(), message);
            return Err(vec![problem.with_help("these need a restart; restart, or change them back")]);
        }
        self.endpoints.keep(&mut settings.upstreams);
        let identities: Vec<_> = listeners(&settings).map(|listener| listener.tls.clone()).collect();
        let interceptions = interceptions(&settings);
        let polls = settings.polls.clone();
        let authenticator = match &settings.authenticator {
            Ok(settings) => settings.clone(),
            Err(missing) => return Ok(Loaded::Waiting(missing.clone())),
        };
        let authenticator = self.authenticator(authenticator, &settings.file)?;
        let loaded = match &mut self.memory {
            Some(seed) => seed.assembled(surroundings(settings, Arc::clone(&authenticator)), revision)?,
            None => Loaded::Built(Box::new(snapshot(settings, Arc::clone(&authenticator), revision)?)),
        };
        self.identities = identities;
        self.next_interceptions = interceptions;
        self.next_polls = Some(polls);
        self.authenticator = Some(authenticator);
        Ok(loaded)
    }

    /// The authenticator that is there, if it would be the same.
    fn authenticator(
        &self,
        settings: AuthenticatorSettings,
        file: &Arc<str>,
    ) -> Result<Arc<Authenticator>, Vec<Diagnostic>> {
        match &self.authenticator {
            Some(known) if *known.settings() == settings => Ok(Arc::clone(known)),
            Some(known) => authenticator(Authenticator::after(settings, known), file),
            None => authenticator(Authenticator::new(settings), file),
        }
    }
}

/// All listeners with the settings of one: the data listeners, then the decision listener, then that for signals.
pub(super) fn listeners(settings: &Settings) -> impl Iterator<Item = &ListenSettings> {
    let decision = settings.decision.as_ref().map(|decision| &decision.listener);
    settings.listeners.iter().chain(decision).chain(&settings.signals)
}

/// By what each data listener intercepts, if it does.
pub(super) fn interceptions(settings: &Settings) -> Vec<Option<Interception>> {
    let of = |listener: &ListenSettings| match &listener.arrival.role {
        Role::Proxy(interception) => interception.clone(),
        Role::Service | Role::TunnelEnd(_) => None,
    };
    settings.listeners.iter().map(of).collect()
}

fn signals(settings: &Settings) -> Option<(&ListenAddress, bool)> {
    settings.signals.as_ref().map(|listener| (&listener.address, listener.tls.is_some()))
}

/// The snapshot that this configuration stands for, and its settings' problems or its files', all of them.
pub fn load_snapshot(path: &Path) -> Result<Snapshot, Vec<Diagnostic>> {
    let settings = settle(config::load(path, &KeyDocuments::new()))?;
    let authenticator = match &settings.authenticator {
        Ok(settings) => settings.clone(),
        // Keys that are fetched at run time are not needed to see whether the rest is right.
        Err(_) => AuthenticatorSettings::default(),
    };
    let authenticator = self::authenticator(Authenticator::new(authenticator), &settings.file)?;
    snapshot(settings, authenticator, Revision::new(1))
}

/// The settings; after a problem, every problem of the configuration and of the files that it names.
pub fn check_everything(path: &Path) -> Result<Settings, Vec<Diagnostic>> {
    settle(config::load(path, &KeyDocuments::new()))
}

fn settle(loading: Loading) -> Result<Settings, Vec<Diagnostic>> {
    let Loading { file, settings, policy, accesses, mapped, principals, .. } = loading;
    settings.map_err(|mut problems| {
        // Whoever mends the configuration wants to know of the policy's problems too, and where routes do not fit it.
        match policy.as_ref().map(load_policy) {
            Some(Ok(loaded)) => {
                problems.extend(accesses_against_model(&file, &accesses, &loaded.model.model));
                problems.extend(mapped_against_model(&file, &mapped, &loaded.policy));
                problems.extend(principals_against_model(&file, &principals, &loaded.model.model));
            }
            Some(Err(more)) => problems.extend(more),
            None => {}
        }
        problems
    })
}

fn authenticator(
    made: Result<Authenticator, InvalidSettings>,
    file: &Arc<str>,
) -> Result<Arc<Authenticator>, Vec<Diagnostic>> {
    made.map(Arc::new).map_err(|error| vec![Diagnostic::new(file, Place::default(), error.to_string())])
}

fn snapshot(
    settings: Settings,
    authenticator: Arc<Authenticator>,
    revision: Revision,
) -> Result<Snapshot, Vec<Diagnostic>> {
    let LoadedPolicy { model, policy } = load_policy(&settings.policy)?;
    surroundings(settings, authenticator).around(model, &policy, revision, Timestamp::from(SystemTime::now()))
}

fn surroundings(settings: Settings, authenticator: Arc<Authenticator>) -> Surroundings {
    Surroundings {
        source: settings.policy.to_string().into(),
        routes_file: settings.file,
        routes: Arc::new(settings.routes),
        upstreams: settings.upstreams.into(),
        authenticator,
        mapped: settings.mapped,
        principals: settings.principals,
        transaction_tokens: settings.transaction_tokens,
        denylist: settings.denylist,
        callers: Arc::new(settings.decision.map(|decision| decision.callers).unwrap_or_default()),
        settings: settings.policy.settings,
        max_staleness: settings.policy.max_staleness,
    }
}
