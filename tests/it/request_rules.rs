//! The rules of reading requests and answers, and the tests that fail without each of them.

use crate::support::{Connection, World, answer_of, each_is_a_test, eventually, request};

/// Each rule with the tests that hold it, by their names.
const RULES: &[(&str, &[&str])] = &[
    (
        "a request is read once, and what is decided is, byte for byte, what is sent",
        &[
            "one_spelling_is_decided_recorded_and_sent",
            "what_is_canonical_is_itself_and_what_is_sent_is_what_was_decided",
            "no_attack_by_http_1_is_read_as_what_was_not_permitted",
            "no_attack_by_http_2_is_read_as_what_was_not_permitted",
            "the_readings_find_what_is_known_to_pass_other_proxies",
        ],
    ),
    (
        "a path has one spelling",
        &[
            "what_has_more_than_one_reading_is_refused",
            "canonical_is_a_fixed_point",
            "a_text_is_folded_until_nothing_changes",
        ],
    ),
    ("escapes are decoded once", &["unreserved_escapes_are_decoded_and_others_upper_cased"]),
    ("a variable takes its whole segment, with its `;`", &["captures_take_whole_segments"]),
    ("hosts are compared whole, paths by their bytes", &["hosts_match_whole_labels", "the_most_specific_path_wins"]),
    (
        "no fragment, user or other scheme, and the target agrees with Host",
        &["absolute_form_must_agree_with_host_and_becomes_origin_form", "host_is_there_once_and_is_a_host"],
    ),
    (
        "a message has one framing, written anew for the upstream",
        &[
            "framing_has_one_reading",
            "what_the_parser_would_hide_is_refused",
            "framing_that_cannot_be_followed_is_refused",
            "a_head_after_a_body_is_looked_at",
            "what_is_refused_before_its_framing_was_looked_at_ends_its_connection",
        ],
    ),
    (
        "what ends at this hop, or only a proxy may say, does not pass, in no spelling",
        &[
            "fields_with_two_readings_are_refused",
            "clients_cannot_forge_what_only_the_proxy_may_say",
            "reserved_families_are_found_by_their_beginning",
            "what_ends_here_is_found_by_its_beginning",
        ],
    ),
    (
        "a parameter is there once, in one spelling",
        &["a_parameter_with_two_readings_is_refused", "a_header_field_is_there_once"],
    ),
    (
        "nothing but the request line says the method",
        &["names_of_parameters_are_read_as_leniently_as_anybody_does", "names_are_found_wherever_a_reader_could"],
    ),
    (
        "every surprise is a denial",
        &["a_fault_is_a_denial", "what_has_no_route_is_denied", "without_a_usable_snapshot_nothing_is_answered"],
    ),
    (
        "an inspected body is one strict document, read before anything is sent",
        &[
            "a_body_is_read_strictly_and_sent_as_it_was_read",
            "a_body_beyond_the_limit_is_refused_before_anything_is_sent",
            "documents_with_two_readings_are_refused",
            "look_alikes_of_a_routed_member_are_refused",
            "only_strings_and_plain_integers_are_ids",
        ],
    ),
    (
        "nothing is tunnelled but where a route says so, and then only what its upstream has agreed to",
        &[
            "an_upgrade_is_not_given_and_nothing_is_tunnelled",
            "without_a_route_that_asks_for_it_no_stream_switches",
            "an_upstream_that_answers_another_handshake_is_refused",
            "a_connection_ends_by_1008_when_it_is_not_permitted_any_more",
        ],
    ),
    (
        "a message of JSON-RPC is one object, and what the decision reads of it is there once",
        &[
            "a_batch_of_json_rpc_names_no_resource",
            "look_alikes_of_a_routed_member_are_refused",
            "a_message_that_is_not_the_one_of_its_head_is_refused",
            "a_message_with_two_readings_agrees_with_nothing",
        ],
    ),
    (
        "a gRPC call is a POST by HTTP/2 of a method that has a route, reflection and health too",
        &["only_a_call_by_its_own_protocol_is_one", "a_call_of_a_method_without_a_route_is_denied"],
    ),
    (
        "what is remembered is found by all that it was made of",
        &[
            "a_remembered_token_does_not_lend_its_answer_to_another",
            "what_was_verified_is_remembered_but_never_longer_than_it_holds",
            "a_chain_of_one_connection_is_not_another_s",
        ],
    ),
    (
        "no dependency is older than the version that mended its faults",
        &["dependencies_are_not_older_than_what_mended_their_faults"],
    ),
    (
        "a request is sent again only where it cannot have been done, or may be done twice, as it was decided",
        &[
            "without_retries_nothing_is_sent_twice",
            "what_may_have_been_seen_is_sent_again_only_if_it_may_be_and_never_after_a_byte_of_an_answer",
            "a_request_that_is_sent_again_is_the_same_and_its_record_says_so",
            "retries_have_a_budget",
            "what_is_not_permitted_any_more_is_not_sent_again",
            "what_may_have_been_processed_is_never_sent_twice",
        ],
    ),
    (
        "a page of a browser reaches no door of the operator, and brings no credential by itself",
        &[
            "a_page_of_a_browser_asks_for_nothing",
            "a_route_says_whose_pages_may_ask",
            "no_page_sends_messages_of_mcp_but_where_it_may",
            "metrics_are_asked_for_by_a_name_of_theirs_and_by_no_page",
            "without_a_token_only_this_machine_is_served",
            "the_socket_is_the_owners_and_goes_with_the_process",
        ],
    ),
    (
        "a refusal of what could not be read closes, and unread bytes are no request",
        &[
            "what_has_two_readings_is_refused_recorded_and_not_forwarded",
            "a_denied_body_is_never_read_as_a_request",
            "a_body_that_does_not_end_is_heard_for_a_while_only",
        ],
    ),
    ("the key decides the algorithm", &["the_key_decides_the_algorithm", "no_spelling_of_none_is_an_algorithm"]),
    (
        "a configuration that weakens is refused",
        &["a_configuration_that_makes_no_sense_is_refused", "unknown_keys_are_refused_with_advice"],
    ),
    (
        "certificates are verified on every listener, and resumed sessions too",
        &[
            "a_certificate_has_exactly_one_uri_and_that_is_a_spiffe_id",
            "only_the_authorities_of_its_own_trust_domain_vouch_for_an_id",
            "authorities_reload_and_no_session_outlives_them",
        ],
    ),
    ("literals are no patterns", &["bad_templates_are_refused"]),
    (
        "everything has a bound",
        &[
            "a_head_beyond_the_limits_is_refused",
            "a_head_has_a_longest",
            "a_line_or_a_field_that_is_too_long_is_refused_and_recorded",
            "depth_and_items_are_bounded",
        ],
    ),
    ("every wait has an end", &["slow_heads_and_silent_connections_are_closed", "a_slow_upstream_is_given_up"]),
    (
        "a connection to an upstream is used again only when it is clean",
        &[
            "connections_that_an_upstream_closed_are_in_nobodys_way",
            "an_upload_after_an_answer_by_http_1_0_keeps_its_body",
        ],
    ),
    (
        "the operator's doors are not the agents'",
        &["the_socket_is_the_owners_and_goes_with_the_process", "health_is_served_beside_the_metrics_and_nothing_else"],
    ),
    (
        "one record for each decision, without its credential, or no decision",
        &[
            "each_request_leaves_one_record_without_its_credential",
            "what_cannot_be_recorded_does_not_pass",
            "an_upstream_computes_the_digests_of_the_record",
        ],
    ),
    (
        "a snapshot is good and swapped whole, and one request has one",
        &[
            "what_does_not_build_is_refused_whole_with_every_problem",
            "swaps_under_load_tear_no_answer_and_leave_nothing_behind",
            "a_policy_older_than_its_bound_denies",
        ],
    ),
    (
        "what is fetched is fetched from where the operator says",
        &[
            "documents_are_not_where_a_cloud_tells_of_the_machine",
            "nothing_is_fetched_from_where_a_cloud_tells_of_the_machine",
            "what_is_no_good_key_set_is_not_used",
            "metadata_of_another_issuer_or_with_keys_elsewhere_are_refused",
        ],
    ),
    ("what lasts is decided again", &["an_answer_ends_when_its_user_loses_the_right"]),
    (
        "an answer has one reading too, and keeps what ends here",
        &["what_an_upstream_says_of_its_connection_stays_there", "an_answer_with_two_readings_is_none"],
    ),
    (
        "an API key is kept as its hash, and an unknown one is a wrong one",
        &["an_unknown_id_and_a_wrong_secret_are_refused_alike", "a_hash_is_written_as_it_is_read_and_not_shown"],
    ),
    (
        "a head by HTTP/2 is one request or none",
        &["a_head_by_http_2_is_one_request_or_none", "frames_out_of_their_order_forward_nothing"],
    ),
];

