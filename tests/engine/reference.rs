//! A naive evaluator, written from the rules and for clarity: the oracle of the random tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The right side of `define`. Restrictions are texts such as `user`, `user:*` and `group#member`.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    Direct(Vec<String>),
    Computed(String),
    From(String, String),
    Or(Vec<Rule>),
    And(Vec<Rule>),
    ButNot(Box<Rule>, Box<Rule>),
}

/// A model and its tuples: the users of each `(object, relation)`. The model must allow all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct World {
    pub(crate) types: Vec<String>,
    pub(crate) rules: BTreeMap<(String, String), Rule>,
    pub(crate) tuples: BTreeMap<(String, String), BTreeSet<String>>,
}

/// What a question comes to. `Cut` is a no that rests on the frame of the path with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    Yes,
    No,
    Cut(usize),
    Error,
}

impl World {
    /// Gets ready to answer questions about the user.
    pub(crate) fn walk<'a>(&'a self, user: &'a str) -> Walk<'a> {
        Walk { world: self, user, reach: self.reach(user) }
    }

    /// The `(type, relation)` pairs that users of this kind could have at all.
    fn reach(&self, user: &str) -> BTreeSet<(String, String)> {
        let kind = match user.split_once('#') {
            Some((object, relation)) => format!("{}#{relation}", type_of(object)),
            None if user.ends_with(":*") => user.to_owned(),
            None => type_of(user).to_owned(),
        };
        let mut reach = BTreeSet::new();
        loop {
            let more: Vec<_> = self
                .rules
                .iter()
                .filter(|(key, _)| !reach.contains(*key))
                .filter(|((of, relation), rule)| {
                    kind == format!("{of}#{relation}") || self.reaches(of, rule, &kind, &reach)
                })
                .map(|(key, _)| key.clone())
                .collect();
            if more.is_empty() {
                return reach;
            }
            reach.extend(more);
        }
    }

    fn reaches(&self, of: &str, rule: &Rule, kind: &str, reach: &BTreeSet<(String, String)>) -> bool {
        let known = |of: &str, relation: &str| reach.contains(&(of.to_owned(), relation.to_owned()));
        match rule {
            Rule::Direct(allowed) => allowed.iter().any(|allowed| match allowed.split_once('#') {
                Some((of, relation)) => known(of, relation),
                None => allowed == kind || allowed.strip_suffix(":*") == Some(kind),
            }),
            Rule::Computed(relation) => known(of, relation),
            Rule::From(relation, tupleset) => match self.rules.get(&(of.to_owned(), tupleset.clone())) {
                Some(Rule::Direct(parents)) => parents.iter().any(|parent| known(parent, relation)),
                _ => false,
            },
            Rule::Or(rules) => rules.iter().any(|rule| self.reaches(of, rule, kind, reach)),
            Rule::And(rules) => rules.iter().all(|rule| self.reaches(of, rule, kind, reach)),
            Rule::ButNot(base, _) => self.reaches(of, base, kind, reach),
        }
    }

    /// Adds a tuple.
    pub(crate) fn add(&mut self, user: String, relation: String, object: String) {
        self.tuples.entry((object, relation)).or_default().insert(user);
    }

    fn users(&self, relation: &str, object: &str) -> impl Iterator<Item = &String> {
        self.tuples.get(&(object.to_owned(), relation.to_owned())).into_iter().flatten()
    }
}

/// Walks through all tuples and rules, for one user.
pub(crate) struct Walk<'a> {
    pub(crate) world: &'a World,
    user: &'a str,
    reach: BTreeSet<(String, String)>,
}

type Path = Vec<(String, String)>;

