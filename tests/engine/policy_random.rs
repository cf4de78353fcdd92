//! The engine against the naive evaluator, on random models, tuples and questions.

use std::{collections::BTreeMap, sync::Arc};

use portcullis::{
    compile,
    policy::{Answer, CheckError, Graph, GraphBuilder, Policy, PolicySettings, RequestContext, TupleChange, TupleText},
};

use super::{
    reference::{Rule, Value, Walk, World},
    trials::{Tally, Trials, minimised},
};

/// A small generator of pseudo-random numbers (SplitMix64), so that a seed makes a world for all time.
pub(crate) struct Random {
    state: u64,
    // These come first, the last at the beginning.
    given: Vec<u8>,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, given: Vec::new() }
    }

    /// Chooses by these bytes as long as there are any.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self { state: 0, given: bytes.iter().rev().copied().collect() }
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        if let Some(byte) = self.given.pop() {
            return usize::from(byte) % bound;
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

const TYPES: [&str; 5] = ["user", "bot", "group", "folder", "document"];
const WITH_RELATIONS: [&str; 3] = ["group", "folder", "document"];
const RELATIONS: [&str; 4] = ["a", "b", "c", "d"];

fn restriction(random: &mut Random) -> String {
    match random.below(9) {
        0..=3 => "user".to_owned(),
        4 => "bot".to_owned(),
        5 => (*random.pick(&["user:*", "user:*", "bot:*"])).to_owned(),
        _ => format!("{}#{}", random.pick(&WITH_RELATIONS), random.pick(&RELATIONS)),
    }
}

/// A rule made of these relations of its object and any of the parent's. Types may only be named by the first operand.
fn rule(random: &mut Random, may_be_direct: bool, siblings: &[&str], depth: usize) -> Rule {
    if depth == 0 || random.one_in(3) {
        return match random.below(6) {
            0..=3 if may_be_direct => {
                let mut allowed: Vec<_> = (0..=random.below(3)).map(|_| restriction(random)).collect();
                allowed.sort();
                allowed.dedup();
                Rule::Direct(allowed)
            }
            0..=4 if !siblings.is_empty() => Rule::Computed((*random.pick(siblings)).to_owned()),
            _ => Rule::From((*random.pick(&RELATIONS)).to_owned(), "parent".to_owned()),
        };
    }
    let first = rule(random, may_be_direct, siblings, depth - 1);
    let mut rest: Vec<_> = (0..=random.below(2)).map(|_| rule(random, false, siblings, depth - 1)).collect();
    match random.below(4) {
        0 => Rule::ButNot(Box::new(first), Box::new(rest.remove(0))),
        1 => Rule::And([vec![first], rest].concat()),
        _ => Rule::Or([vec![first], rest].concat()),
    }
}

fn model(random: &mut Random) -> World {
    let mut world = World { types: TYPES.map(str::to_owned).to_vec(), ..World::default() };
    for of in WITH_RELATIONS {
        let mut parents: Vec<_> = WITH_RELATIONS.iter().filter(|_| random.one_in(2)).map(|t| (*t).to_owned()).collect();
        if parents.is_empty() {
            parents.push("folder".to_owned());
        }
        world.rules.insert((of.to_owned(), "parent".to_owned()), Rule::Direct(parents));
        // Computed relations may not come back to themselves, so each is made of later ones.
        for (position, relation) in RELATIONS.iter().enumerate() {
            let rule = rule(random, true, &RELATIONS[position + 1..], 2);
            world.rules.insert((of.to_owned(), (*relation).to_owned()), rule);
        }
    }
    world
}

fn direct(rule: &Rule) -> Vec<String> {
    match rule {
        Rule::Direct(allowed) => allowed.clone(),
        Rule::Computed(_) | Rule::From(..) => Vec::new(),
        Rule::Or(rules) | Rule::And(rules) => rules.iter().flat_map(direct).collect(),
        Rule::ButNot(base, subtract) => [direct(base), direct(subtract)].concat(),
    }
}

fn tuples(random: &mut Random, world: &mut World) {
    let assignable: BTreeMap<_, _> =
        world.rules.iter().map(|(key, rule)| (key.clone(), direct(rule))).filter(|(_, d)| !d.is_empty()).collect();
    let keys: Vec<_> = assignable.keys().cloned().collect();
    // With more objects the rows become wide, and are searched in another way.
    let objects = *random.pick(&[3, 3, 3, 12]);
    for _ in 0..20 * (objects / 3) + random.below(60) {
        let (of, relation) = random.pick(&keys).clone();
        let allowed = random.pick(&assignable[&(of.clone(), relation.clone())]).clone();
        let user = match allowed.split_once('#') {
            Some((of, relation)) => format!("{of}:{}#{relation}", random.below(objects)),
            None if allowed.ends_with('*') => allowed,
            None => format!("{allowed}:{}", random.below(objects)),
        };
        let object = format!("{of}:{}", random.below(3));
        // OpenFGA does not store what holds by itself.
        if user != format!("{object}#{relation}") {
            world.add(user, relation, object);
        }
    }
}

/// A long chain of usersets of one type, so that some questions lie too deep.
fn chain(random: &mut Random, world: &mut World) {
    let mut links = Vec::new();
    for ((of, relation), rule) in &world.rules {
        let own_type = direct(rule).into_iter().filter(|allowed| allowed.starts_with(&format!("{of}#")));
        links.extend(own_type.map(|allowed| (of.clone(), relation.clone(), allowed)));
    }
    if let Some((of, relation, allowed)) = links.get(random.below(links.len().max(1))) {
        let member = allowed.rsplit('#').next().unwrap();
        for n in 0..30 {
            world.add(format!("{of}:{}#{member}", n + 1), relation.clone(), format!("{of}:{n}"));
        }
    }
}

/// A world's tuples and others that must go again, in random order, made into a graph by changes.
fn changed(random: &mut Random, world: &World, empty: &Graph) -> Graph {
    let mut steps = Vec::new();
    for ((object, relation), users) in &world.tuples {
        for user in users {
            let tuple = [user.clone(), relation.clone(), object.clone()];
            let (of, _) = object.split_once(':').unwrap();
            let other = [user.clone(), relation.clone(), format!("{of}:other-{}", random.below(3))];
            if random.one_in(3) && other[0] != format!("{}#{}", other[2], other[1]) {
                let at = random.below(steps.len() + 1);
                steps.insert(at, (other.clone(), true));
                steps.push((other, false));
            }
            if random.one_in(4) {
                steps.extend([(tuple.clone(), true), (tuple.clone(), false)]);
            }
            let at = random.below(steps.len() + 1);
            steps.insert(at, (tuple.clone(), random.one_in(2)));
            steps.push((tuple, true));
        }
    }
    let mut graph = empty.clone();
    for batch in steps.chunks(1 + random.below(20)) {
        let changes = batch.iter().map(|([user, relation, object], is_write)| {
            let text = TupleText { user, relation, object };
            if *is_write { TupleChange::Write(text, None) } else { TupleChange::Delete(text) }
        });
        graph = graph.with_changes(changes).unwrap().0;
        if random.one_in(8) {
            graph = graph.compacted();
        }
    }
    graph
}

/// A valid model with tuples, and how it looks to the engine: forgetful, remembering from the first step, and both again
/// after changes.
pub(crate) fn random_world(random: &mut Random) -> (World, [Policy; 4]) {
    loop {
        let mut world = model(random);
        let file = Arc::from("random.fga");
        if compile::model(&file, &world.to_string()).is_err() {
            continue;
        }
        tuples(random, &mut world);
        if random.one_in(4) {
            chain(random, &mut world);
        }
        let policies = policies(random, &world).unwrap();
        return (world, policies);
    }
}

/// The policies of a world, if the model allows all of it.
fn policies(random: &mut Random, world: &World) -> Option<[Policy; 4]> {
    let mut builder = GraphBuilder::new(Arc::new(compile::model(&Arc::from("random.fga"), &world.to_string()).ok()?));
    let empty = GraphBuilder::new(Arc::clone(builder.model())).finish();
    for ((object, relation), users) in &world.tuples {
        for user in users {
            builder.add(user, relation, object).unwrap();
        }
    }
    let graph = builder.finish();
    if graph.statistics().set_aside > 0 {
        return None;
    }
    let later = changed(random, world, &empty);
    assert_eq!(later.statistics().tuples, graph.statistics().tuples, "{world}");
    let policy = |graph: &Graph, steps_before_memory| {
        Policy::new(graph.clone(), PolicySettings { steps_before_memory, ..PolicySettings::default() })
    };
    Some([policy(&graph, u32::MAX), policy(&graph, 0), policy(&later, u32::MAX), policy(&later, 0)])
}

pub(crate) fn users() -> Vec<String> {
    let mut users: Vec<_> = ["user:0", "user:1", "user:2", "user:new", "user:*", "bot:0"].map(str::to_owned).to_vec();
    for of in WITH_RELATIONS {
        users.extend(RELATIONS.iter().take(2).map(|relation| format!("{of}:0#{relation}")));
    }
    users.push("document:9#a".to_owned());
    users
}

fn agrees(expected: Value, found: &Result<bool, CheckError>) -> bool {
    match (expected, found) {
        (Value::Yes, Ok(allowed)) => *allowed,
        (Value::No | Value::Cut(_), Ok(allowed)) => !*allowed,
        (Value::Error, Err(CheckError::DepthExceeded)) => true,
        (Value::Yes | Value::No | Value::Cut(_) | Value::Error, _) => false,
    }
}

#[derive(Default, Debug)]
struct Compared {
    checks: u64,
    yes: u64,
    errors: u64,
    skipped: u64,
}

impl Tally for Compared {
    fn add(&mut self, other: Self) {
        self.checks += other.checks;
        self.yes += other.yes;
        self.errors += other.errors;
        self.skipped += other.skipped;
    }
}

/// What the policies and the naive evaluator make of a question. Nothing if the latter takes too long.
fn compared(walk: &Walk<'_>, policies: &[Policy; 4], question: [&str; 3], explained: bool) -> Option<(Value, String)> {
    let [user, relation, object] = question;
    let expected = walk.check(relation, object, 700)?;
    let (user, action, resource) = (user.parse().unwrap(), relation.parse().unwrap(), object.parse().unwrap());
    let mut wrong = String::new();
    for (number, policy) in policies.iter().enumerate() {
        let found = policy.check(&user, &action, &resource, &RequestContext::default());
        if !agrees(expected, &found) {
            wrong.push_str(&format!("policy {number}: {expected:?} is expected, {found:?} was found\n"));
        }
        if explained {
            let told = policy.explain(&user, &action, &resource, &RequestContext::default()).unwrap().answer();
            let same = match &found {
                Ok(true) => Answer::Yes,
                Ok(false) => Answer::No,
                Err(_) => Answer::Undecided,
            };
            if told != same {
                wrong.push_str(&format!("policy {number}: {found:?} was found, {told:?} is explained\n"));
            }
        }
    }
    Some((expected, wrong))
}

/// What is wrong with the answers to some questions about a random world, if anything is.
pub(crate) fn first_difference(random: &mut Random) -> Option<String> {
    let (world, policies) = random_world(random);
    let users = users();
    let keys: Vec<_> = world.rules.keys().collect();
    (0..30).find_map(|_| {
        let (of, relation) = *random.pick(&keys);
        let (user, object) = (random.pick(&users), format!("{of}:{}", random.below(4)));
        let (_, wrong) = compared(&world.walk(user), &policies, [user, relation, &object], true)?;
        (!wrong.is_empty()).then(|| format!("{user} {relation} {object}: {wrong}{world}\n{:#?}", world.tuples))
    })
}

/// The world with one tuple less, or with one rule in place of an operator of its operands.
fn smaller(world: &World) -> Vec<World> {
    let mut worlds = Vec::new();
    for (key, users) in &world.tuples {
        for user in users {
            let mut less = world.clone();
            less.tuples.get_mut(key).unwrap().remove(user);
            worlds.push(less);
        }
    }
    for (key, rule) in &world.rules {
        let operands = match rule {
            Rule::Direct(_) | Rule::Computed(_) | Rule::From(..) => Vec::new(),
            Rule::Or(rules) | Rule::And(rules) => rules.clone(),
            Rule::ButNot(base, subtract) => vec![(**base).clone(), (**subtract).clone()],
        };
        for operand in operands {
            let mut less = world.clone();
            less.rules.insert(key.clone(), operand);
            worlds.push(less);
        }
    }
    worlds
}

/// Panics with the question, and the smallest world in which it is answered wrongly.
fn report(seed: u64, world: &World, question: [&str; 3], wrong: &str) -> ! {
    let wrong_in = |world: &World| {
        let policies = policies(&mut Random::new(seed), world)?;
        compared(&world.walk(question[0]), &policies, question, true).map(|(_, wrong)| wrong)
    };
    let world = minimised(world.clone(), smaller, |world| wrong_in(world).is_some_and(|wrong| !wrong.is_empty()));
    let still = wrong_in(&world).unwrap_or_default();
    panic!("seed {seed}: {question:?}\n{wrong}made small:\n{still}{world}\n{:#?}", world.tuples);
}

#[test]
fn the_engine_agrees_with_the_naive_evaluator() {
    let users = users();
    let trials = Trials::of(1_500);
    let tally: Compared = trials.run(|seed, tally: &mut Compared| {
        let (world, policies) = random_world(&mut Random::new(seed));
        let walks: Vec<_> = users.iter().map(|user| (user, world.walk(user))).collect();
        for (of, relation) in world.rules.keys() {
            for object in ["0", "1", "2", "9"].map(|id| format!("{of}:{id}")) {
                for (user, walk) in &walks {
                    let question = [user, relation, &object].map(String::as_str);
                    let Some((expected, wrong)) = compared(walk, &policies, question, tally.checks % 8 == 0) else {
                        tally.skipped += 1;
                        continue;
                    };
                    if !wrong.is_empty() {
                        report(seed, &world, question, &wrong);
                    }
                    tally.checks += 1;
                    tally.yes += u64::from(expected == Value::Yes);
                    tally.errors += u64::from(expected == Value::Error);
                }
            }
        }
    });
    assert!(tally.yes > tally.checks / 20, "too few yes: {tally:?}");
    assert!(trials.are_chosen() || (tally.checks > 1_000_000 && tally.errors > 100), "too few answers: {tally:?}");
}

#[test]
fn worlds_are_made_of_bytes_too() {
    for length in 0..60 {
        let bytes: Vec<u8> = (0..length * 5).map(|n| u8::try_from((n * n + 7 * length) % 251).unwrap()).collect();
        assert_eq!(first_difference(&mut Random::of_bytes(&bytes)), None);
    }
}
