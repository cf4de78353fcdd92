//! The decision listener: applications ask by the policy that decides requests.

use serde_json::{Value, json};

use crate::support::{Answer, Connection, Portcullis, World, answer_of, eventually, request, token};

const DECISION: &str = "decision: { address: 127.0.0.1:0, callers: [\"user:crm\", \"service:*\"] }";
const STORE: &str = "/stores/0000000000SNAPSH0T00000000";

fn world() -> World {
    World { more: DECISION.to_owned(), ..World::new() }
}

/// A running world, and the token of a caller.
struct Asked {
    world: World,
    portcullis: Portcullis,
    token: String,
}

impl Asked {
    fn of(world: World) -> Self {
        let portcullis = world.start();
        let token = world.issuer.token("crm", &[]);
        Self { world, portcullis, token }
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.portcullis.ask(method, path, &self.token, &body)
    }

    /// The body of an answer with this status.
    #[track_caller]
    fn expect(&self, status: u16, method: &str, path: &str, body: &Value) -> Value {
        let answer = self.ask(method, path, body);
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or(Value::Null)
    }

    #[track_caller]
    fn post(&self, name: &str, body: &Value) -> Value {
        self.expect(200, "POST", &format!("{STORE}/{name}"), body)
    }

    #[track_caller]
    fn get(&self, path: &str) -> Value {
        self.expect(200, "GET", path, &Value::Null)
    }

    /// The code of a refusal with this status.
    #[track_caller]
    fn refused(&self, status: u16, method: &str, path: &str, body: &Value) -> String {
        let answer = self.expect(status, method, path, body);
        assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
        answer["code"].as_str().unwrap().to_owned()
    }

    fn allows(&self, user: &str, relation: &str, object: &str) -> bool {
        let body = json!({ "tuple_key": { "user": user, "relation": relation, "object": object } });
        self.post("check", &body)["allowed"].as_bool().unwrap()
    }
}

#[test]
fn only_callers_may_ask() {
    let world = world();
    let made = world.run(&["key", "new", "--subject", "service:billing"]);
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let entry = String::from_utf8(made.stderr).unwrap();
    let asked = Asked::of(World { identity_more: format!("api_keys:\n    keys:\n{entry}"), ..world });
    let Asked { world, portcullis, token: caller } = &asked;
    let stores = |token: &str| portcullis.ask("GET", "/stores", token, "");

    let nobody = stores("");
    assert_eq!((nobody.status, nobody.json()["code"].as_str()), (401, Some("bearer_token_missing")));
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer realm=\"portcullis\""));
    let forged = stores(&format!("{}x", world.issuer.token("crm", &[])));
    assert_eq!((forged.status, forged.json()["code"].as_str()), (401, Some("unauthenticated")));
    assert!(forged.header("www-authenticate").unwrap().contains("error=\"invalid_token\""));
    let in_task = token(&world.issuer, "crm", |claims| claims["task"] = json!("t1"));
    for refused in [world.issuer.token("erin", &[]), world.issuer.token("crm", &["reader"]), in_task] {
        let answer = stores(&refused);
        assert_eq!((answer.status, answer.json()["code"].as_str()), (403, Some("forbidden")), "{}", answer.body);
    }
    assert_eq!(stores(caller).status, 200);
    let fields = format!("x-api-key: {key}\r\nconnection: close\r\n");
    let by_key = answer_of(portcullis.decision.unwrap(), request("GET", "/stores", "", &fields, "")).unwrap();
    assert_eq!((by_key.status, by_key.header("portcullis-revision")), (200, Some("1")));

    // Health and AuthZEN's discovery alone are for everybody; every other interface, and what is none, asks who it is.
    assert_eq!(portcullis.ask("GET", "/healthz", "", "").json()["status"], "SERVING");
    for path in ["/access/v1/evaluation", "/.well-known", "/", "/metrics"] {
        assert_eq!(portcullis.ask("POST", path, "", "{}").status, 401, "{path}");
    }
    assert_eq!(portcullis.ask("GET", "/metrics", caller, "").json()["code"], "undefined_endpoint");

    let count = |labels: &str| portcullis.metric(&format!("portcullis_decision_api_requests_total{{{labels}}}"));
    assert_eq!(count("endpoint=\"openfga_stores\",outcome=\"unauthenticated\""), 2.0);
    assert_eq!(count("endpoint=\"openfga_stores\",outcome=\"forbidden\""), 3.0);
    assert_eq!(count("endpoint=\"openfga_stores\",outcome=\"answered\""), 2.0);

    // Who may ask is a part of the snapshot, as routes are.
    let config = world.config().replace("\"user:crm\"", "\"user:erin\"");
    world.replace("portcullis.yaml", config);
    portcullis.until_revision_above(1);
    assert_eq!(stores(caller).status, 403);
    assert_eq!(stores(&world.issuer.token("erin", &[])).status, 200);
}

