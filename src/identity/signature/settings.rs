//! Whose signatures are accepted, and what they must say.

use std::{sync::Arc, time::Duration};

use thiserror::Error;

use super::{component::SignedComponent, signers::ALGORITHMS};
use crate::{
    access::{Entity, Scheme},
    identity::{jwks::KeySet, proof::Origin},
};

/// The longest leeway.
const LONGEST_LEEWAY: Duration = Duration::from_secs(120);
/// The longest tag, in bytes.
const LONGEST_TAG: usize = 64;

/// How signatures of requests are accepted (RFC 9421).
#[derive(Debug, Clone, PartialEq)]
pub struct SignatureSettings {
    /// The `tag` of the signatures that count.
    pub tag: Box<str>,
    /// What each of them covers at least.
    pub components: Vec<SignedComponent>,
    /// How long after `created` they may expire: whole seconds, at most 24 hours.
    pub max_lifetime: Duration,
    /// How far clocks may differ: whole seconds, at most 120.
    pub leeway: Duration,
    /// Whether each needs a nonce.
    pub nonce: NonceNeed,
    /// Whether bodies must be covered.
    pub body: BodyCover,
    /// How many bytes of a body are read at most to compare it with its digest, where nothing else reads it.
    pub longest_body: usize,
    /// The scheme that clients see, if something before this listener ends their TLS.
    pub scheme: Option<Scheme>,
    /// Who signs.
    pub agents: Vec<SigningAgent>,
}

/// Whether signatures need a nonce. One that is there is good once in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NonceNeed {
    /// They do not, and one without is good for its request as often as it is sent while it lasts.
    #[default]
    Optional,
    /// They do.
    Required,
}

/// Whether the signature of a request with a body must cover `content-digest`. One that is covered is checked in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyCover {
    /// It must.
    #[default]
    Required,
    /// It need not, and then somebody on the way may have replaced the body.
    Optional,
}

/// One agent that signs its requests.
#[derive(Debug, Clone, PartialEq)]
pub struct SigningAgent {
    /// The subject that its keys stand for.
    pub subject: Entity,
    /// Its public keys, which are known by their thumbprints (RFC 7638).
    pub keys: Arc<KeySet>,
    /// That of the directory that the keys were fetched from: what `Signature-Agent` must be, where it is sent. `None` are
    /// keys of a file: then it is not looked at, and such a key is this agent's whatever directories publish it too.
    pub origin: Option<Origin>,
}

/// Why settings accept no signature, or too many.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSignatureSettings {
    /// Empty, too long, or with characters that no tag has.
    #[error("a tag is 1 to 64 visible ASCII characters")]
    Tag,
    /// Signatures that do not say for which host they are would be good for every other one that knows the key.
    #[error("signatures must cover `@authority` or `@target-uri`, or they are good for other hosts too")]
    NoHost,
    /// A component twice.
    #[error("the component `{0}` is named twice")]
    RepeatedComponent(SignedComponent),
    /// Less than a second, more than a day, or not whole seconds.
    #[error("the lifetime of signatures is whole seconds, at least one and at most 24 hours")]
    Lifetime,
    /// More than 120 s, or not whole seconds.
    #[error("the leeway of signatures is whole seconds, at most 120")]
    Leeway,
    /// Nobody signs.
    #[error("no agent is named: every signature would be refused")]
    NoAgent,
}

impl SigningAgent {
    /// Whether one of its keys is for an algorithm that is served. Of what is fetched that is not asked: one directory is
    /// no reason to refuse what all others say.
    pub fn has_a_key(&self) -> bool {
        self.keys.serves(&ALGORITHMS.map(|(algorithm, _)| algorithm))
    }
}

impl SignatureSettings {
    /// The tag if nothing else is said (draft-ietf-webbotauth-httpsig-protocol).
    pub const DEFAULT_TAG: &'static str = "web-bot-auth";
    /// The lifetime if nothing else is said.
    pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(300);
    /// The longest lifetime.
    pub const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
    /// The leeway if nothing else is said.
    pub const DEFAULT_LEEWAY: Duration = Duration::from_secs(30);
    /// The components if nothing else is said: all that says where a request goes.
    pub const DEFAULT_COMPONENTS: [SignedComponent; 4] =
        [SignedComponent::Method, SignedComponent::Authority, SignedComponent::Path, SignedComponent::Query];

    /// What is asked of a signature, as `Accept-Signature` says it (RFC 9421, section 5.1).
    pub(in crate::identity) fn request(&self) -> String {
        // Names of components and tags are ASCII without quotes and backslashes.
        let names: Vec<_> = self.components.iter().map(|component| format!("\"{component}\"")).collect();
        format!("sig=({});created;expires;tag=\"{}\"", names.join(" "), self.tag)
    }

    pub(in crate::identity) fn check(&self) -> Result<(), InvalidSignatureSettings> {
        let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        if !(1..=LONGEST_TAG).contains(&self.tag.len()) || !self.tag.bytes().all(legal) {
            return Err(InvalidSignatureSettings::Tag);
        }
        if !SignedComponent::Authority.is_covered_by(&self.components) {
            return Err(InvalidSignatureSettings::NoHost);
        }
        let earlier = |index: usize| self.components.get(..index).unwrap_or_default();
        let mut listed = self.components.iter().enumerate();
        if let Some((_, component)) = listed.find(|(index, component)| earlier(*index).contains(component)) {
            return Err(InvalidSignatureSettings::RepeatedComponent(component.clone()));
        }
        let lifetime = self.max_lifetime;
        if lifetime.as_secs() == 0 || lifetime > Self::LONGEST_LIFETIME || lifetime.subsec_nanos() != 0 {
            return Err(InvalidSignatureSettings::Lifetime);
        }
        if self.leeway > LONGEST_LEEWAY || self.leeway.subsec_nanos() != 0 {
            return Err(InvalidSignatureSettings::Leeway);
        }
        if self.agents.is_empty() { Err(InvalidSignatureSettings::NoAgent) } else { Ok(()) }
    }
}
