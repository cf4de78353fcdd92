//! Every request's credential becomes a principal here, or is refused.

use std::{fmt, sync::Arc};

use http::{HeaderName, HeaderValue, header};
use quick_cache::sync::Cache;

use super::{
    api_key::ApiKeys,
    authenticated::{Authenticated, Method, Possession, Proven},
    challenge::Challenges,
    claims,
    delegation::{ChainRules, TaskNaming},
    digest::sha256,
    error::{AuthenticationError, InvalidToken, Shown},
    issuer::{Issuer, TokenKind, Verified},
    once::SeenOnce,
    presented::{self, Presented},
    proof,
    revocations::Revocations,
    seen::{self, Identity, SeenCredential},
    settings::{AuthenticatorSettings, InvalidSettings},
    signals::{self, Signal},
    signature::{self, Signers},
    svid::KnownPeer,
    token::{self, Token},
};
use crate::access::{CanonicalRequest, CredentialKind, CredentialRule, HeaderProblem, Reason, Timestamp};

/// How many verified tokens are remembered.
const REMEMBERED: usize = 10_000;

/// Reads credentials by one state of the settings and the keys.
///
/// It remembers the tokens that it has verified. What it remembers dies with it, so new keys or settings, which make a
/// new authenticator, never meet an old answer. A new policy alone keeps the authenticator.
pub struct Authenticator {
    settings: AuthenticatorSettings,
    api_keys: Option<ApiKeys>,
    credential_fields: Vec<HeaderName>,
    // The same, and the one that names a task.
    asked_fields: Vec<HeaderName>,
    // INVARIANT: the key is the SHA-256 digest of the whole token; issuers, keys and rules are this authenticator's.
    verified: Cache<[u8; 32], Arc<Remembered>>,
    signers: Option<Signers>,
    pub(super) memory: Memory,
    identity: Arc<Identity>,
    challenges: Challenges,
}

/// What outlives an authenticator: the one after it has it too.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory {
    // The proofs that were sent, none of which is good once more.
    pub(super) proofs: Arc<SeenOnce>,
    // In a memory of their own: whoever fills it leaves no proof without room.
    nonces: Arc<SeenOnce>,
    // The revocations that were heard of.
    pub(super) revocations: Arc<Revocations>,
}

pub(super) struct Remembered {
    token: Verified,
    since: Timestamp,
}

impl Authenticator {
    /// An authenticator by these settings. Without any method it refuses every request as
    /// [`AuthenticationError::Missing`].
    pub fn new(settings: AuthenticatorSettings) -> Result<Self, InvalidSettings> {
        Self::with_memory(settings, Memory::default())
    }

    /// The same, which knows the proofs and nonces that another one has seen, none of which is good once more, and the
    /// revocations that it has heard of.
    pub fn after(settings: AuthenticatorSettings, other: &Self) -> Result<Self, InvalidSettings> {
        Self::with_memory(settings, other.memory.clone())
    }

    fn with_memory(settings: AuthenticatorSettings, memory: Memory) -> Result<Self, InvalidSettings> {
        if let Some(problem) = settings.problems().into_iter().next() {
            return Err(problem);
        }
        let api_keys = settings.api_keys.as_ref().map(|keys| ApiKeys::new(keys, settings.actor_mode));
        let authorization = (!settings.issuers.is_empty()).then_some(header::AUTHORIZATION);
        let key = api_keys.as_ref().map(|keys| keys.header().clone());
        let proof = settings.proofs.as_ref().map(|_| proof::FIELD);
        let signers = settings.signatures.as_ref().map(|signatures| Signers::new(signatures, settings.actor_mode));
        let signed = signers.iter().flat_map(|_| signature::FIELDS);
        let credential_fields: Vec<_> = (authorization.into_iter().chain(proof).chain(key))
            .chain(settings.transaction_header.clone())
            .chain(signed)
            .collect();
        Ok(Self {
            asked_fields: credential_fields.iter().cloned().chain(settings.task_header.clone()).collect(),
            credential_fields,
            verified: Cache::new(REMEMBERED),
            signers,
            memory,
            identity: Arc::default(),
            challenges: Challenges::new(
                settings.protected_resource.as_ref(),
                settings.proofs.as_ref(),
                settings.signatures.as_ref(),
            ),
            settings,
            api_keys,
        })
    }

    /// What it was built from: if new settings are equal, this authenticator can be kept.
    pub fn settings(&self) -> &AuthenticatorSettings {
        &self.settings
    }

    /// The fields that carry credentials, to be removed before the upstream sees the request.
    pub fn credential_fields(&self) -> &[HeaderName] {
        &self.credential_fields
    }

    /// The fields that are read to find out who sends a request that came before.
    pub fn asked_fields(&self) -> &[HeaderName] {
        &self.asked_fields
    }

    /// The field in which requests name their task, if they may.
    pub fn task_field(&self) -> Option<&HeaderName> {
        self.settings.task_header.as_ref()
    }

