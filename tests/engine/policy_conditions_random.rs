//! Conditions, contextual tuples and lists against a naive evaluator, on random models.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use portcullis::{
    access::{Entity, RelationName, TypeName},
    compile,
    policy::{
        CheckError, ContextMap, GraphBuilder, Interrupt, ObjectsQuestion, Policy, PolicySettings, RequestContext,
        TupleCondition, TupleText, User, UserFilter, UsersQuestion,
    },
};

use super::{
    policy_random::Random,
    reference::{Value, all, any, but_not},
    trials::{Tally, Trials},
};

const TYPES: [&str; 4] = ["user", "bot", "group", "document"];
const WITH_RELATIONS: [&str; 2] = ["group", "document"];
const RELATIONS: [&str; 4] = ["a", "b", "c", "d"];
const CONDITIONS: [&str; 3] = ["small", "either", "divides"];
const IDS: usize = 3;

/// The right side of `define`. Restrictions are texts such as `user`, `user:* with small` and `group#a`.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    Direct(Vec<String>),
    Computed(String),
    From(String),
    Or(Vec<Rule>),
    And(Vec<Rule>),
    ButNot(Box<Rule>, Box<Rule>),
}

/// The values of `x` and `y` that a tuple or a request gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Given {
    x: Option<usize>,
    y: Option<bool>,
}

