//! Attacks, each as its bytes and what must come of it. What is forwarded all the same is judged by every reading of it.

use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    thread,
    time::{Duration, Instant},
};

use crate::support::{Connection, Echo, Http2, Portcullis, Readings, Told, World, spellings};

const ATTACKS: &str = include_str!("attacks.txt");

/// Everything under `/public` may be read, and in `/notes` anything may be written; of the documents, `d1` and `d2`.
const ROUTES: &str = r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
      PUT: { action: can_write, resource: "document:{path.document}" }
  - path: /public/{*file}
    upstream: main
    operations:
      GET: { action: can_list, resource: "folder:open" }
  - path: /notes/{*note}
    upstream: main
    operations:
      POST: { action: can_list, resource: "folder:open" }
      PATCH: { action: can_list, resource: "folder:open" }
  - path: /search
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{query.id}" }
      POST: { action: can_read, resource: "document:{query.id}" }
  - path: /tenant
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{header.x-document}" }
  - path: /open
    upstream: main
    operations:
      POST: { action: can_read, resource: "document:{body.target.id}" }
  - path: /admin/{*anything}
    upstream: main
    operations:
      GET: { action: can_list, resource: "folder:closed" }
      POST: { action: can_list, resource: "folder:closed" }
      DELETE: { action: can_list, resource: "folder:closed" }
"#;

/// One line of the file.
struct Attack {
    line: String,
    /// Whether it is sent by HTTP/1.1, and whether by HTTP/2.
    by: (bool, bool),
    expected: Expected,
    request: Request,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expected {
    /// It is forwarded, and all its readings are permitted.
    Forwarded,
    /// It is refused so.
    Refused(u16, String),
}

#[derive(Clone)]
struct Request {
    start: String,
    fields: Vec<(String, String)>,
    body: String,
}

/// Escapes of the file: `\r \n \t \0 \\ \s` (a space), and `\xNN` for one byte.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let escaped = match (c, if c == '\\' { chars.next() } else { None }) {
            (_, Some('r')) => '\r',
            (_, Some('n')) => '\n',
            (_, Some('t')) => '\t',
            (_, Some('0')) => '\0',
            (_, Some('s')) => ' ',
            (_, Some('x')) => {
                let digits: String = chars.by_ref().take(2).collect();
                char::from(u8::from_str_radix(&digits, 16).unwrap())
            }
            (_, Some(other)) => other,
            (c, None) => c,
        };
        plain.push(escaped);
    }
    plain
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

fn attacks() -> Vec<Attack> {
    let mut attacks = Vec::new();
    let mut by = (true, true);
    for line in ATTACKS.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        if let Some(section) = line.strip_prefix('[') {
            by = (!section.contains("HTTP/2 alone"), !section.contains("HTTP/1.1 alone"));
            continue;
        }
        let (expected, written) = line.split_once(" | ").unwrap_or_else(|| panic!("no expectation: {line}"));
        let expected = match expected.trim().split_once(' ') {
            None => Expected::Forwarded,
            Some((status, reason)) => Expected::Refused(status.parse().unwrap(), reason.trim().to_owned()),
        };
        // Braces stand for one attack each: `/{a,b}/c`.
        for written in alternatives(written.trim()) {
            let (head, body) = written.split_once(" ~~ ").unwrap_or((&written, ""));
            let mut parts = head.split(" ~ ").map(unescaped);
            let start = parts.next().unwrap();
            let fields = parts.map(|part| {
                let (name, value) = part.split_once(':').unwrap_or((&part, ""));
                (name.to_owned(), value.trim_start_matches(' ').to_owned())
            });
            let request = Request { start, fields: fields.collect(), body: unescaped(body) };
            attacks.push(Attack { line: written.clone(), by, expected: expected.clone(), request });
        }
    }
    attacks
}

fn alternatives(text: &str) -> Vec<String> {
    let Some((before, rest)) = text.split_once("<<") else { return vec![text.to_owned()] };
    let (inside, after) = rest.split_once(">>").unwrap();
    let after = alternatives(after);
    inside.split(",,").flat_map(|one| after.iter().map(move |after| format!("{before}{one}{after}"))).collect()
}

impl Request {
    fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The bytes of HTTP/1.1. `-name` leaves out what is there without being said.
    fn bytes(&self, token: &str) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        if !self.start.contains(" HTTP/") && !self.start.contains('\n') {
            text = format!("{} HTTP/1.1\r\n", self.start);
        }
        if !self.has("host") && !self.has("-host") {
            text.push_str("host: api.acme.example\r\n");
        }
        if !self.has("authorization") && !self.has("-authorization") {
            text.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        for (name, value) in self.fields.iter().filter(|(name, _)| !name.starts_with('-')) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let is_framed = ["content-length", "transfer-encoding", "-content-length"].iter().any(|name| self.has(name));
        if !self.body.is_empty() && !is_framed {
            text.push_str(&format!("content-length: {}\r\n", self.body.chars().count()));
        }
        bytes(&format!("{text}\r\n{}", self.body))
    }

