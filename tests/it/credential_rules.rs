//! What a credential may not be, over the wire: where it may not come from, and whose keys are never believed.

use serde_json::json;

use crate::support::{Issuer, Portcullis, Upstream, World, answer_of, each_is_a_test, eventually, request, token};

// A credential comes in its field and nowhere else: addresses are logged and shared.
#[test]
fn no_part_of_an_address_and_no_cookie_is_a_credential() {
    let mut world = World::new();
    let output = world.run(&["key", "new", "--subject", "user:erin"]);
    let (key, entry) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    world.identity_more = format!("api_keys:\n    keys:\n{entry}");
    let portcullis = world.start();
    let (key, token) = (key.trim(), world.issuer.token("erin", &[]));
    let ask = |path: &str, fields: &str| {
        let answer = answer_of(portcullis.data, request("GET", path, "", fields, "")).unwrap();
        (answer.status, answer.reason())
    };
    assert_eq!(ask("/documents/d1", &format!("x-api-key: {key}\r\n")).0, 200);
    let missing = (401, "missing_credential".to_owned());
    for path in [
        format!("/documents/d1?x-api-key={key}"),
        format!("/documents/d1?api_key={key}"),
        format!("/documents/d1?access_token={token}"),
        format!("/documents/d1?authorization=Bearer%20{token}"),
    ] {
        assert_eq!(ask(&path, ""), missing, "{path}");
    }
    for field in [
        format!("cookie: x-api-key={key}; access_token={token}\r\n"),
        format!("proxy-authorization: Bearer {token}\r\n"),
        format!("x-forwarded-authorization: Bearer {token}\r\n"),
        format!("x-api-key-2: {key}\r\n"),
    ] {
        assert_eq!(ask("/documents/d1", &field), missing, "{field}");
    }
    let refused = (401, "invalid_credential".to_owned());
    assert_eq!(ask("/documents/d1", &format!("authorization: Bearer {key}\r\n")), refused);
    assert_eq!(ask("/documents/d1", &format!("x-api-key: {token}\r\n")), refused);
}

fn fetching(world: &World, keys: &Upstream) -> Portcullis {
    let url = format!("{{ url: \"http://{}/jwks\" }}", keys.address);
    world.write("portcullis.yaml", world.config().replace("{ file: jwks.json }", &url));
    Portcullis::start(&world.path("portcullis.yaml"))
}

