//! A policy in memory: what is written is in force with the next request.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use serde_json::{Value, json};

use crate::support::{Answer, Connection, Portcullis, World, eventually, request};

const STORE: &str = "/stores/0000000000SNAPSH0T00000000";

struct Memory {
    world: World,
    portcullis: Portcullis,
    token: String,
}

fn world() -> World {
    World {
        more: "decision: { address: 127.0.0.1:0, callers: [\"user:crm\", \"user:reader\"], writers: [\"user:crm\"] }"
            .to_owned(),
        policy_source: "memory: { model: model.fga, tuples: tuples.yaml }".to_owned(),
        ..World::new()
    }
}

fn grant(user: &str, document: &str) -> Value {
    json!({ "user": user, "relation": "viewer", "object": format!("document:{document}") })
}

impl Memory {
    fn new() -> Self {
        Self::of(world())
    }

    fn of(world: World) -> Self {
        let portcullis = world.start();
        let token = world.issuer.token("crm", &[]);
        Self { world, portcullis, token }
    }

    fn ask(&self, method: &str, name: &str, body: &Value) -> Answer {
        self.portcullis.ask(method, &format!("{STORE}/{name}"), &self.token, &body.to_string())
    }

    #[track_caller]
    fn expect(&self, status: u16, name: &str, body: &Value) -> Value {
        let answer = self.ask("POST", name, body);
        assert_eq!(answer.status, status, "{name} {body}: {}", answer.body);
        answer.json()
    }

    #[track_caller]
    fn write(&self, tuples: &[Value]) {
        self.expect(200, "write", &json!({ "writes": { "tuple_keys": tuples } }));
    }

    #[track_caller]
    fn delete(&self, tuples: &[Value]) {
        self.expect(200, "write", &json!({ "deletes": { "tuple_keys": tuples } }));
    }

    fn status(&self, user: &str, document: &str) -> u16 {
        let token = self.world.issuer.token(user, &[]);
        self.portcullis.get(&format!("/documents/{document}"), &token).status
    }
}

#[test]
fn a_write_is_in_force_with_the_next_request() {
    let memory = Memory::new();
    memory.portcullis.until_logged("THE POLICY IS IN MEMORY ONLY");
    assert_eq!(memory.status("erin", "d1"), 200, "what it begins with counts");
    assert_eq!(memory.status("mallory", "d1"), 403);
    for round in 0..20 {
        memory.write(&[grant("user:mallory", "d1")]);
        assert_eq!(memory.status("mallory", "d1"), 200, "round {round}");
        memory.delete(&[grant("user:mallory", "d1")]);
        assert_eq!(memory.status("mallory", "d1"), 403, "round {round}");
    }
    assert_eq!(memory.portcullis.revision(), 41);
    let again = json!({ "writes": { "tuple_keys": [grant("user:erin", "d7")] } });
    assert_eq!(memory.ask("POST", "write", &again).revision(), 42, "the answer names the revision that has the write");
    memory.delete(&[grant("user:erin", "d7")]);
    let changes = memory.ask("GET", "changes", &Value::Null).json();
    assert_eq!(changes["changes"].as_array().unwrap().len(), 42);
    let read = memory.expect(200, "read", &json!({ "page_size": 100 }));
    assert_eq!(read["tuples"].as_array().unwrap().len(), memory.world.tuples().lines().count());

    // A write is whole or not at all, and what changes nothing makes no revision.
    let both = [grant("user:mallory", "d1"), grant("user:erin", "x")];
    memory.write(&both[1..]);
    let revision = memory.portcullis.revision();
    let refused = memory.expect(400, "write", &json!({ "writes": { "tuple_keys": both } }));
    assert_eq!(refused["code"], "write_failed_due_to_invalid_input");
    let wrong = json!({ "writes": { "tuple_keys": [grant("user:mallory", "d1"), grant("alien:x", "d1")] } });
    assert_eq!(memory.expect(400, "write", &wrong)["code"], "validation_error");
    memory.expect(200, "write", &json!({ "writes": { "tuple_keys": [both[1]], "on_duplicate": "ignore" } }));
    assert_eq!((memory.portcullis.revision(), memory.status("mallory", "d1")), (revision, 403));
    // There is one store.
    let answer = memory.portcullis.ask("POST", "/stores", &memory.token, "{\"name\":\"another\"}");
    assert_eq!((answer.status, answer.json()["code"].as_str()), (501, Some("unimplemented")));
    assert_eq!(memory.portcullis.ask("DELETE", STORE, &memory.token, "").status, 501);
}

