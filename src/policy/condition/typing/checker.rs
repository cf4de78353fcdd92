//! Checks an expression as cel-go does, and resolves its names on the way.

use super::{
    kind::Kind,
    library::{Lookup, look_up},
    unify::Variables,
};
use crate::policy::condition::{
    eval::{self, Charge, Datum, Function, Node, Program, TypeName, compile_pattern, fold, order_of_keys},
    problem::{ConditionFault, ConditionProblem},
    source::ParameterSource,
    syntax::{Expression, Form, Iteration, Literal, Loop},
};

/// The program of an expression that gives true or false, or everything that is wrong with it.
pub(in crate::policy::condition) fn compile(
    expression: &Expression,
    parameters: &[ParameterSource],
) -> Result<Program, Vec<ConditionProblem>> {
    let mut checker = Checker { parameters, locals: Vec::new(), variables: Variables::default(), problems: Vec::new() };
    let (kind, root) = checker.check(expression);
    let kind = checker.variables.resolve(&kind);
    if checker.variables.is_exhausted() {
        return Err(vec![ConditionProblem::new(expression.at, ConditionFault::TooComplex)]);
    }
    if checker.problems.is_empty() && kind != Kind::Bool {
        checker.report(expression.at, ConditionFault::AnswerNotBool(kind.to_string()));
    }
    if checker.problems.is_empty() { Ok(Program { root }) } else { Err(checker.problems) }
}

/// The most parts that a type may have.
const LARGEST_TYPE: usize = 1_000;

/// What a part of an expression is, and what it becomes.
type Checked = (Kind, Node);

struct Checker<'a> {
    parameters: &'a [ParameterSource],
    /// The variables of the loops around, outermost first.
    locals: Vec<(String, Kind)>,
    variables: Variables,
    problems: Vec<ConditionProblem>,
}

