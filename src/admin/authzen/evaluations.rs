//! Many decisions in one request.

use serde_json::{Value, json};

use crate::protocol::Json;

use super::{
    body::{Members, Question},
    decision::{Decision, Point},
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
            let decision = Members::of(question, "an element of `evaluations`")
                .and_then(|own| self.decide(Question::with_default(own, request)))
                .unwrap_or_else(Decision::Malformed);
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
