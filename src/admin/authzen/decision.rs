//! One decision.

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::{
    access::{Entity, InvalidName, Reason, RelationName, Revision, Timestamp},
    admin::deadline::Deadline,
    policy::{CheckError, Policy, RequestContext, User},
};

use super::{
    body::{Part, Question},
    fault::Fault,
};

/// What every question of one request is decided by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point<'a> {
    pub(super) policy: &'a Policy,
    pub(super) revision: Revision,
    /// When its snapshot was built.
    pub(super) built_at: Timestamp,
    pub(super) now: Timestamp,
    /// When its last question is asked.
    pub(super) deadline: Deadline,
}

/// What is told of questions that were not asked before the deadline.
pub(super) const TOO_LATE: &str = "the request took too long: ask less at one time";

/// What a question came to. Whatever is not permitted is a denial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    Permitted,
    Denied,
    /// The engine has no answer.
    Undecided(Reason, String),
    /// One of many questions is not a question.
    Malformed(Fault),
}

impl Decision {
    pub(super) fn is_permitted(&self) -> bool {
        *self == Self::Permitted
    }

    /// The decision as an answer has it.
    pub(super) fn document(&self, revision: Revision) -> Value {
        let mut context = Map::new();
        context.insert("revision".to_owned(), revision.number().into());
        let mut tell = |reason: Reason, error: Option<(StatusCode, String)>| {
            context.insert("reason".to_owned(), reason.name().into());
            if let Some((status, message)) = error {
                context.insert("error".to_owned(), json!({ "status": status.as_u16(), "message": message }));
            }
        };
        match self {
            Self::Permitted => {}
            Self::Denied => tell(Reason::NotPermitted, None),
            Self::Undecided(reason, message) => tell(*reason, Some((undecided_status(*reason), message.clone()))),
            Self::Malformed(fault) => tell(Reason::MalformedBody, Some((fault.status(), fault.to_string()))),
        }
        json!({ "decision": self.is_permitted(), "context": context })
    }
}

/// Which status a request would have whose only question this was, had a denial not always the status 200.
const fn undecided_status(reason: Reason) -> StatusCode {
    match reason {
        Reason::UnknownType | Reason::UnknownRelation => StatusCode::NOT_FOUND,
        Reason::MappingFailed | Reason::MissingContext | Reason::ConditionFailed => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl Point<'_> {
    /// Decides a question. Refuses what is not one.
    pub(super) fn decide(self, question: Question<'_>) -> Result<Decision, Fault> {
        let subject = identity(question.part("subject")?)?;
        let action = question.part("action")?.text("name")?;
        let resource = identity(question.part("resource")?)?;
        let context = question.context()?;
        let asked = || -> Result<_, InvalidName> {
            Ok((User::Object(subject.entity()?), action.parse::<RelationName>()?, resource.entity()?))
        };
        let (subject, action, resource) = match asked() {
            Ok(asked) => asked,
            // The protocol's names may be any text, and the policy's may not: nobody has tuples for such names.
            Err(problem) => return Ok(Decision::Undecided(Reason::MappingFailed, problem.to_string())),
        };
        let context = RequestContext::new(&context).only_at(self.now);
        Ok(self.policy.check(&subject, &action, &resource, &context).into())
    }
}

impl From<Result<bool, CheckError>> for Decision {
    fn from(checked: Result<bool, CheckError>) -> Self {
        match checked {
            Ok(true) => Self::Permitted,
            Ok(false) => Self::Denied,
            Err(error) => Self::Undecided(error.reason(), error.to_string()),
        }
    }
}

/// The type and the id of a subject or resource.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity<'a> {
    type_name: &'a str,
    id: &'a str,
}

impl Identity<'_> {
    /// The object of that type and id. A `:` in either would make the text another object, and is refused.
    pub(super) fn entity(self) -> Result<Entity, InvalidName> {
        format!("{}:{}", self.type_name, self.id).parse()
    }
}

/// What identifies a subject or resource; both must be there.
pub(super) fn identity<'a>(part: Part<'a>) -> Result<Identity<'a>, Fault> {
    Ok(Identity { type_name: part.text("type")?, id: part.text("id")? })
}
