//! Agents without tokens, which sign their requests (RFC 9421).

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{Answer, Connection, Issuer, Upstream, World, answer_of, eventually, request};

const ROUTES: &str = r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
      PUT: { action: can_write, resource: "document:{path.document}" }
  - path: /search
    upstream: main
    operations:
      POST: { action: can_read, resource: "document:{body.document}" }
  - path: /both/{document}
    upstream: main
    authentication: { all_of: [jwt, signature] }
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
  - path: /tokens/{document}
    upstream: main
    authentication: { one_of: [jwt] }
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
"#;

/// A world whose agents sign, `reader` by the key that is returned.
fn signing(settings: &str) -> (World, Issuer) {
    let mut world = World::with_routes(ROUTES);
    let key = Issuer::new("reader");
    world.write("reader.json", key.jwks());
    world.write("tuples.yaml", world.tuples() + "- { user: agent:reader, relation: can_write, object: document:d1 }\n");
    let agent = "{ subject: \"agent:reader\", directory: { file: reader.json } }";
    world.identity_more = format!("signatures: {{ agents: [{agent}]{settings} }}");
    (world, key)
}

/// The fields of a signature of this request, which covers these fields too.
fn signed(key: &Issuer, method: &str, target: &str, more: &[(&str, &str)], parameters: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = format!("?{query}");
    let request = [("@method", method), ("@authority", "api.acme.example"), ("@path", path), ("@query", &query)];
    let covered = [&request, more].concat();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let names = covered.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(" ");
    let (end, id) = (now + 60, key.thumbprint());
    let input = format!("({names});created={now};expires={end};keyid=\"{id}\";tag=\"web-bot-auth\"{parameters}");
    let lines: String = covered.iter().map(|(name, value)| format!("\"{name}\": {value}\n")).collect();
    let bytes = STANDARD.encode(key.sign_bytes(format!("{lines}\"@signature-params\": {input}").as_bytes()));
    let fields: String = more.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{fields}signature-input: sig1={input}\r\nsignature: sig1=:{bytes}:\r\n")
}

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.reason())
}

fn refused() -> (u16, String) {
    (401, "invalid_credential".to_owned())
}

#[test]
fn a_signing_agent_is_decided_by_its_signature_alone() {
    let (world, key) = signing("");
    let portcullis = world.start();
    let get = |target: &str, fields: &str| portcullis.request("GET", target, "", fields, "");
    let fields =
        signed(&key, "GET", "/documents/d1?page=2", &[], "") + "signature-agent: \"https://reader.example\"\r\n";
    let answer = get("/documents/d1?page=2", &fields);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let principal = &world.record_of(&answer)["principal"];
    assert_eq!(principal["subject"], "agent:reader");
    assert_eq!(principal["credential"], format!("signature {}", key.thumbprint()));
    let sent = world.upstream.last().to_ascii_lowercase();
    assert!(sent.contains("portcullis-subject: agent:reader") && !sent.contains("signature"), "{sent}");

    let denied = get("/documents/d2", &signed(&key, "GET", "/documents/d2", &[], ""));
    assert_eq!(told(&denied), (403, "not_permitted".to_owned()), "the policy decides as for everybody");
    let asked = world.upstream.seen().len();
    for target in ["/documents/d1?page=3", "/documents/d1", "/documents/d2?page=2"] {
        let stolen = get(target, &fields);
        assert_eq!(told(&stolen), refused(), "{target}");
        assert!(!stolen.body.contains("wrong"), "{}", stolen.body);
        assert_eq!(world.record_of(&stolen)["detail"], "signature: it is wrong for this request");
    }
    let stranger = get("/documents/d1", &signed(&Issuer::new("x"), "GET", "/documents/d1", &[], ""));
    assert_eq!(told(&stranger), refused());
    let nobody = get("/documents/d1", "");
    assert_eq!(told(&nobody), (401, "missing_credential".to_owned()));
    let wanted = "sig=(\"@method\" \"@authority\" \"@path\" \"@query\");created;expires;tag=\"web-bot-auth\"";
    assert_eq!(nobody.header("accept-signature"), Some(wanted));
    assert_eq!(world.upstream.seen().len(), asked);

    // Beside a token it comes only where both are asked for, and then both are of one sender.
    let both = |target: &str, actors: &[&str]| {
        let token = world.issuer.token("erin", actors);
        told(&portcullis.request("GET", target, &token, &signed(&key, "GET", target, &[], ""), ""))
    };
    assert_eq!(both("/documents/d1", &["reader"]), refused());
    assert_eq!(both("/both/d1", &["reader"]).0, 200);
    assert_eq!(both("/both/d1", &["planner"]), refused());
    assert_eq!(both("/both/d1", &[]), refused());
    assert_eq!(both("/tokens/d1", &["reader"]), refused());
    let alone = get("/both/d1", &signed(&key, "GET", "/both/d1", &[], ""));
    assert_eq!(told(&alone), (401, "missing_credential".to_owned()));
    assert_eq!(told(&get("/tokens/d1", &signed(&key, "GET", "/tokens/d1", &[], ""))), refused());
    assert_eq!(portcullis.get("/documents/d1", &world.issuer.token("erin", &["reader"])).status, 200);
}

