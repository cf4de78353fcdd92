//! A folder with everything that Portcullis needs, and requests that it permits.

use std::{
    fmt::Write,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, ensure};
use aws_lc_rs::{
    rand::{SecureRandom, SystemRandom},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use portcullis::identity::NewApiKey;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    graph,
    process::{Line, Server},
};

pub(crate) const ISSUER: &str = "https://idp.acme.example";
pub(crate) const AUDIENCE: &str = "https://api.acme.example";
/// The document of the first request.
const FIRST: &str = "d10000";
/// The bytes of a request.
const REQUEST_BYTES: usize = 950;
/// The route that requests take, of [`ROUTES`].
const ROUTE: u32 = 25;
pub(crate) const ROUTES: u32 = 50;
/// Documents and users of a graph of a million tuples.
pub(crate) const MILLION: (u64, u64) = (500_000, 494_000);
/// A document that one of two policies lets user 100 read through agent 0, and the other does not.
pub(crate) const SWITCHED: &str = "switched";

/// A folder with a configuration, and a key of an issuer.
#[derive(Debug)]
pub(crate) struct World {
    folder: TempDir,
    key: EcdsaKeyPair,
}

impl World {
    /// Of 100,000 tuples.
    pub(crate) fn new(upstream: SocketAddr, workers: u8) -> anyhow::Result<Self> {
        Self::of(upstream, workers, (graph::DOCUMENTS, graph::USERS))
    }

    /// Of so many documents and users.
    pub(crate) fn of(upstream: SocketAddr, workers: u8, graph: (u64, u64)) -> anyhow::Result<Self> {
        Self::with(upstream, workers, &tuples_of(graph, true))
    }

    /// Of the two tuples that permit the first of the requests.
    pub(crate) fn small(upstream: SocketAddr, workers: u8) -> anyhow::Result<Self> {
        let owner = |who: &str| format!(r#"{{"user":"{who}","relation":"owner","object":"document:{FIRST}"}}"#);
        Self::with(upstream, workers, &format!("{}\n{}\n", owner("user:u100"), owner("agent:a0")))
    }

    fn with(upstream: SocketAddr, workers: u8, tuples: &str) -> anyhow::Result<Self> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        let world = Self { folder: tempfile::tempdir()?, key };
        // Of its own, because the other folder is watched.
        fs::create_dir(world.path("log"))?;
        fs::write(world.path("model.fga"), graph::MODEL)?;
        fs::write(world.path("tuples.jsonl"), tuples)?;
        fs::write(world.path("jwks.json"), world.key_set()?)?;
        fs::write(world.path("portcullis.yaml"), config(upstream, workers))?;
        Ok(world)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command line that serves this world.
    pub(crate) fn line(&self, portcullis: &Path) -> anyhow::Result<Line> {
        let config = self.path("portcullis.yaml");
        Ok(Line::new(portcullis, &["run", "--config", config.to_str().context("the path of a folder is text")?]))
    }

    /// The command line of another one of it, which passes everything on to a server that is secure.
    pub(crate) fn line_in_front_of(&self, server: &Server, portcullis: &Path) -> anyhow::Result<Line> {
        let config = config(server.address, 1)
            .replacen(
                &format!("\"http://{}\"", server.address),
                &format!("\"https://localhost:{}\", ca_file: server.pem", server.address.port()),
                1,
            )
            .replace("audit.jsonl", "front.jsonl")
            .replace("    upstream: main\n", "    upstream: main\n    credential: forward\n");
        let file = self.path("front.yaml");
        fs::write(&file, config)?;
        Ok(Line::new(portcullis, &["run", "--config", file.to_str().context("the path of a folder is text")?]))
    }

    /// Forgets what was recorded so far, and returns how many records that were.
    pub(crate) fn clear_audit(&self) -> anyhow::Result<usize> {
        let path = self.path("log/audit.jsonl");
        let records = fs::read(&path)?.iter().filter(|byte| **byte == b'\n').count();
        fs::File::options().write(true).open(path)?.set_len(0)?;
        Ok(records)
    }

    /// Serves TLS with a key on P-256, and HTTP/1.1 and HTTP/2 over it. Others find the identity in its folder too.
    pub(crate) fn secure(&self) -> anyhow::Result<()> {
        // P-256 is what it takes by itself.
        let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(self.path("server.pem"), identity.cert.pem())?;
        fs::write(self.path("server.key"), identity.signing_key.serialize_pem())?;
        let clear = "  - address: 127.0.0.1:0\n";
        let tls = format!("{clear}    tls: {{ certificate: server.pem, key: server.key }}\n");
        let config = fs::read_to_string(self.path("portcullis.yaml"))?;
        Ok(fs::write(self.path("portcullis.yaml"), config.replacen(clear, &tls, 1))?)
    }

    /// The first request, as it is sent.
    pub(crate) fn first_request(&self) -> anyhow::Result<String> {
        Ok(request(FIRST, &self.token()?))
    }

    /// Writes requests for 800 documents, all permitted, one after the other into a file, and returns its path.
    pub(crate) fn requests(&self) -> anyhow::Result<PathBuf> {
        let token = self.token()?;
        let documents = (10_000..graph::DOCUMENTS).step_by(usize::try_from(graph::ORGANIZATIONS)?);
        let requests: String = documents.map(|document| request(&format!("d{document}"), &token)).collect();
        let file = self.path("requests");
        fs::write(&file, requests)?;
        Ok(file)
    }

    /// Lets an API key stand for the same user and agent as the tokens, and writes the same requests with it instead.
    /// They are shorter by what a token is longer.
    pub(crate) fn requests_by_key(&self) -> anyhow::Result<PathBuf> {
        let mut random = [0; 24];
        SystemRandom::new().fill(&mut random)?;
        let NewApiKey { id, text, hash } = NewApiKey::generate(random);
        let config = fs::read_to_string(self.path("portcullis.yaml"))?;
        let keys = format!(
            "  api_keys:\n    keys: [{{ id: {id}, hash: \"{hash}\", subject: user:u100, actors: [agent:a0] }}]\npolicy:\n"
        );
        fs::write(self.path("portcullis.yaml"), config.replacen("policy:\n", &keys, 1))?;
        let requests = fs::read_to_string(self.requests()?)?;
        let is_token = |line: &str| line.starts_with("authorization: ");
        let by_key = |line: &str| if is_token(line) { format!("x-api-key: {text}\r\n") } else { line.to_owned() };
        let by_key: String = requests.split_inclusive("\r\n").map(by_key).collect();
        let file = self.path("requests-by-key");
        fs::write(&file, by_key)?;
        Ok(file)
    }

    /// A token of user 100 for whom agent 0 acts; both belong to organization 0.
    pub(crate) fn token(&self) -> anyhow::Result<String> {
        self.token_called("8a3c1f52")
    }

    /// The same with this id.
    pub(crate) fn token_called(&self, id: &str) -> anyhow::Result<String> {
        // The scope makes up for what is missing to the length of a request.
        let bare = request(FIRST, &self.sign("", id)?).len();
        let scope = "x".repeat((REQUEST_BYTES - bare) / 4 * 3);
        self.sign(&scope, id)
    }

    fn sign(&self, scope: &str, id: &str) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "u100", "act": { "sub": "a0" }, "iat": now, "exp": now + 3600,
            "jti": id, "client_id": "bench", "scope": scope,
        });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": "k1" });
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes())?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn key_set(&self) -> anyhow::Result<String> {
        // An uncompressed point: 4, then x and y of 32 bytes each.
        let point = self.key.public_key().as_ref();
        let (x, y) = point.get(1..).context("a point")?.split_at_checked(32).context("two coordinates")?;
        let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let key = json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k1",
            "x": coordinate(x), "y": coordinate(y),
        });
        Ok(json!({ "keys": [key] }).to_string())
    }
}

