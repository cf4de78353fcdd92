//! A token in its one strict spelling, not yet verified.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    algorithm::Algorithm,
    error::{AuthenticationError, InvalidToken, Shown, TokenPart},
    json::{self, Members, Object},
};
use crate::protocol::NotStrict;

/// The longest token, in bytes.
pub(super) const LONGEST: usize = 8 * 1024;

/// The longest `kid`, in bytes.
pub(super) const LONGEST_KEY_ID: usize = 256;

/// Parameters that bring their own key, or ask for what is not implemented (RFC 7515, sections 4.1.2, 4.1.3, 4.1.5 and
/// 4.1.11, RFC 7797, section 3).
const REFUSED: [&str; 5] = ["crit", "b64", "jwk", "jku", "x5u"];

/// A token68, one space after its scheme (RFC 6750, section 2.1, and RFC 9110, section 11.2).
pub(super) fn token68(token: &str) -> Result<&str, AuthenticationError> {
    let text = token.trim_end_matches('=');
    // Every byte is looked at, with no branch between them: tokens are long, and almost always legal.
    let legal = text.bytes().fold(true, |legal, byte| legal & is_token68(byte));
    if text.is_empty() || !legal { Err(AuthenticationError::Bearer) } else { Ok(token) }
}

fn is_token68(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let plus = byte == b'+';
    // From `-` to `9`: hyphen, dot, slash and the digits.
    let digit = byte.wrapping_sub(b'-') <= b'9' - b'-';
    letter | digit | plus | (byte == b'_') | (byte == b'~')
}

/// A JWS in compact serialization (RFC 7515, section 7.1) whose payload is claims (RFC 7519).
///
/// Nothing in it is believed yet, except to choose by what it is verified.
pub(super) struct Token<'t> {
    /// What the signature covers: header, dot, claims, as they were sent.
    pub(super) signed: &'t str,
    pub(super) header: Header,
    pub(super) claims: Members,
    pub(super) signature: Vec<u8>,
}

/// The parameters of the header that matter.
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: Option<String>,
    pub(super) kind: Option<String>,
}

/// The parts of a JWS in compact serialization, none of them read yet.
pub(super) struct Signed<'t> {
    signed: &'t str,
    header: &'t str,
    claims: &'t str,
    signature: &'t str,
}

impl<'t> Signed<'t> {
    /// Takes a text of at most [`LONGEST`] bytes apart.
    pub(super) fn parse(text: &'t str) -> Result<Self, InvalidToken> {
        if text.bytes().filter(|byte| *byte == b'.').count() != 2 {
            return Err(InvalidToken::NotThreeParts);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(InvalidToken::NotThreeParts)?;
        let (header, claims) = signed.split_once('.').ok_or(InvalidToken::NotThreeParts)?;
        if header.is_empty() || claims.is_empty() || signature.is_empty() {
            return Err(InvalidToken::NotThreeParts);
        }
        Ok(Self { signed, header, claims, signature })
    }

    /// What the signature covers, as it was sent.
    pub(super) fn signed(&self) -> &'t str {
        self.signed
    }

    /// The members of the header or the claims.
    pub(super) fn object(&self, part: TokenPart) -> Result<Members, InvalidToken> {
        match part {
            TokenPart::Header => object(self.header, part),
            TokenPart::Claims => object(self.claims, part),
            TokenPart::Signature => Err(InvalidToken::NotAnObject(part)),
        }
    }

    /// The JSON of the header.
    pub(super) fn header_text(&self) -> Result<String, InvalidToken> {
        let bytes = decode(self.header, TokenPart::Header)?;
        String::from_utf8(bytes).map_err(|_| InvalidToken::NotJson(TokenPart::Header))
    }

    /// The bytes of the signature.
    pub(super) fn signature(&self) -> Result<Vec<u8>, InvalidToken> {
        decode(self.signature, TokenPart::Signature)
    }
}

impl<'t> Token<'t> {
    /// Takes a text of at most [`LONGEST`] bytes apart; refuses every spelling but the strict one.
    pub(super) fn parse(text: &'t str) -> Result<Self, InvalidToken> {
        let parts = Signed::parse(text)?;
        Ok(Self {
            signed: parts.signed,
            header: Header::read(parts.object(TokenPart::Header)?.read())?,
            claims: parts.object(TokenPart::Claims)?,
            signature: parts.signature()?,
        })
    }
}

impl Header {
    fn read(members: Object<'_>) -> Result<Self, InvalidToken> {
        if let Some(refused) = REFUSED.into_iter().find(|name| members.contains(name)) {
            return Err(InvalidToken::RefusedParameter(refused));
        }
        let text = |name: &'static str| match members.get(name) {
            None => Ok(None),
            Some(value) => json::text(value).map(Some).ok_or(InvalidToken::MalformedParameter(name)),
        };
        let algorithm = text("alg")?.ok_or(InvalidToken::MalformedParameter("alg"))?;
        let key_id = text("kid")?;
        if key_id.is_some_and(|key_id| !(1..=LONGEST_KEY_ID).contains(&key_id.len())) {
            return Err(InvalidToken::MalformedParameter("kid"));
        }
        Ok(Self {
            algorithm: algorithm.parse().map_err(|_| InvalidToken::UnservedAlgorithm(Shown::new(algorithm)))?,
            key_id: key_id.map(str::to_owned),
            kind: text("typ")?.map(str::to_owned),
        })
    }
}

fn decode(text: &str, part: TokenPart) -> Result<Vec<u8>, InvalidToken> {
    // This engine refuses padding, other alphabets and last bits that are not zero.
    URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidToken::NotBase64(part))
}

fn object(text: &str, part: TokenPart) -> Result<Members, InvalidToken> {
    match json::parse(&decode(text, part)?) {
        Ok(value) => Members::of(value).ok_or(InvalidToken::NotAnObject(part)),
        // No token is long enough for too many items.
        Err(NotStrict::Syntax | NotStrict::TooManyItems) => Err(InvalidToken::NotJson(part)),
        Err(NotStrict::RepeatedMember) => Err(InvalidToken::RepeatedMember(part)),
        Err(NotStrict::TooDeep) => Err(InvalidToken::TooDeep(part)),
    }
}