#[test]
fn no_write_is_taken_where_the_policy_comes_from_files() {
    let asked = Asked::of(world());
    let model = asked.get(&format!("{STORE}/authorization-models"))["authorization_models"][0].clone();
    let id = model["id"].as_str().unwrap();
    let grant = json!({ "user": "user:mallory", "relation": "viewer", "object": "document:d1" });
    let writes = [
        ("POST", "/stores".to_owned(), json!({ "name": "another" })),
        ("DELETE", STORE.to_owned(), Value::Null),
        ("POST", format!("{STORE}/authorization-models"), model.clone()),
        ("POST", format!("{STORE}/write"), json!({ "writes": { "tuple_keys": [grant] } })),
        ("POST", format!("{STORE}/write"), json!({ "deletes": { "tuple_keys": [grant] } })),
        ("PUT", format!("{STORE}/assertions/{id}"), json!({ "assertions": [] })),
        // Nobody looks at what they say.
        ("POST", "/stores".to_owned(), json!([])),
        ("POST", format!("{STORE}/write"), json!("")),
        // What changed before is not kept, and an empty list would be a lie.
        ("GET", format!("{STORE}/changes"), Value::Null),
    ];
    for (method, path, body) in writes {
        assert_eq!(asked.refused(501, method, &path, &body), "unimplemented", "{method} {path}");
    }
    assert_eq!(asked.portcullis.revision(), 1);
    assert!(!asked.allows("user:mallory", "can_read", "document:d1"));
    assert_eq!(asked.get(&format!("{STORE}/assertions/{id}"))["assertions"], json!([]));
}

#[test]
fn both_listeners_decide_the_same() {
    let asked = Asked::of(world());
    let mut allowed = 0;
    for user in ["erin", "frank", "mallory", "crm"] {
        for document in ["d1", "d2", "d3"] {
            let token = asked.world.issuer.token(user, &[]);
            let answer = asked.portcullis.get(&format!("/documents/{document}"), &token);
            let is_allowed = asked.allows(&format!("user:{user}"), "can_read", &format!("document:{document}"));
            assert_eq!(is_allowed, answer.status == 200, "{user} {document}: {}", answer.status);
            allowed += usize::from(is_allowed);
        }
    }
    assert_eq!(allowed, 4, "erin and frank read two documents");

    let item = |id: &str, user: &str| {
        let key = json!({ "user": user, "relation": "can_read", "object": "document:d1" });
        json!({ "tuple_key": key, "correlation_id": id })
    };
    let batch = asked.post("batch-check", &json!({ "checks": [item("a", "user:erin"), item("b", "user:mallory")] }));
    assert_eq!(batch["result"], json!({ "a": { "allowed": true }, "b": { "allowed": false } }));
    let list = json!({ "type": "document", "relation": "can_read", "user": "agent:reader" });
    assert_eq!(asked.post("list-objects", &list)["objects"], json!(["document:d1"]));
    assert_eq!(asked.post("streamed-list-objects", &list)["result"]["object"], "document:d1");
    let users = json!({
        "object": { "type": "document", "id": "d1" }, "relation": "can_read", "user_filters": [{ "type": "agent" }],
    });
    assert_eq!(asked.post("list-users", &users)["users"].as_array().unwrap().len(), 2);
    let expand = json!({ "tuple_key": { "relation": "member", "object": "group:staff" } });
    let tree = asked.post("expand", &expand);
    assert_eq!(tree["tree"]["root"]["leaf"]["users"]["users"], json!(["user:erin", "user:frank"]));
}

