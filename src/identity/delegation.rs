//! The chain of subjects that a verified token stands for.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{
    claims::is_visible,
    json::{self, Object},
};
use crate::{
    access::{ActorMode, Entity, InvalidName, InvalidTemplate, Principal, RenderProblem, Template},
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

    /// Whether a claim that it needs is there, whatever it holds.
    fn is_touched_by(&self, claims: Object<'_>) -> bool {
        self.0.variables().any(|variable| claims.contains(&variable.source))
    }

    fn render(&self, claims: Object<'_>) -> Result<Entity, InvalidChain> {
        let text = self.0.render(|name, out| {
            let value = claims.get(name).ok_or_else(|| InvalidChain::MissingClaim(name.clone()))?;
            let value = json::text(value).filter(|value| value.chars().all(is_plain));
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

/// What chain the tokens of one issuer stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainSettings {
    /// The subject, made of the token's claims.
    pub subject: EntityTemplate,
    /// An actor, made of the members of an `act` claim (RFC 8693, section 4.1). Without it a token with `act` is
    /// refused, because its actor must not go unseen.
    pub actor: Option<EntityTemplate>,
    /// The task, made of the token's claims. It is used if a claim that it needs is there.
    pub task: Option<EntityTemplate>,
    /// The actor of a token without `act`, made of the token's claims. With it every token has such an actor, or is
    /// refused, unless its `client_id` is one of `human_clients`.
    pub client: Option<EntityTemplate>,
    /// The values of `client_id` (RFC 8693, section 4.3) of programs through which people act themselves.
    pub human_clients: Vec<Box<str>>,
    /// The most actors that `act` may name.
    pub max_actors: usize,
}

impl ChainSettings {
    /// The most actors if nothing else is said.
    pub const DEFAULT_MAX_ACTORS: usize = 3;
}

/// Why a verified token names no chain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidChain {
    /// A claim that a template needs is not there.
    #[error("`{0}` is missing")]
    MissingClaim(Box<str>),
    /// A claim is not a text, is empty, or holds `*`, `:`, `#`, white space or an invisible character.
    #[error("`{0}` is not a text that can be an entity's id")]
    MalformedClaim(Box<str>),
    /// The filled template is no entity.
    #[error("`{0}` makes no entity of the claims")]
    NoEntity(Box<str>),
    /// The token has `act`, and the issuer's settings do not say what an actor is.
    #[error("it has an actor, and its issuer has no template for actors")]
    UnexpectedActor,
    /// `act` is not an object.
    #[error("`act` is not an object")]
    MalformedActor,
    /// More actors than the issuer's bound.
    #[error("it has more than {0} actors")]
    TooManyActors(usize),
}

impl ChainSettings {
    /// The chain that the claims stand for. Nothing in them is skipped: what cannot be named is refused.
    pub(super) fn principal(&self, claims: Object<'_>, mode: ActorMode) -> Result<Principal, InvalidChain> {
        let subject = self.subject.render(claims)?;
        let actors = match claims.get("act") {
            Some(act) => self.actors(act)?,
            None => self.client(claims)?.filter(|client| *client != subject).into_iter().collect(),
        };
        let task = match &self.task {
            Some(task) if task.is_touched_by(claims) => Some(task.render(claims)?),
            Some(_) | None => None,
        };
        Ok(Principal::new(subject, actors, task, mode))
    }

    /// The current actor first, then the prior ones (RFC 8693, section 4.1).
    fn actors(&self, act: &Json) -> Result<Vec<Entity>, InvalidChain> {
        let template = self.actor.as_ref().ok_or(InvalidChain::UnexpectedActor)?;
        let mut actors = Vec::new();
        let mut next = Some(act);
        while let Some(act) = next {
            let act = Object::of(act).ok_or(InvalidChain::MalformedActor)?;
            if actors.len() == self.max_actors {
                return Err(InvalidChain::TooManyActors(self.max_actors));
            }
            actors.push(template.render(act)?);
            next = act.get("act");
        }
        Ok(actors)
    }

    fn client(&self, claims: Object<'_>) -> Result<Option<Entity>, InvalidChain> {
        let Some(template) = &self.client else { return Ok(None) };
        let client_id = claims.get("client_id").and_then(json::text);
        let is_human = client_id.is_some_and(|id| self.human_clients.iter().any(|human| **human == *id));
        if is_human { Ok(None) } else { template.render(claims).map(Some) }
    }
}

/// Whether a claim may bring the character into an id.
fn is_plain(c: char) -> bool {
    !matches!(c, '*' | ':' | '#') && !c.is_whitespace() && is_visible(c)
}