// Key sets: no redirect, at most 1 MiB and 100 keys, strict JSON, each id once. Without a good one nothing passes.
#[test]
fn what_is_no_good_key_set_is_not_used() {
    let world = World::new();
    let good = world.issuer.jwks();
    let elsewhere = Upstream::start();
    elsewhere.answer_json(&good);
    let ok = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let location = format!("http://{}/jwks", elsewhere.address);
    let redirect = |status: u16| format!("HTTP/1.1 {status} x\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let many: Vec<_> = (0..101).map(|number| Issuer::new(&format!("k{number}")).jwk()).collect();
    for (what, answer, says) in [
        ("a redirect", redirect(302), "not 200"),
        ("another redirect", redirect(308), "not 200"),
        ("too long", ok(&format!("{good}{}", " ".repeat(1024 * 1024))), "the document cannot be read"),
        ("too many keys", ok(&json!({ "keys": many }).to_string()), "101"),
        (
            "an id twice",
            ok(&json!({ "keys": [world.issuer.jwk(), world.issuer.jwk()] }).to_string()),
            "two keys have the id",
        ),
        ("a member twice", ok(&good.replacen("\"keys\"", "\"keys\":[],\"keys\"", 1)), "keys"),
        ("more than JSON", ok(&format!("{good}x")), "could not be fetched"),
        ("nothing", ok(""), "could not be fetched"),
    ] {
        let keys = Upstream::start();
        keys.answer_with(answer);
        let portcullis = fetching(&world, &keys);
        portcullis.until_logged("a key set could not be fetched");
        assert!(portcullis.log().contains(says), "{what}: {}", portcullis.log());
        assert_eq!(portcullis.telemetry("/readyz").status, 503, "{what}");
        let token = world.issuer.token("erin", &[]);
        assert_eq!(portcullis.get("/documents/d1", &token).reason(), "no_snapshot", "{what}");
    }
    assert!(elsewhere.seen().is_empty(), "nobody was redirected");
    let keys = Upstream::start();
    keys.answer_with(ok(&good));
    let portcullis = fetching(&world, &keys);
    let token = world.issuer.token("erin", &[]);
    eventually("the keys are there", || (portcullis.get("/documents/d1", &token).status == 200).then_some(()));
}

// A token is refused for the audit log's reason, and told none: not even whether its issuer or its key is known.
#[test]
fn a_refusal_is_the_same_whoever_the_token_says_it_is_from() {
    let world = World::new();
    let portcullis = world.start();
    let told = |token: &str| {
        let answer = portcullis.get("/documents/d1", token);
        let mut body = answer.json();
        body.as_object_mut().unwrap().remove("decision_id");
        (answer.status, answer.header("www-authenticate").map(str::to_owned), body)
    };
    let stranger = Issuer::new("k1");
    let expected = told(&stranger.token("erin", &[]));
    assert_eq!(expected.0, 401);
    let other_issuer = token(&stranger, "erin", |claims| claims["iss"] = json!("https://other.example"));
    let bound = token(&world.issuer, "erin", |claims| claims["cnf"] = json!({ "x5t#S256": "A".repeat(43) }));
    for token in [Issuer::new("k9").token("erin", &[]), other_issuer, bound] {
        assert_eq!(told(&token), expected);
    }
}

const WORKLOADS: &str =
    "spiffe: { trust_domain: acme.example, subjects: [{ path: \"/agents/{name}\", subject: \"agent:{name}\" }] }";

#[test]
fn a_workload_is_known_by_its_token() {
    let world = World::new();
    let config = world.config().replace("subject: \"user:{sub}\"", WORKLOADS);
    world.write("portcullis.yaml", &config);
    let portcullis = Portcullis::start(&world.path("portcullis.yaml"));
    let answer = portcullis.get("/documents/d1", &world.issuer.token("spiffe://acme.example/agents/reader", &[]));
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(world.record_of(&answer)["principal"]["subject"], "agent:reader");
    let denied = portcullis.get("/documents/d2", &world.issuer.token("spiffe://acme.example/agents/reader", &[]));
    assert_eq!((denied.status, denied.reason().as_str()), (403, "not_permitted"));
    for subject in ["reader", "spiffe://other.example/agents/reader", "spiffe://acme.example/agents/reader/x"] {
        let refused = portcullis.get("/documents/d1", &world.issuer.token(subject, &[]));
        assert_eq!((refused.status, refused.reason().as_str()), (401, "invalid_credential"), "{subject}");
    }
    for (change, says) in [
        (format!("subject: \"user:{{sub}}\"\n      {WORKLOADS}"), "exactly one of `subject` and `spiffe`"),
        (String::new(), "exactly one of `subject` and `spiffe`"),
        ("spiffe: { trust_domain: acme.example, subjects: [] }".to_owned(), "`subjects` is empty"),
        (WORKLOADS.replace("acme.example", "acme.example:1"), "a trust domain is"),
        (WORKLOADS.replace("agent:{name}", "agent:{nam}"), "`{nam}` is not captured by the path"),
    ] {
        world.write("portcullis.yaml", world.config().replace("subject: \"user:{sub}\"", &change));
        let output = world.run(&["validate", "--config", "portcullis.yaml"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && said.contains(says) && said.contains("portcullis.yaml:"), "{says}: {said}");
    }
}

/// What must hold of credentials, and the tests that hold it, each with what is accepted and what is refused.
const RULES: &[(&str, &[&str])] = &[
    (
        "no algorithm but those of the issuer's list, `none` in no spelling",
        &["no_spelling_of_none_is_an_algorithm", "every_served_algorithm_is_accepted_with_its_key"],
    ),
    (
        "the key's type says the family of algorithms, a public key is never a secret",
        &["a_public_key_is_never_a_secret", "the_key_decides_the_algorithm"],
    ),
    (
        "keys without `alg` serve what their type and the issuer allow, symmetric ones nothing",
        &["the_key_decides_the_algorithm", "keys_that_cannot_verify_are_ignored_and_counted"],
    ),
    (
        "an unknown `kid` is a name and nothing else, and makes for one fetch at most",
        &["a_key_is_found_by_its_exact_id", "keys_are_fetched_from_a_url_and_again_when_a_token_names_an_unknown_key"],
    ),
    ("no `kid` needs an issuer with one key", &["a_token_without_a_key_id_needs_an_issuer_with_one_key"]),
    (
        "a `kid` twice refuses the set, the one before stays",
        &["two_keys_of_one_id_refuse_the_whole_set", "what_is_no_good_key_set_is_not_used"],
    ),
    ("a header brings no key and no place of one", &["a_header_brings_no_trust_and_no_extension"]),
    ("extensions that are not served are refused", &["a_header_brings_no_trust_and_no_extension"]),
    (
        "no unencoded and no detached payload",
        &["a_header_brings_no_trust_and_no_extension", "a_token_has_three_parts_and_8_kib_at_most"],
    ),
    (
        "other kinds of tokens are no access tokens",
        &["the_type_is_one_of_the_issuers", "an_identity_token_is_no_access_token"],
    ),
    ("`exp` is required, an integer", &["expiry_is_required_and_an_integer"]),
    (
        "`nbf` and `iat` within the leeway, `iat` within the greatest age",
        &["times_count_with_leeway", "a_greatest_age_needs_a_time_of_issue"],
    ),
    ("`aud` is required, exactly ours", &["the_audience_is_exactly_ours"]),
    (
        "`iss` is exact, and keys are never looked up across issuers",
        &[
            "the_issuer_is_exact_and_only_its_own_keys_count",
            "a_key_shared_by_two_issuers_serves_each_under_its_own_rules",
        ],
    ),
    (
        "`sub` is plain text, and no claim moves a border",
        &["the_subject_is_plain_text", "two_claims_cannot_move_the_border_between_them"],
    ),
    ("no member twice", &["a_member_may_not_come_twice", "a_repeated_member_refuses_the_whole_set"]),
    (
        "size, dots and depth are bounded first",
        &["a_token_has_three_parts_and_8_kib_at_most", "depth_is_bounded_before_the_signature_is_looked_at"],
    ),
    ("no encrypted, nested or JSON tokens", &["nested_encrypted_and_json_tokens_are_no_tokens"]),
    ("base64url in one spelling", &["base64_has_one_spelling"]),
    (
        "a signature has one form, and the whole token is remembered by",
        &[
            "a_signature_has_one_form_and_belongs_to_one_token",
            "a_remembered_token_does_not_lend_its_answer_to_another",
        ],
    ),
    ("text is compared as it is, invisible characters are refused", &["the_subject_is_plain_text"]),
    ("old and new keys while both are published", &["old_and_new_keys_are_accepted_while_both_are_published"]),
    (
        "keys that cannot be fetched are used for a time, and none is made up",
        &[
            "keys_that_are_too_old_verify_nothing",
            "keys_that_cannot_be_fetched_are_used_no_longer_than_their_staleness",
            "keys_are_fetched_from_a_url_and_again_when_a_token_names_an_unknown_key",
        ],
    ),
    (
        "a fetch has bounds and follows nobody elsewhere",
        &["what_is_no_good_key_set_is_not_used", "a_set_has_bounds_and_something_to_use"],
    ),
    (
        "what was verified is remembered for its digest, its authenticator and a minute",
        &[
            "what_was_verified_is_remembered_but_never_longer_than_it_holds",
            "what_a_connection_brought_is_known_to_the_authenticator_that_verified_it_alone",
        ],
    ),
    (
        "bearer tokens may have a greatest age and so many uses, and no room is no use",
        &[
            "a_greatest_age_needs_a_time_of_issue",
            "a_grant_is_good_for_so_many_uses",
            "what_counts_is_not_forgotten_to_make_room",
        ],
    ),
    (
        "a token that is bound to a key needs a proof of this request, good once",
        &[
            "a_bound_token_is_nothing_without_its_proof",
            "a_proof_is_of_this_request_and_this_token",
            "a_proof_is_good_once_whoever_asks",
            "a_proof_is_made_now",
            "a_proof_is_signed_by_the_key_of_the_token",
            "a_token_that_is_bound_to_a_key_needs_its_proof",
        ],
    ),
    (
        "a token that is bound to a certificate is good on connections with it",
        &[
            "a_token_that_is_bound_to_a_certificate_is_good_on_its_connections_alone",
            "a_token_that_is_bound_to_a_certificate_is_good_with_it_alone",
            "a_binding_by_certificate_is_no_proof_of_a_key",
        ],
    ),
    (
        "a signature is of the request as it is decided on, covers what it must, and is understood in full",
        &[
            "a_signature_is_of_this_request",
            "what_must_be_covered_is",
            "covered_fields_have_one_value",
            "a_covered_member_is_signed_in_its_one_spelling",
            "each_parameter_is_understood_and_has_its_type",
            "exactly_one_signature_counts",
            "a_signature_with_any_one_byte_changed_is_refused",
            "the_base_is_that_of_the_rfc",
            "a_signing_agent_is_decided_by_its_signature_alone",
        ],
    ),
    (
        "the key of a signature is one of a configured agent, whatever the request says of it",
        &[
            "the_key_says_whose_signature_it_is",
            "the_agents_own_name_is_compared_and_never_believed",
            "a_key_of_a_file_is_its_agents_whatever_directories_publish",
            "between_directories_the_covered_name_says_whose_key_it_is",
            "keys_come_from_the_directory_of_the_configuration",
        ],
    ),
    (
        "a nonce is good once, and no body passes but the one that was signed",
        &[
            "a_nonce_is_good_once",
            "a_nonce_is_good_once_in_a_process",
            "a_covered_digest_is_the_bodys",
            "no_body_is_forwarded_but_the_one_that_was_signed",
            "a_signature_of_an_application_is_of_its_question",
        ],
    ),
    (
        "a token and a signature come together where both are asked for, and of one sender",
        &["a_token_and_a_signature_come_together_only_where_both_are_asked_for"],
    ),
    (
        "what is revoked is refused from the next request on",
        &["each_entry_revokes_what_it_names_and_nothing_else", "what_is_revoked_is_refused_from_the_next_revision_on"],
    ),
    (
        "what an issuer revokes by a signal is refused wherever it stands in a chain, and during a drain too",
        &[
            "tokens_of_before_are_refused_and_later_ones_are_not",
            "a_revoked_agent_is_refused_wherever_it_stands_in_the_chain",
            "a_revoked_agent_is_refused_as_an_actor_too",
            "a_revocation_is_of_a_name_whatever_is_made_of_it",
            "a_signal_that_is_pushed_during_a_drain_ends_the_answers_of_its_session",
            "a_signal_that_is_polled_for_during_a_drain_ends_the_answers_of_its_session",
        ],
    ),
    (
        "nobody takes another's room for what is remembered, and what has none is told so",
        &[
            "an_issuer_has_its_own_room",
            "a_full_share_refuses_signals_until_there_is_room_again",
            "a_sender_has_a_share_and_takes_no_others",
            "a_sender_has_a_share_of_the_memory_with_whatever_keys",
            "a_nonce_is_remembered_until_its_signature_ends_and_in_the_share_of_its_agent",
            "no_room_is_no_bad_credential",
        ],
    ),
    (
        "what was not verified when a request came is not believed later",
        &[
            "a_reload_does_not_make_a_proof_of_fields_that_nobody_looked_at",
            "a_reload_does_not_make_a_proof_of_one_that_nobody_looked_at",
            "a_reload_amid_a_question_makes_no_signature_of_what_nobody_verified",
        ],
    ),
    (
        "several credentials are a configured combination of one sender, and a bad one is never passed over",
        &[
            "what_comes_must_be_good_and_what_must_come_is_said",
            "two_credentials_are_none",
            "a_token_and_the_certificate_are_of_one_sender",
            "a_token_and_the_certificate_are_of_one_agent",
            "routes_say_which_kinds_of_credentials_they_take",
            "a_route_may_ask_for_a_token_and_a_certificate",
        ],
    ),
    (
        "subject and actors are all decided on",
        &[
            "every_member_of_the_chain_must_be_permitted",
            "an_actor_never_goes_unseen",
            "only_the_actor_that_may_act_acts",
            "a_users_own_token_is_not_an_agents",
        ],
    ),
    (
        "API keys: their form, their hash, no other place for them, and guesses are bounded",
        &[
            "a_new_key_has_one_form",
            "an_unknown_id_and_a_wrong_secret_are_refused_alike",
            "a_hash_is_written_as_it_is_read_and_not_shown",
            "no_part_of_an_address_and_no_cookie_is_a_credential",
            "a_source_that_guesses_keys_is_not_heard_for_a_while",
            "sources_beyond_the_room_are_counted_together",
        ],
    ),
    (
        "X.509-SVIDs: one URI by the grammar, no authority, for clients, by the bundle of its own trust domain",
        &[
            "a_certificate_has_exactly_one_uri_and_that_is_a_spiffe_id",
            "ids_have_one_grammar",
            "a_workloads_certificate_is_for_its_connections_alone",
            "only_the_authorities_of_its_own_trust_domain_vouch_for_an_id",
            "a_certificate_holds_from_its_first_to_its_last_second",
            "an_open_connection_is_no_longer_known_when_its_authority_is_gone",
            "a_workload_is_decided_by_its_certificate_alone",
            "authorities_reload_and_no_session_outlives_them",
            "connections_that_would_not_be_admitted_any_more_end",
        ],
    ),
    (
        "JWT-SVIDs: as any token, and `sub` is a SPIFFE ID of the issuer's trust domain",
        &["the_subject_is_a_spiffe_id_of_the_issuers_trust_domain", "a_workload_is_known_by_its_token"],
    ),
    (
        "no field stands in for a certificate, and none of them reaches an upstream",
        &["no_field_stands_in_for_a_certificate", "a_bound_token_is_refused_where_there_are_no_certificates"],
    ),
    (
        "a refusal says nothing of its reason",
        &[
            "every_refused_token_is_told_the_same",
            "a_refused_token_is_told_nothing_of_the_reason",
            "a_refusal_is_the_same_whoever_the_token_says_it_is_from",
        ],
    ),
    (
        "refused credentials are bounded on each connection",
        &[
            "ten_refusals_within_a_second_are_the_last_of_a_connection",
            "a_connection_ends_with_its_tenth_bad_credential_within_a_second",
            "an_http_2_connection_ends_with_its_tenth_bad_credential",
        ],
    ),
];

#[test]
fn each_rule_is_held_by_tests() {
    each_is_a_test(RULES);
}
