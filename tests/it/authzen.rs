//! AuthZEN's Authorization API 1.0 on the decision listener of the real binary.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Answer, Connection, Portcullis, World};

// The fixture of the certification scenario: who is active is written down for record-1 and said by requests for
// record-2; bob's role is known from the archive, and of others from requests.
const MODEL: &str = "model
  schema 1.1
type user
type agent
type archive
  relations
    define keeper: [user]
type record
  relations
    define kept_in: [archive]
    define writer: [user, user with still_active]
    define administrator: [user:* with is_administrator] or keeper from kept_in
    define read: [user]
    define write: writer or administrator
    define delete: [user with is_soft]
condition still_active(resource_status: string) {
  resource_status != \"archived\"
}
condition is_administrator(subject_role: string) {
  subject_role == \"admin\"
}
condition is_soft(action_soft: bool) {
  action_soft
}
";

const TUPLES: &str = "- { user: user:alice, relation: read, object: record:record-1 }
- { user: user:bob, relation: read, object: record:record-1 }
- { user: user:alice, relation: writer, object: record:record-1 }
- { user: user:alice, relation: writer, object: record:record-2, condition: { name: still_active } }
- { user: 'user:*', relation: administrator, object: record:record-2, condition: { name: is_administrator } }
- { user: user:alice, relation: delete, object: record:record-1, condition: { name: is_soft } }
- { user: archive:main, relation: kept_in, object: record:record-2 }
- { user: user:bob, relation: keeper, object: archive:main }
";

/// A decision point, and somebody who may ask it.
struct Point {
    world: World,
    proxy: Portcullis,
    address: SocketAddr,
    token: String,
}

impl Point {
    fn start() -> Self {
        Self::with(MODEL, TUPLES)
    }

    fn with(model: &str, tuples: &str) -> Self {
        let mut world = World::with_routes("[]");
        world.policy_more.clear();
        world.more =
            "decision: { address: 127.0.0.1:0, callers: ['user:pep'], url: 'https://pdp.acme.example' }".into();
        world.write("model.fga", model);
        world.write("tuples.yaml", tuples);
        let proxy = world.start();
        let address = proxy.decision.expect("the decision listener is told of");
        let token = world.issuer.token("pep", &[]);
        Self { world, proxy, address, token }
    }

    /// The answer to these bytes, sent with the credential and these lines of the head.
    fn send(&self, method: &str, path: &str, fields: &str, body: &str) -> Answer {
        let (token, length) = (&self.token, body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nhost: pdp.acme.example\r\nauthorization: Bearer {token}\r\n");
        let mut connection = Connection::open(self.address);
        connection.send(format!("{head}content-length: {length}\r\n{fields}\r\n{body}"));
        connection.answer_to(method).expect("an answer")
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, "content-type: application/json\r\n", body)
    }

    #[track_caller]
    fn ok(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, &body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        answer.json()
    }

    #[track_caller]
    fn decides(&self, body: &Value) -> bool {
        let answer = self.ok("/access/v1/evaluation", body);
        assert!(answer["context"]["revision"].is_u64());
        answer["decision"].as_bool().expect("a decision is true or false")
    }

    #[track_caller]
    fn decide_all(&self, body: &Value) -> Vec<bool> {
        let answer = self.ok("/access/v1/evaluations", body);
        assert!(answer.get("decision").is_none());
        let all = answer["evaluations"].as_array().unwrap();
        all.iter().map(|one| one["decision"].as_bool().unwrap()).collect()
    }

    /// The ids or names that a search finds, without paging.
    #[track_caller]
    fn finds(&self, what: &str, body: &Value) -> Vec<String> {
        let answer = self.ok(&format!("/access/v1/search/{what}"), body);
        let results = answer["results"].as_array().unwrap();
        let page = json!({ "next_token": "", "count": results.len(), "total": results.len() });
        assert_eq!(answer["page"], page);
        let wanted = body.get(what).map(|target| &target["type"]);
        let shown = results.iter().map(|result| {
            assert!(result.get("name").is_some() || Some(&result["type"]) == wanted, "{result}");
            result.get("name").unwrap_or(&result["id"]).as_str().unwrap().to_owned()
        });
        shown.collect()
    }
}