impl Checker<'_> {
    fn report(&mut self, at: usize, fault: ConditionFault) -> Checked {
        self.problems.push(ConditionProblem::new(at, fault));
        (Kind::Wrong, Node::Constant(Datum::Null))
    }

    fn check(&mut self, expression: &Expression) -> Checked {
        let (kind, node) = self.check_form(expression);
        if kind.is_within(LARGEST_TYPE) { (kind, node) } else { self.report(expression.at, ConditionFault::TooComplex) }
    }

    fn check_form(&mut self, expression: &Expression) -> Checked {
        let at = expression.at;
        match &expression.form {
            Form::Literal(literal) => constant(literal),
            Form::Name(name) => self.name(name).unwrap_or_else(|| {
                let fault = ConditionFault::UnknownName(name.clone());
                self.report(at, fault)
            }),
            Form::Select { operand, field } => self.select(at, expression, operand, field),
            Form::Has { operand, field } => self.has(at, operand, field),
            Form::Index { operand, index } => self.index(at, operand, index),
            Form::And(terms) => self.logic(terms, Node::And),
            Form::Or(terms) => self.logic(terms, Node::Or),
            Form::Ternary(parts) => self.ternary(at, parts),
            Form::List(elements) => self.list(at, elements),
            Form::Map(entries) => self.map(at, entries),
            Form::Call { target, function, arguments } => self.call(at, target.as_deref(), function, arguments),
            Form::Loop(repeated) => self.repeat(repeated),
        }
    }

    /// A loop's variable, a parameter, or the name of a type.
    fn name(&self, name: &str) -> Option<Checked> {
        if let Some(index) = self.locals.iter().rposition(|(local, _)| local == name) {
            let kind = self.locals.get(index).map(|(_, kind)| kind.clone())?;
            return Some((kind, Node::Local { index, charge: 1 }));
        }
        let parameter = self.parameters.iter().enumerate().find(|(_, parameter)| parameter.name.value == name);
        if let Some((index, parameter)) = parameter {
            return Some((Kind::from(&parameter.kind), Node::Parameter { index, charge: 1 }));
        }
        let (kind, type_name) = named_type(name)?;
        Some((Kind::Type(Box::new(kind)), Node::Constant(Datum::Type(type_name))))
    }

    fn select(&mut self, at: usize, whole: &Expression, operand: &Expression, field: &str) -> Checked {
        // A parameter's name may itself have dots.
        if let Some(found) = dotted(whole).and_then(|name| self.name(&name)) {
            return found;
        }
        let (kind, operand) = self.fields_of(at, operand);
        (kind, Node::Field { operand: Box::new(operand), name: field.into() })
    }

    fn has(&mut self, at: usize, operand: &Expression, field: &str) -> Checked {
        let (_, operand) = self.fields_of(at, operand);
        (Kind::Bool, Node::Has { operand: Box::new(operand), name: field.into() })
    }

    /// What fields are read from, and the type that they have.
    fn fields_of(&mut self, at: usize, operand: &Expression) -> Checked {
        let (kind, node) = self.check(operand);
        let node = readable(node);
        match self.variables.resolve(&kind) {
            Kind::Map(entry) => (entry.1, node),
            Kind::Dynamic | Kind::Any | Kind::Wrong => (Kind::Dynamic, node),
            kind @ Kind::Variable(_) => {
                self.variables.assign(&Kind::Dynamic, &kind);
                (Kind::Dynamic, node)
            }
            kind => self.report(at, ConditionFault::NoFields(kind.to_string())),
        }
    }

    fn index(&mut self, at: usize, operand: &Expression, index: &Expression) -> Checked {
        let (operand_kind, operand) = self.check(operand);
        let (index_kind, index) = self.check(index);
        let index = if index.is_read_by_name() { index.unobserved() } else { index };
        if let Node::Constant(Datum::Null | Datum::List(_) | Datum::Map(_) | Datum::Bytes(_)) = &index {
            return self.no_overload(at, "_[_]", &[operand_kind, index_kind]);
        }
        let found = self.resolve(at, "_[_]", false, &[operand_kind, index_kind]);
        let node = Node::Index(Box::new((readable(operand), index)));
        (found.map_or(Kind::Wrong, |(kind, ..)| kind), node)
    }

    fn logic(&mut self, terms: &[Expression], form: impl Fn(Box<[Node]>) -> Node) -> Checked {
        let terms = terms.iter().map(|term| self.truth(term)).collect();
        (Kind::Bool, form(terms))
    }

    /// An operand that must be true or false.
    fn truth(&mut self, expression: &Expression) -> Node {
        let (kind, node) = self.check(expression);
        if !self.variables.assign(&kind, &Kind::Bool) {
            let kind = self.variables.resolve(&kind).to_string();
            self.report(expression.at, ConditionFault::NotBool(kind));
        }
        node
    }

    fn ternary(&mut self, at: usize, parts: &[Expression; 3]) -> Checked {
        let [test, then, otherwise] = parts;
        let (test_kind, test) = self.check(test);
        let (then_kind, then) = self.check(then);
        let (otherwise_kind, otherwise) = self.check(otherwise);
        let result = self.variables.fresh();
        let wanted = [Kind::Bool, result.clone(), result.clone()];
        let given = [test_kind, then_kind, otherwise_kind];
        if !self.variables.assign_all(&given, &wanted) {
            return self.no_overload(at, "_?_:_", &given);
        }
        let unobserved = |node: Node| if node.is_read_by_name() { node.unobserved() } else { node };
        let node = Node::Ternary(Box::new([test, unobserved(then), unobserved(otherwise)]));
        (self.variables.resolve(&result), node)
    }

    fn list(&mut self, at: usize, elements: &[Expression]) -> Checked {
        let mut joined = None;
        let mut nodes = Vec::with_capacity(elements.len());
        for element in elements {
            let (kind, node) = self.check(element);
            joined = Some(self.join(joined, kind));
            nodes.push(node);
        }
        let kind = joined.unwrap_or_else(|| self.variables.fresh());
        let constant = nodes.iter().all(is_constant);
        (Kind::list(kind), self.folded(at, Node::List(nodes.into()), constant))
    }

    fn map(&mut self, at: usize, entries: &[(Expression, Expression)]) -> Checked {
        let (mut keys, mut values) = (None, None);
        let mut nodes = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let (key_kind, key) = self.check(key);
            let (value_kind, value) = self.check(value);
            keys = Some(self.join(keys, key_kind));
            values = Some(self.join(values, value_kind));
            nodes.push((key, value));
        }
        let key = keys.unwrap_or_else(|| self.variables.fresh());
        let value = values.unwrap_or_else(|| self.variables.fresh());
        let constant = nodes.iter().all(|(key, value)| is_constant(key) && is_constant(value));
        (Kind::map(key, value), self.folded(at, Node::Map(nodes.into()), constant))
    }

    fn join(&mut self, before: Option<Kind>, kind: Kind) -> Kind {
        match before {
            Some(before) => self.variables.join(before, kind),
            None => kind,
        }
    }

    /// Computes what is constant now. What cannot be computed would fail each time.
    fn folded(&mut self, at: usize, node: Node, constant: bool) -> Node {
        if !constant {
            return node;
        }
        match fold(&node) {
            Ok(datum) => Node::Constant(datum),
            Err(fault) => self.report(at, ConditionFault::BadConstant(fault)).1,
        }
    }

    fn call(&mut self, at: usize, target: Option<&Expression>, name: &str, arguments: &[Expression]) -> Checked {
        let operands: Vec<Checked> = target.into_iter().chain(arguments).map(|operand| self.check(operand)).collect();
        let (kinds, nodes): (Vec<Kind>, Vec<Node>) = operands.into_iter().unzip();
        let Some((kind, function, charge)) = self.resolve(at, name, target.is_some(), &kinds) else {
            return (Kind::Wrong, Node::Constant(Datum::Null));
        };
        let mut nodes = nodes.into_iter();
        let node = match (nodes.next(), nodes.next()) {
            (Some(operand), None) => {
                let constant = function.is_conversion() && is_constant(&operand);
                self.folded(at, Node::Unary { function, charge, operand: Box::new(operand) }, constant)
            }
            (Some(one), Some(other)) => self.binary(at, function, charge, one, other),
            _ => return self.no_overload(at, name, &kinds),
        };
        (kind, node)
    }

    fn binary(&mut self, at: usize, function: Function, charge: Charge, one: Node, other: Node) -> Node {
        match (function, &other) {
            (Function::Matches, Node::Constant(Datum::String(pattern))) => match compile_pattern(pattern) {
                Ok(regex) => {
                    let length = pattern.chars().count() as u64;
                    return Node::Matches { text: Box::new(one), pattern: Box::new((regex, length)) };
                }
                Err(_) => {
                    let fault = ConditionFault::BadPattern(pattern.to_string());
                    return self.report(at, fault).1;
                }
            },
            // Only where the list is known to be one does cel-go make a set of it.
            (Function::In, Node::Constant(Datum::List(elements))) if charge == Charge::SecondSize => {
                if elements.is_empty() {
                    return Node::Constant(Datum::Bool(false));
                }
                if let Some(set) = sorted_set(elements) {
                    return Node::Member { value: Box::new(one), set };
                }
            }
            _ => {}
        }
        Node::Binary { function, charge, operands: Box::new((one, other)) }
    }

    fn resolve(&mut self, at: usize, name: &str, member: bool, kinds: &[Kind]) -> Option<(Kind, Function, Charge)> {
        match look_up(&mut self.variables, name, member, kinds) {
            Lookup::Found(found) => Some((found.kind, found.function, found.charge)),
            Lookup::NoFunction => {
                self.report(at, ConditionFault::UnknownFunction(name.to_owned()));
                None
            }
            Lookup::NoOverload => {
                self.no_overload(at, name, kinds);
                None
            }
        }
    }

    fn no_overload(&mut self, at: usize, name: &str, kinds: &[Kind]) -> Checked {
        let kinds: Vec<String> = kinds.iter().map(|kind| self.variables.resolve(kind).to_string()).collect();
        let function = name.replace('@', "").replace("_[_]", "[]").replace("_?_:_", "?:").replace('_', " ");
        let function =
            if name.starts_with(['_', '!', '-', '@']) { function.trim().to_owned() } else { name.to_owned() };
        self.report(at, ConditionFault::NoOverload { function, arguments: kinds.join(", ") })
    }

    fn repeat(&mut self, repeated: &Loop) -> Checked {
        let (range_kind, range) = self.check(&repeated.range);
        let element = match self.variables.resolve(&range_kind) {
            Kind::List(element) => *element,
            Kind::Map(entry) => entry.0,
            kind @ (Kind::Dynamic | Kind::Wrong | Kind::Variable(_)) => {
                self.variables.assign(&Kind::Dynamic, &kind);
                Kind::Dynamic
            }
            kind => self.report(repeated.range.at, ConditionFault::NoElements(kind.to_string())).0,
        };
        self.locals.push((repeated.variable.clone(), element.clone()));
        let test = repeated.test.as_ref().map(|test| self.truth(test));
        let result = repeated.result.as_ref().map(|result| self.check(result));
        self.locals.pop();
        let (result_kind, result) = result.unzip();
        let kind = match repeated.iteration {
            Iteration::All | Iteration::Exists | Iteration::ExistsOne => Kind::Bool,
            Iteration::Map => Kind::list(result_kind.unwrap_or(Kind::Wrong)),
            Iteration::Filter => Kind::list(element),
        };
        let iteration = repeated.iteration;
        (kind, Node::Loop(Box::new(eval::Loop { iteration, range, test, result })))
    }
}

