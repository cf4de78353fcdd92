//! Conditions: expressions, and after a NUL the context that they are evaluated in. The same question has one answer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::{
    access::Place,
    policy::{Condition, ConditionSource, ContextMap, ParameterSource, ParameterType, Placed, RequestContext},
    protocol::{JsonLimits, parse_json},
};

fn source(expression: &str) -> ConditionSource {
    let list = |kind| ParameterType::List(Box::new(kind));
    let map = |kind| ParameterType::Map(Box::new(kind));
    let parameters = [
        ("x", ParameterType::Int),
        ("u", ParameterType::Uint),
        ("d", ParameterType::Double),
        ("s", ParameterType::String),
        ("b", ParameterType::Bool),
        ("t", ParameterType::Timestamp),
        ("p", ParameterType::Duration),
        ("i", ParameterType::IpAddress),
        ("a", ParameterType::Any),
        ("l", list(ParameterType::String)),
        ("m", map(ParameterType::Any)),
    ];
    let place = Place::default();
    ConditionSource {
        name: Placed::new("c".parse().unwrap(), place),
        parameters: parameters
            .map(|(name, kind)| ParameterSource { name: Placed::new(name.to_owned(), place), kind })
            .into(),
        expression: Placed::new(expression.to_owned(), place),
    }
}

const CONTEXT: &str = r#"{"x":1,"u":2,"d":1.5,"s":"abc","b":true,"t":"2024-02-29T12:34:56.789Z","p":"90m",
    "i":"10.0.0.1","a":{"k":1,"n":null},"l":["a","b"],"m":{"k":"v","n":null}}"#;

fn context(text: &str) -> Option<ContextMap> {
    ContextMap::from_json(&parse_json(text.as_bytes(), JsonLimits::default()).ok()?).ok()
}

fuzz_target!(|text: &str| {
    let (expression, given) = text.split_once('\0').unwrap_or((text, CONTEXT));
    let Ok(condition) = Condition::compile(&source(expression)) else { return };
    let standard = context(CONTEXT).unwrap();
    for request in context(given).into_iter().chain([standard.clone()]) {
        let Ok(bound) = condition.bind(&ContextMap::default()) else { return };
        let answer = condition.evaluate(&bound, &RequestContext::new(&request));
        let again = condition.evaluate(&bound, &RequestContext::new(&request));
        assert_eq!(answer, again, "{expression}");
        // Where a value comes from changes nothing, unless it is of another type.
        if let (Ok(bound), Ok(answer)) = (condition.bind(&request), answer) {
            let from_tuple = condition.evaluate(&bound, &RequestContext::default());
            assert_eq!(from_tuple, Ok(answer), "{expression}");
        }
    }
});
