//! The chain of subjects that a verified token stands for.

use std::{str::FromStr, sync::Arc};

use thiserror::Error;

use super::{
    json::{self, Object},
    revocations::MemberName,
    spiffe::{InvalidSpiffeId, SpiffeId, SpiffeSubject, SpiffeSubjects},
    tasks::Chain,
    template::{EntityTemplate, InvalidEntityTemplate},
};
use crate::{
    access::{ActorMode, Entity, Principal},
    protocol::Json,
};

/// The most tasks that one token may be bound to.
const MOST_TASKS: usize = 16;

/// What chain the tokens of one issuer stand for.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainSettings {
    /// The subject, made of the token's claims.
    pub subject: SubjectRule,
    /// The subject of a token that a client got for itself (RFC 9068, section 2.2): its `sub` is its client's id, or its
    /// `sub_entity_type` is `agent` or `app`. Without it such a subject is made by `subject`, unless the token says
    /// that it is an agent: then it is refused, because it must not be taken for a human.
    pub client_subject: Option<EntityTemplate>,
    /// An actor, made of the members of an `act` claim (RFC 8693, section 4.1). Without it a token with `act` is
    /// refused, because its actor must not go unseen.
    pub actor: Option<EntityTemplate>,
    /// The task, made of the token's claims. It is used if a claim that it needs is there. If requests may name a task,
    /// its only claim may be an array: then the request must name one of these.
    pub task: Option<EntityTemplate>,
    /// The actor of a token without `act`, made of the token's claims. With it every token has such an actor, or is
    /// refused, unless its client is one of `human_clients`; and the current actor of an `act` must be this one.
    pub client: Option<EntityTemplate>,
    /// The ids of programs through which people act themselves: `client_id` (RFC 8693, section 4.3), `azp`, or the claim
    /// of `client`.
    pub human_clients: Vec<Box<str>>,
    /// The most actors that `act` may name.
    pub max_actors: usize,
}

/// How a token's subject is made.
#[derive(Debug, Clone, PartialEq)]
pub enum SubjectRule {
    /// Of its claims, as a text says.
    Template(EntityTemplate),
    /// Of the SPIFFE ID that `sub` is: the token is a JWT-SVID.
    Spiffe(SpiffeSubjects),
}

impl FromStr for SubjectRule {
    type Err = InvalidEntityTemplate;

    fn from_str(text: &str) -> Result<Self, InvalidEntityTemplate> {
        text.parse().map(Self::Template)
    }
}

impl SubjectRule {
    /// The types of all subjects that it makes.
    pub fn type_names(&self) -> Vec<&str> {
        match self {
            Self::Template(template) => vec![template.type_name()],
            Self::Spiffe(known) => known.subjects.iter().map(SpiffeSubject::type_name).collect(),
        }
    }

    /// The subject of the tokens whose `sub` is this name, if that alone says it.
    pub(super) fn named(&self, name: &str) -> Result<Entity, InvalidChain> {
        match self {
            Self::Template(template) => template.render_by(|claim| Ok((claim == "sub").then_some(name))),
            Self::Spiffe(known) => Self::workload(known, name),
        }
    }

    fn render(&self, claims: Object<'_>) -> Result<Entity, InvalidChain> {
        let known = match self {
            Self::Template(template) => return template.render(claims),
            Self::Spiffe(known) => known,
        };
        let subject = claims.get("sub").and_then(json::text);
        Self::workload(known, subject.ok_or_else(|| InvalidChain::MalformedClaim("sub".into()))?)
    }

    fn workload(known: &SpiffeSubjects, id: &str) -> Result<Entity, InvalidChain> {
        let id: SpiffeId = id.parse()?;
        if id.trust_domain() != known.trust_domain.as_str() {
            return Err(InvalidChain::OtherTrustDomain);
        }
        known.subjects.iter().find_map(|rule| rule.subject_of(&id)).ok_or(InvalidChain::NoSpiffeSubject)
    }
}

impl ChainSettings {
    /// The most actors if nothing else is said.
    pub const DEFAULT_MAX_ACTORS: usize = 3;
}

/// What is the same for all issuers.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChainRules {
    pub(super) mode: ActorMode,
    pub(super) naming: TaskNaming,
}

