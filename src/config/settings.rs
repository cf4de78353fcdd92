//! The configuration file as settings that hold.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use crate::{
    access::{Authority, Diagnostic, HeadBounds, HeadRules, OldHttp, Underscores},
    admin::{BaseUrl, DoorNames, PollSettings},
    audit::{AuditSink, OnFailure},
    compile::YamlFault,
    identity::{AuthenticatorSettings, Denylist, MappedTuple},
    net::{Pace, ServerSettings},
    proxy::{Digests, EnforcerSettings, SessionKey},
    route::{AccessTemplate, RouteTable},
    snapshot::{Caller, Callers, PrincipalType, TransactionTokens, Upstream},
    supply::{KeyDocuments, KeyUrl},
};

use super::{
    calls, denylist,
    documents::read_text,
    file::{self, File},
    file_limits, file_places, identity,
    listen::{self, ListenSettings, server_tls},
    located::Located,
    places::{self, Sockets},
    policy::{self, PolicyFiles, PolicySource},
    principals,
    problems::Problems,
    routes, signals, spiffe, structure, transaction, upstreams,
};

/// The largest configuration file, in bytes.
const LARGEST: u64 = 8 * 1024 * 1024;

/// The largest key set, in bytes.
const LARGEST_KEY_SET: u64 = 1024 * 1024;

/// The least that the longest header field may be, in bytes.
const SHORTEST_FIELD: usize = 1024;
/// The most threads that serve: far above the cores of any machine.
const MOST_WORKERS: u32 = 1024;

/// The decision listener.
#[derive(Debug, Clone)]
pub struct DecisionSettings {
    /// Where it listens.
    pub listener: ListenSettings,
    /// Who may ask, and who of them may write.
    pub callers: Callers,
    /// What callers know it by.
    pub url: Option<BaseUrl>,
}

/// Where metrics and health are served.
#[derive(Debug)]
pub struct TelemetrySettings {
    /// Its address.
    pub address: SocketAddr,
    /// The names by which it may be asked.
    pub names: DoorNames,
}

/// Everything that one configuration file says, checked.
#[derive(Debug)]
pub struct Settings {
    /// The file, as diagnostics name it.
    pub file: Arc<str>,
    /// Where agents connect.
    pub listeners: Vec<ListenSettings>,
    /// Where metrics and health are served.
    pub telemetry: Option<TelemetrySettings>,
    /// The Unix socket on which the operator asks.
    pub admin: Option<PathBuf>,
    /// The Unix socket on which the next process asks for the listening ones.
    pub hand_over: Option<PathBuf>,
    /// Where applications ask for decisions.
    pub decision: Option<DecisionSettings>,
    /// Where issuers say that sessions ended.
    pub signals: Option<ListenSettings>,
    /// Whom to ask whether sessions ended.
    pub polls: Vec<PollSettings>,
    /// Threads that serve requests.
    pub workers: usize,
    /// For the requests in flight at the end.
    pub drain: Duration,
    /// Where decisions are recorded.
    pub audit: AuditSink,
    /// What happens while they cannot be.
    pub on_audit_failure: OnFailure,
    /// The bounds of the data listeners.
    pub server: ServerSettings,
    /// The bounds of the enforcement point.
    pub enforcer: EnforcerSettings,
    /// By what sessions are bound to whom they are for, if other processes know it too.
    pub session_key: Option<Arc<SessionKey>>,
    /// Which request stands for what.
    pub routes: RouteTable,
    /// The services behind the proxy.
    pub upstreams: Vec<Upstream>,
    /// Who is asking; what is missing if a key set has not been fetched yet.
    pub authenticator: Result<AuthenticatorSettings, String>,
    /// What their claims are mapped to.
    pub mapped: Arc<[MappedTuple]>,
    /// The types of whom they stand for.
    pub principals: Arc<[PrincipalType]>,
    /// By what tokens for upstreams are made, if they are.
    pub transaction_tokens: Option<Arc<TransactionTokens>>,
    /// Whose credentials were revoked.
    pub denylist: Arc<Denylist>,
    /// Where model and tuples are.
    pub policy: PolicyFiles,
}

/// What came of reading a configuration file.
#[derive(Debug)]
pub struct Loading {
    /// The file, as diagnostics name it.
    pub file: Arc<str>,
    /// The settings, or every problem.
    pub settings: Result<Settings, Vec<Diagnostic>>,
    /// Where model and tuples are, as far as it could be told even if the settings do not hold.
    pub policy: Option<PolicyFiles>,
    /// If the settings do not hold, what the routes ask for all the same, as far as it could be told.
    pub accesses: Vec<AccessTemplate>,
    /// What claims are mapped to.
    pub mapped: Arc<[MappedTuple]>,
    /// The types of whom credentials stand for.
    pub principals: Arc<[PrincipalType]>,
    /// Every file that was read or looked for, whether or not the settings hold.
    pub files: Vec<PathBuf>,
    /// Every key set that has to be fetched.
    pub keys: Vec<KeyUrl>,
}

