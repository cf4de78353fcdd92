//! What the registered claims of a token say, and whether they hold now.

use super::{
    error::{InvalidToken, Shown},
    json::{self, Object},
    settings::IssuerSettings,
};
use crate::{access::Timestamp, protocol::Json};

/// The longest `sub` and `jti`, in bytes.
const LONGEST: usize = 256;

/// Claims of ID tokens (OpenID Connect Core, section 2) and of event tokens (RFC 8417, section 2.2).
const NEVER_IN_ACCESS_TOKENS: [&str; 3] = ["nonce", "at_hash", "events"];

/// When a token holds. The leeway is in it already.
#[derive(Clone, Copy)]
pub(super) struct Validity {
    expires: Timestamp,
    not_before: Option<Timestamp>,
    issued: Option<Timestamp>,
    // As the token says it.
    issued_at: Option<Timestamp>,
    too_old: Option<Timestamp>,
}

impl Validity {
    /// Reads `exp`, `nbf` and `iat` (RFC 7519, sections 4.1.4 to 4.1.6). `exp` must be there, and `iat` if it has a
    /// greatest age.
    pub(super) fn read(claims: Object<'_>, settings: &IssuerSettings) -> Result<Self, InvalidToken> {
        let leeway = i64::try_from(settings.leeway.as_secs()).unwrap_or(0);
        let expires = date(claims, "exp")?.ok_or(InvalidToken::MissingClaim("exp"))?;
        let issued = date(claims, "iat")?;
        let too_old = match settings.max_age {
            None => None,
            Some(age) => {
                let issued = issued.ok_or(InvalidToken::MissingClaim("iat"))?;
                let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
                Some(Timestamp::from_seconds(issued.saturating_add(age).saturating_add(leeway)))
            }
        };
        let earlier = |seconds: i64| Timestamp::from_seconds(seconds - leeway);
        Ok(Self {
            expires: Timestamp::from_seconds(expires + leeway),
            not_before: date(claims, "nbf")?.map(earlier),
            issued: issued.map(earlier),
            issued_at: issued.map(Timestamp::from_seconds),
            too_old,
        })
    }

    /// Whether the token holds `now`.
    pub(super) fn check(&self, now: Timestamp) -> Result<(), InvalidToken> {
        if now >= self.expires {
            return Err(InvalidToken::Expired);
        }
        if self.not_before.is_some_and(|start| now < start) {
            return Err(InvalidToken::NotYetValid);
        }
        if self.issued.is_some_and(|issued| now < issued) {
            return Err(InvalidToken::IssuedInFuture);
        }
        if self.too_old.is_some_and(|end| now >= end) {
            return Err(InvalidToken::TooOld);
        }
        Ok(())
    }

    /// When the token says that it was issued.
    pub(super) fn issued_at(&self) -> Option<Timestamp> {
        self.issued_at
    }

    /// The moment from which it never holds again.
    pub(super) fn end(&self) -> Timestamp {
        self.too_old.map_or(self.expires, |end| end.min(self.expires))
    }
}

/// The issuer that the token says it is from (RFC 7519, section 4.1.1).
pub(super) fn issuer(claims: Object<'_>) -> Result<&str, InvalidToken> {
    let issuer = claims.get("iss").ok_or(InvalidToken::MissingClaim("iss"))?;
    json::text(issuer).ok_or(InvalidToken::MalformedClaim("iss"))
}

/// The subject: 1 to 256 bytes of plain text (RFC 7519, section 4.1.2).
pub(super) fn check_subject(claims: Object<'_>) -> Result<(), InvalidToken> {
    let subject = claims.get("sub").ok_or(InvalidToken::MissingClaim("sub"))?;
    plain(subject).map(drop).ok_or(InvalidToken::MalformedClaim("sub"))
}

/// The token's own id, if it has one (RFC 7519, section 4.1.7).
pub(super) fn token_id(claims: Object<'_>) -> Result<Option<&str>, InvalidToken> {
    match claims.get("jti") {
        None => Ok(None),
        Some(id) => plain(id).map(Some).ok_or(InvalidToken::MalformedClaim("jti")),
    }
}

/// One of the token's audiences is exactly one of ours (RFC 7519, section 4.1.3).
pub(super) fn check_audience(claims: Object<'_>, ours: &[Box<str>]) -> Result<(), InvalidToken> {
    let malformed = InvalidToken::MalformedClaim("aud");
    let is_ours = |audience: &str| ours.iter().any(|our| **our == *audience);
    let (found, first) = match claims.get("aud") {
        None => return Err(InvalidToken::MissingClaim("aud")),
        Some(Json::String(one)) => (is_ours(one), one.as_str()),
        Some(many) => {
            let many = json::texts(many).ok_or_else(|| malformed.clone())?;
            (many.iter().any(|one| is_ours(one)), many.first().copied().ok_or(malformed)?)
        }
    };
    if found { Ok(()) } else { Err(InvalidToken::OtherAudience(Shown::new(first))) }
}

/// The token's type is one of the issuer's, and a generic type hides no other kind of token (RFC 8725, section 3.11).
pub(super) fn check_type(kind: Option<&str>, claims: Object<'_>, accepted: &[Box<str>]) -> Result<(), InvalidToken> {
    let spelling = kind.unwrap_or_default();
    if !accepted.iter().any(|one| one.eq_ignore_ascii_case(spelling)) || kind == Some("") {
        return Err(kind.map_or(InvalidToken::MissingType, |kind| InvalidToken::RefusedType(Shown::new(kind))));
    }
    let generic =
        spelling.is_empty() || ["jwt", "application/jwt"].iter().any(|one| one.eq_ignore_ascii_case(spelling));
    match NEVER_IN_ACCESS_TOKENS.into_iter().find(|name| generic && claims.contains(name)) {
        Some(name) => Err(InvalidToken::NotAnAccessToken(name)),
        None => Ok(()),
    }
}

/// Whether the type is that of transaction tokens (draft-ietf-oauth-transaction-tokens, section 6.1).
pub(super) fn is_transaction(kind: Option<&str>) -> bool {
    let is_one =
        |kind: &str| ["txntoken+jwt", "application/txntoken+jwt"].iter().any(|one| one.eq_ignore_ascii_case(kind));
    kind.is_some_and(is_one)
}

/// What a transaction token has beside the claims of every token: the transaction, when it began, what it is for, and
/// which workload asked for it.
pub(super) fn check_transaction(claims: Object<'_>) -> Result<(), InvalidToken> {
    for name in ["iat", "txn", "scope", "req_wl"] {
        let value = claims.get(name).ok_or(InvalidToken::MissingClaim(name))?;
        // The time is read with the others.
        if name != "iat" && plain(value).is_none() {
            return Err(InvalidToken::MalformedClaim(name));
        }
    }
    Ok(())
}

/// Whether the character is neither a control nor an invisible format character (Unicode category Cf).
pub(super) fn is_visible(c: char) -> bool {
    let format = matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}'
        | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'..='\u{e007f}');
    !format && !c.is_control()
}

/// A text that a name can be: 1 to 256 bytes, all of them visible.
pub(super) fn plain(value: &Json) -> Option<&str> {
    json::text(value).filter(|text| (1..=LONGEST).contains(&text.len()) && text.chars().all(is_visible))
}

/// A NumericDate (RFC 7519, section 2) in whole seconds from 1970 on.
pub(super) fn date(claims: Object<'_>, name: &'static str) -> Result<Option<i64>, InvalidToken> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => {
            let seconds = json::integer(value).filter(|seconds| *seconds >= 0);
            seconds.map(Some).ok_or(InvalidToken::MalformedClaim(name))
        }
    }
}