/// A request for a document, as an agent's client would send it.
pub(crate) fn request(document: &str, token: &str) -> String {
    format!(
        "GET /v1/service-{ROUTE}/documents/{document}?trace=1 HTTP/1.1\r\nhost: api.acme.example\r\n\
         authorization: Bearer {token}\r\nx-tenant: acme\r\nx-request-source: planner\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\naccept: application/json\r\n\
         user-agent: bench-agent/1.0\r\n\r\n"
    )
}

/// 100,000 tuples as lines of JSON; the last one says whether user 100 may read [`SWITCHED`].
pub(crate) fn tuples(switched: bool) -> String {
    tuples_of((graph::DOCUMENTS, graph::USERS), switched)
}

fn tuples_of((documents, users): (u64, u64), switched: bool) -> String {
    let mut lines = String::new();
    let mut add = |user: &str, relation: &str, object: &str| {
        // Writing into memory does not fail.
        let _ = writeln!(lines, r#"{{"user":"{user}","relation":"{relation}","object":"{object}"}}"#);
    };
    graph::hierarchy_of(documents, users, &mut add);
    add("agent:a0", "owner", &format!("document:{SWITCHED}"));
    add(if switched { "user:u100" } else { "user:u101" }, "owner", &format!("document:{SWITCHED}"));
    lines
}

fn config(upstream: SocketAddr, workers: u8) -> String {
    let mut text = format!(
        "listen:
  - address: 127.0.0.1:0
telemetry: {{ address: 127.0.0.1:0 }}
workers: {workers}
upstreams:
  main: {{ url: \"http://{upstream}\" }}
identity:
  jwt:
    - issuer: {ISSUER}
      audiences: [{AUDIENCE}]
      jwks: {{ file: jwks.json }}
      subject: \"user:{{sub}}\"
      actor: \"agent:{{sub}}\"
policy:
  source: {{ file: {{ model: model.fga, tuples: tuples.jsonl }} }}
audit: {{ file: log/audit.jsonl }}
routes:
"
    );
    for route in 0..ROUTES {
        let _ = write!(
            text,
            "  - path: /v1/service-{route}/documents/{{document}}
    upstream: main
    operations:
      GET: {{ action: can_read, resource: \"document:{{path.document}}\" }}
"
        );
    }
    text
}

/// Sends load to a server from the core for load, and returns what it met with.
pub(crate) fn load(
    server: &Server,
    requests: &Path,
    connections: u16,
    extent: super::load::Extent,
) -> anyhow::Result<super::load::Outcome> {
    load_by(&["load"], server.address, requests, connections, extent)
}

/// The same, by a process that serves the upstream too.
pub(crate) fn load_serving(
    upstream: SocketAddr,
    server: SocketAddr,
    requests: &Path,
    connections: u16,
    extent: super::load::Extent,
) -> anyhow::Result<super::load::Outcome> {
    load_by(&["load", "serving", &upstream.to_string()], server, requests, connections, extent)
}

fn load_by(
    words: &[&str],
    server: SocketAddr,
    requests: &Path,
    connections: u16,
    extent: super::load::Extent,
) -> anyhow::Result<super::load::Outcome> {
    let file = requests.to_str().context("the path of a folder is text")?;
    let (address, connections) = (server.to_string(), connections.to_string());
    let [kind, first, second] = extent.words();
    let line = Line::own(&[words, &[&address, &connections, file, &kind, &first, &second]].concat())?;
    let output = line.on_core(super::process::LOAD_CORE).output()?;
    let outcome = super::load::Outcome::read(output.trim())?;
    ensure!(outcome.answers > 0, "no answers");
    Ok(outcome)
}