/// Who says within which of its tasks a credential is used.
#[derive(Debug, Clone, Copy)]
pub(super) enum TaskNaming {
    /// The token alone: it is bound to one.
    ByToken,
    /// The request may name one of the token's.
    ByRequest,
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
    /// The subject is to be a SPIFFE ID, and is none.
    #[error("`sub` is no SPIFFE ID: {0}")]
    SpiffeId(#[from] InvalidSpiffeId),
    /// The subject is a SPIFFE ID of another trust domain than the issuer's.
    #[error("`sub` is of another trust domain than its issuer's")]
    OtherTrustDomain,
    /// No path of the trust domain is that of the subject.
    #[error("no subject is configured for the path of `sub`")]
    NoSpiffeSubject,
    /// The token has `act`, and the issuer's settings do not say what an actor is.
    #[error("it has an actor, and its issuer has no template for actors")]
    UnexpectedActor,
    /// `act` is not an object.
    #[error("`act` is not an object")]
    MalformedActor,
    /// More actors than the issuer's bound.
    #[error("it has more than {0} actors")]
    TooManyActors(usize),
    /// A list of tasks that is empty, or longer than the bound.
    #[error("it is bound to no task, or to more than {0}")]
    Tasks(usize),
    /// `client_id` and `azp` name two clients.
    #[error("`client_id` and `azp` are not the same")]
    TwoClients,
    /// The token says that its subject is an agent, and the issuer's settings do not say what such a subject is.
    #[error("its subject is an agent, and its issuer has no template for such subjects")]
    UnexpectedAgent,
    /// The token says that its client is an agent, and nothing makes an actor of it.
    #[error("its client is an agent, and its issuer has no template for clients")]
    UnseenClient,
    /// The token was given to another client than its current actor.
    #[error("its client is not the current actor")]
    ClientIsNotActor,
    /// `may_act` is not an object that names an actor.
    #[error("`may_act` is malformed")]
    MalformedMayAct,
    /// The current actor is not the one that `may_act` allows.
    #[error("its current actor is not the one of `may_act`")]
    ForbiddenActor,
}

impl ChainSettings {
    /// The chain that the claims stand for. Nothing in them is skipped: what cannot be named is refused.
    pub(super) fn chain(&self, claims: Object<'_>, rules: ChainRules) -> Result<Chain, InvalidChain> {
        let client = Client::read(claims, self.client.as_ref())?;
        let subject = self.subject(claims, &client)?;
        let client = self.client_entity(claims, &client)?;
        let actors = match claims.get("act") {
            Some(act) => self.actors(act)?,
            None => client.clone().filter(|client| *client != subject).into_iter().collect(),
        };
        // Whoever holds the token is the last of the chain, or it is somebody else's.
        if client.is_some_and(|client| client != *actors.first().unwrap_or(&subject)) {
            return Err(InvalidChain::ClientIsNotActor);
        }
        self.check_may_act(claims, actors.first())?;
        let principal = |task| Arc::new(Principal::new(subject.clone(), actors.clone(), task, rules.mode));
        let Some(task) = self.task.as_ref().filter(|task| task.is_touched_by(claims)) else {
            return Ok(Chain::Fixed(principal(None)));
        };
        match rules.naming {
            TaskNaming::ByRequest => match task.render_each(claims)? {
                Some(tasks) if !(1..=MOST_TASKS).contains(&tasks.len()) => Err(InvalidChain::Tasks(MOST_TASKS)),
                Some(tasks) => Ok(Chain::Choice(tasks.into_iter().map(|task| principal(Some(task))).collect())),
                None => Ok(Chain::Fixed(principal(Some(task.render(claims)?)))),
            },
            TaskNaming::ByToken => Ok(Chain::Fixed(principal(Some(task.render(claims)?)))),
        }
    }

    fn subject(&self, claims: Object<'_>, client: &Client<'_>) -> Result<Entity, InvalidChain> {
        let says = kind(claims, "sub_entity_type")?;
        let is_own = match says {
            Some(kind) => kind == Kind::Program,
            None => client.id.is_some() && client.id == claims.get("sub").and_then(json::text),
        };
        match &self.client_subject {
            Some(template) if is_own => template.render(claims),
            None if says == Some(Kind::Program) && !self.is_of_actors(&self.subject) => {
                Err(InvalidChain::UnexpectedAgent)
            }
            Some(_) | None => self.subject.render(claims),
        }
    }

    /// Whether what the rule makes is of the actors' type, or a workload, so that nobody takes it for a human.
    fn is_of_actors(&self, rule: &SubjectRule) -> bool {
        let SubjectRule::Template(template) = rule else { return true };
        self.actor.iter().chain(&self.client).any(|actor| actor.type_name() == template.type_name())
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

    /// The names by which issuers know the members of the chain that these claims stand for.
    pub(super) fn names(&self, claims: Object<'_>, chain: &Chain) -> Result<Box<[MemberName]>, InvalidChain> {
        let Some(principal) = chain.any() else { return Ok(Box::default()) };
        let mut names = Vec::new();
        let mut add = |object: Object<'_>, claim: &str, issuer: Option<&str>, member: &Entity| {
            if let Some(name) = object.get(claim).and_then(json::text) {
                names.push(MemberName { issuer: issuer.map(Box::from), name: name.into(), member: member.clone() });
            }
        };
        let subject = principal.subject();
        add(claims, "sub", None, subject);
        if self.client_subject.as_ref().and_then(|template| template.render(claims).ok()).as_ref() == Some(subject) {
            only_claim(self.client_subject.as_ref()).into_iter().for_each(|claim| add(claims, claim, None, subject));
        }
        let mut acting = claims.get("act").and_then(Object::of);
        for actor in principal.actors() {
            let Some(act) = acting else { break };
            let issuer = act.get("iss").and_then(json::text);
            let known = ["sub", "client_id"].into_iter().chain(only_claim(self.actor.as_ref()));
            known.for_each(|claim| add(act, claim, issuer, actor));
            acting = act.get("act").and_then(Object::of);
        }
        let client = Client::read(claims, self.client.as_ref())?;
        if let Some(client) = self.client_entity(claims, &client)? {
            let known = ["client_id", "azp"].into_iter().chain(only_claim(self.client.as_ref()));
            known.for_each(|claim| add(claims, claim, None, &client));
        }
        Ok(names.into())
    }

