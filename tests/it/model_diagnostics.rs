//! What people are told about the models that they wrote.

use std::sync::Arc;

use portcullis::compile;

fn problems(text: &str) -> Vec<String> {
    match compile::model(&Arc::from("model.fga"), text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn in_header(types: &str) -> Vec<String> {
    problems(&format!("model\n  schema 1.1\n{types}"))
}

fn in_document(rule: &str) -> Vec<String> {
    in_header(&format!("type user\ntype document\n  relations\n    define a: [user]\n    define b: {rule}\n"))
}

#[track_caller]
pub(crate) fn one(problems: &[String], expected: &str) {
    assert_eq!(problems, [expected]);
}

#[test]
fn the_whole_language_is_read() {
    let text = "# a model
model
  schema 1.1 # its version

type user
type type
  relations
    define model: [user]
    define schema: [type]
    define but: model from schema
type team.a/b-c
  relations
    define member: [
      user,
      user:*, # everyone
      team.a/b-c#member
    ]
    define boss:[user]
    define both: (member or boss) and (boss but not member)
    define nested : ((([user] or boss)) and member) but not (boss or (member and both))
";
    assert_eq!(problems(text), Vec::<String>::new());
    assert_eq!(problems(&text.replace("1.1", "1.2").replace('\n', "\r\n")), Vec::<String>::new());
}

#[test]
fn every_problem_is_reported_at_once() {
    let found = in_header(
        "type user
type document
  relations
    define viewer: [usr] or editr
    define editor: [user] or or viewer
    define owner [user]
    define reader: viewer and editor or owner
    definee x: [user]
    define viewer: [user]
",
    );
    let expected = [
        "model.fga:6:21: `usr` is not a type of this model\n  help: did you mean `user`?",
        "model.fga:6:29: `editr` is not a relation of type `document`\n  help: did you mean `editor`?",
        "model.fga:7:30: a relation is expected, not the keyword `or`\n  help: choose another name",
        "model.fga:8:18: `:` is missing after the relation's name\n  help: write `define owner: …`",
        "model.fga:9:38: `or` follows `and` without parentheses\n  help: put parentheses around what belongs together, \
         as in `(a or b) and c`",
        "model.fga:10:5: `definee` is not the beginning of a statement\n  help: did you mean `define`?",
        "model.fga:11:12: relation `viewer` is already defined on line 6",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_header_comes_first() {
    let help = "\n  help: begin with `model` and, on the next line, `schema 1.1`";
    one(&problems("type user\n"), &format!("model.fga:1:1: the header is missing{help}"));
    let found = problems("model\n  schema 1.0\ntype user\n");
    one(&found, "model.fga:2:10: schema `1.0` is not supported\n  help: write `schema 1.1`");
    one(&problems("model\n  schema 1.1\n"), "model.fga: the model defines no type");
    one(&problems("model\ntype user\n"), "model.fga:1:1: `model` is followed by `schema 1.1` on a line of its own");
}

#[test]
fn a_condition_is_checked_where_it_stands() {
    let found = in_header(
        "type user
type document
  relations
    define viewer: [user with in_office, user with in_offce]
condition in_office(ip: ipaddress, hour: int) {
  ip.in_cidr(\"10.0.0.0/8\") &&
    hours >= 8
}
",
    );
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("model.fga:6:52: `in_offce` is not a condition of this model"), "{found:#?}");
    assert!(found[1].starts_with("model.fga:9:5: condition `in_office`: "), "{found:#?}");
    assert!(found[1].contains("`hours`"), "{found:#?}");
}

#[test]
fn a_comment_begins_with_a_space_and_a_hash() {
    assert!(in_document("[user] # but not a").is_empty());
    let missing = "model.fga:7:20: `,` or `]` is missing\n  help: types are separated by `,` and end with `]`";
    one(&in_document("[user #member]"), missing);
}

#[test]
fn types_in_brackets_come_first_and_once() {
    let help = "\n  help: put `[…]` before the other operands";
    for (rule, column) in [("a or [user]", 20), ("[user] or [user:*]", 25), ("a or ([user] and a)", 21)] {
        one(&in_document(rule), &format!("model.fga:7:{column}: types may only be the first operand{help}"));
    }
    assert!(in_document("([user] or a) and a").is_empty());
}

#[test]
fn a_but_not_has_two_operands() {
    let found = in_document("a but not a but not a");
    assert!(found[0].starts_with("model.fga:7:27: `but not` follows `but not` without parentheses"), "{found:?}");
    assert!(in_document("(a but not a) but not a").is_empty());
    one(&in_document("a but a"), "model.fga:7:21: `but` is followed by `not`\n  help: write `but not`");
}

#[test]
fn an_unclosed_bracket_costs_one_statement() {
    let found = in_header(
        "type user\ntype document\n  relations\n    define a: [user\n    define b: [user]\n    define c: (a or b\n    define d: q\n",
    );
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].starts_with("model.fga:6:20: `,` or `]` is missing"));
    assert!(found[1].starts_with("model.fga:8:22: `)` is missing, for the `(` in column 15"));
    assert!(found[2].starts_with("model.fga:9:15: `q` is not a relation of type `document`"));
}

#[test]
fn endless_parentheses_are_refused() {
    let found = in_document(&format!("{}a{}", "(".repeat(10_000), ")".repeat(10_000)));
    assert!(found[0].contains("nested more than 50 levels deep"), "{found:?}");
    let long = format!("model\n  schema 1.1\n{}", "# x\n".repeat(70_000));
    one(&problems(&long), "model.fga: the model is longer than 262144 bytes");
}

#[test]
fn a_tupleset_is_direct_and_plain() {
    let text = |parent: &str| {
        in_header(&format!(
            "type user\ntype folder\n  relations\n    define parent: {parent}\n    define direct: [folder]\n    \
             define viewer: [user] or viewer from parent\n"
        ))
    };
    assert!(text("[folder]").is_empty());
    assert!(text("[folder, user]").is_empty());
    assert!(text("direct")[0].contains("`parent` stands after `from`, so it must be assigned directly and only so"));
    assert!(text("[folder] or direct")[0].contains("must be assigned directly"));
    assert!(text("[folder, folder:*]")[0].contains("it may name plain types only, not `folder:*`"));
    assert!(text("[folder#parent, folder]")[0].contains("plain types only, not `folder#parent`"));
    assert!(text("[user]")[0].contains("`viewer` is not a relation of any type that `parent` may name"));
}

#[test]
fn relations_need_a_way_in_and_no_computed_cycle() {
    let document = |rules: &[&str]| {
        let rules: Vec<_> = rules.iter().map(|rule| format!("    define {rule}\n")).collect();
        in_header(&format!("type user\ntype document\n  relations\n{}", rules.concat()))
    };
    assert!(document(&["a: a"])[0].contains("relation `a` is defined by itself"));
    let cycle = document(&["a: [user] or b", "b: a"]);
    assert_eq!(cycle.len(), 2);
    assert!(cycle[0].contains("relation `a` is defined by itself through other relations of type `document`"));
    assert!(document(&["a: [document#a]"])[0].contains("relation `a` of type `document` can never hold"));
    assert!(document(&["a: [document#a, user]"]).is_empty());
    assert!(document(&["p: [document]", "a: a from p"])[0].contains("relation `a` of type `document` can never hold"));
    assert!(document(&["p: [document]", "a: [user] or a from p"]).is_empty());
    assert_eq!(document(&["a: [user] and b", "b: [document#b]"]).len(), 2);
}

#[test]
fn names_have_rules() {
    assert!(in_header("type self\n")[0].contains("`self` is a reserved word"));
    assert!(in_header("type 1user\n")[0].contains("model.fga:3:6: `1user` is not a name"));
    assert!(in_header("type user\ntype user\n")[0].contains("model.fga:4:6: type `user` is already defined on line 3"));
    let many: String = (0..10_001).map(|n| format!("type t{n}\n")).collect();
    assert!(in_header(&many)[0].contains("the model has 10001 types, at most 10000 are allowed"));
    assert!(in_document("[user] é")[0].contains("`é` does not belong here"));
}
