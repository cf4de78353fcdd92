//! Decisions of the policy engine: scenario files, and what no file can say.

use std::{fs, ops::ControlFlow, path::Path, sync::Arc};

use portcullis::{
    access::{Access, ActorMode, Entity, Principal, Reason, RelationName},
    compile,
    policy::{
        CheckError, Denial, GraphBuilder, Interrupt, Model, ObjectsQuestion, Permit, Policy, PolicySettings,
        RequestContext, Searched, SetAsideReason, TaskRule,
    },
};

pub(crate) fn model(text: &str) -> Model {
    compile::model(&Arc::from("model.fga"), text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn graph_of(text: &str, tuples: &[&str], settings: PolicySettings) -> Policy {
    let mut builder = GraphBuilder::new(Arc::new(model(text)));
    for tuple in tuples {
        let [user, relation, object] = tuple.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("`{tuple}` is not a tuple");
        };
        builder.add(user, relation, object).unwrap_or_else(|error| panic!("{tuple}: {error}"));
    }
    Policy::new(builder.finish(), settings)
}

pub(crate) fn policy(text: &str, tuples: &[&str]) -> Policy {
    graph_of(text, tuples, PolicySettings::default())
}

pub(crate) fn entity(text: &str) -> Entity {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> RelationName {
    text.parse().unwrap()
}

pub(crate) fn ask(policy: &Policy, question: &str) -> Result<bool, CheckError> {
    let [user, relation, object] = question.split_whitespace().collect::<Vec<_>>()[..] else {
        panic!("`{question}` is not a question");
    };
    policy.check(&user.parse().unwrap(), &name(relation), &entity(object), &RequestContext::default())
}

/// A scenario has three parts with `---` between them: a model, tuples, and questions after their answers.
fn scenario(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    let [text, tuples, questions] = text.split("\n---\n").collect::<Vec<_>>()[..] else {
        panic!("{}: three parts are needed", path.display());
    };
    let lines = |part: &str| -> Vec<String> {
        let code = part.lines().map(|line| line.split('%').next().unwrap_or_default().trim().to_owned());
        code.filter(|line| !line.is_empty()).collect()
    };
    let tuples = lines(tuples);
    let policy = policy(text, &tuples.iter().map(String::as_str).collect::<Vec<_>>());
    for line in lines(questions) {
        let (answer, question) = line.split_once(' ').unwrap();
        let found = match ask(&policy, question) {
            Ok(true) => "yes".to_owned(),
            Ok(false) => "no".to_owned(),
            Err(error) => error.reason().name().to_owned(),
        };
        assert_eq!(found, answer, "{}: {question}", path.display());
        explanation_agrees(&policy, question, &found);
    }
}

fn explanation_agrees(policy: &Policy, question: &str, answer: &str) {
    let parts: Vec<_> = question.split_whitespace().collect();
    match policy.explain(&parts[0].parse().unwrap(), &name(parts[1]), &entity(parts[2]), &RequestContext::default()) {
        Ok(explanation) => {
            let expected = if matches!(answer, "yes" | "no") { answer } else { "undecided" };
            assert_eq!(explanation.answer().name(), expected, "{question}\n{explanation}");
        }
        Err(error) => assert_eq!(error.reason().name(), answer),
    }
}

#[test]
fn every_scenario_has_its_answers() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/model");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "scenario") {
            scenario(&path);
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} scenarios");
}

pub(crate) const CRM: &str = "model
  schema 1.1
type user
type agent
type task
  relations
    define holder: [user, agent]
type account
  relations
    define owner: [user, agent, task]
    define viewer: [user, agent, task]
    define can_read: viewer or owner
    define can_delete: owner
";

pub(crate) const CRM_TUPLES: &[&str] = &[
    "user:erin owner account:A-100",
    "agent:sales viewer account:A-100",
    "agent:ops owner account:A-100",
    "task:t-1 viewer account:A-100",
    "user:erin holder task:t-1",
    "agent:sales holder task:t-1",
    "task:t-2 viewer account:A-100",
    "user:erin holder task:t-2",
];

fn crm() -> Policy {
    graph_of(CRM, CRM_TUPLES, PolicySettings { task_holder: Some(name("holder")), ..PolicySettings::default() })
}