impl Walk<'_> {
    /// Whether the user has the relation on the object; nothing if that takes more steps than `fuel`.
    pub(crate) fn check(&self, relation: &str, object: &str, mut fuel: u32) -> Option<Value> {
        self.relation(object, relation, &mut Vec::new(), 0, &mut fuel)
    }

    fn relation(&self, object: &str, relation: &str, path: &mut Path, hops: u32, fuel: &mut u32) -> Option<Value> {
        *fuel = fuel.checked_sub(1)?;
        if self.user == format!("{object}#{relation}") {
            return Some(Value::Yes);
        }
        if !self.reach.contains(&(type_of(object).to_owned(), relation.to_owned())) {
            return Some(Value::No);
        }
        if hops >= 25 {
            return Some(Value::Error);
        }
        let here = (object.to_owned(), relation.to_owned());
        if let Some(frame) = path.iter().position(|frame| *frame == here) {
            return Some(Value::Cut(frame));
        }
        let own = path.len();
        path.push(here);
        let rule = &self.world.rules[&(type_of(object).to_owned(), relation.to_owned())];
        let value = self.rule(rule, object, relation, path, hops, fuel)?;
        path.pop();
        Some(if value == Value::Cut(own) { Value::No } else { value })
    }

    fn rule(
        &self,
        rule: &Rule,
        object: &str,
        relation: &str,
        path: &mut Path,
        hops: u32,
        fuel: &mut u32,
    ) -> Option<Value> {
        let mut each = |rules: &[Rule]| -> Option<Vec<Value>> {
            rules.iter().map(|rule| self.rule(rule, object, relation, path, hops, fuel)).collect()
        };
        match rule {
            Rule::Direct(_) => {
                let everyone = format!("{}:*", type_of(self.user));
                let is_plain = !self.user.contains('#');
                let mut values = vec![Value::No];
                for user in self.world.users(relation, object) {
                    values.push(match user.split_once('#') {
                        _ if user == self.user || (is_plain && *user == everyone) => Value::Yes,
                        Some((group, member)) => self.relation(group, member, path, hops + 1, fuel)?,
                        None => Value::No,
                    });
                }
                Some(any(&values))
            }
            Rule::Computed(other) => self.relation(object, other, path, hops, fuel),
            Rule::From(other, tupleset) => {
                let mut values = vec![Value::No];
                for parent in self.world.users(tupleset, object) {
                    values.push(self.relation(parent, other, path, hops + 1, fuel)?);
                }
                Some(any(&values))
            }
            Rule::Or(rules) => Some(any(&each(rules)?)),
            Rule::And(rules) => Some(all(&each(rules)?)),
            Rule::ButNot(base, subtract) => {
                let values = each(&[(**base).clone(), (**subtract).clone()])?;
                Some(but_not(values[0], values[1]))
            }
        }
    }
}

fn lowest_cut(values: &[Value]) -> Option<Value> {
    let cuts = values.iter().filter_map(|value| if let Value::Cut(frame) = value { Some(*frame) } else { None });
    cuts.min().map(Value::Cut)
}

pub(crate) fn any(values: &[Value]) -> Value {
    match values {
        values if values.contains(&Value::Yes) => Value::Yes,
        values if values.contains(&Value::Error) => Value::Error,
        values => lowest_cut(values).unwrap_or(Value::No),
    }
}

pub(crate) fn all(values: &[Value]) -> Value {
    match values {
        values if values.contains(&Value::No) => Value::No,
        values if lowest_cut(values).is_some() => lowest_cut(values).unwrap(),
        values if values.contains(&Value::Error) => Value::Error,
        _ => Value::Yes,
    }
}

pub(crate) fn but_not(base: Value, subtract: Value) -> Value {
    match (base, subtract) {
        (Value::No, _) | (_, Value::Yes) => Value::No,
        (Value::Error, _) => Value::Error,
        (Value::Cut(left), Value::Cut(right)) => Value::Cut(left.min(right)),
        (Value::Cut(frame), _) | (_, Value::Cut(frame)) => Value::Cut(frame),
        (Value::Yes, Value::Error) => Value::Error,
        (Value::Yes, Value::No) => Value::Yes,
    }
}

fn type_of(text: &str) -> &str {
    text.split(':').next().unwrap()
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = |rule: &Rule| match rule {
            Rule::Direct(_) | Rule::Computed(_) | Rule::From(..) => rule.to_string(),
            Rule::Or(_) | Rule::And(_) | Rule::ButNot(..) => format!("({rule})"),
        };
        let joined = |rules: &[Rule], by: &str| rules.iter().map(inner).collect::<Vec<_>>().join(by);
        match self {
            Rule::Direct(allowed) => write!(f, "[{}]", allowed.join(", ")),
            Rule::Computed(relation) => f.write_str(relation),
            Rule::From(relation, tupleset) => write!(f, "{relation} from {tupleset}"),
            Rule::Or(rules) => f.write_str(&joined(rules, " or ")),
            Rule::And(rules) => f.write_str(&joined(rules, " and ")),
            Rule::ButNot(base, subtract) => {
                write!(f, "{} but not {}", inner(base), inner(subtract))
            }
        }
    }
}

/// The model in OpenFGA's language.
impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "model\n  schema 1.1")?;
        for name in &self.types {
            writeln!(f, "type {name}")?;
            let mut rules = self.rules.iter().filter(|((of, _), _)| of == name).peekable();
            if rules.peek().is_some() {
                writeln!(f, "  relations")?;
            }
            for ((_, relation), rule) in rules {
                writeln!(f, "    define {relation}: {rule}")?;
            }
        }
        Ok(())
    }
}