fn digest_of(body: &str) -> String {
    format!("sha-256=:{}:", STANDARD.encode(digest(&SHA256, body.as_bytes())))
}

#[test]
fn no_body_is_forwarded_but_the_one_that_was_signed() {
    let (mut world, key) = signing("");
    world.more = "limits: { body_bytes: 100 }".to_owned();
    let portcullis = world.start();
    let with = |method: &str, target: &str, signed_body: &str, body: &str| {
        let fields = signed(&key, method, target, &[("content-digest", &digest_of(signed_body))], "");
        portcullis.request(method, target, "", &fields, body)
    };
    let body = "{\"document\": \"d1\"}";
    for (method, target) in [("PUT", "/documents/d1"), ("POST", "/search")] {
        let answer = with(method, target, body, body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(world.upstream.last().ends_with(body));
        let asked = world.upstream.seen().len();
        let other = with(method, target, body, "{\"document\": \"d2\"}");
        assert_eq!(told(&other), refused());
        assert_eq!(world.record_of(&other)["detail"], "signature: the body is not the one of `Content-Digest`");
        assert_eq!(told(&with(method, target, body, &format!("{body} "))), refused());
        let unsigned = portcullis.request(method, target, "", &signed(&key, method, target, &[], ""), body);
        assert_eq!(told(&unsigned), refused());
        let loose = signed(&key, method, target, &[], "") + &format!("content-digest: {}\r\n", digest_of(body));
        assert_eq!(told(&portcullis.request(method, target, "", &loose, body)), refused(), "what is not covered");
        let long = "x".repeat(101);
        assert_eq!(told(&with(method, target, &long, &long)), (413, "body_too_large".to_owned()));
        assert_eq!(world.upstream.seen().len(), asked, "nothing went on");
    }
    let fields = signed(&key, "PUT", "/documents/d1", &[("content-digest", &digest_of("whole"))], "");
    let chunked = |body: &str| {
        let head = format!("{fields}transfer-encoding: chunked\r\n");
        answer_of(portcullis.data, request("PUT", "/documents/d1", "", &head, "") + body).unwrap()
    };
    assert_eq!(chunked("3\r\nwho\r\n2\r\nle\r\n0\r\n\r\n").status, 200);
    assert!(world.upstream.last().ends_with("whole"));
    assert_eq!(told(&chunked("3\r\nwho\r\n2\r\nlo\r\n0\r\n\r\n")), refused());
    // No body is one too, which can be signed or not.
    assert_eq!(with("PUT", "/documents/d1", "", "").status, 200);
    assert_eq!(told(&with("PUT", "/documents/d1", "x", "")), refused());
    assert_eq!(
        portcullis.request("PUT", "/documents/d1", "", &signed(&key, "PUT", "/documents/d1", &[], ""), "").status,
        200
    );
    assert_eq!(with("GET", "/documents/d1", "", "").status, 200);

    let (world, key) = signing(", require_content_digest: false");
    let portcullis = world.start();
    let unsigned = signed(&key, "PUT", "/documents/d1", &[], "");
    assert_eq!(portcullis.request("PUT", "/documents/d1", "", &unsigned, "any").status, 200);
    let fields = signed(&key, "PUT", "/documents/d1", &[("content-digest", &digest_of("one"))], "");
    assert_eq!(
        told(&portcullis.request("PUT", "/documents/d1", "", &fields, "two")),
        refused(),
        "one that is there counts"
    );
}

#[test]
fn a_signature_of_an_application_is_of_its_question() {
    let (mut world, key) = signing("");
    world.more = "decision: { address: 127.0.0.1:0, callers: ['agent:reader'] }".to_owned();
    let portcullis = world.start();
    let question = json!({
        "subject": { "type": "user", "id": "erin" }, "action": { "name": "can_read" },
        "resource": { "type": "document", "id": "d1" },
    });
    let (question, target) = (question.to_string(), "/access/v1/evaluation");
    let ask = |fields: String, body: &str| {
        let fields = fields + "content-type: application/json\r\nconnection: close\r\n";
        answer_of(portcullis.decision.unwrap(), request("POST", target, "", &fields, body)).unwrap()
    };
    let nonce = ";nonce=\"n1\"";
    let fields = |nonce: &str| signed(&key, "POST", target, &[("content-digest", &digest_of(&question))], nonce);
    let answer = ask(fields(nonce), &question);
    assert_eq!((answer.status, &answer.json()["decision"]), (200, &Value::Bool(true)));
    assert_eq!(ask(fields(nonce), &question).status, 401, "a nonce is good once");
    assert_eq!(ask(fields(""), &question.replace("erin", "mallory")).status, 401);
    assert_eq!(ask(signed(&key, "POST", target, &[], ""), &question).status, 401);
}

#[test]
fn a_reload_amid_a_question_makes_no_signature_of_what_nobody_verified() {
    let (mut world, key) = (World::new(), Issuer::new("reader"));
    world.write("reader.json", key.jwks());
    world.identity_more =
        "signatures: { agents: [{ subject: \"agent:reader\", directory: { file: reader.json } }] }".to_owned();
    world.more = "decision: { address: 127.0.0.1:0, callers: ['agent:reader', 'user:erin'] }".to_owned();
    let both = world.config();
    let (start, end) = (both.find("  jwt:\n").unwrap(), both.find("  signatures:").unwrap());
    let signatures_alone = both[..start].to_owned() + &both[end..];
    world.identity_more.clear();
    let portcullis = world.start();
    // Erin asks by her token, and names the reader's key in a signature that is none.
    let forged: String = signed(&key, "POST", "/access/v1/evaluation", &[], "")
        .lines()
        .map(|line| {
            let line = if line.starts_with("signature:") { "signature: sig1=:AAAA:" } else { line };
            format!("{line}\r\n")
        })
        .collect();
    let question = json!({
        "subject": { "type": "user", "id": "erin" }, "action": { "name": "can_read" },
        "resource": { "type": "document", "id": "d1" },
    })
    .to_string();
    let ask = |amid: &dyn Fn(&mut Connection) -> usize| {
        let length = question.len() + 1000;
        let fields = format!("{forged}content-type: application/json\r\ncontent-length: {length}\r\n");
        let mut connection = Connection::open(portcullis.decision.unwrap());
        connection.send(request("POST", "/access/v1/evaluation", &world.issuer.token("erin", &[]), &fields, ""));
        let sent = amid(&mut connection);
        connection.send(" ".repeat(1000 - sent) + &question);
        connection.answer().expect("an answer")
    };
    let answer = ask(&|_| 0);
    assert_eq!((answer.status, &answer.json()["decision"]), (200, &Value::Bool(true)), "signatures are not looked at");
    let refused = ask(&|connection| {
        world.replace("portcullis.yaml", &signatures_alone);
        let mut sent = 0;
        // A body must not pause.
        eventually("the new configuration is in force", || {
            (sent < 1000).then(|| connection.send(" "))?;
            sent += 1;
            (portcullis.revision() > 1).then_some(())
        });
        sent
    });
    assert_eq!(refused.status, 401, "{}", refused.body);
}

#[test]
fn a_nonce_is_good_once_in_a_process() {
    let (mut world, key) = signing(", require_nonce: true");
    world.policy_more += "\n  denylist: denied.yaml";
    world.write("denied.yaml", "[]");
    let portcullis = world.start();
    let get = |fields: &str| told(&portcullis.request("GET", "/documents/d1", "", fields, ""));
    let fields = |nonce: &str| signed(&key, "GET", "/documents/d1", &[], nonce);
    let first = fields(";nonce=\"n1\"");
    assert_eq!(get(&first).0, 200);
    assert_eq!(get(&first), refused());
    assert_eq!(get(&fields("")), refused(), "none is not enough");
    assert_eq!(get(&fields(";nonce=\"n2\"")).0, 200);
    // What was revoked is refused, and what was seen is known to the next configuration too.
    let mut number = 100;
    let mut fresh = || {
        number += 1;
        get(&fields(&format!(";nonce=\"{number}\"")))
    };
    world.replace("denied.yaml", "- { entity: agent:reader }");
    world.replace("portcullis.yaml", world.config().replace("require_nonce: true", "require_nonce: true, leeway: 20s"));
    eventually("it is revoked", || (fresh() == refused()).then_some(()));
    world.replace("denied.yaml", "[]");
    eventually("it is not revoked any more", || (fresh().0 == 200).then_some(()));
    assert_eq!(get(&first), refused());
}

fn directory(keys: &str, media_type: &str) -> String {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n", keys.len());
    head + keys
}

const MEDIA_TYPE: &str = "application/http-message-signatures-directory+json";
const WELL_KNOWN: &str = "/.well-known/http-message-signatures-directory";

#[test]
fn keys_come_from_the_directory_of_the_configuration() {
    let (mut world, key) = signing("");
    let (keys, elsewhere) = (Upstream::start(), Upstream::start());
    let url = format!("http://{}{WELL_KNOWN}", keys.address);
    world.identity_more = world.identity_more.replace("{ file: reader.json }", &format!("{{ url: \"{url}\" }}"));
    keys.answer_with(directory(&key.jwks(), "application/json"));
    let portcullis = world.start();
    let get = |key: &Issuer, fields: &str| {
        let fields = signed(key, "GET", "/documents/d1", &[], "") + fields;
        told(&portcullis.request("GET", "/documents/d1", "", &fields, ""))
    };
    // One directory that is not there is no reason to serve nobody.
    portcullis.until_logged("the answer is not `application/http-message-signatures-directory+json`");
    assert_eq!(portcullis.get("/documents/d1", &world.issuer.token("erin", &[])).status, 200);
    assert_eq!(get(&key, ""), refused());
    keys.answer_with(directory(&key.jwks(), MEDIA_TYPE));
    eventually("the keys are there", || (get(&key, "").0 == 200).then_some(()));
    let head = keys.last().to_ascii_lowercase();
    assert!(
        head.starts_with(&format!("get {WELL_KNOWN} ")) && head.contains(&format!("accept: {MEDIA_TYPE}")),
        "{head}"
    );
    // Who somebody says that it is leads nowhere, and must be right where it can be.
    let named = |address: std::net::SocketAddr| format!("signature-agent: \"http://{address}\"\r\n");
    assert_eq!(get(&key, &named(keys.address)).0, 200);
    assert_eq!(get(&key, &named(elsewhere.address)), refused());
    elsewhere.answer_with(directory(&Issuer::new("mallory").jwks(), MEDIA_TYPE));
    assert_eq!(get(&Issuer::new("mallory"), &named(elsewhere.address)), refused());
    assert!(elsewhere.seen().is_empty());
    // A key that is not there yet makes for a new look.
    let next = Issuer::new("next");
    keys.answer_with(directory(&json!({ "keys": [next.jwk()] }).to_string(), MEDIA_TYPE));
    eventually("the new key is there", || (get(&next, "").0 == 200).then_some(()));
    assert_eq!(get(&key, ""), refused(), "and the old one is gone");
}

#[test]
fn settings_of_signatures_that_cannot_be_meant_are_refused() {
    let (world, key) = signing("");
    world.write("same.json", key.jwks().replace("reader", "other"));
    let mut useless = key.jwk();
    useless["crv"] = json!("P-521");
    world.write("useless.json", json!({ "keys": [useless] }).to_string());
    let agent = "{ subject: \"agent:reader\", directory: { file: reader.json } }";
    let with = |settings: &str| format!("signatures: {{ agents: [{agent}], {settings} }}");
    let at = |directory: &str| {
        format!("signatures: {{ agents: [{{ subject: \"agent:reader\", directory: {directory} }}] }}")
    };
    let url = |url: &str| at(&format!("{{ url: \"{url}\" }}"));
    let twice = format!("signatures: {{ agents: [{agent}, {}] }}", agent.replace("reader.json", "same.json"));
    for (written, says) in [
        (with("tag: \"\""), "a tag is 1 to 64"),
        (with("components: [\"@method\", \"@path\"]"), "must cover `@authority` or `@target-uri`"),
        (with("components: [\"@target-uri\", \"@target-uri\"]"), "the component `@target-uri` is named twice"),
        (with("components: [\"@authority\", \"@status\"]"), "`@status` is no component"),
        (with("components: [\"@authority\", Host]"), "`Host` is no component"),
        (with("components: [\"@authority\", connection]"), "`connection` is no component"),
        (with("max_lifetime: 25h"), "at most 24 hours"),
        (with("max_lifetime: 0s"), "no time at all"),
        (with("leeway: 3m"), "at most 120"),
        (with("scheme: ftp"), "ftp"),
        (with("keys: 1"), "keys"),
        ("signatures: { agents: [] }".to_owned(), "no agent is named"),
        (at("{}"), "exactly one of `file` and `url`"),
        (at("{ file: reader.json, url: \"https://a.example\" }"), "exactly one of `file` and `url`"),
        (at("{ file: reader.json, refresh: 5m }"), "with a `url` only"),
        (at("{ file: gone.json }"), "cannot be read"),
        (at("{ file: useless.json }"), "no usable key"),
        (url(&format!("http://reader.example{WELL_KNOWN}")), "is no URL of a directory"),
        (url("https://reader.example/keys"), "is no URL of a directory"),
        (url(&format!("https://reader.example{WELL_KNOWN}?agent=1")), "is no URL of a directory"),
        (url(&format!("https://me@reader.example{WELL_KNOWN}")), "is no URL of a directory"),
        (twice, "has one of these keys too"),
        (at("{ file: reader.json }").replace("agent:reader", "reader"), "reader"),
        ("authentication: { one_of: [signature] }".to_owned(), "`signature` is not configured"),
        ("task_header: signature".to_owned(), "a task cannot be named in the field `signature`"),
    ] {
        let routes = world.routes.replace("authentication: { all_of: [jwt, signature] }", "hide_existence: false");
        let config = world.config().replace(&world.routes, &routes).replace(&world.identity_more, &written);
        world.write("portcullis.yaml", config);
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(says), "{written} must say {says}: {said}");
        assert!(said.contains("portcullis.yaml:") || said.contains("useless.json"), "{said}");
    }
}

#[test]
fn a_long_answer_outlives_its_signature_but_not_its_key() {
    let (world, key) = signing("");
    world.upstream.answer_with(crate::lasting::STREAM);
    let portcullis = world.start();
    let mut fields = signed(&key, "GET", "/documents/d1", &[("accept", "text/event-stream")], ";nonce=\"n1\"");
    fields.truncate(fields.trim_end().len());
    let mut stream = crate::lasting::Stream::open(&portcullis, &fields);
    // What it covers is not there any more, and its nonce was used.
    stream.lasts();
    world.replace("reader.json", Issuer::new("next").jwks());
    stream.until_cut();
    let record = eventually("the record", || world.audit().pop());
    assert_eq!(record["cut"], "invalid_credential");
}