fn constant(literal: &Literal) -> Checked {
    let (kind, datum) = match literal {
        Literal::Null => (Kind::Null, Datum::Null),
        Literal::Bool(value) => (Kind::Bool, Datum::Bool(*value)),
        Literal::Int(value) => (Kind::Int, Datum::Int(*value)),
        Literal::Uint(value) => (Kind::Uint, Datum::Uint(*value)),
        Literal::Double(value) => (Kind::Double, Datum::Double(*value)),
        Literal::String(text) => (Kind::String, Datum::String(text.clone())),
        Literal::Bytes(bytes) => (Kind::Bytes, Datum::Bytes(bytes.clone())),
    };
    (kind, Node::Constant(datum))
}

const fn is_constant(node: &Node) -> bool {
    matches!(node, Node::Constant(_))
}

/// The node to read a field or index from: what is not read by name is made first.
fn readable(node: Node) -> Node {
    if node.is_read_by_name() { node } else { Node::Made { operand: Box::new(node), charge: 1 } }
}

/// `a.b.c` as one name.
fn dotted(expression: &Expression) -> Option<String> {
    match &expression.form {
        Form::Name(name) => Some(name.clone()),
        Form::Select { operand, field } => dotted(operand).map(|prefix| format!("{prefix}.{field}")),
        _ => None,
    }
}

