//! OpenFGA's HTTP API, asked of the real binary over sockets.

use serde_json::{Value, json};

use crate::support::{OpenFga, answer_of, run};

/// A store with a model, and the paths below it.
pub(crate) struct Store {
    pub(crate) server: OpenFga,
    pub(crate) path: String,
    model: String,
}

fn model() -> Value {
    json!({
        "schema_version": "1.1",
        "type_definitions": [
            { "type": "user" },
            {
                "type": "document",
                "relations": {
                    "viewer": { "this": {} },
                    "blocked": { "this": {} },
                    "can_view": {
                        "difference": {
                            "base": { "computedUserset": { "relation": "viewer" } },
                            "subtract": { "computedUserset": { "relation": "blocked" } },
                        },
                    },
                },
                "metadata": { "relations": {
                    "viewer": { "directly_related_user_types": [
                        { "type": "user" }, { "type": "user", "wildcard": {} }, { "type": "user", "condition": "small" },
                    ] },
                    "blocked": { "directly_related_user_types": [{ "type": "user" }] },
                } },
            },
        ],
        "conditions": {
            "small": { "name": "small", "expression": "x < 10", "parameters": { "x": { "type_name": "TYPE_NAME_INT" } } },
        },
    })
}

pub(crate) fn tuple(user: &str, relation: &str, object: &str) -> Value {
    json!({ "user": user, "relation": relation, "object": object })
}

impl Store {
    pub(crate) fn new() -> Self {
        let server = OpenFga::start(&[]);
        let store = server.expect(201, "POST", "/stores", json!({ "name": "test" }));
        let path = format!("/stores/{}", store["id"].as_str().unwrap());
        let made = server.expect(201, "POST", &format!("{path}/authorization-models"), model());
        let model = made["authorization_model_id"].as_str().unwrap().to_owned();
        Self { server, path, model }
    }

    pub(crate) fn post(&self, name: &str, body: Value) -> Value {
        self.server.post(&format!("{}/{name}", self.path), body)
    }

    fn get(&self, name: &str) -> Value {
        self.server.get(&format!("{}/{name}", self.path))
    }

    pub(crate) fn refused(&self, name: &str, body: Value) -> String {
        self.server.refused(400, "POST", &format!("{}/{name}", self.path), body)
    }

    pub(crate) fn write(&self, tuples: &[Value]) {
        assert_eq!(self.post("write", json!({ "writes": { "tuple_keys": tuples } })), json!({}));
    }

    fn allows(&self, user: &str, relation: &str, object: &str) -> bool {
        let answer = self.post("check", json!({ "tuple_key": tuple(user, relation, object) }));
        assert_eq!(answer["resolution"], "");
        answer["allowed"].as_bool().unwrap()
    }
}

