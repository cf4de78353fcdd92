//! The walk from an object to its users, before any check looks at what it found.

use std::{cell::Cell, sync::Arc};

use super::{
    budget::{Budget, Interrupt},
    expansion::{EVERYONE, Expansion, Filter},
};
use crate::{
    access::Place,
    policy::{
        CheckError, ConditionSource, ContextMap, GraphBuilder, Model, ModelSource, ObjectsQuestion, ParameterSource,
        ParameterType, Placed, Policy, PolicySettings, RelationSource, RequestContext, RestrictionSource, Rewrite,
        Searched, Shape, TupleCondition, TupleText, TypeSource, User, UserFilter, UsersQuestion,
        check::{Circumstances, Unanswered},
    },
};

type Rule = Rewrite<Placed<crate::access::RelationName>>;

fn placed<T>(value: T) -> Placed<T> {
    Placed::new(value, Place::default())
}

fn computed(name: &str) -> Rule {
    Rewrite::Computed(placed(name.parse().unwrap()))
}

fn except(base: Rule, subtract: Rule) -> Rule {
    Rewrite::Exclusion { base: Box::new(base), subtract: Box::new(subtract) }
}

fn from(relation: &str, tupleset: &str) -> Rule {
    let [computed, tupleset] = [relation, tupleset].map(|name| placed(name.parse().unwrap()));
    Rewrite::TupleToUserset { computed, tupleset }
}

fn restriction(text: &str) -> RestrictionSource {
    let (text, condition) = match text.split_once(" with ") {
        Some((text, name)) => (text, Some(placed(name.parse().unwrap()))),
        None => (text, None),
    };
    let (of, shape) = match (text.split_once('#'), text.strip_suffix(":*")) {
        (Some((of, relation)), _) => (of, Shape::Userset(placed(relation.parse().unwrap()))),
        (None, Some(of)) => (of, Shape::Wildcard),
        (None, None) => (text, Shape::Plain),
    };
    RestrictionSource { user_type: placed(of.parse().unwrap()), shape, condition }
}

fn relation(name: &str, rewrite: Rule, restrictions: &[&str]) -> RelationSource {
    let restrictions = restrictions.iter().map(|text| restriction(text)).collect();
    RelationSource { name: placed(name.parse().unwrap()), restrictions, rewrite, origin: None }
}

fn model() -> Model {
    let of = |name: &str, relations| TypeSource { name: placed(name.parse().unwrap()), relations, origin: None };
    let both = || Rewrite::Intersection(vec![computed("a"), computed("b")]);
    let document = vec![
        relation("parent", Rewrite::Direct, &["document"]),
        relation("a", Rewrite::Direct, &["user", "user:*", "group#member", "user with small"]),
        relation("b", Rewrite::Direct, &["user", "user:*", "group#member"]),
        relation("c", Rewrite::Direct, &["user", "user:*"]),
        relation("either", Rewrite::Union(vec![computed("a"), computed("b")]), &[]),
        relation("both", both(), &[]),
        relation("only", except(computed("a"), computed("b")), &[]),
        relation("back", except(computed("a"), except(computed("b"), computed("c"))), &[]),
        relation("up", Rewrite::Union(vec![computed("a"), from("up", "parent")]), &[]),
        relation("open", except(computed("a"), computed("up")), &[]),
    ];
    let group = vec![relation("member", Rewrite::Direct, &["user", "user:*", "group#member"])];
    let small = ConditionSource {
        name: placed("small".parse().unwrap()),
        parameters: vec![ParameterSource { name: placed("x".to_owned()), kind: ParameterType::Int }],
        expression: placed("x < 2".to_owned()),
    };
    let types = vec![of("user", vec![]), of("group", group), of("document", document)];
    Model::new(ModelSource { types, conditions: vec![small], ..ModelSource::default() }).unwrap()
}

/// Tuples are `user relation object`, and `user relation object with {context}` under the condition.
fn policy(tuples: &[&str]) -> Policy {
    let mut builder = GraphBuilder::new(Arc::new(model()));
    for tuple in tuples {
        let (tuple, condition) = match tuple.split_once(" with ") {
            Some((tuple, context)) => {
                (tuple, Some(TupleCondition { name: "small".parse().unwrap(), context: context.into() }))
            }
            None => (*tuple, None),
        };
        let [user, relation, object] = tuple.split(' ').collect::<Vec<_>>()[..] else { panic!("{tuple}") };
        builder.add_with(TupleText { user, relation, object }, condition).unwrap();
    }
    let graph = builder.finish();
    assert_eq!(graph.statistics().set_aside, 0, "{:?}", graph.set_aside());
    Policy::new(graph, PolicySettings::default())
}