    /// The fields of HTTP/2.
    fn fields(&self, token: &str) -> Vec<(String, String)> {
        let (method, target) = self.start.split_once(' ').unwrap();
        let mut fields: Vec<(String, String)> = Vec::new();
        let mut push = |name: &str, value: &str| fields.push((name.to_owned(), value.to_owned()));
        push(":method", method);
        push(":scheme", "http");
        push(":path", target);
        let host = self.fields.iter().find(|(name, _)| name == "host");
        push(":authority", host.map_or("api.acme.example", |(_, host)| host));
        if !self.has("authorization") && !self.has("-authorization") {
            push("authorization", &format!("Bearer {token}"));
        }
        for (name, value) in self.fields.iter().filter(|(name, _)| name != "host" && !name.starts_with('-')) {
            push(&name.to_ascii_lowercase(), value);
        }
        fields
    }
}

/// What the proxy has written of its decisions, read as it grows.
struct Records<'a> {
    world: &'a World,
    read: usize,
}

impl Records<'_> {
    /// The next one, which is written at once.
    fn next(&mut self) -> Option<serde_json::Value> {
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let record = self.read_next();
            if record.is_some() || Instant::now() > deadline {
                return record;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn read_next(&mut self) -> Option<serde_json::Value> {
        let text = fs::read_to_string(self.world.path("audit.jsonl")).ok()?;
        let (line, _) = text.get(self.read..)?.split_once('\n')?;
        self.read += line.len() + 1;
        Some(serde_json::from_str(line).unwrap())
    }

    fn is_at_the_end(&self) -> bool {
        fs::metadata(self.world.path("audit.jsonl")).is_ok_and(|file| file.len() == self.read as u64)
    }
}

/// Why the agent may not do one of the things that this request could be read as.
fn harm(request: &[u8]) -> Option<String> {
    let readings = Readings::of(request);
    let strict = String::from_utf8_lossy(request).split(' ').nth(1).unwrap_or_default().to_owned();
    let strict = strict
        .split_once("://")
        .filter(|_| !strict.starts_with('/'))
        .map_or(strict.clone(), |(_, rest)| rest[rest.find('/').unwrap()..].to_owned());
    let route = strict.split(['/', '?']).nth(1).unwrap_or_default().to_owned();
    let segments = |path: &str| path.split('/').filter(|segment| !segment.is_empty()).count();
    let least = segments(strict.split('?').next().unwrap()).min(2);
    let outside = |path: &&String| {
        let mut parts = path.split('/').skip(1);
        let first = parts.next().unwrap_or_default();
        first.to_lowercase() != route || segments(path) < least || path.starts_with("/documents/secret")
    };
    let one = |set: &std::collections::BTreeSet<String>| set.len() == 1;
    let is_permitted = |value: &String| matches!(value.as_str(), "d1" | "d2");
    let named = |pairs, name: &str| Readings::values(pairs, name).into_iter().find(|value| !is_permitted(value));
    let identity = readings.fields.iter().find(|(name, value)| {
        let ours = matches!(name.as_str(), "x-forwarded-for" | "x-forwarded-host" | "x-forwarded-proto");
        let claims = ["remote-user", "x-user", "x-forwarded-", "x-real-ip", "x-original-", "client-cert", "x-auth-"];
        claims.iter().any(|claim| name.starts_with(claim)) && !ours || value.contains("forged")
    });
    let method = strict_method(request);
    let path = readings.paths.iter().find(outside).map(|path| format!("path {path}"));
    path.or_else(|| (!one(&readings.hosts)).then(|| format!("hosts {:?}", readings.hosts)))
        .or_else(|| readings.methods.iter().find(|other| **other != method).map(|other| format!("method {other}")))
        .or_else(|| identity.map(|field| format!("field {field:?}")))
        .or_else(|| named(&readings.fields, "x-document").map(|value| format!("x-document {value}")))
        .or_else(|| named(&readings.parameters, "id").filter(|_| route == "search").map(|id| format!("id={id}")))
        .or_else(|| named(&readings.members, "id").filter(|_| route == "open").map(|id| format!("member id {id}")))
        .or_else(|| readings.left_over.then(|| "another request after it".to_owned()))
}

fn strict_method(request: &[u8]) -> String {
    String::from_utf8_lossy(request).split(' ').next().unwrap_or_default().to_owned()
}

/// All attacks of one protocol, in their order.
struct Battle<'a> {
    echo: Echo,
    portcullis: Portcullis,
    token: String,
    records: Records<'a>,
    wrong: Vec<String>,
    expected: BTreeMap<String, usize>,
}

