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
    access::{Diagnostic, Place},
    admin::{BaseUrl, PollSettings},
    audit::{AuditSink, OnFailure},
    identity::{AuthenticatorSettings, Denylist, MappedTuple},
    net::{AnonymousClients, ClientTls, ClientVerification, ServerSettings, ServerTls, Target},
    proxy::EnforcerSettings,
    route::{AccessTemplate, RouteTable},
    snapshot::{Caller, Callers, TransactionTokens, Upstream},
    supply::{KeyDocuments, KeyUrl},
};

use super::{
    denylist,
    documents::read_text,
    file::{self, File},
    identity,
    located::{Located, place},
    policy::{self, PolicyFiles, PolicySource},
    problems::Problems,
    routes, signals, spiffe, structure, transaction,
};

/// The largest configuration file, in bytes.
const LARGEST: u64 = 8 * 1024 * 1024;

/// The largest key set, in bytes.
const LARGEST_KEY_SET: u64 = 1024 * 1024;

/// One address that agents connect to.
#[derive(Debug, Clone)]
pub struct ListenSettings {
    /// The address.
    pub address: SocketAddr,
    /// The files that its TLS identity was read from, and the identity.
    pub tls: Option<TlsFiles>,
}

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

/// A TLS identity and its files.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// The certificate chain.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The authorities of clients, if these are asked for certificates.
    pub clients: Option<PathBuf>,
    /// What was read from them.
    pub identity: ServerTls,
}

/// Everything that one configuration file says, checked.
#[derive(Debug)]
pub struct Settings {
    /// The file, as diagnostics name it.
    pub file: Arc<str>,
    /// Where agents connect.
    pub listeners: Vec<ListenSettings>,
    /// Where metrics and health are served.
    pub telemetry: Option<SocketAddr>,
    /// The Unix socket on which the operator asks.
    pub admin: Option<PathBuf>,
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
    /// Which request stands for what.
    pub routes: RouteTable,
    /// The services behind the proxy.
    pub upstreams: Vec<Upstream>,
    /// Who is asking; what is missing if a key set has not been fetched yet.
    pub authenticator: Result<AuthenticatorSettings, String>,
    /// What their claims are mapped to.
    pub mapped: Arc<[MappedTuple]>,
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
    Loading { file: name, settings, policy, accesses, mapped, files: reading.files, keys: reading.keys }
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
            problems.add(Place::default(), format!("cannot be read: {error}"));
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
    let at = error.location().map(place).unwrap_or_default();
    let text = error.without_snippet().to_string();
    // The reader repeats its place in the text; the diagnostic has it already.
    let message = text.split(" at line ").next().unwrap_or(&text).trim_start_matches("error: ");
    problems.add(at, message);
}