#[test]
fn stores_are_made_listed_by_pages_and_deleted() {
    let server = OpenFga::start(&[]);
    assert_eq!(server.get("/healthz")["status"], "SERVING");
    let made: Vec<Value> = (0..5)
        .map(|number| server.expect(201, "POST", "/stores", json!({ "name": format!("store-{number}") })))
        .collect();
    let mut listed = Vec::new();
    let mut token = String::new();
    loop {
        let page = server.get(&format!("/stores?page_size=2&continuation_token={token}"));
        listed.extend(page["stores"].as_array().unwrap().iter().map(|store| store["id"].clone()));
        token = page["continuation_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, made.iter().map(|store| store["id"].clone()).collect::<Vec<_>>());
    assert_eq!(server.get("/stores?name=store-3")["stores"].as_array().unwrap().len(), 1);
    let path = format!("/stores/{}", made[0]["id"].as_str().unwrap());
    assert_eq!(server.get(&path)["name"], "store-0");
    server.expect(204, "DELETE", &path, Value::Null);
    assert_eq!(server.refused(404, "GET", &path, Value::Null), "store_id_not_found");
    assert_eq!(server.refused(404, "POST", &format!("{path}/check"), json!({})), "store_id_not_found");
    assert_eq!(server.refused(400, "POST", "/stores", json!({ "name": "no" })), "validation_error");
    assert_eq!(server.refused(400, "GET", "/stores/short", Value::Null), "validation_error");
    assert_eq!(server.refused(400, "GET", "/stores?page_size=101", Value::Null), "page_size_invalid");
    let wrong = server.refused(400, "GET", "/stores?continuation_token=x", Value::Null);
    assert_eq!(wrong, "invalid_continuation_token");
    assert_eq!(server.refused(404, "GET", "/elsewhere", Value::Null), "undefined_endpoint");
    assert!(server.terminate().success());
}

#[test]
fn the_latest_model_counts_unless_one_is_named() {
    let store = Store::new();
    store.write(&[tuple("user:erin", "viewer", "document:d1")]);
    let path = format!("{}/authorization-models", store.path);
    let mut stricter = model();
    stricter["type_definitions"][1]["metadata"]["relations"]["viewer"]["directly_related_user_types"] =
        json!([{ "type": "user", "condition": "small" }]);
    let latest = store.server.expect(201, "POST", &path, stricter)["authorization_model_id"].clone();
    // A tuple that the latest model does not allow is kept, and no decision sees it.
    assert!(!store.allows("user:erin", "can_view", "document:d1"));
    let key = tuple("user:erin", "can_view", "document:d1");
    let before = store.post("check", json!({ "tuple_key": key, "authorization_model_id": store.model }));
    assert_eq!(before["allowed"], true);
    assert_eq!(store.post("read", json!({}))["tuples"].as_array().unwrap().len(), 1);
    let models = store.get("authorization-models");
    assert_eq!(models["authorization_models"][0]["id"], latest);
    assert_eq!(models["authorization_models"][1]["id"], *store.model);
    let one = store.get(&format!("authorization-models/{}", store.model));
    assert_eq!(one["authorization_model"]["schema_version"], "1.1");
    let unknown = json!({ "tuple_key": key, "authorization_model_id": "01H0H015178Y2V4CX10C2KGHF4" });
    assert_eq!(store.refused("check", unknown), "authorization_model_not_found");
    let empty = store.server.expect(201, "POST", "/stores", json!({ "name": "empty" }));
    let check = format!("/stores/{}/check", empty["id"].as_str().unwrap());
    let none = store.server.refused(400, "POST", &check, json!({ "tuple_key": key }));
    assert_eq!(none, "latest_authorization_model_not_found");
    let broken = json!({ "schema_version": "1.1", "type_definitions": [{ "type": "a", "relations": { "r": {} } }] });
    assert_eq!(store.refused("authorization-models", broken), "invalid_authorization_model");
    let mut many = model();
    for number in 0..25 {
        let name = format!("c{number}");
        many["conditions"][&name] = json!({ "name": name, "expression": "true" });
    }
    assert_eq!(store.refused("authorization-models", many.clone()), "validation_error");
    many["conditions"].as_object_mut().unwrap().remove("c0");
    store.server.expect(201, "POST", &path, many);
    let empty = json!({ "schema_version": "1.1" });
    assert_eq!(store.refused("authorization-models", empty), "type_definitions_too_few_items");
}

#[test]
fn a_write_is_made_whole_or_not_at_all() {
    let store = Store::new();
    let (known, new) = (tuple("user:erin", "viewer", "document:d1"), tuple("user:frank", "viewer", "document:d1"));
    store.write(std::slice::from_ref(&known));
    let writes = |tuples: Value| json!({ "writes": { "tuple_keys": tuples } });
    assert_eq!(store.refused("write", writes(json!([new, known]))), "write_failed_due_to_invalid_input");
    assert!(!store.allows("user:frank", "viewer", "document:d1"));
    let missing = json!({ "deletes": { "tuple_keys": [known, new] } });
    assert_eq!(store.refused("write", missing), "write_failed_due_to_invalid_input");
    assert!(store.allows("user:erin", "viewer", "document:d1"));
    let lenient = json!({
        "writes": { "tuple_keys": [known], "on_duplicate": "ignore" },
        "deletes": { "tuple_keys": [new], "on_missing": "ignore" },
    });
    store.post("write", lenient);
    assert_eq!(store.get("changes")["changes"].as_array().unwrap().len(), 1);
    let conditioned = json!({ "user": "user:erin", "relation": "viewer", "object": "document:d1",
        "condition": { "name": "small" } });
    let conflict = json!({ "writes": { "tuple_keys": [conditioned], "on_duplicate": "ignore" } });
    let code = store.server.refused(409, "POST", &format!("{}/write", store.path), conflict);
    assert_eq!(code, "Aborted");
    assert_eq!(store.refused("write", json!({})), "invalid_write_input");
    let twice = store.refused("write", writes(json!([new, new])));
    assert_eq!(twice, "cannot_allow_duplicate_tuples_in_one_request");
    let many: Vec<Value> = (0..101).map(|n| tuple("user:a", "viewer", &format!("document:{n}"))).collect();
    assert_eq!(store.refused("write", writes(json!(many))), "exceeded_entity_limit");
    for wrong in [
        tuple("user:erin", "viewer", "folder:x"),
        tuple("user:erin", "owner", "document:d1"),
        tuple("user:*", "blocked", "document:d1"),
        tuple("erin", "viewer", "document:d1"),
        tuple("user:erin", "viewer", ""),
        tuple("document:d1#viewer", "viewer", "document:d1"),
    ] {
        assert_eq!(store.refused("write", writes(json!([wrong]))), "validation_error", "{wrong}");
    }
}

#[test]
fn tuples_and_changes_are_read_by_pages() {
    let store = Store::new();
    for number in 0..5 {
        store.write(&[tuple("user:erin", "viewer", &format!("document:{number}"))]);
    }
    store.post("write", json!({ "deletes": { "tuple_keys": [tuple("user:erin", "viewer", "document:3")] } }));
    let first = store.post("read", json!({ "page_size": 3 }));
    let token = first["continuation_token"].as_str().unwrap();
    let second = store.post("read", json!({ "page_size": 3, "continuation_token": token }));
    assert_eq!(first["tuples"].as_array().unwrap().len(), 3);
    assert_eq!(second["tuples"].as_array().unwrap().len(), 1);
    assert_eq!(second["continuation_token"], "");
    assert_eq!(second["tuples"][0]["key"]["condition"], Value::Null);
    let of = |key: Value| store.post("read", json!({ "tuple_key": key }))["tuples"].as_array().unwrap().len();
    assert_eq!(of(json!({ "object": "document:1" })), 1);
    assert_eq!(of(json!({ "object": "document:", "user": "user:erin" })), 4);
    assert_eq!(of(json!({ "object": "document:1", "user": "user:frank" })), 0);
    assert_eq!(store.refused("read", json!({ "tuple_key": { "object": "document:" } })), "validation_error");
    assert_eq!(store.refused("read", json!({ "tuple_key": { "user": "user:erin" } })), "validation_error");

    let page = store.get("changes?page_size=5&type=document");
    let token = page["continuation_token"].as_str().unwrap().to_owned();
    let last = store.get(&format!("changes?type=document&continuation_token={token}"));
    assert_eq!(last["changes"].as_array().unwrap().len(), 1);
    assert_eq!(last["changes"][0]["operation"], "TUPLE_OPERATION_DELETE");
    // At the end the token stays, so that one can go on asking.
    let token = last["continuation_token"].as_str().unwrap().to_owned();
    let end = store.get(&format!("changes?type=document&continuation_token={token}"));
    assert_eq!((end["changes"].clone(), end["continuation_token"].clone()), (json!([]), json!(token)));
    let other = format!("{}/changes?type=user&continuation_token={token}", store.path);
    let code = store.server.refused(400, "GET", &other, Value::Null);
    assert_eq!(code, "query_string_type_continuation_token_mismatch");
    assert_eq!(store.get("changes?start_time=2020-01-01T00%3A00%3A00Z")["changes"].as_array().unwrap().len(), 6);
    for (query, code) in [
        ("start_time=2099-01-01T00%3A00%3A00Z", "validation_error"),
        ("start_time=x", "validation_error"),
        ("type=a%20b", "type_invalid_pattern"),
    ] {
        let path = format!("{}/changes?{query}", store.path);
        assert_eq!(store.server.refused(400, "GET", &path, Value::Null), code, "{query}");
    }
}

#[test]
fn questions_are_answered_or_refused_by_their_codes() {
    let store = Store::new();
    let small = json!({ "user": "user:mia", "relation": "viewer", "object": "document:d1",
        "condition": { "name": "small" } });
    store.write(&[tuple("user:erin", "viewer", "document:d1"), small]);
    let check = |user: &str, relation: &str, object: &str, more: Value| {
        let mut body = json!({ "tuple_key": tuple(user, relation, object) });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    assert!(store.allows("user:erin", "can_view", "document:d1"));
    let mia = |more: Value| check("user:mia", "can_view", "document:d1", more);
    assert_eq!(store.refused("check", mia(json!({}))), "validation_error");
    assert_eq!(store.post("check", mia(json!({ "context": { "x": 3 } })))["allowed"], true);
    let contextual = |tuple: Value| json!({ "contextual_tuples": { "tuple_keys": [tuple] } });
    let frank = |more: Value| check("user:frank", "can_view", "document:d1", more);
    let answer = store.post("check", frank(contextual(tuple("user:*", "viewer", "document:d1"))));
    assert_eq!(answer["allowed"], true);
    assert!(!store.allows("user:frank", "can_view", "document:d1"));
    let invalid = contextual(tuple("user:frank", "can_view", "document:d1"));
    assert_eq!(store.refused("check", frank(invalid)), "invalid_tuple");
    for (user, relation, object) in [
        ("team:a", "viewer", "document:d1"),
        ("user:erin", "owner", "document:d1"),
        ("user:erin", "viewer", "folder:x"),
        ("user:erin", "viewer", "document:*"),
        ("", "viewer", "document:d1"),
    ] {
        assert_eq!(store.refused("check", check(user, relation, object, json!({}))), "validation_error", "{user}");
    }

    let item =
        |id: &str, user: &str| json!({ "tuple_key": tuple(user, "viewer", "document:d1"), "correlation_id": id });
    let batch = store.post("batch-check", json!({ "checks": [item("a", "user:erin"), item("b", "team:x")] }));
    assert_eq!(batch["result"]["a"]["allowed"], true);
    assert_eq!(batch["result"]["b"]["error"]["input_error"], "validation_error");
    assert_eq!(store.refused("batch-check", json!({ "checks": [] })), "validation_error");
    let twice = json!({ "checks": [item("a", "user:erin"), item("a", "user:erin")] });
    assert_eq!(store.refused("batch-check", twice), "validation_error");

    let list =
        |object_type: &str, relation: &str| json!({ "type": object_type, "relation": relation, "user": "user:erin" });
    assert_eq!(store.post("list-objects", list("document", "can_view"))["objects"], json!(["document:d1"]));
    let streamed = store.post("streamed-list-objects", list("document", "can_view"));
    assert_eq!(streamed["result"]["object"], "document:d1");
    assert_eq!(store.refused("list-objects", list("folder", "can_view")), "type_not_found");
    assert_eq!(store.refused("list-objects", list("document", "owner")), "relation_not_found");
    let users = |filters: Value| {
        json!({ "object": { "type": "document", "id": "d1" }, "relation": "can_view", "user_filters": filters,
            "context": { "x": 3 } })
    };
    let listed = store.post("list-users", users(json!([{ "type": "user" }])));
    assert_eq!(listed["users"].as_array().unwrap().len(), 2);
    assert_eq!(store.refused("list-users", users(json!([]))), "validation_error");
    assert_eq!(store.refused("list-users", users(json!([{ "type": "team" }]))), "type_not_found");

    let expand = |relation: &str| json!({ "tuple_key": { "relation": relation, "object": "document:d1" } });
    let root = store.post("expand", expand("viewer"))["tree"]["root"].clone();
    assert_eq!(root["leaf"]["users"]["users"], json!(["user:erin", "user:mia"]));
    let root = store.post("expand", expand("can_view"))["tree"]["root"].clone();
    assert_eq!(root["difference"]["base"]["leaf"]["computed"]["userset"], "document:d1#viewer");

    let path = format!("{}/assertions/{}", store.path, store.model);
    let assertion = json!({ "tuple_key": tuple("user:erin", "viewer", "document:d1"), "expectation": true });
    store.server.expect(204, "PUT", &path, json!({ "assertions": [assertion] }));
    let kept = store.server.get(&path);
    assert_eq!(kept["assertions"][0]["tuple_key"], assertion["tuple_key"]);
    let many = json!({ "assertions": vec![assertion; 101] });
    assert_eq!(store.server.refused(400, "PUT", &path, many), "assertions_too_many_items");
}

#[test]
fn bodies_that_are_not_one_strict_document_are_refused() {
    let store = Store::new();
    let path = format!("{}/check", store.path);
    let deep = format!("{{\"context\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
    for body in ["{", "[]", "null", r#"{"tuple_key":1}"#, r#"{"context":{"a":1,"a":2}}"#, &deep] {
        let (status, answer) = store.server.call("POST", &path, body);
        assert_eq!((status, &answer["code"]), (400, &json!("validation_error")), "{answer}");
    }
    let huge = format!("{{\"x\":\"{}\"}}", "a".repeat(700_000));
    assert_eq!(store.server.call("POST", &path, &huge).0, 413);
}

#[test]
fn without_a_token_only_this_machine_is_served() {
    let open = run(&["serve-openfga", "--listen", "0.0.0.0:0"]);
    assert!(!open.status.success());
    assert!(String::from_utf8_lossy(&open.stderr).contains("give a token"));

    let mut server = OpenFga::start(&["--token", "first", "--token", "second"]);
    assert_eq!(server.refused(401, "GET", "/stores", Value::Null), "bearer_token_missing");
    server.fields = "authorization: Bearer wrong\r\n".to_owned();
    assert_eq!(server.refused(401, "GET", "/stores", Value::Null), "unauthenticated");
    server.fields = "authorization: Bearer second\r\n".to_owned();
    server.get("/stores");

    // A page of another origin cannot make a browser write here.
    let mut server = OpenFga::start(&[]);
    server.fields = "origin: https://attacker.example\r\n".to_owned();
    assert_eq!(server.refused(403, "POST", "/stores", json!({ "name": "test" })), "forbidden");
    // Nor read, by a name of its own that leads here.
    for host in ["rebound.example", "localhost.rebound.example"] {
        let asked = format!("GET /stores HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        assert_eq!(answer_of(server.address, asked).unwrap().status, 403, "{host}");
    }
}

#[test]
fn a_store_file_is_a_store_to_begin_with() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let good = file(
        "store.fga.yaml",
        "name: try-out\nmodel: |\n  model\n    schema 1.1\n  type user\n  type note\n    relations\n      define reader: \
         [user]\ntuples:\n  - { user: user:erin, relation: reader, object: note:1 }\n",
    );
    let server = OpenFga::start(&["--store", &good]);
    let said = server.line();
    let ids: Vec<&str> = said.split_whitespace().collect();
    let ["store", store, "model", model, "try-out"] = ids[..] else { panic!("{said}") };
    assert_eq!(server.get(&format!("/stores/{store}"))["name"], "try-out");
    let check = json!({ "tuple_key": tuple("user:erin", "reader", "note:1"), "authorization_model_id": model });
    assert_eq!(server.post(&format!("/stores/{store}/check"), check)["allowed"], true);
    let model = server.get(&format!("/stores/{store}/authorization-models/{model}"));
    assert_eq!(model["authorization_model"]["type_definitions"][1]["type"], "note");
    let write = json!({ "writes": { "tuple_keys": [tuple("user:mia", "reader", "note:1")] } });
    server.post(&format!("/stores/{store}/write"), write);
    let bad = file("bad.fga.yaml", "model: |\n  model\n    schema 1.1\n  type user\n  typo\n");
    let refused = run(&["serve-openfga", "--listen", "127.0.0.1:0", "--store", &bad]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("bad.fga.yaml:"), "{refused:?}");
}

#[test]
fn a_store_is_named_by_the_characters_that_openfga_takes() {
    let server = OpenFga::start(&[]);
    for name in ["a-b", "My store.1/x^_&@", "tab\there"] {
        server.expect(201, "POST", "/stores", json!({ "name": name }));
    }
    for name in ["caf\u{e9}", "a+b", "a:b", "ab", "quote\"s", "\u{b}vertical"] {
        assert_eq!(server.refused(400, "POST", "/stores", json!({ "name": name })), "validation_error", "{name}");
    }
}

#[test]
fn a_streamed_list_has_all_objects_and_says_what_it_could_not_find() {
    let store = Store::new();
    for page in 0..11 {
        let tuples: Vec<Value> =
            (0..100).map(|n| tuple("user:erin", "viewer", &format!("document:{page}-{n}"))).collect();
        store.write(&tuples);
    }
    let body = json!({ "type": "document", "relation": "viewer", "user": "user:erin" });
    let path = format!("{}/streamed-list-objects", store.path);
    let lines = |body: &Value| -> Vec<Value> {
        let text = store.server.text("POST", &path, &body.to_string());
        assert!(text.ends_with('\n'));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let streamed = lines(&body);
    let objects: std::collections::BTreeSet<&str> =
        streamed.iter().map(|line| line["result"]["object"].as_str().unwrap()).collect();
    assert_eq!((streamed.len(), objects.len()), (1_100, 1_100));
    assert_eq!(store.post("list-objects", body.clone())["objects"].as_array().unwrap().len(), 1_000);
    // A condition without an answer is told at the end: what was found until then was sent.
    let small = json!({ "user": "user:mia", "relation": "viewer", "object": "document:d2",
        "condition": { "name": "small" } });
    store.write(&[tuple("user:mia", "viewer", "document:d1"), small]);
    let mut body = json!({ "type": "document", "relation": "viewer", "user": "user:mia" });
    let streamed = lines(&body);
    assert_eq!(streamed[0]["result"]["object"], "document:d1");
    assert_eq!((streamed.len(), streamed[1]["error"]["code"].as_str()), (2, Some("validation_error")));
    body["context"] = json!({ "x": 3 });
    assert_eq!(lines(&body).len(), 2);
    body["relation"] = json!("owner");
    assert_eq!(store.refused("streamed-list-objects", body), "relation_not_found");
}
