//! Collects every problem of a document.

use std::sync::Arc;

use crate::access::{Diagnostic, Place};

/// So many problems are shown in full.
const MOST_SHOWN: usize = 100;

/// The problems of one document.
#[derive(Debug)]
pub(super) struct Report {
    file: Arc<str>,
    problems: Vec<Diagnostic>,
    more: usize,
}

impl Report {
    pub(super) fn new(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), problems: Vec::new(), more: 0 }
    }

    /// Adds a problem, with advice if there is any.
    pub(super) fn add(&mut self, place: Place, message: impl Into<String>, help: Option<String>) {
        // A long model has at most some thousand problems, a long list of tuples any number.
        if self.problems.len() >= 10 * MOST_SHOWN {
            self.more += 1;
            return;
        }
        let problem = Diagnostic::new(&self.file, place, message);
        self.problems.push(match help {
            Some(help) => problem.with_help(help),
            None => problem,
        });
    }

    /// How many problems there are.
    pub(super) fn count(&self) -> usize {
        self.problems.len() + self.more
    }

    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// All problems in the order of their places; of very many only the first, and how many more there are.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.problems.sort_by_key(|problem| problem.place);
        let more = self.more + self.problems.len().saturating_sub(MOST_SHOWN);
        self.problems.truncate(MOST_SHOWN);
        if more > 0 {
            self.problems.push(Diagnostic::new(&self.file, Place::default(), format!("and {more} more problems")));
        }
        self.problems
    }
}
