//! What issuers say of sessions that ended before their tokens do (Shared Signals: RFC 8417, CAEP).

use std::{sync::Arc, time::Duration};

use thiserror::Error;

use super::{
    api_key::ApiKeyHash,
    claims,
    digest::sha256,
    error::{InvalidToken, Shown},
    issuer::Issuer,
    json::{self, Object},
    revocations::{Ended, Revocations, ShareIsFull},
    token::{LONGEST, Token},
};
use crate::access::{Bounded, Entity, Timestamp};

/// The types of events that are understood (CAEP 1.0).
const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
const CREDENTIAL_CHANGE: &str = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
/// The type of the event by which a transmitter tries whether signals arrive (SSF 1.0, section 8.1.4).
const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";

/// How far in the future an event may be: clocks differ.
const AHEAD: Duration = Duration::from_secs(120);

/// Whose signals are heard, and for how long they count.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalSettings {
    /// Our names, one of which `aud` must have exactly. Never empty.
    pub audiences: Vec<Box<str>>,
    /// The hash of the bearer token of those who push; `None` if nobody may push.
    pub bearer: Option<ApiKeyHash>,
    /// How long a revocation counts: as long as tokens live at most.
    pub keep: Duration,
}

impl SignalSettings {
    /// How long a revocation counts if nothing else is said.
    pub const DEFAULT_KEEP: Duration = Duration::from_secs(24 * 3600);
}

/// What came of a signal that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Tokens of before this time in whose chains this name of the issuer's stands are refused from now on.
    Revoked {
        /// The name, as it came.
        name: Box<str>,
        /// Who that is by the settings of now: as a subject, an actor or a client.
        entities: Vec<Entity>,
        /// Issued before when.
        before: Timestamp,
    },
    /// The transmitter tried whether signals arrive: this one did, and changes nothing.
    Verified,
    /// It was heard before, and changes nothing.
    Repeated,
    /// It is of a kind that changes nothing here.
    Passed,
}

/// A signal, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Whose word it is; `None` if its signature does not hold, for then it is nobody's.
    pub origin: Option<SignalOrigin>,
    /// What it changed, or why it is refused.
    pub outcome: Result<Heard, InvalidSignal>,
}

/// What a signal with a good signature says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalOrigin {
    /// The exact name of its issuer.
    pub issuer: Arc<str>,
    /// Its `jti`, if it has one.
    pub id: Option<Box<str>>,
    /// The type of its event, if it has exactly one.
    pub event: Option<Box<str>>,
}

/// Why a signal is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidSignal {
    /// Signals are not heard here.
    #[error("signals are not heard here")]
    Closed,
    /// It is no token, or its claims are not those of a security event token (RFC 8417).
    #[error("it is no security event token: {0}")]
    Token(#[from] InvalidToken),
    /// Its type is not `secevent+jwt`.
    #[error("its type is not `secevent+jwt`")]
    Type,
    /// It is from nobody that is known.
    #[error("its issuer `{0}` is not configured")]
    UnknownIssuer(Shown),
    /// It is for somebody else.
    #[error("it is for another audience")]
    OtherAudience,
    /// It is from the future, or so old that nobody remembers whether it was heard.
    #[error("its `iat` or `event_timestamp` is in the future or too long ago")]
    OtherTime,
    /// Not exactly one event with its members.
    #[error("it has not exactly one event")]
    Events,
    /// It names no subject of its issuer in a form that is understood.
    #[error("it names no subject of its issuer by `iss_sub` or `opaque`")]
    Subject,
    /// There is no room to remember one more of its issuer: it is to be sent again later.
    #[error("too many revocations of this issuer are remembered already")]
    NoRoom,
}

impl InvalidSignal {
    /// The error code for whoever sent it (RFC 8935, section 2.4).
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Token(InvalidToken::Signature | InvalidToken::UnknownKey { .. }) => "invalid_key",
            Self::UnknownIssuer(_) => "invalid_issuer",
            Self::OtherAudience => "invalid_audience",
            Self::Closed
            | Self::Token(_)
            | Self::Type
            | Self::OtherTime
            | Self::Events
            | Self::Subject
            | Self::NoRoom => "invalid_request",
        }
    }

    /// Whether it may be right, and is to be sent again later.
    pub const fn is_for_later(&self) -> bool {
        matches!(self, Self::NoRoom | Self::Token(InvalidToken::UnknownKey { .. } | InvalidToken::OutdatedKeys))
    }
}

impl From<ShareIsFull> for InvalidSignal {
    fn from(_: ShareIsFull) -> Self {
        Self::NoRoom
    }
}

/// Hears one signal: verified by its issuer's keys, it counts from now on.
pub(super) fn hear<'s>(
    settings: Option<&SignalSettings>,
    issuers: impl ExactSizeIterator<Item = Issuer<'s>>,
    revocations: &Revocations,
    text: &str,
    now: Timestamp,
) -> Signal {
    let token = settings.ok_or(InvalidSignal::Closed).and_then(|settings| Ok((settings, parsed(text)?)));
    let (settings, token) = match token {
        Ok(both) => both,
        Err(problem) => return Signal { origin: None, outcome: Err(problem) },
    };
    let share = Bounded::<Box<str>, Ended>::MOST / issuers.len().max(1);
    let issuer = match verified(&token, issuers) {
        Ok(issuer) => issuer,
        Err(problem) => return Signal { origin: None, outcome: Err(problem) },
    };
    let claims = token.claims.read();
    let origin = SignalOrigin {
        issuer: Arc::clone(&issuer.settings.issuer),
        id: claims::token_id(claims).ok().flatten().map(Box::from),
        event: event(claims).map(|(kind, _)| kind.into()),
    };
    Signal { origin: Some(origin), outcome: apply((settings, issuer), claims, (revocations, share), now) }
}