/// Reads and checks a configuration file. `keys` are the key sets that have been fetched so far.
pub fn load(path: &Path, keys: &KeyDocuments) -> Loading {
    let mut reading = Reading {
        folder: path.parent().map(Path::to_owned).unwrap_or_default(),
        problems: Problems::of_file(path),
        files: vec![path.to_owned()],
        keys: Vec::new(),
        mapped: Vec::new(),
        documents: keys,
    };
    let file = read(path, &mut reading.problems);
    let policy = file.as_ref().and_then(|file| policy::files(&file.policy, &mut reading));
    let made = file.as_ref().and_then(|file| settings(file, &policy, &mut reading));
    let name = Arc::clone(reading.problems.file());
    let settings = reading.problems.settle(made);
    let accesses = match (&settings, &file) {
        (Err(_), Some(file)) => routes::accesses(&file.routes, path),
        (Ok(_), _) | (Err(_), None) => Vec::new(),
    };
    let mapped = reading.mapped.into();
    let principals = file.as_ref().map(principals::types).unwrap_or_default().into();
    Loading { file: name, settings, policy, accesses, mapped, principals, files: reading.files, keys: reading.keys }
}

/// What is gathered while a file is read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    folder: PathBuf,
    pub(super) problems: Problems,
    files: Vec<PathBuf>,
    pub(super) keys: Vec<KeyUrl>,
    /// What claims are mapped to, to be held against the model.
    pub(super) mapped: Vec<MappedTuple>,
    pub(super) documents: &'a KeyDocuments,
}

impl Reading<'_> {
    /// The file that a text names, relative to the configuration; it is watched from now on.
    pub(super) fn file(&mut self, name: &str) -> PathBuf {
        let file = self.folder.join(name);
        self.files.push(file.clone());
        file
    }

    /// The same, not watched.
    pub(super) fn beside(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Whether it is a file that was read, or looked for.
    pub(super) fn reads(&self, file: &Path) -> bool {
        self.files.iter().any(|read| places::is_same_file(read, file))
    }

    /// The text of the file; a problem at `place` if it cannot be read.
    pub(super) fn text(&mut self, name: &Located<String>) -> Option<String> {
        let file = self.file(&name.value);
        match read_text(&file, LARGEST_KEY_SET) {
            Ok(text) => Some(text),
            Err(error) => {
                self.problems.add(name.place, format!("`{}` cannot be read: {error}", file.display()));
                None
            }
        }
    }
}

fn read(path: &Path, problems: &mut Problems) -> Option<File> {
    let text = match read_text(path, LARGEST) {
        Ok(text) => text,
        Err(error) => {
            problems.extend([error.in_file(&Arc::clone(problems.file()))]);
            return None;
        }
    };
    let document: Located<structure::Node> = match serde_saphyr::from_str(&text) {
        Ok(document) => document,
        Err(error) => {
            syntax(&error, problems);
            return None;
        }
    };
    let before = problems.count();
    structure::check(&document, problems);
    if problems.count() > before {
        return None;
    }
    serde_saphyr::from_str(&text).map_err(|error| syntax(&error, problems)).ok()
}

pub(super) fn syntax(error: &serde_saphyr::Error, problems: &mut Problems) {
    let YamlFault { place, message, help } = YamlFault::of(error);
    match help {
        Some(help) => problems.add_with_help(place, message, help),
        None => problems.add(place, message),
    }
}

fn telemetry(written: &file_places::Telemetry, problems: &mut Problems) -> Option<TelemetrySettings> {
    let mut hosts: Vec<Authority> = Vec::new();
    for written in &written.hosts {
        match problems.parse::<Authority>(written) {
            Some(host) if host.port().is_some() => {
                problems.add(written.place, format!("`{}` has a port: write the name alone", written.value));
            }
            host => hosts.extend(host),
        }
    }
    let address = problems.address(&written.address)?;
    Some(TelemetrySettings { address, names: DoorNames::new(address.ip(), &hosts) })
}