#[test]
fn who_may_ask_may_not_write_unless_that_is_said() {
    let memory = Memory::new();
    let token = memory.world.issuer.token("reader", &[]);
    let ask = |method: &str, name: &str, body: &Value| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        memory.portcullis.ask(method, &format!("{STORE}/{name}"), &token, &body)
    };
    let models = ask("GET", "authorization-models", &Value::Null);
    let model = models.json()["authorization_models"][0].clone();
    let assertions = format!("assertions/{}", model["id"].as_str().unwrap());
    let grant = grant("user:reader", "d1");
    let (granted, taken) =
        (json!({ "writes": { "tuple_keys": [grant] } }), json!({ "deletes": { "tuple_keys": [grant] } }));
    let none = json!({ "assertions": [] });
    for (method, name, body) in [
        ("POST", "write", &granted),
        ("POST", "write", &taken),
        ("POST", "authorization-models", &model),
        ("PUT", assertions.as_str(), &none),
    ] {
        let answer = ask(method, name, body);
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (403, Some("forbidden")),
            "{name}: {}",
            answer.body
        );
    }
    assert_eq!((memory.portcullis.revision(), memory.status("reader", "d1")), (1, 403));
    let check = json!({ "tuple_key": { "user": "user:erin", "relation": "can_read", "object": "document:d1" } });
    assert_eq!(ask("POST", "check", &check).json()["allowed"], true);

    // Who wrote what is in the log.
    memory.expect(200, "write", &granted);
    memory.portcullis.until_logged("tuples were written caller=user:crm writes=1 deletes=0 revision=2");
    // Who may write is a part of the snapshot, as routes are.
    memory.world.replace("portcullis.yaml", memory.world.config().replace(", writers: [\"user:crm\"]", ""));
    memory.portcullis.until_revision_above(2);
    memory.expect(403, "write", &taken);
}

#[test]
fn a_model_of_before_is_asked_within_the_steps_of_now() {
    let memory = Memory::of(World { policy_more: "max_steps: 1".to_owned(), ..world() });
    let models = memory.ask("GET", "authorization-models", &Value::Null).json();
    let seed = models["authorization_models"][0].clone();
    memory.expect(201, "authorization-models", &seed);
    let key = json!({ "user": "user:erin", "relation": "can_read", "object": "document:d1" });
    for id in [Value::Null, seed["id"].clone()] {
        let refused = memory.expect(400, "check", &json!({ "tuple_key": key, "authorization_model_id": id }));
        assert_eq!(refused["code"], "authorization_model_resolution_too_complex", "{id}");
    }
}

