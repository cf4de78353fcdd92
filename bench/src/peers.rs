//! The same questions, asked of others: Cedar and SpiceDB in their own processes, OpenFGA over HTTP.

#![expect(clippy::expect_used, reason = "a measurement may stop where it makes no sense")]

use std::{
    env, fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use portcullis::policy::{Policy, PolicySettings};
use serde_json::{Value, json};

use super::{
    graph::{self, mixed},
    latency::Latencies,
    load::{Extent, Outcome},
    process::{Line, PROXY_CORE, Server, portcullis},
    report::{Report, bar, median},
    scale::{self, Question},
    world::load,
};

/// How often questions are asked over HTTP.
const ROUNDS: usize = 5;
/// How many questions there are; each peer is asked as many of them as it answers within a minute.
const QUESTIONS: usize = 10_000;
const OPENFGA: &str = "github.com/openfga/openfga/cmd/openfga";
const OPENFGA_VERSION: &str = "v1.22.1";
const CONNECTIONS: u16 = 16;
const EXTENT: Extent = Extent::Time { warm_up: Duration::from_millis(700), measured: Duration::from_secs(4) };
/// What there is over HTTP: OpenFGA's memory looks at all tuples for each that it takes, and takes minutes for 100,000.
const FEW_DOCUMENTS: u64 = 10_000;
const FEW_USERS: u64 = 8_800;
/// OpenFGA takes no more tuples at once.
const BATCH: usize = 100;
const CEDAR_BAR: f64 = 10.0;
const BAR: f64 = 5.0;

/// How much somebody is asked in its own process: the first questions, in rounds after one that does not count.
#[derive(Debug, Clone, Copy)]
struct Asked {
    questions: usize,
    rounds: usize,
}

const ASKED_CEDAR: Asked = Asked { questions: QUESTIONS, rounds: 5 };
const ASKED_SPICEDB: Asked = Asked { questions: 100, rounds: 3 };

impl Asked {
    fn words(self) -> [String; 2] {
        [self.rounds.to_string(), self.questions.to_string()]
    }
}

/// How fast somebody answered.
struct Answered {
    a_second: f64,
    p50: Duration,
    p99: Duration,
}

/// Asks all of them, and saves the tables.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut report = Report::new("peers", "The same questions, asked of others", "peers");
    let folder = tempfile::tempdir()?;
    write_world(folder.path())?;
    report.line(&format!(
        "Questions whether a user may read a document, half of which are allowed, about the same 100,000 tuples: documents \
         in three levels of folders, organizations that groups of groups may view. Everybody gives the same answers, \
         which is checked before. Each runs on one core. A peer and Portcullis are asked the same questions in as many \
         rounds, of which the middle one counts: {QUESTIONS} of them over HTTP, the first of these in process, as many as \
         the table says because some take long.\n"
    ));
    in_process(&mut report, folder.path())?;
    over_http(&mut report, folder.path())?;
    report.save()
}

fn question(n: u64) -> (u64, u64) {
    let document = mixed(n) % graph::DOCUMENTS;
    let same = mixed(n + 1) % (graph::USERS / graph::ORGANIZATIONS) * graph::ORGANIZATIONS;
    let user = if n.is_multiple_of(2) { same + document % graph::ORGANIZATIONS } else { mixed(n + 2) % graph::USERS };
    (user, document)
}

fn questions() -> impl Iterator<Item = (String, String, bool)> {
    (0..).take(QUESTIONS).map(|n| {
        let (user, document) = question(n);
        let allowed = user % graph::ORGANIZATIONS == document % graph::ORGANIZATIONS;
        (format!("user:u{user}"), format!("document:d{document}"), allowed)
    })
}

/// Questions about what there is over HTTP.
fn few_questions() -> impl Iterator<Item = (String, String, bool)> {
    (0..).take(QUESTIONS).map(|n| {
        let (user, document) = question(n);
        let (user, document) = (user % FEW_USERS, document % FEW_DOCUMENTS);
        let allowed = user % graph::ORGANIZATIONS == document % graph::ORGANIZATIONS;
        (format!("user:u{user}"), format!("document:d{document}"), allowed)
    })
}

