//! The token that tells an upstream what was decided (draft-ietf-oauth-transaction-tokens).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderValue;
use serde_json::{Map, Value, json};

use crate::{
    access::{Entity, Principal, Reason, Timestamp},
    net::Peer,
    policy::Permit,
    snapshot::TransactionTokens,
};

use super::{rejection::Rejection, upstream::Marks};

/// The type of such tokens.
const KIND: &str = "txntoken+jwt";

/// A token for one permitted request: whose it is, through whom, what was permitted, by which decision. It says nothing
/// of the credential, and is good for some seconds.
pub(super) fn token(
    tokens: &TransactionTokens,
    permit: &Permit,
    marks: &Marks,
    peer: &Peer,
    now: Timestamp,
) -> Result<HeaderValue, Rejection> {
    let key = tokens.signer();
    let header = json!({ "typ": KIND, "alg": key.algorithm(), "kid": key.id() });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims(tokens, permit, marks, peer, now)));
    let failed = |problem: &dyn ToString| Rejection::with_detail(Reason::InternalError, problem.to_string());
    let signature = key.sign(signed.as_bytes()).map_err(|problem| failed(&problem))?;
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    let mut value = HeaderValue::try_from(token).map_err(|problem| failed(&problem))?;
    value.set_sensitive(true);
    Ok(value)
}

fn claims(tokens: &TransactionTokens, permit: &Permit, marks: &Marks, peer: &Peer, now: Timestamp) -> Value {
    let principal = permit.principal();
    let issued = now.seconds();
    let lifetime = i64::try_from(tokens.valid_for.as_secs()).unwrap_or(0);
    let mut actions: Vec<&str> = permit.accesses().iter().map(|access| access.action.as_str()).collect();
    actions.sort_unstable();
    actions.dedup();
    let accesses = permit.accesses().iter();
    let accesses: Vec<Value> = accesses
        .map(|access| json!({ "action": access.action.as_str(), "resource": access.resource.as_str() }))
        .collect();
    let mut claims = json!({
        "iss": &*tokens.issuer,
        "aud": &*tokens.audience,
        "iat": issued,
        "exp": issued.saturating_add(lifetime),
        "txn": text(&marks.id),
        "scope": actions.join(" "),
        "req_wl": &*tokens.issuer,
        "tctx": {
            "accesses": accesses,
            "revision": text(&marks.revision).parse::<u64>().unwrap_or(0),
            "task": principal.task().map(Entity::as_str),
        },
        "rctx": { "req_ip": peer.source.map_or("unknown".to_owned(), |source| source.to_string()) },
    });
    if let Some(members) = claims.as_object_mut() {
        members.extend(named(principal.subject()));
        members.extend(principal.task().map(id));
        members.extend(act(principal).map(|act| ("act".to_owned(), act)));
    }
    claims
}

/// The actors as RFC 8693, section 4.1, has them: the current one outermost.
fn act(principal: &Principal) -> Option<Value> {
    principal.actors().iter().rev().fold(None, |inner, actor| {
        let mut act: Map<String, Value> = named(actor).into_iter().collect();
        act.extend(inner.map(|inner| ("act".to_owned(), inner)));
        Some(Value::Object(act))
    })
}

/// An entity as `sub`, with its type: no two are the same there. And as a claim of its type's, such as `user_id`, which
/// another Portcullis can make the entity of again.
fn named(entity: &Entity) -> [(String, Value); 2] {
    [("sub".to_owned(), entity.as_str().into()), id(entity)]
}

fn id(entity: &Entity) -> (String, Value) {
    (format!("{}_id", entity.type_name()), entity.id().into())
}

fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or_default()
}
