//! Collects every problem of a document.

use std::sync::Arc;

use crate::access::{Diagnostic, Place};

/// So many problems are shown in full.
const MOST_SHOWN: usize = 100;

/// The problems of one document, or of several whose lines are counted as if they were one.
#[derive(Debug)]
pub(super) struct Report {
    // INVARIANT: never empty, and by the number of each file's first line.
    files: Vec<(u32, Arc<str>)>,
    // With the place within all files together.
    problems: Vec<(Place, Diagnostic)>,
    more: usize,
}

impl Report {
    pub(super) fn new(file: &Arc<str>) -> Self {
        Self { files: vec![(1, Arc::clone(file))], problems: Vec::new(), more: 0 }
    }

    /// The same files without problems.
    pub(super) fn without_problems(&self) -> Self {
        Self { files: self.files.clone(), problems: Vec::new(), more: 0 }
    }

    /// From this line on the lines are those of another file.
    pub(super) fn begin_file(&mut self, file: &Arc<str>, first_line: u32) {
        self.files.push((first_line, Arc::clone(file)));
    }

    /// Adds a problem, with advice if there is any.
    pub(super) fn add(&mut self, place: Place, message: impl Into<String>, help: Option<String>) {
        // A long model has at most some thousand problems, a long list of tuples any number.
        if self.problems.len() >= 10 * MOST_SHOWN {
            self.more += 1;
            return;
        }
        let (file, within) = self.locate(place);
        let problem = Diagnostic::new(&file, within, message);
        let problem = match help {
            Some(help) => problem.with_help(help),
            None => problem,
        };
        self.problems.push((place, problem));
    }

    /// The file that a place is in, and where in it.
    pub(super) fn locate(&self, place: Place) -> (Arc<str>, Place) {
        let file = self.files.iter().rev().find(|(first_line, _)| *first_line <= place.line);
        match file.or(self.files.first()) {
            Some((first_line, file)) if place.line > 0 => {
                (Arc::clone(file), Place { line: place.line.saturating_sub(*first_line) + 1, column: place.column })
            }
            Some((_, file)) => (Arc::clone(file), place),
            None => (Arc::default(), place),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many problems there are.
    pub(super) fn count(&self) -> usize {
        self.problems.len() + self.more
    }

    /// All problems in the order of their places; of very many only the first, and how many more there are.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        self.problems.sort_by_key(|(place, _)| *place);
        let more = self.more + self.problems.len().saturating_sub(MOST_SHOWN);
        let mut problems: Vec<_> = self.problems.into_iter().take(MOST_SHOWN).map(|(_, problem)| problem).collect();
        if more > 0
            && let Some((_, file)) = self.files.first()
        {
            problems.push(Diagnostic::new(file, Place::default(), format!("and {more} more problems")));
        }
        problems
    }
}
