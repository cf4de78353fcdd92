//! A condition that is ready to decide.

use std::{cell::RefCell, ptr};

use smallvec::SmallVec;

use super::{
    context::ContextMap,
    conversion::convert,
    eval::{Datum, Program, run},
    problem::{ConditionError, ConditionFault, ConditionProblem, Unconvertible, UndeclaredKeys},
    source::{ConditionName, ConditionSource, ParameterSource, ParameterType},
    syntax::parse,
    typing::compile,
};
use crate::access::Timestamp;

/// The most parameters of one condition: more than any model has, and few enough for small indexes.
const MOST_PARAMETERS: usize = 1_000;

/// The parameter whose value is the time of the request.
const NOW: &str = "current_time";

/// A condition: a checked expression over declared parameters. It decides alone from the two contexts it is given.
#[derive(Debug, Clone)]
pub struct Condition {
    name: ConditionName,
    parameters: Box<[ParameterSource]>,
    expression: Box<str>,
    program: Program,
}

/// What a tuple's context says, as values of the condition's parameters.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BoundContext {
    // INVARIANT: sorted by parameter, no two the same. Values that cannot be converted are kept as errors.
    values: Box<[(u16, Result<Datum, Unconvertible>)]>,
}

/// What a request's context says. Each condition converts it once.
///
/// By default it says nothing.
#[derive(Debug, Default)]
pub struct RequestContext<'r> {
    values: Option<&'r ContextMap>,
    now: Option<Clock>,
    converted: RefCell<SmallVec<[(&'r Condition, Slots); 2]>>,
}

/// The time of a request.
#[derive(Debug, Clone, Copy)]
enum Clock {
    /// Unless the context says another one.
    Default(Timestamp),
    /// Whatever the context says.
    Only(Timestamp),
}

/// The request's value of each parameter.
type Slots = Box<[Option<Result<Datum, Unconvertible>>]>;

impl<'r> RequestContext<'r> {
    /// The context of one request.
    pub fn new(values: &'r ContextMap) -> Self {
        Self { values: Some(values), ..Self::default() }
    }

    /// The same, and the time: it is the value of every parameter `current_time: timestamp` that nothing else gives one.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self { now: Some(Clock::Default(now)), ..self }
    }

    /// The same, and the time: it is the value of every parameter `current_time: timestamp`, whatever the values say.
    #[must_use]
    pub fn only_at(self, now: Timestamp) -> Self {
        Self { now: Some(Clock::Only(now)), ..self }
    }

    fn value(&self, parameter: &ParameterSource) -> Option<Result<Datum, Unconvertible>> {
        let given = self.values.and_then(|values| values.get(&parameter.name.value));
        let given = given.map(|value| convert(value, &parameter.kind));
        let is_time = parameter.name.value == NOW && parameter.kind == ParameterType::Timestamp;
        match self.now.filter(|_| is_time) {
            Some(Clock::Only(now)) => Some(Ok(Datum::from(now))),
            Some(Clock::Default(now)) => given.or_else(|| Some(Ok(Datum::from(now)))),
            None => given,
        }
    }
}

impl Condition {
    /// Checks a condition as OpenFGA does: the expression is CEL, its types agree with the parameters, and it gives a
    /// bool. Refuses it with everything that is wrong, each with its place in the expression.
    pub fn compile(source: &ConditionSource) -> Result<Self, Vec<ConditionProblem>> {
        let parameters = &source.parameters;
        let mut problems: Vec<ConditionProblem> = parameters
            .iter()
            .enumerate()
            .filter(|(index, parameter)| {
                parameters.iter().take(*index).any(|other| other.name.value == parameter.name.value)
            })
            .map(|(_, parameter)| ConditionFault::DuplicateParameter(parameter.name.value.clone()))
            .map(|fault| ConditionProblem { offset: None, fault })
            .collect();
        if parameters.len() > MOST_PARAMETERS {
            let fault = ConditionFault::TooManyParameters(MOST_PARAMETERS);
            return Err(vec![ConditionProblem { offset: None, fault }]);
        }
        let text = source.expression.value.as_str();
        match parse(text).map_err(|problem| vec![problem]).and_then(|expression| compile(&expression, parameters)) {
            Ok(program) if problems.is_empty() => Ok(Self {
                name: source.name.value.clone(),
                parameters: parameters.as_slice().into(),
                expression: text.into(),
                program,
            }),
            Ok(_) => Err(problems),
            Err(more) => {
                problems.extend(more);
                Err(problems)
            }
        }
    }

    /// The condition's name.
    pub const fn name(&self) -> &ConditionName {
        &self.name
    }