fn chain(members: &[&str], task: Option<&str>) -> Arc<Principal> {
    let mut members = members.iter().map(|member| entity(member));
    let subject = members.next().unwrap();
    Arc::new(Principal::new(subject, members.collect(), task.map(entity), ActorMode::All))
}

fn access(action: &str, resource: &str) -> Access {
    Access { action: name(action), resource: entity(resource) }
}

fn authorize(
    policy: &Policy,
    principal: &Arc<Principal>,
    accesses: &[Access],
    task: TaskRule,
) -> Result<Permit, Denial> {
    policy.authorize(principal, accesses.to_vec(), task, &RequestContext::default())
}

fn refusal(members: &[&str], task: Option<&str>, action: &str) -> Option<(Reason, Option<String>)> {
    let result = authorize(&crm(), &chain(members, task), &[access(action, "account:A-100")], TaskRule::Optional);
    result.err().map(|denial| (denial.reason, denial.member.map(|member| member.to_string())))
}

#[test]
fn a_chain_may_do_only_what_every_member_may() {
    let refused = |member: &str| Some((Reason::NotPermitted, Some(member.to_owned())));
    assert_eq!(refusal(&["user:erin"], None, "can_delete"), None);
    assert_eq!(refusal(&["user:erin", "agent:sales"], None, "can_read"), None);
    assert_eq!(refusal(&["user:erin", "agent:sales"], None, "can_delete"), refused("agent:sales"));
    assert_eq!(refusal(&["user:mallory", "agent:ops"], None, "can_delete"), refused("user:mallory"));
    assert_eq!(refusal(&["user:erin", "agent:ops", "agent:sales"], None, "can_delete"), refused("agent:sales"));
}

#[test]
fn the_first_refused_member_is_named() {
    let first = Some((Reason::NotPermitted, Some("user:mallory".to_owned())));
    assert_eq!(refusal(&["user:mallory", "agent:unknown"], None, "can_read"), first);
}

#[test]
fn a_permit_says_what_it_is_for() {
    let principal = chain(&["user:erin", "agent:sales"], None);
    let accesses = [access("can_read", "account:A-100")];
    let permit = authorize(&crm(), &principal, &accesses, TaskRule::Optional).unwrap();
    assert!(Arc::ptr_eq(permit.principal(), &principal));
    assert_eq!(permit.accesses(), accesses);
}

#[test]
fn every_access_must_be_permitted() {
    let accesses = [access("can_read", "account:A-100"), access("can_read", "account:A-200")];
    let denial = authorize(&crm(), &chain(&["user:erin"], None), &accesses, TaskRule::Optional).unwrap_err();
    assert_eq!((denial.reason, denial.access), (Reason::NotPermitted, Some(accesses[1].clone())));
    let denial = authorize(&crm(), &chain(&["user:erin"], None), &[], TaskRule::Optional).unwrap_err();
    assert_eq!(denial.reason, Reason::NotPermitted);
}

#[test]
fn names_that_the_model_does_not_know_are_denied_with_their_reason() {
    let reason = |action, resource, member| {
        let denial = authorize(&crm(), &chain(&[member], None), &[access(action, resource)], TaskRule::Optional);
        denial.unwrap_err().reason
    };
    assert_eq!(reason("can_read", "invoice:1", "user:erin"), Reason::UnknownType);
    assert_eq!(reason("can_read", "account:A-100", "robot:1"), Reason::UnknownType);
    assert_eq!(reason("can_fly", "account:A-100", "user:erin"), Reason::UnknownRelation);
}

#[test]
fn a_task_narrows_and_belongs_to_its_holders() {
    let both = ["user:erin", "agent:sales"];
    assert_eq!(refusal(&both, Some("task:t-1"), "can_read"), None);
    let task = Some((Reason::NotPermitted, Some("task:t-1".to_owned())));
    assert_eq!(refusal(&["user:erin"], Some("task:t-1"), "can_delete"), task);
    let sales = Some((Reason::NotTaskHolder, Some("agent:sales".to_owned())));
    assert_eq!(refusal(&both, Some("task:t-2"), "can_read"), sales);
    let erin = Some((Reason::NotTaskHolder, Some("user:erin".to_owned())));
    assert_eq!(refusal(&both, Some("task:t-9"), "can_read"), erin);
}

