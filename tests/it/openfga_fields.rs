//! What OpenFGA's messages may say, field by field: refused as OpenFGA itself refuses it.

use serde_json::{Value, json};

use super::openfga::{Store, tuple};

/// `body` with a value at the path of members, which are made if they are not there.
fn with(mut body: Value, path: &str, value: Value) -> Value {
    let mut place = &mut body;
    for name in path.split('.') {
        place = match name.parse::<usize>() {
            Ok(position) => &mut place[position],
            Err(_) => &mut place[name],
        };
    }
    *place = value;
    body
}

fn long(length: usize) -> String {
    "x".repeat(length)
}

/// Each field with each value gives this code.
#[track_caller]
fn are_refused(store: &Store, name: &str, right: &Value, wrong: &[(&str, Value, &str)]) {
    store.post(name, right.clone());
    for (path, value, code) in wrong {
        let shown = value.to_string();
        let found = store.refused(name, with(right.clone(), path, value.clone()));
        assert_eq!(found, *code, "{name}: {path} is {}", shown.get(..60).unwrap_or(&shown));
    }
}

const INVALID: &str = "validation_error";
const TUPLE: &str = "invalid_tuple";

#[test]
fn fields_of_a_check_keep_their_rules() {
    let store = Store::new();
    let right = json!({
        "tuple_key": tuple("user:erin", "viewer", "document:d1"),
        "contextual_tuples": { "tuple_keys": [tuple("user:a", "viewer", "document:d1")] },
        "context": {}, "consistency": "HIGHER_CONSISTENCY", "trace": false, "unknown": { "a": [1] },
    });
    let many: Vec<Value> = (0..101).map(|n| tuple(&format!("user:{n}"), "viewer", "document:d1")).collect();
    let small = |context: Value| {
        let mut tuple = tuple("user:a", "viewer", "document:d1");
        tuple["condition"] = json!({ "name": "small", "context": context });
        tuple
    };
    let wrong = [
        ("tuple_key", Value::Null, "tuple_key_value_not_specified"),
        ("tuple_key", json!({}), INVALID),
        ("tuple_key", json!(["user:erin", "viewer", "document:d1"]), INVALID),
        ("tuple_key.user", json!(""), INVALID),
        ("tuple_key.user", json!(5), INVALID),
        ("tuple_key.user", json!("user:a b"), INVALID),
        ("tuple_key.user", json!(format!("user:{}", long(508))), INVALID),
        ("tuple_key.relation", json!(long(51)), INVALID),
        ("tuple_key.relation", json!("a#b"), INVALID),
        ("tuple_key.object", json!("document"), INVALID),
        ("tuple_key.object", json!(format!("document:{}", long(248))), INVALID),
        ("authorization_model_id", json!("short"), INVALID),
        ("authorization_model_id", json!("01H0H015178Y2V4CX10C2KGHF4"), "authorization_model_not_found"),
        ("consistency", json!(9), INVALID),
        ("consistency", json!(true), INVALID),
        ("trace", json!("yes"), INVALID),
        ("context", json!([]), INVALID),
        ("contextual_tuples", json!([]), INVALID),
        ("contextual_tuples.tuple_keys", json!(many), INVALID),
        ("contextual_tuples.tuple_keys", json!([["user:a", "viewer", "document:d1"]]), INVALID),
        ("contextual_tuples.tuple_keys.0", Value::Null, INVALID),
        ("contextual_tuples.tuple_keys.0", json!({}), TUPLE),
        ("contextual_tuples.tuple_keys.0.user", json!("team:x"), TUPLE),
        ("contextual_tuples.tuple_keys.0.object", json!("document:a b"), INVALID),
        ("contextual_tuples.tuple_keys.0.relation", json!("can_view"), TUPLE),
        ("contextual_tuples.tuple_keys.0.condition", json!({ "name": "other" }), TUPLE),
        ("contextual_tuples.tuple_keys.0.condition", json!({ "name": "s" }), INVALID),
        ("contextual_tuples.tuple_keys.0", small(json!({ "y": 1 })), TUPLE),
        ("contextual_tuples.tuple_keys.0", small(json!({ "x": "\u{1}" })), TUPLE),
    ];
    are_refused(&store, "check", &right, &wrong);
    // Everything that is wrong with the key is told at once.
    let (_, told) = store.server.call("POST", &format!("{}/check", store.path), r#"{"tuple_key":{}}"#);
    let message = told["message"].as_str().unwrap();
    assert_eq!(message.matches("invalid CheckRequestTupleKey.").count(), 3, "{message}");
    assert!(message.contains(r#"Object: value does not match regex pattern "^[^\\s]{2,256}$""#), "{message}");
}

#[test]
fn a_batch_is_refused_whole_for_what_is_no_question() {
    let store = Store::new();
    let item = |id: &str| json!({ "tuple_key": tuple("user:erin", "viewer", "document:d1"), "correlation_id": id });
    let right = json!({ "checks": [item("a"), item("b")] });
    let many: Vec<Value> = (0..51).map(|n| item(&n.to_string())).collect();
    let wrong = [
        ("checks", json!(many), INVALID),
        ("checks", json!({}), INVALID),
        ("checks.0", Value::Null, INVALID),
        ("checks.0.tuple_key", Value::Null, "tuple_key_value_not_specified"),
        ("checks.0.tuple_key.user", json!("a b"), INVALID),
        ("checks.0.context", json!([]), INVALID),
        ("checks.0.correlation_id", json!("b"), INVALID),
        ("checks.0.correlation_id", json!(""), INVALID),
        ("checks.0.correlation_id", json!("a.b"), INVALID),
        ("checks.0.correlation_id", json!(long(37)), INVALID),
    ];
    are_refused(&store, "batch-check", &right, &wrong);
    // What is a question has an answer of its own.
    let answer = store.post("batch-check", with(right, "checks.0.tuple_key.user", json!("team:x")));
    assert_eq!(answer["result"]["a"]["error"]["input_error"], INVALID);
    assert_eq!(answer["result"]["b"]["allowed"], false);
}

#[test]
fn fields_of_lists_keep_their_rules() {
    let store = Store::new();
    let objects = json!({ "type": "document", "relation": "viewer", "user": "user:erin",
        "contextual_tuples": { "tuple_keys": [tuple("user:a", "viewer", "document:d1")] } });
    let wrong = [
        ("type", json!(""), "type_invalid_pattern"),
        ("type", json!("a b"), "type_invalid_pattern"),
        ("type", json!("folder"), "type_not_found"),
        ("relation", json!(""), INVALID),
        ("relation", json!("owner"), "relation_not_found"),
        ("user", json!(""), INVALID),
        ("user", json!("team:x"), INVALID),
        ("user", json!("erin"), INVALID),
        ("contextual_tuples.tuple_keys.0.user", json!("team:x"), TUPLE),
        ("contextual_tuples.tuple_keys.0.condition", json!({ "name": "other" }), INVALID),
    ];
    are_refused(&store, "list-objects", &objects, &wrong);
    are_refused(&store, "streamed-list-objects", &objects, &wrong);
    let users = json!({ "object": { "type": "document", "id": "d1" }, "relation": "viewer",
        "user_filters": [{ "type": "user" }] });
    let wrong = [
        ("object", Value::Null, INVALID),
        ("object", json!({}), "type_invalid_pattern"),
        ("object", json!("document:d1"), INVALID),
        ("object.type", json!("folder"), "type_not_found"),
        ("relation", json!("owner"), "relation_not_found"),
        ("user_filters", json!([]), INVALID),
        ("user_filters", json!([{ "type": "user" }, { "type": "user" }]), INVALID),
        ("user_filters.0", json!({}), "type_invalid_pattern"),
        ("user_filters.0.type", json!("team"), "type_not_found"),
        ("user_filters.0.relation", json!("a b"), INVALID),
        ("user_filters.0.relation", json!("member"), "relation_not_found"),
        ("contextual_tuples", json!({ "tuple_keys": [] }), INVALID),
    ];
    are_refused(&store, "list-users", &users, &wrong);
    let expand = json!({ "tuple_key": { "relation": "viewer", "object": "document:d1" } });
    let wrong = [
        ("tuple_key", Value::Null, "tuple_key_value_not_specified"),
        ("tuple_key", json!({}), "invalid_expand_input"),
        ("tuple_key.relation", json!(""), "invalid_expand_input"),
        ("tuple_key.relation", json!("owner"), INVALID),
        ("tuple_key.object", json!("folder:x"), INVALID),
    ];
    are_refused(&store, "expand", &expand, &wrong);
}

#[test]
fn fields_of_writes_and_reads_keep_their_rules() {
    let store = Store::new();
    let right = json!({ "writes": { "tuple_keys": [tuple("user:erin", "viewer", "document:d1")],
        "on_duplicate": "ignore" } });
    let wrong = [
        ("writes", json!({}), INVALID),
        ("writes", json!([]), INVALID),
        ("writes.tuple_keys", json!([]), INVALID),
        ("writes.on_duplicate", json!("never"), INVALID),
        ("deletes", json!({ "tuple_keys": [] }), INVALID),
        (
            "deletes",
            json!({ "tuple_keys": [tuple("user:x", "viewer", "document:d9")] }),
            "write_failed_due_to_invalid_input",
        ),
        // What cannot be there is not there.
        (
            "deletes",
            json!({ "tuple_keys": [tuple("user:x", "viewer", "document:*")] }),
            "write_failed_due_to_invalid_input",
        ),
        (
            "deletes",
            json!({ "tuple_keys": [tuple("erin", "viewer", "document:d1")] }),
            "write_failed_due_to_invalid_input",
        ),
        ("deletes", json!({ "tuple_keys": [tuple("user:", "viewer", "document:d1")] }), INVALID),
        ("writes.tuple_keys.0.condition", json!({ "name": "small", "context": { "x": long(33_000) } }), INVALID),
    ];
    are_refused(&store, "write", &right, &wrong);
    let right = json!({ "tuple_key": { "object": "document:d1" }, "page_size": 100 });
    let wrong = [
        ("tuple_key", json!({}), INVALID),
        ("tuple_key.object", json!(format!("document:{}", long(300))), INVALID),
        ("tuple_key.user", json!("erin"), INVALID),
        ("tuple_key.relation", json!("a b"), INVALID),
        ("page_size", json!(0), "page_size_invalid"),
        ("page_size", json!(101), "page_size_invalid"),
        ("page_size", json!(1.5), INVALID),
        ("page_size", json!("many"), INVALID),
        ("page_size", json!(99_999_999_999_u64), INVALID),
    ];
    are_refused(&store, "read", &right, &wrong);
    // Numbers of protobuf's JSON may be texts.
    for size in [json!("100"), json!(100.0), Value::Null] {
        store.post("read", with(right.clone(), "page_size", size));
    }
}

#[test]
fn another_method_than_the_paths_is_said_so() {
    let store = Store::new();
    for (method, path) in [("GET", format!("{}/check", store.path)), ("PUT", store.path.clone())] {
        assert_eq!(store.server.refused(404, method, &path, Value::Null), "unimplemented", "{method} {path}");
    }
    let path = format!("{}/nothing", store.path);
    assert_eq!(store.server.refused(404, "POST", &path, json!({})), "undefined_endpoint");
}