#[test]
fn a_new_model_is_in_force_if_the_routes_fit_it() {
    let memory = Memory::new();
    let models = || memory.ask("GET", "authorization-models", &Value::Null).json()["authorization_models"].clone();
    let seed = models()[0].clone();
    let id = seed["id"].as_str().unwrap();
    memory.write(&[grant("user:*", "d9")]);
    assert_eq!(memory.status("mallory", "d9"), 200);
    let revision = memory.portcullis.revision();

    let mut unfit = seed.clone();
    let types = unfit["type_definitions"].as_array_mut().unwrap();
    types.retain(|written| written["type"] != "document");
    let refused = memory.expect(400, "authorization-models", &unfit);
    assert_eq!(refused["code"], "invalid_authorization_model");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("portcullis.yaml:") && message.contains("has no type `document`"), "{message}");
    assert_eq!((memory.portcullis.revision(), models().as_array().unwrap().len()), (revision, 1));

    // Under the next model nobody is granted a document as everybody; the tuple stays, and is set aside.
    let mut stricter = seed.clone();
    let document = stricter["type_definitions"].as_array_mut().unwrap();
    let document = document.iter_mut().find(|written| written["type"] == "document").unwrap();
    let users = &mut document["metadata"]["relations"]["viewer"]["directly_related_user_types"];
    users.as_array_mut().unwrap().retain(|user| user.get("wildcard").is_none_or(Value::is_null));
    let stricter = memory.expect(201, "authorization-models", &stricter)["authorization_model_id"].clone();
    assert_eq!((memory.status("mallory", "d9"), memory.status("erin", "d1")), (403, 200));
    assert_eq!(memory.portcullis.metric("portcullis_snapshot_tuples_set_aside"), 1.0);
    assert_eq!((models()[0]["id"].clone(), models()[1]["id"].clone()), (stricter, json!(id)));
    // A model of before can still be asked, as in OpenFGA.
    let key = json!({ "user": "user:mallory", "relation": "can_read", "object": "document:d9" });
    let check = |more: Value| memory.expect(200, "check", &more)["allowed"].clone();
    assert_eq!(check(json!({ "tuple_key": key })), false);
    assert_eq!(check(json!({ "tuple_key": key, "authorization_model_id": id })), true);
    // Writes go on under both, and the tuple comes back with a model that allows it.
    memory.write(&[grant("user:mallory", "d8")]);
    assert_eq!(memory.status("mallory", "d8"), 200);
    memory.expect(201, "authorization-models", &seed);
    assert_eq!((memory.status("mallory", "d9"), memory.status("mallory", "d8")), (200, 200));
    let assertions = json!({ "assertions": [{ "tuple_key": key, "expectation": true }] });
    assert_eq!(memory.ask("PUT", &format!("assertions/{id}"), &assertions).status, 204);
    let kept = memory.ask("GET", &format!("assertions/{id}"), &Value::Null).json();
    assert_eq!(kept["assertions"][0]["expectation"], true);
}

#[test]
fn what_it_begins_with_is_read_once_and_lost_at_the_end() {
    let memory = Memory::new();
    memory.write(&[grant("user:mallory", "d1")]);
    let tuples = memory.world.tuples();
    memory
        .world
        .replace("tuples.yaml", format!("{tuples}- {{ user: user:mallory, relation: viewer, object: document:d5 }}\n"));
    memory.world.replace("model.fga", "not a model");
    // The configuration is followed, and does not bring the files with it.
    memory.world.replace("portcullis.yaml", memory.world.config().replace("/documents/", "/papers/"));
    memory.portcullis.until_revision_above(2);
    let token = memory.world.issuer.token("mallory", &[]);
    assert_eq!(memory.portcullis.get("/papers/d1", &token).status, 200);
    assert_eq!(memory.portcullis.get("/papers/d5", &token).status, 403);
    // Where the policy is cannot be changed while it runs.
    let elsewhere = memory.world.config().replace("tuples: tuples.yaml", "tuples: other.yaml");
    memory.world.replace("portcullis.yaml", elsewhere);
    memory.portcullis.until_logged("changed since the start: policy.source");
    let Memory { world, portcullis, .. } = memory;
    portcullis.signal("-TERM");
    assert!(portcullis.wait().success());
    world.write("tuples.yaml", tuples);
    world.write("model.fga", fs::read_to_string(World::new().path("model.fga")).unwrap());
    let again = Memory::of(world);
    assert_eq!((again.status("mallory", "d1"), again.status("erin", "d1")), (403, 200));
}

#[test]
fn a_configuration_that_does_not_fit_the_model_of_now_is_refused() {
    let memory = Memory::new();
    let mut next = memory.ask("GET", "authorization-models", &Value::Null).json()["authorization_models"][0].clone();
    let document = next["type_definitions"].as_array_mut().unwrap();
    let document = document.iter_mut().find(|written| written["type"] == "document").unwrap();
    document["relations"]["can_print"] = json!({ "computedUserset": { "relation": "viewer" } });
    let printing = memory.world.config().replace("PUT: { action: can_write", "PUT: { action: can_print");
    memory.world.replace("portcullis.yaml", &printing);
    memory.portcullis.until_logged("has no relation `can_print`");
    memory.write(&[grant("user:mallory", "d1")]);
    assert_eq!(memory.status("mallory", "d1"), 200);
    // What was wrong with the configuration was the model.
    memory.expect(201, "authorization-models", &next);
    memory.world.replace("portcullis.yaml", format!("{printing}\n# once more\n"));
    let token = memory.world.issuer.token("mallory", &[]);
    eventually("the route asks for the new relation", || {
        let answer = memory.portcullis.request("PUT", "/documents/d1", &token, "", "{}");
        Some(()).filter(|()| answer.status == 200)
    });
}

