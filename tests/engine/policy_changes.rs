//! Policies with some tuples changed, and tuples that carry conditions.

use std::sync::Arc;

use portcullis::policy::{
    Added, CheckError, ConditionError, GraphBuilder, Policy, PolicySettings, RequestContext, TupleChange,
    TupleCondition, TupleText,
};

use super::policy::{CRM, CRM_TUPLES, ask, entity, model, name, policy};

fn missing() -> CheckError {
    let condition = "in_office".parse().unwrap();
    CheckError::Condition(ConditionError::Missing { condition, parameters: vec!["hour".to_owned()] })
}

#[test]
fn a_tuple_whose_condition_cannot_be_evaluated_is_no_answer() {
    let text = "model
  schema 1.1
type user
type group
  relations
    define member: [user, user with in_office]
type folder
  relations
    define viewer: [user]
type document
  relations
    define parent: [folder, folder with in_office]
    define blocked: [user, user with in_office]
    define viewer: [user, user with in_office, group#member, group#member with in_office] or viewer from parent
    define open: viewer but not blocked
condition in_office(hour: int) {
  hour >= 8
}
";
    let mut builder = GraphBuilder::new(Arc::new(model(text)));
    let mut add = |tuple: &str, is_conditional: bool| {
        let [user, relation, object] = tuple.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{tuple}") };
        let condition = TupleCondition { name: "in_office".parse().unwrap(), context: "".into() };
        let added = match is_conditional {
            true => builder.add_with(TupleText { user, relation, object }, Some(condition)),
            false => builder.add(user, relation, object),
        };
        assert_eq!(added, Ok(Added::Stored), "{tuple}");
    };
    add("user:erin member group:1", false);
    add("user:erin viewer folder:1", false);
    add("user:erin viewer document:direct", true);
    add("group:1#member viewer document:userset", true);
    add("folder:1 parent document:tupleset", true);
    for group in 1..10 {
        add(&format!("group:{group}#member viewer document:wide"), group == 1);
    }
    add("user:erin viewer document:either", true);
    add("group:1#member viewer document:either", false);
    add("user:erin viewer document:blocked", false);
    add("user:erin blocked document:blocked", true);
    let policy = Policy::new(builder.finish(), PolicySettings::default());
    let context = RequestContext::default();
    for object in ["direct", "userset", "tupleset", "wide"] {
        let question = format!("user:erin viewer document:{object}");
        assert_eq!(ask(&policy, &question), Err(missing()), "{object}");
        let explained = policy.explain(
            &"user:erin".parse().unwrap(),
            &name("viewer"),
            &entity(&format!("document:{object}")),
            &context,
        );
        assert_eq!(explained.unwrap().answer().name(), "undecided");
    }
    assert_eq!(ask(&policy, "group:1#member viewer document:userset"), Err(missing()));
    assert_eq!(ask(&policy, "user:erin viewer document:either"), Ok(true));
    assert_eq!(ask(&policy, "user:erin open document:blocked"), Err(missing()));
    assert_eq!(ask(&policy, "user:anne viewer document:direct"), Ok(false));
}

#[test]
fn a_grant_and_its_revocation_are_policies_beside_the_one_before() {
    let before = policy(CRM, CRM_TUPLES);
    let tuple = TupleText { user: "user:anne", relation: "owner", object: "account:new" };
    let (granted, counts) = before.with_changes([TupleChange::Write(tuple, None)]).unwrap();
    assert_eq!((counts.written, counts.repeated), (1, 0));
    let (revoked, counts) = granted.with_changes([TupleChange::Delete(tuple), TupleChange::Delete(tuple)]).unwrap();
    assert_eq!((counts.deleted, counts.missing), (1, 1));
    for (policy, expected) in [(&before, false), (&granted, true), (&revoked, false), (&granted.compacted(), true)] {
        assert_eq!(ask(policy, "user:anne can_delete account:new"), Ok(expected));
        assert_eq!(ask(policy, "user:erin can_delete account:A-100"), Ok(true));
    }
    assert!(!granted.needs_compaction());
}

/// What was too deep by one way may be near enough by another, whichever is gone first.
#[test]
fn what_lies_too_deep_is_looked_at_again_where_it_lies_nearer() {
    let text = "model
  schema 1.1
type user
type group
  relations
    define member: [user, group#member, group#member with in_office]
condition in_office(hour: int) {
  hour >= 8
}
";
    let mut long: Vec<(String, String)> = (1..24).map(|n| (format!("c{n}"), format!("c{}", n - 1))).collect();
    long.push(("near".to_owned(), "c23".to_owned()));
    let short = [("near".to_owned(), "c0".to_owned())];
    let below = [("last".to_owned(), "near".to_owned())];
    for order in [[&long[..], &short, &below], [&short, &long[..], &below]] {
        let mut builder = GraphBuilder::new(Arc::new(model(text)));
        for (inner, outer) in order.concat() {
            builder.add(&format!("group:{inner}#member"), "member", &format!("group:{outer}")).unwrap();
        }
        builder.add("user:erin", "member", "group:last").unwrap();
        // With a condition among them, the tuples are not followed as plain unions are.
        let condition = TupleCondition { name: "in_office".parse().unwrap(), context: "{\"hour\": 9}".into() };
        let tuple = TupleText { user: "group:other#member", relation: "member", object: "group:c0" };
        builder.add_with(tuple, Some(condition)).unwrap();
        let graph = builder.finish();
        for steps_before_memory in [0, u32::MAX] {
            let policy =
                Policy::new(graph.clone(), PolicySettings { steps_before_memory, ..PolicySettings::default() });
            assert_eq!(ask(&policy, "user:erin member group:c0"), Ok(true));
            assert_eq!(ask(&policy, "user:anne member group:c0"), Err(CheckError::DepthExceeded));
        }
    }
}

#[test]
fn of_two_contextual_tuples_the_first_counts() {
    let text = "model
  schema 1.1
type user
type document
  relations
    define viewer: [user with in_office]
condition in_office(hour: int) {
  hour >= 8
}
";
    let policy = policy(text, &[]);
    let tuple = TupleText { user: "user:erin", relation: "viewer", object: "document:1" };
    let at = |hour: u8| {
        let context = format!("{{\"hour\": {hour}}}").as_str().into();
        (tuple, Some(TupleCondition { name: "in_office".parse().unwrap(), context }))
    };
    for (given, expected) in [([at(9), at(7)], true), ([at(7), at(9)], false)] {
        let overlaid = policy.with_contextual(&given).unwrap();
        assert_eq!(ask(&overlaid, "user:erin viewer document:1"), Ok(expected));
    }
}

#[test]
fn an_error_of_the_users_tuple_is_not_a_no_because_everybodys_says_no() {
    let text = "model
  schema 1.1
type user
type document
  relations
    define viewer: [user]
    define blocked: [user with in_office, user:* with in_office]
    define can_read: viewer but not blocked
condition in_office(hour: int) {
  hour >= 8
}
";
    let mut builder = GraphBuilder::new(Arc::new(model(text)));
    builder.add("user:erin", "viewer", "document:1").unwrap();
    for (user, context) in [("user:erin", ""), ("user:*", "{\"hour\": 7}")] {
        let condition = TupleCondition { name: "in_office".parse().unwrap(), context: context.into() };
        let tuple = TupleText { user, relation: "blocked", object: "document:1" };
        builder.add_with(tuple, Some(condition)).unwrap();
    }
    let policy = Policy::new(builder.finish(), PolicySettings::default());
    assert_eq!(ask(&policy, "user:erin blocked document:1"), Err(missing()));
    assert_eq!(ask(&policy, "user:erin can_read document:1"), Err(missing()));
}

#[test]
fn an_error_beside_a_cycle_does_not_deny_what_is_false_without_both() {
    let text = "model
  schema 1.1
type user
type document
  relations
    define parent: [document]
    define doubtful: [user with in_office]
    define viewer: [user] but not blocked
    define reported: [user]
    define blocked: ([user] but not (viewer from parent or doubtful)) and (reported or blocked from parent)
condition in_office(hour: int) {
  hour >= 8
}
";
    let mut builder = GraphBuilder::new(Arc::new(model(text)));
    builder.add("document:1", "parent", "document:1").unwrap();
    for relation in ["viewer", "blocked"] {
        builder.add("user:erin", relation, "document:1").unwrap();
    }
    let condition = TupleCondition { name: "in_office".parse().unwrap(), context: "".into() };
    let tuple = TupleText { user: "user:erin", relation: "doubtful", object: "document:1" };
    builder.add_with(tuple, Some(condition)).unwrap();
    let policy = Policy::new(builder.finish(), PolicySettings::default());
    // Nobody has reported her, and no document but itself is its parent: whoever may be doubtful, she is not blocked.
    assert_eq!(ask(&policy, "user:erin blocked document:1"), Ok(false));
    assert_eq!(ask(&policy, "user:erin viewer document:1"), Ok(true));
}
