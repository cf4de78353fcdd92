//! Random worlds against OpenFGA itself, which `make oracle` builds from its Go module.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use portcullis::{
    access::Entity,
    compile,
    policy::{CheckError, ContextMap, Policy, PolicySettings, RequestContext, User, UserFilter},
    protocol::{JsonLimits, parse_json},
};
use serde_json::{Value, json};

use super::{
    policy_conditions_random::{Given, World},
    policy_random::Random,
    reference::Value as Naive,
    trials::minimised,
};

/// OpenFGA in a process of its own.
struct Oracle {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    fn start() -> Self {
        let program = std::env::var("PORTCULLIS_ORACLE").expect("PORTCULLIS_ORACLE names the oracle's binary");
        let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (questions, answers) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, questions, answers }
    }

    /// Why the model is refused, if it is, and the answers.
    fn ask(&mut self, model: &str, tuples: &[Value], questions: &[Value]) -> (String, Vec<Value>) {
        writeln!(self.questions, "{}", json!({ "model": model, "tuples": tuples, "questions": questions })).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let mut said: Value = serde_json::from_str(&line).unwrap();
        let answers = said["answers"].as_array_mut().map(std::mem::take).unwrap_or_default();
        (said["refused"].as_str().unwrap_or_default().to_owned(), answers)
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Models in which much refers to much, so that cycles, loops and relations without a way in are common.
fn tangled_model(dice: &mut Random) -> String {
    let (types, relations) = (1 + dice.below(3), 1 + dice.below(6));
    let mut text = "model\n  schema 1.1\ntype user\n".to_owned();
    for of in 0..types {
        text.push_str(&format!("type t{of}\n  relations\n    define p: [{}]\n", tangled_parents(dice, types)));
        for relation in 0..relations {
            text.push_str(&format!(
                "    define r{relation}: {}\n",
                tangled_rule(dice, &Range { types, relations, later: relation + 1 }, 2, true)
            ));
        }
    }
    text
}

fn tangled_parents(dice: &mut Random, types: usize) -> String {
    let parents: Vec<_> = (0..types).filter(|_| dice.one_in(2)).map(|of| format!("t{of}")).collect();
    if parents.is_empty() { "t0".to_owned() } else { parents.join(", ") }
}

/// What a rule may name.
struct Range {
    types: usize,
    relations: usize,
    // From here on computed relations do not come back.
    later: usize,
}

fn tangled_rule(dice: &mut Random, range: &Range, depth: usize, is_first: bool) -> String {
    if depth == 0 || dice.one_in(3) {
        return match dice.below(9) {
            0 | 1 if is_first => "[user]".to_owned(),
            2 if is_first => "[user:*]".to_owned(),
            3..=5 if is_first => {
                let mut userset = || format!("t{}#r{}", dice.below(range.types), dice.below(range.relations));
                let (one, other) = (userset(), userset());
                if one == other { format!("[{one}]") } else { format!("[{one}, {other}]") }
            }
            0..=6 if range.later < range.relations && !dice.one_in(30) => {
                format!("r{}", range.later + dice.below(range.relations - range.later))
            }
            0..=6 if dice.one_in(30) => format!("r{}", dice.below(range.relations)),
            _ => format!("r{} from p", dice.below(range.relations)),
        };
    }
    let sign = *dice.pick(&[" or ", " or ", " and ", " but not "]);
    let (first, second) = (tangled_rule(dice, range, depth - 1, is_first), tangled_rule(dice, range, depth - 1, false));
    let inner = |rule: String| {
        let is_plain = [" or ", " and ", " but "].iter().all(|sign| !rule.contains(sign));
        if is_plain { rule } else { format!("({rule})") }
    };
    format!("{}{sign}{}", inner(first), inner(second))
}

#[test]
#[ignore = "needs the oracle: `make oracle`"]
fn models_are_refused_where_openfga_refuses_them() {
    let mut oracle = Oracle::start();
    let (mut refused, mut differ) = (0, 0);
    let (begin, count) = (number("PORTCULLIS_SEED", 1), number("PORTCULLIS_MODELS", 20_000));
    for seed in begin..begin + count {
        let model = tangled_model(&mut Random::new(seed));
        let (theirs, _) = oracle.ask(&model, &[], &[]);
        let ours = compile::model(&"model.fga".into(), &model).err();
        refused += u64::from(!theirs.is_empty());
        if theirs.is_empty() != ours.is_none() {
            differ += 1;
            if differ <= 10 {
                println!("seed {seed}: OpenFGA says `{theirs}`, we say {ours:#?}\n{model}");
            }
        }
    }
    println!("{count} models, {refused} refused by OpenFGA, {differ} differ");
    assert_eq!(differ, 0);
    assert!(refused > count / 10 && refused < count * 9 / 10);
}

fn context(given: Given) -> Value {
    serde_json::from_str(&given.json()).unwrap()
}

fn questions(request: Given) -> Vec<Value> {
    let request = context(request);
    let users = ["user:0", "user:1", "user:new", "user:*", "bot:0", "group:0#a", "document:1#b"];
    let mut questions = Vec::new();
    for of in ["group", "document"] {
        for relation in ["a", "b", "c", "d"] {
            for user in users {
                for id in 0..3 {
                    questions.push(json!({ "kind": "check", "user": user, "relation": relation,
                        "object": format!("{of}:{id}"), "context": request }));
                }
                questions.push(json!({ "kind": "objects", "user": user, "relation": relation, "object_type": of,
                    "context": request }));
            }
            for (user_type, member) in [("user", ""), ("bot", ""), ("group", "a"), ("document", "b")] {
                questions.push(json!({ "kind": "users", "object": format!("{of}:0"), "relation": relation,
                    "user_type": user_type, "user_relation": member, "context": request }));
            }
        }
    }
    questions
}

/// An answer as the oracle writes it, without the words of a refusal.
fn answered(policy: &Policy, question: &Value) -> String {
    let text = |name: &str| question[name].as_str().unwrap();
    let values =
        ContextMap::from_json(&parse_json(question["context"].to_string().as_bytes(), JsonLimits::default()).unwrap())
            .unwrap();
    let context = RequestContext::new(&values);
    let relation = text("relation").parse().unwrap();
    let list = |found: Result<Vec<String>, CheckError>| match found {
        Ok(mut list) => {
            list.sort();
            format!("{list:?}")
        }
        Err(error) => format!("refused: {}", code(&error)),
    };
    match text("kind") {
        "check" => {
            match policy.check(&text("user").parse().unwrap(), &relation, &text("object").parse().unwrap(), &context) {
                Ok(allowed) => allowed.to_string(),
                Err(error) => format!("refused: {}", code(&error)),
            }
        }
        "objects" => {
            let found = policy.list_objects(
                &text("user").parse().unwrap(),
                &relation,
                &text("object_type").parse().unwrap(),
                &context,
                1000,
            );
            list(found.map(|found| found.iter().map(Entity::to_string).collect()))
        }
        _ => {
            let member = Some(text("user_relation")).filter(|name| !name.is_empty());
            let filter = UserFilter {
                user_type: text("user_type").parse().unwrap(),
                relation: member.map(|name| name.parse().unwrap()),
            };
            let found = policy.list_users(&text("object").parse().unwrap(), &relation, &filter, &context, 1000);
            list(found.map(|found| found.iter().map(User::to_string).collect()))
        }
    }
}

fn code(error: &CheckError) -> &'static str {
    match error {
        CheckError::UnknownType(_) | CheckError::UnknownRelation(..) | CheckError::Condition(_) => "validation_error",
        CheckError::DepthExceeded | CheckError::StepsExceeded => "authorization_model_resolution_too_complex",
    }
}