/// Who is found: users, or the objects of usersets for a text such as `group#member`.
fn found(policy: &Policy, filter: &str, relation: &str, object: &str) -> Result<Vec<String>, CheckError> {
    let model = policy.model();
    let (of, member) = filter.split_once('#').map_or((filter, None), |(of, member)| (of, Some(member)));
    let user_type = model.type_id(of).unwrap();
    let filter = Filter { user_type, member: member.map(|name| model.relation_id(user_type, name).unwrap()) };
    let (object_type, id) = object.split_once(':').unwrap();
    let object_type = model.type_id(object_type).unwrap();
    let node = (model.relation_id(object_type, relation).unwrap(), policy.graph().number(object_type, id).unwrap());
    let values: ContextMap = "{}".parse().unwrap();
    let context = RequestContext::new(&values);
    let circumstances = Circumstances { context: &context, unanswered: Unanswered::Fails };
    let numbers = Expansion::find(policy, circumstances, filter, node, &mut Budget::until(policy, Interrupt::never()))?;
    let text = |number| match number {
        EVERYONE => "*".to_owned(),
        number => policy.graph().entity(user_type, number).unwrap().id().to_owned(),
    };
    let mut texts: Vec<String> = numbers.into_iter().map(text).collect();
    texts.sort();
    Ok(texts)
}

#[track_caller]
fn finds(tuples: &[&str], relation: &str, expected: &[&str]) {
    let texts = found(&policy(tuples), "user", relation, "document:1").unwrap();
    assert_eq!(texts, expected, "{relation} of {tuples:?}");
}

#[test]
fn a_union_has_who_is_in_any_operand() {
    let tuples = ["user:x a document:1", "user:y b document:1", "user:* b document:1", "user:z a document:2"];
    finds(&tuples, "either", &["*", "x", "y"]);
    finds(&tuples, "a", &["x"]);
}

#[test]
fn an_intersection_has_who_is_in_every_operand_even_as_everyone() {
    let tuples = ["user:x a document:1", "user:y a document:1", "user:x b document:1", "user:z b document:1"];
    finds(&tuples, "both", &["x"]);
    finds(&["user:x a document:1", "user:* b document:1"], "both", &["x"]);
    finds(&["user:* a document:1", "user:* b document:1", "user:y b document:1"], "both", &["*", "y"]);
    finds(&["user:* a document:1", "user:x c document:1"], "both", &[]);
}

#[test]
fn an_exclusion_takes_out_who_is_subtracted() {
    finds(&["user:x a document:1", "user:y a document:1", "user:y b document:1"], "only", &["x"]);
    finds(&["user:x a document:1", "user:* b document:1"], "only", &[]);
    finds(&["user:* a document:1", "user:* b document:1"], "only", &[]);
    finds(&["user:* a document:1", "user:y a document:1", "user:y b document:1"], "only", &["*"]);
}

#[test]
fn what_is_subtracted_from_the_subtracted_comes_back() {
    let tuples = ["user:x a document:1", "user:x b document:1", "user:x c document:1"];
    finds(&tuples, "back", &["x"]);
    finds(&tuples[..2], "back", &[]);
    // Named below the second exclusion only, and in the base as everyone.
    finds(&["user:* a document:1", "user:x b document:1", "user:x c document:1"], "back", &["*", "x"]);
}

#[test]
fn groups_that_hold_one_another_are_walked_once() {
    let tuples = [
        "group:1#member a document:1",
        "group:2#member member group:1",
        "group:1#member member group:2",
        "user:x member group:2",
    ];
    finds(&tuples, "a", &["x"]);
    finds(&["document:1 parent document:2", "document:2 parent document:1", "user:x a document:2"], "up", &["x"]);
}

#[test]
fn a_cycle_below_a_subtrahend_leaves_nothing() {
    let tuples = [
        "user:x a document:1",
        "group:1#member b document:1",
        "group:2#member member group:1",
        "group:1#member member group:2",
    ];
    finds(&tuples, "only", &[]);
    finds(&tuples[..3], "only", &["x"]);
    // A cycle of parents is none in this sense (OpenFGA).
    finds(&["user:y a document:2", "user:x a document:1", "document:1 parent document:1"], "open", &[]);
}

#[test]
fn usersets_are_found_with_their_own_object() {
    let tuples = ["group:1#member a document:1", "group:2#member member group:1", "user:x member group:2"];
    let policy = policy(&tuples);
    assert_eq!(found(&policy, "group#member", "a", "document:1").unwrap(), ["1", "2"]);
    assert_eq!(found(&policy, "group#member", "member", "group:2").unwrap(), ["2"]);
    assert_eq!(found(&policy, "document#a", "either", "document:1").unwrap(), ["1"]);
    // No document is ever a member.
    assert_eq!(found(&policy, "document#a", "member", "group:1").unwrap(), [""; 0]);
}

#[test]
fn a_condition_counts_or_is_an_error_of_the_whole() {
    finds(&["user:x a document:1 with {\"x\": 1}", "user:y a document:1 with {\"x\": 2}"], "a", &["x"]);
    let missing = policy(&["user:x a document:1 with {}", "user:y a document:1"]);
    for relation in ["a", "either", "only", "up"] {
        assert!(matches!(found(&missing, "user", relation, "document:1"), Err(CheckError::Condition(_))), "{relation}");
    }
}