    /// The field that API keys come in, if they are accepted.
    pub(super) fn key_field(&self) -> Option<&HeaderName> {
        self.api_keys.as_ref().map(ApiKeys::header)
    }

    /// The longest token, in bytes.
    pub(super) fn longest_token(&self) -> usize {
        self.settings.longest_token.unwrap_or(token::LONGEST)
    }

    /// What those are told whose credential is missing or refused.
    pub fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    /// Hears a signal (a security event token, RFC 8417) of one of the issuers, and counts what it revokes from now on.
    pub fn hear(&self, text: &str, now: Timestamp) -> Signal {
        signals::hear(self.settings.signals.as_ref(), self.issuers(), &self.memory.revocations, text, now)
    }

    /// The principal of the request: from exactly one credential, and only if all of it holds `now`. A credential that
    /// its connection brought before is not verified anew. The certificate of the connection is a credential too, where
    /// it stands for somebody: alone it is the request's, and beside another one both must be the same sender's.
    pub fn authenticate(
        &self,
        head: &CanonicalRequest,
        seen: &SeenCredential,
        now: Timestamp,
    ) -> Result<Authenticated, AuthenticationError> {
        self.authenticate_as(head, seen, (now, Possession::ToProve), None)
    }

    /// The same for one whose possession of its key was perhaps proven already, and by the rule of the request's route, if
    /// it says which kinds of credentials it must bring.
    pub fn authenticate_as(
        &self,
        head: &CanonicalRequest,
        seen: &SeenCredential,
        circumstances: (Timestamp, Possession),
        rule: Option<&CredentialRule>,
    ) -> Result<Authenticated, AuthenticationError> {
        // Whose request is under way already neither guesses nor floods.
        let is_new = circumstances.1 == Possession::ToProve;
        if is_new && seen.is_over() {
            return Err(AuthenticationError::ConnectionOver);
        }
        let rule = rule.or(self.settings.rule.as_ref());
        let answer = self.principal_of(head, seen, circumstances, rule);
        // What was signed by a key that is not there is not verified, and may be good as soon as the keys are fetched.
        let is_bad =
            |error: &AuthenticationError| error.reason() == Reason::InvalidCredential && !error.may_await_its_key();
        if is_new && answer.as_ref().is_err_and(is_bad) {
            seen.refusals.refuse(circumstances.0);
        }
        answer
    }