fn their_answer(answer: &Value) -> String {
    match (&answer["allowed"], &answer["refused"]) {
        (Value::Bool(allowed), _) => allowed.to_string(),
        (_, Value::String(refused)) => format!("refused: {}", refused.split(':').next().unwrap()),
        _ => {
            let list: Vec<&str> = answer["list"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            format!("{list:?}")
        }
    }
}

fn written(world: &World) -> Vec<Value> {
    let tuples = world.tuples.iter().map(|((object, relation, user), carried)| {
        let mut tuple = json!({ "user": user, "relation": relation, "object": object });
        if let Some((name, given)) = carried {
            tuple["condition"] = json!(name);
            tuple["context"] = context(*given);
        }
        tuple
    });
    tuples.collect()
}

/// How both answer one question in a world that is made as small as it can be while they differ in the same way.
fn explained(oracle: &mut Oracle, world: &World, question: &Value, [ours, theirs]: [&str; 2]) -> String {
    let oracle = std::cell::RefCell::new(oracle);
    let both = |world: &World| {
        let (_, answers) = oracle.borrow_mut().ask(&world.to_string(), &written(world), std::slice::from_ref(question));
        (answered(&world.policy(PolicySettings::default()), question), answers.first().map(their_answer))
    };
    let differs = |world: &World| {
        let (found, expected) = both(world);
        let same =
            |found: &str, before: &str| if found.starts_with('[') { before.starts_with('[') } else { found == before };
        expected.is_some_and(|expected| found != expected && same(&found, ours) && same(&expected, theirs))
    };
    let world = minimised(world.clone(), World::smaller, differs);
    let tuples: Vec<String> =
        written(&world).iter().map(|tuple| format!("  {}", tuple.to_string().replace('"', ""))).collect();
    format!("{question}\n(ours, OpenFGA's): {:?}\n{world}{}\n", both(&world), tuples.join("\n"))
}

/// Whose difference it is.
///
/// OpenFGA does not always agree with itself: what is ready first decides whether a cycle below an exclusion denies, and
/// whether the error of a condition is dropped, or what stands beside it. Its lists hold some whom its checks deny.
fn blamed(oracle: &mut Oracle, trial: &Trial<'_>, question: &Value, [ours, theirs]: [&str; 2]) -> &'static str {
    if theirs == "refused: late" {
        return "OpenFGA takes too long";
    }
    if let (Some(ours), Some(theirs)) = (listed(ours), listed(theirs)) {
        let name = if question["kind"] == "objects" { "object" } else { "user" };
        let blame = |element: &String| {
            let mut check = question.clone();
            check["kind"] = json!("check");
            check[name] = json!(element);
            let (_, answers) =
                oracle.ask(&trial.world.to_string(), &written(trial.world), std::slice::from_ref(&check));
            let (found, expected) =
                (answered(trial.policy, &check), answers.first().map(their_answer).unwrap_or_default());
            let is_ours = ours.contains(element);
            if found == expected && is_ours == (found == "true") {
                "OpenFGA's check agrees with our list"
            } else if is_ours != (found == "true") && question["kind"] == "objects" {
                "ours"
            } else {
                blamed(oracle, trial, &check, [&found, &expected])
            }
        };
        let blames: Vec<_> = ours.symmetric_difference(&theirs).map(blame).collect();
        return blames.iter().find(|blame| **blame == "ours").or(blames.first()).copied().unwrap_or("ours");
    }
    let is_refused = |answer: &str| answer.starts_with("refused");
    if question["kind"] == "check" {
        let asked = ["user", "relation", "object"].map(|name| question[name].as_str().unwrap());
        let is_right = match trial.world.answer(asked, trial.request) {
            Some(Naive::Yes) => ours == "true",
            Some(Naive::No | Naive::Cut(_)) => ours == "false",
            Some(Naive::Error) => is_refused(ours),
            None => true,
        };
        // Only what differs on purpose is blamed on OpenFGA.
        if !is_right {
            return "ours";
        }
    }
    match (is_refused(ours), is_refused(theirs)) {
        (true, true) => "both fail, differently",
        (true, false) => "we fail where OpenFGA drops an error",
        (false, true) => "OpenFGA fails for a tuple that changes nothing",
        (false, false) => {
            let [user, relation, object] = ["user", "relation", "object"].map(|name| question[name].as_str().unwrap());
            let mut agrees_without = |answer: Option<bool>| {
                let world = trial.world.without(answer, trial.request);
                let (_, answers) = oracle.ask(&world.to_string(), &written(&world), std::slice::from_ref(question));
                answers.first().map(their_answer).as_deref() == Some(ours)
            };
            // A tuple whose condition is false is as good as none, but OpenFGA may pass over another one beside it.
            if agrees_without(Some(false)) {
                "OpenFGA heeds a tuple whose condition is false"
            } else if theirs == "true" {
                "ours"
            } else if trial.world.has_cycle([user, relation, object], trial.request) {
                "OpenFGA denies for a cycle"
            // Without the tuples that it has no answer for, OpenFGA finds what is true even with them.
            } else if agrees_without(None) {
                "OpenFGA denies beside a tuple that has no answer"
            } else {
                "ours"
            }
        }
    }
}

/// One world, and how it is asked about.
struct Trial<'a> {
    world: &'a World,
    policy: &'a Policy,
    request: Given,
}

fn listed(answer: &str) -> Option<BTreeSet<String>> {
    serde_json::from_str::<Vec<String>>(answer).ok().map(|list| list.into_iter().collect())
}

#[test]
#[ignore = "needs the oracle: `make oracle`"]
fn answers_are_those_of_openfga() {
    let mut oracle = Oracle::start();
    let (begin, count) = (number("PORTCULLIS_SEED", 1), number("PORTCULLIS_WORLDS", 200));
    let mut tally = BTreeMap::<String, u64>::new();
    for seed in begin..begin + count {
        let dice = &mut Random::new(seed);
        let world = World::random(dice);
        let policy = world.policy(PolicySettings::default());
        let request = Given::random(dice);
        let asked = questions(request);
        let trial = Trial { world: &world, policy: &policy, request };
        let (refused, theirs) = oracle.ask(&world.to_string(), &written(&world), &asked);
        assert_eq!(refused, "", "seed {seed}\n{world}");
        for (question, theirs) in asked.iter().zip(&theirs) {
            let (ours, expected) = (answered(&policy, question), their_answer(theirs));
            let kind = question["kind"].as_str().unwrap();
            *tally.entry(kind.to_owned()).or_default() += 1;
            if ours != expected {
                let blamed = blamed(&mut oracle, &trial, question, [&ours, &expected]);
                let count = tally.entry(format!("{kind}: {blamed}")).or_default();
                *count += 1;
                if blamed == "ours" && *count <= number("PORTCULLIS_SHOWN", 5) {
                    println!("seed {seed}: {}", explained(&mut oracle, &world, question, [&ours, &expected]));
                }
            }
        }
    }
    println!("{tally:#?}");
    assert!(tally.keys().all(|kind| !kind.ends_with("ours")));
}
