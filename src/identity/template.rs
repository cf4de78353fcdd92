//! Entities made of claims.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{
    claims::is_visible,
    delegation::InvalidChain,
    json::{self, Object},
};
use crate::{
    access::{Entity, InvalidName, InvalidTemplate, RenderProblem, Template},
    protocol::Json,
};

/// Why a text is not a template of an entity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidEntityTemplate {
    /// Its braces are wrong.
    #[error(transparent)]
    Template(#[from] InvalidTemplate),
    /// It holds no claim, so all tokens would be the same entity.
    #[error("`{0}` holds no claim, write it like `user:{{sub}}`")]
    NoClaim(String),
    /// It does not begin with a type, so a token would choose its own type.
    #[error("`{0}` does not begin with a type, write it like `user:{{sub}}`")]
    NoType(String),
    /// No claim could make it an entity.
    #[error("`{text}` never makes an entity: {problem}")]
    NoEntity {
        /// The template.
        text: String,
        /// What is wrong with all it makes.
        problem: InvalidName,
    },
}

/// A text such as `user:{sub}` or `agent:{client_id}` that claims make an entity of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityTemplate(Template<Box<str>>);

impl FromStr for EntityTemplate {
    type Err = InvalidEntityTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidEntityTemplate> {
        let claim = |name: &str| match name {
            "" => Err("a claim has a name, write it like `{sub}`".to_owned()),
            name => Ok(name.into()),
        };
        let template = Template::parse(text, claim)?;
        if template.variables().next().is_none() {
            return Err(InvalidEntityTemplate::NoClaim(text.to_owned()));
        }
        if template.type_name().is_none() {
            return Err(InvalidEntityTemplate::NoType(text.to_owned()));
        }
        // A stand-in that is in no literal, so that only the literals decide.
        let sample = template.render(|_, out| {
            out.push('\u{10ffff}');
            Ok::<(), ()>(())
        });
        match sample.unwrap_or_default().parse::<Entity>() {
            Ok(_) => Ok(Self(template)),
            Err(problem) => Err(InvalidEntityTemplate::NoEntity { text: text.to_owned(), problem }),
        }
    }
}

impl fmt::Display for EntityTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl EntityTemplate {
    /// The type of all entities that it makes.
    pub fn type_name(&self) -> &str {
        self.0.type_name().unwrap_or_default()
    }

    /// The claim that it holds, if it is one.
    pub(super) fn only_claim(&self) -> Option<&str> {
        let mut claims = self.0.variables();
        claims.next().filter(|_| claims.next().is_none()).map(|variable| &*variable.source)
    }

    /// Whether it holds this variable.
    pub(super) fn names(&self, name: &str) -> bool {
        self.0.variables().any(|variable| &*variable.source == name)
    }

    /// Whether a claim that it needs is there, whatever it holds.
    pub(super) fn is_touched_by(&self, claims: Object<'_>) -> bool {
        self.0.variables().any(|variable| claims.contains(&variable.source))
    }

    pub(super) fn render(&self, claims: Object<'_>) -> Result<Entity, InvalidChain> {
        self.render_by(|name| {
            let value = claims.get(name).ok_or_else(|| InvalidChain::MissingClaim(name.into()))?;
            Ok(json::text(value))
        })
    }

    /// One entity for each text of the array that its only claim is; `None` if that is no array.
    pub(super) fn render_each(&self, claims: Object<'_>) -> Result<Option<Vec<Entity>>, InvalidChain> {
        let Some(name) = self.only_claim() else { return Ok(None) };
        let Some(Json::Array(elements)) = claims.get(name) else { return Ok(None) };
        let entities = elements.iter().map(|element| self.render_by(|_| Ok(json::text(element))));
        entities.collect::<Result<_, _>>().map(Some)
    }

    pub(super) fn render_by<'c>(
        &self,
        claim: impl Fn(&str) -> Result<Option<&'c str>, InvalidChain>,
    ) -> Result<Entity, InvalidChain> {
        let text = self.0.render(|name, out| {
            let value = claim(name)?.filter(|value| value.chars().all(is_plain));
            out.push_str(value.ok_or_else(|| InvalidChain::MalformedClaim(name.clone()))?);
            Ok(())
        });
        match text {
            Ok(text) => text.parse().map_err(|_| InvalidChain::NoEntity(self.to_string().into())),
            Err(RenderProblem::Value(problem)) => Err(problem),
            Err(RenderProblem::Empty(name) | RenderProblem::Ambiguous(name)) => {
                Err(InvalidChain::MalformedClaim(name.into()))
            }
        }
    }
}

/// Whether a claim may bring the character into an id.
fn is_plain(c: char) -> bool {
    !matches!(c, '*' | ':' | '#') && !c.is_whitespace() && is_visible(c)
}