impl<'a> Battle<'a> {
    fn new(world: &'a World) -> Self {
        let echo = Echo::start();
        let portcullis = world.start_before(echo.address);
        let token = world.issuer.token("erin", &[]);
        let records = Records { world, read: 0 };
        Self { echo, portcullis, token, records, wrong: Vec::new(), expected: BTreeMap::new() }
    }

    /// Holds what came of an attack against what must come of it.
    fn judge(&mut self, attack: &Attack, status: Option<u16>, reason: &str) {
        let Some(record) = self.records.next() else {
            return self.wrong.push(format!("no record, told {status:?} {reason:?}: {}", attack.line));
        };
        let recorded = record["reason"].as_str().unwrap_or_default().to_owned();
        *self.expected.entry(recorded.clone()).or_default() += 1;
        let is_named = reason.is_empty() || reason == recorded;
        let came = match status {
            Some(200) => Expected::Forwarded,
            status => Expected::Refused(status.unwrap_or(0), recorded.clone()),
        };
        if came != attack.expected || !is_named {
            self.wrong.push(format!("{came:?}, told {reason:?}: {}", attack.line));
        }
        // What broke off on its way is no request.
        let forwarded: Vec<_> = self.echo.take().into_iter().filter(|it| !it.starts_with(b"BROKEN")).collect();
        for request in &forwarded {
            if let Some(harm) = harm(request) {
                self.wrong.push(format!("HARM, {harm}: {}\n{}", attack.line, String::from_utf8_lossy(request)));
            }
        }
        if forwarded.len() > 1 || (came == Expected::Forwarded) != (forwarded.len() == 1) {
            self.wrong.push(format!("{} requests were forwarded: {}", forwarded.len(), attack.line));
        }
    }

    /// Nothing is wrong, each attack is counted once and has left one record, and all others are served.
    fn end(mut self, least: usize) {
        assert!(self.wrong.is_empty(), "{}:\n{}", self.wrong.len(), self.wrong.join("\n"));
        let good = self.portcullis.get("/documents/d1", &self.token);
        assert_eq!(good.status, 200);
        assert_eq!(self.records.next().unwrap()["reason"], "permitted");
        *self.expected.entry("permitted".to_owned()).or_default() += 1;
        assert!(self.records.is_at_the_end(), "an attack left more than one record");
        let metrics = self.portcullis.telemetry("/metrics").body;
        for (reason, count) in &self.expected {
            let label = format!("reason=\"{reason}\"");
            let lines =
                metrics.lines().filter(|line| line.starts_with("portcullis_decisions_total{") && line.contains(&label));
            let counted: usize = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum();
            if counted != *count {
                self.wrong.push(format!("{reason} was counted {counted} times, and recorded {count} times"));
            }
        }
        let attacks: usize = self.expected.values().sum();
        assert!(attacks >= least, "{attacks} attacks");
        assert!(self.wrong.is_empty(), "{} of {attacks}:\n{}", self.wrong.len(), self.wrong.join("\n"));
    }
}

#[test]
fn no_attack_by_http_1_is_read_as_what_was_not_permitted() {
    let world = World::with_routes(ROUTES);
    let mut battle = Battle::new(&world);
    for attack in attacks().iter().filter(|attack| attack.by.0) {
        let mut connection = Connection::open(battle.portcullis.data);
        connection.allow_silence(Duration::from_secs(3));
        connection.send(attack.request.bytes(&battle.token));
        let answer = connection.answer();
        let reason = answer.as_ref().map(|answer| answer.reason()).unwrap_or_default();
        let status = answer.as_ref().map(|answer| answer.status);
        battle.judge(attack, status, &reason);
        // What could not be read as one request ends its connection.
        let is_malformed = matches!(status, Some(400 | 405 | 413 | 415 | 417)) || status.is_none();
        if is_malformed && !is_mapped(&attack.expected) {
            let mut rest = Vec::new();
            connection.stream().shutdown(std::net::Shutdown::Write).unwrap();
            let _ = connection.stream().take(4096).read_to_end(&mut rest);
            if rest.starts_with(b"HTTP/1.1") {
                battle.wrong.push(format!("the connection goes on: {}", attack.line));
            }
        }
    }
    battle.end(400);
}

/// Whether the request is well-formed, and only names its resource badly.
fn is_mapped(expected: &Expected) -> bool {
    matches!(expected, Expected::Refused(_, reason) if reason == "mapping_failed")
}

