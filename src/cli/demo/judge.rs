//! Whether what came of a scenario is what must come of it: for the client, the upstream and the record.

use std::fmt;

use serde_json::Value;

use super::{
    agent::Answer,
    evidence::{Evidence, Record},
    expected::{Expected, Scenario},
    upstream::Seen,
};

/// Everything that is not as expected, in words.
pub(super) fn problems(scenario: &Scenario, answer: &Answer, evidence: &Evidence) -> Vec<String> {
    let mut problems = Problems::default();
    problems.differ("status", scenario.expected.status(), answer.status);
    check_answer(scenario, answer, &mut problems);
    let seen: Vec<&Seen> = evidence.seen_of(answer.decision_id()).collect();
    match (scenario.expected.is_permitted(), seen.as_slice()) {
        (true, [seen]) => check_seen(scenario, seen, &mut problems),
        (false, []) => {}
        (_, seen) => problems.add(format!("the upstream saw it {} times", seen.len())),
    }
    let records: Vec<&Record> = evidence.records_of(answer.decision_id()).collect();
    match records.as_slice() {
        [record] => check_record(scenario, answer, record, &mut problems),
        records => problems.add(format!("it has {} records", records.len())),
    }
    problems.0
}

/// What is wrong with the records and the upstream's log as wholes, after this many requests.
pub(super) fn totals(requests: usize, evidence: &Evidence) -> Vec<String> {
    let mut problems = Problems::default();
    problems.differ("records", requests, evidence.records.len());
    let mut allowed: Vec<&str> = ids(evidence.records.iter().filter(|record| record.text("/outcome") == Some("allow")));
    let mut seen: Vec<&str> = evidence.seen.iter().map(|seen| seen.decision_id.as_str()).collect();
    allowed.sort_unstable();
    seen.sort_unstable();
    if allowed != seen {
        problems.add("the upstream's log and the records of permitted requests name different decisions".to_owned());
    }
    problems.0
}

fn ids<'a>(records: impl Iterator<Item = &'a Record>) -> Vec<&'a str> {
    records.map(Record::decision_id).collect()
}

#[derive(Debug, Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, problem: String) {
        self.0.push(problem);
    }

    fn differ<T: PartialEq + fmt::Debug + Copy>(&mut self, what: &str, expected: T, got: T) {
        if expected != got {
            self.add(format!("{what}: expected {expected:?}, got {got:?}"));
        }
    }
}

fn check_answer(scenario: &Scenario, answer: &Answer, problems: &mut Problems) {
    match scenario.expected {
        Expected::Answered(_) => {}
        Expected::Says(_, pointer, text) => {
            problems.differ(pointer, Some(text), answer.body.pointer(pointer).and_then(Value::as_str));
        }
        Expected::Lists(ids) => {
            problems.differ("items", ids, answer.items().as_slice());
            problems.differ("total", None, answer.body.get("total"));
            problems.differ("ETag", "", answer.field("etag"));
        }
        Expected::Refused(..) | Expected::Lacks(_) | Expected::Hidden(_) | Expected::Errs(..) => {
            check_problem(scenario.expected, answer, problems);
        }
    }
}

/// RFC 9457, and for 401 RFC 6750; within the error of a message, what JSON-RPC 2.0 has for such documents.
fn check_problem(expected: Expected, answer: &Answer, problems: &mut Problems) {
    let (media_type, problem) = match expected {
        Expected::Errs(..) => ("application/json", answer.body.pointer("/error/data").unwrap_or(&Value::Null)),
        _ => ("application/problem+json", &answer.body),
    };
    let text = |member: &str| problem.get(member).and_then(Value::as_str).unwrap_or_default();
    problems.differ("Content-Type", media_type, answer.field("content-type"));
    problems.differ("reason", expected.told(), text("reason"));
    problems.differ("decision_id", answer.decision_id(), text("decision_id"));
    problems.differ("revision", Some(answer.revision()), problem.get("revision").and_then(Value::as_u64));
    problems.differ("WWW-Authenticate", answer.status == 401, !answer.field("www-authenticate").is_empty());
}

fn check_seen(scenario: &Scenario, seen: &Seen, problems: &mut Problems) {
    let who = &scenario.who;
    problems.differ("the upstream's method", scenario.method, &seen.method);
    problems.differ("the upstream's target", scenario.forwarded.unwrap_or(scenario.target), &seen.target);
    problems.differ("the upstream's subject", &who.subject_entity(), &seen.subject);
    problems.differ("the upstream's actors", &who.actor_entities().join(" "), &seen.actors);
    problems.differ("the upstream's task", &who.task_entity().unwrap_or_default(), &seen.task);
    problems.differ("a credential at the upstream", false, seen.credential);
}

