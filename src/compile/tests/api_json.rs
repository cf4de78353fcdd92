//! The JSON form of models.

use super::worlds::{begin_with, dsl, json, problems, shown};
use crate::compile::JsonForm;

const DSL: &str = "model
  schema 1.1

type user

type folder
  relations
    define viewer: [user, user:*, folder#viewer, user with cc] or (viewer from parent and editor)
    define parent: [folder]
    define editor: [user with cc, user with dd] but not (blocked or (parent and blocked))
    define blocked: [user]

condition cc(x: int, y: list<string>) {
  x == 1 && \"}\" in y
}

condition dd(z: ipaddress) {
  z.in_cidr(\"10.0.0.0/8\")
}
";

#[test]
fn a_model_goes_to_json_and_back() {
    let model = dsl(DSL);
    let written = model.to_json(JsonForm::Short).to_string();
    let back = json(&written);
    assert_eq!(back.to_dsl().unwrap(), DSL);
    assert_eq!(back.to_json(JsonForm::Short), model.to_json(JsonForm::Short));
    assert_eq!(model.to_dsl().unwrap(), DSL);
}

#[test]
fn the_api_s_form_has_every_field() {
    let model = dsl("model\n  schema 1.1\ntype user\ntype a\n  relations\n    define c: [user]\n    define b: c\n");
    let expected = concat!(
        r#"{"id":"01","schema_version":"1.1","type_definitions":[{"type":"user","relations":{},"metadata":null},"#,
        r#"{"type":"a","relations":{"b":{"computedUserset":{"object":"","relation":"c"}},"c":{"this":{}}},"metadata":"#,
        r#"{"relations":{"b":{"directly_related_user_types":[],"module":"","source_info":null},"#,
        r#""c":{"directly_related_user_types":[{"type":"user","condition":""}],"module":"","source_info":null}},"#,
        r#""module":"","source_info":null}}],"conditions":{}}"#,
    );
    assert_eq!(model.to_json(JsonForm::Api { id: "01" }).to_string(), expected);
    json(expected);
    json(&format!(r#"{{"authorization_model":{expected}}}"#));
}

#[test]
fn both_spellings_are_read_and_unknown_keys_ignored() {
    let snake = r#"{"schema_version":"1.1","type_definitions":[{"type":"user","relations":null,"metadata":null},{"type":"a",
        "relations":{"fooBar":{"this":{}},"p":{"this":{}},"b":{"tuple_to_userset":{"computed_userset":{"relation":"fooBar"},
        "tupleset":{"object":"","relation":"p"}}}},"metadata":{"relations":{"fooBar":{"directly_related_user_types":
        [{"type":"user","condition":"cc"}]},"p":{"directly_related_user_types":[{"type":"a","relation":""}]}}}}],"conditions":
        {"cc":{"name":"cc","expression":"size(x) == 0","parameters":{"x":{"type_name":"TYPE_NAME_MAP","generic_types":
        [{"type_name":"TYPE_NAME_ANY"}]}}}}}"#;
    let mut camel = snake.to_owned();
    for (one, other) in [
        ("schema_version", "schemaVersion"),
        ("type_definitions", "typeDefinitions"),
        ("tuple_to_userset", "tupleToUserset"),
        ("computed_userset", "computedUserset"),
        ("directly_related_user_types", "directlyRelatedUserTypes"),
        ("type_name", "typeName"),
        ("generic_types", "genericTypes"),
        ("\"this\":{}", "\"this\":{},\"other\":7"),
    ] {
        camel = camel.replace(one, other);
    }
    assert_eq!(json(snake).to_json(JsonForm::Short), json(&camel).to_json(JsonForm::Short));
    assert_eq!(json(snake).source().types[1].relations[0].name.value.as_str(), "fooBar");
}

#[test]
fn types_in_the_middle_move_to_the_front_of_their_neighbours() {
    let model = |rewrite: &str| {
        let text = format!(
            r#"{{"schema_version":"1.1","type_definitions":[{{"type":"user","relations":{{"p":{{"this":{{}}}},"q":{{"this":{{}}}},
            "a":{rewrite}}},"metadata":{{"relations":{{"a":{{"directly_related_user_types":[{{"type":"user"}}]}},"p":
            {{"directly_related_user_types":[{{"type":"user"}}]}},"q":{{"directly_related_user_types":[{{"type":"user"}}]}}}}}}}}]}}"#
        );
        json(&text).to_dsl().map_err(|problems| shown(&problems))
    };
    let p = r#"{"computedUserset":{"relation":"p"}}"#;
    let q = r#"{"computedUserset":{"relation":"q"}}"#;
    let this = r#"{"this":{}}"#;
    let rule = |rewrite: &str| {
        let text = model(rewrite).unwrap();
        text.lines().find_map(|line| line.strip_prefix("    define a: ")).unwrap().to_owned()
    };
    assert_eq!(rule(&format!(r#"{{"union":{{"child":[{p},{q},{this}]}}}}"#)), "[user] or p or q");
    let both = format!(r#"{{"intersection":{{"child":[{p},{this}]}}}}"#);
    assert_eq!(rule(&format!(r#"{{"difference":{{"base":{both},"subtract":{p}}}}}"#)), "([user] and p) but not p");
    for middle in [
        format!(r#"{{"difference":{{"base":{p},"subtract":{this}}}}}"#),
        format!(r#"{{"union":{{"child":[{p},{both}]}}}}"#),
        format!(r#"{{"union":{{"child":[{this},{both}]}}}}"#),
    ] {
        let found = model(&middle).unwrap_err();
        assert!(
            found[0].contains("`this` in the middle of relation `a` cannot be written in this language"),
            "{found:?}"
        );
    }
}

#[test]
fn what_only_json_can_say_is_reported() {
    let condition = |name: &str, expression: &str, parameters: &str| {
        let expression = serde_json::to_string(expression).unwrap();
        let text = format!(
            "{{\"schema_version\":\"1.1\",\"type_definitions\":[{{\"type\":\"user\"}}],\n\"conditions\":{{\"{name}\":\
             {{\"name\":\"{name}\",\"expression\":{expression},\"parameters\":{{{parameters}}}}}}}}}"
        );
        json(&text).to_dsl().map(drop).map_err(|problems| shown(&problems)).err().unwrap_or_default()
    };
    let x = r#""x":{"type_name":"TYPE_NAME_INT"}"#;
    assert!(condition("cc", "x == 1 // one\n&& x == 1", x).is_empty());
    for (name, expression, parameters, what) in [
        ("map", "true", x, "the condition's name `map`"),
        ("cc", "true", "", "a condition without parameters"),
        ("cc", "true", r#""int":{"type_name":"TYPE_NAME_INT"}"#, "the parameter's name `int`"),
        ("cc", "true", r#""x":{"type_name":"TYPE_NAME_ANY"}"#, "the type of parameter `x`"),
        ("cc", "string(x) == 'a #b'", x, "the expression of condition `cc`"),
        ("cc", "{'a': x}['a'] == 1", x, "the expression of condition `cc`"),
        ("cc", "string(x) == '''a  \nb'''", x, "the expression of condition `cc`"),
    ] {
        let found = condition(name, expression, parameters);
        assert!(found.len() == 1 && found[0].contains(&format!("{what} cannot be written")), "{found:?}");
    }
    let model = json(r#"{"schema_version":"1.1","type_definitions":[{"type":"é"},{"type":"or"}]}"#);
    let found = shown(&model.to_dsl().unwrap_err());
    begin_with(&found, &["model.json:1:53: the name `é` cannot", "model.json:1:66: the name `or` cannot"]);
}

#[test]
fn malformed_models_are_reported_with_their_places() {
    let in_type =
        |text: &str| format!("{{\"schema_version\":\"1.1\",\"type_definitions\":[\n{{\"type\":\"user\"}},\n{text}]}}");
    let relation = |text: &str| in_type(&format!("{{\"type\":\"a\",\"relations\":{{\"b\":\n{text}}}}}"));
    for (text, begins) in [
        ("{".to_owned(), &["model.json:1:1: this is not JSON"][..]),
        ("[]".to_owned(), &["model.json:1:1: an object is expected"]),
        ("{\"type_definitions\":[{\"type\":\"user\"}]}".to_owned(), &["model.json:1:1: `schema_version` is missing"]),
        (
            in_type("{}").replace("1.1", "1.0"),
            &["model.json:1:19: schema `1.0` is not supported", "model.json:3:1: `type` is missing"],
        ),
        (in_type("7"), &["model.json:3:1: an object is expected"]),
        (in_type("{\"type\":\"a b\"}"), &["model.json:3:9: `a b` is not a type's name"]),
        (in_type("{\"type\":\"user\"}"), &["model.json:3:9: type `user` is already defined on line 2"]),
        (in_type("{\"type\":\"a\",\"type\":\"b\"}"), &["model.json:3:20: `type` is there twice"]),
        (relation("{}"), &["model.json:4:1: this is not a rewrite"]),
        (relation("{\"this\":{},\"union\":{\"child\":[]}}"), &["model.json:4:1: this is not a rewrite"]),
        (relation("{\"computedUserset\":{}}"), &["model.json:4:20: `relation` is missing, a relation"]),
        (
            relation("{\"computedUserset\":{},\"computed_userset\":{}}"),
            &["model.json:4:42: `computed_userset` is there twice"],
        ),
        (relation("{\"computedUserset\":{\"relation\":7}}"), &["model.json:4:32: a text is expected"]),
        (
            relation("{\"this\":{}},\"b\":{\"this\":{}}"),
            &[
                "model.json:4:17: `b` is there twice",
                "model.json:4:17: relation `b` is already",
                "model.json:4:1:",
                "model.json:4:17:",
            ],
        ),
        (
            relation("{\"tupleToUserset\":{\"tupleset\":{\"relation\":\"p\"}}}"),
            &["model.json:4:19: `computed_userset` is missing"],
        ),
        (relation("{\"difference\":{\"base\":{\"this\":{}}}}"), &["model.json:4:15: `subtract` is missing"]),
        (
            relation("{\"union\":{\"child\":{}}}"),
            &["model.json:4:1: relation `b` combines fewer than two operands", "model.json:4:19: a list is expected"],
        ),
    ] {
        let mut found = problems("model.json", &text);
        if begins.len() == 4 {
            found.truncate(4);
            assert!(found.iter().any(|problem| problem.starts_with(begins[0])), "{found:?}");
            continue;
        }
        begin_with(&found, begins);
    }
    let deep = format!("{}{{\"this\":{{}}}}{}", "{\"difference\":{\"base\":".repeat(90), "}}".repeat(90));
    let found = problems("model.json", &relation(&deep));
    assert!(found.iter().any(|problem| problem.contains("rewrites are nested more than")), "{found:?}");
}

#[test]
fn the_conditions_of_json_have_rules() {
    let condition = |text: &str| {
        problems(
            "model.json",
            &format!(
                "{{\"schema_version\":\"1.1\",\"type_definitions\":[{{\"type\":\"user\"}}],\"conditions\":{{\n{text}}}}}"
            ),
        )
    };
    let kind = |text: &str| {
        condition(&format!("\"cc\":{{\"name\":\"cc\",\"expression\":\"true\",\"parameters\":{{\"x\":\n{text}}}}}"))
    };
    begin_with(
        &condition("\"cc\":{\"name\":\"dd\",\"expression\":\"true\"}"),
        &["model.json:2:14: condition `dd` stands under the key `cc`"],
    );
    begin_with(&condition("\"cc\":{\"name\":\"cc\"}"), &["model.json:2:6: `expression` is missing"]);
    begin_with(&condition("\"cc\":{\"expression\":\"true\"}"), &["model.json:2:6: `name` is missing, a condition"]);
    begin_with(&kind("{}"), &["model.json:3:1: `type_name` is missing"]);
    begin_with(
        &kind("{\"type_name\":\"TYPE_NAME_TEXT\"}"),
        &["model.json:3:14: `TYPE_NAME_TEXT` is not a parameter's type"],
    );
    begin_with(
        &kind("{\"type_name\":\"TYPE_NAME_LIST\"}"),
        &["model.json:3:1: `TYPE_NAME_LIST` holds one type, not 0"],
    );
    let inner = "{\"type_name\":\"TYPE_NAME_INT\"}";
    begin_with(
        &kind(&format!("{{\"type_name\":\"TYPE_NAME_MAP\",\"generic_types\":[{inner},{inner}]}}")),
        &["model.json:3:1: `TYPE_NAME_MAP` holds one type, not 2"],
    );
    begin_with(
        &kind(&format!("{{\"type_name\":\"TYPE_NAME_INT\",\"generic_types\":[{inner}]}}")),
        &["model.json:3:1: `TYPE_NAME_INT` holds no other types"],
    );
    assert!(kind(&format!("{{\"type_name\":\"TYPE_NAME_LIST\",\"generic_types\":[{{\"type_name\":\"TYPE_NAME_MAP\",\"generic_types\":[{inner}]}}]}}")).is_empty());
    let unknown = "{\"schema_version\":\"1.1\",\"type_definitions\":[{\"type\":\"user\",\"relations\":{\"a\":{\"this\":{}}},\"metadata\":\
                   {\"relations\":{\"a\":{\"directly_related_user_types\":[{\"type\":\"user\",\"condition\":\"cc\"}]}}}}]}";
    assert!(problems("model.json", unknown)[0].contains("`cc` is not a condition of this model"));
    let both = unknown.replace("\"condition\":\"cc\"", "\"relation\":\"a\",\"wildcard\":{}");
    let found = problems("model.json", &both);
    assert!(found.iter().any(|problem| problem.contains("`relation` or `wildcard`, not both")), "{found:?}");
}
