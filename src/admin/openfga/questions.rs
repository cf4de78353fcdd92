//! Whether a user has a relation on an object, once or many times.

use std::{collections::HashSet, fmt::Display, sync::Arc};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    access::{Entity, RelationName},
    admin::deadline::Deadline,
    policy::{CheckError, ContextMap, InvalidTuple, Model, Policy, User},
    protocol::Json,
};

use super::{
    answer::Answer,
    api::model,
    backing::{AnyStore, asked},
    body::{CONTROL, MOST_CONTEXTUAL, TupleBody, TuplesBody, context, filled, inner, inner_filled, inners, message},
    fault::{Code, Fault},
};

/// The most checks of one batch (OpenFGA's limit).
const MOST_CHECKS: usize = 50;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CheckBody {
    #[serde(flatten)]
    question: QuestionBody,
    #[serde(deserialize_with = "filled", alias = "authorizationModelId")]
    authorization_model_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct QuestionBody {
    #[serde(deserialize_with = "inner", alias = "tupleKey")]
    tuple_key: Option<TupleBody>,
    #[serde(deserialize_with = "inner_filled", alias = "contextualTuples")]
    contextual_tuples: TuplesBody,
    context: Option<Json>,
    #[serde(deserialize_with = "filled", alias = "correlationId")]
    correlation_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BatchBody {
    #[serde(deserialize_with = "inners")]
    checks: Vec<QuestionBody>,
    #[serde(deserialize_with = "filled", alias = "authorizationModelId")]
    authorization_model_id: String,
}

/// Of which question contextual tuples are: their problems have different codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    Check,
    List,
    Assertion,
}

pub(super) fn check(store: &AnyStore<'_>, body: &[u8]) -> Result<Answer, Fault> {
    let CheckBody { question, authorization_model_id } = message(body)?;
    let question = question.checked("CheckRequest")?;
    let model = model(store, "CheckRequest", &authorization_model_id)?;
    let allowed = decide(store, &store.policy(&model)?, &question)?;
    Ok(Answer::ok(json!({ "allowed": allowed, "resolution": "" })).by(model.id))
}

pub(super) fn batch_check(store: &AnyStore<'_>, body: &[u8]) -> Result<Answer, Fault> {
    let BatchBody { checks, authorization_model_id } = message(body)?;
    let model = model(store, "BatchCheckRequest", &authorization_model_id)?;
    if checks.is_empty() {
        return Err(Fault::field("BatchCheckRequest.Checks", "value must contain at least 1 item(s)"));
    }
    if checks.len() > MOST_CHECKS {
        let count = checks.len();
        let message = format!("batchCheck received {count} checks, the maximum allowed is {MOST_CHECKS}");
        return Err(Fault::invalid(message));
    }
    let mut ids = HashSet::new();
    for check in &checks {
        let id = check.correlation_id.as_str();
        if !(1..=36).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
            let rule = "value does not match regex pattern \"^[\\\\w\\\\d-]{1,36}$\"";
            return Err(Fault::field("BatchCheckItem.CorrelationId", rule));
        }
        if !ids.insert(id) {
            return Err(Fault::invalid(format!("received duplicate correlation id: {id}")));
        }
    }
    let questions = checks.iter().map(|check| check.checked("BatchCheckItem"));
    let questions: Vec<Question<'_>> = questions.collect::<Result<_, Fault>>()?;
    let policy = store.policy(&model)?;
    let deadline = Deadline::from_now();
    let result = checks.iter().zip(&questions).map(|(check, question)| {
        let decided = match deadline.is_over() {
            true => Err(Fault::new(Code::DeadlineExceeded, "the batch took too long: ask less at one time")),
            false => decide(store, &policy, question),
        };
        let item = match decided {
            Ok(allowed) => json!({ "allowed": allowed }),
            Err(fault) => fault.item(),
        };
        (check.correlation_id.clone(), item)
    });
    let result: Map<String, Value> = result.collect();
    Ok(Answer::ok(json!({ "result": result })).by(model.id))
}

/// A question whose fields keep their rules, whatever the model says of them.
struct Question<'a> {
    key: &'a TupleBody,
    contextual: &'a [TupleBody],
    values: ContextMap,
}

