//! Hostile models, conditions and tuples: each is refused or ends, with the error that it should have.

use std::sync::Arc;

use portcullis::{
    access::Diagnostic,
    compile::{ModelDocument, ModelFormat, store_file},
    policy::{
        CheckError, ConditionError, ContextMap, EvaluationFault, GraphBuilder, Policy, PolicySettings, RequestContext,
        TupleCondition, TupleText,
    },
};

use super::policy::{ask, entity, model, name, policy};

fn read(text: &str, format: ModelFormat) -> Result<ModelDocument, Vec<Diagnostic>> {
    ModelDocument::read(&"model".into(), text, format, &mut |_| Err("no such file".to_owned()))
}

/// A document with one relation of this rule, through every door that takes the language.
fn refusals(rule: &str) -> [String; 2] {
    let text =
        format!("model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define b: [user]\n    define a: {rule}\n");
    let told = |problems: Vec<Diagnostic>| problems.first().map(ToString::to_string).unwrap_or_default();
    let alone = read(&text, ModelFormat::Dsl).err().map(told).unwrap_or_default();
    let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
    let store = format!("model: |\n{indented}tests: []\n");
    let stored = store_file(&"store.fga.yaml".into(), &store, &mut |_| Err("no such file".to_owned()));
    [alone, stored.err().map(told).unwrap_or_default()]
}

#[test]
fn deep_rules_are_refused() {
    for depth in [100, 10_000] {
        for said in refusals(&format!("{}b{}", "(b or (b and ".repeat(depth), "))".repeat(depth))) {
            assert!(!said.is_empty(), "{depth}");
        }
        let nested = format!(
            "{}{{\"this\":{{}}}}{}",
            "{\"union\":{\"child\":[{\"this\":{}},".repeat(depth),
            "]}}".repeat(depth)
        );
        let json = format!(
            "{{\"schema_version\":\"1.1\",\"type_definitions\":[{{\"type\":\"user\"}},{{\"type\":\"doc\",\"relations\":{{\"a\":{nested}}},\
             \"metadata\":{{\"relations\":{{\"a\":{{\"directly_related_user_types\":[{{\"type\":\"user\"}}]}}}}}}}}]}}"
        );
        assert!(read(&json, ModelFormat::Json).is_err(), "{depth}");
    }
}

#[test]
fn a_relation_without_a_way_in_is_refused() {
    for said in refusals("[doc#a]") {
        assert!(said.contains("no tuple leads into it"), "{said}");
    }
}

#[test]
fn wide_unions_are_answered_or_too_long() {
    let wide = |operands: usize| format!("b{}", " or b".repeat(operands));
    for said in refusals(&wide(1_000_000)) {
        assert!(said.contains("long"), "{said}");
    }
    let rule = wide(40_000);
    let text =
        format!("model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define b: [user]\n    define a: {rule}\n");
    let mut builder = GraphBuilder::new(Arc::new(model(&text)));
    builder.add("user:x", "b", "doc:1").unwrap();
    let policy = Policy::new(builder.finish(), PolicySettings::default());
    let ask =
        |user: &str| policy.check(&user.parse().unwrap(), &name("a"), &entity("doc:1"), &RequestContext::default());
    assert_eq!((ask("user:x"), ask("user:y")), (Ok(true), Ok(false)));
}

#[test]
fn a_condition_that_loops_without_end_has_no_answer() {
    let text = "model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define a: [user with c]
condition c(l: list<int>) {\n  l.all(x, l.all(y, l.all(z, x + y + z >= 0)))\n}\n";
    let mut builder = GraphBuilder::new(Arc::new(model(text)));
    let condition = TupleCondition { name: "c".parse().unwrap(), context: "{}".into() };
    let tuple = TupleText { user: "user:x", relation: "a", object: "doc:1" };
    builder.add_with(tuple, Some(condition)).unwrap();
    let policy = Policy::new(builder.finish(), PolicySettings::default());
    let context = |count| format!("{{\"l\": [{}]}}", vec!["1"; count].join(","));
    assert!(context(100_000).parse::<ContextMap>().is_err());
    let values: ContextMap = context(9_000).parse().unwrap();
    let found = policy.check(&"user:x".parse().unwrap(), &name("a"), &entity("doc:1"), &RequestContext::new(&values));
    let Err(CheckError::Condition(ConditionError::Failed { fault, .. })) = found else { panic!("{found:?}") };
    assert_eq!(fault, EvaluationFault::CostExceeded);
}