#[test]
fn conditions_are_told_the_time_on_both_listeners() {
    let world = world();
    world.write(
        "model.fga",
        "model\n  schema 1.1\ntype user\ntype agent\ntype document\n  relations\n    define can_read: [user with lasting]\n    \
         define can_write: can_read\n\
         condition lasting(current_time: timestamp, end: timestamp) {\n  current_time < end\n}\n",
    );
    let tuple = |user: &str, end: &str| {
        format!(
            "- {{ user: user:{user}, relation: can_read, object: document:d1, condition: {{ name: lasting, context: \
             {{ end: \"{end}\" }} }} }}\n"
        )
    };
    world.write("tuples.yaml", tuple("erin", "2999-01-01T00:00:00Z") + &tuple("frank", "2001-01-01T00:00:00Z"));
    let asked = Asked::of(World { policy_more: String::new(), ..world });
    for (user, expected) in [("erin", true), ("frank", false)] {
        let token = asked.world.issuer.token(user, &[]);
        assert_eq!(asked.portcullis.get("/documents/d1", &token).status == 200, expected);
        assert_eq!(asked.allows(&format!("user:{user}"), "can_read", "document:d1"), expected);
    }
    // Nobody who asks says what the time is, so that both listeners go on to say the same.
    let past = json!({ "current_time": "2000-01-01T00:00:00Z" });
    let key = json!({ "user": "user:frank", "relation": "can_read", "object": "document:d1" });
    assert_eq!(asked.post("check", &json!({ "tuple_key": key, "context": past }))["allowed"], false);
    let list = json!({ "type": "document", "relation": "can_read", "user": "user:frank", "context": past });
    assert_eq!(asked.post("list-objects", &list)["objects"], json!([]));
    let question = json!({
        "subject": { "type": "user", "id": "frank" }, "action": { "name": "can_read" },
        "resource": { "type": "document", "id": "d1" }, "context": past,
    });
    let fields = "content-type: application/json\r\nconnection: close\r\n";
    for (path, name, expected) in [("evaluation", "decision", json!(false)), ("search/resource", "results", json!([]))]
    {
        let bytes = request("POST", &format!("/access/v1/{path}"), &asked.token, fields, &question.to_string());
        let answer = answer_of(asked.portcullis.decision.unwrap(), bytes).unwrap();
        assert_eq!((answer.status, &answer.json()[name]), (200, &expected), "{path}: {}", answer.body);
    }
    let read = asked.post("read", &json!({ "tuple_key": { "object": "document:d1", "user": "user:erin" } }));
    assert_eq!(read["tuples"][0]["key"]["condition"]["context"]["end"], "2999-01-01T00:00:00Z");
}

