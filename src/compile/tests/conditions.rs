//! Conditions in OpenFGA's language.

use super::worlds::{begin_with, dsl, problems};
use crate::{
    access::Place,
    compile::{
        dsl::{parse, without_comments},
        report::Report,
    },
    policy::Placed,
};

fn with(condition: &str) -> String {
    format!(
        "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define viewer: [user with cc, user]\n{condition}\n"
    )
}

/// The expression as it is read, whether it compiles or not.
#[track_caller]
fn expression(condition: &str) -> Placed<String> {
    let mut report = Report::new(&"model.fga".into());
    let parsed = parse(&without_comments(&with(condition)), 1, &mut report);
    assert!(report.is_empty(), "{condition}");
    parsed.conditions[0].expression.clone()
}

#[test]
fn conditions_have_parameters_of_every_type() {
    let text = with(
        "condition cc(a: bool, b: string, c: int, d: uint, e: double, f: duration, g: timestamp, h: ipaddress,\n  \
         i: list<string>, j: map<int>) { true }",
    );
    let model = dsl(&text);
    let kinds: Vec<String> =
        model.source().conditions[0].parameters.iter().map(|parameter| format!("{:?}", parameter.kind)).collect();
    let expected = ["Bool", "String", "Int", "Uint", "Double", "Duration", "Timestamp", "IpAddress", "List(String)"];
    assert_eq!(kinds[..9], expected);
    assert_eq!(kinds[9], "Map(Int)");
}

#[test]
fn an_expression_is_kept_as_it_is_written() {
    for (body, kept) in [
        ("x == 1", "x == 1"),
        ("  x\n    == 1  ", "x\n    == 1"),
        ("x == \"}\"", "x == \"}\""),
        ("x == '}' && y == \"'}\"", "x == '}' && y == \"'}\""),
        ("x == r\"\\\" || y", "x == r\"\\\" || y"),
        ("x == bR'}\\'", "x == bR'}\\'"),
        ("bar\"\\\"}\"", "bar\"\\\"}\""),
        ("x == \"\"\"a\n}\n\"\"\"", "x == \"\"\"a\n}\n\"\"\""),
        ("x == '''a'b}''' ", "x == '''a'b}'''"),
        ("\n  // a } b\n  x == \"a\" // c } d\n  && y", "x == \"a\"\n  && y"),
        ("x == \"http://a\"", "x == \"http://a\""),
        ("\n# a }\n  x # b }\n", "x"),
        ("x == 'a#b'", "x == 'a#b'"),
        ("a { b", "a { b"),
    ] {
        assert_eq!(expression(&format!("condition cc(x: int) {{{body}}}")).value, kept, "{body}");
    }
}

#[test]
fn an_expression_knows_its_place() {
    for (body, line, column) in [(" x }", 7, 24), ("\n\n    x == 1 }", 9, 5), (" // a\n é }", 8, 2)] {
        let expression = expression(&format!("condition cc(x: int) {{{body}"));
        assert_eq!(expression.place, Place { line, column }, "{body}");
    }
}

#[test]
fn a_fault_in_an_expression_has_its_place() {
    for (condition, begin) in [
        ("condition cc(x: int) { x == y }", "model.fga:7:29: condition `cc`: "),
        ("condition cc(x: int) {\n  x == 1 &&\n  x.size() == 1\n}", "model.fga:9:"),
        ("condition cc(x: int) { x }", "model.fga:7:24: condition `cc`: "),
        ("condition cc(x: int) { x == }", "model.fga:7:"),
    ] {
        begin_with(&problems("model.fga", &with(condition)), &[begin]);
    }
}

#[test]
fn a_condition_is_read_across_lines() {
    let text = "model\n  schema 1.1\ntype user\ntype a\n  relations\n    define b: [\n      user with cc, # one\n      \
                user:* with dd\n    ]\ncondition cc(\n  x: int,\n  y: string\n) {\n  x == 1\n}\n\ncondition dd(z: bool) {z}\n";
    let model = dsl(&text.replace('\n', "\r\n"));
    assert_eq!(model.source().conditions.len(), 2);
    assert_eq!(model.source().types[1].relations[0].restrictions[1].condition.as_ref().unwrap().value.as_str(), "dd");
}