fn settings(file: &File, policy: &Option<PolicyFiles>, reading: &mut Reading<'_>) -> Option<Settings> {
    let listeners = listeners(file, reading);
    let telemetry = file.telemetry.as_ref().and_then(|telemetry| reading.problems.address(&telemetry.address));
    // Like the audit log, it is written and not read.
    let admin = file.admin.as_ref().map(|admin| reading.folder.join(&admin.socket.value));
    let decision = file.decision.as_ref().map(|decision| self::decision(decision, listeners.as_deref(), reading));
    let upstreams = upstreams(file, reading);
    let names: Vec<String> = file.upstreams.keys().cloned().collect();
    if let (Some(PolicyFiles { source: PolicySource::Memory, .. }), None) = (policy, &file.decision) {
        let help = "add `decision: { address: …, callers: […] }`, or take `file` as the source";
        let message = "a policy in memory is of no use without a `decision` listener: nothing could be written";
        reading.problems.add_with_help(file.policy.source.place, message, help);
    }
    let problems = &mut reading.problems;
    let defaults = (ServerSettings::default(), EnforcerSettings::default());
    let server = ServerSettings {
        connections: problems.count_of(file.limits.connections.as_ref(), defaults.0.connections),
        handshake: problems.duration(file.timeouts.handshake.as_ref(), defaults.0.handshake),
        head: problems.duration(file.timeouts.head.as_ref(), defaults.0.head),
        half_closed: problems.duration(file.timeouts.half_closed.as_ref(), defaults.0.half_closed),
    };
    let enforcer = EnforcerSettings {
        in_flight: problems.count_of(file.limits.in_flight.as_ref(), defaults.1.in_flight),
        body_timeout: problems.duration(file.timeouts.body.as_ref(), defaults.1.body_timeout),
    };
    let drain = problems.duration(file.timeouts.drain.as_ref(), Duration::from_secs(30));
    let common = routes::Common {
        body: problems.count_of(file.limits.body_bytes.as_ref(), 1024 * 1024),
        filtered: problems.count_of(file.limits.filtered_bytes.as_ref(), 8 * 1024 * 1024),
        task_types: &file.policy.require_task,
        identity: &file.identity,
    };
    let routes = routes::table(&file.routes, &names, common, problems);
    let workers = workers(file.workers.as_ref(), problems);
    let listening = decision.as_ref().and_then(Option::as_ref);
    let (signals, polls, heard) = match signals::settings(file, listeners.as_deref(), listening, reading) {
        Some(signals::Heard { listener, polls, signals }) => (listener, polls, Some(signals)),
        None => (None, Vec::new(), None),
    };
    let mut authenticator = identity::settings(&file.identity, heard, routes.as_ref(), reading);
    let transaction_tokens = file.transaction_tokens.as_ref().map(|written| transaction::settings(written, reading));
    spiffe::check_listeners(file, &mut reading.problems);
    if let Some(Ok(AuthenticatorSettings { protected_resource: Some(resource), .. })) = &mut authenticator {
        resource.certificates = spiffe::agents_are_asked(file);
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
        Some(name) => AuditSink::File(reading.folder.join(&name.value)),
        None => AuditSink::Stdout,
    };
    Some(Settings {
        file: Arc::clone(reading.problems.file()),
        listeners: listeners?,
        telemetry,
        admin,
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
        routes: routes?,
        upstreams: upstreams?,
        authenticator: authenticator?,
        mapped: reading.mapped.as_slice().into(),
        // A problem was reported if there are some that came to nothing.
        transaction_tokens: transaction_tokens.flatten().map(Arc::new),
        denylist: denylist?,
        policy: policy.clone()?,
    })
}

fn workers(workers: Option<&Located<u16>>, problems: &mut Problems) -> usize {
    match workers {
        Some(workers) if workers.value == 0 => {
            problems.add(workers.place, "0 workers would serve nobody, write a number above zero");
            1
        }
        Some(workers) => usize::from(workers.value),
        None => thread::available_parallelism().map_or(1, NonZeroUsize::get),
    }
}

fn listeners(file: &File, reading: &mut Reading<'_>) -> Option<Vec<ListenSettings>> {
    if file.listen.is_empty() {
        reading.problems.add(Place::default(), "`listen` is empty: agents could not connect");
        return None;
    }
    let mut listeners: Vec<ListenSettings> = Vec::new();
    let mut complete = true;
    for listen in &file.listen {
        let address = reading.problems.address(&listen.address);
        let tls = match &listen.tls {
            None => Some(None),
            Some(tls) => server_tls(tls, reading).map(Some),
        };
        let taken =
            |address: &SocketAddr| address.port() != 0 && listeners.iter().any(|other| other.address == *address);
        if address.as_ref().is_some_and(taken) {
            reading.problems.add(listen.address.place, format!("`{}` is listened on twice", listen.address.value));
        }
        match address.zip(tls) {
            Some((address, tls)) => listeners.push(ListenSettings { address, tls }),
            None => complete = false,
        }
    }
    complete.then_some(listeners)
}