#[test]
fn the_policy_is_one_store_with_one_model_of_lasting_ids() {
    let asked = Asked::of(world());
    let model_id = |asked: &Asked| {
        let models = asked.get(&format!("{STORE}/authorization-models"));
        assert_eq!(
            (models["authorization_models"].as_array().unwrap().len(), models["continuation_token"].as_str()),
            (1, Some(""))
        );
        models["authorization_models"][0]["id"].as_str().unwrap().to_owned()
    };
    let stores = asked.get("/stores");
    assert_eq!(stores["stores"].as_array().unwrap().len(), 1);
    assert_eq!(stores["stores"][0], asked.get(STORE));
    assert_eq!(asked.get("/stores?name=other")["stores"], json!([]));
    let id = model_id(&asked);
    assert_eq!(id.len(), 26);
    let one = asked.get(&format!("{STORE}/authorization-models/{id}"));
    assert_eq!(one["authorization_model"]["type_definitions"][0]["type"], "user");
    let check = |id: &str| {
        json!({ "authorization_model_id": id,
            "tuple_key": { "user": "user:erin", "relation": "can_read", "object": "document:d1" } })
    };
    let answer = asked.ask("POST", &format!("{STORE}/check"), &check(&id));
    assert_eq!(answer.header("openfga-authorization-model-id"), Some(id.as_str()));
    assert_eq!(answer.header("openfga-store-id"), STORE.strip_prefix("/stores/"));

    // The same content has the same id, in another process and in another notation.
    let other = Asked::of(world());
    assert_eq!(model_id(&other), id);
    let json = other.world.run(&["model", "convert", "model.fga"]).stdout;
    other.world.write("model.json", json);
    let config = other.world.config().replace("model: model.fga", "model: model.json");
    other.world.replace("portcullis.yaml", config);
    let revision = other.portcullis.until_revision_above(1);
    assert_eq!(model_id(&other), id);
    let model = std::fs::read_to_string(other.world.path("model.fga")).unwrap();
    other.world.replace("model.fga", format!("{model}type another\n"));
    other.world.replace("portcullis.yaml", other.world.config());
    other.portcullis.until_revision_above(revision);
    let changed = model_id(&other);
    assert_ne!(changed, id);
    let path = format!("{STORE}/check");
    assert_eq!(other.refused(400, "POST", &path, &check(&id)), "authorization_model_not_found");
    assert_eq!(other.expect(200, "POST", &path, &check(&changed))["allowed"], true);

    let unknown = "/stores/01H0H015178Y2V4CX10C2KGHF4";
    assert_eq!(asked.refused(404, "GET", unknown, &Value::Null), "store_id_not_found");
    assert_eq!(asked.refused(404, "POST", &format!("{unknown}/write"), &json!({})), "store_id_not_found");
    assert_eq!(asked.refused(400, "GET", "/stores/short", &Value::Null), "validation_error");
    let model = format!("{STORE}/authorization-models/01H0H015178Y2V4CX10C2KGHF4");
    assert_eq!(asked.refused(400, "GET", &model, &Value::Null), "authorization_model_not_found");
    assert_eq!(asked.refused(404, "POST", &format!("{STORE}/elsewhere"), &json!({})), "undefined_endpoint");
}

/// All tuples of a filter as `user relation object`, by pages of two.
fn pages(asked: &Asked, key: &Value) -> Vec<String> {
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = asked.post("read", &json!({ "tuple_key": key, "page_size": 2, "continuation_token": token }));
        let tuples = page["tuples"].as_array().unwrap();
        assert!(tuples.len() <= 2);
        found.extend(tuples.iter().map(|tuple| {
            let text = |name: &str| tuple["key"][name].as_str().unwrap();
            format!("{} {} {}", text("user"), text("relation"), text("object"))
        }));
        token = page["continuation_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            found.sort();
            return found;
        }
    }
}

