//! The one signature of a request that counts, as its fields say it.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::HeaderName;
use sfv::BareItemFromInput;

use super::{
    component::SignedComponent,
    error::InvalidSignature,
    structured::{self, Member},
};
use crate::{
    access::{CanonicalRequest, Timestamp},
    identity::{
        error::Shown,
        proof::{Origin, Thumbprint},
    },
};

/// What signatures cover and by which parameters (RFC 9421, section 4.1). Without it a request has none.
pub(in crate::identity) const INPUT: HeaderName = HeaderName::from_static("signature-input");
/// The signatures themselves (RFC 9421, section 4.2).
pub(in crate::identity) const SIGNATURE: HeaderName = HeaderName::from_static("signature");
/// Who a stranger says that it is.
const AGENT: HeaderName = HeaderName::from_static("signature-agent");

/// The fields of a signature, which end at the proxy.
pub(in crate::identity) const FIELDS: [HeaderName; 3] = [INPUT, SIGNATURE, AGENT];

/// The longest field, in bytes.
const LONGEST: usize = 8 * 1024;

/// The longest nonce, in bytes.
const LONGEST_NONCE: usize = 256;

/// A signature whose form is right: nothing of it is verified yet.
#[derive(Debug)]
pub(super) struct Claimed {
    /// What it covers, each once.
    pub(super) covered: Vec<SignedComponent>,
    /// The components and all parameters as they are signed (RFC 9421, section 2.3).
    pub(super) parameters: String,
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) key: Thumbprint,
    pub(super) algorithm: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) bytes: Vec<u8>,
}

impl Claimed {
    /// Reads the one signature that has the tag.
    pub(super) fn read(head: &CanonicalRequest, tag: &str) -> Result<Self, InvalidSignature> {
        let inputs = dictionary(head, INPUT)?;
        let has_tag = |member: &&Member<'_>| member.parameter("tag").and_then(text).is_some_and(|own| own == tag);
        let mut tagged = inputs.iter().filter(has_tag);
        let (input, None) = (tagged.next().ok_or(InvalidSignature::OtherTag)?, tagged.next()) else {
            return Err(InvalidSignature::Several);
        };
        if input.value.is_some() {
            return Err(InvalidSignature::Malformed(INPUT));
        }
        let mut covered = Vec::new();
        for item in &input.list {
            let name = text(&item.value).ok_or(InvalidSignature::Malformed(INPUT))?;
            let component = match &*item.parameters {
                [] => name.parse().ok(),
                [(parameter, value)] if parameter.as_str() == "key" => {
                    let key = text(value).ok_or_else(|| InvalidSignature::ComponentParameter(Shown::new(name)))?;
                    SignedComponent::member(name, key)
                }
                _ => return Err(InvalidSignature::ComponentParameter(Shown::new(name))),
            };
            let component = component.filter(|component| !covered.contains(component));
            covered.push(component.ok_or_else(|| InvalidSignature::Component(Shown::new(name)))?);
        }
        let known = ["created", "expires", "keyid", "alg", "nonce", "tag"];
        if let Some((key, _)) = input.parameters.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            return Err(InvalidSignature::UnservedParameter(Shown::new(key.as_str())));
        }
        let time = |name| match input.parameter(name) {
            Some(BareItemFromInput::Integer(seconds)) if i64::from(*seconds) >= 0 => {
                Ok(Timestamp::from_seconds(i64::from(*seconds)))
            }
            Some(_) | None => Err(InvalidSignature::Parameter(name)),
        };
        let optional = |name| match input.parameter(name) {
            None => Ok(None),
            Some(value) => text(value).map(Some).ok_or(InvalidSignature::Parameter(name)),
        };
        let key = optional("keyid")?.and_then(|id| URL_SAFE_NO_PAD.decode(id).ok()?.try_into().ok());
        let nonce = optional("nonce")?;
        if nonce.is_some_and(|nonce| !(1..=LONGEST_NONCE).contains(&nonce.len())) {
            return Err(InvalidSignature::Parameter("nonce"));
        }
        Ok(Self {
            // In their one serialization, in the order in which they came.
            parameters: input.serialized().ok_or(InvalidSignature::Malformed(INPUT))?,
            created: time("created")?,
            expires: time("expires")?,
            key: key.ok_or(InvalidSignature::Parameter("keyid"))?,
            algorithm: optional("alg")?.map(str::to_owned),
            nonce: nonce.map(str::to_owned),
            bytes: bytes(head, input.name)?,
            covered,
        })
    }
}