// There are no rules of GraphQL here, nor of the tools and sessions of MCP: no route reads a query, or has a rule for each tool.
// To the proxy their messages are bodies in JSON, of which a decision can take single members; what cannot be told so has no
// route.

#[test]
fn each_rule_of_requests_is_held_by_tests() {
    each_is_a_test(RULES);
}

#[test]
fn a_batch_of_json_rpc_names_no_resource() {
    let world = World::with_routes(
        r#"
  - path: /rpc
    upstream: main
    operations:
      POST: { action: can_read, resource: "document:{body.params.document}" }
"#,
    );
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let told = |body: &str| {
        let answer = portcullis.request("POST", "/rpc", &token, "content-type: application/json\r\n", body);
        (answer.status, answer.reason())
    };
    let one = r#"{"jsonrpc": "2.0", "method": "read", "id": 1, "params": {"document": "d1"}}"#;
    assert_eq!(told(one), (200, String::new()));
    for (body, reason) in [
        (format!("[{one}]"), "mapping_failed"),
        (format!("[{one}, {one}]"), "mapping_failed"),
        (format!("{one}\n{one}"), "malformed_body"),
        (one.replace("{\"document\"", "{\"document\": \"d2\", \"document\""), "malformed_body"),
        (one.replace("{\"document\"", "{\"Document\": \"d2\", \"document\""), "mapping_failed"),
        (one.replace("\"params\"", "\"Params\""), "mapping_failed"),
        (one.replace("\"d1\"", "[\"d1\"]"), "mapping_failed"),
        (String::new(), "malformed_body"),
    ] {
        assert_eq!(told(&body), (400, reason.to_owned()), "{body}");
    }
    assert_eq!(world.upstream.seen().len(), 1);
}

