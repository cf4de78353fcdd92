//! Store files.

use std::collections::HashMap;

use super::worlds::{begin_with, shown};
use crate::{
    access::Place,
    compile::{StoreFile, store_file},
};

const MODEL: &str = "model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define viewer: [user]\n";
const TUPLES: &str = "- {user: 'user:a', relation: viewer, object: 'doc:1'}\n";

fn read(text: &str, others: &[(&str, &str)]) -> Result<StoreFile, Vec<String>> {
    let others: HashMap<_, _> = others.iter().copied().collect();
    let mut beside = |name: &str| others.get(name).map(|text| (*text).to_owned()).ok_or("no such file".to_owned());
    store_file(&"a/store.fga.yaml".into(), text, &mut beside).map_err(|problems| shown(&problems))
}

fn problems(text: &str) -> Vec<String> {
    read(text, &[("model.fga", MODEL), ("tuples.yaml", TUPLES)]).err().unwrap_or_default()
}

fn in_test(test: &str) -> Vec<String> {
    problems(&format!("model_file: model.fga\ntests:\n- {test}\n"))
}

#[test]
fn a_store_has_a_model_tuples_and_tests() {
    let text = "name: Shop
model: |
  model
    schema 1.1
  type user
  type doc
    relations
      define viewer: [user]
tuples:
  - user: user:a
    relation: viewer
    object: doc:1
tuple_file: ./more.csv
tuple_files: [sub/tuples.json]
tests:
  - name: first
    description: of all
    tuples:
      - { user: 'user:b', relation: viewer, object: 'doc:1' }
    tuple_file: even.yaml
    check:
      - user: user:a
        objects: [doc:1, doc:2]
        context: { n: 1, at: 2026-01-01T00:00:00Z }
        assertions: { viewer: true }
      - users: ['user:*', 'group:a#member']
        object: doc:1
        assertions:
          viewer: false
    list_objects:
      - user: user:a
        type: doc
        assertions: { viewer: [doc:1] }
    list_users:
      - object: doc:1
        user_filter: [{ type: user }, { type: group, relation: member }]
        assertions: { viewer: { users: ['user:a'] } }
  - name: second
";
    let csv = "user_type,user_id,relation,object_type,object_id\nuser,c,viewer,doc,1\n";
    let json = r#"[{"user":"user:d","relation":"viewer","object":"doc:1"}]"#;
    let store = read(text, &[("more.csv", csv), ("sub/tuples.json", json), ("even.yaml", TUPLES)]).unwrap();
    assert_eq!(store.name.as_deref(), Some("Shop"));
    assert_eq!(store.model.types().count(), 2);
    assert_eq!(store.tuples.len(), 3);
    let test = &store.tests[0];
    assert_eq!((test.place, test.tuples.len()), (Place { line: 16, column: 5 }, 2));
    assert_eq!((test.name.as_deref(), test.description.as_deref()), (Some("first"), Some("of all")));
    assert_eq!((test.checks[0].users.len(), test.checks[0].objects.len()), (1, 2));
    assert_eq!(test.checks[0].context, r#"{"at":"2026-01-01T00:00:00Z","n":1}"#.parse().unwrap());
    assert!(test.checks[0].assertions[0].expected && !test.checks[1].assertions[0].expected);
    assert_eq!(test.list_objects[0].assertions[0].expected[0].value.as_str(), "doc:1");
    assert_eq!(test.list_users[0].filters[1].relation.as_ref().unwrap().value.as_str(), "member");
    assert_eq!(test.list_users[0].assertions[0].expected[0].value.to_string(), "user:a");
    assert!(store.tests[1].checks.is_empty());
}

#[test]
fn an_inline_model_has_the_places_of_the_store() {
    let text = "name: x\nmodel: | # the model\n\n    model\n      schema 1.1\n    type user\n    type doc\n      relations\n        define viewer: [usr]\n";
    begin_with(&problems(text), &["a/store.fga.yaml:9:25: `usr` is not a type of this model"]);
    let quoted = "name: x\nmodel: \"model\\n  schema 1.1\\ntype doc\\n  relations\\n    define viewer: [usr]\\n\"\n";
    begin_with(&problems(quoted), &["a/store.fga.yaml:2:8: `usr` is not a type of this model"]);
}

#[test]
fn a_model_may_be_a_file_of_any_kind() {
    let modules =
        [("m/fga.mod", "schema: \"1.2\"\ncontents: [core.fga]\n"), ("m/core.fga", "module core\ntype user\n")];
    assert_eq!(read("model_file: m/fga.mod\n", &modules).unwrap().model.types().count(), 1);
    let found = read("model_file: m.json\n", &[("m.json", "{\n 7}")]).unwrap_err();
    begin_with(&found, &["a/m.json:2:2: this is not JSON"]);
    // What is written within wins.
    assert!(read(&format!("model_file: gone.fga\nmodel: {MODEL:?}\n"), &[]).is_ok());
}

#[test]
fn files_outside_the_folder_are_not_read() {
    for name in ["../model.fga", "/model.fga", "a/../../model.fga", "..\\model.fga", "''"] {
        let found = problems(&format!("model_file: {name}\n"));
        assert!(found[0].contains("leads out of the store's folder"), "{found:?}");
    }
    let found = problems("model_file: model.fga\ntuple_files: [gone.yaml, tuples.txt, tuples.yaml]\n");
    begin_with(
        &found,
        &["a/store.fga.yaml:2:15: `gone.yaml` cannot be read", "a/store.fga.yaml:2:26: `tuples.txt` cannot be read"],
    );
}

#[test]
fn every_fault_has_its_place() {
    begin_with(&problems("tests: []\n"), &["a/store.fga.yaml:1:1: the model is missing"]);
    begin_with(
        &problems("model_file: model.fga\ntuple: []\n"),
        &["a/store.fga.yaml:2:1: `tuple` is not a key that is known here\n  help: did you mean `tuples`?"],
    );
    begin_with(
        &problems("model_file: model.fga\ntuples: 7\n"),
        &["a/store.fga.yaml:2:9: a list of tuples is expected"],
    );
    begin_with(
        &problems("model_file: model.fga\ntuples: [{user: x, relatin: y}]\n"),
        &["a/store.fga.yaml:2:20: `relatin` is not a key"],
    );
    begin_with(
        &problems("model_file: model.fga\ntuples: [{user: 'user:a', relation: viewer}]\n"),
        &["a/store.fga.yaml:2:10: `object` is missing"],
    );
    begin_with(&problems("model_file: 7\n"), &["a/store.fga.yaml:1:13: a file's name is expected, as text"]);
    begin_with(
        &problems("- x\n"),
        &["a/store.fga.yaml:1:1: a store file has `name`", "a/store.fga.yaml:1:1: the model is missing"],
    );
    begin_with(&problems("a: [\n"), &["a/store.fga.yaml:"]);
    for (test, begin) in [
        ("tuple_files: [x]", "3:3: `tuple_files` is not a key that is known here\n  help: did you mean `tuple_file`?"),
        (
            "check: [{user: 'user:a', users: ['user:b'], object: 'doc:1', assertions: {viewer: true}}]",
            "3:35: `user` and `users` stand side by side",
        ),
        ("check: [{object: 'doc:1', assertions: {viewer: true}}]", "3:11: `user` or `users` is missing"),
        ("check: [{users: [], object: 'doc:1', assertions: {viewer: true}}]", "3:19: `users` is empty"),
        ("check: [{user: 'user:a', object: 'doc:*', assertions: {viewer: true}}]", "3:36: `doc:*` has no valid id"),
        ("check: [{user: 'user:a', object: 'doc:1'}]", "3:11: `assertions` is missing"),
        (
            "check: [{user: 'user:a', object: 'doc:1', assertions: {viewer: yes}}]",
            "3:66: `true` or `false` is expected",
        ),
        (
            "check: [{user: 'user:a', object: 'doc:1', assertions: {'a b': true}}]",
            "3:58: `a b` is not a relation's name",
        ),
        (
            "check: [{user: 'user:a', object: 'doc:1', assertions: [viewer]}]",
            "3:57: a map from relations to answers is expected",
        ),
        (
            "check: [{user: 'user:a', object: 'doc:1', context: 7, assertions: {}}]",
            "3:54: a map from names to values is expected",
        ),
        ("list_objects: [{user: 'user:a', assertions: {}}]", "3:18: `type` is missing"),
        (
            "list_objects: [{user: 'user:a', type: doc, assertions: {viewer: true}}]",
            "3:67: a list of objects is expected",
        ),
        ("list_users: [{object: 'doc:1', assertions: {}}]", "3:16: `user_filter` is missing"),
        ("list_users: [{object: 'doc:1', user_filter: [{relation: a}], assertions: {}}]", "3:48: `type` is missing"),
        (
            "list_users: [{object: 'doc:1', user_filter: [{type: user}], assertions: {viewer: [x]}}]",
            "3:84: an answer has `users`",
        ),
    ] {
        begin_with(&in_test(test), &[&format!("a/store.fga.yaml:{begin}")]);
    }
}