/// A condition on a tuple, and the tuple's context.
type Carried = Option<(&'static str, Given)>;

/// A model and tuples by object, relation and user.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    rules: BTreeMap<(&'static str, &'static str), Rule>,
    pub(crate) tuples: BTreeMap<(String, &'static str, String), Carried>,
}

impl Given {
    pub(crate) fn random(dice: &mut Random) -> Self {
        let x = dice.below(5);
        Self { x: (x < 3).then_some(x), y: (!dice.one_in(3)).then(|| dice.one_in(2)) }
    }

    pub(crate) fn json(self) -> String {
        let x = self.x.map(|x| format!("\"x\": {x}"));
        let y = self.y.map(|y| format!("\"y\": {y}"));
        format!("{{{}}}", [x, y].into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// What a condition says: nothing if it has no answer. The tuple's values win.
fn decide(condition: &str, tuple: Given, request: Given) -> Option<bool> {
    let x = tuple.x.or(request.x)?;
    match condition {
        "small" => Some(x < 2),
        "either" => tuple.y.or(request.y).map(|y| x < 1 || y),
        _ => (x != 0).then(|| 2 / x > 1),
    }
}

fn rule(dice: &mut Random, may_be_direct: bool, siblings: &[&'static str], depth: usize) -> Rule {
    if depth == 0 || dice.one_in(3) {
        return match dice.below(6) {
            0..=3 if may_be_direct => {
                let mut allowed: Vec<_> = (0..=dice.below(3)).map(|_| restriction(dice)).collect();
                allowed.sort();
                allowed.dedup();
                Rule::Direct(allowed)
            }
            0..=4 if !siblings.is_empty() => Rule::Computed((*dice.pick(siblings)).to_owned()),
            _ => Rule::From((*dice.pick(&RELATIONS)).to_owned()),
        };
    }
    let first = rule(dice, may_be_direct, siblings, depth - 1);
    let mut rest: Vec<_> = (0..=dice.below(2)).map(|_| rule(dice, false, siblings, depth - 1)).collect();
    match dice.below(4) {
        0 => Rule::ButNot(Box::new(first), Box::new(rest.remove(0))),
        1 => Rule::And([vec![first], rest].concat()),
        _ => Rule::Or([vec![first], rest].concat()),
    }
}

fn restriction(dice: &mut Random) -> String {
    let user = match dice.below(8) {
        0..=3 => "user".to_owned(),
        4 => "bot".to_owned(),
        5 => "user:*".to_owned(),
        _ => format!("{}#{}", dice.pick(&WITH_RELATIONS), dice.pick(&RELATIONS)),
    };
    if dice.one_in(3) { format!("{user} with {}", dice.pick(&CONDITIONS)) } else { user }
}

impl Rule {
    fn direct(&self) -> Vec<&String> {
        match self {
            Self::Direct(allowed) => allowed.iter().collect(),
            Self::Computed(_) | Self::From(_) => Vec::new(),
            Self::Or(rules) | Self::And(rules) => rules.iter().flat_map(Self::direct).collect(),
            Self::ButNot(base, subtract) => [base.direct(), subtract.direct()].concat(),
        }
    }
}

impl World {
    /// A valid model with tuples.
    pub(crate) fn random(dice: &mut Random) -> Self {
        loop {
            let mut world = Self::default();
            for of in WITH_RELATIONS {
                let parents = ["group", "group with small", "document"].map(str::to_owned);
                world.rules.insert((of, "parent"), Rule::Direct(parents[..1 + dice.below(3)].to_vec()));
                for (position, relation) in RELATIONS.iter().enumerate() {
                    world.rules.insert((of, relation), rule(dice, true, &RELATIONS[position + 1..], 2));
                }
            }
            let is_doubtful = dice.one_in(2);
            if is_doubtful {
                world.doubt(dice);
            }
            if compile::model(&"random.fga".into(), &world.to_string()).is_ok() {
                for _ in 0..15 + dice.below(40) {
                    let (key, carried) = world.tuple(dice);
                    world.tuples.insert(key, carried);
                }
                if is_doubtful {
                    world.name_users_twice(dice);
                }
                return world;
            }
        }
    }

    /// Puts relations below an exclusion that users may have by themselves and by the wildcard, each on a condition:
    /// one may have no answer where the other says no, and chance alone hardly ever puts them together.
    fn doubt(&mut self, dice: &mut Random) {
        for of in WITH_RELATIONS {
            let doubtful = |dice: &mut Random| {
                let [own, everybody] = ["user", "user:*"].map(|user| format!("{user} with {}", dice.pick(&CONDITIONS)));
                Rule::Direct(vec![own, everybody])
            };
            self.rules.insert((of, "d"), doubtful(dice));
            let (base, subtract) = if dice.one_in(2) {
                (Rule::Computed("d".to_owned()), rule(dice, false, &["d"], 1))
            } else {
                (doubtful(dice), Rule::Computed("d".to_owned()))
            };
            self.rules.insert((of, "c"), Rule::ButNot(Box::new(base), Box::new(subtract)));
        }
    }

    /// Adds tuples that name a user of an object and everybody.
    fn name_users_twice(&mut self, dice: &mut Random) {
        for of in WITH_RELATIONS {
            for relation in ["c", "d"] {
                let Some(rule) = self.rules.get(&(of, relation)) else { continue };
                let pairs: Vec<_> = rule.direct().iter().filter_map(|known| known.split_once(" with ")).collect();
                let pairs: Vec<_> = pairs.into_iter().map(|(user, name)| (user == "user:*", name.to_owned())).collect();
                for (is_everybody, name) in pairs {
                    let name = CONDITIONS.into_iter().find(|known| *known == name).unwrap();
                    let user = if is_everybody { "user:*".to_owned() } else { format!("user:{}", dice.below(2)) };
                    let given = Given::random(dice);
                    let given = if name == "either" { given } else { Given { y: None, ..given } };
                    let object = format!("{of}:{}", dice.below(2));
                    self.tuples.insert((object, relation, user), Some((name, given)));
                }
            }
        }
    }

    /// A tuple that the model allows.
    fn tuple(&self, dice: &mut Random) -> ((String, &'static str, String), Carried) {
        let keys: Vec<_> = self.rules.iter().filter(|(_, rule)| !rule.direct().is_empty()).collect();
        loop {
            let (&(of, relation), rule) = *dice.pick(&keys);
            let allowed = *dice.pick(&rule.direct());
            let (user, condition) = match allowed.split_once(" with ") {
                Some((user, name)) => (user, CONDITIONS.iter().find(|known| **known == name)),
                None => (allowed.as_str(), None),
            };
            let id = dice.below(IDS);
            let user = match user.split_once('#') {
                Some((of, relation)) => format!("{of}:{id}#{relation}"),
                None if user.ends_with('*') => user.to_owned(),
                None => format!("{user}:{id}"),
            };
            let object = format!("{of}:{}", dice.below(IDS));
            let carried = condition.map(|name| {
                let given = Given::random(dice);
                (*name, if *name == "either" { given } else { Given { y: None, ..given } })
            });
            if user != format!("{object}#{relation}") {
                return ((object, relation, user), carried);
            }
        }
    }

    pub(crate) fn policy(&self, settings: PolicySettings) -> Policy {
        self.try_policy(settings).unwrap_or_else(|| panic!("{self}\n{:#?}", self.tuples))
    }

    /// The worlds with one tuple less, or with an operand in place of its operator, that the model still allows.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut worlds: Vec<Self> = Vec::new();
        for key in self.tuples.keys() {
            let mut less = self.clone();
            less.tuples.remove(key);
            worlds.push(less);
        }
        for (key, rule) in &self.rules {
            let operands = match rule {
                Rule::Direct(_) | Rule::Computed(_) | Rule::From(_) => Vec::new(),
                Rule::Or(rules) | Rule::And(rules) => rules.clone(),
                Rule::ButNot(base, subtract) => vec![(**base).clone(), (**subtract).clone()],
            };
            for operand in operands {
                let mut less = self.clone();
                less.rules.insert(*key, operand);
                worlds.push(less);
            }
        }
        worlds.retain(|world| world.try_policy(PolicySettings::default()).is_some());
        worlds
    }

    /// The answer of the naive evaluator. Nothing if it takes too long or lies too deep.
    pub(crate) fn answer(&self, [user, relation, object]: [&str; 3], request: Given) -> Option<Value> {
        Walk::new(self, user, request).check(relation, object)
    }

    /// Whether the way to the answer comes back to where it was.
    pub(crate) fn has_cycle(&self, question: [&str; 3], request: Given) -> bool {
        self.comes_back(question, request, false)
    }

    /// The same, and if it is generous through tuples too whose conditions have no answer.
    fn comes_back(&self, [user, relation, object]: [&str; 3], request: Given, is_generous: bool) -> bool {
        // Those too into which this kind of user cannot get.
        let reach = self.rules.keys().map(|(of, name)| (*of, (*name).to_owned())).collect();
        let walk = Walk { reach, is_generous, ..Walk::new(self, user, request) };
        walk.check(relation, object).is_none() || walk.has_cycle.get()
    }

    /// The same without the tuples whose conditions come to this in this request: `None` is no answer.
    pub(crate) fn without(&self, answer: Option<bool>, request: Given) -> Self {
        let mut world = self.clone();
        world.tuples.retain(|_, carried| carried.is_none_or(|(name, given)| decide(name, given, request) != answer));
        world
    }

    fn try_policy(&self, settings: PolicySettings) -> Option<Policy> {
        let model = compile::model(&"random.fga".into(), &self.to_string()).ok()?;
        let mut builder = GraphBuilder::new(Arc::new(model));
        for ((object, relation, user), carried) in &self.tuples {
            builder.add_with(TupleText { user, relation, object }, condition(*carried)).unwrap();
        }
        let graph = builder.finish();
        (graph.statistics().set_aside == 0).then(|| Policy::new(graph, settings))
    }

    /// The same tuples, of which some are contextual and take the place of others.
    pub(crate) fn overlaid(&self, dice: &mut Random, settings: PolicySettings) -> Policy {
        let mut stored = Self { rules: self.rules.clone(), tuples: BTreeMap::new() };
        let mut contextual = Vec::new();
        for (key, carried) in &self.tuples {
            match dice.below(4) {
                0 => contextual.push((key, *carried)),
                1 => {
                    let (object, relation, user) = key;
                    let rule = &self.rules[&(type_of(object), *relation)];
                    let shape = user.split_once('#').map_or_else(
                        || if user.ends_with('*') { user.clone() } else { type_of(user).to_owned() },
                        |(object, relation)| format!("{}#{relation}", type_of(object)),
                    );
                    // Another condition that the same user may have, or none.
                    let other =
                        rule.direct().into_iter().find(|allowed| allowed.split(" with ").next() == Some(&shape));
                    let name = other.and_then(|allowed| allowed.split_once(" with ")).map(|(_, name)| name);
                    let name = name.and_then(|name| CONDITIONS.into_iter().find(|known| *known == name));
                    stored.tuples.insert(key.clone(), name.map(|name| (name, Given { x: Some(1), y: None })));
                    contextual.push((key, *carried));
                }
                _ => drop(stored.tuples.insert(key.clone(), *carried)),
            }
        }
        let contextual: Vec<_> = contextual
            .iter()
            .map(|((object, relation, user), carried)| (TupleText { user, relation, object }, condition(*carried)))
            .collect();
        stored.policy(settings).with_contextual(&contextual).unwrap()
    }

    fn reach(&self, user: &str) -> BTreeSet<(&'static str, String)> {
        let kind = match user.split_once('#') {
            Some((object, relation)) => format!("{}#{relation}", type_of(object)),
            None if user.ends_with(":*") => user.to_owned(),
            None => type_of(user).to_owned(),
        };
        let mut reach = BTreeSet::new();
        loop {
            let before = reach.len();
            for ((of, relation), rule) in &self.rules {
                if kind == format!("{of}#{relation}") || self.reaches(of, rule, &kind, &reach) {
                    reach.insert((*of, (*relation).to_owned()));
                }
            }
            if reach.len() == before {
                return reach;
            }
        }
    }

    fn reaches(&self, of: &'static str, rule: &Rule, kind: &str, reach: &BTreeSet<(&'static str, String)>) -> bool {
        let known = |of: &str, relation: &str| reach.contains(&(type_of(of), relation.to_owned()));
        match rule {
            Rule::Direct(allowed) => allowed.iter().any(|allowed| {
                let allowed = allowed.split(" with ").next().unwrap();
                match allowed.split_once('#') {
                    Some((of, relation)) => known(of, relation),
                    None => allowed == kind || allowed.strip_suffix(":*") == Some(kind),
                }
            }),
            Rule::Computed(relation) => known(of, relation),
            Rule::From(relation) => self.rules[&(of, "parent")]
                .direct()
                .iter()
                .any(|parent| known(parent.split(" with ").next().unwrap(), relation)),
            Rule::Or(rules) => rules.iter().any(|rule| self.reaches(of, rule, kind, reach)),
            Rule::And(rules) => rules.iter().all(|rule| self.reaches(of, rule, kind, reach)),
            Rule::ButNot(base, _) => self.reaches(of, base, kind, reach),
        }
    }
}

pub(crate) fn condition(carried: Carried) -> Option<TupleCondition> {
    carried.map(|(name, given)| TupleCondition { name: name.parse().unwrap(), context: given.json().as_str().into() })
}

fn type_of(text: &str) -> &'static str {
    TYPES.into_iter().find(|known| text.split([':', '#']).next() == Some(known)).unwrap()
}

/// A naive walk for one user, with conditions without an answer taken for true or for errors.
struct Walk<'a> {
    world: &'a World,
    user: &'a str,
    reach: BTreeSet<(&'static str, String)>,
    request: Given,
    is_generous: bool,
    has_cycle: Cell<bool>,
    fuel: Cell<u32>,
}

type Path = Vec<(String, String)>;

impl<'a> Walk<'a> {
    fn new(world: &'a World, user: &'a str, request: Given) -> Self {
        let reach = world.reach(user);
        Self { world, user, reach, request, is_generous: false, has_cycle: Cell::new(false), fuel: Cell::new(0) }
    }

    /// Nothing if it takes too long or lies too deep.
    fn check(&self, relation: &str, object: &str) -> Option<Value> {
        self.fuel.set(700);
        self.relation(object, relation, &mut Vec::new(), 0)
    }

    fn relation(&self, object: &str, relation: &str, path: &mut Path, hops: u32) -> Option<Value> {
        self.fuel.set(self.fuel.get().checked_sub(1)?);
        if self.user == format!("{object}#{relation}") {
            return Some(Value::Yes);
        }
        if !self.reach.contains(&(type_of(object), relation.to_owned())) {
            return Some(Value::No);
        }
        if hops >= 25 {
            return None;
        }
        let here = (object.to_owned(), relation.to_owned());
        if let Some(frame) = path.iter().position(|frame| *frame == here) {
            self.has_cycle.set(true);
            return Some(Value::Cut(frame));
        }
        let own = path.len();
        path.push(here);
        let rules = &self.world.rules;
        let (_, rule) = rules.iter().find(|((of, name), _)| *of == type_of(object) && *name == relation).unwrap();
        let value = self.rule(rule, object, relation, path, hops)?;
        path.pop();
        Some(if value == Value::Cut(own) { Value::No } else { value })
    }

    fn rule(&self, rule: &Rule, object: &str, relation: &str, path: &mut Path, hops: u32) -> Option<Value> {
        let mut each = |rules: &[&Rule]| -> Option<Vec<Value>> {
            rules.iter().map(|rule| self.rule(rule, object, relation, path, hops)).collect()
        };
        match rule {
            Rule::Direct(_) => {
                let everyone = format!("{}:*", type_of(self.user));
                let is_plain = !self.user.contains('#');
                let mut values = vec![Value::No];
                for (user, weight) in self.tuples(object, relation) {
                    let behind = match user.split_once('#') {
                        _ if user == self.user || (is_plain && *user == everyone) => Value::Yes,
                        Some((group, member)) if self.reach.contains(&(type_of(group), member.to_owned())) => {
                            if weight == Value::Yes { self.relation(group, member, path, hops + 1)? } else { weight }
                        }
                        Some(_) | None => Value::No,
                    };
                    values.push(if behind == Value::Yes { weight } else { behind });
                }
                Some(any(&values))
            }
            Rule::Computed(other) => self.relation(object, other, path, hops),
            Rule::From(other) => {
                let mut values = vec![Value::No];
                for (parent, weight) in self.tuples(object, "parent") {
                    let is_within = self.reach.contains(&(type_of(parent), other.clone()));
                    values.push(match weight {
                        Value::Yes => self.relation(parent, other, path, hops + 1)?,
                        weight if is_within => weight,
                        _ => Value::No,
                    });
                }
                Some(any(&values))
            }
            Rule::Or(rules) => Some(any(&each(&rules.iter().collect::<Vec<_>>())?)),
            Rule::And(rules) => Some(all(&each(&rules.iter().collect::<Vec<_>>())?)),
            Rule::ButNot(base, subtract) => {
                let values = each(&[base, subtract])?;
                Some(but_not(values[0], values[1]))
            }
        }
    }

    fn tuples(&self, object: &str, relation: &str) -> impl Iterator<Item = (&'a String, Value)> {
        let mut found = Vec::new();
        for ((_, _, user), carried) in self.world.tuples.iter().filter(|((o, r, _), _)| o == object && *r == relation) {
            let decided = carried.map_or(Some(true), |(name, given)| decide(name, given, self.request));
            found.push((
                user,
                match decided {
                    Some(true) => Value::Yes,
                    Some(false) => Value::No,
                    None if self.is_generous => Value::Yes,
                    None => Value::Error,
                },
            ));
        }
        found.into_iter()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = |rule: &Rule| match rule {
            Rule::Direct(_) | Rule::Computed(_) | Rule::From(_) => rule.to_string(),
            Rule::Or(_) | Rule::And(_) | Rule::ButNot(..) => format!("({rule})"),
        };
        let joined = |rules: &[Rule], by: &str| rules.iter().map(inner).collect::<Vec<_>>().join(by);
        match self {
            Rule::Direct(allowed) => write!(f, "[{}]", allowed.join(", ")),
            Rule::Computed(relation) => f.write_str(relation),
            Rule::From(relation) => write!(f, "{relation} from parent"),
            Rule::Or(rules) => f.write_str(&joined(rules, " or ")),
            Rule::And(rules) => f.write_str(&joined(rules, " and ")),
            Rule::ButNot(base, subtract) => write!(f, "{} but not {}", inner(base), inner(subtract)),
        }
    }
}

/// The model in OpenFGA's language.
impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "model\n  schema 1.1")?;
        for name in TYPES {
            writeln!(f, "type {name}")?;
            if WITH_RELATIONS.contains(&name) {
                writeln!(f, "  relations")?;
            }
            for ((_, relation), rule) in self.rules.iter().filter(|((of, _), _)| *of == name) {
                writeln!(f, "    define {relation}: {rule}")?;
            }
        }
        writeln!(f, "condition small(x: int) {{\n  x < 2\n}}")?;
        writeln!(f, "condition either(x: int, y: bool) {{\n  x < 1 || y\n}}")?;
        writeln!(f, "condition divides(x: int) {{\n  2 / x > 1\n}}")
    }
}

