//! Runs the tests of a store file.

use std::{collections::HashSet, sync::Arc};

use super::finding::{Finding, QuestionKind, Reply, TestFindings};
use crate::{
    access::{Entity, Place},
    compile::{StoreAssertion, StoreCheck, StoreFile, StoreListObjects, StoreListUsers, StoreTest, StoreTuple},
    policy::{
        Added, CheckError, GraphBuilder, Placed, Policy, PolicySettings, RequestContext, TupleText, User, UserFilter,
    },
};

/// Asks every question of the tests, each test of a graph of its own.
///
/// As in OpenFGA's command line, conditions are told what the questions' contexts say and nothing else: not the time.
pub fn run_tests(store: &StoreFile) -> Vec<TestFindings> {
    store.tests.iter().zip(1..).map(|(test, number)| run(store, test, number)).collect()
}

fn run(store: &StoreFile, test: &StoreTest, number: usize) -> TestFindings {
    let name = test.name.clone().unwrap_or_else(|| format!("test {number}"));
    let (problem, findings) = match policy(store, test) {
        Ok(policy) => (None, ask(&policy, test)),
        Err(problem) => (Some(problem), Vec::new()),
    };
    TestFindings { place: test.place, name, problem, findings }
}

/// The policy with the tuples of the store and the test. Refuses a tuple that is written twice: OpenFGA does.
fn policy(store: &StoreFile, test: &StoreTest) -> Result<Policy, String> {
    let mut builder = GraphBuilder::new(Arc::clone(&store.model));
    let mut written = HashSet::new();
    for StoreTuple { tuple, condition } in store.tuples.iter().chain(&test.tuples) {
        if !written.insert(tuple) {
            return Err(format!("the tuple `{tuple}` is written twice"));
        }
        let (user, object) = (tuple.user.to_string(), tuple.object.to_string());
        let text = TupleText { user: &user, relation: tuple.relation.as_str(), object: &object };
        match builder.add_with(text, condition.clone()) {
            Ok(Added::Stored) => {}
            Ok(Added::SetAside(_)) => return Err(format!("the model does not allow the tuple `{tuple}`")),
            Err(problem) => return Err(format!("the tuple `{tuple}` is refused: {problem}")),
        }
    }
    Ok(Policy::new(builder.finish(), PolicySettings::default()))
}

fn ask(policy: &Policy, test: &StoreTest) -> Vec<Finding> {
    let mut findings = Vec::new();
    for check in &test.checks {
        ask_check(policy, check, &mut findings);
    }
    for list in &test.list_objects {
        ask_objects(policy, list, &mut findings);
    }
    for list in &test.list_users {
        ask_users(policy, list, &mut findings);
    }
    findings
}

/// Every user with every object.
fn ask_check(policy: &Policy, check: &StoreCheck, findings: &mut Vec<Finding>) {
    let context = RequestContext::new(&check.context);
    for user in &check.users {
        for object in &check.objects {
            let about = |assertion| check_one(policy, (&user.value, &object.value), assertion, &context);
            findings.extend(check.assertions.iter().map(about));
        }
    }
}

fn check_one<'p>(
    policy: &'p Policy,
    (user, object): (&User, &Entity),
    assertion: &StoreAssertion<bool>,
    context: &RequestContext<'p>,
) -> Finding {
    let relation = &assertion.relation.value;
    let got = policy.check(user, relation, object, context);
    let is_right = got.as_ref() == Ok(&assertion.expected);
    Finding {
        place: assertion.relation.place,
        kind: QuestionKind::Check,
        question: format!("{user} {relation} {object}"),
        expected: Reply::Is(assertion.expected),
        got: got.map(Reply::Is).map_err(|problem| problem.to_string()),
        explanation: if is_right { None } else { policy.explain(user, relation, object, context).ok() },
    }
}

fn ask_objects(policy: &Policy, list: &StoreListObjects, findings: &mut Vec<Finding>) {
    let context = RequestContext::new(&list.context);
    let (user, object_type) = (&list.user.value, &list.object_type.value);
    for StoreAssertion { relation, expected } in &list.assertions {
        let got = policy.list_objects(user, &relation.value, object_type, &context, usize::MAX);
        let question = format!("{user} {} {object_type}", relation.value);
        findings.push(listed((relation.place, QuestionKind::ListObjects), question, expected, got));
    }
}

fn ask_users(policy: &Policy, list: &StoreListUsers, findings: &mut Vec<Finding>) {
    // A list without a filter is refused by the reader.
    let Some(written) = list.filters.first() else { return };
    let filter = UserFilter {
        user_type: written.user_type.value.clone(),
        relation: written.relation.as_ref().map(|relation| relation.value.clone()),
    };
    let shown = filter.relation.as_ref().map(|relation| format!("#{relation}")).unwrap_or_default();
    let context = RequestContext::new(&list.context);
    let object = &list.object.value;
    for StoreAssertion { relation, expected } in &list.assertions {
        let got = policy.list_users(object, &relation.value, &filter, &context, usize::MAX);
        let question = format!("{}{shown} {} {object}", filter.user_type, relation.value);
        findings.push(listed((relation.place, QuestionKind::ListUsers), question, expected, got));
    }
}

fn listed<T: ToString>(
    (place, kind): (Place, QuestionKind),
    question: String,
    expected: &[Placed<T>],
    got: Result<Vec<T>, CheckError>,
) -> Finding {
    Finding {
        place,
        kind,
        question,
        expected: Reply::These(expected.iter().map(|name| name.value.to_string()).collect()),
        got: got
            .map(|names| Reply::These(names.iter().map(ToString::to_string).collect()))
            .map_err(|problem| problem.to_string()),
        explanation: None,
    }
}