/// Writes, reloads and requests at the same time: each write counts as soon as it is answered, and none is lost.
#[test]
fn no_write_is_lost_while_the_configuration_is_reloaded() {
    const RELOADS: usize = 50;
    let memory = Memory::new();
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let written = thread::scope(|scope| {
        for _ in 0..2 {
            let (memory, stop, asked) = (&memory, &stop, &asked);
            scope.spawn(move || {
                let token = memory.world.issuer.token("erin", &[]);
                let mut connection = Connection::open(memory.portcullis.data);
                let mut last = 0;
                while !stop.load(Ordering::Relaxed) {
                    connection.send(request("GET", "/documents/d1", &token, "", ""));
                    let answer = connection.answer().expect("every request is answered");
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    assert!(answer.revision() >= last, "revisions only go up");
                    last = answer.revision();
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let (memory, stop) = (&memory, &stop);
                scope.spawn(move || {
                    let token = memory.world.issuer.token("mallory", &[]);
                    let mut count = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let document = format!("w{writer}-{count}");
                        let mut tuples: Vec<Value> =
                            (0..20).map(|n| grant(&format!("user:other-{n}"), &document)).collect();
                        tuples.push(grant("user:mallory", &document));
                        memory.write(&tuples);
                        let answer = memory.portcullis.get(&format!("/documents/{document}"), &token);
                        assert_eq!(answer.status, 200, "{document} counts as soon as it is written: {}", answer.body);
                        if count % 3 == 0 {
                            memory.delete(&[grant("user:mallory", &document)]);
                            let answer = memory.portcullis.get(&format!("/documents/{document}"), &token);
                            assert_eq!(answer.status, 403, "{document} is taken back at once");
                        }
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        let config = memory.world.config();
        let published = "portcullis_snapshot_builds_total{outcome=\"published\"}";
        for reload in 1..=RELOADS {
            memory.world.replace("portcullis.yaml", format!("{config}# reload {reload}\n"));
            let expected = f64::from(u32::try_from(reload).unwrap()) + 1.0;
            eventually("the reload", || Some(()).filter(|()| memory.portcullis.metric(published) >= expected));
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect::<Vec<usize>>()
    });
    assert!(asked.load(Ordering::Relaxed) > 100, "there was load: {asked:?}");
    assert!(written.iter().all(|count| *count > 10), "there were writes: {written:?}");
    for (writer, count) in written.iter().enumerate() {
        for number in 0..*count {
            let document = format!("w{writer}-{number}");
            let expected = if number % 3 == 0 { 403 } else { 200 };
            assert_eq!(memory.status("mallory", &document), expected, "{document}");
            assert_eq!(memory.status("other-19", &document), 200, "{document}");
        }
    }
}

#[test]
fn many_changes_are_compacted_beside_the_requests() {
    let memory = Memory::new();
    let documents: Vec<String> = (0..30).map(|n| format!("c{n}")).collect();
    for document in &documents {
        let tuples: Vec<Value> = (0..100).map(|n| grant(&format!("user:u{n}"), document)).collect();
        memory.write(&tuples);
    }
    let gone: Vec<Value> = documents.iter().map(|document| grant("user:u7", document)).collect();
    memory.delete(&gone);
    eventually("a compaction", || {
        let count = memory.portcullis.metric("portcullis_snapshot_compactions_total{outcome=\"published\"}");
        Some(()).filter(|()| count >= 1.0)
    });
    for document in &documents {
        assert_eq!((memory.status("u99", document), memory.status("u7", document)), (200, 403), "{document}");
    }
    assert_eq!(memory.portcullis.metric("portcullis_snapshot_compactions_total{outcome=\"abandoned\"}"), 0.0);
    let tuples = memory.world.tuples().lines().count() + 30 * 99;
    assert_eq!(memory.portcullis.metric("portcullis_snapshot_tuples"), f64::from(u32::try_from(tuples).unwrap()));
    assert_eq!(memory.portcullis.revision(), 32, "a compaction is no new revision");
    memory.write(&[grant("user:u7", "c0")]);
    assert_eq!(memory.status("u7", "c0"), 200);
}
