//! Many decisions in one request.

use serde_json::{Value, json};

use crate::{access::Reason, protocol::Json};

use super::{
    body::{Members, Question},
    decision::{Decision, Point, TOO_LATE},
    fault::Fault,
};

/// The most questions of one request.
const MOST: usize = 256;

/// How far a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Semantic {
    All,
    ToFirstDenial,
    ToFirstPermit,
}

impl Semantic {
    fn read(request: Members<'_>) -> Result<Self, Fault> {
        let written = request.object("options")?.and_then(|options| options.get("evaluations_semantic"));
        match written {
            None => Ok(Self::All),
            Some(Json::String(text)) if text == "execute_all" => Ok(Self::All),
            Some(Json::String(text)) if text == "deny_on_first_deny" => Ok(Self::ToFirstDenial),
            Some(Json::String(text)) if text == "permit_on_first_permit" => Ok(Self::ToFirstPermit),
            Some(_) => Err(Fault::invalid(
                "`options.evaluations_semantic` must be `execute_all`, `deny_on_first_deny` or `permit_on_first_permit`",
            )),
        }
    }

    fn is_last(self, decision: &Decision) -> bool {
        match self {
            Self::All => false,
            Self::ToFirstDenial => !decision.is_permitted(),
            Self::ToFirstPermit => decision.is_permitted(),
        }
    }
}

impl Point<'_> {
    /// The answer to many questions, or to one if the request has no list of them.
    pub(super) fn evaluations(self, request: Members<'_>) -> Result<Value, Fault> {
        let questions = match request.get("evaluations") {
            None => return self.evaluation(request),
            Some(Json::Array(questions)) if questions.is_empty() => return self.evaluation(request),
            Some(Json::Array(questions)) => questions,
            Some(_) => return Err(Fault::invalid("`evaluations` must be an array")),
        };
        if questions.len() > MOST {
            return Err(Fault::invalid(format!(
                "`evaluations` has more than {MOST} elements: ask in several requests"
            )));
        }
        let semantic = Semantic::read(request)?;
        // A default that is no object is wrong for all of them.
        for name in ["subject", "action", "resource", "context"] {
            request.object(name)?;
        }
        let mut answers = Vec::with_capacity(questions.len());
        for question in questions {
            let decision = if self.deadline.is_over() {
                Decision::Undecided(Reason::StepsExceeded, TOO_LATE.to_owned())
            } else {
                Members::of(question, "an element of `evaluations`")
                    .and_then(|own| self.decide(Question::with_default(own, request)))
                    .unwrap_or_else(Decision::Malformed)
            };
            answers.push(decision.document(self.revision));
            if semantic.is_last(&decision) {
                break;
            }
        }
        Ok(json!({ "evaluations": answers }))
    }

    /// The answer to one question.
    pub(super) fn evaluation(self, request: Members<'_>) -> Result<Value, Fault> {
        Ok(self.decide(Question::alone(request))?.document(self.revision))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use serde_json::json;

    use super::super::body::document;
    use super::*;
    use crate::{
        access::Revision,
        admin::deadline::Deadline,
        compile::{ModelDocument, ModelFormat},
        policy::{GraphBuilder, Policy, PolicySettings, TupleText},
    };

    #[test]
    fn what_the_time_does_not_suffice_for_is_not_permitted() {
        let text = "model\n  schema 1.1\ntype user\ntype note\n  relations\n    define reader: [user]\n";
        let model = ModelDocument::read(&"model".into(), text, ModelFormat::Dsl, &mut |_| Err(String::new())).unwrap();
        let mut builder = GraphBuilder::new(Arc::new(model.into_model()));
        builder.add_with(TupleText { user: "user:erin", relation: "reader", object: "note:n" }, None).unwrap();
        let policy = Policy::new(builder.finish(), PolicySettings::default());
        let (built_at, revision) = (SystemTime::UNIX_EPOCH.into(), Revision::new(1));
        let body = json!({
            "subject": { "type": "user", "id": "erin" }, "action": { "name": "reader" },
            "resource": { "type": "note", "id": "n" }, "evaluations": [{}],
        });
        let body = document(body.to_string().as_bytes()).unwrap();
        let answer = |deadline| {
            let point = Point { policy: &policy, revision, built_at, now: built_at, deadline };
            point.evaluations(Members::of(&body, "the body").unwrap()).unwrap()["evaluations"][0].clone()
        };
        assert_eq!(answer(Deadline::from_now())["decision"], true);
        let late = answer(Deadline::over());
        assert_eq!((&late["decision"], &late["context"]["error"]["message"]), (&json!(false), &json!(TOO_LATE)));
    }
}
