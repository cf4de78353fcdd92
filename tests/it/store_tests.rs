//! `portcullis test`: store files with the answers that they should give.

use std::{fs, path::Path, process::Output};

use serde_json::Value;

use crate::support::run;

const STORE: &str = r#"name: documents
model: |
  model
    schema 1.1
  type user
  type group
    relations
      define member: [user]
  type doc
    relations
      define blocked: [user]
      define reader: [user, user:*, group#member, user with late]
      define can_read: reader but not blocked
  condition late(current_time: timestamp, from: timestamp) {
    current_time >= from
  }
tuples:
  - { user: "group:a#member", relation: reader, object: "doc:1" }
  - { user: "user:x", relation: member, object: "group:a" }
  - { user: "user:x", relation: blocked, object: "doc:1" }
  - { user: "user:y", relation: reader, object: "doc:1", condition: { name: late, context: { from: "2026-01-01T00:00:00Z" } } }
tests:
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A store file with these tests.
    fn store(&self, name: &str, tests: &str) -> String {
        self.write(name, &format!("{STORE}{tests}"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}

fn said(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// What the tests of one file come to.
fn tested(tests: &str) -> (Option<i32>, String) {
    let folder = Folder::new();
    let file = folder.store("s.fga.yaml", tests);
    let (code, text) = said(&run(&["test", &file]));
    (code, text.replace(&file, "s.fga.yaml"))
}

#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
}

#[test]
fn right_answers_pass() {
    let (code, text) = tested(
        r#"  - name: everything
    tuples:
      - { user: "user:*", relation: reader, object: "doc:2" }
    check:
      - { user: "user:x", object: "doc:1", assertions: { reader: true, can_read: false } }
      - users: ["user:x", "user:z"]
        objects: ["doc:2", "doc:2"]
        assertions: { reader: true, can_read: true }
      - { user: "user:y", object: "doc:1", context: { current_time: "2026-01-01T00:00:00Z" }, assertions: { reader: true } }
      - { user: "user:y", object: "doc:1", context: { current_time: "2025-12-31T23:59:59Z" }, assertions: { reader: false } }
    list_objects:
      - { user: "user:x", type: doc, assertions: { reader: ["doc:2", "doc:1"], can_read: ["doc:2"] } }
    list_users:
      - object: "doc:1"
        user_filter: [{ type: user }]
        context: { current_time: "2027-01-01T00:00:00Z" }
        assertions: { reader: { users: ["user:x", "user:y"] }, blocked: { users: ["user:x"] } }
      - object: "doc:1"
        user_filter: [{ type: group, relation: member }]
        context: { current_time: "2027-01-01T00:00:00Z" }
        assertions: { reader: { users: ["group:a#member"] } }
  - name: the tuples of another test are not here
    check:
      - { user: "user:z", object: "doc:2", assertions: { reader: false } }
"#,
    );
    assert_eq!(code, Some(0), "{text}");
    holds(&text, &["ok  s.fga.yaml: 2 tests, 18 questions\n", "2 passed, 0 failed (18 questions)\n"]);
}

#[test]
fn a_wrong_answer_is_told_with_its_place_and_its_reason() {
    let (code, text) = tested(
        r#"  - name: one
    check:
      - { user: "user:x", object: "doc:1", assertions: { reader: true, can_read: true } }
"#,
    );
    assert_eq!(code, Some(1));
    holds(
        &text,
        &[
            "s.fga.yaml:24:72: one: check `user:x can_read doc:1`\n  expected    true\n  got         false\n",
            "    doc:1 can_read user:x: no\n    └ the first but not the second: no (taken away by the second)\n",
            "tuple `user:x blocked doc:1`: yes",
            "FAILED  s.fga.yaml: 1 test, 2 questions\n0 passed, 1 failed (2 questions)\n",
        ],
    );
}

#[test]
fn a_wrong_list_is_told_by_what_is_missing_and_what_is_unexpected() {
    let (code, text) = tested(
        r#"  - name: lists
    list_objects:
      - { user: "user:x", type: doc, assertions: { reader: ["doc:2"] } }
    list_users:
      - object: "doc:1"
        user_filter: [{ type: user }]
        context: { current_time: "2027-01-01T00:00:00Z" }
        assertions: { reader: { users: ["user:x"] } }
"#,
    );
    assert_eq!(code, Some(1));
    holds(
        &text,
        &[
            "lists: list_objects `user:x reader doc`\n  expected    [doc:2]\n  got         [doc:1]\n  missing     doc:2\n  \
             unexpected  doc:1\n",
            "lists: list_users `user reader doc:1`\n  expected    [user:x]\n  got         [user:x, user:y]\n  \
             unexpected  user:y\n",
        ],
    );
}

#[test]
fn an_error_of_the_engine_fails_whatever_is_expected() {
    for expected in ["true", "false"] {
        let (code, text) = tested(&format!(
            "  - name: errors\n    check:\n      - {{ user: 'user:y', object: 'doc:1', assertions: {{ reader: {expected} }} }}\n      \
             - {{ user: 'user:y', object: 'doc:1', assertions: {{ writer: {expected} }} }}\n"
        ));
        assert_eq!(code, Some(1));
        // The time is the test's, never the clock's.
        holds(
            &text,
            &[
                "got         an error: condition `late` is missing `current_time`",
                "got         an error: type `doc` has no relation `writer`",
            ],
        );
    }
}

#[test]
fn a_tuple_of_the_store_and_of_the_test_is_an_error() {
    let (code, text) = tested(
        r#"  - name: twice
    tuples:
      - { user: "user:x", relation: blocked, object: "doc:1" }
    check:
      - { user: "user:x", object: "doc:1", assertions: { blocked: true } }
"#,
    );
    assert_eq!(code, Some(1));
    holds(&text, &["s.fga.yaml:22:5: twice: the tuple `user:x blocked doc:1` is written twice\n"]);
}

#[test]
fn what_is_wrong_in_a_file_is_told_and_the_other_files_are_run() {
    let folder = Folder::new();
    let bad = folder
        .store("bad.fga.yaml", "  - tuples: [{ user: 'doc:1', relation: reader, object: 'doc:1' }]\n    chek: []\n");
    let good = folder
        .store("good.fga.yaml", "  - check: [{ user: 'user:x', object: 'doc:1', assertions: { reader: true } }]\n");
    let (code, text) = said(&run(&["test", &bad, &good, &folder.path("gone.fga.yaml")]));
    assert_eq!(code, Some(1));
    let bad_tuple = format!("{bad}:22:14: `doc:1` may not be given `reader` on type `doc`");
    let bad_key = format!("{bad}:23:5: `chek` is not a key that is known here");
    holds(&text, &[&bad_tuple, &bad_key, "did you mean `check`?", "gone.fga.yaml: cannot be read"]);
    holds(&text, &[&format!("ok  {good}"), "1 passed, 0 failed (1 question), 2 files are not valid"]);
}

#[test]
fn a_directory_stands_for_the_store_files_below_it() {
    let folder = Folder::new();
    let check = "  - check: [{ user: 'user:x', object: 'doc:1', assertions: { reader: true } }]\n";
    folder.store("b.fga.yaml", check);
    folder.store("deep/er/a.fga.yaml", check);
    folder.write("deep/model.yaml", "not a store");
    let (code, text) = said(&run(&["test", &folder.path("")]));
    assert_eq!(code, Some(0), "{text}");
    holds(&text, &["b.fga.yaml: 1 test", "deep/er/a.fga.yaml: 1 test", "2 passed"]);
    fs::create_dir(folder.path("empty")).unwrap();
    let (code, text) = said(&run(&["test", &folder.path("empty")]));
    assert_eq!(code, Some(1));
    holds(&text, &["there is no `*.fga.yaml` in"]);
    assert_eq!(run(&["test"]).status.code(), Some(2));
}

#[test]
fn programs_read_json_and_ci_reads_junit() {
    let folder = Folder::new();
    let tests = r#"  - name: "<wrong> & \"quoted\""
    check: [{ user: "user:x", object: "doc:1", assertions: { can_read: true } }]
    list_objects: [{ user: "user:x", type: doc, assertions: { blocked: ["doc:1"] } }]
  - name: right
"#;
    let file = folder.store("s.fga.yaml", tests);
    let bad = folder.write("bad.fga.yaml", "tests: []\n");
    let report = folder.path("report.xml");
    let output = run(&["test", &file, &bad, "--json", "--junit", &report]);
    assert_eq!(output.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["passed"], &json["failed"], &json["invalid_files"]), (&1.into(), &1.into(), &1.into()));
    let test = &json["files"][0]["tests"][0];
    assert_eq!((&test["passed"], &test["questions"][0]["got"]), (&false.into(), &false.into()));
    assert_eq!(test["questions"][0]["because"]["answer"], "no");
    assert_eq!(test["questions"][1]["got"], serde_json::json!(["doc:1"]));
    assert_eq!(json["files"][1]["problems"][0]["message"], "the model is missing");
    let xml = fs::read_to_string(report).unwrap();
    holds(
        &xml,
        &[
            "<testsuites name=\"portcullis\" tests=\"3\" failures=\"1\" errors=\"1\">",
            "name=\"&lt;wrong&gt; &amp; &quot;quoted&quot;\"",
            "<failure message=\"",
            "name=\"right\"",
            "<error message=\"the file is not valid\">",
        ],
    );
    assert_eq!(xml.matches("<testcase").count(), 3);
    assert!(!xml.contains("<wrong>"));
}

#[test]
fn the_company_s_graph_decides_as_it_should() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo/store.fga.yaml");
    let (code, text) = said(&run(&["test", file.to_str().unwrap()]));
    assert_eq!(code, Some(0), "{text}");
}
