//! What came of store files, for people and for programs.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use crate::{
    access::{Diagnostic, Place},
    analyze::{Finding, Reply, TestFindings, explanation_document},
    cli::print::{counted, problem_as_json},
};

/// What came of one store file.
#[derive(Debug)]
pub(super) struct FileOutcome {
    pub(super) file: String,
    /// Its tests, or what is wrong with it.
    pub(super) tests: Result<Vec<TestFindings>, Vec<Diagnostic>>,
}

/// How many there are of each.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) invalid_files: usize,
    pub(super) questions: usize,
}

impl Count {
    pub(super) fn of(outcomes: &[FileOutcome]) -> Self {
        let mut count = Self::default();
        for outcome in outcomes {
            match &outcome.tests {
                Ok(tests) => {
                    let passed = tests.iter().filter(|test| test.passed()).count();
                    count.passed += passed;
                    count.failed += tests.len() - passed;
                    count.questions += tests.iter().map(|test| test.findings.len()).sum::<usize>();
                }
                Err(_) => count.invalid_files += 1,
            }
        }
        count
    }

    pub(super) fn is_good(self) -> bool {
        self.failed == 0 && self.invalid_files == 0
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed ({})", self.passed, self.failed, counted(self.questions, "question"))?;
        match self.invalid_files {
            0 => Ok(()),
            1 => f.write_str(", 1 file is not valid"),
            several => write!(f, ", {several} files are not valid"),
        }
    }
}

impl fmt::Display for FileOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tests {
            Ok(tests) => {
                let failed: Vec<_> = tests.iter().filter(|test| !test.passed()).collect();
                failed.iter().try_for_each(|test| f.write_str(&failure(&self.file, test)))?;
                let verdict = if failed.is_empty() { "ok" } else { "FAILED" };
                let questions: usize = tests.iter().map(|test| test.findings.len()).sum();
                let (tests, questions) = (counted(tests.len(), "test"), counted(questions, "question"));
                write!(f, "{verdict}  {}: {tests}, {questions}", self.file)
            }
            Err(problems) => {
                problems.iter().try_for_each(|problem| writeln!(f, "{problem}"))?;
                write!(f, "INVALID  {}", self.file)
            }
        }
    }
}

/// Everything that is wrong in a test, ready to be read.
pub(super) fn failure(file: &str, test: &TestFindings) -> String {
    let mut text = String::new();
    let at = |Place { line, column }: Place| format!("{file}:{line}:{column}: {}", test.name);
    if let Some(problem) = &test.problem {
        text += &format!("{}: {problem}\n", at(test.place));
    }
    for finding in test.findings.iter().filter(|finding| !finding.is_right()) {
        text += &format!("{}: {} `{}`\n", at(finding.place), finding.kind.name(), finding.question);
        text += &format!("  expected    {}\n", finding.expected);
        match &finding.got {
            Ok(got) => text += &format!("  got         {got}\n{}", difference(&finding.expected, got)),
            Err(problem) => text += &format!("  got         an error: {problem}\n"),
        }
        if let Some(explanation) = &finding.explanation {
            for line in explanation.to_string().lines() {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
    text
}

/// What a list lacks and what it has too much, each on a line of its own.
fn difference(expected: &Reply, got: &Reply) -> String {
    let (Reply::These(expected), Reply::These(got)) = (expected, got) else { return String::new() };
    let mut text = String::new();
    for (caption, names) in [("missing   ", expected.difference(got)), ("unexpected", got.difference(expected))] {
        let names: Vec<&str> = names.map(String::as_str).collect();
        if !names.is_empty() {
            text += &format!("  {caption}  {}\n", names.join(", "));
        }
    }
    text
}

/// The same for programs.
pub(super) fn as_json(outcomes: &[FileOutcome]) -> Value {
    let count = Count::of(outcomes);
    json!({
        "files": outcomes.iter().map(file_as_json).collect::<Vec<_>>(),
        "passed": count.passed,
        "failed": count.failed,
        "invalid_files": count.invalid_files,
        "questions": count.questions,
    })
}

fn file_as_json(outcome: &FileOutcome) -> Value {
    match &outcome.tests {
        Ok(tests) => json!({
            "file": outcome.file,
            "valid": true,
            "tests": tests.iter().map(test_as_json).collect::<Vec<_>>(),
        }),
        Err(problems) => json!({
            "file": outcome.file,
            "valid": false,
            "problems": problems.iter().map(problem_as_json).collect::<Vec<_>>(),
        }),
    }
}

fn test_as_json(test: &TestFindings) -> Value {
    json!({
        "name": test.name,
        "line": test.place.line,
        "column": test.place.column,
        "passed": test.passed(),
        "problem": test.problem,
        "questions": test.findings.iter().map(finding_as_json).collect::<Vec<_>>(),
    })
}

fn finding_as_json(finding: &Finding) -> Value {
    json!({
        "kind": finding.kind.name(),
        "question": finding.question,
        "line": finding.place.line,
        "column": finding.place.column,
        "expected": reply_as_json(&finding.expected),
        "got": finding.got.as_ref().ok().map(reply_as_json),
        "error": finding.got.as_ref().err(),
        "passed": finding.is_right(),
        "because": finding.explanation.as_ref().map(explanation_document),
    })
}

fn reply_as_json(reply: &Reply) -> Value {
    match reply {
        Reply::Is(answer) => (*answer).into(),
        Reply::These(names) => names.iter().map(String::as_str).collect(),
    }
}