    /// The parameters, in the order they were written.
    pub fn parameters(&self) -> &[ParameterSource] {
        &self.parameters
    }

    /// The expression, as it was written.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Converts a tuple's context once. A key that is not declared makes the tuple invalid and is refused. A value that
    /// is not of its parameter's type is kept, and is the error of every evaluation that needs it.
    pub fn bind(&self, context: &ContextMap) -> Result<BoundContext, UndeclaredKeys> {
        let declared = |name: &str| self.parameters.iter().any(|parameter| parameter.name.value == name);
        let keys: Vec<String> =
            context.iter().filter(|(name, _)| !declared(name)).map(|(name, _)| name.to_owned()).collect();
        if !keys.is_empty() {
            return Err(UndeclaredKeys { condition: self.name.clone(), keys });
        }
        let values = (0..).zip(&self.parameters).filter_map(|(index, parameter)| {
            let value = context.get(&parameter.name.value)?;
            Some((index, convert(value, &parameter.kind)))
        });
        Ok(BoundContext { values: values.collect() })
    }

    /// The first of a tuple's values that is not of its parameter's type.
    pub fn misfit(&self, tuple: &BoundContext) -> Option<ConditionError> {
        let mut values = tuple.values.iter();
        values.find_map(|(index, value)| value.as_ref().err().map(|problem| self.unconvertible(*index, *problem)))
    }

    /// Whether the tuple counts. The tuple's values win over the request's, of which the undeclared are ignored.
    /// Fails if a declared parameter has no value, one cannot be converted, or the expression has no answer.
    pub fn evaluate<'r>(&'r self, tuple: &BoundContext, request: &RequestContext<'r>) -> Result<bool, ConditionError> {
        self.measure(tuple, request).0
    }

    /// [`evaluate`](Self::evaluate), and what it cost of the 100 that it may.
    pub fn measure<'r>(
        &'r self,
        tuple: &BoundContext,
        request: &RequestContext<'r>,
    ) -> (Result<bool, ConditionError>, u64) {
        if self.parameters.is_empty() && request.values.is_some_and(|values| !values.is_empty()) {
            return (Err(ConditionError::NoParameters(self.name.clone())), 0);
        }
        self.convert_for(request);
        let converted = request.converted.borrow();
        let slots = converted.iter().find(|(condition, _)| ptr::eq(*condition, self)).map(|(_, slots)| slots);
        let slots: &[_] = slots.map_or(&[], |slots| slots);
        let mut parameters: SmallVec<[&Datum; 8]> = SmallVec::new();
        let mut bound = tuple.values.iter().peekable();
        for (index, slot) in (0_u16..).zip(slots) {
            let own = bound.next_if(|(parameter, _)| *parameter == index).map(|(_, value)| value);
            match own.or(slot.as_ref()) {
                Some(Ok(datum)) => parameters.push(datum),
                Some(Err(problem)) => return (Err(self.unconvertible(index, *problem)), 0),
                None => return (Err(self.missing(tuple, slots)), 0),
            }
        }
        let (answer, cost) = run(&self.program, &parameters);
        (answer.map_err(|fault| ConditionError::Failed { condition: self.name.clone(), fault }), cost)
    }

    /// Converts the request's context for this condition, unless that was done before.
    fn convert_for<'r>(&'r self, request: &RequestContext<'r>) {
        if request.converted.borrow().iter().any(|(condition, _)| ptr::eq(*condition, self)) {
            return;
        }
        let slots = self.parameters.iter().map(|parameter| request.value(parameter)).collect();
        request.converted.borrow_mut().push((self, slots));
    }

    #[cold]
    fn unconvertible(&self, index: u16, problem: Unconvertible) -> ConditionError {
        let parameter = self.parameters.get(usize::from(index));
        ConditionError::Unconvertible {
            condition: self.name.clone(),
            parameter: parameter.map(|parameter| parameter.name.value.clone()).unwrap_or_default(),
            expected: parameter.map(|parameter| parameter.kind.to_string()).unwrap_or_default(),
            problem,
        }
    }

    #[cold]
    fn missing(&self, tuple: &BoundContext, slots: &[Option<Result<Datum, Unconvertible>>]) -> ConditionError {
        let bound = |index: u16| tuple.values.iter().any(|(parameter, _)| *parameter == index);
        let missing =
            (0..).zip(&self.parameters).zip(slots).filter(|((index, _), slot)| slot.is_none() && !bound(*index));
        let parameters = missing.map(|((_, parameter), _)| parameter.name.value.clone()).collect();
        ConditionError::Missing { condition: self.name.clone(), parameters }
    }
}
