//! What a page of a browser can make it send: to routes, and to the operator's doors over TCP.

use crate::support::{Answer, Portcullis, World, answer_of};

const ROUTES: &str = r#"
  - path: /documents/{document}
    upstream: main
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
  - path: /mcp
    upstream: main
    operations:
      POST: { action: can_read, resource: "document:{body.params.name}" }
  - path: /console/{document}
    upstream: main
    origins: ["https://app.acme.example", "http://localhost:6274"]
    operations:
      GET: { action: can_read, resource: "document:{path.document}" }
      POST: { action: can_read, resource: "document:{body.params.name}" }
"#;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"d1"}}"#;

fn told(answer: &Answer) -> (u16, String) {
    (answer.status, answer.reason())
}

#[test]
fn a_route_says_whose_pages_may_ask() {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let refused = (403, "origin_not_allowed".to_owned());
    for origin in ["https://app.acme.example", "http://localhost:6274"] {
        let fields = format!("origin: {origin}\r\n");
        assert_eq!(portcullis.request("GET", "/console/d1", &token, &fields, "").status, 200, "{origin}");
    }
    assert_eq!(portcullis.get("/console/d1", &token).status, 200, "agents are no pages");
    let passed = world.upstream.seen().len();
    for origin in [
        "https://evil.example",
        "https://app.acme.example.evil.example",
        "https://app.acme.example:8443",
        "http://app.acme.example",
        "https://APP.acme.example",
        "http://localhost:62740",
        "null",
        "",
    ] {
        let fields = format!("origin: {origin}\r\n");
        let answer = portcullis.request("GET", "/console/d1", &token, &fields, "");
        assert_eq!(told(&answer), refused, "{origin}");
        let record = world.record_of(&answer);
        assert_eq!(
            (&record["reason"], &record["route"]),
            (&"origin_not_allowed".into(), &"/console/{document}".into())
        );
    }
    let twice = "origin: https://app.acme.example\r\norigin: https://app.acme.example\r\n";
    let answer = portcullis.request("GET", "/console/d1", &token, twice, "");
    assert_eq!(told(&answer), (400, "repeated_header".to_owned()));
    // It is said before anybody is asked for a credential: a page learns nothing of those.
    let bare = "GET /console/d1 HTTP/1.1\r\nhost: a\r\norigin: https://evil.example\r\n\r\n";
    assert_eq!(told(&answer_of(portcullis.data, bare).unwrap()), refused);
    assert_eq!(world.upstream.seen().len(), passed);
}

#[test]
fn no_page_sends_messages_of_mcp_but_where_it_may() {
    let world = World::with_routes(ROUTES);
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let json = "content-type: application/json\r\n";
    let version = format!("{json}mcp-protocol-version: 2025-11-25\r\n");
    let page = "origin: https://app.acme.example\r\n";
    assert_eq!(portcullis.request("POST", "/mcp", &token, &version, CALL).status, 200);
    let passed = world.upstream.seen().len();
    for field in [
        "mcp-protocol-version: 2025-11-25\r\n",
        "mcp-session-id: 7\r\n",
        "mcp-method: tools/call\r\nmcp-name: d1\r\n",
        "MCP-NAME: d1\r\n",
    ] {
        // Whether its body is a message or not.
        for body in [CALL, r#"{"params":{"name":"d1"}}"#] {
            let answer = portcullis.request("POST", "/mcp", &token, &format!("{json}{page}{field}"), body);
            assert_eq!(told(&answer), (403, "origin_not_allowed".to_owned()), "{field} {body}");
        }
    }
    // The first message of a client has none of these fields, and those of old ones never do.
    for (fields, body) in [(json, CALL.to_owned()), ("", CALL.to_owned()), (json, CALL.replace("jsonrpc", "JSONRPC"))] {
        let answer = portcullis.request("POST", "/mcp", &token, &format!("{fields}{page}"), &body);
        assert_eq!(told(&answer), (403, "origin_not_allowed".to_owned()), "{body}");
    }
    assert_eq!(world.upstream.seen().len(), passed);
    let other = r#"{"params":{"name":"d1"}}"#;
    assert_eq!(portcullis.request("POST", "/mcp", &token, &format!("{json}{page}"), other).status, 200);
    let fields = format!("{version}{page}");
    assert_eq!(portcullis.request("POST", "/console/x", &token, &fields, CALL).status, 200);
    // Any other page may ask where nobody said whose may: with a credential.
    assert_eq!(portcullis.request("GET", "/documents/d1", &token, page, "").status, 200);
}

