//! HTTP message signatures (RFC 9421), the credential of agents without tokens.

mod base;
mod component;
mod content_digest;
mod error;
mod fields;
mod settings;
mod signers;
mod structured;

pub use component::{InvalidComponent, SignedComponent};
pub use content_digest::{ContentDigest, SignedBody};
pub use error::InvalidSignature;
pub(in crate::identity) use fields::{FIELDS, INPUT};
pub use settings::{BodyCover, InvalidSignatureSettings, NonceNeed, SignatureSettings, SigningAgent};
pub(in crate::identity) use signers::{Signed, Signers};

#[cfg(test)]
pub(in crate::identity) use base::signature_base;
