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
    says(&replaced("workers: 2", "workers: 2\nworkers: 3"), &["portcullis.yaml:5:1: ", "uplicate"]);
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
    says(&replaced("model: model.fga", "model: nothing.fga"), &["nothing.fga: cannot be read"]);
    says(&replaced("tuples: tuples.yaml", "tuples: tuples.txt"), &["tuples.txt: "]);
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
