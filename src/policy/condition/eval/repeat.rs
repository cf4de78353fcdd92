//! Loops over lists and the keys of maps.

use super::{
    evaluate::{Computed, Run},
    node::{Loop, Node},
    value::{List, Value},
};
use crate::policy::condition::{problem::EvaluationFault, syntax::Iteration};

/// The most rounds of loops in one evaluation. Only loops that cost nothing come this far.
const MOST_STEPS: u32 = 1_000_000;

impl<'a> Run<'a> {
    /// `range.exists(variable, test)` and its relatives. Their costs are those of the steps that cel-go makes of them.
    pub(super) fn repeat(&mut self, repeated: &'a Loop) -> Computed<'a> {
        let range = self.value(&repeated.range)?;
        match repeated.iteration {
            Iteration::All => self.quantify(repeated, &range, false),
            Iteration::Exists => self.quantify(repeated, &range, true),
            Iteration::ExistsOne => self.count(repeated, &range),
            Iteration::Map | Iteration::Filter => self.collect(repeated, &range),
        }
    }

    /// One round: the test or result of an element, with the loop's variable set to it.
    fn round(&mut self, node: &'a Node, element: &Value<'a>) -> Computed<'a> {
        self.locals.push(element.clone());
        let result = self.value(node);
        self.locals.pop();
        result
    }

    fn step(&mut self) -> Result<(), EvaluationFault> {
        self.steps += 1;
        if self.steps > MOST_STEPS { Err(EvaluationFault::TooManySteps) } else { Ok(()) }
    }

    /// `exists` if `decisive` is true, `all` if it is false.
    fn quantify(&mut self, repeated: &'a Loop, range: &Value<'a>, decisive: bool) -> Computed<'a> {
        let test = repeated.test.as_ref().ok_or(EvaluationFault::NoOverload)?;
        let mut answer: Computed<'a> = Ok(Value::Bool(!decisive));
        for index in 0..length(range)? {
            self.step()?;
            // Whether to go on: reads what was found so far, and for `exists` turns it around.
            self.charge(if decisive { 3 } else { 2 })?;
            if matches!(answer, Ok(Value::Bool(found)) if found == decisive) {
                break;
            }
            self.charge(1)?;
            match self.round(test, &element(range, index)?) {
                Ok(Value::Bool(found)) if found == decisive => answer = Ok(Value::Bool(found)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => answer = answer.and(Err(EvaluationFault::NoOverload)),
                Err(fault) if fault.is_final() => return Err(fault),
                Err(fault) => answer = answer.and(Err(fault)),
            }
        }
        self.charge(1)?;
        answer
    }

    fn count(&mut self, repeated: &'a Loop, range: &Value<'a>) -> Computed<'a> {
        let test = repeated.test.as_ref().ok_or(EvaluationFault::NoOverload)?;
        let mut count = Ok(0_u64);
        for index in 0..length(range)? {
            self.step()?;
            let found = self.round(test, &element(range, index)?);
            count = self.tally(&found, count, 1, |_, count| Ok(count + 1))?;
        }
        self.charge(1)?;
        let count = count?;
        self.charge(1)?;
        Ok(Value::Bool(count == 1))
    }

    fn collect(&mut self, repeated: &'a Loop, range: &Value<'a>) -> Computed<'a> {
        let mut made: Result<Vec<Value<'a>>, EvaluationFault> = Ok(Vec::new());
        for index in 0..length(range)? {
            self.step()?;
            let element = element(range, index)?;
            let chosen = match &repeated.test {
                Some(test) => self.round(test, &element),
                None => Ok(Value::Bool(true)),
            };
            made = self.tally(&chosen, made, 0, |run, mut made| {
                let item = match &repeated.result {
                    Some(result) => {
                        let item = run.round(result, &element);
                        let cost = if matches!(result, Node::Constant(_)) { 0 } else { 10 };
                        run.finish(cost, item)
                    }
                    None => run.charge(11).map(|()| element.clone()),
                };
                match item {
                    Err(fault) => run.finish(1, Err(fault)).map(|_| made),
                    Ok(item) => {
                        run.charge(1)?;
                        made.push(item);
                        Ok(made)
                    }
                }
            })?;
        }
        self.charge(1)?;
        made.map(|made| Value::List(List::Made(made.into())))
    }

    /// `chosen ? accumulated + one more : accumulated`, where an error stays to the end.
    fn tally<T>(
        &mut self,
        chosen: &Computed<'a>,
        accumulated: Result<T, EvaluationFault>,
        added: u64,
        more: impl FnOnce(&mut Self, T) -> Result<T, EvaluationFault>,
    ) -> Result<Result<T, EvaluationFault>, EvaluationFault> {
        match chosen {
            Ok(Value::Bool(false)) => Ok(accumulated),
            Ok(Value::Bool(true)) => {
                self.charge(1)?;
                let Ok(accumulated) = accumulated else { return Ok(accumulated) };
                self.charge(added)?;
                match more(self, accumulated) {
                    Err(fault) if fault.is_final() => Err(fault),
                    outcome => Ok(outcome),
                }
            }
            Ok(_) => Ok(Err(EvaluationFault::NoOverload)),
            Err(fault) if fault.is_final() => Err(*fault),
            Err(fault) => Ok(Err(*fault)),
        }
    }
}

fn length(range: &Value<'_>) -> Result<usize, EvaluationFault> {
    match range {
        Value::List(list) => Ok(list.len()),
        Value::Map(map) => Ok(map.len()),
        _ => Err(EvaluationFault::NoOverload),
    }
}

fn element<'a>(range: &Value<'a>, index: usize) -> Computed<'a> {
    let element = match range {
        Value::List(list) => list.get(index),
        Value::Map(map) => map.entry(index).map(|(key, _)| key),
        _ => None,
    };
    element.ok_or(EvaluationFault::IndexOutOfBounds)
}
