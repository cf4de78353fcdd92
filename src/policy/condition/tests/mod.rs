//! Conditions, tried by table. What they expect was compared with OpenFGA's own answers.

mod contexts;
mod costs;
mod expressions;
mod properties;
mod refusals;

use super::{
    BoundContext, Condition, ConditionError, ConditionProblem, ConditionSource, ContextMap, EvaluationFault,
    ParameterSource, ParameterType, RequestContext, UndeclaredKeys,
};
use crate::{
    access::Place,
    policy::model::Placed,
    protocol::{JsonLimits, parse_json},
};

/// A parameter of each type, and what a request says of it.
const PARAMETERS: &str = "x: int, u: uint, d: double, s: string, b: bool, t: timestamp, du: duration, ip: ipaddress, \
                          a: any, l: list<string>, li: list<int>, m: map<any>, mi: map<int>";
const REQUEST: &str = r#"{"x":1,"u":2,"d":1.5,"s":"abc","b":true,"t":"2024-02-29T12:34:56.789Z","du":"90m",
    "ip":"10.0.0.1","a":{"k":1,"n":null},"l":["a","b"],"li":[1,2],"m":{"k":"v","n":null},"mi":{"q":3}}"#;

fn kind(text: &str) -> ParameterType {
    let inner = |text: &str| Box::new(kind(text.strip_suffix('>').unwrap()));
    match text {
        "bool" => ParameterType::Bool,
        "string" => ParameterType::String,
        "int" => ParameterType::Int,
        "uint" => ParameterType::Uint,
        "double" => ParameterType::Double,
        "duration" => ParameterType::Duration,
        "timestamp" => ParameterType::Timestamp,
        "ipaddress" => ParameterType::IpAddress,
        "any" => ParameterType::Any,
        other => match other.split_once('<').unwrap() {
            ("list", element) => ParameterType::List(inner(element)),
            (_, value) => ParameterType::Map(inner(value)),
        },
    }
}

fn compile(parameters: &str, expression: &str) -> Result<Condition, Vec<ConditionProblem>> {
    let parameter = |text: &str| {
        let (name, written) = text.trim().split_once(": ").unwrap();
        ParameterSource { name: Placed::new(name.to_owned(), Place::default()), kind: kind(written) }
    };
    Condition::compile(&ConditionSource {
        name: Placed::new("c".parse().unwrap(), Place::default()),
        parameters: parameters.split(',').filter(|text| !text.is_empty()).map(parameter).collect(),
        expression: Placed::new(expression.to_owned(), Place::default()),
    })
}

fn context(json: &str) -> ContextMap {
    ContextMap::from_json(&parse_json(json.as_bytes(), JsonLimits::default()).unwrap()).unwrap()
}

fn bind(condition: &Condition, json: &str) -> Result<BoundContext, UndeclaredKeys> {
    condition.bind(&context(json))
}

/// The answer of a condition to a tuple's and a request's context, and its cost.
fn ask(parameters: &str, expression: &str, tuple: &str, request: &str) -> (Result<bool, ConditionError>, u64) {
    let condition = compile(parameters, expression).unwrap_or_else(|problems| panic!("{expression}: {problems:?}"));
    let request = context(request);
    condition.measure(&bind(&condition, tuple).unwrap(), &RequestContext::new(&request))
}

/// The answer to the request that has a value for each parameter.
fn answer(expression: &str) -> Result<bool, EvaluationFault> {
    match ask(PARAMETERS, expression, "{}", REQUEST).0 {
        Ok(answer) => Ok(answer),
        Err(ConditionError::Failed { fault, .. }) => Err(fault),
        Err(other) => panic!("{expression}: {other}"),
    }
}