fn write_world(folder: &Path) -> anyhow::Result<()> {
    let mut tuples = Vec::new();
    let mut failed = Ok(());
    graph::hierarchy(|user, relation, object| {
        let line = json!({ "user": user, "relation": relation, "object": object });
        if failed.is_ok() {
            failed = writeln!(tuples, "{line}");
        }
    });
    failed?;
    fs::write(folder.join("tuples.jsonl"), tuples)?;
    let mut asked = Vec::new();
    for (user, object, allowed) in questions() {
        let line = json!({ "user": user, "relation": "can_read", "object": object, "allowed": allowed });
        writeln!(asked, "{line}")?;
    }
    fs::write(folder.join("questions.jsonl"), asked)?;
    Ok(())
}

fn in_process(report: &mut Report, folder: &Path) -> anyhow::Result<()> {
    let folder = folder.to_str().context("the path of a folder is text")?;
    let (links, attributes) = (cedar("links", folder)?, cedar("attributes", folder)?);
    let spicedb = spicedb(folder)?;
    let mut rows = Vec::new();
    // Ours before and after each of them, so that what else the machine does is in both.
    for (name, line, asked, wanted) in [
        ("Cedar, a linked policy for each grant", links, ASKED_CEDAR, CEDAR_BAR),
        ("Cedar, flattened by hand into attributes", attributes, ASKED_CEDAR, CEDAR_BAR),
        ("SpiceDB embedded in Node.js", spicedb, ASKED_SPICEDB, BAR),
    ] {
        let [rounds, questions] = asked.words();
        let ours = Line::own(&["peers-own", &rounds, &questions])?;
        let before = answered(&ours, asked)?;
        let theirs = answered(&line, asked)?;
        let after = answered(&ours, asked)?;
        let own = median(vec![before.a_second, after.a_second]).min(before.a_second.max(after.a_second));
        let ratio = own / theirs.a_second;
        let p99 = before.p99.max(after.p99);
        rows.push(vec![
            name.to_owned(),
            format!("{rounds} × {questions}"),
            format!("{:.0}", theirs.a_second),
            shown(theirs.p50),
            shown(theirs.p99),
            format!("{own:.0}"),
            shown(p99),
            format!("{ratio:.1}"),
            format!("≥ {wanted}, {}", bar(ratio, wanted)),
        ]);
    }
    report.line("## In process\n");
    let head = ["", "asked", "checks/s", "p50", "p99", "ours, checks/s", "ours, p99", "ratio", "bar"];
    report.table(&head, &rows);
    Ok(())
}

/// Asks the first questions of a policy in this process, and prints what the peers print.
pub(crate) fn own(rounds: &str, count: &str) -> anyhow::Result<()> {
    let mut builder = scale::builder();
    graph::hierarchy(|user, relation, object| {
        builder.add(user, relation, object).expect("the tuple is well formed");
    });
    let policy = Policy::new(builder.finish(), PolicySettings::default());
    let asked: Vec<(Question, bool)> = questions()
        .take(count.parse()?)
        .map(|(user, object, allowed)| (Question::new(&user, "can_read", &object), allowed))
        .collect();
    ensure!(asked.iter().all(|(question, allowed)| question.ask(&policy) == *allowed), "an answer is wrong");
    println!("{}", asked.iter().filter(|(_, allowed)| *allowed).count());
    for _ in 0..rounds.parse::<u32>()? {
        let started = Instant::now();
        for (question, _) in &asked {
            std::hint::black_box(question.ask(&policy));
        }
        println!("{}", started.elapsed().as_secs_f64());
    }
    let mut latencies = Latencies::new();
    for (question, _) in &asked {
        let started = Instant::now();
        std::hint::black_box(question.ask(&policy));
        latencies.record(started.elapsed());
    }
    println!("{} {}", latencies.quantile(500).as_nanos(), latencies.quantile(990).as_nanos());
    Ok(())
}

