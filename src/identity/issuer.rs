//! One issuer: its tokens are verified by its keys and its rules.

use std::sync::Arc;

use aws_lc_rs::signature::ParsedPublicKey;

use super::{
    authenticated::{Credential, Method},
    claims::{self, Validity},
    contextual,
    delegation::ChainRules,
    error::{AuthenticationError, InvalidToken},
    proof::{Binding, Thumbprint, bound_to},
    revocations::MemberName,
    settings::IssuerSettings,
    tasks::Chain,
    token::Token,
};
use crate::access::Timestamp;

/// Which field a token comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// `Authorization`.
    Access,
    /// The field of transaction tokens.
    Transaction,
}

/// What is known of a token whose signature, claims and chain hold.
pub(super) struct Verified {
    pub(super) chain: Chain,
    pub(super) kind: TokenKind,
    pub(super) credential: Arc<Credential>,
    pub(super) validity: Validity,
    /// What issuers call the members of the chain.
    pub(super) names: Box<[MemberName]>,
    /// The key or the certificate that it is bound to.
    pub(super) binding: Option<Binding>,
}

impl Verified {
    /// The key that it is bound to, if it is one.
    pub(super) fn bound_key(&self) -> Option<Thumbprint> {
        match self.binding {
            Some(Binding::Key(key)) => Some(key),
            Some(Binding::Certificate(_)) | None => None,
        }
    }
}

/// One issuer of the settings, by its index in them.
#[derive(Clone, Copy)]
pub(super) struct Issuer<'s> {
    pub(super) index: usize,
    pub(super) settings: &'s IssuerSettings,
}

impl<'s> Issuer<'s> {
    /// Verifies the token: type, algorithm, key and signature, then claims and chain (RFC 8725, section 3).
    pub(super) fn verify(
        self,
        token: &Token<'_>,
        rules: ChainRules,
        now: Timestamp,
    ) -> Result<Verified, AuthenticationError> {
        let (settings, claims) = (self.settings, token.claims.read());
        claims::check_type(token.header.kind.as_deref(), claims, &settings.types)?;
        self.check_signature(token)?;
        claims::check_audience(claims, &settings.audiences)?;
        let validity = Validity::read(claims, settings)?;
        validity.check(now)?;
        claims::check_subject(claims)?;
        let is_transaction = claims::is_transaction(token.header.kind.as_deref());
        if is_transaction {
            claims::check_transaction(claims)?;
        }
        let binding = match claims.get("cnf") {
            None => None,
            Some(confirmation) => Some(bound_to(confirmation).ok_or(InvalidToken::Bound)?),
        };
        let chain = settings.chain.chain(claims, rules)?;
        let names = settings.chain.names(claims, &chain)?;
        let credential = Credential {
            method: Method::Jwt { index: self.index, issuer: Arc::clone(&settings.issuer) },
            expires: Some(validity.end()),
            issued: validity.issued_at(),
            contextual: match chain.subject() {
                Some(subject) => contextual::tuples(&settings.contextual, claims, subject)?,
                None => None,
            },
            token_id: claims::token_id(claims)?.map(Arc::from),
            grants: settings.grants.read(claims)?.map(Arc::new),
        };
        Ok(Verified {
            names,
            chain,
            kind: if is_transaction { TokenKind::Transaction } else { TokenKind::Access },
            credential: Arc::new(credential),
            validity,
            binding,
        })
    }

    /// Whether the signature is that of the key that the token names.
    pub(super) fn check_signature(self, token: &Token<'_>) -> Result<(), InvalidToken> {
        let verifier = self.verifier(token)?;
        verifier.verify_sig(token.signed.as_bytes(), &token.signature).map_err(|_| InvalidToken::Signature)
    }

    /// Verifies by some key and forgets the answer, so that the time of a refusal does not tell whether an issuer or a
    /// key is known.
    pub(super) fn spend(self, token: &Token<'_>) {
        let keys = self.settings.keys.keys();
        if let Some(verifier) = keys.iter().find_map(|key| key.verifier(token.header.algorithm)) {
            let _forgotten = verifier.verify_sig(token.signed.as_bytes(), &token.signature);
        }
    }

    /// The one key that the token names, as a verifier of the token's algorithm. The issuer's list and the key must
    /// both allow it (RFC 8725, section 3.1).
    fn verifier(self, token: &Token<'_>) -> Result<&'s ParsedPublicKey, InvalidToken> {
        let algorithm = token.header.algorithm;
        if !self.settings.algorithms.contains(&algorithm) {
            return Err(InvalidToken::RefusedAlgorithm(algorithm));
        }
        if self.settings.keys.is_outdated() {
            return Err(InvalidToken::OutdatedKeys);
        }
        let key = match (&token.header.key_id, self.settings.keys.keys()) {
            (Some(id), keys) => keys.iter().find(|key| key.has_id(id)).ok_or_else(|| {
                self.spend(token);
                InvalidToken::UnknownKey { issuer: self.index }
            })?,
            (None, [only]) => only,
            (None, _) => return Err(InvalidToken::KeyIdNeeded),
        };
        key.verifier(algorithm).ok_or(InvalidToken::KeyOfOtherAlgorithm(algorithm))
    }
}
