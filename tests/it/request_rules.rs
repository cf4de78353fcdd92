//! The rules of reading requests and answers, and the tests that fail without each of them.

use crate::support::{World, each_is_a_test};

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
    ("nothing is tunnelled", &["an_upgrade_is_not_given_and_nothing_is_tunnelled"]),
    (
        "a refusal of what could not be read closes, and unread bytes are no request",
        &["what_has_two_readings_is_refused_recorded_and_not_forwarded", "a_denied_body_is_never_read_as_a_request"],
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
        &["a_head_beyond_the_limits_is_refused", "a_head_has_a_longest", "depth_and_items_are_bounded"],
    ),
    ("every wait has an end", &["slow_heads_and_silent_connections_are_closed", "a_slow_upstream_is_given_up"]),
    (
        "a connection to an upstream is used again only when it is clean",
        &["connections_that_an_upstream_closed_are_in_nobodys_way"],
    ),
    (
        "the operator's doors are not the agents'",
        &["the_socket_is_the_owners_and_goes_with_the_process", "health_is_served_beside_the_metrics_and_nothing_else"],
    ),
    (
        "one record for each decision, without its credential, or no decision",
        &["each_request_leaves_one_record_without_its_credential", "what_cannot_be_recorded_does_not_pass"],
    ),
    (
        "a snapshot is good and swapped whole, and one request has one",
        &[
            "what_does_not_build_is_refused_whole_with_every_problem",
            "two_hundred_swaps_under_load_and_no_answer_is_torn",
            "a_policy_older_than_its_bound_denies",
        ],
    ),
    (
        "what is fetched is fetched from where the operator says",
        &["what_is_no_good_key_set_is_not_used", "metadata_of_another_issuer_or_with_keys_elsewhere_are_refused"],
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

#[test]
fn each_rule_of_requests_is_held_by_tests() {
    each_is_a_test(RULES);
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
}