#[test]
fn a_route_may_require_a_task() {
    let accesses = [access("can_read", "account:A-100")];
    let reason = |task| {
        let principal = chain(&["user:erin", "agent:sales"], task);
        authorize(&crm(), &principal, &accesses, TaskRule::Required).err().map(|denial| denial.reason)
    };
    assert_eq!(reason(None), Some(Reason::TaskRequired));
    assert_eq!(reason(Some("task:t-1")), None);
}

#[test]
fn a_task_without_a_configured_holder_is_denied() {
    let policy = policy(CRM, CRM_TUPLES);
    let principal = chain(&["user:erin", "agent:sales"], Some("task:t-1"));
    let denial = authorize(&policy, &principal, &[access("can_read", "account:A-100")], TaskRule::Optional);
    assert_eq!(denial.unwrap_err().reason, Reason::NotTaskHolder);
}

const GROUPS: &str = "model
  schema 1.1
type user
type group
  relations
    define member: [user, group#member]
type document
  relations
    define viewer: [user, group#member]
    define blocked: [user, group#member]
    define open: [user] but not blocked
";

/// `group:0` holds `group:1` holds … holds `user:erin`.
fn nested_groups(levels: usize) -> Policy {
    let mut tuples: Vec<String> = (1..levels).map(|n| format!("group:{n}#member member group:{}", n - 1)).collect();
    tuples.push(format!("user:erin member group:{}", levels - 1));
    tuples.push("group:0#member viewer document:1".to_owned());
    tuples.push("group:0#member blocked document:1".to_owned());
    tuples.push("user:erin open document:1".to_owned());
    tuples.push("user:anne open document:1".to_owned());
    policy(GROUPS, &tuples.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn twenty_four_hops_are_followed_and_twenty_five_are_an_error() {
    assert_eq!(ask(&nested_groups(24), "user:erin viewer document:1"), Ok(true));
    assert_eq!(ask(&nested_groups(24), "user:anne viewer document:1"), Ok(false));
    assert_eq!(ask(&nested_groups(25), "user:erin viewer document:1"), Err(CheckError::DepthExceeded));
    assert_eq!(ask(&nested_groups(25), "user:anne viewer document:1"), Err(CheckError::DepthExceeded));
}

#[test]
fn a_stored_userset_is_the_user_without_a_hop() {
    assert_eq!(ask(&nested_groups(25), "group:24#member viewer document:1"), Ok(true));
    assert_eq!(ask(&nested_groups(26), "group:25#member viewer document:1"), Err(CheckError::DepthExceeded));
}

#[test]
fn an_error_in_what_is_subtracted_is_not_a_no() {
    assert_eq!(ask(&nested_groups(24), "user:anne open document:1"), Ok(true));
    assert_eq!(ask(&nested_groups(24), "user:erin open document:1"), Ok(false));
    assert_eq!(ask(&nested_groups(25), "user:anne open document:1"), Err(CheckError::DepthExceeded));
}

#[test]
fn a_chain_of_computed_relations_is_free() {
    let mut text = "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define r0: [user]\n".to_owned();
    (1..=100).for_each(|n| text.push_str(&format!("    define r{n}: r{}\n", n - 1)));
    let policy = policy(&text, &["user:erin r0 document:1"]);
    assert_eq!(ask(&policy, "user:erin r100 document:1"), Ok(true));
    assert_eq!(ask(&policy, "user:anne r100 document:1"), Ok(false));
}

#[test]
fn an_endless_chain_of_computed_relations_does_not_end_the_stack() {
    let mut text = "model\n  schema 1.1\ntype user\ntype document\n  relations\n    define r0: [user]\n".to_owned();
    (1..=9000).for_each(|n| text.push_str(&format!("    define r{n}: r{}\n", n - 1)));
    let policy = policy(&text, &["user:erin r0 document:1"]);
    assert_eq!(ask(&policy, "user:erin r9000 document:1"), Err(CheckError::DepthExceeded));
}

#[test]
fn a_relation_that_openfga_takes_for_a_loop_is_refused() {
    // There is a way in by `c`, but OpenFGA has seen `e` by then.
    let text = "model\n  schema 1.1\ntype user\ntype group\n  relations\n    define member: [user]\ntype document
  relations
    define r: a
    define a: c and d
    define c: e
    define d: e
    define e: [group#member]\n";
    let problems = compile::model(&Arc::from("model.fga"), text).unwrap_err();
    assert!(problems[0].to_string().contains("OpenFGA sees no tuple lead into it"), "{problems:?}");
    policy(&text.replace("[group#member]", "[user]"), &[]);
}

#[test]
fn too_many_steps_are_an_error() {
    let settings = PolicySettings { most_steps: 50, ..PolicySettings::default() };
    let tuples: Vec<String> = (0..100).map(|n| format!("group:{n}#member viewer document:1")).collect();
    let policy = graph_of(GROUPS, &tuples.iter().map(String::as_str).collect::<Vec<_>>(), settings);
    assert_eq!(ask(&policy, "user:erin viewer document:1"), Err(CheckError::StepsExceeded));
}

#[test]
fn groups_that_all_hold_one_another_are_searched_once() {
    let mut tuples = vec!["group:0#member viewer document:1".to_owned(), "user:erin member group:19".to_owned()];
    for (left, right) in (0..20).flat_map(|left| (0..20).map(move |right| (left, right))) {
        tuples.push(format!("group:{left}#member member group:{right}"));
    }
    tuples.push("group:0#member blocked document:1".to_owned());
    tuples.push("user:anne open document:1".to_owned());
    let policy = policy(GROUPS, &tuples.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ask(&policy, "user:erin viewer document:1"), Ok(true));
    assert_eq!(ask(&policy, "user:anne viewer document:1"), Ok(false));
    assert_eq!(ask(&policy, "user:anne open document:1"), Ok(true));
}

#[test]
fn a_document_of_many_groups_is_searched_from_the_user() {
    let text = GROUPS.replace("[user, group#member]\ntype", "[user, user:*]\ntype");
    for with_everybody in [false, true] {
        let mut tuples: Vec<String> = (0..50).map(|n| format!("group:{n}#member viewer document:1")).collect();
        tuples.push("user:erin member group:49".to_owned());
        tuples.extend(with_everybody.then(|| "user:* member group:25".to_owned()));
        let policy = policy(&text, &tuples.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(ask(&policy, "user:erin viewer document:1"), Ok(true));
        assert_eq!(ask(&policy, "user:anne viewer document:1"), Ok(with_everybody));
        assert_eq!(ask(&policy, "user:* viewer document:1"), Ok(with_everybody));
        assert_eq!(ask(&policy, "group:7#member viewer document:1"), Ok(true));
        assert_eq!(ask(&policy, "group:99#member viewer document:1"), Ok(false));
    }
}

#[test]
fn tuples_that_the_model_does_not_allow_are_set_aside() {
    let mut builder = GraphBuilder::new(Arc::new(model(CRM)));
    for (user, relation, object) in [
        ("user:erin", "owner", "invoice:1"),
        ("user:erin", "can_read", "account:A-100"),
        ("user:*", "owner", "account:A-100"),
        ("user:erin", "editor", "account:A-100"),
        ("user:erin", "owner", "account:A-100"),
        ("user:erin", "owner", "account:A-100"),
    ] {
        builder.add(user, relation, object).unwrap();
    }
    assert!(builder.add("erin", "owner", "account:A-100").is_err());
    assert!(builder.add("user:erin", "own er", "account:A-100").is_err());
    let graph = builder.finish();
    let statistics = graph.statistics();
    assert_eq!((statistics.tuples, statistics.repeated, statistics.set_aside), (1, 1, 4));
    let reasons: Vec<_> = graph.set_aside().iter().map(|example| example.reason).collect();
    let (unknown, not_allowed) = (SetAsideReason::UnknownRelation, SetAsideReason::UserNotAllowed);
    assert_eq!(reasons, [SetAsideReason::UnknownType, not_allowed, not_allowed, unknown]);
    let policy = Policy::new(graph, PolicySettings::default());
    assert_eq!(ask(&policy, "user:anne owner account:A-100"), Ok(false));
}

#[test]
fn an_explanation_shows_the_tuples_of_an_allow() {
    let policy = policy(GROUPS, &["user:erin member group:eng", "group:eng#member viewer document:1"]);
    let explain = |user: &str| {
        policy
            .explain(&user.parse().unwrap(), &name("viewer"), &entity("document:1"), &RequestContext::default())
            .unwrap()
            .to_string()
    };
    let expected = "document:1 viewer user:erin: yes
└ tuple `group:eng#member viewer document:1`: yes
  └ group:eng member: yes
    └ tuple `user:erin member group:eng`: yes";
    assert_eq!(explain("user:erin"), expected);
    let expected = "document:1 viewer user:anne: no
└ any of these: no
  ├ no tuple gives `viewer` on `document:1` directly
  └ tuple `group:eng#member viewer document:1`: no
    └ group:eng member: no
      └ any of these: no
        └ no tuple gives `member` on `group:eng` directly";
    assert_eq!(explain("user:anne"), expected);
}

#[test]
fn an_explanation_shows_what_takes_an_access_away() {
    let policy = policy(GROUPS, &["user:erin open document:1", "user:erin blocked document:1"]);
    let explanation = policy
        .explain(&"user:erin".parse().unwrap(), &name("open"), &entity("document:1"), &RequestContext::default())
        .unwrap();
    let expected = "document:1 open user:erin: no
└ the first but not the second: no (taken away by the second)
  ├ tuple `user:erin open document:1`: yes
  └ but not document:1 blocked: yes
    └ tuple `user:erin blocked document:1`: yes";
    assert_eq!(explanation.to_string(), expected);
}

#[test]
fn a_search_for_objects_ends_when_it_is_told_to() {
    let model = "model\n  schema 1.1\ntype user\ntype note\n  relations\n    define reader: [user]\n";
    let tuples: Vec<String> = (0..3_000).map(|n| format!("user:erin reader note:{n}")).collect();
    let tuples: Vec<&str> = tuples.iter().map(String::as_str).collect();
    let policy = policy(model, &tuples);
    let (user, relation, object_type) = ("user:erin".parse().unwrap(), name("reader"), "note".parse().unwrap());
    let question = ObjectsQuestion { user: &user, relation: &relation, object_type: &object_type };
    let find = |interrupt: Interrupt, most: usize| {
        let mut found = std::collections::HashSet::new();
        let searched = policy.find_objects(question, &RequestContext::default(), interrupt, &mut |object| {
            assert!(found.insert(object), "each is told of once");
            if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        (searched.unwrap(), found.len())
    };
    assert_eq!(find(Interrupt::never(), usize::MAX), (Searched::Whole, 3_000));
    assert_eq!(find(Interrupt::never(), 10), (Searched::Enough, 10));
    let (searched, count) = find(Interrupt::when(|| true), usize::MAX);
    assert!(searched == Searched::Interrupted && count < 3_000, "{count}");
}

#[test]
fn who_cannot_reach_a_relation_is_denied_before_anything_is_evaluated() {
    let text = "model
  schema 1.1
type user
type bot
type document
  relations
    define viewer: [user, bot]
    define owner: [bot]
    define both: viewer and owner
    define only: owner but not viewer
";
    let tuples = ["user:erin viewer document:1", "bot:b viewer document:1", "bot:b owner document:1"];
    let policy = graph_of(text, &tuples, PolicySettings { most_steps: 0, ..PolicySettings::default() });
    // No user is ever an owner, and that takes no step to say.
    assert_eq!(ask(&policy, "user:erin both document:1"), Ok(false));
    assert_eq!(ask(&policy, "user:erin only document:1"), Ok(false));
    assert_eq!(ask(&policy, "bot:b both document:1"), Err(CheckError::StepsExceeded));
}

#[test]
fn among_many_groups_one_may_have_everybody() {
    let text = "model
  schema 1.1
type user
type group
  relations
    define member: [user, user:*]
type document
  relations
    define blocked: [user]
    define can_read: [group#member] but not blocked
";
    let mut tuples: Vec<String> = (0..8).map(|n| format!("group:{n}#member can_read document:narrow")).collect();
    tuples.extend((0..9).map(|n| format!("group:{n}#member can_read document:open")));
    tuples.extend(
        ["user:frank member group:7", "user:* member group:8", "user:mallory blocked document:open"].map(str::to_owned),
    );
    let policy = policy(text, &tuples.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(ask(&policy, "user:frank can_read document:narrow"), Ok(true));
    assert_eq!(ask(&policy, "user:erin can_read document:narrow"), Ok(false));
    assert_eq!(ask(&policy, "user:erin can_read document:open"), Ok(true));
    assert_eq!(ask(&policy, "user:mallory can_read document:open"), Ok(false));
}
