//! Modular models.

use super::worlds::{begin_with, dsl, read};
use crate::compile::{JsonForm, module_files};

const MOD: &str = "schema: \"1.2\"\ncontents:\n  - core.fga\n  - sub/wiki.fga\n";
const CORE: &str = "module core
type user
type org
  relations
    define member: [user]
    define admin: [user with cc]
condition cc(x: int) { x == 1 }
";
const WIKI: &str = "module wiki
extend type org
  relations
    define can_wiki: [user] or admin
type page
  relations
    define org: [org]
    define viewer: can_wiki from org
";

fn problems(manifest: &str, core: &str, wiki: &str) -> Vec<String> {
    read("a/fga.mod", manifest, &[("core.fga", core), ("sub/wiki.fga", wiki)]).err().unwrap_or_default()
}

#[test]
fn modules_become_one_model_that_knows_where_it_comes_from() {
    let model = read("fga.mod", MOD, &[("core.fga", CORE), ("sub/wiki.fga", WIKI)]).unwrap();
    let expected = concat!(
        r#"{"schema_version":"1.2","type_definitions":["#,
        r#"{"type":"user","metadata":{"module":"core","source_info":{"file":"core.fga"}}},"#,
        r#"{"type":"org","relations":{"member":{"this":{}},"admin":{"this":{}},"can_wiki":{"union":{"child":[{"this":{}},"#,
        r#"{"computedUserset":{"relation":"admin"}}]}}},"metadata":{"relations":{"#,
        r#""member":{"directly_related_user_types":[{"type":"user"}]},"#,
        r#""admin":{"directly_related_user_types":[{"type":"user","condition":"cc"}]},"#,
        r#""can_wiki":{"directly_related_user_types":[{"type":"user"}],"module":"wiki","source_info":{"file":"sub/wiki.fga"}}},"#,
        r#""module":"core","source_info":{"file":"core.fga"}}},"#,
        r#"{"type":"page","relations":{"org":{"this":{}},"viewer":{"tupleToUserset":{"tupleset":{"relation":"org"},"#,
        r#""computedUserset":{"relation":"can_wiki"}}}},"metadata":{"relations":{"#,
        r#""org":{"directly_related_user_types":[{"type":"org"}]},"viewer":{}},"#,
        r#""module":"wiki","source_info":{"file":"sub/wiki.fga"}}}],"#,
        r#""conditions":{"cc":{"name":"cc","expression":"x == 1","parameters":{"x":{"type_name":"TYPE_NAME_INT"}},"#,
        r#""metadata":{"module":"core","source_info":{"file":"core.fga"}}}}}"#,
    );
    assert_eq!(model.to_json(JsonForm::Short).to_string(), expected);
    let printed = model.to_dsl().unwrap();
    assert!(printed.contains("type org # module: core, file: core.fga\n"), "{printed}");
    assert!(printed.contains("or admin # extended by: module: wiki, file: sub/wiki.fga\n"), "{printed}");
    // The comments are no part of the model.
    assert_eq!(dsl(&printed).source().types.len(), 3);
    assert_eq!(read("model.json", expected, &[]).unwrap().to_json(JsonForm::Short).to_string(), expected);
}

#[test]
fn a_type_may_be_extended_before_it_is_defined() {
    let manifest = "schema: '1.2'\ncontents: [sub%2Fwiki.fga, core%2efga]\n";
    assert_eq!(module_files(manifest), ["sub/wiki.fga", "core.fga"]);
    assert!(problems(manifest, CORE, WIKI).is_empty());
}

