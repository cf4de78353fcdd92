//! The commands that answer and end.

use std::process::Output;

use crate::support::{World, run};

fn text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn world() -> World {
    let world = World::new();
    world.write("portcullis.yaml", world.config());
    world
}

#[test]
fn check_answers_with_its_exit_code() {
    let world = world();
    let check = |arguments: &[&str]| {
        let fixed = ["check", "--config", "portcullis.yaml"];
        text(&world.run(&[&fixed[..], arguments].concat()))
    };
    let (code, said, _) = check(&["--as", "user:erin", "--via", "agent:reader", "can_read", "document:d1"]);
    assert_eq!((code, said.as_str()), (Some(0), "allowed: can_read on document:d1 for user:erin, agent:reader\n"));
    let (code, said, _) = check(&["--as", "user:erin", "--via", "agent:reader", "can_read", "document:d2"]);
    assert_eq!(code, Some(1));
    assert!(said.starts_with("denied (not_permitted): agent:reader"), "{said}");
    let prior = ["--as", "user:erin", "--via", "agent:reader", "--via", "agent:planner", "can_read", "document:d2"];
    assert_eq!(check(&prior).0, Some(1));
    assert_eq!(check(&[&["--current-actor-only"], &prior[..]].concat()).0, Some(0));
    assert_eq!(check(&["--as", "user:erin", "--task", "task:t1", "can_read", "document:d1"]).0, Some(0));
    assert_eq!(check(&["--as", "user:frank", "--task", "task:t1", "can_read", "document:d1"]).0, Some(1));
    let (code, said, _) = check(&["--as", "user:erin", "can_fly", "document:d1"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("unknown_relation"), "{said}");
    assert!(check(&["--as", "user:erin", "can_read", "dragon:d1"]).1.contains("unknown_type"));
    for usage in [
        &["--as", "user:*", "can_read", "document:d1"][..],
        &["can_read", "document:d1"],
        &["--as", "user:erin", "can_read"],
        &["--as", "user:erin", "can_read", "document"],
        &["--as", "user:erin", "--no-such", "can_read", "document:d1"],
    ] {
        assert_eq!(check(usage).0, Some(2), "{usage:?}");
    }
    // Without any source, all that there are.
    let (code, _, said) = text(&world.run(&["check", "--as", "user:erin", "can_read", "document:d1"]));
    assert_eq!(code, Some(2));
    for source in ["--config <FILE>", "--admin <SOCKET>", "--model <FILE>", "--store <FILE>"] {
        assert!(said.contains(source), "{source} is not in {said}");
    }
}

#[test]
fn explain_shows_the_tuples_behind_the_answer() {
    let world = world();
    let explain = |arguments: &[&str]| {
        let fixed = [
            "explain",
            "--model",
            "model.fga",
            "--tuples",
            "tuples.yaml",
            "--as",
            "user:erin",
            "--via",
            "agent:reader",
        ];
        text(&world.run(&[&fixed[..], arguments].concat()))
    };
    let (code, said, _) = explain(&["can_read", "document:d1"]);
    assert_eq!(code, Some(0));
    for tuple in [
        "`folder:open parent document:d1`",
        "`group:staff#member viewer folder:open`",
        "`user:erin member group:staff`",
        "`agent:reader viewer folder:open`",
    ] {
        assert!(said.contains(tuple), "{tuple} is not in {said}");
    }
    let (code, said, _) = explain(&["can_read", "document:d2"]);
    assert_eq!(code, Some(1));
    assert!(
        said.contains("`agent:reader excluded document:d2`") && said.contains("taken away by the second"),
        "{said}"
    );
    let (code, said, _) = explain(&["can_read", "document:d2", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(code, Some(1));
    assert_eq!(json["allowed"], false);
    assert_eq!(json["denied_member"], "agent:reader");
    assert_eq!(json["members"][0]["answer"], "yes");
    assert_eq!(json["members"][1]["answer"], "no");
    assert!(said.contains("agent:reader excluded document:d2"));
}

#[test]
fn whoever_reads_no_further_is_told_of_no_error() {
    let world = world();
    let config = world.path("portcullis.yaml");
    for arguments in
        [vec!["validate", "--config", config.to_str().unwrap()], vec!["completions", "bash"], vec!["schema"]]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portcullis"));
        let ended = command.args(&arguments).stdout(writer).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!((ended.status.code(), said.as_str()), (Some(1), ""), "{arguments:?}");
    }
}

#[test]
fn validate_prints_the_routes_as_they_are() {
    let world = world();
    let (code, said, _) = text(&world.run(&["validate", "--config", "portcullis.yaml"]));
    assert_eq!(code, Some(0));
    for part in [
        "METHOD",
        "/documents/{document}",
        "can_read on document:{path.document}",
        "everything else is denied",
        "13 tuples",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    // What weakens or changes a route is in its notes.
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/config/reference/portcullis.yaml");
    let (_, said, _) = text(&world.run(&["validate", "--config", reference]));
    for part in ["body passed on unread", "one of jwt", "body may pause for 300s"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let (_, said, _) = text(&world.run(&["validate", "--config", "portcullis.yaml", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((json["valid"].as_bool(), json["routes"].as_array().unwrap().len()), (Some(true), 3));
    world.write("model.fga", "model\n  schema 1.1\ntype user\n");
    let (code, said, _) = text(&world.run(&["validate", "--config", "portcullis.yaml", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, json["valid"].as_bool()), (Some(1), Some(false)));
    assert!(json["problems"][0]["line"].as_u64().unwrap() > 0);
    let question = ["check", "--config", "portcullis.yaml", "--json", "--as", "user:erin", "can_read", "document:d1"];
    let (code, said, _) = text(&world.run(&question));
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, json["valid"].as_bool()), (Some(1), Some(false)));
    assert!(json["problems"][0]["line"].as_u64().unwrap() > 0);
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in ["run", "validate", "check", "explain", "test", "demo", "completions"] {
        let (code, said, _) = text(&run(&[command, "--help"]));
        assert_eq!(code, Some(0));
        assert!(said.contains("Example"), "{command}: {said}");
    }
    let (code, said, _) = text(&run(&["--help"]));
    assert_eq!(code, Some(0));
    assert!(said.contains("Exit codes: 0 allowed or fine, 1 denied or invalid, 2 usage."), "{said}");
    assert_eq!(text(&run(&["fly"])).0, Some(2));
    for shell in ["bash", "zsh", "fish"] {
        let (code, said, _) = text(&run(&["completions", shell]));
        assert!(code == Some(0) && said.contains("portcullis"), "{shell}");
    }
}

#[test]
fn the_published_schema_is_that_of_the_binary() {
    let (_, said, _) = text(&run(&["schema"]));
    let published = concat!(env!("CARGO_MANIFEST_DIR"), "/config/portcullis.schema.json");
    let written = std::fs::read_to_string(published).unwrap_or_default();
    assert!(said == written, "run `portcullis schema > config/portcullis.schema.json`");
}

#[test]
fn every_example_configuration_is_valid() {
    let config = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let mut checked = 0;
    for folder in std::fs::read_dir(config).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if file.file_name().is_some_and(|name| name == "portcullis.yaml") {
                let (code, _, said) = text(&run(&["validate", "--config", file.to_str().unwrap()]));
                assert_eq!(code, Some(0), "{said}");
                checked += 1;
            }
        }
    }
    assert!(checked > 0);
}

#[test]
fn model_convert_writes_the_other_form() {
    let world = world();
    let model = "model\n  schema 1.1\n\ntype user\n\ntype note\n  relations\n    define reader: [user, user with cc]\n\n\
                 condition cc(x: int) {\n  x == 1\n}\n";
    world.write("notes.fga", model);
    let convert = |arguments: &[&str]| text(&world.run(&[&["model", "convert"], arguments].concat()));
    let (code, json, _) = convert(&["notes.fga"]);
    assert_eq!(code, Some(0));
    world.write("notes.json", &json);
    assert_eq!(convert(&["notes.json"]), (Some(0), model.to_owned(), String::new()));
    assert_eq!(convert(&["notes.fga", "--to", "dsl"]).1, model);
    assert_eq!(convert(&["notes.json", "--to", "json"]).1, json);
    assert_eq!(convert(&["notes.json", "--output", "again.fga"]), (Some(0), String::new(), String::new()));
    assert_eq!(convert(&["again.fga"]).1, json);
    world.write("fga.mod", "schema: \"1.2\"\ncontents: [core.fga, gone.fga]\n");
    world.write("core.fga", "module core\ntype user\n");
    let (code, said, problems) = convert(&["fga.mod"]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(problems.starts_with("fga.mod:2:22: `gone.fga` cannot be read"), "{problems}");
    world.write("fga.mod", "schema: \"1.2\"\ncontents: [core.fga]\n");
    assert!(convert(&["fga.mod"]).1.contains("\"module\": \"core\""));
    assert_eq!(convert(&["gone.fga"]).0, Some(1));
}
