//! Groups and roles of a token as contextual tuples of its subject.

use std::{collections::BTreeMap, sync::Arc};

use thiserror::Error;

use super::{
    error::Shown,
    json::{self, Object},
    template::EntityTemplate,
};
use crate::{
    access::{ContextualTuple, Entity, Place, RelationName},
    protocol::Json,
};

/// The most values that one claim may have, and the longest of them in bytes.
const MOST_VALUES: usize = 256;
const LONGEST: usize = 256;

/// The variable of a template that stands for a value of the claim.
const IT: &str = "it";

/// Where claims are named that the token itself does not have (OpenID Connect Core, section 5.6.2).
const ELSEWHERE: &str = "_claim_names";

/// For each value of a claim, a tuple: the token's subject has the relation on the object.
#[derive(Debug, Clone, PartialEq)]
pub struct TupleMapping {
    /// The claim: the names of members, each in the one before.
    claim: Box<[Box<str>]>,
    relation: RelationName,
    // INVARIANT: holds `{it}`.
    object: EntityTemplate,
    /// What the values are called in the policy. If there are any, other values are passed over.
    values: Option<BTreeMap<Box<str>, Box<str>>>,
    presence: ClaimPresence,
}

/// Whether tokens must have a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClaimPresence {
    /// A token without it makes no tuples.
    #[default]
    Optional,
    /// A token without it is refused: what the claim takes away must not be kept by leaving it out.
    Required,
}

/// Why a mapping cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidMapping {
    /// The claim has no name.
    #[error("a claim has a name")]
    NoClaim,
    /// All values would make the same tuple.
    #[error("`{0}` holds no value of the claim, write it like `group:{{it}}`")]
    NoValue(String),
}

/// Why a token's claim makes no tuples.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidTupleClaim {
    /// It is not there, and must be.
    #[error("`{0}` is missing")]
    Missing(Box<str>),
    /// The token says that its values are to be asked for elsewhere: nobody could say what they are.
    #[error("`{0}` is not in the token, which says that it is elsewhere")]
    Elsewhere(Box<str>),
    /// It is neither a text nor an array of texts.
    #[error("`{0}` is not a text or an array of texts")]
    Malformed(Box<str>),
    /// It has more values than may be.
    #[error("`{0}` has more than {MOST_VALUES} values")]
    TooMany(Box<str>),
    /// A value that cannot be in an object's id, or that would change its meaning.
    #[error("`{claim}` has the value `{value}`, of which no object is made")]
    Value {
        /// The claim.
        claim: Box<str>,
        /// The value.
        value: Shown,
    },
}

impl TupleMapping {
    /// A mapping of a claim. The template is of objects, with `{it}` for a value of the claim, and other variables for
    /// other claims.
    pub fn new(
        claim: impl IntoIterator<Item = Box<str>>,
        relation: RelationName,
        object: EntityTemplate,
    ) -> Result<Self, InvalidMapping> {
        let claim: Box<[Box<str>]> = claim.into_iter().collect();
        if claim.is_empty() || claim.iter().any(|name| name.is_empty()) {
            return Err(InvalidMapping::NoClaim);
        }
        if !object.names(IT) {
            return Err(InvalidMapping::NoValue(object.to_string()));
        }
        Ok(Self { claim, relation, object, values: None, presence: ClaimPresence::default() })
    }

    /// The same for these values only, each by its name in the policy.
    #[must_use]
    pub fn with_values(self, values: BTreeMap<Box<str>, Box<str>>) -> Self {
        Self { values: Some(values), ..self }
    }

    /// The same where the claim must be there or need not.
    #[must_use]
    pub fn with_presence(self, presence: ClaimPresence) -> Self {
        Self { presence, ..self }
    }

    /// The relation of its tuples.
    pub fn relation(&self) -> &RelationName {
        &self.relation
    }

    /// The type of its tuples' objects.
    pub fn object_type(&self) -> &str {
        self.object.type_name()
    }

    /// Adds the tuples of the subject that the claims tell of.
    fn add(
        &self,
        claims: Object<'_>,
        subject: &Entity,
        tuples: &mut Vec<ContextualTuple>,
    ) -> Result<(), InvalidTupleClaim> {
        let Some(value) = self.value(claims)? else { return Ok(()) };
        let values = match value {
            Json::String(one) => vec![one.as_str()],
            many => json::texts(many).ok_or_else(|| InvalidTupleClaim::Malformed(self.name()))?,
        };
        if values.len() > MOST_VALUES {
            return Err(InvalidTupleClaim::TooMany(self.name()));
        }
        for value in values {
            let refused = || InvalidTupleClaim::Value { claim: self.name(), value: Shown::new(value) };
            if value.len() > LONGEST {
                return Err(refused());
            }
            let it = match &self.values {
                None => value,
                Some(named) => match named.get(value) {
                    Some(name) => name,
                    None => continue,
                },
            };
            let object = self.object.render_by(|name| match name {
                IT => Ok(Some(it)),
                other => Ok(claims.get(other).and_then(json::text)),
            });
            let object = object.map_err(|_| refused())?;
            let tuple = ContextualTuple { user: subject.clone(), relation: self.relation.clone(), object };
            if !tuples.contains(&tuple) {
                tuples.push(tuple);
            }
        }
        Ok(())
    }

    /// The claim's value; `None` if it is not there and need not be.
    fn value<'c>(&self, claims: Object<'c>) -> Result<Option<&'c Json>, InvalidTupleClaim> {
        let (mut at, mut found) = (Some(claims), None);
        for name in &self.claim {
            found = match at {
                Some(members) => members.get(name),
                // What it is looked for in is no object.
                None => return Err(InvalidTupleClaim::Malformed(self.name())),
            };
            match found {
                Some(value) => at = Object::of(value),
                None => break,
            }
        }
        let is_elsewhere = || {
            let names = claims.get(ELSEWHERE).and_then(Object::of);
            names.zip(self.claim.first()).is_some_and(|(names, first)| names.contains(first))
        };
        match (found, self.presence) {
            (Some(value), _) => Ok(Some(value)),
            (None, _) if is_elsewhere() => Err(InvalidTupleClaim::Elsewhere(self.name())),
            (None, ClaimPresence::Required) => Err(InvalidTupleClaim::Missing(self.name())),
            (None, ClaimPresence::Optional) => Ok(None),
        }
    }

    fn name(&self) -> Box<str> {
        self.claim.join(".").into()
    }
}

/// The tuples of the subject that the claims tell of; `None` if there are none.
pub(super) fn tuples(
    mappings: &[TupleMapping],
    claims: Object<'_>,
    subject: &Entity,
) -> Result<Option<Arc<[ContextualTuple]>>, InvalidTupleClaim> {
    let mut tuples = Vec::new();
    for mapping in mappings {
        mapping.add(claims, subject, &mut tuples)?;
    }
    Ok((!tuples.is_empty()).then(|| tuples.into()))
}

/// What a mapping asks of the model: that all of these users may have the relation on such objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedTuple {
    /// The types of the subjects.
    pub user_types: Vec<Box<str>>,
    /// The relation.
    pub relation: RelationName,
    /// The type of the objects.
    pub object_type: Box<str>,
    /// Where it is written.
    pub place: Place,
}