fn decision(
    written: &file::Decision,
    listeners: Option<&[ListenSettings]>,
    reading: &mut Reading<'_>,
) -> Option<DecisionSettings> {
    let address = reading.problems.address(&written.address);
    let taken = |address: &SocketAddr| {
        address.port() != 0 && listeners.unwrap_or_default().iter().any(|other| other.address == *address)
    };
    if address.as_ref().is_some_and(taken) {
        reading.problems.add(written.address.place, format!("`{}` is listened on twice", written.address.value));
    }
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
    Some(DecisionSettings { listener: ListenSettings { address: address?, tls }, callers, url })
}

pub(super) fn server_tls(tls: &file::Tls, reading: &mut Reading<'_>) -> Option<TlsFiles> {
    let certificate = reading.file(&tls.certificate.value);
    let key = reading.file(&tls.key.value);
    let clients = tls.client.as_ref().map(|client| reading.file(&client.ca_file.value));
    let verification = tls.client.as_ref().zip(clients.as_deref()).map(|(client, ca_file)| ClientVerification {
        ca_file,
        anonymous: match client.required {
            Some(true) | None => AnonymousClients::Refuse,
            Some(false) => AnonymousClients::Accept,
        },
    });
    match ServerTls::load(&certificate, &key, verification) {
        Ok(identity) => Some(TlsFiles { certificate, key, clients, identity }),
        Err(error) => {
            let of_clients = clients.as_ref().is_some_and(|file| error.file() == Some(file));
            let place = tls.client.as_ref().filter(|_| of_clients).map(|client| client.ca_file.place);
            reading.problems.add(place.unwrap_or(tls.certificate.place), error.to_string());
            None
        }
    }
}

fn upstreams(file: &File, reading: &mut Reading<'_>) -> Option<Vec<Upstream>> {
    let mut upstreams = Vec::new();
    for (name, upstream) in &file.upstreams {
        let url: Option<crate::net::TargetUrl> = reading.problems.parse(&upstream.url);
        let problems = &mut reading.problems;
        let connect_timeout = problems.duration(upstream.connect_timeout.as_ref(), Duration::from_secs(2));
        let response_timeout = problems.duration(upstream.response_timeout.as_ref(), Duration::from_secs(30));
        let tls = match (&url, &upstream.ca_file) {
            (Some(url), Some(ca_file)) if !url.is_tls() => {
                reading.problems.add(ca_file.place, "`ca_file` is for `https` only, this URL is `http`");
                None
            }
            (Some(url), ca_file) if url.is_tls() => client_tls(ca_file.as_ref(), upstream.url.place, reading),
            _ => None,
        };
        let preserve_host = upstream.preserve_host.unwrap_or(true);
        let token = upstream.transaction_token.as_ref().filter(|wanted| wanted.value);
        if let (Some(wanted), None) = (token, &file.transaction_tokens) {
            let message = "there are no tokens: `transaction_tokens` says nothing of who makes them";
            let help = "add `transaction_tokens: { issuer: …, audience: …, keys: […] }`";
            reading.problems.add_with_help(wanted.place, message, help);
        }
        if let Some(url) = url {
            let target = Target { url: Arc::new(url), tls, connect_timeout, response_timeout };
            let (name, transaction_token) = (name.as_str().into(), token.is_some());
            upstreams.push(Upstream { name, target, preserve_host, transaction_token });
        }
    }
    (upstreams.len() == file.upstreams.len()).then_some(upstreams)
}

fn client_tls(ca_file: Option<&Located<String>>, place: Place, reading: &mut Reading<'_>) -> Option<ClientTls> {
    let (tls, place) = match ca_file {
        Some(name) => (ClientTls::with_authorities(&reading.file(&name.value)), name.place),
        None => (ClientTls::with_machine_authorities(), place),
    };
    tls.map_err(|error| reading.problems.add(place, error.to_string())).ok()
}