/// Runs a peer to its end and reads what it printed.
fn answered(line: &Line, asked: Asked) -> anyhow::Result<Answered> {
    let output = line.clone().on_core(PROXY_CORE).output()?;
    let lines: Vec<&str> = output.lines().collect();
    let [allowed, seconds @ .., quantiles] = lines.as_slice() else { bail!("a peer said nothing") };
    let wanted = questions().take(asked.questions).filter(|(_, _, allowed)| *allowed).count();
    ensure!(*allowed == wanted.to_string(), "a peer allowed {allowed} of {wanted}");
    let seconds = seconds.iter().map(|text| text.parse()).collect::<Result<Vec<f64>, _>>()?;
    let (p50, p99) = quantiles.split_once(' ').context("a peer gave no quantiles")?;
    let nanoseconds = |text: &str| text.parse::<f64>().map(|nanoseconds| Duration::from_secs_f64(nanoseconds / 1e9));
    let count = f64::from(u32::try_from(asked.questions)?);
    Ok(Answered { a_second: count / median(seconds), p50: nanoseconds(p50)?, p99: nanoseconds(p99)? })
}

fn peer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(name)
}

/// Where peers are built: beside this program.
fn target() -> anyhow::Result<PathBuf> {
    Ok(env::current_exe()?.with_file_name("peers"))
}

fn done(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("{command:?} cannot be started"))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}

fn cedar(kind: &str, folder: &str) -> anyhow::Result<Line> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = target()?.join("cedar");
    done(
        Command::new(cargo)
            .args(["build", "--release", "--quiet", "--locked"])
            .current_dir(peer("cedar"))
            .env("CARGO_TARGET_DIR", &target),
    )?;
    // It asks all questions.
    let [rounds, _] = ASKED_CEDAR.words();
    Ok(Line::new(&target.join("release/cedar-peer"), &[kind, folder, &rounds]))
}

fn spicedb(folder: &str) -> anyhow::Result<Line> {
    let home = target()?.join("spicedb");
    fs::create_dir_all(&home)?;
    for file in ["package.json", "package-lock.json", "check.mjs"] {
        fs::copy(peer("spicedb").join(file), home.join(file))?;
    }
    done(Command::new("npm").args(["ci", "--silent", "--ignore-scripts"]).current_dir(&home))?;
    let script = home.join("check.mjs");
    let script = script.to_str().context("the path of a folder is text")?;
    let [rounds, questions] = ASKED_SPICEDB.words();
    Ok(Line::new(Path::new("node"), &[script, folder, &rounds, &questions]))
}

fn openfga() -> anyhow::Result<PathBuf> {
    let bin = target()?.join("openfga");
    done(Command::new("go").args(["install", &format!("{OPENFGA}@{OPENFGA_VERSION}")]).env("GOBIN", &bin))?;
    Ok(bin.join("openfga"))
}

