//! The scopes and authorization details of a verified token.

use super::{
    error::InvalidToken,
    json::{self, Object},
};
use crate::{
    access::{AuthorizationDetail, DetailField, Grants, Scope},
    protocol::Json,
};

/// The most elements of `authorization_details`: each is looked at in each request.
const MOST_DETAILS: usize = 64;

/// How the authorization details of an issuer's tokens are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthorizationDetails {
    /// A request must be covered by one of them.
    #[default]
    Enforce,
    /// They are for somebody else.
    Ignore,
}

/// What claims of an issuer say of grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantSettings {
    /// The claim of the scopes: a text of words, or an array of words.
    pub scope_claim: Box<str>,
    /// How `authorization_details` are read.
    pub details: AuthorizationDetails,
}

impl GrantSettings {
    /// The claim of the scopes if nothing else is said (RFC 8693, section 4.2).
    pub const DEFAULT_SCOPE_CLAIM: &'static str = "scope";

    /// What the claims grant; `None` if they say nothing of it.
    pub(super) fn read(&self, claims: Object<'_>) -> Result<Option<Grants>, InvalidToken> {
        let scopes = claims.get(&self.scope_claim).map(scopes).transpose()?;
        let details = match self.details {
            AuthorizationDetails::Ignore => None,
            AuthorizationDetails::Enforce => claims.get("authorization_details").map(details).transpose()?,
        };
        if scopes.is_none() && details.is_none() {
            return Ok(None);
        }
        Ok(Some(Grants { scopes: scopes.unwrap_or_default(), details }))
    }
}

impl Default for GrantSettings {
    fn default() -> Self {
        Self { scope_claim: Self::DEFAULT_SCOPE_CLAIM.into(), details: AuthorizationDetails::default() }
    }
}

/// Words between single or more spaces, or the elements of an array.
fn scopes(value: &Json) -> Result<Vec<Scope>, InvalidToken> {
    let malformed = InvalidToken::MalformedClaim("scope");
    let words: Vec<&str> = match json::text(value) {
        Some(text) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        None => json::texts(value).ok_or(malformed.clone())?,
    };
    words.into_iter().map(|word| word.parse().map_err(|_| malformed.clone())).collect()
}

/// RFC 9396, section 2: an array of objects, each with a type.
fn details(value: &Json) -> Result<Vec<AuthorizationDetail>, InvalidToken> {
    let malformed = InvalidToken::MalformedClaim("authorization_details");
    let Json::Array(elements) = value else { return Err(malformed) };
    if elements.len() > MOST_DETAILS {
        return Err(malformed);
    }
    elements.iter().map(|element| detail(element).ok_or(malformed.clone())).collect()
}

fn detail(element: &Json) -> Option<AuthorizationDetail> {
    let members = Object::of(element)?;
    let kind = members.get("type").and_then(json::text).filter(|kind| !kind.is_empty())?.into();
    let mut fields = Vec::new();
    for field in DetailField::ALL {
        let Some(value) = members.get(field.name()) else { continue };
        let values = match field {
            DetailField::Identifier => vec![json::text(value)?],
            DetailField::Locations | DetailField::Actions | DetailField::Datatypes | DetailField::Privileges => {
                json::texts(value)?
            }
        };
        fields.push((field, values.into_iter().map(Box::from).collect()));
    }
    let common = |name: &str| name == "type" || DetailField::ALL.iter().any(|field| field.name() == name);
    let others = members.names().filter(|name| !common(name)).map(Box::from).collect();
    Some(AuthorizationDetail { kind, fields, others })
}
