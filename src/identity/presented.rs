//! What a request presents beside its token: whether that is all it must, and of one sender.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;

use super::{
    api_key::{ApiKeys, StoredKey},
    authenticated::{Authenticated, Credential, Method, Possession, Proven},
    error::{AuthenticationError, InvalidToken},
    issuer::{TokenKind, Verified},
    once::SeenOnce,
    proof::{Binding, InvalidProof, ProofNeed, ProofSettings},
    seen::SeenCredential,
    signature::Signed,
    svid::KnownPeer,
    tasks::Chain,
};
use crate::access::{CanonicalRequest, CredentialKind, CredentialRule, Entity, HeaderProblem, Principal, Timestamp};

/// Which kinds of credentials a request brings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Presented {
    /// A token or an API key, if there is one.
    pub(super) field: Option<CredentialKind>,
    pub(super) has_signature: bool,
    /// Whether the connection has a certificate that stands for somebody.
    pub(super) has_certificate: bool,
}

impl Presented {
    /// Whether the request brings what it must, and nothing that it may not.
    pub(super) fn check(self, rule: Option<&CredentialRule>) -> Result<(), AuthenticationError> {
        let Self { field, .. } = self;
        let signature = self.has_signature.then_some(CredentialKind::Signature);
        let certificate = self.has_certificate.then_some(CredentialKind::Spiffe);
        // Each of them names somebody, and only a rule that asks for both says that they must be one.
        if field.is_some() && signature.is_some() && !matches!(rule, Some(CredentialRule::AllOf(_))) {
            return Err(AuthenticationError::Several);
        }
        let Some(rule) = rule else { return Ok(()) };
        // What came in fields was meant for this request; a certificate is there anyway.
        let sent = field.or(signature);
        // The one that says who asks: a certificate only where there is nothing else.
        let Some(deciding) = sent.or(certificate) else { return Err(AuthenticationError::Missing) };
        match rule {
            CredentialRule::OneOf(kinds) if kinds.contains(&deciding) => Ok(()),
            CredentialRule::OneOf(_) => {
                sent.map_or(Err(AuthenticationError::Missing), |sent| Err(AuthenticationError::RefusedKind(sent)))
            }
            CredentialRule::AllOf(kinds) => {
                if let Some(sent) = [field, signature].into_iter().flatten().find(|sent| !kinds.contains(sent)) {
                    return Err(AuthenticationError::RefusedKind(sent));
                }
                let came = [field, signature, certificate];
                let missing = kinds.iter().find(|kind| !came.contains(&Some(**kind)));
                missing.map_or(Ok(()), |missing| Err(AuthenticationError::MissingKind(*missing)))
            }
        }
    }
}

/// The principal that the signature of the request stands for, where neither a token nor a key was sent.
pub(super) fn by_signature(signed: Signed, task: Option<&str>) -> Result<Authenticated, AuthenticationError> {
    let known = Credential::new(Method::Signature { key_id: signed.key_id }, Some(signed.end));
    Ok(Authenticated {
        principal: Arc::clone(Chain::Fixed(signed.principal).within(task)?),
        credential: Arc::new(Credential { issued: Some(signed.created), ..known }),
        body: signed.body,
        proven: Proven { signature: Some(signed.key), proof: None },
    })
}

/// The same principal, whose request its sender has signed too.
pub(super) fn signed_too(authenticated: Authenticated, signed: Signed) -> Result<Authenticated, AuthenticationError> {
    let sender = sender(&authenticated.principal);
    if sender != signed.principal.subject() {
        let (signer, sender) = (signed.principal.subject().clone(), sender.clone());
        return Err(AuthenticationError::OtherSigner { signer, sender });
    }
    let known = &authenticated.credential;
    let expires = known.expires.map_or(signed.end, |expires| expires.min(signed.end));
    let credential = Arc::new(Credential { expires: Some(expires), ..Credential::clone(known) });
    let proven = Proven { signature: Some(signed.key), ..authenticated.proven };
    Ok(Authenticated { credential, body: signed.body, proven, ..authenticated })
}

/// The key that the text is, unless its source has guessed too much.
pub(super) fn found_key<'k>(
    keys: &'k ApiKeys,
    text: &str,
    (seen, now): (&SeenCredential, Timestamp),
    possession: Possession,
) -> Result<&'k StoredKey, AuthenticationError> {
    if matches!(possession, Possession::Proven(_)) {
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
    // Its last second is within its time.
    let expires = peer.not_after.plus(Duration::from_secs(1));
    let known = Credential::new(Method::Spiffe { id: Arc::clone(peer.id.as_str()) }, Some(expires));
    let credential = Arc::new(Credential { issued: Some(peer.not_before), ..known });
    Ok(Authenticated::by(&credential, Chain::Fixed(Arc::clone(&peer.principal)).within(task)?))
}

/// Who sends a request of the chain (RFC 8693, section 4.1: the current actor is the one that acts).
fn sender(principal: &Principal) -> &Entity {
    principal.current_actor().unwrap_or(principal.subject())
}

/// Whoever sends the request by its credential is at the other end of the connection.
pub(super) fn check_agreement(principal: &Principal, peer: &KnownPeer) -> Result<(), AuthenticationError> {
    let (sender, peer) = (sender(principal), peer.principal.subject());
    if sender == peer {
        return Ok(());
    }
    Err(AuthenticationError::OtherPeer { peer: peer.clone(), sender: sender.clone() })
}

/// Whether the request comes from the holder of the key that the token is bound to. That is asked of each request,
/// whether or not the token was seen before.
pub(super) fn check_possession(
    proofs: Option<(&ProofSettings, &SeenOnce)>,
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
        (Some(Binding::Key(key)), Some((settings, seen_proofs))) => {
            // Fields that nobody looked at when the request came, by other settings, prove nothing now.
            if let Possession::Proven(proven) = possession {
                return if proven.proof == Some(*key) { Ok(()) } else { Err(InvalidProof::Missing.into()) };
            }
            let field = field.to_str().map_err(|_| HeaderProblem::NotText)?;
            let text = field.split_once(' ').map_or("", |(_, text)| text);
            // A chain of nobody is refused right after this.
            let Some(principal) = token.chain.any() else { return Err(InvalidProof::Missing.into()) };
            Ok(settings.check(head, (text, key), (seen_proofs, sender(principal)), now)?)
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
