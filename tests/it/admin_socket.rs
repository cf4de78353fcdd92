//! The admin socket of the running binary, and the commands that ask it.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    process::{Command, Output},
    thread,
};

use serde_json::{Value, json};

use crate::support::{Portcullis, World, eventually};

fn world() -> World {
    World { more: "admin: { socket: admin.sock }".to_owned(), ..World::new() }
}

fn text(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// An answer over the socket: its status, head and body.
fn send(world: &World, request: &str) -> (u16, String, String) {
    let mut stream = UnixStream::connect(world.path("admin.sock")).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), head.to_owned(), body.to_owned())
}

fn posted(world: &World, path: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let (status, _, body) = send(world, &format!("{head}{body}"));
    (status, serde_json::from_str(&body).unwrap())
}

fn state(world: &World) -> Value {
    let (status, _, body) = send(world, "GET /state HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

const QUESTIONS: &[&[&str]] = &[
    &["check", "--as", "user:erin", "--via", "agent:reader", "can_read", "document:d1"],
    &["check", "--as", "user:erin", "--via", "agent:reader", "can_read", "document:d2"],
    &["check", "--as", "user:erin", "--task", "task:t1", "can_read", "document:d1"],
    &["check", "--as", "user:erin", "can_fly", "document:d1"],
    &["check", "--as", "user:erin", "can_read", "dragon:d1"],
    &["explain", "--as", "user:erin", "--via", "agent:reader", "can_read", "document:d1"],
    &["explain", "--as", "user:erin", "--via", "agent:reader", "can_read", "document:d2"],
    &["explain", "--as", "user:frank", "--task", "task:t1", "can_read", "document:d1"],
    &["explain", "--as", "user:erin", "--via", "agent:reader", "--via", "agent:planner", "can_read", "document:d2"],
    &[
        "explain",
        "--current-actor-only",
        "--as",
        "user:erin",
        "--via",
        "agent:reader",
        "--via",
        "agent:planner",
        "can_read",
        "document:d2",
    ],
    &["list", "objects", "--as", "user:erin", "can_read", "document"],
    &["list", "objects", "--as", "user:erin", "--via", "agent:reader", "can_read", "document"],
    &["list", "objects", "--as", "user:erin", "--limit", "1", "can_read", "document"],
    &["list", "objects", "--as", "user:erin", "can_read", "dragon"],
    &["list", "users", "--type", "user", "can_read", "document:d1"],
    &["list", "users", "--type", "group", "--relation", "member", "can_read", "document:d1"],
];

#[test]
fn the_running_proxy_answers_as_the_files_do() {
    let world = world();
    let proxy = world.start();
    let ask = |question: &[&str], from: &[&str], json: bool| {
        let words = if question[0] == "list" { 2 } else { 1 };
        let (command, rest) = question.split_at(words);
        let json: &[&str] = if json { &["--json"] } else { &[] };
        text(&world.run(&[command, from, json, rest].concat()))
    };
    let (files, socket) = (["--config", "portcullis.yaml"], ["--admin", "admin.sock"]);
    for question in QUESTIONS {
        let (code, said, problem) = ask(question, &files, false);
        let (running, answered, note) = ask(question, &socket, false);
        assert_eq!((running, &answered), (code, &said), "{question:?}: {note}");
        if !said.is_empty() {
            assert!(note.contains("by revision 1 of the running proxy"), "{note}");
        } else if code == Some(1) {
            assert_eq!(note, problem);
        }
        let (code, said, _) = ask(question, &files, true);
        let (running, answered, _) = ask(question, &socket, true);
        assert_eq!(running, code);
        let of_files: Value = serde_json::from_str(&said).unwrap_or_default();
        let mut of_proxy: Value = serde_json::from_str(&answered).unwrap_or_default();
        if let Some(members) = of_proxy.as_object_mut() {
            assert_eq!((members.remove("revision"), members.remove("stale")), (Some(json!(1)), Some(json!(false))));
            assert!(members.remove("age_seconds").is_some_and(|age| age.is_number()));
        }
        assert_eq!(of_proxy, of_files, "{question:?}");
    }
    // A new revision is asked as soon as it is in force; files that are refused are not asked.
    let tuples = world.tuples();
    world.replace(
        "tuples.yaml",
        tuples.replace(
            "{ user: agent:reader, relation: excluded, object: document:d2 }",
            "{ user: agent:reader, relation: viewer, object: document:d2 }",
        ),
    );
    let revision = proxy.until_revision_above(1);
    world.replace("tuples.yaml", "- nonsense");
    proxy.until_logged("the change was refused");
    let (code, said, note) = ask(QUESTIONS[1], &socket, false);
    assert_eq!((code, said.starts_with("allowed")), (Some(0), true), "{said}{note}");
    assert!(note.contains(&format!("by revision {revision} ")), "{note}");
    assert_eq!(ask(QUESTIONS[1], &files, false).0, Some(1));
}

#[test]
fn conditions_are_told_the_context_and_the_time() {
    let world = world();
    world.write(
        "model.fga",
        "model\n  schema 1.1\ntype user\ntype agent\ntype document\n  relations\n    define can_read: [user with until]\n    \
         define can_write: [user]\ncondition until(current_time: timestamp, end: timestamp, level: int) {\n  \
         current_time < end && level > 2\n}\n",
    );
    world.write(
        "tuples.yaml",
        "- user: user:erin\n  relation: can_read\n  object: document:d1\n  condition: { name: until, context: { end: \
         \"2100-01-01T00:00:00Z\" } }\n",
    );
    let _proxy = world.start();
    let check = |context: &str| {
        let fixed = ["check", "--admin", "admin.sock", "--as", "user:erin", "--context"];
        text(&world.run(&[&fixed[..], &[context, "can_read", "document:d1"]].concat()))
    };
    assert_eq!(check(r#"{"level": 3}"#).0, Some(0));
    assert_eq!(check(r#"{"level": "2"}"#).0, Some(1));
    assert_eq!(check(r#"{"level": 3, "current_time": "2100-01-01T00:00:00Z"}"#).0, Some(1));
    assert!(check("{}").1.contains("missing_context"));
}

#[test]
fn the_state_tells_what_runs() {
    let world = world();
    let proxy = world.start();
    let told = state(&world);
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&told["draining"], &told["in_flight"]), (&json!(false), &json!(0)));
    let listeners = json!([
        { "purpose": "data", "at": proxy.data.to_string() },
        { "purpose": "telemetry", "at": proxy.telemetry.to_string() },
        { "purpose": "admin", "at": world.path("admin.sock") },
    ]);
    assert_eq!(told["listeners"], listeners);
    let snapshot = &told["snapshot"];
    assert_eq!((&snapshot["revision"], &snapshot["stale"]), (&json!(1), &json!(false)));
    assert_eq!(snapshot["model"], json!({ "types": 6, "relations": 11, "conditions": 0 }));
    assert_eq!(snapshot["tuples"], json!({ "count": 13, "set_aside": 0 }));
    assert!(snapshot["source"].as_str().unwrap().contains("model.fga"));
    assert!(snapshot["max_staleness_seconds"].is_null());
}

#[test]
fn it_answers_by_a_stale_snapshot_and_says_so() {
    let mut world = world();
    world.policy_more = "max_staleness: 1s".to_owned();
    let proxy = world.start();
    // What is refused is not confirmed: from now on the snapshot ages.
    world.replace("model.fga", "nonsense");
    proxy.until_logged("the change was refused");
    eventually("the snapshot is stale", || (state(&world)["snapshot"]["stale"] == true).then_some(()));
    assert_eq!(proxy.get("/documents/d1", &world.issuer.token("erin", &[])).reason(), "stale_snapshot");
    let fixed = ["check", "--admin", "admin.sock", "--as", "user:erin", "can_read", "document:d1"];
    let (code, said, note) = text(&world.run(&fixed));
    // The policy would allow it, and the proxy does not: whoever looks at the exit code alone is told so.
    assert_eq!((code, said.starts_with("allowed")), (Some(1), true), "{said}{note}");
    let explained = ["explain", "--admin", "admin.sock", "--as", "user:erin", "can_read", "document:d1"];
    assert_eq!(text(&world.run(&explained)).0, Some(1));
    let list = ["list", "objects", "--admin", "admin.sock", "--as", "user:erin", "can_read", "document"];
    assert_eq!(text(&world.run(&list)).0, Some(0));
    assert!(note.contains("older than `policy.max_staleness`"), "{note}");
    let (_, said, _) = text(&world.run(&[&fixed[..], &["--json"]].concat()));
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap()["stale"], true);
}

#[test]
fn the_socket_is_the_owners_and_goes_with_the_process() {
    let world = world();
    let proxy = world.start();
    let file = fs::symlink_metadata(world.path("admin.sock")).unwrap();
    assert!(file.file_type().is_socket());
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    proxy.signal("-TERM");
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(!world.path("admin.sock").exists());
}

#[test]
fn a_killed_proxy_is_followed_at_the_same_path() {
    let world = world();
    let proxy = world.start();
    proxy.signal("-KILL");
    proxy.wait();
    assert!(world.path("admin.sock").exists());
    let ask = || text(&world.run(&["check", "--admin", "admin.sock", "--as", "user:erin", "can_read", "document:d1"]));
    let (code, _, said) = ask();
    assert_eq!(code, Some(1));
    assert!(said.contains("nobody listens on `admin.sock`"), "{said}");
    let _proxy = world.start();
    assert_eq!(ask().0, Some(0));
}

#[test]
fn two_proxies_do_not_share_a_socket() {
    let world = world();
    let first = world.start();
    let second = Portcullis::try_start(&world.path("portcullis.yaml"));
    let Err(log) = second else { panic!("the second came up") };
    assert!(log.contains("admin.sock`: another process does"), "{log}");
    // The first keeps its socket.
    assert_eq!(state(&world)["snapshot"]["revision"], 1);
    first.signal("-TERM");
    assert!(first.wait().success());
    world.write("admin.sock", "notes");
    let Err(log) = Portcullis::try_start(&world.path("portcullis.yaml")) else { panic!("it came up") };
    assert!(log.contains("it is there and no socket"), "{log}");
    assert_eq!(fs::read_to_string(world.path("admin.sock")).unwrap(), "notes");
}

#[test]
fn what_is_no_portcullis_is_said() {
    let world = World::new();
    let ask = |socket: &str| {
        let (code, said, problem) =
            text(&world.run(&["check", "--admin", socket, "--as", "user:erin", "can_read", "document:d1"]));
        assert_eq!((code, said.as_str()), (Some(1), ""));
        problem
    };
    assert!(ask("gone.sock").contains("there is no socket `gone.sock`"));
    assert!(ask("model.fga").contains("`model.fga` is not the admin socket of a Portcullis"));
    for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", "SSH-2.0-x\r\n", ""] {
        let path = world.path("other.sock");
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut begin = [0; 16];
            let _ = stream.read(&mut begin);
            let _ = stream.write_all(answer.as_bytes());
        });
        let said = ask("other.sock");
        assert!(said.contains("`other.sock` is not the admin socket of a Portcullis"), "{answer}: {said}");
        server.join().unwrap();
    }
    for usage in [&["--config", "portcullis.yaml"][..], &["--task-holder", "holder"]] {
        let fixed = ["check", "--admin", "x.sock", "--as", "user:erin", "can_read", "document:d1"];
        assert_eq!(text(&world.run(&[&fixed[..], usage].concat())).0, Some(2));
    }
}

#[test]
fn hostile_requests_are_answered() {
    let world = world();
    let _proxy = world.start();
    let question = r#"{"principal":{"subject":"user:erin"},"action":"can_read","resource":"document:d1"}"#;
    assert_eq!(posted(&world, "/check", question).0, 200);
    for (path, body, status) in [
        ("/check", "", 400),
        ("/check", "{", 400),
        ("/list", question, 400),
        ("/state", "{}", 405),
        ("/metrics", "{}", 404),
        ("/", "{}", 404),
        (
            "/list",
            r#"{"list":{"objects":{"principal":{"subject":"user:erin"},"action":"can_fly","type":"document"}}}"#,
            422,
        ),
    ] {
        let (given, answer) = posted(&world, path, body);
        assert_eq!(given, status, "{path} {body}: {answer}");
        assert!(answer["problem"].is_string());
    }
    assert_eq!(send(&world, "GET /check HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").0, 405);
    assert_eq!(send(&world, "nonsense\r\n\r\n").0, 400);
    let long = "x".repeat(2 * 1024 * 1024);
    let head =
        format!("POST /check HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", long.len());
    let mut stream = UnixStream::connect(world.path("admin.sock")).unwrap();
    // The proxy may close before it has read all of it.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(long.as_bytes()));
    drop(stream);
    assert_eq!(state(&world)["snapshot"]["revision"], 1);
}

/// A world in which each of many documents is looked at through a long way of groups.
fn laborious() -> World {
    let world = World {
        policy_source: "file: { model: model.fga, tuples: tuples.jsonl }".to_owned(),
        policy_more: "max_steps: 1000000000".to_owned(),
        ..world()
    };
    let model = "model
  schema 1.1
type user
type agent
type task
type group
  relations
    define member: [user, group#member with odd]
type document
  relations
    define viewer: [user]
    define excluded: [group#member]
    define can_write: [user]
    define can_read: viewer but not excluded
condition odd(x: int) {
  x % 2 == 1
}
";
    world.write("model.fga", model);
    let condition = json!({ "name": "odd", "context": { "x": 1 } });
    let within = (1..2_000).map(|n| {
        let user = format!("group:{n}#member");
        json!({ "user": user, "relation": "member", "object": "group:0", "condition": condition }).to_string()
    });
    let documents = (0..200).flat_map(|n| {
        let object = format!("document:{n}");
        [("user:erin", "viewer"), ("group:0#member", "excluded")]
            .map(|(user, relation)| json!({ "user": user, "relation": relation, "object": object }).to_string())
    });
    world.write("tuples.jsonl", within.chain(documents).collect::<Vec<_>>().join("\n"));
    world
}

#[test]
fn a_long_list_does_not_hold_up_health() {
    let world = laborious();
    let proxy = world.start();
    let list = r#"{"list":{"objects":{"principal":{"subject":"user:erin"},"action":"can_read","type":"document"}}}"#;
    thread::scope(|scope| {
        let listing = scope.spawn(|| posted(&world, "/list", list));
        let mut answers = 0;
        while !listing.is_finished() {
            assert_eq!(proxy.telemetry("/readyz").status, 200);
            answers += 1;
        }
        let (status, list) = listing.join().unwrap();
        assert_eq!((status, list["document"]["objects"].as_array().map(Vec::len)), (200, Some(200)));
        // Were health held up, one or two answers at most would have come before the list began.
        assert!(answers > 5, "{answers} answers while the list was made");
    });
}

#[test]
fn others_may_not_ask() {
    let world = world();
    let _proxy = world.start();
    if fs::metadata(world.folder.path()).unwrap().uid() != 0 {
        // Only root can be somebody else.
        return;
    }
    fs::set_permissions(world.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["check", "--admin", "admin.sock", "--as", "user:erin", "can_read", "document:d1"]);
    // The other one may not run a binary in a home that is closed.
    let Ok(output) = command.current_dir(world.folder.path()).uid(65534).gid(65534).output() else { return };
    let (code, said, problem) = text(&output);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(problem.contains("the socket `admin.sock` may be used by its owner only"), "{problem}");
}

#[test]
fn another_socket_needs_a_restart() {
    let mut world = world();
    let proxy = world.start();
    world.more = "admin: { socket: other.sock }".to_owned();
    world.replace("portcullis.yaml", world.config());
    proxy.until_logged("changed since the start: admin");
    assert_eq!(state(&world)["snapshot"]["revision"], 1);
    assert!(!world.path("other.sock").exists());
}