#[test]
fn a_message_that_is_not_the_one_of_its_head_is_refused() {
    let world = World::with_routes(
        r#"
  - path: /mcp
    upstream: main
    headers: { mcp-method: tools/call }
    operations:
      POST: { action: can_read, resource: "document:{header.mcp-name}" }
  - path: /read
    upstream: main
    operations:
      POST: { action: can_read, resource: "document:{body.params.name}" }
  - path: /anything
    upstream: main
    operations:
      POST: { action: can_read, resource: "document:d1", body: allow }
"#,
    );
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    let told = |path: &str, fields: &str, body: &str| {
        let fields = format!("content-type: application/json\r\n{fields}");
        let answer = portcullis.request("POST", path, &token, &fields, body);
        (answer.status, answer.reason())
    };
    let call = |method: &str, name: &str| {
        format!(r#"{{"jsonrpc": "2.0", "id": 1, "method": "{method}", "params": {{"name": "{name}"}}}}"#)
    };
    let fields = |method: &str, name: &str| format!("mcp-method: {method}\r\nmcp-name: {name}\r\n");
    let head = fields("tools/call", "d1");
    for path in ["/mcp", "/read", "/anything"] {
        assert_eq!(told(path, &head, &call("tools/call", "d1")), (200, String::new()), "{path}");
    }
    let passed = world.upstream.seen().len();
    for path in ["/mcp", "/read", "/anything"] {
        for body in [
            call("tools/call", "secret"),
            call("tools/list", "d1"),
            format!("[{}]", call("tools/call", "d1")),
            call("tools/call", "d1").replace("\"name\"", "\"Name\": \"secret\", \"name\""),
        ] {
            assert_eq!(told(path, &head, &body), (400, "header_mismatch".to_owned()), "{path} {body}");
        }
        let two = format!("{} {}", call("tools/call", "d1"), call("tools/call", "secret"));
        assert_eq!(told(path, &head, &two), (400, "malformed_body".to_owned()), "{path}");
        let coded = format!("{head}content-encoding: gzip\r\n");
        assert_eq!(told(path, &coded, "x"), (415, "unsupported_media_type".to_owned()), "{path}");
        // What is a form to one server is a message to the next.
        for kind in
            ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x; application/json", "text/plain"]
        {
            let fields = format!("content-type: {kind}\r\n{head}");
            let answer = portcullis.request("POST", path, &token, &fields, &call("tools/call", "secret"));
            assert_eq!((answer.status, answer.reason().as_str()), (415, "unsupported_media_type"), "{path} {kind}");
        }
    }
    // Another spelling of a name, or none, would find another route.
    let spelled = fields("tools/call", "=?base64?ZDE=?=");
    let (nameless, untold) = ("mcp-method: tools/call\r\n", "mcp-protocol-version: 2026-07-28\r\n");
    for (path, fields, reason) in [
        ("/mcp", spelled.as_str(), "header_mismatch"),
        ("/mcp", nameless, "header_mismatch"),
        ("/mcp", untold, "no_route"),
        ("/read", &spelled, "header_mismatch"),
        ("/read", nameless, "header_mismatch"),
        ("/read", untold, "header_mismatch"),
        ("/anything", &spelled, "header_mismatch"),
        ("/anything", nameless, "header_mismatch"),
        ("/anything", untold, "header_mismatch"),
    ] {
        assert_eq!(told(path, fields, &call("tools/call", "d1")).1, reason, "{path} {fields}");
    }
    assert_eq!(told("/read", &fields("tools/list", "d1"), &call("tools/call", "d1")).0, 400);
    assert_eq!(world.upstream.seen().len(), passed, "none of them was forwarded");
    assert_eq!(told("/anything", "", "{ what it is, nobody asks }").0, 200);
}

#[test]
fn a_page_of_a_browser_asks_for_nothing() {
    let world = World::new();
    let portcullis = world.start();
    // What a page can make a browser send to another origin without asking it first: no credential is among it.
    for fields in ["origin: https://evil.example\r\ncookie: session=1\r\n", "sec-fetch-mode: no-cors\r\n"] {
        let head = format!("GET /documents/d1 HTTP/1.1\r\nhost: a\r\n{fields}\r\n");
        let answer = answer_of(portcullis.data, head).unwrap();
        assert_eq!((answer.status, answer.reason()), (401, "missing_credential".to_owned()), "{fields}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    // What it could read of the telemetry door tells no policy, and nothing can be done there.
    let post = "POST /metrics HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n";
    let answer = answer_of(portcullis.telemetry, post).unwrap();
    assert_eq!(answer.status, 405, "{}", answer.head);
    assert!(world.upstream.seen().is_empty());
}

#[test]
fn a_chain_of_one_connection_is_not_another_s() {
    let world = World::new();
    let portcullis = world.start();
    let (own, other) = (world.issuer.token("erin", &[]), world.issuer.token("frank", &["reader"]));
    // On one connection, in turns: what was remembered of one is no answer to another.
    let mut connection = Connection::open(portcullis.data);
    for (token, path, status) in [
        (&own, "/documents/d2", 200),
        (&other, "/documents/d2", 403),
        (&other, "/documents/d1", 200),
        (&own, "/documents/d2", 200),
        (&other, "/documents/d2", 403),
    ] {
        connection.send(request("GET", path, token, "", ""));
        assert_eq!(connection.answer().unwrap().status, status, "{path}");
    }
}

#[test]
fn dependencies_are_not_older_than_what_mended_their_faults() {
    let lock = include_str!("../../Cargo.lock");
    let locked = |name: &str| {
        let begin = format!("name = \"{name}\"\nversion = \"");
        let versions: Vec<&str> = lock.split(&begin).skip(1).filter_map(|rest| rest.split('"').next()).collect();
        versions
    };
    let parsed = |version: &str| -> Vec<u32> {
        version.split(['.', '-', '+']).take(3).map(|part| part.parse().unwrap()).collect()
    };
    for (name, least) in [
        ("bytes", "1.11.1"),
        ("h2", "0.4.16"),
        ("httparse", "1.10.0"),
        ("hyper", "1.12.0"),
        ("rustls", "0.23.18"),
        ("rustls-webpki", "0.103.13"),
        ("tokio", "1.44.2"),
    ] {
        let versions = locked(name);
        assert!(!versions.is_empty(), "{name} is not there any more");
        for version in versions {
            assert!(parsed(version) >= parsed(least), "{name} {version} is older than {least}");
        }
    }
    // Those that may come by another dependency.
    for (name, least) in [("idna", "1.0.3"), ("time", "0.3.47"), ("ring", "0.17.12")] {
        assert!(locked(name).iter().all(|version| parsed(version) >= parsed(least)), "{name}");
    }
}

#[test]
fn an_answer_with_two_readings_is_none() {
    let world = World::new();
    let portcullis = world.start();
    let token = world.issuer.token("erin", &[]);
    for head in [
        "200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n",
        "200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n",
        "200 OK\r\ncontent-length: +2\r\n",
        "200 OK\r\ncontent-length: 2, 2\r\n",
        "200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n",
        "200 OK\r\ntransfer-encoding: gzip, chunked\r\n",
        "200 OK\r\na: b\rset-cookie: x\r\n",
        "200 OK\r\na: b\0\r\n",
        "200 OK\r\na b: c\r\n",
        "101 Switching\r\nupgrade: websocket\r\nconnection: upgrade\r\n",
        "99 Low\r\n",
        "2000 High\r\n",
    ] {
        world.upstream.answer_with(format!("HTTP/1.1 {head}\r\n2\r\nok\r\n0\r\n\r\n"));
        let answer = portcullis.get("/documents/d1", &token);
        let reason = answer.reason();
        assert!(answer.status == 502 && reason.starts_with("upstream_"), "{head}: {} {reason}", answer.head);
        assert!(!answer.head.contains("set-cookie"));
    }
    // Of an answer without a body nobody looks at its length but whoever reads it next.
    for length in ["2\r\ncontent-length: 3", "2\r\ncontent-length: 2", "2, 3", "two"] {
        world.upstream.answer_with(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"));
        let answer = portcullis.request("HEAD", "/documents/d1", &token, "", "");
        assert_eq!(answer.status, 502, "{length}: {}", answer.head);
    }
}

#[test]
fn what_is_refused_before_its_framing_was_looked_at_ends_its_connection() {
    let world = World { more: "limits: { in_flight: 1 }".to_owned(), ..World::new() };
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let portcullis = world.start_before(silent.local_addr().unwrap());
    let token = world.issuer.token("erin", &[]);
    let mut waiting = Connection::open(portcullis.data);
    waiting.send(request("GET", "/documents/d1", &token, "", ""));
    eventually("it waits", || (portcullis.metric("portcullis_requests_in_flight") == 1.0).then_some(()));
    let mut connection = Connection::open(portcullis.data);
    connection.send(request("GET", "/documents/d1", &token, "", ""));
    assert_eq!(connection.answer().unwrap().reason(), "overloaded");
    connection.send("GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
    let answer = connection.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection")), (503, Some("close")));
    connection.send("GET /x#y HTTP/1.1\nhost: a\n\n");
    assert!(connection.answer().is_none(), "nothing is read of it any more");
}