impl QuestionBody {
    fn checked(&self, message: &str) -> Result<Question<'_>, Fault> {
        let required = || Fault::field(&format!("{message}.TupleKey"), "value is required");
        let key = self.tuple_key.as_ref().ok_or_else(required)?;
        key.check_question("CheckRequestTupleKey")?;
        let contextual = self.contextual_tuples.tuple_keys.as_slice();
        check_contextual(contextual)?;
        Ok(Question { key, contextual, values: context(self.context.as_ref())? })
    }
}

fn decide(store: &AnyStore<'_>, policy: &Arc<Policy>, question: &Question<'_>) -> Result<bool, Fault> {
    let Question { key, contextual, values } = question;
    let user = known_user(policy.model(), &key.user)?;
    let (relation, object) = target(policy.model(), &key.relation, &key.object)?;
    let policy = overlaid(policy, contextual, Asking::Check)?;
    Ok(policy.check(&user, &relation, &object, &asked(values, store.now()))?)
}

/// A user of a type, and of a relation, that the model has.
pub(super) fn known_user(model: &Model, text: &str) -> Result<User, Fault> {
    let user: User = text.parse()?;
    let (user_type, relation) = match &user {
        User::Object(object) => (object.type_name(), None),
        User::Wildcard(user_type) => (user_type.as_str(), None),
        User::Userset(object, relation) => (object.type_name(), Some(relation)),
    };
    if !model.has_type(user_type) {
        return Err(CheckError::UnknownType(user_type.to_owned()).into());
    }
    match relation.filter(|relation| !model.has_relation(user_type, relation.as_str())) {
        Some(unknown) => Err(CheckError::UnknownRelation(user_type.to_owned(), unknown.to_string()).into()),
        None => Ok(user),
    }
}

/// A relation and an object of a type that has it.
pub(super) fn target(model: &Model, relation: &str, object: &str) -> Result<(RelationName, Entity), Fault> {
    let object: Entity = object.parse().map_err(InvalidTuple::Object)?;
    let relation: RelationName = relation.parse().map_err(InvalidTuple::Relation)?;
    if !model.has_type(object.type_name()) {
        return Err(CheckError::UnknownType(object.type_name().to_owned()).into());
    }
    if !model.has_relation(object.type_name(), relation.as_str()) {
        return Err(CheckError::UnknownRelation(object.type_name().to_owned(), relation.to_string()).into());
    }
    Ok((relation, object))
}

/// Refuses contextual tuples that are too many, or have a text that cannot be right.
fn check_contextual(tuples: &[TupleBody]) -> Result<(), Fault> {
    if tuples.len() > MOST_CONTEXTUAL {
        let rule = format!("value must contain no more than {MOST_CONTEXTUAL} item(s)");
        return Err(Fault::field("ContextualTupleKeys.TupleKeys", &rule));
    }
    tuples.iter().try_for_each(|tuple| tuple.check_tuple("TupleKey"))
}

/// The policy with the contextual tuples of a question, if it has any.
pub(super) fn overlaid(policy: &Arc<Policy>, tuples: &[TupleBody], asking: Asking) -> Result<Arc<Policy>, Fault> {
    if tuples.is_empty() {
        return Ok(Arc::clone(policy));
    }
    check_contextual(tuples)?;
    let refused = |tuple: &TupleBody, is_of_condition: bool, problem: &dyn Display| {
        let code = match asking {
            Asking::Assertion => Code::ValidationError,
            Asking::List if is_of_condition => Code::ValidationError,
            Asking::Check | Asking::List => Code::InvalidTuple,
        };
        Fault::new(code, format!("Invalid tuple '{}'. Reason: {problem}", tuple.shown()))
    };
    let texts = tuples.iter().map(|tuple| {
        if tuple.has_control() {
            return Err(refused(tuple, true, &CONTROL));
        }
        Ok((tuple.text(), tuple.carried()?))
    });
    let texts: Vec<_> = texts.collect::<Result<_, Fault>>()?;
    let overlaid = policy.with_contextual(&texts).map_err(|invalid| {
        let unknown = TupleBody::default();
        let tuple = tuples.get(invalid.position).unwrap_or(&unknown);
        refused(tuple, invalid.problem.is_of_condition(), &invalid.problem)
    })?;
    Ok(Arc::new(overlaid))
}