#[test]
fn every_fault_of_a_condition_has_its_place() {
    for (condition, begins) in [
        ("condition cc() { true }", &["model.fga:7:14: a parameter is expected, not `)`"][..]),
        ("condition cc(x: int,) { true }", &["model.fga:7:21: a parameter is expected, not `)`"]),
        ("condition cc(x) { true }", &["model.fga:7:15: `:` is missing after the parameter's name"]),
        ("condition cc(x:) { true }", &["model.fga:7:16: `)` is not a parameter's type here"]),
        (
            "condition cc(x: strin) { true }",
            &["model.fga:7:17: `strin` is not a parameter's type here\n  help: did you mean `string`?"],
        ),
        (
            "condition cc(x: any) { true }",
            &["model.fga:7:17: `any` is not a parameter's type here\n  help: only the JSON"],
        ),
        ("condition cc(x: list) { true }", &["model.fga:7:21: `<` is missing"]),
        (
            "condition cc(x: list<list<int>>) { true }",
            &["model.fga:7:22: `list` is not a parameter's type here\n  help: lists and maps hold neither"],
        ),
        ("condition cc(x: list<int) { true }", &["model.fga:7:25: `>` is missing"]),
        ("condition cc(x: int y: int) { true }", &["model.fga:7:21: `,` or `)` is missing"]),
        ("condition cc(string: int) { true }", &["model.fga:7:14: a parameter is expected, not `string`"]),
        ("condition cc(x: int, x: int) { true }", &["model.fga:7:22: condition `cc` declares `x` twice"]),
        ("condition cc { true }", &["model.fga:7:13: `(` is missing"]),
        ("condition cc(x: int)", &["model.fga:7:21: `{` is missing"]),
        ("condition cc(x: int)\n{ true }", &["model.fga:8:1: `{` belongs on the line"]),
        ("condition cc(x: int) { true", &["model.fga:7:22: `}` is missing"]),
        ("condition cc(x: int) { }", &["model.fga:7:23: condition `cc` has no expression"]),
        ("condition cc(x: int) { true } x", &["model.fga:7:31: after `}` a new line begins"]),
        (
            "condition cc(x: int) { x == \"a #b\" }",
            &["model.fga:7:22: `}` is missing", "model.fga:7:29: this text is not closed"],
        ),
        (
            "condition cc(x: int) { true }\ncondition cc(x: int) { true }",
            &["model.fga:8:11: condition `cc` is already defined on line 7"],
        ),
        ("condition cc(x: int) { true }\ntype z", &["model.fga:8:1: a type stands behind a condition"]),
        (
            "condition c.c(x: int) { true }",
            &[
                "model.fga:6:31: `cc` is not a condition of this model",
                "model.fga:7:11: `c.c` is not a condition's name",
            ],
        ),
        (
            "condition map(x: int) { true }",
            &[
                "model.fga:6:31: `cc` is not a condition of this model",
                "model.fga:7:11: `map` is not a condition's name",
            ],
        ),
        (
            "condition ccc(x: int) { true }",
            &["model.fga:6:31: `cc` is not a condition of this model\n  help: did you mean `ccc`?"],
        ),
        (
            "condition cc(x: int {\n true\n}\ncondition d",
            &["model.fga:7:20: `,` or `)` is missing", "model.fga:10:12: `(` is missing"],
        ),
        (
            "conditon cc(x: int) { true }",
            &[
                "model.fga:6:31: `cc` is not a condition",
                "model.fga:7:1: `conditon` is not the beginning",
                "model.fga:7:21: `{` does not belong here",
            ],
        ),
    ] {
        begin_with(&problems("model.fga", &with(condition)), begins);
    }
}

#[test]
fn a_restriction_names_a_condition_after_with() {
    let rule = |rule: &str| {
        problems(
            "model.fga",
            &format!(
                "model\n  schema 1.1\ntype user\ntype a\n  relations\n    define b: {rule}\ncondition cc(x: int) {{ true }}\n"
            ),
        )
    };
    assert!(rule("[user with cc, user, user:* with cc, a#b with cc]").is_empty());
    begin_with(&rule("[user with]"), &["model.fga:6:25: a condition is expected after `with`"]);
    begin_with(&rule("[user with type]"), &["model.fga:6:26: `type` is not a condition's name"]);
    begin_with(&rule("[user with c.c]"), &["model.fga:6:26: `c.c` is not a condition's name"]);
    begin_with(
        &rule("[user with cd]"),
        &["model.fga:6:26: `cd` is not a condition of this model\n  help: did you mean `cc`?"],
    );
}

#[test]
fn keywords_are_names_where_openfga_has_it_so() {
    let relation = |name: &str| {
        problems("model.fga", &format!("model\n  schema 1.1\ntype user\n  relations\n    define {name}: [user]\n"))
    };
    for name in ["type", "model", "schema", "module", "extend", "relation", "but", "not", "a-", "x2.5-e"] {
        assert!(relation(name).is_empty(), "{name}");
    }
    for name in ["or", "and", "from", "define", "relations", "with", "in", "true", "false", "null", "condition"] {
        let expected = format!("model.fga:5:12: the relation's name is expected, not the keyword `{name}`");
        begin_with(&relation(name), &[&expected]);
    }
    begin_with(&relation("a--b/c"), &["model.fga:5:12: `a--b/c` is not a name"]);
    let found = problems("model.fga", "model\n  schema 1.1\ntype user\ntype a\n  relations\n");
    begin_with(&found, &["model.fga:5:3: `relations` has no relation"]);
}