/// Whose a request says that it is.
#[derive(Debug)]
pub(super) struct NamedAgent {
    pub(super) origin: Origin,
    /// Whether the signature covers the name, so that nobody but the signer wrote it.
    pub(super) is_covered: bool,
}

/// Whose the request says that it is: an origin, as an item or as a member of a dictionary, the one that the signature
/// covers or the only one. It leads to no key that is not configured.
pub(super) fn named_agent(
    head: &CanonicalRequest,
    covered: &[SignedComponent],
) -> Result<Option<NamedAgent>, InvalidSignature> {
    let Some(field) = field(head, AGENT)? else { return Ok(None) };
    let mut keys = covered.iter().filter_map(|component| match component {
        SignedComponent::Member(name, key) if *name == AGENT => Some(&**key),
        _ => None,
    });
    let key = keys.next();
    if keys.next().is_some() {
        // It would not say which of them it is.
        return Err(InvalidSignature::Malformed(AGENT));
    }
    let origin = |value: &BareItemFromInput<'_>| text(value).and_then(|name| name.parse().ok());
    let origin = match (key, structured::item(field)) {
        (None, Ok(item)) => origin(&item.value),
        (_, _) => {
            let members = structured::dictionary(field).unwrap_or_default();
            let member = match (key, &*members) {
                (Some(key), members) => members.iter().find(|member| member.name == key),
                (None, [only]) => Some(only),
                (None, _) => None,
            };
            member.and_then(|member| member.value.as_ref()).and_then(origin)
        }
    };
    let is_covered = key.is_some() || covered.contains(&SignedComponent::Field(AGENT));
    origin.map(|origin| Some(NamedAgent { origin, is_covered })).ok_or(InvalidSignature::Malformed(AGENT))
}

/// The bytes of the signature with this label, in their one spelling: stray last bits are refused (RFC 4648, section 3.5).
fn bytes(head: &CanonicalRequest, label: &str) -> Result<Vec<u8>, InvalidSignature> {
    let signature = dictionary(head, SIGNATURE)?.into_iter().find(|member| member.name == label);
    let bytes = match signature {
        Some(Member { value: Some(BareItemFromInput::ByteSequence(bytes)), parameters, .. })
            if parameters.is_empty() =>
        {
            bytes
        }
        Some(_) | None => return Err(InvalidSignature::NoBytes),
    };
    let spelled = format!(":{}:", STANDARD.encode(&bytes));
    let field = field(head, SIGNATURE)?.filter(|field| field.contains(&spelled));
    field.map(|_| bytes).ok_or(InvalidSignature::NoBytes)
}

fn dictionary(head: &CanonicalRequest, name: HeaderName) -> Result<Vec<Member<'_>>, InvalidSignature> {
    let text = field(head, name.clone())?.ok_or_else(|| InvalidSignature::NoField(name.clone()))?;
    structured::dictionary(text).map_err(|_| InvalidSignature::Malformed(name))
}

fn field(head: &CanonicalRequest, name: HeaderName) -> Result<Option<&str>, InvalidSignature> {
    match head.header(&name) {
        Ok(Some(text)) if text.len() > LONGEST => Err(InvalidSignature::Malformed(name)),
        Ok(text) => Ok(text),
        Err(problem) => Err(InvalidSignature::Field(name, problem)),
    }
}

fn text<'v>(value: &'v BareItemFromInput<'_>) -> Option<&'v str> {
    match value {
        BareItemFromInput::String(text) => Some(text.as_str()),
        _ => None,
    }
}
