//! Runs a program, and counts what it costs.

use smallvec::SmallVec;

use super::{
    convert::convert,
    function::{Charge, Function, pattern_cost},
    node::{Node, Program},
    operate::{calculate, compare, contained, equal, negate},
    pattern::compile_pattern,
    value::{Datum, List, Map, Text, Value, order_of_keys, same_number},
    zone::read_clock,
};
use crate::policy::condition::problem::{EvaluationFault, HIGHEST_COST};

pub(super) type Computed<'a> = Result<Value<'a>, EvaluationFault>;

/// Decides a condition from the values of its parameters, and says what that cost.
pub(in crate::policy::condition) fn run(
    program: &Program,
    parameters: &[&Datum],
) -> (Result<bool, EvaluationFault>, u64) {
    let mut run = Run { parameters, locals: SmallVec::new(), cost: 0, steps: 0 };
    let result = match run.value(&program.root) {
        Ok(Value::Bool(answer)) => Ok(answer),
        Ok(_) => Err(EvaluationFault::NoOverload),
        Err(fault) => Err(fault),
    };
    (result, run.cost)
}

/// What a node without names computes, when the condition is compiled.
pub(in crate::policy::condition) fn fold(node: &Node) -> Result<Datum, EvaluationFault> {
    let mut run = Run { parameters: &[], locals: SmallVec::new(), cost: 0, steps: 0 };
    match node {
        Node::Unary { function, operand, .. } => Ok(convert(*function, run.value(operand)?)?.keep()),
        Node::List(elements) => Ok(run.elements(elements)?.keep()),
        Node::Map(entries) => Ok(run.entries(entries)?.keep()),
        other => Ok(run.value(other)?.keep()),
    }
}

pub(super) struct Run<'a> {
    parameters: &'a [&'a Datum],
    /// The variables of the loops around, outermost first.
    pub(super) locals: SmallVec<[Value<'a>; 2]>,
    cost: u64,
    pub(super) steps: u32,
}