#[test]
fn problems_name_the_file_and_its_line() {
    begin_with(
        &problems(MOD, &CORE.replace("[user]", "[usr]"), &WIKI.replace("can_wiki from", "can_wik from")),
        &["a/core.fga:5:21: `usr` is not a type of this model", "a/sub/wiki.fga:8:20: `can_wik` is not a relation"],
    );
    begin_with(
        &problems(
            MOD,
            CORE,
            "module wiki\ntype org\ntype user\n  relations\n    define a: [user]\n    define a: [user]\ncondition cc(x: int) { true }\n",
        ),
        &[
            "a/sub/wiki.fga:2:6: type `org` is already defined in a/core.fga on line 3",
            "a/sub/wiki.fga:3:6: type `user` is already defined in a/core.fga on line 2",
            "a/sub/wiki.fga:7:11: condition `cc` is already defined in a/core.fga on line 7",
        ],
    );
    begin_with(
        &problems(
            MOD,
            CORE,
            "module wiki\nextend type org\n  relations\n    define admin: [user]\nextend type orgs\n  relations\n    define a: [user]\nextend type org\n  relations\n    define b: [user]\n",
        ),
        &[
            "a/sub/wiki.fga:4:12: relation `admin` is already defined in a/core.fga on line 6",
            "a/sub/wiki.fga:5:13: `orgs` is not a type of this model\n  help: did you mean `org`?",
            "a/sub/wiki.fga:8:13: type `org` is already extended in this file",
        ],
    );
    begin_with(
        &problems(MOD, "model\n  schema 1.2\ntype user\n", "module wiki\ntype z\n  relations\n    define a: [z] or\n"),
        &["a/core.fga:1:1: this file is not a module", "a/sub/wiki.fga:4:21: a relation is missing"],
    );
    begin_with(&problems(MOD, CORE, "module wi/ki\ntype z\n"), &["a/sub/wiki.fga:1:8: `wi/ki` is not a module's name"]);
}

#[test]
fn an_fga_mod_has_rules_of_its_own() {
    for (manifest, begins) in [
        ("schema: \"1.2\"\n", &["a/fga.mod:1:1: `contents` is missing"][..]),
        ("contents: [core.fga]\n", &["a/fga.mod:1:1: `schema` is missing"]),
        ("schema: 1.2\ncontents: [core.fga]\n", &["a/fga.mod:1:9: this is not a schema that has modules"]),
        ("schema: \"1.1\"\ncontents: [core.fga]\n", &["a/fga.mod:1:9: this is not a schema that has modules"]),
        (
            "schema: \"1.2\"\ncontens: [core.fga]\n",
            &[
                "a/fga.mod:1:1: `contents` is missing",
                "a/fga.mod:2:1: `contens` is not a key that is known here\n  help: did you mean `contents`?",
            ],
        ),
        ("schema: \"1.2\"\ncontents: core.fga\n", &["a/fga.mod:2:11: a list of files is expected"]),
        ("schema: \"1.2\"\ncontents: [core.fga, 7]\n", &["a/fga.mod:2:22: a file's name is expected, as text"]),
        (
            "schema: \"1.2\"\ncontents: [core.fga, ../x.fga]\n",
            &["a/fga.mod:2:22: `../x.fga` is not the name of a module's file\n  help: modules lie beside"],
        ),
        (
            "schema: \"1.2\"\ncontents: [core.fga, '%2e%2E%5cx.fga']\n",
            &["a/fga.mod:2:22: `%2e%2E%5cx.fga` is not the name"],
        ),
        ("schema: \"1.2\"\ncontents: [core.fga, /x.fga]\n", &["a/fga.mod:2:22: `/x.fga` is not the name"]),
        (
            "schema: \"1.2\"\ncontents: [core.fga, x.txt]\n",
            &["a/fga.mod:2:22: `x.txt` is not the name of a module's file\n  help: a module's file ends"],
        ),
        ("schema: \"1.2\"\ncontents: [core.fga, core.fga]\n", &["a/fga.mod:2:22: `core.fga` is listed twice"]),
        ("schema: \"1.2\"\ncontents: [core.fga, x.fga]\n", &["a/fga.mod:2:22: `x.fga` cannot be read: no such file"]),
        ("schema: [\n", &["a/fga.mod:"]),
    ] {
        begin_with(&problems(manifest, CORE, WIKI), begins);
    }
}

#[test]
fn a_module_alone_is_no_model() {
    begin_with(&super::worlds::problems("core.fga", CORE), &["core.fga:1:8: `core` is a module, not a whole model"]);
    begin_with(
        &super::worlds::problems("model.fga", "model\n  schema 1.1\ntype user\nextend type user\n"),
        &["model.fga:4:1: only modules extend types", "model.fga:4:13: type `user` is already defined on line 3"],
    );
}
