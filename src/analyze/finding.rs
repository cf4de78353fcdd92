//! What came of a question of a test.

use std::{collections::BTreeSet, fmt};

use crate::{access::Place, policy::Explanation};

/// What kind of a question it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionKind {
    /// Whether a user has a relation on an object.
    Check,
    /// Which objects a user has a relation on.
    ListObjects,
    /// Which users have a relation on an object.
    ListUsers,
}

impl QuestionKind {
    /// The key that store files have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::ListObjects => "list_objects",
            Self::ListUsers => "list_users",
        }
    }
}

/// An answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// To a check.
    Is(bool),
    /// To a list. Its order says nothing.
    These(BTreeSet<String>),
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(answer) => answer.fmt(f),
            Self::These(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                write!(f, "[{}]", names.join(", "))
            }
        }
    }
}

/// A question, its right answer, and the answer that was given.
#[derive(Debug)]
pub struct Finding {
    /// Where the right answer is written.
    pub place: Place,
    /// What kind of a question it is.
    pub kind: QuestionKind,
    /// The question, for people.
    pub question: String,
    /// The right answer.
    pub expected: Reply,
    /// The answer, or why there is none.
    pub got: Result<Reply, String>,
    /// Why a wrong answer to a check is as it is.
    pub explanation: Option<Explanation>,
}

impl Finding {
    /// Whether the answer is the right one.
    pub fn is_right(&self) -> bool {
        self.got.as_ref() == Ok(&self.expected)
    }
}

/// What came of a test.
#[derive(Debug)]
pub struct TestFindings {
    /// Where the test begins.
    pub place: Place,
    /// What it is called.
    pub name: String,
    /// Why none of its questions could be asked.
    pub problem: Option<String>,
    /// Its questions.
    pub findings: Vec<Finding>,
}

impl TestFindings {
    /// Whether every answer is the right one.
    pub fn passed(&self) -> bool {
        self.problem.is_none() && self.findings.iter().all(Finding::is_right)
    }
}
