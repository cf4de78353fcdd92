//! The variables of one operation, each with the one value it has.

use std::collections::HashMap;

use apollo_parser::cst::{OperationDefinition, Value};

use super::{
    super::json::{Json, MemberProblem},
    document::name_text,
    problem::GraphQlProblem,
};

/// How much work it may be to look for look-alikes: the bytes of the names among the values, for each variable once more.
const LOOKED_AT: usize = 1 << 20;

/// What a variable stands for.
#[derive(Debug)]
pub(super) enum Variable<'b> {
    /// The value that the request gives it.
    Given(&'b Json),
    /// The default value that the operation gives it.
    Default(Value),
    /// Nothing.
    Absent,
}

/// The variables that an operation defines.
#[derive(Debug)]
pub(super) struct Variables<'b>(HashMap<String, Variable<'b>>);

impl<'b> Variables<'b> {
    /// The variables of this operation with these values (GraphQL October 2021, section 6.1.2). Refuses two variables of one
    /// name, and a variable whose name another value's name could be taken for.
    pub(super) fn new(operation: &OperationDefinition, values: Option<&'b Json>) -> Result<Self, GraphQlProblem> {
        let mut variables = HashMap::new();
        let mut left = LOOKED_AT;
        let size = names_size(values);
        let definitions = operation.variable_definitions();
        for definition in definitions.iter().flat_map(|definitions| definitions.variable_definitions()) {
            left = left.checked_sub(size).ok_or(GraphQlProblem::TooLarge)?;
            let name = name_text(definition.variable().and_then(|variable| variable.name()))?;
            let variable = match values.map(|values| values.member([name.as_str()])) {
                Some(Ok(value)) => Variable::Given(value),
                None | Some(Err(MemberProblem::Missing)) => match definition.default_value() {
                    Some(default) => Variable::Default(default.value().ok_or(GraphQlProblem::Syntax)?),
                    None => Variable::Absent,
                },
                Some(Err(MemberProblem::LookAlike | MemberProblem::NotAnId | MemberProblem::ControlCharacter)) => {
                    return Err(GraphQlProblem::Variable);
                }
            };
            if variables.insert(name, variable).is_some() {
                return Err(GraphQlProblem::Variable);
            }
        }
        Ok(Self(variables))
    }

    /// What a variable stands for. Refuses one that the operation does not define.
    pub(super) fn find(&self, name: &str) -> Result<&Variable<'b>, GraphQlProblem> {
        self.0.get(name).ok_or(GraphQlProblem::Variable)
    }
}

/// How long the names of an object are together, with something for each.
fn names_size(values: Option<&Json>) -> usize {
    match values {
        Some(Json::Object(members)) => members.iter().map(|(name, _)| name.len().saturating_add(8)).sum(),
        None | Some(Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_)) => 0,
    }
}

#[cfg(test)]
mod tests {
    use apollo_parser::cst::CstNode;

    use super::{
        super::{
            super::json::{JsonLimits, parse_json},
            document::split,
            shape::parse_document,
        },
        *,
    };

    /// What `$a` stands for.
    fn find(query: &str, values: Option<&str>) -> Result<String, GraphQlProblem> {
        let document = parse_document(query, 10_000).unwrap();
        let (operation, _) = split(&document, None).unwrap();
        let values = values.map(|values| parse_json(values.as_bytes(), JsonLimits::default()).unwrap());
        Ok(match Variables::new(&operation, values.as_ref())?.find("a")? {
            Variable::Given(json) => serde_json::to_string(json).unwrap(),
            Variable::Default(value) => format!("default {}", value.source_string()),
            Variable::Absent => "absent".to_owned(),
        })
    }

    #[test]
    fn a_variable_is_its_value_or_its_default_or_nothing() {
        for (query, values, expected) in [
            ("query($a:T){x}", Some(r#"{"a":[1]}"#), "[1]"),
            ("query($a:T=2){x}", Some(r#"{"a":1,"b":2}"#), "1"),
            ("query($a:T=2){x}", Some(r#"{"a":null}"#), "null"),
            ("query($a:T=2){x}", Some(r#"{"b":1}"#), "default 2"),
            ("query($a:T=2){x}", None, "default 2"),
            ("query($a:T!@d){x}", Some("{}"), "absent"),
            ("query($b:T $a:T){x}", None, "absent"),
        ] {
            assert_eq!(find(query, values).as_deref(), Ok(expected), "{query} {values:?}");
        }
    }

    #[test]
    fn a_variable_with_two_values_is_refused() {
        for (query, values) in [
            ("query($b:T){x}", Some(r#"{"a":1}"#)),
            ("query($A:T){x}", None),
            ("{x}", Some(r#"{"a":1}"#)),
            ("query($a:T $a:T){x}", None),
            ("query($a:T=1 $b:T $a:U=1){x}", Some(r#"{"a":1}"#)),
            ("query($a:T){x}", Some(r#"{"a":1,"A":2}"#)),
            ("query($a:T){x}", Some(r#"{"A":2}"#)),
            ("query($a:T=1){x}", Some(r#"{"\u200ba":2}"#)),
            ("query($a:T $b:T){x}", Some(r#"{"a":1,"b":2,"B ":3}"#)),
        ] {
            assert_eq!(find(query, values), Err(GraphQlProblem::Variable), "{query} {values:?}");
        }
    }

    #[test]
    fn the_work_of_looking_is_bounded() {
        let names = |count: usize| (0..count).map(|it| format!("a{it}"));
        let query =
            |count| format!("query({}){{x}}", names(count).map(|name| format!("${name}:T ")).collect::<String>());
        let values = |count| {
            let members: Vec<_> = names(count).map(|name| format!("\"{name}\":1")).collect();
            format!("{{{}}}", members.join(","))
        };
        let refused = |queried, given| find(&query(queried), Some(&values(given))).err();
        // Refused by name only: `$a` is not there.
        assert_eq!(refused(250, 250), Some(GraphQlProblem::Variable));
        assert_eq!(refused(1_000, 50), Some(GraphQlProblem::Variable));
        assert_eq!(refused(1_000, 5_000), Some(GraphQlProblem::TooLarge));
    }
}