fn check_record(scenario: &Scenario, answer: &Answer, record: &Record, problems: &mut Problems) {
    let (who, expected) = (&scenario.who, scenario.expected);
    let outcome = if expected.is_permitted() { "allow" } else { "deny" };
    problems.differ("the recorded outcome", Some(outcome), record.text("/outcome"));
    problems.differ("the recorded reason", Some(expected.recorded()), record.text("/reason"));
    problems.differ("the recorded member", expected.member(), record.text("/denied_member"));
    problems.differ("the recorded revision", Some(answer.revision()), record.number("/revision"));
    problems.differ("the recorded status", Some(answer.status.into()), record.number("/status"));
    problems.differ("the recorded method", Some(scenario.method), record.text("/method"));
    problems.differ("the record's end", Some(&Value::Bool(true)), record.0.get("complete"));
    if expected.is_permitted() {
        let status = Some(expected.status().into());
        problems.differ("the upstream's recorded status", status, record.number("/upstream_status"));
    }
    if let Expected::Lists(ids) = expected {
        problems.differ("the recorded items", u64::try_from(ids.len()).ok(), record.number("/items/kept"));
    }
    if record.0.get("principal").is_some() {
        problems.differ("the recorded subject", Some(&*who.subject_entity()), record.text("/principal/subject"));
        let (actors, recorded) = (who.actor_entities().join(" "), record.texts("/principal/actors").join(" "));
        problems.differ("the recorded actors", &actors, &recorded);
        problems.differ("the recorded task", who.task_entity().as_deref(), record.text("/principal/task"));
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use crate::cli::demo::{expected::request, who::Who};

    use super::*;

    const ERIN: Who = Who::user("erin").via(&["helper"]);
    const PERMITTED: Scenario = request("x", ERIN, "GET", "/a").answered(200);
    const DENIED: Scenario = request("x", ERIN, "GET", "/a").lacks("agent:helper");

    fn answer(status: u16) -> Answer {
        let fields = [
            ("portcullis-decision-id", "d-1"),
            ("portcullis-revision", "4"),
            ("content-type", "application/problem+json"),
        ];
        let mut headers = HeaderMap::new();
        headers.extend(fields.map(|(name, value)| (name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())));
        let body = json!({ "reason": "not_permitted", "decision_id": "d-1", "revision": 4 });
        Answer { status, headers, body }
    }

    fn evidence(permitted: bool) -> Evidence {
        let mut record = json!({
            "decision_id": "d-1", "revision": 4, "outcome": "allow", "reason": "permitted", "method": "GET",
            "status": 200, "upstream_status": 200, "complete": true,
            "principal": { "subject": "user:erin", "actors": ["agent:helper"] },
        });
        if !permitted {
            record["outcome"] = "deny".into();
            record["reason"] = "not_permitted".into();
            record["denied_member"] = "agent:helper".into();
            record["status"] = 403.into();
        }
        let seen = Seen {
            method: "GET".to_owned(),
            target: "/a".to_owned(),
            decision_id: "d-1".to_owned(),
            subject: "user:erin".to_owned(),
            actors: "agent:helper".to_owned(),
            task: String::new(),
            credential: false,
        };
        let seen = if permitted { vec![seen] } else { Vec::new() };
        Evidence { records: vec![Record(record)], seen }
    }

    #[test]
    fn what_is_as_expected_is_no_problem() {
        assert_eq!(problems(&PERMITTED, &answer(200), &evidence(true)), [""; 0]);
        assert_eq!(problems(&DENIED, &answer(403), &evidence(false)), [""; 0]);
        assert_eq!(totals(1, &evidence(true)), [""; 0]);
    }

    #[test]
    fn a_denied_request_that_was_seen_upstream_is_a_problem() {
        let evidence = Evidence { seen: evidence(true).seen, ..evidence(false) };
        assert_eq!(problems(&DENIED, &answer(403), &evidence), ["the upstream saw it 1 times"]);
        assert_eq!(totals(1, &evidence).len(), 1);
    }

    #[test]
    fn a_permitted_request_that_was_not_seen_upstream_is_a_problem() {
        let evidence = Evidence { seen: Vec::new(), ..evidence(true) };
        assert_eq!(problems(&PERMITTED, &answer(200), &evidence), ["the upstream saw it 0 times"]);
    }

    #[test]
    fn a_request_without_its_one_record_is_a_problem() {
        let evidence = Evidence { records: Vec::new(), ..evidence(true) };
        assert_eq!(problems(&PERMITTED, &answer(200), &evidence), ["it has 0 records"]);
        assert_eq!(totals(1, &evidence).len(), 2);
    }

    #[test]
    fn another_identity_or_a_credential_upstream_is_a_problem() {
        let mut evidence = evidence(true);
        evidence.seen[0].subject = "user:dana".to_owned();
        evidence.seen[0].credential = true;
        assert_eq!(problems(&PERMITTED, &answer(200), &evidence).len(), 2);
    }

    #[test]
    fn another_reason_than_the_expected_one_is_a_problem() {
        let scenario = request("x", ERIN, "GET", "/a").refused(403, "no_route");
        // For the client, in the record, and a member where none is expected.
        assert_eq!(problems(&scenario, &answer(403), &evidence(false)).len(), 3);
    }
}