#[test]
fn tuples_are_read_by_pages_and_filters() {
    let asked = Asked::of(world());
    let mut all: Vec<String> = asked
        .world
        .tuples()
        .lines()
        .map(|line| {
            let field = |name: &str| {
                let rest = line.split(&format!("{name}: ")).nth(1).unwrap();
                rest.split([',', ' ']).next().unwrap().to_owned()
            };
            format!("{} {} {}", field("user"), field("relation"), field("object"))
        })
        .collect();
    all.sort();
    assert_eq!(pages(&asked, &Value::Null), all);
    let of = |key: &Value, is_asked: &dyn Fn(&str) -> bool| {
        let expected: Vec<_> = all.iter().filter(|tuple| is_asked(tuple)).cloned().collect();
        assert!(!expected.is_empty());
        assert_eq!(pages(&asked, key), expected, "{key}");
    };
    of(&json!({ "object": "folder:open" }), &|tuple| tuple.ends_with(" folder:open"));
    of(&json!({ "object": "folder:open", "relation": "viewer" }), &|tuple| tuple.ends_with(" viewer folder:open"));
    of(&json!({ "object": "folder:open", "user": "task:t1" }), &|tuple| tuple == "task:t1 viewer folder:open");
    of(&json!({ "object": "task:", "user": "user:erin" }), &|tuple| tuple == "user:erin holder task:t1");
    of(&json!({ "object": "folder:", "user": "group:staff#member" }), &|tuple| tuple.starts_with("group:staff#member"));
    of(&json!({ "object": "document:", "user": "folder:open", "relation": "parent" }), &|tuple| {
        tuple.starts_with("folder:open parent document:")
    });
    for nothing in [
        json!({ "object": "folder:gone" }),
        json!({ "object": "alien:x" }),
        json!({ "object": "folder:open", "user": "user:*" }),
        json!({ "object": "document:", "user": "user:nobody" }),
    ] {
        assert_eq!(pages(&asked, &nothing), Vec::<String>::new(), "{nothing}");
    }
    let path = format!("{STORE}/read");
    for (body, code) in [
        (json!({ "tuple_key": { "object": "folder:" } }), "validation_error"),
        (json!({ "tuple_key": { "user": "user:erin" } }), "validation_error"),
        (json!({ "tuple_key": { "object": "folder:open", "user": "nonsense" } }), "validation_error"),
        (json!({ "tuple_key": {} }), "validation_error"),
        (json!({ "page_size": 0 }), "page_size_invalid"),
        (json!({ "continuation_token": "x" }), "invalid_continuation_token"),
        (json!({ "continuation_token": "MSB0dXBsZXM" }), "invalid_continuation_token"),
    ] {
        assert_eq!(asked.refused(400, "POST", &path, &body), code, "{body}");
    }
    // What the token names may be gone. Then nobody knows what is behind it.
    let first = asked.post("read", &json!({ "page_size": 1, "tuple_key": { "object": "group:staff" } }));
    let token = first["continuation_token"].clone();
    assert_ne!(token, "");
    let left: String =
        asked.world.tuples().lines().filter(|line| !line.contains("group:")).map(|line| format!("{line}\n")).collect();
    asked.world.replace("tuples.yaml", left);
    asked.portcullis.until_revision_above(1);
    let code = asked.refused(
        400,
        "POST",
        &path,
        &json!({ "continuation_token": token, "tuple_key": { "object": "group:staff" } }),
    );
    assert_eq!(code, "invalid_continuation_token");
}

#[test]
fn a_page_goes_on_only_in_the_snapshot_that_it_began_in() {
    let asked = Asked::of(world());
    let first = asked.post("read", &json!({ "page_size": 1 }));
    let next = json!({ "page_size": 1, "continuation_token": first["continuation_token"] });
    assert_eq!(asked.post("read", &next)["tuples"].as_array().unwrap().len(), 1);
    // All tuples are still there, and their order may be another one.
    let turned: Vec<String> = asked.world.tuples().lines().rev().map(|line| format!("{line}\n")).collect();
    asked.world.replace("tuples.yaml", turned.concat());
    asked.portcullis.until_revision_above(1);
    assert_eq!(asked.refused(400, "POST", &format!("{STORE}/read"), &next), "invalid_continuation_token");
}

#[test]
fn a_caller_that_is_removed_meanwhile_is_not_answered() {
    let asked = Asked::of(world());
    let body =
        json!({ "tuple_key": { "user": "user:erin", "relation": "can_read", "object": "document:d1" } }).to_string();
    let mut connection = Connection::open(asked.portcullis.decision.unwrap());
    let fields = format!("content-length: {}\r\nexpect: 100-continue\r\n", body.len());
    connection.send(request("POST", &format!("{STORE}/check"), &asked.token, &fields, ""));
    assert_eq!(connection.answer().unwrap().status, 100, "the caller is one, and the body is waited for");
    let config = asked.world.config().replace("\"user:crm\"", "\"user:erin\"");
    asked.world.replace("portcullis.yaml", config);
    let revision = asked.portcullis.until_revision_above(1);
    connection.send(&body);
    assert_eq!(connection.answer().unwrap().status, 403);
    // Who is one still is answered by the snapshot that is in force when the body is there.
    let token = asked.world.issuer.token("erin", &[]);
    connection.send(request("POST", &format!("{STORE}/check"), &token, &fields, ""));
    assert_eq!(connection.answer().unwrap().status, 100);
    asked.world.replace("tuples.yaml", "[]");
    let next = asked.portcullis.until_revision_above(revision);
    connection.send(&body);
    let answer = connection.answer().unwrap();
    assert_eq!((answer.json()["allowed"].clone(), answer.revision()), (json!(false), next));
}