impl<'a> Run<'a> {
    pub(super) fn charge(&mut self, cost: u64) -> Result<(), EvaluationFault> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > HIGHEST_COST { Err(EvaluationFault::CostExceeded) } else { Ok(()) }
    }

    pub(super) fn value(&mut self, node: &'a Node) -> Computed<'a> {
        match node {
            Node::Constant(datum) => Ok(datum.into()),
            Node::Parameter { index, charge } => {
                self.charge(*charge)?;
                self.parameters.get(*index).map(|datum| Value::from(*datum)).ok_or(EvaluationFault::NoSuchKey)
            }
            Node::Local { index, charge } => {
                self.charge(*charge)?;
                self.locals.get(*index).cloned().ok_or(EvaluationFault::NoSuchKey)
            }
            Node::Made { operand, charge } => {
                self.charge(*charge)?;
                self.value(operand)
            }
            Node::Unary { function, charge, operand } => self.unary(*function, *charge, operand),
            Node::Binary { function, charge, operands } => self.binary(*function, *charge, operands),
            Node::And(terms) => self.logic(terms, false),
            Node::Or(terms) => self.logic(terms, true),
            Node::Ternary(parts) => self.ternary(parts),
            Node::Field { operand, name } => self.field(operand, name),
            Node::Has { operand, name } => self.has(operand, name),
            Node::Index(operands) => self.index(operands),
            Node::List(elements) => self.list(elements),
            Node::Map(entries) => self.map(entries),
            Node::Matches { text, pattern } => self.matches(text, pattern),
            Node::Member { value, set } => self.member(value, set),
            Node::Loop(repeated) => self.repeat(repeated),
        }
    }

    /// `&&` if `decisive` is false, `||` if it is true: the decisive value wins over errors.
    fn logic(&mut self, terms: &'a [Node], decisive: bool) -> Computed<'a> {
        let mut failed = None;
        for term in terms {
            match self.value(term) {
                Ok(Value::Bool(value)) if value == decisive => return Ok(Value::Bool(value)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => failed = failed.or(Some(EvaluationFault::NoOverload)),
                Err(fault) if fault.is_final() => return Err(fault),
                Err(fault) => failed = failed.or(Some(fault)),
            }
        }
        failed.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    fn ternary(&mut self, parts: &'a [Node; 3]) -> Computed<'a> {
        let [test, then, otherwise] = parts;
        match self.value(test)? {
            Value::Bool(true) => self.value(then),
            Value::Bool(false) => self.value(otherwise),
            _ => Err(EvaluationFault::NoOverload),
        }
    }

    fn field(&mut self, operand: &'a Node, name: &'a str) -> Computed<'a> {
        let operand = self.value(operand)?;
        self.charge(1)?;
        match operand {
            Value::Map(map) => map.field(name).ok_or(EvaluationFault::NoSuchKey),
            Value::List(_) => Err(EvaluationFault::IndexOutOfBounds),
            _ => Err(EvaluationFault::NoSuchKey),
        }
    }

    fn has(&mut self, operand: &'a Node, name: &'a str) -> Computed<'a> {
        let operand = self.value(operand)?;
        self.charge(1)?;
        match operand {
            Value::Map(map) => Ok(Value::Bool(map.field(name).is_some())),
            Value::List(_) => Err(EvaluationFault::IndexOutOfBounds),
            _ => Ok(Value::Bool(false)),
        }
    }

    fn index(&mut self, operands: &'a (Node, Node)) -> Computed<'a> {
        let operand = self.value(&operands.0)?;
        let index = self.value(&operands.1);
        self.charge(1)?;
        let index = index?;
        match operand {
            Value::Map(map) => map.get(&index).ok_or(EvaluationFault::NoSuchKey),
            Value::List(list) => {
                place_in_list(&index).and_then(|at| list.get(at)).ok_or(EvaluationFault::IndexOutOfBounds)
            }
            _ => Err(EvaluationFault::NoSuchKey),
        }
    }

    fn elements(&mut self, nodes: &'a [Node]) -> Computed<'a> {
        let mut elements = Vec::with_capacity(nodes.len());
        for node in nodes {
            elements.push(self.value(node)?);
        }
        Ok(Value::List(List::Made(elements.into())))
    }

    fn entries(&mut self, nodes: &'a [(Node, Node)]) -> Computed<'a> {
        let mut entries = Vec::with_capacity(nodes.len());
        for (key, value) in nodes {
            entries.push((self.value(key)?, self.value(value)?));
        }
        Map::made(entries).map(Value::Map).ok_or(EvaluationFault::NoOverload)
    }

    fn list(&mut self, nodes: &'a [Node]) -> Computed<'a> {
        let list = self.elements(nodes);
        self.finish(10, list)
    }

    fn map(&mut self, nodes: &'a [(Node, Node)]) -> Computed<'a> {
        let map = self.entries(nodes);
        self.finish(30, map)
    }

    /// Charges for a step whose outcome is known, unless the evaluation has already ended.
    pub(super) fn finish(&mut self, cost: u64, outcome: Computed<'a>) -> Computed<'a> {
        match outcome {
            Err(fault) if fault.is_final() => Err(fault),
            outcome => {
                self.charge(cost)?;
                outcome
            }
        }
    }

    fn unary(&mut self, function: Function, charge: Charge, operand: &'a Node) -> Computed<'a> {
        let operand = match self.value(operand) {
            Ok(operand) => operand,
            Err(fault) => return self.finish(charge.of_one(None), Err(fault)),
        };
        self.charge(charge.of_one(Some(&operand)))?;
        match function {
            Function::Not => match operand {
                Value::Bool(value) => Ok(Value::Bool(!value)),
                _ => Err(EvaluationFault::NoOverload),
            },
            Function::Negate => negate(&operand),
            Function::Size => match operand {
                Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_) => {
                    i64::try_from(operand.size()).map(Value::Int).map_err(|_| EvaluationFault::Overflow)
                }
                _ => Err(EvaluationFault::NoOverload),
            },
            function if function.is_conversion() || function == Function::ToIpAddress => convert(function, operand),
            function => read_clock(function, &operand, None),
        }
    }

    fn binary(&mut self, function: Function, charge: Charge, operands: &'a (Node, Node)) -> Computed<'a> {
        let one = self.value(&operands.0)?;
        let other = match self.value(&operands.1) {
            Ok(other) => other,
            Err(fault) => return self.finish(charge.of_two(&one, None), Err(fault)),
        };
        self.charge(match charge {
            Charge::One => 1,
            charge => charge.of_two(&one, Some(&other)),
        })?;
        let truth = match function {
            Function::Equal => equal(&one, &other)?,
            // What cannot be compared is not the same.
            Function::NotEqual => equal(&one, &other) != Ok(true),
            Function::Less | Function::LessOrEqual | Function::Greater | Function::GreaterOrEqual => {
                compare(function, &one, &other)?
            }
            Function::In => contained(&one, &other)?,
            Function::Contains | Function::StartsWith | Function::EndsWith | Function::Matches => {
                search(function, &one, &other)?
            }
            Function::InCidr => match (&one, &other) {
                (Value::IpAddress(address), Value::String(network)) => {
                    address.is_in(network).ok_or(EvaluationFault::BadNetwork)?
                }
                _ => return Err(EvaluationFault::NoOverload),
            },
            Function::Add | Function::Subtract | Function::Multiply | Function::Divide | Function::Remainder => {
                return calculate(function, &one, &other);
            }
            function => return read_clock(function, &one, Some(&other)),
        };
        Ok(Value::Bool(truth))
    }

    fn matches(&mut self, text: &'a Node, pattern: &'a (regex::Regex, u64)) -> Computed<'a> {
        let text = self.value(text)?;
        self.charge(pattern_cost(text.size() as u64, pattern.1))?;
        match text {
            Value::String(text) => Ok(Value::Bool(pattern.0.is_match(&text))),
            _ => Err(EvaluationFault::NoOverload),
        }
    }

    fn member(&mut self, value: &'a Node, set: &'a [Datum]) -> Computed<'a> {
        let value = self.value(value)?;
        let holds = |value: &Value<'_>| {
            let order = |other: &Datum| order_of_keys(&other.into(), value).unwrap_or(std::cmp::Ordering::Less);
            set.binary_search_by(order).is_ok()
        };
        let found = match value {
            // It equals nothing, itself not either.
            Value::Double(double) if double.is_nan() => false,
            // The same zero, whatever its sign.
            Value::Double(0.0) => [0.0, -0.0]
                .into_iter()
                .map(Value::Double)
                .chain([Value::Int(0), Value::Uint(0)])
                .any(|zero| holds(&zero)),
            value => {
                holds(&value)
                    || same_number(&value)
                        .into_iter()
                        .flatten()
                        .any(|other| !matches!(other, Value::Null) && holds(&other))
            }
        };
        Ok(Value::Bool(found))
    }
}

fn search(function: Function, text: &Value<'_>, part: &Value<'_>) -> Result<bool, EvaluationFault> {
    let (Value::String(text), Value::String(part)) = (text, part) else { return Err(EvaluationFault::NoOverload) };
    let (text, part): (&Text<'_>, &Text<'_>) = (text, part);
    Ok(match function {
        Function::Contains => text.contains(&**part),
        Function::StartsWith => text.starts_with(&**part),
        Function::EndsWith => text.ends_with(&**part),
        _ => compile_pattern(part)?.is_match(text),
    })
}

fn place_in_list(index: &Value<'_>) -> Option<usize> {
    match index {
        Value::Int(int) => usize::try_from(*int).ok(),
        Value::Uint(uint) => usize::try_from(*uint).ok(),
        Value::Double(_) => same_number(index)?.into_iter().find_map(|whole| match whole {
            Value::Int(int) => usize::try_from(int).ok(),
            _ => None,
        }),
        _ => None,
    }
}
