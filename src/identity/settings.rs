//! What an authenticator is built from.

use std::{sync::Arc, time::Duration};

use http::{HeaderName, header};
use thiserror::Error;

use super::{
    algorithm::Algorithm,
    api_key::ApiKeySettings,
    challenge::ProtectedResource,
    contextual::TupleMapping,
    delegation::ChainSettings,
    grants::GrantSettings,
    jwks::KeySet,
    proof::{self, ProofSettings},
    signals::SignalSettings,
    signature::{self, InvalidSignatureSettings, SignatureSettings},
    spiffe::TrustDomain,
    svid::SpiffeSettings,
};
use crate::access::{ActorMode, CredentialRule, is_hop_by_hop, is_reserved};

/// The longest leeway.
const LONGEST_LEEWAY: Duration = Duration::from_secs(120);

/// The most actors in one chain: a token with more is nested deeper than tokens may be.
const MOST_ACTORS: usize = 7;

/// Which credentials are accepted, and what chain they stand for.
///
/// Equal settings make authenticators that answer alike, so the one that is there can be kept with its cache.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AuthenticatorSettings {
    /// Those whose tokens are accepted.
    pub issuers: Vec<IssuerSettings>,
    /// API keys, if they are accepted.
    pub api_keys: Option<ApiKeySettings>,
    /// Trust domains whose workloads are known by the certificates of their connections (SPIFFE). Without any,
    /// certificates stand for nobody.
    pub spiffe: Vec<SpiffeSettings>,
    /// Which kinds of credentials requests must bring, where their route does not say it; any one, by default.
    pub rule: Option<CredentialRule>,
    /// Which actors of a chain must be permitted.
    pub actor_mode: ActorMode,
    /// The field in which requests name the task that they are within, if they may. A name alone is never enough: the
    /// credential must be bound to that task, or to a list with it.
    pub task_header: Option<HeaderName>,
    /// The field that transaction tokens come in, if they are accepted. They come in no other, and nothing else in it.
    pub transaction_header: Option<HeaderName>,
    /// How tokens that are bound to a key are accepted (DPoP); without it they are refused.
    pub proofs: Option<ProofSettings>,
    /// How signatures of requests are accepted, if they are (RFC 9421).
    pub signatures: Option<SignatureSettings>,
    /// Whose signals of ended sessions are heard, if any are.
    pub signals: Option<SignalSettings>,
    /// The longest token, in bytes; by default 8 KiB.
    pub longest_token: Option<usize>,
    /// What clients are told of this API, if they are.
    pub protected_resource: Option<ProtectedResource>,
}

/// One issuer of tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct IssuerSettings {
    /// Its name, which `iss` must be exactly.
    pub issuer: Arc<str>,
    /// Our names, one of which `aud` must have exactly. Never empty.
    pub audiences: Vec<Box<str>>,
    /// What its signatures may be made with. Never empty.
    pub algorithms: Vec<Algorithm>,
    /// What `typ` may be, in any case (RFC 7515, section 4.1.9). An empty entry accepts tokens without `typ`.
    pub types: Vec<Box<str>>,
    /// How far its clock may be from ours: at most 120 s, in whole seconds.
    pub leeway: Duration,
    /// How long after `iat` a token is accepted at most.
    pub max_age: Option<Duration>,
    /// What chain its tokens stand for.
    pub chain: ChainSettings,
    /// What its tokens grant beside their chain.
    pub grants: GrantSettings,
    /// What its tokens tell of their subject.
    pub contextual: Vec<TupleMapping>,
    /// Its public keys.
    pub keys: Arc<KeySet>,
}