#[test]
fn one_reading_of_a_path_names_and_answers_a_request() {
    let asked = Asked::of(world());
    let list = json!({ "type": "document", "relation": "can_read", "user": "agent:reader" });
    let path = format!("{}/list-objects", STORE.replace("stores", "%73tores"));
    assert_eq!(asked.expect(200, "POST", &path, &list)["objects"], json!(["document:d1"]));
    let count = "portcullis_decision_api_requests_total{endpoint=\"openfga_list_objects\",outcome=\"answered\"}";
    assert_eq!(asked.portcullis.metric(count), 1.0);
}

#[test]
fn without_a_usable_snapshot_nothing_is_answered() {
    let world = World { policy_more: "max_staleness: 1s".to_owned(), ..world() };
    let waiting = world.config().replace("{ file: jwks.json }", "{ url: \"http://127.0.0.1:1/keys\" }");
    world.write("portcullis.yaml", waiting);
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let token = world.issuer.token("crm", &[]);
    let body = json!({ "tuple_key": { "user": "user:erin", "relation": "can_read", "object": "document:d1" } });
    let check = |portcullis: &Portcullis| portcullis.ask("POST", &format!("{STORE}/check"), &token, &body.to_string());
    let answer = check(&portcullis);
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("unavailable")), "{}", answer.body);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(portcullis.ask("GET", "/healthz", "", "").status, 503);
    drop(portcullis);

    let asked = Asked::of(world);
    assert_eq!(check(&asked.portcullis).status, 200);
    asked.world.write("model.fga", "not a model");
    let stale = eventually("it is stale", || Some(check(&asked.portcullis)).filter(|answer| answer.status != 200));
    assert_eq!((stale.status, stale.json()["code"].as_str()), (503, Some("unavailable")));
    let count = asked
        .portcullis
        .metric("portcullis_decision_api_requests_total{endpoint=\"openfga_check\",outcome=\"unavailable\"}");
    assert!(count >= 1.0);
}

#[test]
fn hostile_bodies_are_refused_and_harm_nobody() {
    let asked = Asked::of(world());
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let bodies = [
        "".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
        "{".to_owned(),
        "{\"tuple_key\":1}".to_owned(),
        "{\"tuple_key\":{\"user\":[]}}".to_owned(),
        "{\"tuple_key\":{},\"tuple_key\":{}}".to_owned(),
        format!("{{\"context\":{deep}}}"),
        deep,
        format!("{{\"type\":\"{}\"}}", "x".repeat(100_000)),
        "{\"type\":\"document\",\"relation\":\"can_read\",\"user\":\"user:\\u0000\"}".to_owned(),
        "{\"checks\":[{}]}".to_owned(),
        "{\"user_filters\":[{},{}],\"object\":{}}".to_owned(),
    ];
    for name in ["check", "batch-check", "list-objects", "streamed-list-objects", "list-users", "expand"] {
        for body in &bodies {
            let answer = asked.portcullis.ask("POST", &format!("{STORE}/{name}"), &asked.token, body);
            assert_eq!(answer.status, 400, "{name} {}: {}", &body[..body.len().min(80)], answer.body);
        }
    }
    let long = "x".repeat(700_000);
    let answer = asked.portcullis.ask("POST", &format!("{STORE}/check"), &asked.token, &long);
    assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("exceeded_entity_limit")));
    // A head with two readings is refused as it is on the data listener.
    let twice = request("GET", "/stores", &asked.token, "authorization: Bearer x\r\nconnection: close\r\n", "");
    assert_eq!(answer_of(asked.portcullis.decision.unwrap(), twice).unwrap().status, 400);
    let bytes =
        [request("POST", &format!("{STORE}/check"), &asked.token, "content-length: 2\r\n", "").as_bytes(), b"\xff\xfe"]
            .concat();
    assert_eq!(answer_of(asked.portcullis.decision.unwrap(), bytes).unwrap().status, 400);
    assert!(asked.allows("user:erin", "can_read", "document:d1"));
}

#[test]
fn it_ends_in_order_and_an_idle_caller_does_not_hold_it_up() {
    let asked = Asked::of(world());
    let mut connection = Connection::open(asked.portcullis.decision.unwrap());
    connection.send(request("GET", "/stores", &asked.token, "", ""));
    assert_eq!(connection.answer().unwrap().status, 200);
    asked.portcullis.signal("-TERM");
    assert!(connection.is_closed());
    assert!(asked.portcullis.wait().success());
}