/// What was compared.
#[derive(Debug, Default)]
struct Compared {
    checks: u64,
    yes: u64,
    errors: u64,
    objects: u64,
    failed_objects: u64,
    users: u64,
    exact_users: u64,
    certain_users: u64,
    failed_users: u64,
    skipped: u64,
}

impl Tally for Compared {
    fn add(&mut self, other: Self) {
        self.checks += other.checks;
        self.yes += other.yes;
        self.errors += other.errors;
        self.objects += other.objects;
        self.failed_objects += other.failed_objects;
        self.users += other.users;
        self.exact_users += other.exact_users;
        self.certain_users += other.certain_users;
        self.failed_users += other.failed_users;
        self.skipped += other.skipped;
    }
}

/// One world, its policies and one request.
struct Trial<'a> {
    world: &'a World,
    policies: &'a [Policy],
    request: Given,
    seed: u64,
}

impl Trial<'_> {
    fn shown(&self, question: &str) -> String {
        format!("seed {}: {question} {:?}\n{}\n{:#?}", self.seed, self.request, self.world, self.world.tuples)
    }

    /// Checks every object and lists those that the user has, all by one walk.
    fn objects(&self, user: &str, relation: &str, of: &str, tally: &mut Compared) {
        let strict = Walk::new(self.world, user, self.request);
        let generous = Walk { is_generous: true, ..Walk::new(self.world, user, self.request) };
        let (asked, action): (User, RelationName) = (user.parse().unwrap(), relation.parse().unwrap());
        let values = self.request.json().parse::<ContextMap>().unwrap();
        let (mut expected, mut fails) = (Vec::new(), false);
        for object in (0..=IDS).map(|id| format!("{of}:{id}")) {
            let (Some(value), Some(hoped)) = (strict.check(relation, &object), generous.check(relation, &object))
            else {
                tally.skipped += 1;
                return;
            };
            for policy in self.policies {
                let resource: Entity = object.parse().unwrap();
                let found = policy.check(&asked, &action, &resource, &RequestContext::new(&values));
                let agrees = match value {
                    Value::Yes => found == Ok(true),
                    Value::No | Value::Cut(_) => found == Ok(false),
                    Value::Error => matches!(found, Err(CheckError::Condition(_))),
                };
                assert!(agrees, "{value:?} {found:?} {}", self.shown(&format!("{user} {relation} {object}")));
            }
            tally.checks += 1;
            tally.yes += u64::from(value == Value::Yes);
            tally.errors += u64::from(value == Value::Error);
            fails |= value == Value::Error && hoped == Value::Yes;
            if value == Value::Yes {
                expected.push(object);
            }
        }
        let object_type: TypeName = of.parse().unwrap();
        for policy in self.policies {
            let found = policy.list_objects(&asked, &action, &object_type, &RequestContext::new(&values), 1000);
            let shown = || self.shown(&format!("list {of} {relation} for {user}"));
            match found {
                Ok(found) => {
                    let found: Vec<_> = found.iter().map(Entity::to_string).collect();
                    assert!(!fails && found == expected, "{expected:?}, {found:?}, {fails}, {}", shown());
                }
                Err(error) => assert!(fails && matches!(error, CheckError::Condition(_)), "{error} {}", shown()),
            }
            // Whatever cannot be decided: the others are listed.
            let question = ObjectsQuestion { user: &asked, relation: &action, object_type: &object_type };
            let certain = policy.list_certain_objects(question, &RequestContext::new(&values), Interrupt::never());
            let certain: Vec<_> = certain.unwrap().unwrap().iter().map(Entity::to_string).collect();
            assert!(certain == expected, "{expected:?}, {certain:?}, {}", shown());
        }
        tally.objects += 1;
        tally.failed_objects += u64::from(fails);
    }

    fn users(&self, object: &str, relation: &str, tally: &mut Compared) {
        let values = self.request.json().parse::<ContextMap>().unwrap();
        let (resource, action): (Entity, RelationName) = (object.parse().unwrap(), relation.parse().unwrap());
        for (user_type, member) in [("user", None), ("bot", None), ("group", Some("a")), ("document", Some("b"))] {
            let filter = UserFilter {
                user_type: user_type.parse().unwrap(),
                relation: member.map(|relation| relation.parse().unwrap()),
            };
            let suffix = member.map(|relation| format!("#{relation}")).unwrap_or_default();
            let mut all: Vec<_> = (0..=IDS).map(|id| format!("{user_type}:{id}{suffix}")).collect();
            all.extend(member.is_none().then(|| format!("{user_type}:*")));
            let (mut having, mut has_cycle, mut may_have_cycle) = (BTreeSet::new(), false, false);
            for user in all {
                let walk = Walk::new(self.world, &user, self.request);
                match walk.check(relation, object) {
                    Some(Value::Yes) => drop(having.insert(user.clone())),
                    Some(Value::No | Value::Cut(_) | Value::Error) => {}
                    None => {
                        tally.skipped += 1;
                        return;
                    }
                }
                // A list looks also where this kind of user cannot get, and leaves users out for a cycle there.
                let question = [user.as_str(), relation, object];
                has_cycle = has_cycle || self.world.has_cycle(question, self.request);
                may_have_cycle = may_have_cycle || self.world.comes_back(question, self.request, true);
            }
            let has_wildcard = self.world.tuples.keys().any(|(_, _, user)| user.ends_with('*'));
            for policy in self.policies {
                let found = policy.list_users(&resource, &action, &filter, &RequestContext::new(&values), 1000);
                let shown = || self.shown(&format!("list {user_type}{suffix} that {relation} {object}"));
                match found {
                    Ok(found) => {
                        let found: BTreeSet<_> = found.iter().map(User::to_string).collect();
                        assert!(found.is_subset(&having), "{having:?}, {found:?} {}", shown());
                        let is_exact = !has_wildcard && !has_cycle;
                        assert!(!is_exact || found == having, "{having:?}, {found:?} {}", shown());
                        tally.users += 1;
                        tally.exact_users += u64::from(is_exact);
                    }
                    Err(CheckError::Condition(_)) => {
                        let mut conditions = self.world.tuples.values().copied().flatten();
                        let fails = conditions.any(|(name, given)| decide(name, given, self.request).is_none());
                        assert!(fails, "{}", shown());
                        tally.failed_users += 1;
                    }
                    // Not what is wrong, but how long it takes to see it.
                    Err(CheckError::DepthExceeded | CheckError::StepsExceeded) => tally.skipped += 1,
                    Err(error) => panic!("{error} {}", shown()),
                }
                let question = UsersQuestion { object: &resource, relation: &action, filter: &filter };
                match policy.list_certain_users(question, &RequestContext::new(&values), Interrupt::never()) {
                    Ok(found) => {
                        let found: BTreeSet<_> = found.unwrap().iter().map(User::to_string).collect();
                        assert!(found.is_subset(&having), "{having:?}, {found:?} {}", shown());
                        let is_exact = !has_wildcard && !has_cycle && !may_have_cycle;
                        assert!(!is_exact || found == having, "{having:?}, {found:?} {}", shown());
                        tally.certain_users += u64::from(is_exact);
                    }
                    Err(CheckError::DepthExceeded | CheckError::StepsExceeded) => {}
                    Err(error) => panic!("{error} {}", shown()),
                }
            }
        }
    }
}

