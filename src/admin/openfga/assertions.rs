//! What somebody keeps beside a model to test it by.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{protocol::Json, snapshot::Ulid};

use super::{
    answer::Answer,
    backing::AnyStore,
    body::{TupleBody, condition_json, context, filled, inner, inners, message},
    fault::Fault,
    questions::{Asking, known_user, overlaid, target},
};

/// The most assertions of a model (OpenFGA's limit).
const MOST_ASSERTIONS: usize = 100;
/// The most contextual tuples of one assertion (OpenFGA's limit).
const MOST_CONTEXTUAL: usize = 20;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WriteBody {
    #[serde(deserialize_with = "inners")]
    assertions: Vec<AssertionBody>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AssertionBody {
    #[serde(deserialize_with = "inner", alias = "tupleKey")]
    tuple_key: Option<TupleBody>,
    #[serde(deserialize_with = "filled")]
    expectation: bool,
    #[serde(deserialize_with = "inners", alias = "contextualTuples")]
    contextual_tuples: Vec<TupleBody>,
    context: Option<Json>,
}

pub(super) fn read(store: &AnyStore<'_>, model: Ulid) -> Result<Answer, Fault> {
    let model = store.model(Some(model))?.id;
    let assertions = store.assertions(model);
    Ok(Answer::ok(json!({ "authorization_model_id": model.as_str(), "assertions": assertions })).by(model))
}

pub(super) fn write(store: &AnyStore<'_>, model: Ulid, body: &[u8]) -> Result<Answer, Fault> {
    store.check_writable()?;
    let model = store.model(Some(model))?;
    let WriteBody { assertions } = message(body)?;
    if assertions.len() > MOST_ASSERTIONS {
        let rule = format!("value must contain no more than {MOST_ASSERTIONS} item(s)");
        return Err(Fault::field("WriteAssertionsRequest.Assertions", &rule));
    }
    let policy = store.policy(&model)?;
    let mut kept = Vec::with_capacity(assertions.len());
    for assertion in &assertions {
        let required = || Fault::field("Assertion.TupleKey", "value is required");
        let key = assertion.tuple_key.as_ref().ok_or_else(required)?;
        key.check_question("AssertionTupleKey")?;
        known_user(&model.model, &key.user)?;
        target(&model.model, &key.relation, &key.object)?;
        if assertion.contextual_tuples.len() > MOST_CONTEXTUAL {
            let rule = format!("value must contain no more than {MOST_CONTEXTUAL} item(s)");
            return Err(Fault::field("Assertion.ContextualTuples", &rule));
        }
        overlaid(&policy, &assertion.contextual_tuples, Asking::Assertion)?;
        context(assertion.context.as_ref())?;
        kept.push(assertion_json(key, assertion)?);
    }
    store.keep_assertions(model.id, kept.into())?;
    Ok(Answer::nothing().by(model.id))
}

fn assertion_json(key: &TupleBody, assertion: &AssertionBody) -> Result<Value, Fault> {
    let contextual = assertion.contextual_tuples.iter().map(|tuple| {
        let TupleBody { user, relation, object, .. } = tuple;
        let condition = condition_json(tuple.carried()?.as_ref());
        Ok(json!({ "user": user, "relation": relation, "object": object, "condition": condition }))
    });
    let contextual: Vec<Value> = contextual.collect::<Result<_, Fault>>()?;
    let TupleBody { user, relation, object, .. } = key;
    Ok(json!({
        "tuple_key": { "user": user, "relation": relation, "object": object },
        "expectation": assertion.expectation,
        "contextual_tuples": contextual,
        "context": assertion.context,
    }))
}