impl IssuerSettings {
    /// The types that are accepted if nothing else is said (RFC 9068, section 2.1, and RFC 7519, section 5.1).
    pub const DEFAULT_TYPES: [&'static str; 3] = ["at+jwt", "application/at+jwt", "JWT"];
    /// The leeway if nothing else is said.
    pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
}

/// Why settings make no authenticator. The indexes are those of the settings' lists.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSettings {
    /// An issuer without a name.
    #[error("an issuer's name is empty")]
    UnnamedIssuer {
        /// The issuer.
        index: usize,
    },
    /// Two issuers of the same name: a token would not say whose keys it is verified by.
    #[error("the issuer `{issuer}` is configured twice")]
    RepeatedIssuer {
        /// The second one.
        index: usize,
        /// The first one.
        first: usize,
        /// Their name.
        issuer: Arc<str>,
    },
    /// No audience, or one that is empty.
    #[error("an issuer needs audiences, and none of them empty")]
    NoAudience {
        /// The issuer.
        index: usize,
    },
    /// No algorithm.
    #[error("an issuer needs algorithms")]
    NoAlgorithm {
        /// The issuer.
        index: usize,
    },
    /// No type.
    #[error("an issuer needs token types")]
    NoType {
        /// The issuer.
        index: usize,
    },
    /// More than 120 s, or not whole seconds.
    #[error("the leeway is whole seconds, at most 120")]
    Leeway {
        /// The issuer.
        index: usize,
    },
    /// Less than a second.
    #[error("the greatest age is at least one second")]
    MaxAge {
        /// The issuer.
        index: usize,
    },
    /// More than 7.
    #[error("a chain has at most 7 actors")]
    MaxActors {
        /// The issuer.
        index: usize,
    },
    /// No key is for one of the algorithms, so no token would ever be accepted.
    #[error("none of the issuer's keys is for one of its algorithms")]
    NoUsableKey {
        /// The issuer.
        index: usize,
    },
    /// Two API keys have the same id.
    #[error("the API key `{id}` is configured twice")]
    RepeatedApiKey {
        /// The second one.
        index: usize,
        /// Their id.
        id: Arc<str>,
    },
    /// An id that no key can have.
    #[error("`{id}` is not an API key's id: eight of `a` to `z` and `2` to `7`, the part of the key after `pcl_`")]
    ApiKeyId {
        /// The API key.
        index: usize,
        /// The id.
        id: Arc<str>,
    },
    /// Two trust domains of the same name.
    #[error("the trust domain `{name}` is configured twice")]
    RepeatedTrustDomain {
        /// The second one.
        index: usize,
        /// Their name.
        name: TrustDomain,
    },
    /// A workload of one trust domain could be the same subject as one of another: their authorities would vouch for
    /// each other's.
    #[error("a workload of `{name}` could be the same subject as one of `{first}`")]
    SharedSubjects {
        /// The second trust domain.
        index: usize,
        /// Its name.
        name: TrustDomain,
        /// The name of the first one.
        first: TrustDomain,
    },
    /// No ID of the trust domain would be anybody.
    #[error("a trust domain needs subjects")]
    NoSpiffeSubject {
        /// The trust domain.
        index: usize,
    },
    /// Less than a second, more than 300, or not whole seconds.
    #[error("the window of proofs is whole seconds, at least one and at most 300")]
    ProofWindow,
    /// Signatures of requests would be accepted by nobody, or too easily.
    #[error(transparent)]
    Signatures(#[from] InvalidSignatureSettings),
    /// A field that has another meaning or never travels.
    #[error("a task cannot be named in the field `{0}`")]
    TaskHeader(HeaderName),
    /// The same for transaction tokens.
    #[error("transaction tokens cannot come in the field `{0}`")]
    TransactionHeader(HeaderName),
    /// The same for API keys.
    #[error("API keys cannot come in the field `{0}`")]
    ApiKeyHeader(HeaderName),
}

impl InvalidSettings {
    /// The index of the issuer that is wrong.
    pub const fn issuer(&self) -> Option<usize> {
        match self {
            Self::UnnamedIssuer { index }
            | Self::RepeatedIssuer { index, .. }
            | Self::NoAudience { index }
            | Self::NoAlgorithm { index }
            | Self::NoType { index }
            | Self::Leeway { index }
            | Self::MaxAge { index }
            | Self::MaxActors { index }
            | Self::NoUsableKey { index } => Some(*index),
            Self::RepeatedApiKey { .. }
            | Self::ApiKeyId { .. }
            | Self::RepeatedTrustDomain { .. }
            | Self::SharedSubjects { .. }
            | Self::NoSpiffeSubject { .. }
            | Self::ProofWindow
            | Self::Signatures(_)
            | Self::TaskHeader(_)
            | Self::TransactionHeader(_)
            | Self::ApiKeyHeader(_) => None,
        }
    }