fn parsed(text: &str) -> Result<Token<'_>, InvalidSignal> {
    if text.len() > LONGEST {
        return Err(InvalidToken::TooLong.into());
    }
    Ok(Token::parse(text)?)
}

/// The issuer whose word it is.
fn verified<'s>(token: &Token<'_>, mut issuers: impl Iterator<Item = Issuer<'s>>) -> Result<Issuer<'s>, InvalidSignal> {
    let name = claims::issuer(token.claims.read())?;
    let issuer = issuers.find(|issuer| *issuer.settings.issuer == *name);
    let issuer = issuer.ok_or_else(|| InvalidSignal::UnknownIssuer(Shown::new(name)))?;
    let kind = token.header.kind.as_deref().unwrap_or_default();
    if !["secevent+jwt", "application/secevent+jwt"].iter().any(|one| one.eq_ignore_ascii_case(kind)) {
        return Err(InvalidSignal::Type);
    }
    issuer.check_signature(token)?;
    Ok(issuer)
}

fn apply(
    (settings, issuer): (&SignalSettings, Issuer<'_>),
    claims: Object<'_>,
    (revocations, share): (&Revocations, usize),
    now: Timestamp,
) -> Result<Heard, InvalidSignal> {
    claims::check_audience(claims, &settings.audiences).map_err(|_| InvalidSignal::OtherAudience)?;
    let issued = claims::date(claims, "iat")?.ok_or(InvalidToken::MissingClaim("iat"))?;
    let issued = Timestamp::from_seconds(issued);
    if issued.since(now) > AHEAD || now.since(issued) > settings.keep {
        return Err(InvalidSignal::OtherTime);
    }
    let id = claims::token_id(claims)?.ok_or(InvalidToken::MissingClaim("jti"))?;
    let (event, members) = event(claims).ok_or(InvalidSignal::Events)?;
    let (speaker, id) = (&issuer.settings.issuer, sha256(id.as_bytes()));
    if revocations.is_repeated(speaker, &id) {
        return Ok(Heard::Repeated);
    }
    let heard = match event {
        SESSION_REVOKED => revoke(issuer, claims, members, issued, now)?,
        CREDENTIAL_CHANGE if is_loss(members)? => revoke(issuer, claims, members, issued, now)?,
        VERIFICATION => Heard::Verified,
        // What is not known changes nothing.
        _ => Heard::Passed,
    };
    if let Heard::Revoked { name, before, .. } = &heard {
        let ended = Ended { before: *before, until: now.plus(settings.keep) };
        revocations.end(speaker, name, ended, (share, now))?;
    }
    // Remembered last: what had no room is heard when it comes again.
    revocations.remember(speaker, id, issued.plus(settings.keep), (share, now));
    Ok(heard)
}

/// The one event: its type and its members (RFC 8417, section 2.2).
fn event(claims: Object<'_>) -> Option<(&str, Object<'_>)> {
    let events = claims.get("events").and_then(Object::of)?;
    let mut names = events.names();
    let name = names.next().filter(|_| names.next().is_none())?;
    Some((name, events.get(name).and_then(Object::of)?))
}

/// Whether the change of a credential takes something away (CAEP 1.0, section 3.3).
fn is_loss(members: Object<'_>) -> Result<bool, InvalidSignal> {
    match members.get("change_type").and_then(json::text) {
        Some("revoke" | "update" | "delete") => Ok(true),
        Some("create") => Ok(false),
        Some(_) | None => Err(InvalidSignal::Events),
    }
}

fn revoke(
    issuer: Issuer<'_>,
    claims: Object<'_>,
    members: Object<'_>,
    issued: Timestamp,
    now: Timestamp,
) -> Result<Heard, InvalidSignal> {
    let time = match members.get("event_timestamp") {
        None => issued,
        Some(value) => {
            let seconds = json::integer(value).filter(|seconds| *seconds >= 0).ok_or(InvalidSignal::Events)?;
            Timestamp::from_seconds(seconds)
        }
    };
    if time.since(now) > AHEAD {
        return Err(InvalidSignal::OtherTime);
    }
    // Tokens know seconds: one of the same second may be of before.
    let before = time.plus(Duration::from_secs(1));
    // Drafts before the final one have the subject in the event.
    let subject = claims.get("sub_id").or_else(|| members.get("subject")).and_then(Object::of);
    let name = name(issuer, subject.ok_or(InvalidSignal::Subject)?).ok_or(InvalidSignal::Subject)?;
    Ok(Heard::Revoked { name: name.into(), entities: issuer.settings.chain.named(name), before })
}

/// What the issuer calls the subject (RFC 9493, sections 3.2.3 and 3.2.4): people and programs have one set of names
/// with it.
fn name<'c>(issuer: Issuer<'_>, subject: Object<'c>) -> Option<&'c str> {
    let text = |name: &str| subject.get(name).and_then(claims::plain);
    match text("format")? {
        "iss_sub" if text("iss")? == &*issuer.settings.issuer => text("sub"),
        "opaque" => text("id"),
        // Of several things that together are the subject, the user: all of it is revoked.
        "complex" => name(issuer, subject.get("user").and_then(Object::of)?),
        _ => None,
    }
}
