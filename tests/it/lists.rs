//! `portcullis list`: what a chain may do something with, and who may do something with it.

use std::{path::Path, process::Output};

use serde_json::{Value, json};

use crate::support::{World, run};

fn company(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo").join(name).to_str().unwrap().to_owned()
}

#[track_caller]
fn lines(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap().lines().map(str::to_owned).collect()
}

/// What the company's configuration lists.
#[track_caller]
fn listed(what: &str, arguments: &[&str]) -> Vec<String> {
    lines(&run(&[&["list", what, "--config", &company("portcullis.yaml")], arguments].concat()))
}

#[test]
fn objects_are_those_that_every_member_of_the_chain_may() {
    let erin = ["--as", "user:erin", "can_read", "account"];
    assert_eq!(listed("objects", &erin), ["account:A-100", "account:A-101", "account:A-200", "account:A-201"]);
    let both = [&["--via", "agent:sales-assistant"], &erin[..]].concat();
    assert_eq!(listed("objects", &both), ["account:A-100", "account:A-101"]);
    let chain = [&["--via", "agent:coder", "--via", "agent:planner"], &erin[..]].concat();
    assert_eq!(listed("objects", &chain), ["account:A-100", "account:A-101"]);
    // The prior actor does not count.
    assert_eq!(listed("objects", &[&["--current-actor-only"], &chain[..]].concat()).len(), 4);
    let frank = ["--as", "user:frank", "--via", "agent:sales-assistant", "can_read", "account"];
    assert_eq!(listed("objects", &frank), [""; 0]);
}

#[test]
fn a_task_narrows_a_list_and_must_be_held() {
    let within = |task: &str, object_type: &str| {
        let fixed = ["list", "objects", "--config", &company("portcullis.yaml"), "--as", "user:vp"];
        run(&[&fixed[..], &["--via", "agent:ops-copilot", "--task", task, "can_read", object_type]].concat())
    };
    assert_eq!(lines(&within("task:t-hr", "employee")), ["employee:E-1"]);
    assert_eq!(lines(&within("task:t-sales", "employee")), [""; 0]);
    let past = within("task:t-past", "account");
    assert_eq!(past.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&past.stderr).contains("does not hold task:t-past"));
}

#[test]
fn lists_are_told_the_time() {
    let reports = |time: &[&str]| {
        let fixed = ["--as", "user:cfo", "--via", "agent:fin-analyst", "can_read", "report"];
        listed("objects", &[&fixed[..], time].concat())
    };
    let before = r#"{"current_time": "2026-07-31T23:59:59Z"}"#;
    let at = r#"{"current_time": "2026-08-01T00:00:00Z"}"#;
    assert_eq!(reports(&["--context", before]), ["report:2020-Q4", "report:2026-Q1"]);
    assert_eq!(reports(&["--context", at]), ["report:2020-Q4", "report:2026-Q1", "report:2026-Q2"]);
    // Without one it is now.
    assert!(reports(&[]).contains(&"report:2020-Q4".to_owned()));
    let agents = |time| listed("users", &["--type", "agent", "--context", time, "can_read", "report:2026-Q2"]);
    assert_eq!((agents(before), agents(at)), (vec![], vec!["agent:fin-analyst".to_owned()]));
}

#[test]
fn users_are_those_of_the_type_or_of_the_userset() {
    let who = |arguments: &[&str]| listed("users", &[arguments, &["can_read", "account:A-100"]].concat());
    assert_eq!(who(&["--type", "user"]), ["user:dana", "user:erin", "user:vp"]);
    assert_eq!(
        who(&["--type", "agent"]),
        ["agent:coder", "agent:ops-copilot", "agent:planner", "agent:sales-assistant"]
    );
    assert_eq!(who(&["--type", "group", "--relation", "member"]), ["group:emea-reps#member"]);
}

#[test]
fn lists_are_cut_where_they_are_told_to_and_say_so() {
    let question = ["--as", "user:erin", "can_read", "account"];
    let store = company("store.fga.yaml");
    let output = run(&[&["list", "objects", "--store", &store, "--limit", "2"], &question[..]].concat());
    assert_eq!(lines(&output), ["account:A-100", "account:A-101"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("2 of 4 objects are listed"));
    let output = run(&[&["list", "objects", "--store", &store, "--limit", "2", "--json"], &question[..]].concat());
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json, json!({ "objects": ["account:A-100", "account:A-101"], "complete": false }));
}

#[test]
fn what_cannot_be_answered_is_said() {
    let world = World::new();
    let fixed = ["list", "objects", "--model", "model.fga", "--tuples", "tuples.yaml", "--as", "user:erin"];
    for (question, problem) in [
        (["can_read", "dragon"], "the model has no type `dragon`"),
        (["can_fly", "document"], "type `document` has no relation `can_fly`"),
    ] {
        let output = world.run(&[&fixed[..], &question[..]].concat());
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(problem), "{said}");
    }
    assert_eq!(world.run(&["list", "users", "--model", "model.fga", "can_read", "document:d1"]).status.code(), Some(2));
    assert_eq!(world.run(&["list", "objects", "--as", "user:erin", "can_read", "document"]).status.code(), Some(2));
}

#[test]
fn a_store_file_is_a_source_of_every_question() {
    let store = company("store.fga.yaml");
    let ask = |command: &str, arguments: &[&str]| {
        let output = run(&[&[command, "--store", &store], arguments].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let question = ["--as", "user:erin", "--via", "agent:sales-assistant", "can_read"];
    assert_eq!(ask("check", &[&question[..], &["account:A-100"]].concat()).0, Some(0));
    let (code, text) = ask("explain", &[&question[..], &["account:A-200"]].concat());
    assert_eq!(code, Some(1));
    assert!(text.contains("agent:sales-assistant may not can_read"), "{text}");
    let task = ["--as", "user:vp", "--task", "task:t-hr", "--task-holder", "holder", "can_read", "employee:E-1"];
    assert_eq!(ask("check", &task).0, Some(0));
    assert_eq!(run(&["check", "--store", &store, "--model", "x", "--as", "user:a", "b", "c:d"]).status.code(), Some(2));
}