fn question(subject: &str, action: &str, resource: &str) -> Value {
    json!({
        "subject": { "type": "user", "id": subject },
        "action": { "name": action },
        "resource": { "type": "record", "id": resource },
    })
}

/// The same with properties of the subject, action or resource.
fn with(mut question: Value, of: &str, properties: Value) -> Value {
    question[of]["properties"] = properties;
    question
}

fn archived(question: Value) -> Value {
    with(question, "resource", json!({ "status": "archived" }))
}

#[test]
fn basic_decisions_rest_on_names() {
    let point = Point::start();
    assert!(point.decides(&question("alice", "read", "record-1")));
    assert!(point.decides(&question("alice", "write", "record-1")));
    assert!(point.decides(&question("bob", "read", "record-1")));
    assert!(!point.decides(&question("bob", "write", "record-1")));
    // A context, properties and members that nobody asks for change nothing.
    let mut more = question("alice", "read", "record-1");
    more["context"] = json!({ "time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1" });
    more["futureField"] = json!({ "nested": true });
    more["options"] = json!("not of this endpoint");
    let more = with(more, "subject", json!({ "department": "Sales", "role": "manager" }));
    let more = with(more, "action", json!({ "method": "GET" }));
    assert!(point.decides(&with(more, "resource", json!({ "status": "active", "owner": "bob" }))));
    for _ in 0..3 {
        assert!(point.decides(&question("alice", "read", "record-1")));
    }
}

#[test]
fn basic_decisions_rest_on_properties() {
    let point = Point::start();
    let as_administrator = |question| with(question, "subject", json!({ "role": "admin" }));
    let soft = |value: bool| with(question("alice", "delete", "record-1"), "action", json!({ "soft": value }));
    assert!(!point.decides(&archived(question("alice", "write", "record-2"))));
    assert!(point.decides(&with(question("alice", "write", "record-2"), "resource", json!({ "status": "active" }))));
    assert!(point.decides(&archived(as_administrator(question("bob", "write", "record-2")))));
    assert!(point.decides(&archived(as_administrator(question("carol", "write", "record-2")))));
    assert!(point.decides(&soft(true)));
    assert!(!point.decides(&soft(false)));
    // The context wins over a property of the same name.
    let mut contradicted = soft(true);
    contradicted["context"] = json!({ "action_soft": false });
    assert!(!point.decides(&contradicted));
}

#[test]
fn a_denial_says_why() {
    let point = Point::start();
    let told = |body: &Value| point.ok("/access/v1/evaluation", body);
    let denied = json!({ "decision": false, "context": { "revision": 1, "reason": "not_permitted" } });
    assert_eq!(told(&question("bob", "write", "record-1")), denied);
    assert_eq!(told(&question("alice", "read", "record-1")), json!({ "decision": true, "context": { "revision": 1 } }));
    let colon = question("alice:x", "read", "record-1");
    for (body, reason, status) in [
        (question("alice", "fly", "record-1"), "unknown_relation", 404),
        (
            json!({ "subject": { "type": "ship", "id": "x" }, "action": { "name": "read" },
                 "resource": { "type": "record", "id": "record-1" } }),
            "unknown_type",
            404,
        ),
        (question("alice", "delete", "record-1"), "missing_context", 400),
        (with(question("alice", "delete", "record-1"), "action", json!({ "soft": "very" })), "condition_failed", 400),
        // Names that no object of the policy can have, and that must not become those of others.
        (colon, "mapping_failed", 400),
        (question("*", "read", "record-1"), "mapping_failed", 400),
        (question("", "read", "record-1"), "mapping_failed", 400),
        (question("alice", "read write", "record-1"), "mapping_failed", 400),
        (question("alice#member", "read", "record-1"), "mapping_failed", 400),
    ] {
        let answer = told(&body);
        assert_eq!((&answer["decision"], &answer["context"]["reason"]), (&json!(false), &json!(reason)), "{body}");
        assert_eq!(answer["context"]["error"]["status"], status);
        assert!(answer["context"]["error"]["message"].is_string());
    }
}

