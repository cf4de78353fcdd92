//! The real binary in a folder of its own.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    issuer::{AUDIENCE, Issuer, NAME},
    upstream::Upstream,
    wire::{Answer, Connection, answer_of},
};

const MODEL: &str = "model
  schema 1.1
type user
type agent
type group
  relations
    define member: [user]
type task
  relations
    define holder: [user, agent]
type folder
  relations
    define viewer: [user, agent, task, group#member]
    define excluded: [user, agent]
    define can_write: [user, agent]
    define can_list: viewer
type document
  relations
    define parent: [folder]
    define viewer: [user, user:*, agent, task] or viewer from parent
    define excluded: [user, agent] or excluded from parent
    define can_read: viewer but not excluded
    define can_write: [user, agent, task] or can_write from parent
";

const TUPLES: &str = "- { user: group:staff#member, relation: viewer, object: folder:open }
- { user: user:erin, relation: member, object: group:staff }
- { user: user:frank, relation: member, object: group:staff }
- { user: agent:reader, relation: viewer, object: folder:open }
- { user: agent:planner, relation: viewer, object: folder:open }
- { user: folder:open, relation: parent, object: document:d1 }
- { user: folder:open, relation: parent, object: document:d2 }
- { user: agent:reader, relation: excluded, object: document:d2 }
- { user: user:erin, relation: can_write, object: folder:open }
- { user: task:t1, relation: viewer, object: folder:open }
- { user: user:erin, relation: holder, object: task:t1 }
- { user: agent:reader, relation: holder, object: task:t1 }
- { user: task:t2, relation: viewer, object: folder:open }
";

const ROUTES: &str = r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
      HEAD: { action: can_read, resource: "document:{path.document}" }
      PUT: { action: can_write, resource: "document:{path.document}" }
"#;

/// A folder with model, tuples, keys and a configuration, and an upstream beside it.
pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) upstream: Upstream,
    pub(crate) issuer: Issuer,
    pub(crate) routes: String,
    /// More lines at the top of the configuration.
    pub(crate) more: String,
    pub(crate) identity_more: String,
    pub(crate) policy_source: String,
    pub(crate) policy_more: String,
    pub(crate) listen: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
            upstream: Upstream::start(),
            issuer: Issuer::new("k1"),
            routes: ROUTES.to_owned(),
            more: String::new(),
            identity_more: String::new(),
            policy_source: "file: { model: model.fga, tuples: tuples.yaml }".to_owned(),
            policy_more: "task_holder: holder".to_owned(),
            listen: "- address: 127.0.0.1:0".to_owned(),
        };
        world.write("model.fga", MODEL);
        world.write("tuples.yaml", TUPLES);
        world.write("jwks.json", world.issuer.jwks());
        world
    }

    /// A world with these routes.
    pub(crate) fn with_routes(routes: &str) -> Self {
        Self { routes: routes.to_owned(), ..Self::new() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Writes a file in one step, as careful writers do.
    pub(crate) fn replace(&self, name: &str, text: impl AsRef<[u8]>) {
        let beside = self.path(&format!("{name}.new"));
        fs::write(&beside, text).unwrap();
        fs::rename(beside, self.path(name)).unwrap();
    }

    pub(crate) fn tuples(&self) -> String {
        fs::read_to_string(self.path("tuples.yaml")).unwrap()
    }

    pub(crate) fn config(&self) -> String {
        let Self { routes, more, identity_more, policy_source, policy_more, listen, upstream, .. } = self;
        let address = upstream.address;
        format!(
            "listen:
  {listen}
telemetry: {{ address: 127.0.0.1:0 }}
workers: 2
upstreams:
  main: {{ url: \"http://{address}\" }}
identity:
  jwt:
    - issuer: {NAME}
      audiences: [{AUDIENCE}]
      jwks: {{ file: jwks.json }}
      subject: \"user:{{sub}}\"
      actor: \"agent:{{sub}}\"
      task: \"task:{{task}}\"
  {identity_more}
policy:
  source: {{ {policy_source} }}
  {policy_more}
audit: {{ file: audit.jsonl }}
{more}
routes: {routes}
"
        )
    }

    /// Writes the configuration and starts the binary; it must come up.
    pub(crate) fn start(&self) -> Portcullis {
        self.write("portcullis.yaml", self.config());
        Portcullis::start(&self.path("portcullis.yaml"))
    }

    /// As [`World::start`], with another upstream than its own.
    pub(crate) fn start_before(&self, upstream: SocketAddr) -> Portcullis {
        self.write("portcullis.yaml", self.config().replace(&self.upstream.address.to_string(), &upstream.to_string()));
        Portcullis::start(&self.path("portcullis.yaml"))
    }

    /// As [`World::start`], with an upstream that is written so.
    pub(crate) fn start_with(&self, upstream: &str) -> Portcullis {
        self.write_with(upstream);
        Portcullis::start(&self.path("portcullis.yaml"))
    }

    /// Writes the configuration with such an upstream.
    pub(crate) fn write_with(&self, upstream: &str) {
        let own = format!("main: {{ url: \"http://{}\" }}", self.upstream.address);
        self.replace("portcullis.yaml", self.config().replace(&own, &format!("main: {{ {upstream} }}")));
    }

    /// Runs `portcullis` with these arguments in the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_portcullis")).args(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    /// The audit records so far.
    pub(crate) fn audit(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.path("audit.jsonl")).unwrap_or_default();
        // The last line may be on its way.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The record of the decision that an answer names.
    pub(crate) fn record_of(&self, answer: &Answer) -> serde_json::Value {
        let id = answer.header("portcullis-decision-id").expect("the answer names its decision").to_owned();
        eventually("the record is written", || self.audit().into_iter().find(|record| record["decision_id"] == *id))
    }
}

/// A running binary; it is killed when it goes out of scope.
pub(crate) struct Portcullis {
    child: Child,
    pub(crate) data: SocketAddr,
    pub(crate) telemetry: SocketAddr,
    /// Where it answers questions, if it does.
    pub(crate) decision: Option<SocketAddr>,
    /// Where it takes signals, if it does.
    pub(crate) signals: Option<SocketAddr>,
    log: Arc<Mutex<String>>,
    // It ends with the log.
    reader: Option<thread::JoinHandle<()>>,
}

/// How a process ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// The whole of it.
    pub(crate) log: String,
}

impl Portcullis {
    pub(crate) fn start(config: &Path) -> Self {
        Self::try_start(config).unwrap_or_else(|log| panic!("it did not come up:\n{log}"))
    }

    /// Starts the binary, or returns what it said when it ended.
    pub(crate) fn try_start(config: &Path) -> Result<Self, String> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.stdout(Stdio::null());
        Self::launch(command, config)
    }

    /// The same by a command that becomes the binary.
    pub(crate) fn launch(mut command: Command, config: &Path) -> Result<Self, String> {
        let mut child = command.args(["run", "--config"]).arg(config).stderr(Stdio::piped()).spawn().unwrap();
        drop(command);
        let lines = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let written = Arc::clone(&log);
        let reader = thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut log = written.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let text = log.lock().unwrap().clone();
            let address = |of: &str| {
                let line = text.lines().find(|line| line.contains(of))?;
                line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok()
            };
            if let Some((data, telemetry)) = address("agents can connect").zip(address("metrics and health")) {
                let decision = address("applications can ask");
                let signals = address("issuers can send signals");
                return Ok(Self { child, data, telemetry, decision, signals, log, reader: Some(reader) });
            }
            if child.try_wait().unwrap().is_some() || Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                reader.join().unwrap();
                return Err(log.lock().unwrap().clone());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a request with a token and these extra lines of the head, each ended by CRLF.
    pub(crate) fn request(&self, method: &str, path: &str, token: &str, fields: &str, body: &str) -> Answer {
        let mut connection = Connection::open(self.data);
        connection.send(request(method, path, token, fields, body));
        connection.answer_to(method).expect("an answer")
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> Answer {
        self.request("GET", path, token, "", "")
    }

    /// The answer of the decision listener to a request with a token.
    pub(crate) fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> Answer {
        let decision = self.decision.expect("a decision listener");
        answer_of(decision, request(method, path, token, "connection: close\r\n", body)).expect("an answer")
    }

    pub(crate) fn telemetry(&self, path: &str) -> Answer {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        answer_of(self.telemetry, request).expect("an answer")
    }

    /// The value of a metric, with its labels as they are written; 0 if it is not there.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        self.sample(name).parse().unwrap()
    }

    fn sample(&self, name: &str) -> String {
        let text = self.telemetry("/metrics").body;
        let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
        line.and_then(|line| line.rsplit(' ').next()).unwrap_or("0").to_owned()
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log holds this text.
    pub(crate) fn until_logged(&self, text: &str) {
        eventually(text, || self.log().contains(text).then_some(()));
    }

    /// The revision in force.
    pub(crate) fn revision(&self) -> u64 {
        self.sample("portcullis_snapshot_revision").parse().unwrap()
    }

    /// Waits for a revision above this one.
    pub(crate) fn until_revision_above(&self, revision: u64) -> u64 {
        eventually("a new revision", || Some(self.revision()).filter(|now| *now > revision))
    }

    pub(crate) fn signal(&self, signal: &str) {
        let done = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// The memory that it has now, in bytes.
    pub(crate) fn resident(&self) -> usize {
        self.memory("VmRSS:")
    }

    /// The part of it that is not of files, as its code is.
    pub(crate) fn anonymous(&self) -> usize {
        self.memory("RssAnon:")
    }

    fn memory(&self, field: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() * 1024
    }

    /// Ends it in order, and says how that went.
    pub(crate) fn end(mut self) -> Ended {
        self.signal("-TERM");
        let status = eventually("the process ends", || self.child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        Ended { status, log: self.log() }
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(mut self) -> ExitStatus {
        eventually("the process ends", || self.child.try_wait().unwrap())
    }
}

impl Drop for Portcullis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request with a token, a Host and these extra lines of the head, each ended by CRLF.
pub(crate) fn request(method: &str, path: &str, token: &str, fields: &str, body: &str) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: api.acme.example\r\n");
    if !token.is_empty() {
        head.push_str(&format!("authorization: Bearer {token}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    format!("{head}{fields}\r\n{body}")
}

/// Runs `portcullis` with these arguments.
pub(crate) fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portcullis")).args(arguments).output().unwrap()
}

/// Waits for something that takes a moment, at most 30 seconds.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "waited too long: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// How often something is done: so often, or at the length that `make soak` asks for.
pub(crate) fn rounds(short: usize, full: usize) -> usize {
    if std::env::var_os("PORTCULLIS_FULL_LENGTH").is_some() { full } else { short }
}
