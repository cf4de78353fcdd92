//! From the credential of a request to the principal behind it.
#![warn(missing_docs)]

mod algorithm;
mod api_key;
mod authenticated;
mod authenticator;
mod certificate;
mod challenge;
mod claims;
mod contextual;
mod delegation;
mod denylist;
mod digest;
mod discovery;
mod error;
mod grants;
mod issuer;
mod json;
mod jwk;
mod jwks;
mod once;
mod presented;
mod proof;
mod proxied;
mod refusals;
mod revocations;
mod seen;
mod settings;
mod signals;
mod signature;
mod spiffe;
mod svid;
mod tasks;
mod template;
#[cfg(test)]
mod tests;
mod token;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use api_key::{ApiKey, ApiKeyHash, ApiKeySettings, InvalidApiKeyHash, NewApiKey};
pub use authenticated::{Authenticated, Credential, Method, Possession, Proven};
pub use authenticator::Authenticator;
pub use certificate::UnreadableCertificate;
pub use challenge::{Challenges, InvalidResource, ProtectedResource, ResourceUrl, is_loopback};
pub use contextual::{ClaimPresence, InvalidMapping, InvalidTupleClaim, MappedTuple, TupleMapping};
pub use delegation::{ChainSettings, InvalidChain, SubjectRule};
pub use denylist::{Denylist, Revocation, Revoked, Which};
pub use discovery::{InvalidMetadata, IssuerUrl, NotAnIssuerUrl};
pub use error::{AuthenticationError, InvalidToken, Shown, TokenPart};
pub use grants::{AuthorizationDetails, GrantSettings};
pub use jwks::{IgnoredKeys, InvalidKeySet, KeySet};
pub use proof::{InvalidOrigin, InvalidProof, Origin, ProofNeed, ProofSettings};
pub use proxied::SenderFields;
pub use refusals::RefusedKeys;
pub use seen::SeenCredential;
pub use settings::{AuthenticatorSettings, InvalidSettings, IssuerSettings, may_carry};
pub use signals::{Heard, InvalidSignal, Signal, SignalOrigin, SignalSettings};
pub use signature::{
    BodyCover, ContentDigest, InvalidComponent, InvalidSignature, InvalidSignatureSettings, NonceNeed,
    SignatureSettings, SignedBody, SignedComponent, SigningAgent,
};
pub use spiffe::{InvalidSpiffeId, InvalidSpiffeSubject, SpiffeId, SpiffeSubject, SpiffeSubjects, TrustDomain};
pub use svid::{InvalidBundle, InvalidSvid, SpiffeSettings, TrustBundle};
pub use template::{EntityTemplate, InvalidEntityTemplate};