#[test]
fn no_attack_by_http_2_is_read_as_what_was_not_permitted() {
    let world = World::with_routes(ROUTES);
    let mut battle = Battle::new(&world);
    // One connection for all: a refusal is of its stream alone.
    let mut frames = Http2::reading(battle.portcullis.data);
    let mut stream = 1;
    for attack in attacks().iter().filter(|attack| attack.by.1) {
        let fields = attack.request.fields(&battle.token);
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        frames.request(stream, &fields, &bytes(&attack.request.body));
        let told = frames.told(stream);
        battle.judge(attack, told.status(), &told.reason());
        stream += 2;
        if matches!(told, Told::GoneAway(_)) {
            (frames, stream) = (Http2::reading(battle.portcullis.data), 1);
        }
    }
    battle.end(300);
}

#[test]
fn the_readings_find_what_is_known_to_pass_other_proxies() {
    let reaches = |path: &str| spellings(path).contains("/admin/x");
    for path in [
        "/public/../admin/x",
        "/public/%2e%2e/admin/x",
        "/public/%252e%252e/admin/x",
        "/public/..;v=1/admin/x",
        "/public/..%2fadmin/x",
        "/public/..%5cadmin%5cx",
        "/public\\..\\admin\\x",
        "/public//../..//admin/x",
        "/public/%c0%ae%c0%ae/admin/x",
        "/public/%u002e%u002e/admin/x",
        "/public/%ef%bc%8e%ef%bc%8e/admin/x",
        "/ADMIN/x",
        "/admin/x%00.txt",
        "/admin/x%3fy",
        "/admin/x%23y",
        "/admin/x;v=1",
        "/./admin/x",
        "//admin/x",
        "/public/..%252f..%252fadmin/x",
        "/admin%ef%bc%8fx",
        "/public/..%20/admin/x",
        "/public/%e2%80%a5/admin/x",
    ] {
        assert!(reaches(path), "{path}: {:?}", spellings(path));
    }
    assert!(!reaches("/public/admin/x"));
    let finds = |request: &str, what: &str| {
        let found = harm(request.as_bytes()).unwrap_or_default();
        assert!(found.starts_with(what), "{found}: {request}");
    };
    let head = "host: a\r\n";
    finds(&format!("GET /public/%2e%2e/admin/x HTTP/1.1\r\n{head}\r\n"), "path");
    finds(&format!("GET /public/x HTTP/1.1\r\n{head}X_Original_URL: /admin\r\n\r\n"), "path");
    finds(&format!("GET /public/x HTTP/1.1\r\n{head}host: b\r\n\r\n"), "hosts");
    finds(&format!("GET http://b/public/x HTTP/1.1\r\n{head}\r\n"), "hosts");
    finds(&format!("POST /notes/x HTTP/1.1\r\n{head}x.http.method.override: delete\r\n\r\n"), "method DELETE");
    finds(&format!("POST /notes/x?_method=DELETE HTTP/1.1\r\n{head}\r\n"), "method DELETE");
    finds(&format!("POST /notes/x HTTP/1.1\r\n{head}content-length: 14\r\n\r\n_method=DELETE"), "method DELETE");
    finds(&format!("GET /public/x HTTP/1.1\r\n{head}Remote_User: root\r\n\r\n"), "field");
    finds(&format!("GET /tenant HTTP/1.1\r\n{head}x-document: d1\r\nx_document: secret\r\n\r\n"), "x-document");
    for query in ["id=d1&id=secret", "id=d1;id=secret", "id=d1&ID=secret", "id=d1&i%64=secret", "id=d1&id[]=secret"] {
        finds(&format!("GET /search?{query} HTTP/1.1\r\n{head}\r\n"), "id=");
    }
    let json = |body: &str| {
        format!(
            "POST /open HTTP/1.1\r\n{head}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    for body in [
        r#"{"target":{"id":"d1","id":"secret"}}"#,
        r#"{"target":{"id":"d1","ID":"secret"}}"#,
        r#"{"target":{"id":"d1","\u0069d":"secret"}}"#,
        "{\"target\":{\"id\":\"d1\",/*\"*/\"id\":\"secret\"}}",
        "\u{feff}{\"target\":{\"id\":\"secret\"}}",
        "{\"target\":{\"i\u{200b}d\":\"secret\"}}",
        "{\0\"\0i\0d\0\"\0:\0\"\0s\0e\0c\0r\0e\0t\0\"\0}\0",
    ] {
        finds(&json(body), "member id");
    }
    finds(&format!("POST /notes/x HTTP/1.1\r\n{head}content-length: 4\r\n\r\n1234GET /"), "another request");
    let both = "content-length: 8\r\ntransfer-encoding: chunked\r\n";
    finds(&format!("POST /notes/x HTTP/1.1\r\n{head}{both}\r\n0\r\n\r\nGET"), "another request");
    assert_eq!(harm(format!("GET /public/x HTTP/1.1\r\n{head}\r\n").as_bytes()), None);
}
