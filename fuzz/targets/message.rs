//! Messages of JSON-RPC: what is read of one is what another reader of JSON reads, and what is changed in one is all that changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::protocol::{Edit, EditChange, Json, JsonLimits, RpcMessage, edited, parameter, parse_json};
use serde_json::{Map, Value};

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = parse_json(bytes, JsonLimits::default()) else { return };
    let other: Value = serde_json::from_slice(bytes).expect("stricter than others");
    if let Ok(message) = RpcMessage::parse(&document) {
        compare(&message, &document, &other);
    }
    let text = std::str::from_utf8(bytes).unwrap();
    change(text, &other);
});

/// Nobody reads another method, id or parameter.
fn compare(message: &RpcMessage, document: &Json, other: &Value) {
    assert_eq!(other["jsonrpc"], "2.0");
    assert_eq!(message.method(), other.get("method").and_then(Value::as_str));
    match message {
        RpcMessage::Request { id, .. } => {
            assert_eq!(serde_json::to_value(id).unwrap(), other["id"]);
            assert!(other["id"].is_string() || other["id"].is_i64(), "{other}");
        }
        RpcMessage::Notification { .. } => assert!(other.get("id").is_none()),
        RpcMessage::Response => {
            assert!(other.get("method").is_none() && (other.get("result").is_some() != other.get("error").is_some()));
        }
    }
    for name in ["name", "uri", "taskId"] {
        if let Ok(value) = parameter(document, name) {
            assert_eq!(Some(value), other["params"][name].as_str());
            // Nor by a name that is the same to a reader that is not as strict.
            let folded = other["params"].as_object().unwrap().keys().filter(|key| key.eq_ignore_ascii_case(name));
            assert_eq!(folded.count(), 1);
        }
    }
}

/// What is taken out is not there afterwards, what is put in is, and everything else is as it was.
fn change(text: &str, other: &Value) {
    let (tools, scope): ([Box<str>; 2], [Box<str>; 2]) =
        (["result".into(), "tools".into()], ["result".into(), "cacheScope".into()]);
    let flags = [true, false, false, true];
    let put = Edit { path: &scope, change: EditChange::Put("\"private\"") };
    let Ok(bytes) = edited(text, &[Edit { path: &tools, change: EditChange::Keep(&flags) }, put]) else {
        let tools = other.pointer("/result/tools");
        assert!(tools.is_some_and(|tools| !tools.is_array()), "only what is no array cannot be kept from");
        return;
    };
    let mut expected = other.clone();
    if let Some(result) = expected.get_mut("result").and_then(Value::as_object_mut) {
        change_members(result, &flags);
    }
    assert_eq!(serde_json::from_slice::<Value>(&bytes).expect("JSON"), expected);
}

fn change_members(result: &mut Map<String, Value>, flags: &[bool]) {
    result.insert("cacheScope".to_owned(), "private".into());
    if let Some(Value::Array(tools)) = result.get_mut("tools") {
        let mut flags = flags.iter();
        tools.retain(|_| flags.next() == Some(&true));
    }
}