/// A caller that has asked for a list which no buffer holds, and has read nothing of it but its head.
fn amid_a_list(more: &str) -> (Asked, Connection) {
    let world = World {
        more: format!("{DECISION}\n{more}"),
        policy_source: "file: { model: model.fga, tuples: tuples.jsonl }".to_owned(),
        ..World::new()
    };
    let tuple =
        |n: usize| json!({ "user": "user:erin", "relation": "viewer", "object": format!("document:{n:0>240}") });
    world.write("tuples.jsonl", (0..LISTED).map(|n| tuple(n).to_string()).collect::<Vec<_>>().join("\n"));
    let asked = Asked::of(world);
    let body = json!({ "type": "document", "relation": "can_read", "user": "user:erin" }).to_string();
    let mut connection = Connection::open(asked.portcullis.decision.unwrap());
    connection.send(request("POST", &format!("{STORE}/streamed-list-objects"), &asked.token, "", &body));
    eventually("the list has begun", || connection.stream().peek(&mut [0; 1]).ok().filter(|read| *read > 0));
    (asked, connection)
}

const LISTED: usize = 20_000;

#[test]
fn a_long_answer_comes_to_its_end_when_it_is_told_to_stop() {
    let (asked, mut connection) = amid_a_list("");
    asked.portcullis.signal("-TERM");
    asked.portcullis.until_logged("requests in flight are finished");
    let answer = connection.answer().unwrap();
    let lines: Vec<Value> = answer.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // A machine that is slow enough ends the list by its own deadline, and says so.
    let is_whole = lines.len() == LISTED && lines.iter().all(|line| line["result"]["object"].is_string());
    let is_late = lines.last().is_some_and(|line| line["error"]["code"] == "deadline_exceeded");
    assert!(answer.status == 200 && (is_whole || is_late), "{} lines, {:?}", lines.len(), lines.last());
    assert!(asked.portcullis.wait().success());
}

#[test]
fn a_long_answer_that_nobody_reads_does_not_hold_up_the_end() {
    let (asked, connection) = amid_a_list("timeouts: { drain: 100ms }");
    asked.portcullis.signal("-TERM");
    // Its end in order is over, and it ends.
    assert_eq!(asked.portcullis.wait().code(), Some(1));
    drop(connection);
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let world = World::new();
    let said = |more: &str, source: &str| {
        let file = "file: { model: model.fga, tuples: tuples.yaml }";
        world.write("portcullis.yaml", format!("{more}\n{}", world.config().replace(file, source)));
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let file = "file: { model: model.fga, tuples: tuples.yaml }";
    let memory = "memory: { model: model.fga }";
    let decision = |callers: &str| format!("decision: {{ address: 127.0.0.1:0, callers: {callers} }}");
    for (more, source, expected) in [
        (decision("[]"), file, "`callers` is empty: nobody could ask"),
        ("decision: { address: 127.0.0.1:0 }".to_owned(), file, "the key `callers` is missing here"),
        (decision("[crm]"), file, "a caller is `type:id` or `type:*`"),
        (decision("[\"a:b\"], writers: [crm]"), file, "a caller is `type:id` or `type:*`"),
        (decision("[\"*\"]"), file, "a caller is `type:id` or `type:*`"),
        ("decision: { address: here, callers: [\"a:b\"] }".to_owned(), file, "`here` is not an address and a port"),
        (String::new(), memory, "a policy in memory is of no use without a `decision` listener"),
        (decision("[\"a:b\"]"), "memory: { tuples: tuples.yaml }", "the key `model` is missing here"),
        (decision("[\"a:b\"]"), &format!("{file}, {memory}"), "a policy has exactly one source"),
        (String::new(), "", "a policy has exactly one source"),
    ] {
        let (code, said) = said(&more, source);
        assert!(code == Some(1) && said.contains(expected), "`{expected}` is not in:\n{said}");
    }
    let (code, said) = said(&decision("[\"a:b\", \"c:*\"]"), memory);
    assert_eq!(code, Some(0), "{said}");
}