fn settings(file: &File, policy: &Option<PolicyFiles>, reading: &mut Reading<'_>) -> Option<Settings> {
    let listeners = listen::listeners(file, reading);
    let telemetry = file.telemetry.as_ref().and_then(|telemetry| self::telemetry(telemetry, &mut reading.problems));
    let Sockets { admin, hand_over } = places::sockets(file, listeners.as_deref().unwrap_or_default(), reading);
    let decision = file.decision.as_ref().map(|decision| self::decision(decision, listeners.as_deref(), reading));
    let upstreams = upstreams::upstreams(file, reading);
    let names: Vec<String> = file.upstreams.keys().cloned().collect();
    if let (Some(PolicyFiles { source: PolicySource::Memory, .. }), None) = (policy, &file.decision) {
        let help = "add `decision: { address: …, callers: […] }`, or take `file` as the source";
        let message = "a policy in memory is of no use without a `decision` listener: nothing could be written";
        reading.problems.add_with_help(file.policy.source.place, message, help);
    }
    let problems = &mut reading.problems;
    let defaults = (ServerSettings::default(), EnforcerSettings::default());
    let drain = problems.duration(file.timeouts.drain.as_ref(), Duration::from_secs(30));
    let server = ServerSettings {
        // Who is idle does not use up the time of those who are not.
        linger: defaults.0.linger.min(drain / 4),
        connections: problems.count_of(file.limits.connections.as_ref(), defaults.0.connections),
        handshake: problems.duration(file.timeouts.handshake.as_ref(), defaults.0.handshake),
        head: problems.duration(file.timeouts.head.as_ref(), defaults.0.head),
        half_closed: problems.duration(file.timeouts.half_closed.as_ref(), defaults.0.half_closed),
        unread: problems.duration(file.timeouts.unread.as_ref(), defaults.0.unread),
        idle: problems.duration(file.timeouts.idle.as_ref(), defaults.0.idle),
        age: problems.duration(file.timeouts.age.as_ref(), defaults.0.age),
        streams: number(file.limits.streams.as_ref(), defaults.0.streams, problems),
        descriptors: defaults.0.descriptors,
    };
    let field_bytes = field_bytes(file.limits.field_bytes.as_ref(), problems);
    let in_flight = problems.count_of(file.limits.in_flight.as_ref(), defaults.1.in_flight);
    let enforcer = EnforcerSettings {
        in_flight,
        in_flight_each: problems.count_of(file.limits.in_flight_per_principal.as_ref(), in_flight.div_ceil(2)),
        tunnels_each: problems.count_of(file.limits.tunnels_per_principal.as_ref(), server.connections.div_ceil(2)),
        head: HeadBounds { field: field_bytes, ..defaults.1.head },
        rules: HeadRules {
            escaped_slashes: false,
            underscores: match file.requests.underscores {
                file_limits::Underscores::Refuse => Underscores::Refuse,
                file_limits::Underscores::Drop => Underscores::Drop,
            },
            http_1_0: match file.requests.http_1_0 {
                file_limits::OldHttp::Serve => OldHttp::Serve,
                file_limits::OldHttp::Refuse => OldHttp::Refuse,
            },
        },
        digests: match file.audit.digests {
            file::AuditDigests::None => Digests::None,
            file::AuditDigests::Sent => Digests::Sent,
        },
        body_timeout: problems.duration(file.timeouts.body.as_ref(), defaults.1.body_timeout),
        pace: Pace {
            bytes_per_second: number(file.limits.body_rate.as_ref(), defaults.1.pace.bytes_per_second, problems),
            pause: problems.duration(file.timeouts.body_pause.as_ref(), defaults.1.pace.pause),
        },
        answer_pause: problems.duration(file.timeouts.answer_pause.as_ref(), defaults.1.answer_pause),
        filter_timeout: problems.duration(file.timeouts.filtered.as_ref(), defaults.1.filter_timeout),
        unread: problems.duration(file.timeouts.unread.as_ref(), defaults.1.unread),
    };
    let common = routes::Common {
        body: problems.count_of(file.limits.body_bytes.as_ref(), 1024 * 1024),
        filtered: problems.count_of(file.limits.filtered_bytes.as_ref(), 8 * 1024 * 1024),
        task_types: &file.policy.require_task,
        identity: &file.identity,
    };
    let routes = routes::table(&file.routes, &names, common, problems);
    let session_key = file.requests.session_key_file.as_ref().and_then(|name| calls::session_key(name, reading));
    let problems = &mut reading.problems;
    let workers = workers(file.workers.as_ref(), problems);
    let listening = decision.as_ref().and_then(Option::as_ref);
    let (signals, polls, heard) = match signals::settings(file, listeners.as_deref(), listening, reading) {
        Some(signals::Heard { listener, polls, signals }) => (listener, polls, Some(signals)),
        None => (None, Vec::new(), None),
    };
    if let Some(written) = &file.telemetry {
        let others = listeners.iter().flatten().chain(listening.map(|decision| &decision.listener)).chain(&signals);
        let address = telemetry.as_ref().map(|telemetry| telemetry.address);
        places::refuse_twice(address, &written.address, others, &mut reading.problems);
    }
    principals::check_tasks(file, &mut reading.problems);
    let mut authenticator = identity::settings(&file.identity, heard, routes.as_ref(), reading);
    let transaction_tokens = file.transaction_tokens.as_ref().map(|written| transaction::settings(written, reading));
    spiffe::check_listeners(file, &mut reading.problems);
    if let Some(Ok(AuthenticatorSettings { protected_resource: Some(resource), .. })) = &mut authenticator {
        resource.certificates = spiffe::agents_are_asked(file);
    }
    if let Some(Ok(settings)) = &mut authenticator {
        settings.longest_token = Some(field_bytes);
    }
    if let Some(Ok(AuthenticatorSettings { signatures: Some(signatures), .. })) = &mut authenticator {
        signatures.longest_body = common.body;
    }
    let denylist = match &file.policy.denylist {
        Some(name) => denylist::read(name, reading),
        None => Some(Arc::default()),
    };
    let audit = match &file.audit.file {
        // The log is written, not read: it is no reason to build a snapshot.
        Some(name) => AuditSink::File(places::audit_file(name, policy.as_ref(), reading)),
        None => AuditSink::Stdout,
    };
    Some(Settings {
        file: Arc::clone(reading.problems.file()),
        listeners: listeners?,
        telemetry,
        admin,
        hand_over,
        // A problem was reported if there is one that came to nothing.
        decision: decision.flatten(),
        signals,
        polls,
        workers,
        drain,
        audit,
        on_audit_failure: match file.audit.on_failure {
            file::AuditFailure::Deny => OnFailure::Deny,
            file::AuditFailure::Count => OnFailure::Count,
        },
        server,
        enforcer,
        session_key,
        routes: routes?,
        upstreams: upstreams?,
        authenticator: authenticator?,
        mapped: reading.mapped.as_slice().into(),
        principals: principals::types(file).into(),
        // A problem was reported if there are some that came to nothing.
        transaction_tokens: transaction_tokens.flatten().map(Arc::new),
        denylist: denylist?,
        policy: policy.clone()?,
    })
}