#[test]
fn what_is_no_request_is_refused() {
    let point = Point::start();
    let whole = question("alice", "read", "record-1");
    let without = |part: &str, member: Option<&str>| {
        let mut body = whole.clone();
        match member {
            None => body.as_object_mut().unwrap().remove(part),
            Some(member) => body[part].as_object_mut().unwrap().remove(member),
        };
        body.to_string()
    };
    let mut bodies: Vec<String> = ["subject", "action", "resource"].map(|part| without(part, None)).to_vec();
    for (part, member) in
        [("subject", "type"), ("subject", "id"), ("action", "name"), ("resource", "type"), ("resource", "id")]
    {
        bodies.push(without(part, Some(member)));
        for value in [json!(123), json!(null), json!(["x"]), json!({}), json!(true)] {
            let mut body = whole.clone();
            body[part][member] = value;
            bodies.push(body.to_string());
        }
    }
    for (member, value) in [
        ("subject", json!("alice")),
        ("action", json!("read")),
        ("resource", json!([])),
        ("context", json!("x")),
        ("context", json!([])),
    ] {
        let mut body = whole.clone();
        body[member] = value;
        bodies.push(body.to_string());
    }
    bodies.push(with(whole.clone(), "subject", json!("admin")).to_string());
    bodies.extend(["", "{", "null", "[]", "\"x\"", "{} {}", "\u{feff}{}"].map(str::to_owned));
    // Two members of one name have two readings.
    bodies.push(whole.to_string().replacen('{', r#"{"action":{"name":"read"},"#, 1));
    bodies.push(whole.to_string().replacen(r#""id":"alice""#, r#""id":"bob","id":"alice""#, 1));
    bodies.push(format!(r#"{{"subject":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000)));
    for body in &bodies {
        for path in ["/access/v1/evaluation", "/access/v1/evaluations"] {
            let answer = point.post(path, body);
            assert_eq!(answer.status, 400, "{path} {body}: {}", answer.body);
            assert!(answer.json().is_string(), "{}", answer.body);
        }
    }
    for fields in [
        "",
        "content-type: text/plain\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: application/json; charset=utf-16\r\n",
        "content-type: application/json\r\ncontent-encoding: gzip\r\n",
    ] {
        let answer = point.send("POST", "/access/v1/evaluation", fields, &whole.to_string());
        assert_eq!(answer.status, 400, "{fields}: {}", answer.body);
    }
    let charset = "content-type: Application/JSON; charset=\"UTF-8\"\r\n";
    assert_eq!(point.send("POST", "/access/v1/evaluation", charset, &whole.to_string()).status, 200);
    let answer = point.send("GET", "/access/v1/evaluation", "", "");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    for path in ["/access/v1", "/access/v1/evaluatio", "/access/v1/search", "/access/v2/evaluation"] {
        assert_eq!(point.post(path, &whole.to_string()).status, 404, "{path}");
    }
    // A path with two readings is refused as everywhere.
    for path in ["/access/v1/evaluation/", "/access/v1//evaluation", "/access/v1/x/../evaluation"] {
        assert_eq!(point.post(path, &whole.to_string()).status, 400, "{path}");
    }
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(700_000));
    assert_eq!(point.post("/access/v1/evaluation", &long).status, 413);
}

#[test]
fn only_callers_are_answered() {
    let mut point = Point::start();
    let body = question("alice", "read", "record-1").to_string();
    let answer = |point: &Point| point.post("/access/v1/evaluation", &body);
    point.token = point.world.issuer.token("erin", &[]);
    assert_eq!((answer(&point).status, answer(&point).json().is_string()), (403, true));
    point.token = point.world.issuer.token("pep", &["planner"]);
    assert_eq!(answer(&point).status, 403);
    point.token = "nonsense".to_owned();
    assert_eq!((answer(&point).status, answer(&point).json().is_string()), (401, true));
    // Refusals carry the caller's id of the request too.
    let fields = "content-type: application/json\r\nx-request-id: r-1\r\n";
    let refused = point.send("POST", "/access/v1/evaluation", fields, &body);
    assert_eq!((refused.status, refused.header("x-request-id")), (401, Some("r-1")));
}

#[test]
fn the_callers_id_of_a_request_is_sent_back() {
    let point = Point::start();
    let body = question("alice", "read", "record-1").to_string();
    let sent = |fields: &str, body: &str| {
        let fields = format!("content-type: application/json\r\n{fields}");
        point.send("POST", "/access/v1/evaluation", &fields, body)
    };
    let id = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716 {\"any\": text}";
    let answer = sent(&format!("x-request-id: {id}\r\n"), &body);
    assert_eq!((answer.status, answer.header("x-request-id")), (200, Some(id)));
    let answer = sent(&format!("X-Request-ID: {id}\r\n"), "{");
    assert_eq!((answer.status, answer.header("x-request-id")), (400, Some(id)));
    assert_eq!(sent("", &body).header("x-request-id"), None);
    let answer = sent(&format!("x-request-id: {}\r\n", "x".repeat(257)), &body);
    assert_eq!((answer.status, answer.header("x-request-id")), (400, None));
    let answer = sent("x-request-id: a\r\nx-request-id: b\r\n", &body);
    assert_eq!((answer.status, answer.header("x-request-id")), (400, None));
}

#[test]
fn batches_rest_on_names() {
    let point = Point::start();
    let record = |id: &str| json!({ "resource": { "type": "record", "id": id } });
    let alice = json!({ "type": "user", "id": "alice" });
    let read = json!({ "name": "read" });
    let mut batch =
        json!({ "subject": alice, "action": read, "evaluations": [record("record-1"), record("record-2")] });
    assert_eq!(point.decide_all(&batch), [true, false]);
    // A context of its own replaces that of all.
    batch["context"] = json!({ "time": "2025-06-27T18:03-07:00" });
    batch["evaluations"][1]["context"] = json!({ "time": "2025-06-27T19:00-07:00", "source": "batch-override" });
    assert_eq!(point.decide_all(&batch).len(), 2);
    let bob = json!({
        "subject": { "type": "user", "id": "bob" },
        "resource": { "type": "record", "id": "record-1" },
        "evaluations": [{ "action": { "name": "read" } }, { "action": { "name": "write" } }],
    });
    assert_eq!(point.decide_all(&bob), [true, false]);
    let whole = [question("alice", "read", "record-1"), question("bob", "write", "record-1")];
    assert_eq!(point.decide_all(&json!({ "evaluations": whole })), [true, false]);
    // One that is no question does not spoil the others.
    let broken =
        json!({ "subject": alice, "action": read, "evaluations": [record("record-1"), {}, 7, record("record-1")] });
    let answer = point.ok("/access/v1/evaluations", &broken);
    assert_eq!(point.decide_all(&broken), [true, false, false, true]);
    for index in [1, 2] {
        let context = &answer["evaluations"][index]["context"];
        assert_eq!((&context["error"]["status"], &context["reason"]), (&json!(400), &json!("malformed_body")));
    }
    // Without questions of its own it is one.
    let mut single = question("alice", "read", "record-1");
    let expected = json!({ "decision": true, "context": { "revision": 1 } });
    assert_eq!(point.ok("/access/v1/evaluations", &single), expected);
    single["evaluations"] = json!([]);
    assert_eq!(point.ok("/access/v1/evaluations", &single), expected);
}

#[test]
fn batches_rest_on_properties() {
    let point = Point::start();
    let record = |id: &str, status: &str| json!({ "resource": { "type": "record", "id": id, "properties": { "status": status } } });
    let write = json!({ "name": "write" });
    let alice = json!({ "type": "user", "id": "alice" });
    let by_status = json!({
        "subject": alice, "action": write,
        "evaluations": [record("record-1", "active"), record("record-2", "archived"), record("record-2", "active")],
    });
    assert_eq!(point.decide_all(&by_status), [true, false, true]);
    let by_role = json!({
        "action": write,
        "resource": record("record-2", "archived")["resource"],
        "evaluations": [
            { "subject": alice },
            { "subject": { "type": "user", "id": "bob", "properties": { "role": "admin" } } },
        ],
    });
    assert_eq!(point.decide_all(&by_role), [false, true]);
    // What identifies an entity may come from both sides, its properties never do.
    let merged = json!({
        "subject": { "type": "user", "id": "alice", "properties": { "role": "admin" } },
        "action": write,
        "resource": { "type": "record", "properties": { "status": "active" } },
        "evaluations": [
            { "resource": { "id": "record-1", "properties": { "status": "active" } } },
            { "resource": { "type": "record", "id": "record-2", "properties": { "status": "archived" } },
              "subject": { "id": "alice" } },
            { "resource": { "id": "record-2" }, "subject": { "id": "alice" } },
        ],
    });
    assert_eq!(point.decide_all(&merged), [true, false, false]);
}

#[test]
fn nothing_does_not_stand_for_the_default() {
    let point = Point::start();
    let whole = question("alice", "read", "record-1");
    assert!(point.decides(&whole));
    for (part, member) in
        [("subject", "type"), ("subject", "id"), ("action", "name"), ("resource", "type"), ("resource", "id")]
    {
        let mut request = whole.clone();
        request["evaluations"] = json!([{ part: { member: null } }, {}]);
        let answer = point.ok("/access/v1/evaluations", &request);
        let (wrong, right) = (&answer["evaluations"][0], &answer["evaluations"][1]);
        assert_eq!(
            (&wrong["decision"], &right["decision"]),
            (&json!(false), &json!(true)),
            "{part}.{member}: {answer}"
        );
        assert_eq!(wrong["context"]["error"]["status"], 400, "{part}.{member}: {answer}");
    }
}

#[test]
fn a_batch_ends_where_its_semantic_says() {
    let point = Point::start();
    let (yes, no) = (question("alice", "read", "record-1"), question("bob", "write", "record-1"));
    let decided = |semantic: &str, all: &[&Value]| {
        point.decide_all(&json!({ "options": { "evaluations_semantic": semantic, "x": 1 }, "evaluations": all }))
    };
    assert_eq!(decided("execute_all", &[&yes, &no, &yes]), [true, false, true]);
    assert_eq!(decided("deny_on_first_deny", &[&yes, &no, &yes]), [true, false]);
    assert_eq!(decided("deny_on_first_deny", &[&yes, &yes]), [true, true]);
    assert_eq!(decided("deny_on_first_deny", &[&yes, &json!({}), &yes]), [true, false]);
    assert_eq!(decided("permit_on_first_permit", &[&no, &json!({}), &yes, &no]), [false, false, true]);
    assert_eq!(decided("permit_on_first_permit", &[&no, &no]), [false, false]);
    let many: Vec<&Value> = std::iter::repeat_n(&yes, 256).collect();
    assert_eq!(decided("execute_all", &many).len(), 256);
    for body in [
        json!({ "options": { "evaluations_semantic": "first" }, "evaluations": [yes] }),
        json!({ "options": { "evaluations_semantic": 1 }, "evaluations": [yes] }),
        json!({ "options": [], "evaluations": [yes] }),
        json!({ "evaluations": {} }),
        json!({ "subject": "alice", "evaluations": [yes] }),
        json!({ "evaluations": vec![&yes; 257] }),
    ] {
        assert_eq!(point.post("/access/v1/evaluations", &body.to_string()).status, 400, "{body}");
    }
}

#[test]
fn searches_rest_on_names() {
    let point = Point::start();
    let readers = json!({
        "subject": { "type": "user" },
        "action": { "name": "read" },
        "resource": { "type": "record", "id": "record-1" },
        "context": { "time": "now" },
    });
    assert_eq!(point.finds("subject", &readers), ["alice", "bob"]);
    // The id of what is searched for says nothing.
    let mut named = readers.clone();
    named["subject"]["id"] = json!("bob");
    assert_eq!(point.finds("subject", &named), ["alice", "bob"]);
    let readable = json!({
        "subject": { "type": "user", "id": "alice" },
        "action": { "name": "read" },
        "resource": { "type": "record", "id": "of no matter" },
    });
    assert_eq!(point.finds("resource", &readable), ["record-1"]);
    let actions = json!({
        "subject": { "type": "user", "id": "alice" },
        "resource": { "type": "record", "id": "record-1" },
        "context": {},
    });
    assert_eq!(point.finds("action", &actions), ["read", "write", "writer"]);
    let changed = |body: &Value, part: &str, member: &str, value: &str| {
        let mut body = body.clone();
        body[part][member] = json!(value);
        body
    };
    let nothing = [""; 0];
    for unknown in ["nobody", "a:b", "*"] {
        assert_eq!(point.finds("action", &changed(&actions, "subject", "id", unknown)), nothing);
        assert_eq!(point.finds("action", &changed(&actions, "resource", "id", unknown)), nothing);
        assert_eq!(point.finds("resource", &changed(&readable, "subject", "id", unknown)), nothing);
        assert_eq!(point.finds("subject", &changed(&readers, "resource", "id", unknown)), nothing);
        assert_eq!(point.finds("subject", &changed(&readers, "action", "name", unknown)), nothing);
    }
    for part in ["subject", "resource"] {
        for body in [("subject", &readers), ("resource", &readable), ("action", &actions)] {
            assert_eq!(point.finds(body.0, &changed(body.1, part, "type", "spaceship")), nothing);
        }
    }
    for (what, body, part, member) in [
        ("subject", &readers, "action", None),
        ("subject", &readers, "resource", Some("id")),
        ("subject", &readers, "subject", Some("type")),
        ("resource", &readable, "subject", None),
        ("resource", &readable, "subject", Some("id")),
        ("resource", &readable, "resource", Some("type")),
        ("action", &actions, "resource", None),
        ("action", &actions, "subject", Some("id")),
    ] {
        let mut body = body.clone();
        match member {
            None => body.as_object_mut().unwrap().remove(part),
            Some(member) => body[part].as_object_mut().unwrap().remove(member),
        };
        let answer = point.post(&format!("/access/v1/search/{what}"), &body.to_string());
        assert_eq!(answer.status, 400, "{what} {body}");
    }
}

#[test]
fn searches_rest_on_properties_and_leave_out_what_they_cannot_tell() {
    let point = Point::start();
    let writers = archived(json!({
        "subject": { "type": "user" },
        "action": { "name": "write" },
        "resource": { "type": "record", "id": "record-2" },
    }));
    // Who has the role by what a request says cannot be told of a search.
    assert_eq!(point.finds("subject", &writers), ["bob"]);
    let active = with(writers.clone(), "resource", json!({ "status": "active" }));
    assert_eq!(point.finds("subject", &active), ["alice", "bob"]);
    let with_role = with(writers, "subject", json!({ "role": "admin" }));
    assert_eq!(point.finds("subject", &with_role), ["*", "bob"]);
    let administrator = |id: &str| json!({ "type": "user", "id": id, "properties": { "role": "admin" } });
    let writable = |id: &str| json!({ "subject": administrator(id), "action": { "name": "write" }, "resource": { "type": "record" } });
    assert_eq!(point.finds("resource", &writable("bob")), ["record-2"]);
    // Whether record-2 is active is not said, and the role makes it all the same.
    assert_eq!(point.finds("resource", &writable("alice")), ["record-1", "record-2"]);
    let mut actions = archived(question("bob", "-", "record-2"));
    actions["subject"] = administrator("bob");
    actions.as_object_mut().unwrap().remove("action");
    assert_eq!(point.finds("action", &actions), ["administrator", "write"]);
    // Each result is a decision.
    for resource in ["record-1", "record-2"] {
        let mut question = question("alice", "write", resource);
        question["subject"] = administrator("alice");
        assert!(point.decides(&question));
    }
}

#[test]
fn long_results_come_in_pages() {
    let mut tuples = TUPLES.to_owned();
    for number in 0..25 {
        tuples.push_str(&format!("- {{ user: user:u{number:02}, relation: read, object: record:shared }}\n"));
    }
    let point = Point::with(MODEL, &tuples);
    let path = "/access/v1/search/subject";
    let body = |page: Value| {
        let mut body = json!({
            "subject": { "type": "user" },
            "action": { "name": "read" },
            "resource": { "type": "record", "id": "shared", "properties": { "b": 1, "a": [true, null] } },
        });
        body["page"] = page;
        body
    };
    let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        // The limit need not be repeated.
        let page = if token.is_empty() { json!({ "limit": 10 }) } else { json!({ "token": token }) };
        let answer = point.ok(path, &body(page));
        let results = answer["results"].as_array().unwrap();
        assert_eq!((&answer["page"]["count"], &answer["page"]["total"]), (&json!(results.len()), &json!(25)));
        found.extend(results.iter().map(|result| result["id"].as_str().unwrap().to_owned()));
        pages += 1;
        token = answer["page"]["next_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!((pages, found.len()), (3, 25));
    assert!(found.is_sorted());
    // Another limit is possible on the way, and what is more than allowed is as much as is.
    let first = point.ok(path, &body(json!({ "limit": 1 })));
    let token = first["page"]["next_token"].as_str().unwrap();
    let second = point.ok(path, &body(json!({ "limit": 2, "token": token })));
    assert_eq!((&second["results"][0]["id"], &second["page"]["count"]), (&json!("u01"), &json!(2)));
    let counted = point.ok(path, &body(json!({ "limit": 0 })));
    assert_eq!((&counted["page"]["count"], &counted["page"]["total"]), (&json!(0), &json!(25)));
    let token_of_none = &counted["page"]["next_token"];
    assert_eq!(point.ok(path, &body(json!({ "token": token_of_none })))["page"]["count"], 25);
    assert_eq!(point.ok(path, &body(json!({ "limit": 1_000_000 })))["page"]["count"], 25);
    // A token is for the parameters that it was given for, in any order of their members.
    let token = json!({ "token": token });
    let reordered = format!(
        r#"{{"page":{token},"resource":{{"properties":{{"a":[true,null],"b":1}},"id":"shared","type":"record"}},"action":{{"name":"read"}},"subject":{{"type":"user"}}}}"#
    );
    assert_eq!(point.post(path, &reordered).status, 200);
    let mut other = body(token.clone());
    other["resource"]["properties"]["b"] = json!(2);
    let mut elsewhere = body(token.clone());
    elsewhere["subject"]["id"] = json!("x");
    let mut with_context = body(token.clone());
    with_context["context"] = json!({ "x": 1 });
    for wrong in [&other, &elsewhere, &with_context] {
        let answer = point.post(path, &wrong.to_string());
        assert!(answer.status == 400 && answer.body.contains("other parameters"), "{}", answer.body);
    }
    assert_eq!(point.post("/access/v1/search/resource", &elsewhere.to_string()).status, 400);
    for page in [
        json!({ "token": "nonsense" }),
        json!({ "token": "bm9uc2Vuc2U" }),
        json!({ "token": 1 }),
        json!({ "limit": -1 }),
        json!({ "limit": 1.5 }),
        json!({ "limit": "1" }),
        json!([]),
    ] {
        assert_eq!(point.post(path, &body(page.clone()).to_string()).status, 400, "{page}");
    }
    // Of another revision nothing is known.
    point.world.replace("tuples.yaml", tuples.replace("u24", "u25"));
    point.proxy.until_revision_above(1);
    let answer = point.post(path, &body(token).to_string());
    assert!(answer.status == 400 && answer.body.contains("another revision"), "{}", answer.body);
}

#[test]
fn everybody_finds_the_decision_point() {
    let mut point = Point::start();
    // Whoever looks for it need not be a caller.
    point.token = "nonsense".to_owned();
    let answer = point.send("GET", "/.well-known/authzen-configuration", "x-request-id: r-1\r\n", "");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert_eq!(answer.header("x-request-id"), Some("r-1"));
    let base = "https://pdp.acme.example";
    assert_eq!(
        answer.json(),
        json!({
            "policy_decision_point": base,
            "access_evaluation_endpoint": format!("{base}/access/v1/evaluation"),
            "access_evaluations_endpoint": format!("{base}/access/v1/evaluations"),
            "search_subject_endpoint": format!("{base}/access/v1/search/subject"),
            "search_resource_endpoint": format!("{base}/access/v1/search/resource"),
            "search_action_endpoint": format!("{base}/access/v1/search/action"),
        })
    );
    assert_eq!(point.send("POST", "/.well-known/authzen-configuration", "", "{}").status, 405);
    assert_eq!(point.send("GET", "/.well-known/authzen-configuration/tenant1", "", "").status, 404);
    for url in ["http://pdp.acme.example", "https://pdp.acme.example?x", "pdp"] {
        point.world.more = format!("decision: {{ address: 127.0.0.1:0, callers: ['user:pep'], url: '{url}' }}");
        point.world.write("portcullis.yaml", point.world.config());
        let refused = point.world.run(&["validate", "--config", "portcullis.yaml"]);
        assert!(String::from_utf8_lossy(&refused.stderr).contains("is not an `https` URL"), "{url}");
    }
}
