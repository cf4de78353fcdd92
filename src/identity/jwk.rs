//! One key of a JWK Set, with the places of its members.

use std::{collections::BTreeMap, fmt};

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RsaPublicKeyComponents,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{algorithm::Algorithm, digest::sha256, json, jwks::InvalidKeySet, token::LONGEST_KEY_ID};
use crate::{access::Place, protocol::NotStrict};

/// Members that only a private key has (RFC 7518, sections 6.2.2 and 6.3.2).
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

/// Why a key of a set is not used.
pub(super) enum Ignored {
    Symmetric,
    OtherUse,
    Unserved,
    Malformed,
}

/// The members of one object in a key set's document. Their values are not read yet, so their places are known.
pub(super) struct Jwk<'d> {
    document: &'d str,
    members: BTreeMap<String, &'d str>,
}

impl<'d> Jwk<'d> {
    /// Reads the object in `slice`, a part of `document`, and refuses a repeated member.
    pub(super) fn read(document: &'d str, slice: &'d str) -> Result<Self, InvalidKeySet> {
        let RawMembers(list) = serde_json::from_str(slice).map_err(|error| syntax(document, slice, &error))?;
        let mut members = BTreeMap::new();
        for (name, value) in list {
            if members.insert(name.clone(), value.get()).is_some() {
                return Err(InvalidKeySet::RepeatedMember { place: place(document, value.get(), 0), name });
            }
        }
        Ok(Self { document, members })
    }