fn number(number: Option<&Located<u32>>, default: u32, problems: &mut Problems) -> u32 {
    problems.count_of(number, 1);
    number.map_or(default, |number| number.value)
}

fn field_bytes(written: Option<&Located<u32>>, problems: &mut Problems) -> usize {
    let bytes = problems.count_of(written, HeadBounds::FIELD);
    if let Some(written) = written.filter(|_| bytes > HeadBounds::HEAD) {
        let message = format!("a field of {bytes} bytes would be longer than a head may be");
        problems.add_with_help(written.place, message, "write at most 65536");
    }
    if let Some(written) = written.filter(|_| (1..SHORTEST_FIELD).contains(&bytes)) {
        let message = format!("{bytes} bytes are less than what clients send in one field, or as a token");
        problems.add_with_help(written.place, message, format!("write at least {SHORTEST_FIELD}"));
    }
    bytes
}

fn workers(workers: Option<&Located<u32>>, problems: &mut Problems) -> usize {
    match workers {
        Some(workers) if workers.value == 0 => {
            problems.add(workers.place, "0 workers would serve nobody, write a number above zero");
            1
        }
        Some(workers) if workers.value > MOST_WORKERS => {
            let message = format!("{} workers are more than any machine has cores", workers.value);
            let help = format!("write at most {MOST_WORKERS}, or remove it for one for each core");
            problems.add_with_help(workers.place, message, help);
            1
        }
        Some(workers) => usize::try_from(workers.value).unwrap_or(1),
        None => thread::available_parallelism().map_or(1, NonZeroUsize::get),
    }
}

fn decision(
    written: &file::Decision,
    listeners: Option<&[ListenSettings]>,
    reading: &mut Reading<'_>,
) -> Option<DecisionSettings> {
    let address = reading.problems.address(&written.address);
    places::refuse_twice(address, &written.address, listeners.unwrap_or_default(), &mut reading.problems);
    if written.callers.is_empty() {
        let help = "whoever may ask sees the whole policy: name them, such as `service:crm` or `service:*`";
        reading.problems.add_with_help(written.callers.place, "`callers` is empty: nobody could ask", help);
    }
    let callers: Callers = written.callers.iter().filter_map(|caller| reading.problems.parse(caller)).collect();
    let writers = written.writers.iter().flat_map(|writers| writers.iter());
    let writers: Vec<Caller> = writers.filter_map(|writer| reading.problems.parse(writer)).collect();
    let callers = callers.with_writers(writers);
    let url = written.url.as_ref().and_then(|url| reading.problems.parse(url));
    let tls = match &written.tls {
        None => None,
        Some(tls) => Some(server_tls(tls, reading)?),
    };
    Some(DecisionSettings { listener: ListenSettings::plain(address?, tls), callers, url })
}
