//! What people are told about the tuples that they wrote.

use std::sync::Arc;

use portcullis::{
    compile::{self, TupleFormat},
    policy::{Added, GraphBuilder, RelationshipTuple, TupleCondition, TupleText},
};

use super::model_diagnostics::one;

const MODEL: &str = "model
  schema 1.1
type user
type group
  relations
    define member: [user, group#member]
type document
  relations
    define viewer: [user, user:*, group#member]
    define reader: viewer
";

fn read(text: &str, format: TupleFormat) -> Result<Vec<String>, Vec<String>> {
    let mut found = Vec::new();
    let mut take = |tuple: TupleText<'_>, _: Option<TupleCondition>| {
        found.push(RelationshipTuple::parse(tuple.user, tuple.relation, tuple.object)?.to_string());
        Ok(Added::Stored)
    };
    match compile::tuples(&Arc::from("tuples"), &mut text.as_bytes(), format, None, &mut take) {
        Ok(read) => {
            assert_eq!((read.tuples, read.is_blank), (found.len(), text.trim().is_empty()));
            Ok(found)
        }
        Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
    }
}

fn refused(text: &str, format: TupleFormat) -> Vec<String> {
    read(text, format).err().unwrap_or_default()
}

#[test]
fn tuples_have_the_same_meaning_in_every_format() {
    let yaml = "- user: user:erin\n  relation: viewer\n  object: document:1\n- {user: 'user:*', relation: viewer, object: document:2}\n";
    let indented: String = yaml.lines().map(|line| format!("  {line}\n")).collect();
    let under = format!("tuples:\n{indented}");
    let first = r#"{"user":"user:erin","relation":"viewer","object":"document:1"}"#;
    let second = r#"{"object":"document:2","relation":"viewer","user":"user:*"}"#;
    let keyed = format!(r#"[{{"key":{first},"timestamp":"2026-01-01T00:00:00Z"}},{{"key":{second}}}]"#);
    for (text, format) in [
        (yaml.to_owned(), TupleFormat::Yaml),
        (under, TupleFormat::Yaml),
        (format!("[{first},\n{second}]"), TupleFormat::Json),
        (format!(r#"{{"tuples":[{first},{second}]}}"#), TupleFormat::Json),
        (keyed, TupleFormat::Json),
        (format!("{first}\n\n{second}\n"), TupleFormat::JsonLines),
    ] {
        let tuples = read(&text, format).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"));
        assert_eq!(tuples, ["user:erin viewer document:1", "user:* viewer document:2"], "{text}");
    }
    assert!(read("", TupleFormat::Yaml).unwrap().is_empty());
    assert!(read("[]", TupleFormat::Json).unwrap().is_empty());
}

#[test]
fn malformed_tuples_are_reported_with_their_places() {
    let yaml = "- user: erin
  relation: viewer
  object: document:1
- user: user:erin
  relation: viewer
- user: user:erin
  relation: view er
  object: document:*
  note: hello
- user: user:anne
  relation: viewer
  object: document:1
  condition:
    name: in_office
- user: user:anne
  relation: view er
  object: document:*
";
    let found = refused(yaml, TupleFormat::Yaml);
    let begins = [
        "tuples:1:9: the user is malformed: `erin` is not an object",
        "tuples:4:3: `object` is missing",
        "tuples:9:3: `note` is not a key that is known here",
        "tuples:16:13: `view er` is not a relation's name",
        "tuples:17:11: `document:*` has no valid id",
    ];
    assert_eq!(found.len(), begins.len(), "{found:#?}");
    for (problem, begin) in found.iter().zip(begins) {
        assert!(problem.starts_with(begin), "{problem} begins with {begin}");
    }
}

#[test]
fn json_problems_have_places_too() {
    let lines = r#"{"user":"user:erin","relation":"viewer","object":"document:1"}
{"user":"user:erin","user":"user:anne","relation":"viewer","object":"document:1"}
{"user":"user:anne","relation":"viewer","object":"document:1","condition":{"name":"in_office"}}
{"user":"user:anne","relation":"viewer","object":"document:1","condition":null}
{"user":7,"relation":"viewer","object":"document:1"}
{"user":"user:anne",
"#;
    let found = refused(lines, TupleFormat::JsonLines);
    let begins = [
        "tuples:2:28: `user` is there twice",
        "tuples:4:1: `user:anne viewer document:1` is already on line 3, column 1",
        "tuples:5:9: `user` is not a text",
        "tuples:6:20: this is not JSON: EOF while parsing",
    ];
    assert_eq!(found.len(), begins.len(), "{found:#?}");
    for (problem, begin) in found.iter().zip(begins) {
        assert!(problem.starts_with(begin), "{problem} begins with {begin}");
    }
    let found = refused(
        "{\n  \"tuples\": [\n    {\"user\": \"x\", \"relation\": \"é\",\n \"object\": 1, \"b\": 2}\n  ], \"c\": 3}",
        TupleFormat::Json,
    );
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("tuples:4:12: `object` is not a text"), "{found:#?}");
    assert!(found[1].starts_with("tuples:4:20: `b` is not a key that is known here"), "{found:#?}");
    assert!(found[2].starts_with("tuples:5:11: `c` is not a key that is known here"), "{found:#?}");
}

#[test]
fn a_repeated_tuple_is_an_error_that_names_the_first() {
    let line = r#"{"user":"user:erin","relation":"viewer","object":"document:1"}"#;
    let found = refused(&format!("{line}\n\n{line}\n"), TupleFormat::JsonLines);
    let expected =
        "tuples:3:1: `user:erin viewer document:1` is already on line 1, column 1\n  help: remove one of them";
    one(&found, expected);
}

#[test]
fn yaml_that_is_no_list_of_tuples_is_refused() {
    for text in [
        "tuples: 7",
        "hello",
        "relations: []",
        "- 7",
        "- user: user:a\n  user: user:b\n  relation: viewer\n  object: document:1\n",
        "- &a {user: user:a, relation: viewer, object: document:1}\n- *a\n",
        "- {user: user:a, relation: [viewer], object: document:1}",
        "tuples: []\nmore: []\n",
        "- [",
    ] {
        assert_eq!(refused(text, TupleFormat::Yaml).len(), 1, "{text}");
    }
}

#[test]
fn what_the_model_does_not_allow_is_an_error_in_a_file() {
    let tuples = [
        ("user:erin", "viewer", "document:1"),
        ("user:erin", "viewer", "documnt:1"),
        ("user:erin", "viewr", "document:1"),
        ("usr:erin", "viewer", "document:1"),
        ("group:1#membr", "viewer", "document:1"),
        ("group:1", "viewer", "document:1"),
        ("user:erin", "reader", "document:1"),
        ("group:1#member", "member", "group:1"),
    ];
    let lines: String = tuples
        .iter()
        .map(|(user, relation, object)| {
            format!("{{\"user\":\"{user}\",\"relation\":\"{relation}\",\"object\":\"{object}\"}}\n")
        })
        .collect();
    let model = Arc::new(compile::model(&Arc::from("model.fga"), MODEL).unwrap());
    let mut builder = GraphBuilder::new(Arc::clone(&model));
    let mut take =
        |tuple: TupleText<'_>, _: Option<TupleCondition>| builder.add(tuple.user, tuple.relation, tuple.object);
    let file = Arc::from("tuples");
    let read = compile::tuples(&file, &mut lines.as_bytes(), TupleFormat::JsonLines, Some(&model), &mut take);
    let found: Vec<_> = read.unwrap_err().iter().map(ToString::to_string).collect();
    let expected = [
        "tuples:2:1: `documnt` is not a type of the model\n  help: did you mean `document`?",
        "tuples:3:1: `viewr` is not a relation of type `document`\n  help: did you mean `viewer`?",
        "tuples:4:1: `usr` is not a type of the model\n  help: did you mean `user`?",
        "tuples:5:1: `membr` is not a relation of type `group`\n  help: did you mean `member`?",
        "tuples:6:1: `group:1` may not be given `viewer` on type `document`\n  help: `viewer` may be given to user, \
         user:*, group#member",
        "tuples:7:1: `user:erin` may not be given `reader` on type `document`\n  help: `reader` is computed from other \
         relations, write a tuple for one of those",
        "tuples:8:1: `group:1#member` has `member` on `group:1` anyway\n  help: remove it",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_hundred_problems_are_enough() {
    let lines = "{}\n".repeat(1000);
    let found = refused(&lines, TupleFormat::JsonLines);
    assert_eq!(found.len(), 101);
    assert_eq!(found[100], "tuples: and 2900 more problems");
}

#[test]
fn a_plain_list_is_read_as_any_other() {
    let plain = "tuples:\n  - user: user:1\n    relation: viewer\n    object: document:a\n\n  - object: document:b\n    user: user:*\n    relation: viewer\n";
    let quoted = plain.replace("user:1", "'user:1'");
    let expected = ["user:1 viewer document:a", "user:* viewer document:b"];
    assert_eq!(read(plain, TupleFormat::Yaml).unwrap(), expected);
    assert_eq!(read(&quoted, TupleFormat::Yaml).unwrap(), expected);
    for (from, to) in [("user:1", "erin"), ("document:b", "document:"), ("viewer", "true"), ("    object", "   object")]
    {
        let (wrong, otherwise) = (plain.replacen(from, to, 1), quoted.replacen(from, to, 1));
        let (found, other) =
            (refused(&wrong, TupleFormat::Yaml), refused(&otherwise.replace("'user:1'", "user:1"), TupleFormat::Yaml));
        assert_eq!(found, other, "{wrong}");
    }
    let twice = format!("{plain}{}", &plain[8..]);
    one(
        &refused(&twice, TupleFormat::Yaml)[..1],
        "tuples:9:5: `user:1 viewer document:a` is already on line 2, column 5\n  help: remove one of them",
    );
}

#[test]
fn a_repetition_in_a_long_document_is_found_when_the_graph_has_counted_it() {
    let line = |n: u32| format!("{{\"user\":\"user:{n}\",\"relation\":\"viewer\",\"object\":\"document:1\"}}\n");
    let mut lines: String = (0..100_100).map(line).collect();
    lines += &line(7);
    let file = Arc::from("tuples");
    let model = Arc::new(compile::model(&Arc::from("model.fga"), MODEL).unwrap());
    let mut builder = GraphBuilder::new(Arc::clone(&model));
    let mut take =
        |tuple: TupleText<'_>, _: Option<TupleCondition>| builder.add(tuple.user, tuple.relation, tuple.object);
    let format = TupleFormat::JsonLines;
    let read = compile::tuples(&file, &mut lines.as_bytes(), format, Some(&model), &mut take).unwrap();
    assert_eq!((read.tuples, read.is_free_of_repetitions), (100_101, false));
    let graph = builder.finish();
    let found = compile::repetitions(&file, &mut lines.as_bytes(), format, graph.repeated());
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let expected =
        "tuples:100101:1: `user:7 viewer document:1` is already on line 8, column 1\n  help: remove one of them";
    one(&found, expected);
}

#[test]
fn a_long_document_is_read_in_parts() {
    let entry = |n: u32| format!("{{\"user\": \"user:é{n}\", \"relation\": \"viewer\", \"object\": \"document:1\"}}");
    let entries: Vec<String> = (0..20_000).map(entry).collect();
    let list = |separator: &str| format!("[\n{}\n]", entries.join(separator));
    let under = format!("{{ \"tuples\" : {} }}\n", list(" ,\n"));
    for text in [list(",\n"), list(","), under] {
        let found = read(&text, TupleFormat::Json).unwrap();
        assert_eq!((found.len(), found[19_999].as_str()), (20_000, "user:é19999 viewer document:1"));
        let rest = text.replacen("\"user:é19999\"", "7", 1);
        let (before, _) = rest.split_at(rest.find(": 7").unwrap() + 2);
        let line = before.lines().count();
        let column = before.lines().last().unwrap().chars().count() + 1;
        one(&refused(&rest, TupleFormat::Json), &format!("tuples:{line}:{column}: `user` is not a text"));
        for cut in [text.len() - 40, text.len() / 2, text.len() / 3] {
            let cut = (cut..).find(|cut| text.is_char_boundary(*cut)).unwrap();
            assert!(refused(&text[..cut], TupleFormat::Json)[0].contains("this is not JSON: EOF while parsing"));
        }
    }
    let long = format!("[{}, {{\"user\": \"user:{}\"}}]", entry(1), "x".repeat(2 << 20));
    assert_eq!(refused(&long, TupleFormat::Json).len(), 2);
}

#[test]
fn what_is_not_json_is_refused_wherever_it_stands() {
    let entry = "{\"user\":\"user:a\",\"relation\":\"viewer\",\"object\":\"document:1\"}";
    for (text, problem) in [
        ("".to_owned(), "1:1: this is not JSON: EOF while parsing a value"),
        ("7".to_owned(), "1:1: an object is expected"),
        ("[".to_owned(), "1:2: this is not JSON: EOF while parsing a value"),
        ("[]]".to_owned(), "1:3: this is not JSON: trailing characters"),
        (format!("[{entry},]"), "1:62: this is not JSON: trailing comma"),
        (format!("[{entry} {entry}]"), "1:62: this is not JSON: expected `,` or `]`"),
        (format!("[\n{entry}"), "2:60: this is not JSON: EOF while parsing a list"),
        ("[[\"user:a\",\"viewer\",\"document:1\"]]".to_owned(), "1:2: an object is expected"),
        ("[{\"key\":[\"user:a\",\"viewer\",\"document:1\"]}]".to_owned(), "1:9: an object is expected"),
        ("[1 2]".to_owned(), "1:2: an object is expected"),
        ("{}".to_owned(), "1:1: `tuples` is missing"),
        ("{\"tuples\":{}}".to_owned(), "1:11: a list of tuples is expected"),
        ("{\"tuples\":[],}".to_owned(), "1:14: this is not JSON: trailing comma"),
        ("{\"tuples\":[] \"b\":1}".to_owned(), "1:14: this is not JSON: expected `,` or `}`"),
        ("{\"tuples\" []}".to_owned(), "1:11: this is not JSON: expected `:`"),
        ("{tuples:[]}".to_owned(), "1:2: this is not JSON: key must be a string"),
        ("{\"tuples\":[],\"tuples\":[]}".to_owned(), "1:23: `tuples` is there twice"),
        ("{\"tuples\":[],\n\"more\":[]}".to_owned(), "2:8: `more` is not a key that is known here"),
        ("{\"tuples\":nul}".to_owned(), "1:"),
    ] {
        let found = refused(&text, TupleFormat::Json);
        assert!(found[0].starts_with(&format!("tuples:{problem}")), "{text}: {found:#?}");
    }
}

#[test]
fn a_plain_list_may_go_on_as_any_other() {
    let plain = |n: u32| format!("  - user: user:u{n}\n    relation: viewer\n    object: document:1\n");
    let entries: String = (0..3_000).map(plain).collect();
    let long = "x".repeat(80_000);
    for (more, expected) in [
        ("  - {user: 'user:a', relation: viewer, object: 'document:1'}\n", Ok(3_001)),
        ("  # a remark\n  - user: user:a\n    relation: viewer\n    object: document:1 # another\n", Ok(3_001)),
        ("  - user: user:a\n    relation: viewer\n    object:\n      document:1\n", Ok(3_001)),
        ("  - user: user:u7\n    relation: 'viewer'\n    object: document:1\n", Err("tuples:9002:5: `user:u7 viewer")),
        ("  - user: user:a\n    relation: viewer\n    objct: document:1\n", Err("tuples:9004:5: `objct` is not a key")),
        ("  - 7\n", Err("tuples:9002:")),
        ("more: []\n", Err("tuples: this is not a list of tuples: `more` does not belong here")),
        ("- user: user:a\n", Err("tuples:900")),
        (&format!("  - user: {long}\n"), Err("tuples:9002:")),
    ] {
        let text = format!("tuples:\n{entries}{more}");
        match (read(&text, TupleFormat::Yaml), expected) {
            (Ok(found), Ok(count)) => assert_eq!(found.len(), count, "{more}"),
            (Err(found), Err(begin)) => assert!(found[0].starts_with(begin), "{more}: {:#?}", &found[..1]),
            (found, _) => panic!("{more}: {found:?}"),
        }
    }
    assert!(refused("\n \t", TupleFormat::Yaml).len() <= 1);
    let expected = "tuples:1:7: this is not a list of tuples: a list is expected here: begin each element with `- `, or write `[]` for none";
    one(&refused("\u{feff}tuples:\n\n", TupleFormat::Yaml), expected);
}

#[test]
fn lines_that_cannot_be_read_are_refused() {
    let long = format!("{{\"user\":\"{}\"}}", "x".repeat(2 << 20));
    assert_eq!(refused(&long, TupleFormat::JsonLines), ["tuples:1:1: the line is longer than 1024 KiB"]);
    let mut take = |_: TupleText<'_>, _: Option<TupleCondition>| Ok(Added::Stored);
    let file = Arc::from("tuples");
    for (format, begin) in
        [(TupleFormat::JsonLines, "tuples:1:1: the line is not UTF-8"), (TupleFormat::Yaml, "tuples: cannot be read")]
    {
        let read = compile::tuples(&file, &mut &b"\xff\n"[..], format, None, &mut take);
        assert!(read.unwrap_err()[0].to_string().starts_with(begin));
    }
}