    /// A member's value as it is written.
    pub(super) fn raw(&self, name: &str) -> Option<&'d str> {
        self.members.get(name).copied()
    }

    /// Where a member's value is.
    pub(super) fn place(&self, name: &str) -> Place {
        self.raw(name).map_or_else(Place::default, |value| place(self.document, value, 0))
    }

    /// A member that must be a text if it is there.
    fn text(&self, name: &str) -> Result<Option<String>, Ignored> {
        self.raw(name).map(serde_json::from_str).transpose().map_err(|_| Ignored::Malformed)
    }

    /// The key's id (RFC 7517, section 4.5).
    pub(super) fn key_id(&self) -> Result<Option<String>, InvalidKeySet> {
        let legal = |id: &String| (1..=LONGEST_KEY_ID).contains(&id.len());
        match self.text("kid") {
            Ok(id) if id.iter().all(legal) => Ok(id),
            Ok(_) | Err(_) => Err(InvalidKeySet::Syntax {
                place: self.place("kid"),
                message: "`kid` is a text of 1 to 256 bytes".to_owned(),
            }),
        }
    }

    /// The first member that only a private key has.
    pub(super) fn private_member(&self) -> Option<&'static str> {
        PRIVATE.into_iter().find(|name| self.members.contains_key(*name))
    }

    /// Refuses a repeated member, or too great a depth, inside the members' values.
    pub(super) fn check_inside(&self, except: Option<&str>) -> Result<(), InvalidKeySet> {
        for (name, value) in self.members.iter().filter(|(name, _)| Some(name.as_str()) != except) {
            let message = match json::parse(value.as_bytes()) {
                Ok(_) => continue,
                Err(NotStrict::Syntax) => "is malformed",
                Err(NotStrict::RepeatedMember) => "repeats a member inside",
                Err(NotStrict::TooDeep) => "is nested too deep",
                Err(NotStrict::TooManyItems) => "has too many members and elements",
            };
            let message = format!("`{name}` {message}");
            return Err(InvalidKeySet::Syntax { place: place(self.document, value, 0), message });
        }
        Ok(())
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, Ignored> {
        let text = self.text(name)?.ok_or(Ignored::Malformed)?;
        URL_SAFE_NO_PAD.decode(text).map_err(|_| Ignored::Malformed)
    }

    /// The SHA-256 thumbprint of the key (RFC 7638, section 3): of its required members in their order, and no others.
    pub(super) fn thumbprint(&self) -> Result<[u8; 32], Ignored> {
        let kind = self.text("kty")?.ok_or(Ignored::Malformed)?;
        let required: &[&str] = match kind.as_str() {
            "EC" => &["crv", "kty", "x", "y"],
            "RSA" => &["e", "kty", "n"],
            "OKP" => &["crv", "kty", "x"],
            _ => return Err(Ignored::Unserved),
        };
        let mut members = BTreeMap::new();
        for name in required {
            members.insert(*name, self.text(name)?.ok_or(Ignored::Malformed)?);
        }
        // Sorted names and no white space: serde_json writes just that.
        serde_json::to_vec(&members).map(|text| sha256(&text)).map_err(|_| Ignored::Malformed)
    }

    /// The key, once for each algorithm that it may be used for.
    pub(super) fn verifiers(&self) -> Result<Vec<(Algorithm, ParsedPublicKey)>, Ignored> {
        let kind = self.text("kty")?.ok_or(Ignored::Malformed)?;
        if kind == "oct" {
            return Err(Ignored::Symmetric);
        }
        self.check_use()?;
        let mut verifiers = match kind.as_str() {
            "EC" => self.elliptic(),
            "RSA" => self.rsa(),
            "OKP" => self.edwards(),
            _ => Err(Ignored::Unserved),
        }?;
        // The key's own `alg` narrows what its type allows, and never widens it.
        if let Some(algorithm) = self.text("alg")? {
            verifiers.retain(|(served, _)| served.name() == algorithm);
        }
        if verifiers.is_empty() { Err(Ignored::Unserved) } else { Ok(verifiers) }
    }

    /// `use` (RFC 7517, section 4.2) and `key_ops` (section 4.3) do not forbid verification.
    fn check_use(&self) -> Result<(), Ignored> {
        if self.text("use")?.is_some_and(|usage| usage != "sig") {
            return Err(Ignored::OtherUse);
        }
        let operations: Option<Vec<String>> =
            self.raw("key_ops").map(serde_json::from_str).transpose().map_err(|_| Ignored::Malformed)?;
        match operations {
            Some(operations) if operations.iter().all(|operation| operation != "verify") => Err(Ignored::OtherUse),
            Some(_) | None => Ok(()),
        }
    }

    /// RFC 7518, section 6.2.1: both coordinates in their full length.
    fn elliptic(&self) -> Result<Vec<(Algorithm, ParsedPublicKey)>, Ignored> {
        let curve = self.text("crv")?.ok_or(Ignored::Malformed)?;
        let (algorithm, parameters, length) = match curve.as_str() {
            "P-256" => (Algorithm::Es256, &ECDSA_P256_SHA256_FIXED, 32),
            "P-384" => (Algorithm::Es384, &ECDSA_P384_SHA384_FIXED, 48),
            _ => return Err(Ignored::Unserved),
        };
        let (x, y) = (self.bytes("x")?, self.bytes("y")?);
        if x.len() != length || y.len() != length {
            return Err(Ignored::Malformed);
        }
        let point = [&[4][..], &x, &y].concat();
        let key = ParsedPublicKey::new(parameters, point).map_err(|_| Ignored::Malformed)?;
        Ok(vec![(algorithm, key)])
    }

    /// RFC 7518, section 6.3.1. Small or even exponents and moduli outside 2048 to 8192 bits are refused.
    fn rsa(&self) -> Result<Vec<(Algorithm, ParsedPublicKey)>, Ignored> {
        let (n, e) = (self.bytes("n")?, self.bytes("e")?);
        let long = n.len() > 256 || n.first().is_some_and(|first| *first >= 0x80);
        let is_odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
        if !(256..=1024).contains(&n.len()) || !long || !is_odd(&n) || !is_odd(&e) || e == [1] || e.len() > 4 {
            return Err(Ignored::Malformed);
        }
        let components = RsaPublicKeyComponents { n, e };
        let parse = |parameters| components.to_parsed_public_key(parameters).map_err(|_| Ignored::Malformed);
        Ok(vec![
            (Algorithm::Rs256, parse(&RSA_PKCS1_2048_8192_SHA256)?),
            (Algorithm::Ps256, parse(&RSA_PSS_2048_8192_SHA256)?),
        ])
    }

    /// RFC 8037, section 2.
    fn edwards(&self) -> Result<Vec<(Algorithm, ParsedPublicKey)>, Ignored> {
        if self.text("crv")?.ok_or(Ignored::Malformed)? != "Ed25519" {
            return Err(Ignored::Unserved);
        }
        let x = self.bytes("x")?;
        if x.len() != 32 {
            return Err(Ignored::Malformed);
        }
        let key = ParsedPublicKey::new(&ED25519, x).map_err(|_| Ignored::Malformed)?;
        Ok(vec![(Algorithm::EdDsa, key.clone()), (Algorithm::Ed25519, key)])
    }
}

/// The members of an object in the order of the document, repeated ones too.
struct RawMembers<'d>(Vec<(String, &'d RawValue)>);

impl<'de> Deserialize<'de> for RawMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = RawMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(RawMembers(members))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// The place of the byte at `offset` in `slice`, which is a part of `document`.
fn place(document: &str, slice: &str, offset: usize) -> Place {
    let start = slice.as_ptr().addr().saturating_sub(document.as_ptr().addr());
    Place::of_offset(document, start.saturating_add(offset))
}

fn syntax(document: &str, slice: &str, error: &serde_json::Error) -> InvalidKeySet {
    let lines = slice.split_inclusive('\n').take(error.line().saturating_sub(1));
    let offset = lines.map(str::len).sum::<usize>().saturating_add(error.column().saturating_sub(1));
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message).to_owned();
    InvalidKeySet::Syntax { place: place(document, slice, offset), message }
}
