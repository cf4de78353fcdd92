//! Whether the grants of a credential cover a request.

use thiserror::Error;

use crate::access::{AuthorizationDetail, DetailField, Grants, Template};

use super::{
    extract::{Inputs, MappingProblem, filled},
    operation::Operation,
    source::Source,
};

/// The authorization detail (RFC 9396) that a request needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetailRule {
    /// The element's type.
    pub kind: Box<str>,
    /// What each field of the element must hold, filled in from the request. A field that is not here must not be in
    /// the element: it would restrict what nobody looks at.
    pub fields: Vec<(DetailField, Vec<Template<Source>>)>,
    /// Other members that the element may have.
    pub ignored: Vec<Box<str>>,
    /// Whether a credential without authorization details is refused.
    pub need: DetailNeed,
}

/// Whether a credential without authorization details is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetailNeed {
    /// It is.
    Required,
    /// It is not restricted by any, so it is not.
    Cap,
}

/// Why the grants of a credential do not cover a request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Uncovered {
    /// It has no authorization details, and they are required.
    #[error("the credential has no authorization details")]
    NoDetails,
    /// It has authorization details, and the operation does not say how they restrict it.
    #[error("the credential is restricted by authorization details, which the operation does not know")]
    UnknownDetails,
    /// None of its authorization details covers the request.
    #[error("none of the credential's authorization details covers the request")]
    Details,
    /// The rule could not be filled in from the request.
    #[error(transparent)]
    Mapping(#[from] MappingProblem),
}

impl Operation {
    /// Whether the credential has all scopes of the operation.
    pub fn has_scopes(&self, grants: Option<&Grants>) -> bool {
        self.scopes.is_empty() || grants.is_some_and(|grants| grants.has(&self.scopes))
    }

    /// Whether one of the credential's authorization details covers all of this request.
    pub fn check_details(&self, inputs: Inputs<'_>, grants: Option<&Grants>) -> Result<(), Uncovered> {
        let details = grants.and_then(|grants| grants.details.as_deref());
        match (&self.details, details) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(Uncovered::UnknownDetails),
            (Some(rule), None) => match rule.need {
                DetailNeed::Required => Err(Uncovered::NoDetails),
                DetailNeed::Cap => Ok(()),
            },
            (Some(rule), Some(details)) => {
                let wanted = rule.filled(inputs)?;
                let covers = |detail: &AuthorizationDetail| rule.is_covered(detail, &wanted);
                if details.iter().any(covers) { Ok(()) } else { Err(Uncovered::Details) }
            }
        }
    }
}

/// What each field must hold for one request.
type Wanted = Vec<(DetailField, Vec<String>)>;

impl DetailRule {
    /// Every template of the rule.
    pub fn templates(&self) -> impl Iterator<Item = &Template<Source>> {
        self.fields.iter().flat_map(|(_, templates)| templates)
    }

    fn filled(&self, inputs: Inputs<'_>) -> Result<Wanted, MappingProblem> {
        let fields = self.fields.iter().map(|(field, templates)| {
            let values = templates.iter().map(|template| filled(template, inputs, None)).collect::<Result<_, _>>();
            values.map(|values| (*field, values))
        });
        fields.collect()
    }

    fn is_covered(&self, detail: &AuthorizationDetail, wanted: &Wanted) -> bool {
        let ignored = |name: &str| self.ignored.iter().any(|other| **other == *name);
        let known = |field: DetailField| wanted.iter().any(|(other, _)| *other == field) || ignored(field.name());
        let holds = |(field, values): &(DetailField, Vec<String>)| {
            let granted = detail.values(*field).unwrap_or_default();
            values.iter().all(|value| granted.iter().any(|one| **one == **value))
        };
        *detail.kind == *self.kind
            && detail.fields.iter().all(|(field, _)| known(*field))
            && detail.others.iter().all(|other| ignored(other))
            && wanted.iter().all(holds)
    }
}