    fn principal_of(
        &self,
        head: &CanonicalRequest,
        seen: &SeenCredential,
        (now, possession): (Timestamp, Possession),
        rule: Option<&CredentialRule>,
    ) -> Result<Authenticated, AuthenticationError> {
        let authorization =
            if self.settings.issuers.is_empty() { None } else { head.header_value(&header::AUTHORIZATION)? };
        let api_key = match &self.api_keys {
            Some(keys) => head.header(keys.header())?.map(|text| (keys, text)),
            None => None,
        };
        let task = match &self.settings.task_header {
            Some(name) => head.header(name).map_err(AuthenticationError::TaskField)?,
            None => None,
        };
        let transaction = match &self.settings.transaction_header {
            Some(name) => head.header_value(name)?,
            None => None,
        };
        let signers = self.signers.as_ref().filter(|_| head.has(&signature::INPUT));
        let peer = self.peer(seen, now)?;
        let field = match (authorization.or(transaction), &api_key) {
            (Some(_), _) => Some(CredentialKind::Jwt),
            (None, Some(_)) => Some(CredentialKind::ApiKey),
            (None, None) => None,
        };
        let presented = Presented { field, has_signature: signers.is_some(), has_certificate: peer.is_some() };
        presented.check(rule)?;
        let signed = |signers: &Signers| signers.verify(head, &self.memory.nonces, (now, possession));
        let authenticated = match (authorization, api_key, transaction) {
            (None, None, None) => match (signers, &peer) {
                (Some(signers), _) => presented::by_signature(signed(signers)?, task)?,
                (None, Some(peer)) => return presented::by_certificate(peer, task),
                (None, None) => return Err(AuthenticationError::Missing),
            },
            (Some(field), None, None) => self.token(head, (field, TokenKind::Access, task), seen, (now, possession))?,
            (None, None, Some(field)) => {
                self.token(head, (field, TokenKind::Transaction, task), seen, (now, possession))?
            }
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
                return Err(AuthenticationError::Several);
            }
            (None, Some((keys, text)), None) => {
                let key = presented::found_key(keys, text, (seen, now), possession)?;
                Authenticated::by(&key.credential, key.chain.within(task)?)
            }
        };
        let authenticated = match signers.filter(|_| field.is_some()) {
            Some(signers) => presented::signed_too(authenticated, signed(signers)?)?,
            None => authenticated,
        };
        match peer {
            Some(peer) => presented::check_agreement(&authenticated.principal, &peer).map(|()| authenticated),
            None => Ok(authenticated),
        }
    }

    /// Whom the connection's other end is by its certificate, if that stands for somebody. One that claims to and is not
    /// good is refused, whatever else the request brings.
    fn peer(&self, seen: &SeenCredential, now: Timestamp) -> Result<Option<Arc<KnownPeer>>, AuthenticationError> {
        let Some(certificate) = seen.certificate().filter(|_| !self.settings.spiffe.is_empty()) else {
            return Ok(None);
        };
        if let Some(known) = seen.known_peer(&self.identity).filter(|known| known.is_fresh(now)) {
            return Ok(Some(known));
        }
        let known = KnownPeer::of(certificate, (&self.settings.spiffe, self.settings.actor_mode), now)?;
        let known = known.map(Arc::new);
        if let Some(known) = &known {
            seen.keep_peer(&self.identity, known);
        }
        Ok(known)
    }

    fn token(
        &self,
        head: &CanonicalRequest,
        (field, kind, task): (&HeaderValue, TokenKind, Option<&str>),
        seen: &SeenCredential,
        (now, possession): (Timestamp, Possession),
    ) -> Result<Authenticated, AuthenticationError> {
        let known = seen.find(field.as_bytes(), &self.identity).filter(|remembered| remembered.is_fresh(now));
        let remembered = match known {
            Some(remembered) => remembered,
            None => {
                let field = field.to_str().map_err(|_| HeaderProblem::NotText)?;
                let text = match kind {
                    TokenKind::Access => self.token_of(field)?,
                    TokenKind::Transaction => token::token68(field)?,
                };
                let remembered = self.remembered(text, now)?;
                // What is kept was right in its field: the same text would be found for the other one.
                remembered.check_kind(kind)?;
                seen.keep(field, &self.identity, &remembered);
                remembered
            }
        };
        // Also of what was found: it may have come in the other field.
        remembered.check_kind(kind)?;
        remembered.token.validity.check(now)?;
        let proofs = self.settings.proofs.as_ref().map(|settings| (settings, &*self.memory.proofs));
        presented::check_possession(proofs, (head, seen), (field, &remembered.token), (now, possession))?;
        let token = &remembered.token;
        let authenticated = Authenticated::by(&token.credential, token.chain.within(task)?);
        if let Method::Jwt { issuer, .. } = &token.credential.method {
            self.memory.revocations.check(issuer, &token.names, token.credential.issued, now)?;
        }
        Ok(Authenticated { proven: Proven { signature: None, proof: token.bound_key() }, ..authenticated })
    }

    /// The text of the token, by one of the schemes that are served.
    fn token_of<'f>(&self, field: &'f str) -> Result<&'f str, AuthenticationError> {
        let (scheme, token) = field.split_once(' ').ok_or(AuthenticationError::Scheme)?;
        let served = scheme.eq_ignore_ascii_case("bearer")
            || self.settings.proofs.is_some() && scheme.eq_ignore_ascii_case("dpop");
        if served { token::token68(token) } else { Err(AuthenticationError::Scheme) }
    }

    /// The token as it was verified, not long ago or now.
    fn remembered(&self, text: &str, now: Timestamp) -> Result<Arc<Remembered>, AuthenticationError> {
        if text.len() > self.longest_token() {
            return Err(InvalidToken::TooLong.into());
        }
        let digest = sha256(text.as_bytes());
        if let Some(remembered) = self.verified.get(&digest).filter(|remembered| remembered.is_fresh(now)) {
            return Ok(remembered);
        }
        let remembered = Arc::new(Remembered { token: self.verify(text, now)?, since: now });
        self.verified.insert(digest, Arc::clone(&remembered));
        Ok(remembered)
    }

    fn verify(&self, text: &str, now: Timestamp) -> Result<Verified, AuthenticationError> {
        let token = Token::parse(text)?;
        let name = claims::issuer(token.claims.read())?;
        // The name finds the issuer, and only its own keys are asked: there is no common set of keys.
        let mut issuers = self.issuers();
        match issuers.find(|issuer| *issuer.settings.issuer == *name) {
            Some(issuer) => issuer.verify(&token, self.rules(), now),
            None => {
                self.issuers().take(1).for_each(|issuer| issuer.spend(&token));
                Err(InvalidToken::UnknownIssuer(Shown::new(name)).into())
            }
        }
    }

    fn issuers(&self) -> impl ExactSizeIterator<Item = Issuer<'_>> {
        self.settings.issuers.iter().enumerate().map(|(index, settings)| Issuer { index, settings })
    }

    fn rules(&self) -> ChainRules {
        let naming = if self.settings.task_header.is_some() { TaskNaming::ByRequest } else { TaskNaming::ByToken };
        ChainRules { mode: self.settings.actor_mode, naming }
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Remembered {
    /// Whether the token came in the field of its kind.
    fn check_kind(&self, kind: TokenKind) -> Result<(), InvalidToken> {
        if self.token.kind == kind { Ok(()) } else { Err(InvalidToken::Misplaced) }
    }

    fn is_fresh(&self, now: Timestamp) -> bool {
        seen::is_fresh(self.since, now)
    }
}
