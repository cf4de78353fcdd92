//! The task that a request names, and the tasks that its credential is bound to.

use http::HeaderName;
use serde_json::{Value, json};

use super::{
    minting::ES256,
    worlds::{NOW, claims, head, header, issuer, members, token, with},
};
use crate::{
    access::{HeaderProblem, Reason, Timestamp},
    identity::{
        ApiKey, ApiKeySettings, AuthenticationError, Authenticator, AuthenticatorSettings, InvalidChain,
        InvalidSettings, NewApiKey, SeenCredential,
    },
};

const FIELD: HeaderName = HeaderName::from_static("x-task-id");

fn asked() -> (Authenticator, String) {
    let key = NewApiKey::generate([7; 24]);
    let stored = ApiKey {
        id: key.id.as_str().into(),
        hash: key.hash,
        subject: "user:mara".parse().unwrap(),
        actors: Vec::new(),
        task: Some("task:t-42".parse().unwrap()),
        scopes: Vec::new(),
        owner: None,
        expires: None,
    };
    let settings = AuthenticatorSettings {
        issuers: vec![issuer(&[ES256.jwk("k1")])],
        api_keys: Some(ApiKeySettings { header: ApiKeySettings::DEFAULT_HEADER, keys: vec![stored] }),
        task_header: Some(FIELD),
        ..Default::default()
    };
    (Authenticator::new(settings).unwrap(), key.text)
}

/// Asks with these fields, twice on one connection: what was seen before is answered alike.
fn ask(asked: &Authenticator, fields: &[(&str, &str)]) -> Result<String, AuthenticationError> {
    let fields: Vec<(&str, &[u8])> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let (head, seen, now) = (head(&fields), SeenCredential::default(), Timestamp::from_seconds(NOW));
    let first = asked.authenticate(&head, &seen, now).map(|answer| members(&answer));
    let second = asked.authenticate(&head, &seen, now).map(|answer| members(&answer));
    assert_eq!(first, second);
    second
}

fn bearer(task: Value) -> String {
    format!("Bearer {}", token(&header(), &with(claims(), json!({"task": task}))))
}

#[test]
fn a_name_counts_only_if_the_credential_says_the_same() {
    let (asked, key) = asked();
    let unbound = Err(AuthenticationError::UnboundTask);
    let (free, one) = (bearer(json!(null)), bearer(json!("t-42")));
    for (field, credential, task, expected) in [
        ("authorization", &free, None, Ok("user:mara".to_owned())),
        ("authorization", &free, Some("t-42"), unbound.clone()),
        ("authorization", &one, None, Ok("user:mara task:t-42".to_owned())),
        ("authorization", &one, Some("t-42"), Ok("user:mara task:t-42".to_owned())),
        ("authorization", &one, Some("t-43"), unbound.clone()),
        ("authorization", &one, Some("T-42"), unbound.clone()),
        ("authorization", &one, Some("task:t-42"), unbound.clone()),
        ("authorization", &one, Some(""), unbound.clone()),
        ("authorization", &one, Some("t-42,t-43"), unbound.clone()),
        ("x-api-key", &key, Some("t-42"), Ok("user:mara task:t-42".to_owned())),
        ("x-api-key", &key, Some("t-43"), unbound.clone()),
    ] {
        let mut fields = vec![(field, credential.as_str())];
        fields.extend(task.map(|task| ("x-task-id", task)));
        assert_eq!(ask(&asked, &fields), expected, "{field} {task:?}");
    }
    assert_eq!(AuthenticationError::UnboundTask.reason(), Reason::TaskNotBound);
    assert_eq!(ask(&asked, &[("x-task-id", "t-42")]), Err(AuthenticationError::Missing), "a name is no credential");
}

#[test]
fn of_several_tasks_the_request_names_one() {
    let (asked, _) = asked();
    let several = bearer(json!(["t-42", "t-43"]));
    let named = |task: &str| ask(&asked, &[("authorization", &several), ("x-task-id", task)]);
    assert_eq!(named("t-42").unwrap(), "user:mara task:t-42");
    assert_eq!(named("t-43").unwrap(), "user:mara task:t-43");
    assert_eq!(named("t-44"), Err(AuthenticationError::UnboundTask));
    let unnamed = ask(&asked, &[("authorization", &several)]).unwrap_err();
    assert_eq!((&unnamed, unnamed.reason()), (&AuthenticationError::UnnamedTask, Reason::TaskRequired));
    let twice = [("authorization", several.as_str()), ("x-task-id", "t-42"), ("x-task-id", "t-42")];
    let twice = ask(&asked, &twice).unwrap_err();
    assert_eq!(
        (&twice, twice.reason()),
        (&AuthenticationError::TaskField(HeaderProblem::Repeated), Reason::RepeatedHeader)
    );
    let listed = [("authorization", several.as_str()), ("x-task-id", "t-42"), ("connection", "x-task-id")];
    assert_eq!(ask(&asked, &listed).unwrap_err().reason(), Reason::MalformedHeader);
}

#[test]
fn a_list_of_tasks_is_whole_and_bounded() {
    let (asked, _) = asked();
    let refused = |tasks: Value| match ask(&asked, &[("authorization", &bearer(tasks)), ("x-task-id", "t0")]) {
        Err(AuthenticationError::Chain(refusal)) => Some(refusal),
        Ok(_) => None,
        Err(other) => panic!("{other}"),
    };
    let many = |count: usize| json!((0..count).map(|task| format!("t{task}")).collect::<Vec<_>>());
    assert_eq!(refused(many(16)), None);
    for count in [0, 17, 300] {
        assert_eq!(refused(many(count)), Some(InvalidChain::Tasks(16)), "{count}");
    }
    for bad in [json!(["t0", 7]), json!(["t0", ""]), json!(["t0", "*"]), json!(["t0", "a:b"]), json!(["t0", ["t1"]])] {
        assert_eq!(refused(bad.clone()), Some(InvalidChain::MalformedClaim("task".into())), "{bad}");
    }
}

#[test]
fn a_task_comes_in_a_field_of_its_own() {
    for name in ["authorization", "host", "connection", "portcullis-task", "x-forwarded-for", "x-api-key"] {
        let task_header = HeaderName::from_static(name);
        let api_keys = Some(ApiKeySettings { header: ApiKeySettings::DEFAULT_HEADER, keys: Vec::new() });
        let settings = AuthenticatorSettings { task_header: Some(task_header.clone()), api_keys, ..Default::default() };
        assert_eq!(Authenticator::new(settings).unwrap_err(), InvalidSettings::TaskHeader(task_header));
    }
}
