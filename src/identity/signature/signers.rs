//! The agents that sign, by their keys, and what their signatures are worth.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use aws_lc_rs::signature::ParsedPublicKey;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    base::signature_base,
    component::SignedComponent,
    content_digest::{self, ContentDigest, SignedBody},
    error::InvalidSignature,
    fields::{self, Claimed, NamedAgent},
    settings::{BodyCover, NonceNeed, SignatureSettings},
};
use crate::{
    access::{ActorMode, CanonicalRequest, Principal, Timestamp},
    identity::{
        algorithm::Algorithm,
        authenticated::{Possession, Proven},
        digest::sha256,
        jwks::Key,
        once::{NotFirst, SeenOnce},
        proof::{Origin, Thumbprint},
    },
};

/// The algorithms that are served, with their names (RFC 9421, section 6.2.2). A key is for the first one that it can be
/// for; its PSS has another hash than RFC 9421's, and a shared secret is no agent's.
pub(super) const ALGORITHMS: [(Algorithm, &str); 5] = [
    (Algorithm::Ed25519, "ed25519"),
    (Algorithm::EdDsa, "ed25519"),
    (Algorithm::Es256, "ecdsa-p256-sha256"),
    (Algorithm::Es384, "ecdsa-p384-sha384"),
    (Algorithm::Rs256, "rsa-v1_5-sha256"),
];

/// All keys that sign, by their thumbprints.
pub(in crate::identity) struct Signers {
    settings: SignatureSettings,
    // INVARIANT: at least one signer each, and each of another agent.
    keys: BTreeMap<Thumbprint, Vec<Signer>>,
    // How many nonces of each agent are remembered in any case.
    share: usize,
}

/// One key, and whose it is.
struct Signer {
    // Of this key alone: what records say of a chain is kept by it.
    principal: Arc<Principal>,
    key_id: Arc<str>,
    agent: usize,
    /// That of the directory; `None` for a file, which is the operator's own word.
    origin: Option<Origin>,
    algorithm: &'static str,
    verifier: ParsedPublicKey,
}

impl Signer {
    fn signed(&self, claimed: &Claimed, end: Timestamp, body: SignedBody) -> Signed {
        let (principal, key_id) = (Arc::clone(&self.principal), Arc::clone(&self.key_id));
        Signed { principal, key_id, key: claimed.key, created: claimed.created, end, body }
    }
}

/// A request that was signed by an agent.
#[derive(Debug)]
pub(in crate::identity) struct Signed {
    pub(in crate::identity) principal: Arc<Principal>,
    pub(in crate::identity) key_id: Arc<str>,
    pub(in crate::identity) key: Thumbprint,
    pub(in crate::identity) created: Timestamp,
    /// From when on it is refused.
    pub(in crate::identity) end: Timestamp,
    pub(in crate::identity) body: SignedBody,
}

impl Signers {
    /// The agents of settings that were checked.
    pub(in crate::identity) fn new(settings: &SignatureSettings, mode: ActorMode) -> Self {
        let mut keys: BTreeMap<Thumbprint, Vec<Signer>> = BTreeMap::new();
        for (agent, written) in settings.agents.iter().enumerate() {
            for key in written.keys.keys() {
                let Some((algorithm, verifier)) = verifier(key) else { continue };
                let signers = keys.entry(*key.thumbprint()).or_default();
                if signers.iter().any(|known| known.agent == agent) {
                    continue;
                }
                signers.push(Signer {
                    principal: Arc::new(Principal::new(written.subject.clone(), Vec::new(), None, mode)),
                    key_id: URL_SAFE_NO_PAD.encode(key.thumbprint()).into(),
                    agent,
                    origin: written.origin.clone(),
                    algorithm,
                    verifier: verifier.clone(),
                });
            }
        }
        for signers in keys.values_mut() {
            // Directories are not asked whether they own what they publish.
            if signers.iter().any(|signer| signer.origin.is_none()) {
                signers.retain(|signer| signer.origin.is_none());
            }
        }
        let subjects: BTreeSet<_> = settings.agents.iter().map(|agent| agent.subject.as_str()).collect();
        Self { settings: settings.clone(), keys, share: SeenOnce::share_of(subjects.len()) }
    }

