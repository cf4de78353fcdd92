//! The demo, as people run it: the real binary, real sockets, real signals.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

const PORTCULLIS: &str = env!("CARGO_BIN_EXE_portcullis");
const PATIENCE: Duration = Duration::from_secs(20);

fn company() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo")
}

fn portcullis(arguments: &[&str]) -> Output {
    Command::new(PORTCULLIS).args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Every route with a method, as `route` and `method` name it.
fn routes(list: &Value, route: &str, method: &str) -> BTreeSet<(String, String)> {
    let text = |item: &Value, member: &str| item[member].as_str().map(str::to_owned);
    list.as_array().unwrap().iter().filter_map(|item| text(item, route).zip(text(item, method))).collect()
}

#[test]
fn every_scenario_agrees() {
    let output = portcullis(&["demo", "--once"]);
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{table}{}", String::from_utf8_lossy(&output.stderr));
    let last = table.lines().last().unwrap();
    assert!(last.ends_with(" passed, 0 failed") && !last.starts_with("0 "), "{last}");
    let heads: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heads, ["SCENARIO", "WHO", "VIA", "REQUEST", "EXPECTED", "GOT", "REASON", "REV"]);
    let line = table.lines().find(|line| line.starts_with("S1.2 ")).unwrap();
    let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    let (who, [expected, got, reason, revision, verdict]) = (&cells[..3], &cells[4..]) else { panic!("{line}") };
    assert_eq!(who, ["S1.2", "erin", "sales-assistant"]);
    assert!(expected.starts_with("403 agent:sales"), "{expected}");
    assert_eq!([got, reason, revision, verdict], [&"403", &"not_permitted", &"1", &"ok"]);
    let widest = table.lines().max_by_key(|line| line.chars().count()).unwrap();
    assert!(widest.chars().count() <= 132, "{widest}");
}

#[test]
fn every_scenario_agrees_where_only_the_current_actor_is_asked() {
    let output = portcullis(&["demo", "--once", "--json", "--actors", "current"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let report = json(&output);
    let prior =
        report["scenarios"].as_array().unwrap().iter().find(|scenario| scenario["scenario"] == "S8.prior").unwrap();
    assert_eq!((&prior["expected"], &prior["reason"]), (&"200".into(), &"permitted".into()), "{prior}");
}

#[test]
fn every_route_of_the_company_is_used_by_a_scenario() {
    let configuration = company().join("portcullis.yaml");
    let valid = portcullis(&["validate", "--json", "--config", configuration.to_str().unwrap()]);
    assert!(valid.status.success(), "{}", String::from_utf8_lossy(&valid.stdout));
    let written = routes(&json(&valid)["routes"], "name", "method");
    let once = portcullis(&["demo", "--once", "--json"]);
    assert!(once.status.success());
    let used = routes(&json(&once)["scenarios"], "route", "method");
    assert_eq!(written.difference(&used).collect::<Vec<_>>(), Vec::<&(String, String)>::new());
    assert!(written.len() > 20);
}

/// A demo that serves, until it is dropped.
struct Open {
    child: Child,
    printed: Vec<String>,
    rest: BufReader<std::process::ChildStdout>,
}

impl Open {
    fn start() -> Self {
        let mut command = Command::new(PORTCULLIS);
        command.args(["demo", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut rest = BufReader::new(child.stdout.take().unwrap());
        let mut printed = Vec::new();
        while !printed.last().is_some_and(|line: &String| line.starts_with("Ctrl-C ")) {
            let mut line = String::new();
            assert_ne!(rest.read_line(&mut line).unwrap(), 0, "it ended: {printed:?}");
            printed.push(line.trim_end().to_owned());
        }
        Self { child, printed, rest }
    }

    /// What is printed after `caption` on its line.
    fn printed(&self, caption: &str) -> &str {
        self.printed.iter().find_map(|line| line.trim_start().strip_prefix(caption)).unwrap().trim()
    }

    fn directory(&self) -> PathBuf {
        Path::new(self.printed("who may do what")).parent().unwrap().to_owned()
    }

    /// The status of the answer to the first curl line.
    fn first_request(&self) -> u16 {
        let line = self.printed("curl -si -H 'Authorization: Bearer ");
        let (token, rest) = line.split_once('\'').unwrap();
        let url = rest.trim().trim_matches('\'').strip_prefix("http://").unwrap();
        let (host, path) = url.split_once('/').unwrap();
        let mut stream = TcpStream::connect(host).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n");
        stream.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let told = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    fn end(mut self) -> (ExitStatus, String) {
        let status = wait(&mut self.child);
        let mut last = String::new();
        self.rest.read_to_string(&mut last).unwrap();
        (status, last)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Nothing if it has ended already.
        let _ = self.child.kill();
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "it does not end");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_ends_in_order_when_it_is_told_to() {
    for name in ["TERM", "INT"] {
        let open = Open::start();
        let directory = open.directory();
        assert_eq!(open.first_request(), 200);
        open.signal(name);
        let (status, last) = open.end();
        assert!(status.success(), "{name}: {status}");
        assert!(last.contains("Stopped in order: the services saw 1 requests"), "{last}");
        assert!(!directory.exists(), "{name}");
    }
}

#[test]
fn an_edit_of_the_tuples_is_in_force_without_a_restart() {
    let open = Open::start();
    let file = open.directory().join("tuples.yaml");
    assert_eq!(open.first_request(), 200);
    let text = fs::read_to_string(&file).unwrap();
    let role = "- { user: agent:sales-assistant, relation: reader, object: territory:emea }\n";
    assert!(text.contains(role));
    fs::write(&file, text.replace(role, "")).unwrap();
    let begun = Instant::now();
    while open.first_request() != 403 {
        assert!(begun.elapsed() < PATIENCE, "the edit is not in force");
        thread::sleep(Duration::from_millis(20));
    }
    open.signal("TERM");
    assert!(open.end().0.success());
}

#[test]
fn the_files_that_it_brings_are_the_company_s() {
    let open = Open::start();
    let read = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).unwrap();
    for name in ["model.fga", "tuples.yaml"] {
        assert_eq!(read(&open.directory(), name), read(&company(), name), "{name}");
    }
    // Addresses and keys are its own; every other line is the company's.
    let brought = read(&open.directory(), "portcullis.yaml");
    let written = read(&company(), "portcullis.yaml");
    let differ = brought.lines().zip(written.lines()).filter(|(one, other)| one != other).count();
    assert_eq!(differ, 3);
    assert_ne!(read(&open.directory(), "jwks.json"), read(&company(), "jwks.json"));
    open.signal("TERM");
    assert!(open.end().0.success());
}

#[test]
fn an_address_that_is_taken_is_said_to_be() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = portcullis(&["demo", "--listen", &address]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(&address) && said.contains("--listen"), "{said}");
}
