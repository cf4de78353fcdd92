//! Answers as they come from a running proxy.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::analyze::Answered;

/// An answer, and the snapshot that it is by.
#[derive(Debug, Clone, PartialEq)]
pub struct ByRevision {
    /// The answer.
    pub answered: Answered,
    /// The revision of the snapshot.
    pub revision: u64,
    /// The time since the source last confirmed it.
    pub age: Duration,
    /// Whether it is older than its bound, so that the proxy denies every request.
    pub stale: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct AnswerBody {
    revision: u64,
    age_seconds: f64,
    stale: bool,
    holds: bool,
    document: Value,
    text: String,
    note: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ProblemBody {
    problem: String,
}

impl ByRevision {
    pub(super) fn written(self) -> Value {
        let Answered { holds, document, text, note } = self.answered;
        let age_seconds = self.age.as_secs_f64();
        let body = AnswerBody { revision: self.revision, age_seconds, stale: self.stale, holds, document, text, note };
        serde_json::to_value(body).unwrap_or_default()
    }

    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let body: AnswerBody = serde_json::from_slice(body).ok()?;
        let AnswerBody { revision, age_seconds, stale, holds, document, text, note } = body;
        let age = Duration::try_from_secs_f64(age_seconds).ok()?;
        Some(Self { answered: Answered { holds, document, text, note }, revision, age, stale })
    }
}

pub(super) fn written_problem(problem: &str) -> Value {
    serde_json::to_value(ProblemBody { problem: problem.to_owned() }).unwrap_or_default()
}

pub(super) fn read_problem(body: &[u8]) -> Option<String> {
    serde_json::from_slice(body).ok().map(|body: ProblemBody| body.problem)
}