    /// Who signed the request, if all of its signature holds now. A nonce is used up by that.
    pub(in crate::identity) fn verify(
        &self,
        head: &CanonicalRequest,
        nonces: &SeenOnce,
        (now, possession): (Timestamp, Possession),
    ) -> Result<Signed, InvalidSignature> {
        let settings = &self.settings;
        let claimed = Claimed::read(head, &settings.tag)?;
        if let Possession::Proven(proven) = possession {
            return self.proven(head, &claimed, proven);
        }
        if let Some(component) = settings.components.iter().find(|it| !it.is_covered_by(&claimed.covered)) {
            return Err(InvalidSignature::Uncovered(component.clone()));
        }
        self.check_times(&claimed, now)?;
        if settings.nonce == NonceNeed::Required && claimed.nonce.is_none() {
            return Err(InvalidSignature::NoNonce);
        }
        let body = self.body(head, &claimed)?;
        let scheme = settings.scheme.unwrap_or(head.scheme());
        let base = signature_base(head, scheme, &claimed.covered, &claimed.parameters)?;
        let named = fields::named_agent(head, &claimed.covered);
        let signer = self.signer(&claimed.key, named.as_ref().ok().and_then(Option::as_ref));
        let signer = signer.inspect_err(|_| self.spend(&base, &claimed.bytes))?;
        if claimed.algorithm.as_ref().is_some_and(|named| named != signer.algorithm) {
            return Err(InvalidSignature::Algorithm);
        }
        if let Some(origin) = &signer.origin
            && named?.is_some_and(|named| named.origin != *origin)
        {
            return Err(InvalidSignature::OtherAgent);
        }
        let verified = signer.verifier.verify_sig(base.as_bytes(), &claimed.bytes);
        verified.map_err(|_| InvalidSignature::Wrong)?;
        let end = claimed.expires.plus(settings.leeway);
        if let Some(nonce) = &claimed.nonce {
            // The thumbprint has a fixed length, so that no two pairs are the same bytes.
            let digest = sha256(&[&claimed.key[..], nonce.as_bytes()].concat());
            nonces.first(digest, (signer.principal.subject(), self.share), end, now)?;
        }
        Ok(signer.signed(&claimed, end, body))
    }

    /// Who signed a request that was verified when it came, and of which not all may be left: whether the key is still
    /// that agent's. Its time was for its coming, and its nonce was used up then. Fields that nobody looked at then, by
    /// other settings, prove nothing now.
    fn proven(&self, head: &CanonicalRequest, claimed: &Claimed, proven: Proven) -> Result<Signed, InvalidSignature> {
        if proven.signature != Some(claimed.key) {
            return Err(InvalidSignature::Unproven);
        }
        let named = fields::named_agent(head, &claimed.covered);
        let signer = self.signer(&claimed.key, named.as_ref().ok().and_then(Option::as_ref))?;
        // Without the field nobody has a body to look at any more, and none would be good.
        let body = self.body(head, claimed).unwrap_or(SignedBody::Empty);
        Ok(signer.signed(claimed, claimed.expires.plus(self.settings.leeway), body))
    }

    /// The one agent that has the key: between directories that all publish it, the one that the signer itself names.
    fn signer(&self, key: &Thumbprint, named: Option<&NamedAgent>) -> Result<&Signer, InvalidSignature> {
        let signers = self.keys.get(key).ok_or(InvalidSignature::UnknownKey)?;
        if let [only] = &**signers {
            return Ok(only);
        }
        let named = named.filter(|named| named.is_covered).ok_or(InvalidSignature::SharedKey)?;
        let mut of_origin = signers.iter().filter(|signer| signer.origin.as_ref() == Some(&named.origin));
        match (of_origin.next(), of_origin.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) | (None, _) => Err(InvalidSignature::SharedKey),
        }
    }

    fn check_times(&self, claimed: &Claimed, now: Timestamp) -> Result<(), InvalidSignature> {
        let Claimed { created, expires, .. } = claimed;
        if expires <= created {
            return Err(InvalidSignature::Parameter("expires"));
        }
        if expires.since(*created) > self.settings.max_lifetime {
            return Err(InvalidSignature::TooLong);
        }
        if created.since(now) > self.settings.leeway {
            return Err(InvalidSignature::MadeInFuture);
        }
        if now >= expires.plus(self.settings.leeway) { Err(InvalidSignature::Expired) } else { Ok(()) }
    }

    /// What the signature says of the body.
    fn body(&self, head: &CanonicalRequest, claimed: &Claimed) -> Result<SignedBody, InvalidSignature> {
        let component = SignedComponent::Field(content_digest::FIELD);
        if claimed.covered.contains(&component) {
            let text = component.value(head, head.scheme())?;
            return ContentDigest::parse(&text, self.settings.longest_body).map(SignedBody::Digest);
        }
        Ok(match self.settings.body {
            BodyCover::Required => SignedBody::Empty,
            BodyCover::Optional => SignedBody::Free,
        })
    }

    /// Verifies by some key and forgets the answer, so that the time of a refusal does not tell whether a key is known.
    fn spend(&self, base: &str, bytes: &[u8]) {
        if let Some(signer) = self.keys.values().flatten().next() {
            let _forgotten = signer.verifier.verify_sig(base.as_bytes(), bytes);
        }
    }
}

impl From<NotFirst> for InvalidSignature {
    fn from(problem: NotFirst) -> Self {
        match problem {
            NotFirst::Replayed => Self::Replayed,
            NotFirst::NoRoom => Self::NoRoom,
        }
    }
}

/// The algorithm that the key is for, by RFC 9421's name.
fn verifier(key: &Key) -> Option<(&'static str, &ParsedPublicKey)> {
    ALGORITHMS.iter().find_map(|(algorithm, name)| key.verifier(*algorithm).map(|verifier| (*name, verifier)))
}