fn over_http(report: &mut Report, folder: &Path) -> anyhow::Result<()> {
    let (ours, theirs) = (portcullis()?, openfga()?);
    let (http_port, grpc_port) = (free_port()?, free_port()?);
    let theirs = Line::new(
        &theirs,
        &[
            "run",
            "--datastore-engine=memory",
            "--playground-enabled=false",
            "--metrics-enabled=false",
            "--log-level=none",
            &format!("--http-addr=127.0.0.1:{http_port}"),
            &format!("--grpc-addr=127.0.0.1:{grpc_port}"),
        ],
    );
    let theirs = theirs.on_core(PROXY_CORE).serve_at(SocketAddr::from((Ipv4Addr::LOCALHOST, http_port)))?;
    let port = free_port()?;
    let ours = Line::new(&ours, &["serve-openfga", "--listen", &format!("127.0.0.1:{port}")]);
    let ours = ours.on_core(PROXY_CORE).serve_at(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let names = ["OpenFGA", "portcullis serve-openfga"];
    let mut files = Vec::new();
    for (name, server) in names.iter().zip([&theirs, &ours]) {
        let requests = fill(server).with_context(|| format!("{name} cannot be filled"))?;
        let file = folder.join(format!("requests-{}", files.len()));
        fs::write(&file, requests)?;
        files.push(file);
    }
    let mut rounds: [Vec<Outcome>; 2] = Default::default();
    for _ in 0..ROUNDS {
        for ((outcomes, server), file) in rounds.iter_mut().zip([&theirs, &ours]).zip(&files) {
            outcomes.push(load(server, file, CONNECTIONS, EXTENT)?);
        }
    }
    let rate = |outcome: &Outcome| f64::from(u32::try_from(outcome.answers).unwrap_or(u32::MAX)) / outcome.seconds;
    let middle = |outcomes: &[Outcome], figure: &dyn Fn(&Outcome) -> f64| median(outcomes.iter().map(figure).collect());
    let rows: Vec<_> = names
        .iter()
        .zip(&rounds)
        .map(|(name, outcomes)| {
            let quantile = |of: &dyn Fn(&Outcome) -> Duration| {
                shown(Duration::from_secs_f64(middle(outcomes, &|outcome| of(outcome).as_secs_f64())))
            };
            vec![
                (*name).to_owned(),
                format!("{:.0}", middle(outcomes, &rate)),
                quantile(&|outcome| outcome.median),
                quantile(&|outcome| outcome.p99),
            ]
        })
        .collect();
    let [theirs, ours] = &rounds;
    let ratio = middle(ours, &rate) / middle(theirs, &rate);
    report.line(&format!(
        "## Over HTTP on loopback\n\nOpenFGA {OPENFGA_VERSION} in memory; {CONNECTIONS} connections in a closed loop, \
         interleaved. A check is a `POST` to the same API. Both have only {FEW_DOCUMENTS} documents and {FEW_USERS} users of \
         the same folders and groups: OpenFGA's memory looks at all tuples for each that it takes.\n"
    ));
    report.table(&["", "checks/s", "p50", "p99"], &rows);
    report.line(&format!("Ours against theirs: {ratio:.1} (bar {BAR}, {}).\n", bar(ratio, BAR)));
    Ok(())
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Makes a store with the model and all tuples, checks some answers, and returns the questions as HTTP requests.
fn fill(server: &Server) -> anyhow::Result<Vec<u8>> {
    let base = format!("http://{}", server.address);
    let deadline = Instant::now() + Duration::from_secs(60);
    while ureq::get(&format!("{base}/healthz")).call().is_err() {
        ensure!(Instant::now() < deadline, "it does not come up");
        thread::sleep(Duration::from_millis(100));
    }
    let post = |path: &str, body: &Value| -> anyhow::Result<Value> {
        let mut answer = ureq::post(&format!("{base}{path}")).send_json(body)?;
        Ok(answer.body_mut().read_json()?)
    };
    let text = |value: &Value, name: &str| -> anyhow::Result<String> {
        Ok(value.get(name).and_then(Value::as_str).context("an answer lacks an id")?.to_owned())
    };
    let store = text(&post("/stores", &json!({ "name": "bench" }))?, "id")?;
    let model = post(&format!("/stores/{store}/authorization-models"), &model()?)?;
    let model = text(&model, "authorization_model_id")?;
    let mut keys = Vec::new();
    graph::hierarchy_of(FEW_DOCUMENTS, FEW_USERS, |user, relation, object| {
        keys.push(json!({ "user": user, "relation": relation, "object": object }));
    });
    for batch in keys.chunks(BATCH) {
        let body = json!({ "writes": { "tuple_keys": batch }, "authorization_model_id": model });
        post(&format!("/stores/{store}/write"), &body)?;
    }
    let path = format!("/stores/{store}/check");
    let mut requests = Vec::new();
    for (n, (user, object, allowed)) in few_questions().enumerate() {
        let key = json!({ "user": user, "relation": "can_read", "object": object });
        let body = json!({ "tuple_key": key, "authorization_model_id": model });
        if n % 20 == 0 {
            let answer = post(&path, &body)?;
            ensure!(answer.get("allowed") == Some(&Value::Bool(allowed)), "it answers {key} differently");
        }
        let body = body.to_string();
        write!(
            requests,
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            server.address,
            body.len()
        )?;
    }
    Ok(requests)
}

/// The model as the API takes it.
fn model() -> anyhow::Result<Value> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("model.fga");
    fs::write(&file, graph::MODEL)?;
    let file = file.to_str().context("the path of a folder is text")?;
    let json = Line::new(&portcullis()?, &["model", "convert", file]).output()?;
    Ok(serde_json::from_str(&json)?)
}

fn shown(latency: Duration) -> String {
    match latency.as_secs_f64() * 1e6 {
        few if few < 1.0 => format!("{:.0} ns", few * 1e3),
        some if some < 1e3 => format!("{some:.1} µs"),
        many => format!("{:.1} ms", many / 1e3),
    }
}
