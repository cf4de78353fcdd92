//! What a request presents beside its token: whether that is all it must, and of one sender.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;

use super::{
    api_key::{ApiKeys, StoredKey},
    authenticator::{Authenticated, Method, Possession},
    error::{AuthenticationError, InvalidToken},
    issuer::{TokenKind, Verified},
    proof::{Binding, InvalidProof, ProofNeed, ProofSettings, SeenProofs},
    seen::SeenCredential,
    svid::KnownPeer,
    tasks::Chain,
};
use crate::access::{CanonicalRequest, CredentialKind, CredentialRule, HeaderProblem, Principal, Timestamp};

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
    possession: Possession,
) -> Result<&'k StoredKey, AuthenticationError> {
    if possession == Possession::Proven {
        return keys.find(text, now);
    }
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
        principal: Arc::clone(Chain::Fixed(Arc::clone(&peer.principal)).within(task)?),
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

/// Whether the request comes from the holder of the key that the token is bound to. That is asked of each request,
/// whether or not the token was seen before.
pub(super) fn check_possession(
    proofs: Option<(&ProofSettings, &SeenProofs)>,
    (head, seen): (&CanonicalRequest, &SeenCredential),
    (field, token): (&HeaderValue, &Verified),
    (now, possession): (Timestamp, Possession),
) -> Result<(), AuthenticationError> {
    // An access token comes by one of two schemes, `Bearer` or `DPoP`; a transaction token has none.
    let by_proof = token.kind == TokenKind::Access && matches!(field.as_bytes().first(), Some(b'd' | b'D'));
    match (&token.binding, proofs) {
        (None, None) => Ok(()),
        (Some(Binding::Certificate(_)), Some((settings, _))) if by_proof || settings.need == ProofNeed::Always => {
            Err(InvalidToken::Unbound.into())
        }
        (Some(Binding::Certificate(digest)), _) => Ok(check_certificate(seen, digest, now)?),
        (Some(Binding::Key(_)), None) => Err(InvalidToken::Bound.into()),
        (None, Some((settings, _))) if by_proof || settings.need == ProofNeed::Always => {
            Err(InvalidToken::Unbound.into())
        }
        (None, Some(_)) => Ok(()),
        (Some(Binding::Key(_)), Some(_)) if !by_proof => Err(InvalidProof::Missing.into()),
        (Some(Binding::Key(_)), Some(_)) if possession == Possession::Proven => Ok(()),
        (Some(Binding::Key(key)), Some((settings, seen_proofs))) => {
            let field = field.to_str().map_err(|_| HeaderProblem::NotText)?;
            let text = field.split_once(' ').map_or("", |(_, text)| text);
            Ok(settings.check(head, (text, key), seen_proofs, now)?)
        }
    }
}

/// Whether the connection's other end has shown the certificate with this digest, and still could.
fn check_certificate(seen: &SeenCredential, digest: &[u8; 32], now: Timestamp) -> Result<(), InvalidToken> {
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
