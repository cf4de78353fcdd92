//! Credentials over the wire: who is taken for whom, what a refusal says, and what it does not.

use crate::support::{World, answer_of};

const HOST: &str = "host: api.acme.example\r\nconnection: close\r\n";

#[test]
fn a_new_key_brings_its_whole_entry() {
    let mut world = World::new();
    let made = |arguments: &[&str]| {
        let output = world.run(&[&["key", "new", "--subject", "user:erin"], arguments].concat());
        assert!(output.status.success(), "{output:?}");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout).trim().to_owned(), text(output.stderr))
    };
    let owner = "Finance \"close\": ops@acme.example";
    let (key, entry) = made(&["--via", "agent:reader", "--task", "task:t1", "--owner", owner, "--valid-for", "90d"]);
    let (short, short_entry) = made(&["--valid-for", "1s"]);
    assert!(!entry.contains(&key[13..44]), "the secret is not in the entry");
    world.identity_more = format!("api_keys:\n    keys:\n{entry}{short_entry}");
    let portcullis = world.start();
    let get = |key: &str, path: &str| {
        answer_of(portcullis.data, format!("GET {path} HTTP/1.1\r\n{HOST}x-api-key: {key}\r\n\r\n")).unwrap()
    };

    let answer = get(&key, "/documents/d1");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let principal = &world.record_of(&answer)["principal"];
    assert_eq!(principal["subject"], "user:erin");
    assert_eq!(principal["actors"], serde_json::json!(["agent:reader"]));
    assert_eq!((&principal["task"], &principal["owner"]), (&"task:t1".into(), &owner.into()));
    assert_eq!(get(&key, "/documents/d2").status, 403, "the agent may not");

    crate::support::eventually("the key ends", || (get(&short, "/documents/d1").status == 401).then_some(()));
    let over = get(&short, "/documents/d1");
    assert_eq!(over.reason(), "invalid_credential");
    assert!(!over.body.contains("expired") && over.header("portcullis-subject").is_none(), "{}", over.body);
    let detail = world.record_of(&over)["detail"].clone();
    assert_eq!(detail, "the API key has expired", "the log says why, the answer does not");
}

#[test]
fn a_key_that_is_over_before_it_begins_is_not_made() {
    let world = World::new();
    for (valid_for, says) in [("0s", "less than a second"), ("9000y", "before the year 10000"), ("soon", "--valid-for")] {
        let output = world.run(&["key", "new", "--subject", "user:erin", "--valid-for", valid_for]);
        assert!(!output.status.success() && output.stdout.is_empty(), "{valid_for}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(says), "{valid_for}: {said}");
    }
}
