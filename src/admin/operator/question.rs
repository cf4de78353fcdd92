//! Questions as they are sent to a running proxy.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    access::{Access, ActorMode, ContextualTuple, Principal},
    analyze::{Inquiry, Limit},
    policy::{ContextMap, ContextValue, UserFilter},
    protocol::{Json, JsonLimits, parse_json},
};

/// A question to the policy in force.
#[derive(Debug, Clone)]
pub struct OperatorQuestion {
    /// The question.
    pub inquiry: Inquiry,
    /// What conditions are told; the time is that of the answer, unless it is here.
    pub context: ContextMap,
    /// What a credential would tell of.
    pub told: Vec<ContextualTuple>,
}

/// A body is not the question that its path asks for.
#[derive(Debug, Error)]
#[error("{0}")]
pub(super) struct NotAQuestion(String);

/// The paths that questions are sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Check,
    Explain,
    List,
}

impl Question {
    pub(super) const ALL: [Self; 3] = [Self::Check, Self::Explain, Self::List];

    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Check => "/check",
            Self::Explain => "/explain",
            Self::List => "/list",
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainBody {
    subject: String,
    /// The current actor first, as credentials have them.
    #[serde(default)]
    actors: Vec<String>,
    #[serde(default)]
    task: Option<String>,
    #[serde(default)]
    current_actor_only: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccessBody {
    principal: ChainBody,
    action: String,
    resource: String,
    #[serde(default)]
    context: Map<String, Value>,
    #[serde(default)]
    contextual_tuples: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListBody {
    list: ListedBody,
    #[serde(default = "most")]
    limit: usize,
    #[serde(default)]
    context: Map<String, Value>,
    #[serde(default)]
    contextual_tuples: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
enum ListedBody {
    Objects { principal: ChainBody, action: String, r#type: String },
    Users { action: String, object: String, r#type: String, relation: Option<String> },
}

const fn most() -> usize {
    1000
}

impl OperatorQuestion {
    /// The question that a body is. Refuses members that it does not know, so that none is passed over in silence.
    pub(super) fn read(question: Question, body: &[u8]) -> Result<Self, NotAQuestion> {
        let refused = |problem: &dyn ToString| NotAQuestion(problem.to_string());
        let strict = parse_json(body, JsonLimits::default()).map_err(|problem| refused(&problem))?;
        let (inquiry, context, told) = match question {
            Question::Check | Question::Explain => {
                let body: AccessBody = serde_json::from_slice(body).map_err(|problem| refused(&problem))?;
                let access = Access { action: parsed(&body.action)?, resource: parsed(&body.resource)? };
                let principal = body.principal.principal()?;
                match question {
                    Question::Explain => (Inquiry::Explain(principal, access), body.context, body.contextual_tuples),
                    Question::Check | Question::List => {
                        (Inquiry::Check(principal, access), body.context, body.contextual_tuples)
                    }
                }
            }
            Question::List => {
                let body: ListBody = serde_json::from_slice(body).map_err(|problem| refused(&problem))?;
                (body.list.inquiry(Limit(body.limit))?, body.context, body.contextual_tuples)
            }
        };
        let told = told.iter().map(|tuple| parsed(tuple)).collect::<Result<_, _>>()?;
        if context.is_empty() {
            return Ok(Self { inquiry, context: ContextMap::default(), told });
        }
        // From the strict reading, as files and requests are read.
        let Ok(context @ Json::Object(_)) = strict.member(["context"]) else {
            return Err(NotAQuestion("`context` has a look-alike".to_owned()));
        };
        let context = ContextMap::from_json(context).map_err(|problem| refused(&problem))?;
        Ok(Self { inquiry, context, told })
    }

    /// Where the question is sent, and as what.
    pub(super) fn written(&self) -> (Question, Value) {
        let context = context_json(&self.context);
        let contextual_tuples = self.told.iter().map(ToString::to_string).collect();
        let access = |principal: &Principal, access: &Access, context, contextual_tuples| {
            let (action, resource) = (access.action.to_string(), access.resource.to_string());
            json(&AccessBody { principal: ChainBody::new(principal), action, resource, context, contextual_tuples })
        };
        match &self.inquiry {
            Inquiry::Check(principal, asked) => (Question::Check, access(principal, asked, context, contextual_tuples)),
            Inquiry::Explain(principal, asked) => {
                (Question::Explain, access(principal, asked, context, contextual_tuples))
            }
            Inquiry::Objects(principal, action, object_type, limit) => {
                let (principal, action) = (ChainBody::new(principal), action.to_string());
                let list = ListedBody::Objects { principal, action, r#type: object_type.to_string() };
                (Question::List, json(&ListBody { list, limit: limit.0, context, contextual_tuples }))
            }
            Inquiry::Users(access, filter, limit) => {
                let list = ListedBody::Users {
                    action: access.action.to_string(),
                    object: access.resource.to_string(),
                    r#type: filter.user_type.to_string(),
                    relation: filter.relation.as_ref().map(ToString::to_string),
                };
                (Question::List, json(&ListBody { list, limit: limit.0, context, contextual_tuples }))
            }
        }
    }
}

impl ChainBody {
    fn new(principal: &Principal) -> Self {
        Self {
            subject: principal.subject().to_string(),
            actors: principal.actors().iter().map(ToString::to_string).collect(),
            task: principal.task().map(ToString::to_string),
            current_actor_only: principal.mode() == ActorMode::Current,
        }
    }

    fn principal(&self) -> Result<Arc<Principal>, NotAQuestion> {
        let mode = if self.current_actor_only { ActorMode::Current } else { ActorMode::All };
        let actors = self.actors.iter().map(|actor| parsed(actor)).collect::<Result<_, _>>()?;
        let task = self.task.as_deref().map(parsed).transpose()?;
        Ok(Arc::new(Principal::new(parsed(&self.subject)?, actors, task, mode)))
    }
}

impl ListedBody {
    fn inquiry(&self, limit: Limit) -> Result<Inquiry, NotAQuestion> {
        Ok(match self {
            Self::Objects { principal, action, r#type } => {
                Inquiry::Objects(principal.principal()?, parsed(action)?, parsed(r#type)?, limit)
            }
            Self::Users { action, object, r#type, relation } => {
                let access = Access { action: parsed(action)?, resource: parsed(object)? };
                let relation = relation.as_deref().map(parsed).transpose()?;
                Inquiry::Users(access, UserFilter { user_type: parsed(r#type)?, relation }, limit)
            }
        })
    }
}

fn parsed<T: std::str::FromStr<Err: ToString>>(text: &str) -> Result<T, NotAQuestion> {
    text.parse().map_err(|problem: T::Err| NotAQuestion(problem.to_string()))
}

/// These bodies are JSON by their making.
fn json(body: &impl Serialize) -> Value {
    serde_json::to_value(body).unwrap_or_default()
}

fn context_json(context: &ContextMap) -> Map<String, Value> {
    context.iter().map(|(name, value)| (name.to_owned(), value_json(value))).collect()
}

fn value_json(value: &ContextValue) -> Value {
    match value {
        ContextValue::Null => Value::Null,
        ContextValue::Bool(value) => (*value).into(),
        ContextValue::Number(number) => (*number).into(),
        ContextValue::String(text) => Value::String(text.to_string()),
        ContextValue::List(elements) => elements.iter().map(value_json).collect(),
        ContextValue::Map(values) => Value::Object(context_json(values)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(inquiry: Inquiry, context: &str) {
        let told = vec!["user:erin member group:eng".parse().unwrap()];
        let question = OperatorQuestion { inquiry, context: context.parse().unwrap(), told };
        let (path, body) = question.written();
        let read = OperatorQuestion::read(path, body.to_string().as_bytes()).unwrap();
        assert_eq!((read.context, read.told), (question.context, question.told));
        assert_eq!(format!("{:?}", read.inquiry), format!("{:?}", question.inquiry));
    }

    #[test]
    fn a_question_arrives_as_it_was_sent() {
        let actors = vec!["agent:coder".parse().unwrap(), "agent:planner".parse().unwrap()];
        let task = Some("task:t-1".parse().unwrap());
        let chain = |mode| Arc::new(Principal::new("user:erin".parse().unwrap(), actors.clone(), task.clone(), mode));
        let access = || Access { action: "can_read".parse().unwrap(), resource: "account:A-100".parse().unwrap() };
        let context = r#"{"a":null,"b":true,"c":1.5,"d":"x","e":[1,{"f":[]}],"current_time":"2026-01-01T00:00:00Z"}"#;
        again(Inquiry::Check(chain(ActorMode::All), access()), context);
        again(Inquiry::Explain(chain(ActorMode::Current), access()), "{}");
        let (action, object_type) = (access().action, "account".parse().unwrap());
        again(Inquiry::Objects(chain(ActorMode::All), action, object_type, Limit(7)), context);
        for relation in [None, Some("member".parse().unwrap())] {
            let filter = UserFilter { user_type: "group".parse().unwrap(), relation };
            again(Inquiry::Users(access(), filter, Limit(1)), "{}");
        }
    }

    #[test]
    fn what_is_no_question_is_refused() {
        let whole = r#"{"principal":{"subject":"user:erin"},"action":"can_read","resource":"account:A-100"}"#;
        assert!(OperatorQuestion::read(Question::Check, whole.as_bytes()).is_ok());
        for body in [
            "",
            "[]",
            "{}",
            r#"{"principal":{"subject":"user:erin"},"action":"can_read","resource":"account"}"#,
            r#"{"principal":{"subject":"user:*"},"action":"can_read","resource":"account:A-100"}"#,
            r#"{"principal":{"subject":"user:erin","via":[]},"action":"can_read","resource":"account:A-100"}"#,
            r#"{"principal":{"subject":"user:erin"},"action":"can read","resource":"account:A-100"}"#,
            r#"{"principal":{"subject":"user:erin"},"action":"can_read","resource":"account:A-100","context":[]}"#,
            r#"{"principal":{"subject":"user:erin"},"action":"a","action":"can_read","resource":"account:A-100"}"#,
        ] {
            assert!(OperatorQuestion::read(Question::Check, body.as_bytes()).is_err(), "{body}");
        }
        assert!(OperatorQuestion::read(Question::List, whole.as_bytes()).is_err());
    }
}