fn nested(groups: usize) -> Policy {
    let mut tuples: Vec<String> = (1..groups).map(|n| format!("group:{n}#member member group:{}", n - 1)).collect();
    tuples.push(format!("user:x member group:{}", groups - 1));
    policy(&tuples.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn twenty_five_relations_are_walked_and_one_more_is_an_error() {
    assert_eq!(found(&nested(25), "user", "member", "group:0").unwrap(), ["x"]);
    assert_eq!(found(&nested(26), "user", "member", "group:0"), Err(CheckError::DepthExceeded));
}

#[test]
fn a_relation_that_was_walked_is_walked_again_where_it_lies_deeper() {
    // Near to the beginning by one way, too deep by the other: the error stays.
    let mut tuples: Vec<String> = (1..23).map(|n| format!("group:{n}#member member group:{}", n - 1)).collect();
    for (outer, inner) in [("0", "s1"), ("22", "s1"), ("s1", "s2"), ("s2", "s3"), ("s3", "s4")] {
        tuples.push(format!("group:{inner}#member member group:{outer}"));
    }
    tuples.push("user:x member group:s4".to_owned());
    let deep = policy(&tuples.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(found(&deep, "user", "member", "group:0"), Err(CheckError::DepthExceeded));
}

#[test]
fn a_walk_ends_when_its_steps_are_spent() {
    let policy = nested(25);
    let settings = PolicySettings { most_steps: 20, ..PolicySettings::default() };
    let hasty = Policy::new(policy.graph().clone(), settings);
    assert_eq!(found(&hasty, "user", "member", "group:0"), Err(CheckError::StepsExceeded));
}

#[test]
fn users_that_meet_again_and_again_take_steps() {
    // Few tuples, but all users would be copied for every team.
    let members = (0..2_000).map(|n| format!("user:{n} member group:all"));
    let teams = (0..2_200)
        .flat_map(|n| [format!("group:all#member member group:team{n}"), format!("group:team{n}#member a document:1")]);
    let tuples: Vec<String> = members.chain(teams).collect();
    let policy = policy(&tuples.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(found(&policy, "user", "a", "document:1"), Err(CheckError::StepsExceeded));
}

/// A question of 5,000 users, and an interrupt that lets this many looks pass.
fn asked_until(looks: usize) -> (Vec<User>, Searched) {
    let tuples: Vec<String> = (0..5_000).map(|n| format!("user:{n} a document:1")).collect();
    let policy = policy(&tuples.iter().map(String::as_str).collect::<Vec<_>>());
    let (object, relation) = ("document:1".parse().unwrap(), "a".parse().unwrap());
    let filter = UserFilter { user_type: "user".parse().unwrap(), relation: None };
    let question = UsersQuestion { object: &object, relation: &relation, filter: &filter };
    let left = || {
        let left = Cell::new(looks);
        Interrupt::when(move || left.replace(left.get().saturating_sub(1)) == 0)
    };
    let values: ContextMap = "{}".parse().unwrap();
    let context = RequestContext::new(&values);
    let (users, searched) = policy.find_users(question, &context, left(), usize::MAX).unwrap();
    let certain = policy.list_certain_users(question, &context, left()).unwrap();
    // Where no part is an answer, there is none.
    assert_eq!(certain, (searched == Searched::Whole).then(|| users.clone()));
    (users, searched)
}

#[test]
fn an_interrupt_leaves_the_users_that_were_found() {
    assert_eq!(asked_until(0), (vec![], Searched::Interrupted));
    // It comes among the checks of those who were found on the way.
    let (users, searched) = asked_until(7);
    assert_eq!(searched, Searched::Interrupted);
    assert!(!users.is_empty() && users.len() < 5_000, "{}", users.len());
    assert!(users.is_sorted_by_key(User::to_string));
    let (users, searched) = asked_until(usize::MAX);
    assert_eq!((users.len(), searched), (5_000, Searched::Whole));
}

#[test]
fn a_list_of_objects_that_may_have_no_gaps_is_none_after_an_interrupt() {
    let tuples: Vec<String> = (0..5_000).map(|n| format!("user:x a document:{n}")).collect();
    let policy = policy(&tuples.iter().map(String::as_str).collect::<Vec<_>>());
    let (user, relation, object_type) = ("user:x".parse().unwrap(), "a".parse().unwrap(), "document".parse().unwrap());
    let question = ObjectsQuestion { user: &user, relation: &relation, object_type: &object_type };
    let values: ContextMap = "{}".parse().unwrap();
    let context = RequestContext::new(&values);
    assert_eq!(policy.list_certain_objects(question, &context, Interrupt::when(|| true)), Ok(None));
    let all = policy.list_certain_objects(question, &context, Interrupt::never()).unwrap();
    assert_eq!(all.map(|all| all.len()), Some(5_000));
}