/// The constants of a list, sorted, if all can be keys.
fn sorted_set(elements: &[Datum]) -> Option<Box<[Datum]>> {
    let mut set = elements.to_vec();
    if !set.iter().all(|element| {
        matches!(element, Datum::Bool(_) | Datum::Int(_) | Datum::Uint(_) | Datum::Double(_) | Datum::String(_))
    }) {
        return None;
    }
    set.sort_by(|one, other| order_of_keys(&one.into(), &other.into()).unwrap_or(std::cmp::Ordering::Equal));
    Some(set.into())
}

fn named_type(name: &str) -> Option<(Kind, TypeName)> {
    Some(match name {
        "bool" => (Kind::Bool, TypeName::Bool),
        "bytes" => (Kind::Bytes, TypeName::Bytes),
        "double" => (Kind::Double, TypeName::Double),
        "google.protobuf.Duration" => (Kind::Duration, TypeName::Duration),
        "google.protobuf.Timestamp" => (Kind::Timestamp, TypeName::Timestamp),
        "int" => (Kind::Int, TypeName::Int),
        "list" => (Kind::list(Kind::Dynamic), TypeName::List),
        "map" => (Kind::map(Kind::Dynamic, Kind::Dynamic), TypeName::Map),
        "null_type" => (Kind::Null, TypeName::Null),
        "string" => (Kind::String, TypeName::String),
        "type" => (Kind::Type(Box::new(Kind::Dynamic)), TypeName::Type),
        "uint" => (Kind::Uint, TypeName::Uint),
        _ => return None,
    })
}