    /// Who a name may be in the chains of the issuer whose name it is.
    pub(super) fn named(&self, name: &str) -> Vec<Entity> {
        let rest = [&self.client_subject, &self.actor, &self.client].into_iter().flatten();
        let rest = rest.map(|template| {
            let own = template.only_claim().unwrap_or("sub");
            template.render_by(|claim| Ok((claim == own).then_some(name)))
        });
        let mut entities = Vec::new();
        // What a name alone does not make is not said.
        for entity in std::iter::once(self.subject.named(name)).chain(rest).flatten() {
            if !entities.contains(&entity) {
                entities.push(entity);
            }
        }
        entities
    }

    /// The client as an actor, if it is one.
    fn client_entity(&self, claims: Object<'_>, client: &Client<'_>) -> Result<Option<Entity>, InvalidChain> {
        let is_agent = kind(claims, "client_entity_type")? == Some(Kind::Program);
        let has_act = claims.contains("act");
        let Some(template) = &self.client else {
            return if is_agent && !has_act { Err(InvalidChain::UnseenClient) } else { Ok(None) };
        };
        let is_human = !is_agent && client.id.is_some_and(|id| self.human_clients.iter().any(|human| **human == *id));
        // A client that is named by another claim than the template's is not passed over.
        let is_named = client.id.is_some() || template.is_touched_by(claims);
        if is_human || (has_act && !is_named) {
            return Ok(None);
        }
        template.render(claims).map(Some)
    }

    /// The current actor is the one that the subject has allowed (RFC 8693, section 4.4), if it has.
    fn check_may_act(&self, claims: Object<'_>, current: Option<&Entity>) -> Result<(), InvalidChain> {
        let Some(may_act) = claims.get("may_act") else { return Ok(()) };
        let may_act = Object::of(may_act).ok_or(InvalidChain::MalformedMayAct)?;
        let template = self.actor.as_ref().ok_or(InvalidChain::UnexpectedActor)?;
        let allowed = template.render(may_act).map_err(|_| InvalidChain::MalformedMayAct)?;
        let act = claims.get("act").and_then(Object::of);
        // All that it says of the actor must be so, such as its issuer.
        let differs = |name: &str| act.is_some_and(|act| act.get(name) != may_act.get(name));
        if current.is_some_and(|current| *current != allowed) || may_act.names().any(differs) {
            return Err(InvalidChain::ForbiddenActor);
        }
        Ok(())
    }
}

fn only_claim(template: Option<&EntityTemplate>) -> Option<&str> {
    template.and_then(EntityTemplate::only_claim)
}

/// The program that a token was given to.
struct Client<'c> {
    id: Option<&'c str>,
}

impl<'c> Client<'c> {
    /// By the claim of the template, or else by `client_id` (RFC 9068) or `azp` (OpenID Connect), which must agree.
    fn read(claims: Object<'c>, template: Option<&EntityTemplate>) -> Result<Self, InvalidChain> {
        let claim = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => json::text(value).map(Some).ok_or_else(|| InvalidChain::MalformedClaim(name.into())),
        };
        let (client_id, party) = (claim("client_id")?, claim("azp")?);
        if client_id.is_some() && party.is_some() && client_id != party {
            return Err(InvalidChain::TwoClients);
        }
        let own = template.and_then(EntityTemplate::only_claim).map(claim).transpose()?.flatten();
        Ok(Self { id: own.or(client_id).or(party) })
    }
}

/// What a token says that its subject or its client is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Human,
    Program,
}

fn kind(claims: Object<'_>, name: &'static str) -> Result<Option<Kind>, InvalidChain> {
    match claims.get(name).map(json::text) {
        None => Ok(None),
        Some(Some("user")) => Ok(Some(Kind::Human)),
        Some(Some("agent" | "app")) => Ok(Some(Kind::Program)),
        Some(_) => Err(InvalidChain::MalformedClaim(name.into())),
    }
}