#[test]
fn tuples_with_long_names_are_refused() {
    let text = "model\n  schema 1.1\ntype user\ntype doc\n  relations\n    define a: [user]\n";
    let long = "x".repeat(10_000);
    let mut builder = GraphBuilder::new(Arc::new(model(text)));
    assert!(builder.add(&format!("user:{long}"), "a", "doc:1").is_err());
    assert!(builder.add("user:x", &long, "doc:1").is_err());
    assert!(builder.add("user:x", "a", &format!("doc:{long}")).is_err());
}

#[test]
fn a_hub_that_every_relation_computes_is_not_spread_without_end() {
    // Written out for each of the relations that compute it, the hub would have nine million parts.
    let spokes: String = (0..3_000).map(|n| format!("    define s{n}: [user]\n    define a{n}: hub\n")).collect();
    let hub: Vec<String> = (0..3_000).map(|n| format!("s{n}")).collect();
    let text = format!(
        "model\n  schema 1.1\ntype user\ntype doc\n  relations\n{spokes}    define hub: {}\n",
        hub.join(" or ")
    );
    let mut builder = GraphBuilder::new(Arc::new(model(&text)));
    builder.add("user:erin", "s2999", "doc:1").unwrap();
    let policy = Policy::new(builder.finish(), PolicySettings::default());
    for relation in ["a0", "a2999", "hub"] {
        let ask = |user: &str| {
            policy.check(&user.parse().unwrap(), &name(relation), &entity("doc:1"), &RequestContext::default()).unwrap()
        };
        assert!(ask("user:erin") && !ask("user:mallory"), "{relation}");
    }
}

/// Requests are worked on by threads with 2 MiB, and models come with requests.
#[test]
fn the_deepest_ways_need_a_half_of_the_stack_of_a_thread() {
    let walk = |relations: usize| {
        let mut text =
            "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define blocked: [user]\n".to_owned();
        for n in 0..relations {
            text.push_str(&format!("    define r{n}: r{} but not blocked\n", n + 1));
        }
        text.push_str(&format!("    define r{relations}: [user]\n"));
        let tuple = format!("user:erin r{relations} document:1");
        ask(&policy(&text, &[&tuple]), "user:erin r0 document:1")
    };
    let within = |relations: usize| {
        let thread = std::thread::Builder::new().stack_size(1024 * 1024).spawn(move || walk(relations));
        thread.unwrap().join().unwrap()
    };
    assert_eq!(within(499), Ok(true));
    assert_eq!(within(1_500), Err(CheckError::DepthExceeded));
}

#[test]
fn hubs_that_lead_to_one_another_are_planned_in_bounded_steps() {
    // Each hub has a way to all of them, which is a million ways for every one that looks for their ends.
    let spokes: String =
        (0..900).map(|n| format!("    define s{n}: [user:*, doc#a{n}]\n    define a{n}: hub\n")).collect();
    let hub: Vec<String> = (0..900).map(|n| format!("s{n}")).collect();
    let text = format!(
        "model\n  schema 1.1\ntype user\ntype doc\n  relations\n{spokes}    define hub: {}\n",
        hub.join(" or ")
    );
    let mut builder = GraphBuilder::new(Arc::new(model(&text)));
    builder.add("user:*", "s899", "doc:1").unwrap();
    builder.add("doc:1#a3", "s3", "doc:2").unwrap();
    let policy = Policy::new(builder.finish(), PolicySettings::default());
    let ask = |object: &str| {
        let user = "user:erin".parse().unwrap();
        policy.check(&user, &name("a0"), &entity(object), &RequestContext::default()).unwrap()
    };
    assert!(ask("doc:1") && ask("doc:2") && !ask("doc:3"));
}