    /// The index of the API key that is wrong.
    pub const fn api_key(&self) -> Option<usize> {
        match self {
            Self::RepeatedApiKey { index, .. } | Self::ApiKeyId { index, .. } => Some(*index),
            Self::UnnamedIssuer { .. }
            | Self::RepeatedIssuer { .. }
            | Self::NoAudience { .. }
            | Self::NoAlgorithm { .. }
            | Self::NoType { .. }
            | Self::Leeway { .. }
            | Self::MaxAge { .. }
            | Self::MaxActors { .. }
            | Self::NoUsableKey { .. }
            | Self::RepeatedTrustDomain { .. }
            | Self::SharedSubjects { .. }
            | Self::NoSpiffeSubject { .. }
            | Self::ProofWindow
            | Self::Signatures(_)
            | Self::TaskHeader(_)
            | Self::TransactionHeader(_)
            | Self::ApiKeyHeader(_) => None,
        }
    }
}

impl AuthenticatorSettings {
    /// Every reason to refuse them: they would accept too much, or nothing. Keys that are to be fetched yet are none.
    pub fn problems(&self) -> Vec<InvalidSettings> {
        let mut problems = Vec::new();
        for (index, issuer) in self.issuers.iter().enumerate() {
            issuer.find_problems(index, &mut problems);
            if let Some(first) = self.issuers.iter().take(index).position(|other| other.issuer == issuer.issuer) {
                let issuer = Arc::clone(&issuer.issuer);
                problems.push(InvalidSettings::RepeatedIssuer { index, first, issuer });
            }
        }
        for (index, domain) in self.spiffe.iter().enumerate() {
            problems.extend(self.problem_of_domain(index, domain));
        }
        if let Some(proofs) = &self.proofs {
            let window = proofs.window;
            if window.as_secs() == 0 || window > ProofSettings::LONGEST_WINDOW || window.subsec_nanos() != 0 {
                problems.push(InvalidSettings::ProofWindow);
            }
        }
        problems.extend(self.signatures.as_ref().and_then(|signatures| signatures.check().err()).map(Into::into));
        let key_header = self.api_keys.as_ref().map(|keys| &keys.header);
        let taken = |name: &&HeaderName| {
            !may_carry(name) || key_header == Some(*name) || self.task_header.as_ref() == Some(*name)
        };
        if let Some(name) = self.transaction_header.as_ref().filter(taken) {
            problems.push(InvalidSettings::TransactionHeader(name.clone()));
        }
        if let Some(name) = self.task_header.as_ref().filter(|name| !may_carry(name) || key_header == Some(*name)) {
            problems.push(InvalidSettings::TaskHeader(name.clone()));
        }
        if let Some(api_keys) = &self.api_keys {
            if !may_carry(&api_keys.header) {
                problems.push(InvalidSettings::ApiKeyHeader(api_keys.header.clone()));
            }
            api_keys.find_problems(&mut problems);
        }
        problems
    }

    fn problem_of_domain(&self, index: usize, domain: &SpiffeSettings) -> Option<InvalidSettings> {
        let (name, others) = (&domain.trust_domain, self.spiffe.iter().take(index));
        if others.clone().any(|other| other.trust_domain == *name) {
            return Some(InvalidSettings::RepeatedTrustDomain { index, name: name.clone() });
        }
        if domain.subjects.is_empty() {
            return Some(InvalidSettings::NoSpiffeSubject { index });
        }
        let meets = |other: &&SpiffeSettings| {
            other.subjects.iter().any(|rule| domain.subjects.iter().any(|own| own.may_meet(rule)))
        };
        let first = others.clone().find(meets)?.trust_domain.clone();
        Some(InvalidSettings::SharedSubjects { index, name: name.clone(), first })
    }
}

impl IssuerSettings {
    fn find_problems(&self, index: usize, problems: &mut Vec<InvalidSettings>) {
        let found = [
            (self.issuer.is_empty(), InvalidSettings::UnnamedIssuer { index }),
            (
                self.audiences.is_empty() || self.audiences.iter().any(|audience| audience.is_empty()),
                InvalidSettings::NoAudience { index },
            ),
            (self.algorithms.is_empty(), InvalidSettings::NoAlgorithm { index }),
            (self.types.is_empty(), InvalidSettings::NoType { index }),
            (self.leeway > LONGEST_LEEWAY || self.leeway.subsec_nanos() != 0, InvalidSettings::Leeway { index }),
            (self.max_age.is_some_and(|age| age.as_secs() == 0), InvalidSettings::MaxAge { index }),
            (self.chain.max_actors > MOST_ACTORS, InvalidSettings::MaxActors { index }),
            (
                !self.keys.is_outdated() && !self.algorithms.is_empty() && !self.keys.serves(&self.algorithms),
                InvalidSettings::NoUsableKey { index },
            ),
        ];
        problems.extend(found.into_iter().filter(|(is_so, _)| *is_so).map(|(_, problem)| problem));
    }
}

/// Whether the field has no other meaning and travels: then a credential or a task can be in it.
pub fn may_carry(name: &HeaderName) -> bool {
    let taken = [
        header::AUTHORIZATION,
        proof::FIELD,
        header::HOST,
        header::COOKIE,
        header::CONTENT_TYPE,
        header::CONTENT_LENGTH,
        header::CONTENT_ENCODING,
        header::EXPECT,
        header::ORIGIN,
    ];
    !taken.contains(name) && !signature::FIELDS.contains(name) && !is_hop_by_hop(name) && !is_reserved(name)
}
