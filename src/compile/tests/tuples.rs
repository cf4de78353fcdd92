//! Conditions of tuples, and tuples as comma-separated values.

use super::worlds::{begin_with, shown};
use crate::{
    compile::{TupleFormat, tuples},
    policy::{Added, RelationshipTuple},
};

/// The tuples, each with the name and the context of its condition.
fn read(text: &str, format: TupleFormat) -> Result<Vec<String>, Vec<String>> {
    let mut found = Vec::new();
    let read = tuples(&"tuples".into(), &mut text.as_bytes(), format, None, &mut |tuple, condition| {
        let tuple = RelationshipTuple::parse(tuple.user, tuple.relation, tuple.object)?;
        let with = condition.map(|condition| format!(" with {} {}", condition.name, condition.context));
        found.push(format!("{tuple}{}", with.unwrap_or_default()));
        Ok(Added::Stored)
    });
    read.map(|_| found).map_err(|problems| shown(&problems))
}

fn refused(text: &str, format: TupleFormat) -> Vec<String> {
    read(text, format).err().unwrap_or_default()
}

fn json_text(condition: &str) -> String {
    format!(r#"[{{"user":"user:a","relation":"viewer","object":"doc:1","condition":{condition}}}]"#)
}

fn in_json(condition: &str) -> Vec<String> {
    refused(&json_text(condition), TupleFormat::Json)
}

#[test]
fn a_condition_is_read_in_every_format() {
    let yaml = "- user: user:a\n  relation: viewer\n  object: doc:1\n  condition:\n    name: in_office\n    context: {ip: 10.0.0.1, n: 1, list: [true, 1.5]}\n";
    let expected = |context: &str| Ok(vec![format!("user:a viewer doc:1 with in_office {context}")]);
    assert_eq!(read(yaml, TupleFormat::Yaml), expected(r#"{"ip":"10.0.0.1","list":[true,1.5],"n":1}"#));
    let json = json_text(r#"{"name":"in_office","context":{"a":[1]}}"#);
    assert_eq!(read(&json, TupleFormat::Json), expected(r#"{"a":[1]}"#));
    let line = json.strip_prefix('[').and_then(|json| json.strip_suffix(']')).unwrap();
    assert_eq!(read(line, TupleFormat::JsonLines), expected(r#"{"a":[1]}"#));
    assert_eq!(read(&json_text(r#"{"name":"in_office","context":null}"#), TupleFormat::Json), expected(""));
    let csv = "user_type,user_id,relation,object_type,object_id,condition_name,condition_context\nuser,a,viewer,doc,1,in_office,\"{\"\"ip\"\": 1}\"\n";
    assert_eq!(read(csv, TupleFormat::Csv), expected(r#"{"ip":1}"#));
    let plain = Ok(vec!["user:a viewer doc:1".to_owned()]);
    assert_eq!(read(&json_text("null"), TupleFormat::Json), plain);
    let context = "condition:\n    name: in_office\n    context: {ip: 10.0.0.1, n: 1, list: [true, 1.5]}";
    assert_eq!(read(&yaml.replace(context, "condition:"), TupleFormat::Yaml), plain);
}

#[test]
fn a_condition_has_rules() {
    let long = format!(r#"{{"name":"cc","context":{{"a":"{}"}}}}"#, "x".repeat(32 * 1024));
    for (condition, begin) in [
        (r#"{"name":"c"}"#, "tuples:1:76: `c` is not a condition that a tuple can have"),
        (r#"{"name":"a b"}"#, "tuples:1:76: `a b` is not a condition that a tuple can have"),
        (r#"{"context":{}}"#, "tuples:1:68: the condition's `name` is missing"),
        (r#"{"name":7}"#, "tuples:1:76: `name` is not a text"),
        (r#"{"name":"cc","contxt":{}}"#, "tuples:1:90: `contxt` is not a key that is known here"),
        (r#"{"name":"cc","context":[]}"#, "tuples:1:91: the condition's context is not an object"),
        (
            r#"{"name":"cc","context":{"a":{"b":1,"b":2}}}"#,
            "tuples:1:91: the condition's context is not one strict JSON document",
        ),
        (r#"{"name":"cc","context":{"a\u0001":1}}"#, "tuples:1:91: the condition's context holds a control character"),
        (
            r#"{"name":"cc","context":{"a":[{"b":"\n"}]}}"#,
            "tuples:1:91: the condition's context holds a control character",
        ),
        (&long, "tuples:1:91: the condition's context has 32776 bytes, at most 32768 are allowed"),
        ("7", "tuples:1:68: an object is expected"),
    ] {
        begin_with(&in_json(condition), &[begin]);
    }
    let yaml = "- {user: 'user:a', relation: viewer, object: 'doc:1', condition: {nam: cc, context: 7}}\n";
    begin_with(
        &refused(yaml, TupleFormat::Yaml),
        &["tuples:1:67: `nam` is not a key that is known here\n  help: did you mean `name`?"],
    );
}

#[test]
fn csv_columns_come_in_any_order() {
    let csv = "relation,object_id,object_type,user_relation,user_id,user_type\r\n\r\nviewer,\"1,2\",doc,,a,user\r\nviewer,2,doc,member,eng,group\nviewer,3,doc,,*,user";
    let found = read(csv, TupleFormat::Csv).unwrap();
    assert_eq!(found, ["user:a viewer doc:1,2", "group:eng#member viewer doc:2", "user:* viewer doc:3"]);
    assert_eq!(TupleFormat::of_file_name("a.csv"), Some(TupleFormat::Csv));
}

#[test]
fn malformed_csv_is_reported_with_its_places() {
    let header = "user_type,user_id,relation,object_type,object_id\n";
    for (text, begins) in [
        (String::new(), &["tuples:1:1: the header is missing"][..]),
        (
            "user_type,user_ide,relation,object_type,object_id\n".to_owned(),
            &[
                "tuples:1:1: the column `user_id` is missing",
                "tuples:1:11: `user_ide` is not a column that is known here\n  help: did you mean `user_id`?",
            ],
        ),
        (
            "user_type,user_id,relation,relation,object_type,object_id\n".to_owned(),
            &["tuples:1:28: the column `relation` is there twice"],
        ),
        (format!("{header}user,a,viewer,doc\n"), &["tuples:2:1: this line has 4 values, the header has 5"]),
        (
            format!("{header}user,a,viewer,doc,1\nuser,b c,view er,doc,*\n"),
            &[
                "tuples:3:1: the user is malformed",
                "tuples:3:10: `view er` is not",
                "tuples:3:18: `doc:*` has no valid id",
            ],
        ),
        (
            format!("{header}user,a\"b,viewer,doc,1\nuser,a,viewer,doc,1\nuser,a,viewer,doc,1\n"),
            &[
                "tuples:2:6: a quotation mark stands within a value",
                "tuples:4:1: `user:a viewer doc:1` is already on line 3, column 1",
            ],
        ),
        (format!("{header}user,\"a\"b,viewer,doc,1\n"), &["tuples:2:6: something follows a quoted value"]),
        (format!("{header}user,\"a\nb"), &["tuples:2:6: a quoted value has no end"]),
        (
            format!("{header}user,\"a\nb\",viewer,doc,1\nuser,é,viewer,doc,\n"),
            &["tuples:2:1: the user is malformed", "tuples:4:15: `doc:` has no valid id"],
        ),
        (
            "user_type,user_id,relation,object_type,object_id,condition_context\nuser,a,viewer,doc,1,{}\n".to_owned(),
            &["tuples:2:21: the condition's `name` is missing"],
        ),
    ] {
        begin_with(&refused(&text, TupleFormat::Csv), begins);
    }
}
