//! What a request presents beside its token: whether that is all it must, and of one sender.

use std::{sync::Arc, time::Duration};

use super::{
    api_key::{ApiKeys, StoredKey},
    authenticator::{Authenticated, Method},
    error::{AuthenticationError, InvalidToken},
    seen::SeenCredential,
    svid::KnownPeer,
};
use crate::access::{CredentialKind, CredentialRule, Principal, Timestamp};

/// Whether a request with this kind of credential in a field, if with any, and with or without a certificate that stands
/// for somebody, brings what it must.
pub(super) fn check_kinds(
    rule: &CredentialRule,
    field: Option<CredentialKind>,
    has_certificate: bool,
) -> Result<(), AuthenticationError> {
    let certificate = has_certificate.then_some(CredentialKind::Spiffe);
    // The one that says who asks: a certificate only where there is nothing else.
    let Some(deciding) = field.or(certificate) else { return Err(AuthenticationError::Missing) };
    match rule {
        CredentialRule::OneOf(kinds) if kinds.contains(&deciding) => Ok(()),
        // What came in a field was meant for this request; a certificate is there anyway.
        CredentialRule::OneOf(_) => {
            field.map_or(Err(AuthenticationError::Missing), |field| Err(AuthenticationError::RefusedKind(field)))
        }
        CredentialRule::AllOf(kinds) => {
            if let Some(field) = field.filter(|field| !kinds.contains(field)) {
                return Err(AuthenticationError::RefusedKind(field));
            }
            let came = [field, certificate];
            let missing = kinds.iter().find(|kind| !came.contains(&Some(**kind)));
            missing.map_or(Ok(()), |missing| Err(AuthenticationError::MissingKind(*missing)))
        }
    }
}

/// The key that the text is, unless its source has guessed too much.
pub(super) fn found_key<'k>(
    keys: &'k ApiKeys,
    text: &str,
    (seen, now): (&SeenCredential, Timestamp),
) -> Result<&'k StoredKey, AuthenticationError> {
    if !seen.refusals.allows_key(now) {
        return Err(AuthenticationError::SourceOver);
    }
    let found = keys.find(text, now);
    match found {
        Ok(_) => seen.refusals.accept_key(),
        Err(_) => seen.refusals.refuse_key(now),
    }
    found
}

/// The principal that the certificate of the connection stands for, where nothing else was sent.
pub(super) fn by_certificate(peer: &KnownPeer, task: Option<&str>) -> Result<Authenticated, AuthenticationError> {
    Ok(Authenticated {
        principal: Arc::clone(peer.chain.within(task)?),
        method: Method::Spiffe { id: Arc::clone(peer.id.as_str()) },
        // Its last second is within its time.
        expires: Some(peer.not_after.plus(Duration::from_secs(1))),
        issued: Some(peer.not_before),
        token_id: None,
        grants: None,
        contextual: None,
    })
}

/// Whoever sends the request by its credential is at the other end of the connection (RFC 8693, section 4.1: the
/// current actor is the one that acts).
pub(super) fn check_agreement(principal: &Principal, peer: &KnownPeer) -> Result<(), AuthenticationError> {
    let (sender, peer) = (principal.current_actor().unwrap_or(principal.subject()), peer.principal.subject());
    if sender == peer {
        return Ok(());
    }
    Err(AuthenticationError::OtherPeer { peer: peer.clone(), sender: sender.clone() })
}

/// Whether the connection's other end has shown the certificate with this digest, and still could.
pub(super) fn check_certificate(seen: &SeenCredential, digest: &[u8; 32], now: Timestamp) -> Result<(), InvalidToken> {
    let certificate = seen.certificate().ok_or(InvalidToken::NoCertificate)?;
    if certificate.digest() != digest {
        return Err(InvalidToken::OtherCertificate);
    }
    if certificate.fields().is_ok_and(|fields| fields.holds(now)) {
        Ok(())
    } else {
        Err(InvalidToken::ExpiredCertificate)
    }
}