#[test]
fn metrics_are_asked_for_by_a_name_of_theirs_and_by_no_page() {
    let world = World::new();
    let asked = |address, fields: &str| {
        let answer = answer_of(address, format!("GET /metrics HTTP/1.1\r\n{fields}connection: close\r\n\r\n")).unwrap();
        (answer.status, answer.body.contains("# HELP portcullis_"))
    };
    {
        let portcullis = world.start();
        for host in ["localhost:9902", "127.0.0.1", "[::1]", "10.1.2.3:80"] {
            assert_eq!(asked(portcullis.telemetry, &format!("host: {host}\r\n")), (200, true), "{host}");
        }
        for host in ["rebound.example", "metrics.acme.example", "127.0.0.1.rebound.example", ""] {
            assert_eq!(asked(portcullis.telemetry, &format!("host: {host}\r\n")), (421, false), "{host}");
        }
        let page = "host: localhost\r\norigin: http://localhost\r\n";
        assert_eq!(asked(portcullis.telemetry, page), (403, false));
        let twice = "host: localhost\r\nhost: localhost\r\n";
        assert_eq!(asked(portcullis.telemetry, twice), (421, false));
        for path in ["/livez", "/readyz"] {
            for head in ["HTTP/1.0\r\n", "HTTP/1.1\r\nhost: telemetry\r\nconnection: close\r\n"] {
                let request = format!("GET {path} {head}\r\n");
                assert_eq!(answer_of(portcullis.telemetry, request).unwrap().status, 200, "{path} {head}");
            }
        }
        assert_eq!(answer_of(portcullis.telemetry, "GET /metrics HTTP/1.0\r\n\r\n").unwrap().status, 200);
    }
    let named = "telemetry: { address: 127.0.0.1:0, hosts: [metrics.acme.example] }";
    let config = world.config().replace("telemetry: { address: 127.0.0.1:0 }", named);
    assert!(config.contains(named));
    world.write("named.yaml", config);
    let portcullis = Portcullis::start(&world.path("named.yaml"));
    assert_eq!(asked(portcullis.telemetry, "host: Metrics.acme.example:9902\r\n"), (200, true));
    assert_eq!(asked(portcullis.telemetry, "host: rebound.example\r\n"), (421, false));
}

#[test]
fn what_is_no_origin_and_no_host_is_told() {
    let refused = |world: &World, config: String, expected: &str| {
        world.write("portcullis.yaml", config);
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(expected), "{said}");
    };
    for origin in
        ["null", "app.acme.example", "https://app.acme.example/", "https://*.acme.example", "https://A.example"]
    {
        let written = format!("origins: [\"{origin}\"]");
        let routes = ROUTES.replace("origins: [\"https://app.acme.example\", \"http://localhost:6274\"]", &written);
        let world = World::with_routes(&routes);
        refused(&world, world.config(), "is not an origin as browsers write it");
    }
    let world = World::new();
    for (hosts, expected) in [("a b", "not a host"), ("metrics.acme.example:9902", "has a port")] {
        let written = format!("telemetry: {{ address: 127.0.0.1:0, hosts: [\"{hosts}\"] }}");
        refused(&world, world.config().replace("telemetry: { address: 127.0.0.1:0 }", &written), expected);
    }
}
