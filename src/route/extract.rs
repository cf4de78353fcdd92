//! Filling in an operation's accesses from one request.

use std::borrow::Cow;

use http::HeaderName;
use thiserror::Error;

use crate::{
    access::{Access, CanonicalRequest, HeaderProblem, InvalidName, Principal, RenderProblem, Template},
    protocol::{Json, MemberProblem},
};

use super::{
    call::{Called, Message},
    operation::{AccessTemplate, ItemFilter},
    query::{self, QueryProblem},
    source::{PrincipalField, Source},
};

/// Why a request does not name its resource in one unambiguous way. The texts hold no value of the request.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MappingProblem {
    /// A query parameter.
    #[error("query parameter `{0}` {1}")]
    Query(String, QueryProblem),
    /// A header field.
    #[error("header field `{0}` {1}")]
    Header(HeaderName, HeaderProblem),
    /// A header field that is not there.
    #[error("header field `{0}` is missing")]
    MissingHeader(HeaderName),
    /// A member of the body or of an item.
    #[error("member `{0}` {1}")]
    Member(String, MemberProblem),
    /// The chain has no actor or no task to take the value from.
    #[error("the principal has no {0}")]
    NoSuchParty(&'static str),
    /// A capture that the route's path does not have.
    #[error("the path captured nothing there")]
    NoCapture,
    /// The variable is the empty text.
    #[error("`{0}` is empty")]
    Empty(String),
    /// The value holds the separator after it.
    #[error("`{0}` holds the separator that follows it")]
    Ambiguous(String),
    /// What a message calls has no rule.
    #[error("no rule is for what the message asks for")]
    NoRule,
    /// The message calls more than is decided at one time.
    #[error("the message stands for too many accesses")]
    TooMany,
    /// No message was read of the body, or one of another protocol.
    #[error("the body holds no message")]
    NoMessage,
    /// What came out is not an object's name.
    #[error("the resource is not an object: {0}")]
    NotAnObject(&'static str),
}

/// Everything that a variable may take its value from.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The canonical head.
    pub head: &'a CanonicalRequest,
    /// The captured segments, decoded.
    pub captures: &'a [Cow<'a, str>],
    /// Who asks.
    pub principal: &'a Principal,
    /// The body, if the operation inspects it.
    pub body: Option<&'a Json>,
    /// The message in it, where one is spoken.
    pub message: Option<&'a Message>,
    /// What is called, in the rule of a call.
    pub called: Option<&'a Called<'a>>,
}

impl ItemFilter {
    /// The access that one element of the answer stands for.
    pub fn access(&self, inputs: Inputs<'_>, item: &Json) -> Result<Access, MappingProblem> {
        access(&self.access, inputs, Some(item))
    }
}

/// The access that a template stands for.
pub fn access(template: &AccessTemplate, inputs: Inputs<'_>, item: Option<&Json>) -> Result<Access, MappingProblem> {
    let text = filled(&template.resource, inputs, item)?;
    let resource = text.parse().map_err(|problem| {
        MappingProblem::NotAnObject(match problem {
            InvalidName::Type(_) | InvalidName::Relation(_) | InvalidName::Object(_) => "it is not `type:id`",
            InvalidName::Id(_) => "its id is `*`, or holds `:`, `#`, white space or a control character",
            InvalidName::TooLong(_) => "it is longer than 256 characters",
        })
    })?;
    Ok(Access { action: template.action.clone(), resource })
}

/// The template with its variables filled in.
pub(super) fn filled(
    template: &Template<Source>,
    inputs: Inputs<'_>,
    item: Option<&Json>,
) -> Result<String, MappingProblem> {
    let text = template.render(|source, text| value(source, inputs, item, text));
    text.map_err(|problem| match problem {
        RenderProblem::Value(problem) => problem,
        RenderProblem::Empty(name) => MappingProblem::Empty(name),
        RenderProblem::Ambiguous(name) => MappingProblem::Ambiguous(name),
    })
}

fn value(source: &Source, inputs: Inputs<'_>, item: Option<&Json>, text: &mut String) -> Result<(), MappingProblem> {
    match source {
        Source::Path(index) => text.push_str(inputs.captures.get(*index).ok_or(MappingProblem::NoCapture)?),
        Source::Query(name) => {
            let value = query::parameter(inputs.head.query(), name);
            text.push_str(&value.map_err(|problem| MappingProblem::Query(name.to_string(), problem))?);
        }
        Source::Header(name) => {
            let value = inputs.head.header(name).map_err(|problem| MappingProblem::Header(name.clone(), problem))?;
            text.push_str(value.ok_or_else(|| MappingProblem::MissingHeader(name.clone()))?);
        }
        Source::Body(path) => text.push_str(&member(inputs.body, path)?),
        Source::Item(path) => text.push_str(&member(item, path)?),
        Source::Name => text.push_str(inputs.called.ok_or(MappingProblem::NoCapture)?.name),
        Source::Argument(path) => text.push_str(&member(inputs.called.and_then(|called| called.arguments), path)?),
        Source::Uri(index) => {
            let captures = inputs.called.map(|called| called.captures.as_slice()).unwrap_or_default();
            text.push_str(captures.get(*index).ok_or(MappingProblem::NoCapture)?);
        }
        Source::Principal(field) => text.push_str(party(*field, inputs.principal)?),
    }
    Ok(())
}

fn member<'a>(json: Option<&'a Json>, path: &[Box<str>]) -> Result<Cow<'a, str>, MappingProblem> {
    let value = json.ok_or(MemberProblem::Missing).and_then(|json| json.member(path.iter().map(AsRef::as_ref)));
    value.and_then(Json::id_text).map_err(|problem| MappingProblem::Member(path.join("."), problem))
}

fn party(field: PrincipalField, principal: &Principal) -> Result<&str, MappingProblem> {
    match field {
        PrincipalField::Subject => Ok(principal.subject().id()),
        PrincipalField::Actor => {
            principal.current_actor().map(|actor| actor.id()).ok_or(MappingProblem::NoSuchParty("actor"))
        }
        PrincipalField::Task => principal.task().map(|task| task.id()).ok_or(MappingProblem::NoSuchParty("task")),
    }
}