#[test]
fn checks_and_lists_agree_with_the_naive_evaluator_under_conditions() {
    let trials = Trials::of(300);
    let tally: Compared = trials.run(|seed, tally| {
        let dice = &mut Random::new(seed);
        let world = World::random(dice);
        let forgetful = PolicySettings { steps_before_memory: u32::MAX, ..PolicySettings::default() };
        let remembering = PolicySettings { steps_before_memory: 0, ..PolicySettings::default() };
        let policies = [
            world.policy(forgetful.clone()),
            world.policy(remembering.clone()),
            world.overlaid(dice, forgetful),
            world.overlaid(dice, remembering),
        ];
        let trial = Trial { world: &world, policies: &policies, request: Given::random(dice), seed };
        for of in WITH_RELATIONS {
            for relation in RELATIONS {
                for user in
                    ["user:0", "user:1", "user:new", "user:*", "bot:0", "group:0#a", "document:3#b", "group:1#c"]
                {
                    trial.objects(user, relation, of, tally);
                }
                (0..IDS).for_each(|id| trial.users(&format!("{of}:{id}"), relation, tally));
            }
        }
    });
    let seen = tally.yes > tally.checks / 20 && tally.failed_objects > 0 && tally.exact_users > 0;
    assert!(tally.certain_users > tally.exact_users, "{tally:?}");
    assert!(seen && (trials.are_chosen() || tally.checks > 50_000), "{tally:?}");
}
