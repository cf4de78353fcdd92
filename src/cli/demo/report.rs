//! What came of the scenarios, as a table or as JSON.

use std::fmt;

use serde_json::{Value, json};

use crate::cli::print::table;

use super::{
    agent::Answer,
    evidence::{Evidence, Record},
    expected::Scenario,
    judge,
    once::Session,
};

/// The longest texts of the table's columns, in characters: it fits into 132.
const LONGEST_WHO: usize = 10;
const LONGEST_VIA: usize = 16;
const LONGEST_REQUEST: usize = 24;
const LONGEST_EXPECTED: usize = 25;
const LONGEST_REASON: usize = 17;

/// Every scenario with its verdict.
#[derive(Debug)]
pub(super) struct Report {
    scenarios: Vec<Line>,
    passed: usize,
    failed: usize,
}

/// One scenario.
#[derive(Debug)]
struct Line {
    scenario: &'static str,
    who: String,
    via: String,
    request: String,
    expected: String,
    got: String,
    reason: String,
    revision: u64,
    decision_id: String,
    /// The route that the record names, with its method.
    route: Option<String>,
    method: Option<String>,
    passed: bool,
    problems: Vec<String>,
}

impl Report {
    /// Compares each answer, and all of them together.
    pub(super) fn new(session: &Session, evidence: &Evidence) -> Self {
        let answers = session.answers.iter();
        let mut scenarios: Vec<Line> = answers.map(|(scenario, answer)| line(scenario, answer, evidence)).collect();
        scenarios.push(totals(session.requests, evidence));
        let passed = scenarios.iter().filter(|line| line.passed).count();
        let failed = scenarios.len() - passed;
        Self { scenarios, passed, failed }
    }

    /// The same for programs.
    pub(super) fn to_json(&self) -> Value {
        let scenarios: Vec<Value> = self.scenarios.iter().map(Line::to_json).collect();
        json!({ "scenarios": scenarios, "passed": self.passed, "failed": self.failed })
    }

    /// Whether all is as expected.
    pub(super) fn agrees(&self) -> bool {
        self.failed == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = ["SCENARIO", "WHO", "VIA", "REQUEST", "EXPECTED", "GOT", "REASON", "REV", ""];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        rows.extend(self.scenarios.iter().map(Line::cells));
        writeln!(f, "{}", table(&rows))?;
        for line in self.scenarios.iter().filter(|line| !line.passed) {
            writeln!(f, "\n{} failed:", line.scenario)?;
            line.problems.iter().try_for_each(|problem| writeln!(f, "  {problem}"))?;
        }
        write!(f, "\n{} passed, {} failed", self.passed, self.failed)
    }
}

impl Line {
    fn cells(&self) -> Vec<String> {
        let verdict = if self.passed { "ok" } else { "FAILED" };
        vec![
            self.scenario.to_owned(),
            cut(&self.who, LONGEST_WHO),
            cut(&self.via, LONGEST_VIA),
            cut_within(&self.request, LONGEST_REQUEST),
            cut(&self.expected, LONGEST_EXPECTED),
            self.got.clone(),
            // Who was denied is in what is expected.
            cut(self.reason.split(' ').next().unwrap_or_default(), LONGEST_REASON),
            if self.revision == 0 { "-".to_owned() } else { self.revision.to_string() },
            verdict.to_owned(),
        ]
    }

    fn to_json(&self) -> Value {
        json!({
            "scenario": self.scenario,
            "who": self.who,
            "via": self.via,
            "request": self.request,
            "expected": self.expected,
            "got": self.got,
            "reason": self.reason,
            "revision": self.revision,
            "decision_id": self.decision_id,
            "route": self.route,
            "method": self.method,
            "passed": self.passed,
            "problems": self.problems,
        })
    }
}

fn line(scenario: &Scenario, answer: &Answer, evidence: &Evidence) -> Line {
    let problems = judge::problems(scenario, answer, evidence);
    let record = evidence.records_of(answer.decision_id()).next();
    let body = scenario.body.map_or_else(String::new, |body| format!(" {body}"));
    let edited = if scenario.edit.is_some() { " (tuples edited)" } else { "" };
    Line {
        scenario: scenario.name,
        who: scenario.who.to_string(),
        via: scenario.who.via_text(),
        request: format!("{} {}{body}{edited}", scenario.method, scenario.target),
        expected: scenario.expected.to_string(),
        got: answer.status.to_string(),
        reason: reason(record),
        revision: answer.revision(),
        decision_id: answer.decision_id().to_owned(),
        route: record.and_then(|record| record.text("/route")).map(str::to_owned),
        method: record.and_then(|record| record.text("/method")).map(str::to_owned),
        passed: problems.is_empty(),
        problems,
    }
}

/// Not longer than that: the method, and of the rest the end, which tells more than the beginning.
fn cut_within(request: &str, longest: usize) -> String {
    let count = request.chars().count();
    let (method, rest) = request.split_once(' ').unwrap_or_default();
    if count <= longest {
        return request.to_owned();
    }
    let kept = longest.saturating_sub(method.chars().count() + 2);
    let skipped = rest.chars().count().saturating_sub(kept);
    format!("{method} …{}", rest.chars().skip(skipped).collect::<String>())
}

/// Not longer than that.
fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some(_) => text.chars().take(longest.saturating_sub(1)).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// The recorded reason, and who is behind it.
fn reason(record: Option<&Record>) -> String {
    let Some(record) = record else { return "(no record)".to_owned() };
    let reason = record.text("/reason").unwrap_or_default();
    match record.text("/denied_member") {
        Some(member) => format!("{reason} {member}"),
        None => reason.to_owned(),
    }
}

/// What only all of them together show.
fn totals(requests: usize, evidence: &Evidence) -> Line {
    let problems = judge::totals(requests, evidence);
    Line {
        scenario: "S9",
        who: "-".to_owned(),
        via: "-".to_owned(),
        request: format!("{requests} requests in all"),
        expected: format!("{requests} records"),
        got: evidence.records.len().to_string(),
        reason: format!("{} seen upstream", evidence.seen.len()),
        revision: 0,
        decision_id: String::new(),
        route: None,
        method: None,
        passed: problems.is_empty(),
        problems,
    }
}
