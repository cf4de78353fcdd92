//! Every command in the README is run as it stands there.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Command, Stdio},
};

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// The blocks of one language, in order.
fn blocks(language: &str) -> Vec<String> {
    let text = readme();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_two_commands_exist() {
    let first = blocks("sh").into_iter().next().unwrap();
    let targets: Vec<_> = first.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(targets, ["demo", "test"]);
    for target in targets {
        let planned = Command::new("make")
            .args(["--dry-run", "-C", env!("CARGO_MANIFEST_DIR"), target])
            .output()
            .expect("make is installed");
        assert!(planned.status.success(), "make {target}: {}", String::from_utf8_lossy(&planned.stderr));
    }
}

#[test]
fn the_tutorial_works_as_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    // The ports of the text may be taken on this machine.
    let free: Vec<_> = (0..7).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let ports: Vec<_> = free.iter().map(|listener| listener.local_addr().unwrap().port().to_string()).collect();
    drop(free);
    let written = ["8080", "9001", "9902", "8081", "8090", "3128", "9903"];
    let ported = |text: &str| {
        // In two steps, because a free port may hold the digits of a written one.
        let marked =
            written.iter().enumerate().fold(text.to_owned(), |text, (n, port)| text.replace(port, &format!("@{n}@")));
        ports.iter().enumerate().fold(marked, |text, (n, port)| text.replace(&format!("@{n}@"), port))
    };
    for block in blocks("yaml") {
        let (first, rest) = block.split_once('\n').unwrap();
        let name = first.strip_prefix("# file: ").unwrap_or_else(|| panic!("a block without a file: {first}"));
        fs::write(folder.path().join(name), ported(rest)).unwrap();
    }
    let steps: String = blocks("sh").iter().skip(1).map(|block| ported(block)).collect();
    // Whatever happens, what was started in the background ends with the script.
    let script = format!("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\n{steps}");
    let binary = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().unwrap().display().to_string();
    let done = Command::new("timeout")
        .args(["60", "bash", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", format!("{binary}:{}", std::env::var("PATH").unwrap()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let log = fs::read_to_string(folder.path().join("portcullis.log")).unwrap_or_default();
    assert!(done.status.success(), "{said}\n{}\n{log}", String::from_utf8_lossy(&done.stderr));
    for part in [
        "everything else is denied",
        "Q1 was fine",
        "\"reason\":\"not_permitted\"",
        "\"reason\":\"no_route\"",
        "allowed: can_read on report:q1",
        "denied, exit code 1",
        "report:q1\nagent:writer\n",
        "1 passed, 0 failed (2 questions)",
        "Q2 is secret",
        "\"denied_member\":\"agent:writer\"",
        "{\"allowed\":false,\"resolution\":\"\"}{}{\"allowed\":true,\"resolution\":\"\"}",
        "Q1 was fine\nQ1 was fine\n{\"type\":\"urn:portcullis:reason:not_permitted\"",
        "no tunnel, exit code 56",
        "\"reason\":\"tunnel\"",
        "portcullis_decisions_total{outcome=\"allow\",reason=\"permitted\",route=\"/reports/{report}\"}",
    ] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
}

#[test]
fn the_reasons_of_the_readme_are_the_reasons() {
    let text = readme();
    for reason in portcullis::access::Reason::ALL {
        use portcullis::access::Reason;
        // An allow has no reason to tell, and a client that went away is told none.
        if !matches!(reason, Reason::Permitted | Reason::Abandoned) {
            assert!(text.contains(&format!("`{reason}`")), "{reason}");
        }
    }
}

#[test]
fn the_reference_has_every_key_of_the_schema() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let schema: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.join("portcullis.schema.json")).unwrap()).unwrap();
    let reference = fs::read_to_string(folder.join("reference/portcullis.yaml")).unwrap();
    let definitions = schema["$defs"].as_object().unwrap().values();
    for definition in definitions.chain([&schema]) {
        for key in definition["properties"].as_object().into_iter().flatten().map(|(key, _)| key) {
            assert!(reference.contains(&format!("{key}:")), "`{key}` is not in config/reference/portcullis.yaml");
        }
    }
}
