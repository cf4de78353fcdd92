//! Documents that are wrong: each problem with file, line and column, all in one report, and the process does not start.

use std::path::Path;

use crate::support::{Issuer, Portcullis, World};

/// What `portcullis validate` says, with the folder's name left out.
fn report(world: &World) -> String {
    let output = world.run(&["validate", "--config", "portcullis.yaml"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    said
}

fn report_of(change: impl Fn(String) -> String) -> String {
    let world = World::new();
    let config = world.config();
    let changed = change(config.clone());
    assert_ne!(changed, config, "the change has changed something");
    world.write("portcullis.yaml", &changed);
    let said = report(&world);
    let refused = Portcullis::try_start(&world.path("portcullis.yaml")).err().expect("it does not start");
    let count = |text: &str| text.lines().last().unwrap_or_default().to_owned();
    assert_eq!(count(&refused), count(&said), "`run` says the same");
    said
}

fn replaced(from: &str, to: &str) -> String {
    report_of(|config| config.replace(from, to))
}

#[track_caller]
fn says(report: &str, parts: &[&str]) {
    for part in parts {
        assert!(report.contains(part), "`{part}` is not in:\n{report}");
    }
}

#[test]
fn unknown_keys_are_refused_with_advice() {
    says(
        &replaced("audiences:", "audience:"),
        &["portcullis.yaml:10:7: unknown key `audience`", "did you mean `audiences`?"],
    );
    says(&replaced("audiences:", "audience:"), &["the key `audiences` is missing here"]);
    says(
        &replaced("workers: 2", "worker: 2"),
        &["portcullis.yaml:4:1: unknown key `worker`", "did you mean `workers`?"],
    );
    says(&replaced("workers: 2", "threads: 2"), &["portcullis.yaml:4:1: unknown key `threads`", "known here:"]);
}

#[test]
fn several_problems_are_one_report() {
    let said = report_of(|config| {
        config
            .replace("127.0.0.1:0\ntelemetry", "localhost\ntelemetry")
            .replace("upstream: main", "upstream: mian")
            .replace("{path.document}\" }\n      HEAD", "{path.dokument}\" }\n      HEAD")
            .replace("user:{sub}", "user:sub")
            .replace("HEAD: { action: can_read", "HEAD: { action: can_raed")
    });
    says(
        &said,
        &[
            "portcullis.yaml:2:14: `localhost` is not an address and a port",
            "there is no upstream `mian`",
            "did you mean `main`?",
            "`{path.dokument}` is not captured by the path `/documents/{document}`, which captures `{path.document}`",
            "`user:sub` holds no claim",
            // Routes are held against the model although the rest is not right.
            "the model's type `document` has no relation `can_raed`",
            "5 problems",
        ],
    );
}

#[test]
fn yaml_that_is_none_is_refused_where_it_breaks() {
    says(&replaced("workers: 2", "workers: [2"), &["portcullis.yaml:"]);
    says(
        &replaced("workers: 2", "workers: 2\nworkers: 3"),
        &["portcullis.yaml:5:1: ", "the key `workers` is here a second time"],
    );
    says(&replaced("workers: 2", "workers: two"), &["portcullis.yaml:4:10: "]);
    says(&replaced("workers: 2", "workers: 0"), &["portcullis.yaml:4:10: 0 workers would serve nobody"]);
}

#[test]
fn routes_are_checked() {
    let more = |text: &str| replaced("routes: \n", &format!("routes: \n{text}"));
    let route = |path: &str, operation: &str| {
        more(&format!("  - path: \"{path}\"\n    upstream: main\n    operations:\n      GET: {operation}\n"))
    };
    let good = "{ action: can_read, resource: \"document:d1\" }";
    says(&route("/documents/{id}", good), &["could match the same request as the route on line", "tell them apart"]);
    says(&route("/a/", good), &["the path `/a/` is not canonical: a segment is empty"]);
    says(&route("/a/{b}c", good), &["`{b}c` is neither a literal segment nor one whole `{name}`"]);
    says(&route("/a", "{ action: can_read }"), &["an operation stands for one access or for several"]);
    says(&route("/a", "{ action: can_read, resource: \"{query.x}\" }"), &["does not begin with a type"]);
    says(
        &route("/a", "{ action: can_read, resource: \"document:{query.a}{query.b}\" }"),
        &["two variables without a text between"],
    );
    says(&route("/a", "{ action: can_read, resource: \"document:{qeury.a}\" }"), &["`{qeury.a}` is no variable"]);
    says(
        &route("/a", "{ action: can_raed, resource: \"document:d1\" }"),
        &["the model's type `document` has no relation `can_raed`", "did you mean `can_read`?"],
    );
    says(
        &route("/a", "{ action: can_read, resource: \"dokument:d1\" }"),
        &["the model has no type `dokument`", "did you mean `document`?"],
    );
    says(
        &more(
            "  - { path: /b, upstream: main, operations: { get: { action: can_read, resource: \"document:d1\" } } }\n",
        ),
        &["`get` is not a method that is served"],
    );
    says(
        &route("/a", "{ action: can_read, resource: \"document:{header.x-forwarded-user}\" }"),
        &["the proxy drops or replaces `x-forwarded-user`"],
    );
    says(
        &more(
            "  - { path: /b, headers: { x-real-ip: \"1\" }, upstream: main, operations: { GET: { action: can_read, resource: \"document:d1\" } } }\n",
        ),
        &["the proxy drops or replaces `x-real-ip`"],
    );
    says(
        &route("/a", "{ action: can_read, resource: \"document:{header.mcp-param-id}\" }"),
        &["`mcp-param-id` repeats an argument of the message", "`{body.params.arguments.NAME}`"],
    );
    says(
        &more(
            "  - { path: /b, headers: { mcp-param-id: \"1\" }, upstream: main, operations: { GET: { action: can_read, resource: \"document:d1\" } } }\n",
        ),
        &["`mcp-param-id` repeats an argument of the message"],
    );
    says(&more("  - { path: /b, upstream: main, operations: {} }\n"), &["`operations` is empty"]);
}

#[test]
fn identity_is_checked() {
    let issuer = "    - issuer: https://idp.acme.example\n      audiences: [a]\n      jwks: { file: jwks.json }\n      subject: \"user:{sub}\"\n";
    says(
        &replaced("  jwt:\n", &format!("  jwt:\n{issuer}")),
        &["the issuer `https://idp.acme.example` is configured twice", "it is on line 9 already"],
    );
    says(
        &replaced("audiences: [https://api.acme.example]", "audiences: []"),
        &["portcullis.yaml:10:18: an issuer needs audiences"],
    );
    says(
        &replaced("{ file: jwks.json }", "{ file: nothing.json }"),
        &["portcullis.yaml:11:21: `nothing.json` cannot be read"],
    );
    says(
        &replaced("{ file: jwks.json }", "{ url: \"http://idp.example/keys\" }"),
        &["is no URL to fetch keys from", "https"],
    );
    says(&replaced("{ file: jwks.json }", "{}"), &["`jwks` says nothing of where the keys are"]);
    says(
        &replaced("actor: \"agent:{sub}\"", "actor: \"agent:{sub}\"\n      algorithms: [HS256]"),
        &["`HS256` is not a served algorithm"],
    );
    says(&replaced("actor: \"agent:{sub}\"", "actor: \"agent:{sub}\"\n      leeway: 10m"), &["at most 120"]);
}

#[test]
fn all_of_identity_is_checked_though_keys_are_to_be_fetched() {
    let url = "{ url: \"https://127.0.0.1:1/keys\" }";
    let other = format!(
        "    - issuer: https://other.example\n      audiences: []\n      leeway: 10m\n      jwks: {url}\n      \
         subject: \"user:{{sub}}\"\n"
    );
    let key = "{ id: aaaaaaaa, hash: \"sha256:HASH\", subject: \"user:erin\" }".replace("HASH", &"0".repeat(64));
    let said = report_of(|config| {
        config
            .replace("{ file: jwks.json }", url)
            .replace("audiences: [https://api.acme.example]", "audiences: []")
            .replace(
                "  jwt:\n",
                &format!("  task_header: host\n  api_keys: {{ keys: [{key}, {key}] }}\n  jwt:\n{other}"),
            )
    });
    says(
        &said,
        &[
            "portcullis.yaml:12:18: an issuer needs audiences",
            "portcullis.yaml:17:18: an issuer needs audiences",
            "at most 120",
            "portcullis.yaml:8:16: ",
            "`aaaaaaaa`",
            "5 problems",
        ],
    );
}

#[test]
fn a_key_set_with_two_keys_of_one_id_is_refused_where_the_second_is() {
    let world = World::new();
    let twice = format!("{{\n  \"keys\": [\n    {},\n    {}\n  ]\n}}", world.issuer.jwk(), Issuer::new("k1").jwk());
    world.write("jwks.json", twice);
    world.write("portcullis.yaml", world.config());
    says(&report(&world), &["jwks.json:4:", "k1"]);
    world.write("jwks.json", "{ \"keys\": [ }");
    says(&report(&world), &["jwks.json:1:"]);
}

#[test]
fn model_and_tuples_are_checked_beside_the_configuration() {
    let world = World::new();
    let model = std::fs::read_to_string(world.path("model.fga")).unwrap();
    world.write("model.fga", model.replace("viewer from parent", "viewr from parent"));
    world.write(
        "tuples.yaml",
        format!("{}- {{ user: alien:x, relation: viewer, object: document:d1 }}\n", world.tuples()),
    );
    world.write("portcullis.yaml", world.config().replace("workers: 2", "worker: 2"));
    says(&report(&world), &["portcullis.yaml:4:1: unknown key `worker`"]);
    world.write("portcullis.yaml", world.config().replace("workers: 2", "workers: 0"));
    says(&report(&world), &["portcullis.yaml:4:10: ", "model.fga:20:", "viewr"]);
    world.write("model.fga", model);
    says(&report(&world), &["portcullis.yaml:4:10: ", "tuples.yaml:14:", "alien"]);
}

#[test]
fn files_that_are_not_there_are_named() {
    says(&replaced("model: model.fga", "model: nothing.fga"), &["nothing.fga` cannot be read"]);
    says(&replaced("tuples: tuples.yaml", "tuples: tuples.txt"), &["`tuples.txt` cannot be read"]);
    let world = World::new();
    assert!(Portcullis::try_start(Path::new("/nowhere/portcullis.yaml")).is_err());
    let said = world.run(&["validate", "--config", "nothing.yaml"]);
    assert_eq!(said.status.code(), Some(1));
    says(&String::from_utf8(said.stderr).unwrap(), &["nothing.yaml: cannot be read"]);
}

#[test]
fn an_address_that_is_taken_is_named() {
    let world = World::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    world.write("portcullis.yaml", world.config().replace("- address: 127.0.0.1:0", &format!("- address: {address}")));
    let said = Portcullis::try_start(&world.path("portcullis.yaml")).err().unwrap();
    says(&said, &[&format!("cannot listen on {address}")]);
}

#[test]
fn uses_are_counted_for_one_route_only() {
    let world = World::with_routes(
        r#"
  - path: /documents/{document}
    upstream: main
    operations: { GET: { action: can_read, resource: "document:{path.document}", uses: { most: 3, within: 1h, per: subject } } }
  - path: /documents/{document}
    headers: { x-version: "2" }
    upstream: main
    operations: { GET: { action: can_read, resource: "document:{path.document}", uses: { most: 9, within: 1s, per: subject } } }
"#,
    );
    world.write("portcullis.yaml", world.config());
    let said = report(&world);
    says(
        &said,
        &[
            "another route with `uses` or `bytes` is called `/documents/{document}` too",
            "give each of them a `name`",
            "1 problem",
        ],
    );
}

/// Each change of the configuration with what is said of it.
#[track_caller]
fn each_says(changes: &[(&str, &str, &str)]) {
    for (from, to, said) in changes {
        says(&replaced(from, to), &[said]);
    }
}

#[test]
fn what_is_not_the_yaml_that_is_read_is_said_in_plain_words() {
    let telemetry = "telemetry: { address: 127.0.0.1:0 }";
    each_says(&[
        (telemetry, "workers: 1", "portcullis.yaml:4:1: the key `workers` is here a second time"),
        ("\nroutes:", "\n---\nroutes:", "a second document begins here, but a file holds one"),
        ("workers: 2", "workers: 99999999999999999999999", "this is no whole number from 0 to 4294967295"),
        ("workers: 2", "workers: 1e3", "write it in digits alone, such as `1000`"),
        (
            "workers: 2",
            "workers: 100000",
            "100000 workers are more than any machine has cores\n  help: write at most 1024",
        ),
        ("task_holder: holder", "max_staleness: 60", "`60` is written here, but a text is expected"),
        ("task_holder: holder", "max_staleness: 60", "for a time write its unit too, such as `60s`"),
        ("task_holder: holder", "max_staleness: 999999999999999999d", "is longer than a duration can be"),
        (
            "audit: { file: audit.jsonl }",
            "audit: { on_failure: cuont }",
            "`cuont` is not known here\n  help: did you mean `count`?",
        ),
        ("audiences: [https://api.acme.example]", "audiences: https://x", "write a list of one: `[\"https://x\"]`"),
        ("listen:\n  - address", "listen:\n    address", "a mapping is written here, but a list is expected"),
    ]);
    says(&report_of(|_| "# nothing\n".to_owned()), &["the configuration is empty", "at least `listen` and `policy`"]);
    let bomb = "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n";
    says(&report_of(|_| bomb.to_owned()), &["this is more than is read"]);
}

#[test]
fn files_beside_are_explained_in_the_same_words() {
    let said_of = |name: &str, text: &[u8], policy: &str| {
        let world = World { policy_more: policy.to_owned(), ..World::new() };
        world.write("portcullis.yaml", world.config());
        world.write(name, text);
        report(&world)
    };
    let tuple = "- { user: user:erin, user: user:frank, relation: viewer, object: folder:open }\n";
    let said = said_of("tuples.yaml", tuple.as_bytes(), "");
    says(&said, &["tuples.yaml:1:22: this is not a list of tuples: the key `user` is here a second time"]);
    assert!(!said.contains("line 1"), "the place is said once: {said}");
    let said = said_of("tuples.yaml", b"- &a { user: user:erin, relation: viewer, object: folder:open }\n- *a\n", "");
    says(&said, &["anchors and aliases (`&name`, `*name`) are not read here"]);
    let said = said_of("denied.yaml", b"a: b\n", "denylist: denied.yaml");
    says(&said, &["denied.yaml:1:1: a list is expected here: begin each element with `- `"]);
    // What is not UTF-8 says where.
    says(
        &said_of("model.fga", b"model\n  schema 1.1\ntype us\xe9r\n", ""),
        &["model.fga:3:8: from here on it is ", "not UTF-8"],
    );
    let said = said_of("tuples.yaml", b"- { user: user:erin, relation: viewer, object: folder:\xff }\n", "");
    says(&said, &["tuples.yaml:1:55: from here on it is not UTF-8"]);
    let world = World::new();
    world.write("portcullis.yaml", [b"# caf\xe9\n".to_vec(), world.config().into_bytes()].concat());
    says(&report(&world), &["portcullis.yaml:1:6: from here on it is not UTF-8"]);
}

#[test]
fn files_of_the_policy_that_are_not_there_are_reported_where_they_are_named() {
    each_says(&[
        ("model: model.fga", "model: gone.fga", "portcullis.yaml:17:28: `"),
        ("model: model.fga", "model: gone.fga", "gone.fga` cannot be read: No such file"),
        ("tuples: tuples.yaml", "tuples: .", "`.` cannot be read: it is not a regular file"),
        ("tuples: tuples.yaml", "tuples: [tuples.yaml, gone.yaml]", "gone.yaml` cannot be read: No such file"),
    ]);
}

#[test]
fn what_would_be_in_the_way_of_another_is_refused() {
    let address = "- address: 127.0.0.1:0";
    let telemetry = "{ address: 127.0.0.1:0 }";
    let twice = |one: &str, other: &str, said: &str| {
        let report = report_of(|config| {
            config
                .replace(address, &format!("- address: \"{one}\""))
                .replace(telemetry, &format!("{{ address: \"{other}\" }}"))
        });
        says(&report, &[said]);
    };
    twice("127.0.0.1:18099", "127.0.0.1:18099", "portcullis.yaml:3:23: `127.0.0.1:18099` is listened on twice");
    twice("0.0.0.0:18099", "127.0.0.1:18099", "`0.0.0.0:18099` is the same port");
    twice("127.0.0.1:18099", "[::]:18099", "give each listener a port of its own");
    let long = format!("- address: unix:{}", "a".repeat(200));
    let socket = format!("admin: {{ socket: {} }}\nworkers: 2", "a".repeat(200));
    let audit = "audit: { file: audit.jsonl }";
    each_says(&[
        (address, &long, "portcullis.yaml:2:14: the path of a Unix socket has at most 107 bytes"),
        ("workers: 2", &socket, "portcullis.yaml:4:18: the path of a Unix socket has at most 107 bytes"),
        (
            address,
            "- address: unix:one.sock\nadmin: { socket: one.sock }",
            "`one.sock` is another listener's socket too",
        ),
        (audit, "audit: { file: . }", "` is a directory\n  help: name a file in it, such as `audit.jsonl`"),
        (audit, "audit: { file: no/such/audit.jsonl }", "is in a directory that is not there"),
        (audit, "audit: { file: ./tuples.yaml }", "is a file of this configuration: records would be written into it"),
        (audit, "audit: { file: portcullis.yaml }", "is a file of this configuration"),
    ]);
}

#[test]
fn what_could_never_work_is_refused() {
    each_says(&[
        (
            "workers: 2",
            "limits: { field_bytes: 100 }",
            "portcullis.yaml:4:24: 100 bytes are less than what clients send",
        ),
        (
            "\"user:{sub}\"",
            "\"usr:{sub}\"",
            "portcullis.yaml:12:16: the model has no type `usr`\n  help: did you mean `user`?",
        ),
        ("\"agent:{sub}\"", "\"robot:{sub}\"", "the model has no type `robot`"),
        ("issuer: https://idp.acme.example", "issuer: \" https://idp.acme.example\"", "has white space around it"),
    ]);
}

#[test]
fn a_task_that_nothing_binds_cannot_be_required_and_routes_have_names_of_their_own() {
    let report_of = |routes: &str, without: &str| {
        let world = World::with_routes(routes);
        world.write("portcullis.yaml", world.config().replace(without, ""));
        report(&world)
    };
    let route = |path: &str, more: &str| {
        format!(
            "\n  - path: {path}/{{document}}\n    name: documents\n    upstream: main\n    operations:\n      \
             GET: {{ action: can_read, resource: \"document:{{path.document}}\"{more} }}"
        )
    };
    let said = report_of(&route("/a", ", require_task: true"), "      task: \"task:{task}\"\n");
    says(&said, &["a task is required, but no credential can be bound to one", "1 problem\n"]);
    let said = report_of(&(route("/a", "") + &route("/b", "")), "nothing at all");
    says(&said, &["is called `documents` too", "give each of them a name of its own", "1 problem\n"]);
}
