//! The values of arguments as JSON, with variables filled in.

use apollo_parser::{
    SyntaxKind,
    cst::{self, CstNode, Field, Value},
};
use serde_json::Number;

use super::{
    super::json::Json,
    document::name_text,
    problem::GraphQlProblem,
    text::decode,
    variables::{Variable, Variables},
};

/// How many values and names there may be in all arguments together: what one large variable has, and not many of them.
const ITEMS: usize = 20_000;

/// How much text there may be in all arguments together, in bytes, besides twice what was sent: fragments and variables
/// repeat some.
const REPEATED: usize = 1 << 16;

/// How deep the value of a variable may be.
const DEPTH: usize = 128;

/// Reads the arguments of an operation's fields, and no more of them than it may.
pub(super) struct Reader<'v, 'b> {
    // Nothing while a default value is read, as no other variable may be in one.
    variables: Option<&'v Variables<'b>>,
    items: usize,
    text: usize,
}

impl<'v, 'b> Reader<'v, 'b> {
    /// A reader with these variables. What it makes of a body is bounded by the size of that.
    pub(super) fn new(variables: &'v Variables<'b>, body: &Json) -> Self {
        let text = text_size(body).saturating_mul(2).saturating_add(REPEATED);
        Self { variables: Some(variables), items: ITEMS, text }
    }

    /// The name of a field, and its arguments as an object in their order (GraphQL October 2021, section 6.4.1). An argument
    /// whose variable has no value is left out. Refuses two of one name, even then.
    pub(super) fn read(&mut self, field: &Field) -> Result<(String, Json), GraphQlProblem> {
        let name = name_text(field.name())?;
        self.take(name.len())?;
        let arguments = field.arguments();
        let arguments = arguments.iter().flat_map(cst::Arguments::arguments);
        Ok((name, self.object(arguments.map(|argument| (argument.name(), argument.value())))?))
    }

    fn object(
        &mut self,
        fields: impl Iterator<Item = (Option<cst::Name>, Option<Value>)>,
    ) -> Result<Json, GraphQlProblem> {
        let (mut names, mut members) = (Vec::new(), Vec::new());
        for (name, value) in fields {
            let name = name_text(name)?;
            self.take(name.len())?;
            if let Some(value) = self.value(&value.ok_or(GraphQlProblem::Syntax)?)? {
                members.push((name.clone(), value));
            }
            names.push(name);
        }
        names.sort_unstable();
        let is_distinct = names.is_sorted_by(|one, next| one < next);
        if is_distinct { Ok(Json::Object(members)) } else { Err(GraphQlProblem::RepeatedArgument) }
    }

    /// A value, or nothing for a variable without one. No deeper than brackets may be in the text.
    fn value(&mut self, value: &Value) -> Result<Option<Json>, GraphQlProblem> {
        self.take(0)?;
        let json = match value {
            Value::Variable(variable) => return self.variable(&name_text(variable.name())?),
            Value::StringValue(literal) => {
                let mut tokens = literal.syntax().children_with_tokens().filter_map(|child| child.into_token());
                let token = tokens.find(|token| token.kind() == SyntaxKind::STRING);
                Json::String(self.taken(decode(token.ok_or(GraphQlProblem::Syntax)?.text())?)?)
            }
            Value::EnumValue(literal) => Json::String(self.taken(name_text(literal.name())?)?),
            Value::IntValue(literal) => integer(literal.int_token().ok_or(GraphQlProblem::Syntax)?.text())?,
            Value::FloatValue(literal) => float(literal.float_token().ok_or(GraphQlProblem::Syntax)?.text())?,
            Value::BooleanValue(literal) => Json::Bool(literal.true_token().is_some()),
            Value::NullValue(_) => Json::Null,
            Value::ListValue(list) => {
                let elements = list.values().map(|element| self.value(&element)?.ok_or(GraphQlProblem::Variable));
                Json::Array(elements.collect::<Result<_, _>>()?)
            }
            Value::ObjectValue(object) => {
                self.object(object.object_fields().map(|field| (field.name(), field.value())))?
            }
        };
        Ok(Some(json))
    }

    fn variable(&mut self, name: &str) -> Result<Option<Json>, GraphQlProblem> {
        let variables = self.variables.ok_or(GraphQlProblem::Syntax)?;
        match variables.find(name)? {
            Variable::Given(json) => {
                self.take_all(json, DEPTH)?;
                Ok(Some((*json).clone()))
            }
            Variable::Default(value) => {
                self.variables = None;
                let json = self.value(value);
                self.variables = Some(variables);
                json
            }
            Variable::Absent => Ok(None),
        }
    }

    /// Counts one more value or name, with this much text.
    fn take(&mut self, text: usize) -> Result<(), GraphQlProblem> {
        self.items = self.items.checked_sub(1).ok_or(GraphQlProblem::TooLarge)?;
        self.text = self.text.checked_sub(text).ok_or(GraphQlProblem::TooLarge)?;
        Ok(())
    }

    fn taken(&mut self, text: String) -> Result<String, GraphQlProblem> {
        self.take(text.len())?;
        Ok(text)
    }

    /// Counts a value and all that is in it.
    fn take_all(&mut self, json: &Json, depth: usize) -> Result<(), GraphQlProblem> {
        let inner = depth.checked_sub(1).ok_or(GraphQlProblem::TooDeep)?;
        match json {
            Json::Null | Json::Bool(_) | Json::Number(_) => self.take(0),
            Json::String(text) => self.take(text.len()),
            Json::Array(elements) => {
                self.take(0)?;
                elements.iter().try_for_each(|element| self.take_all(element, inner))
            }
            Json::Object(members) => {
                self.take(0)?;
                members.iter().try_for_each(|(name, value)| {
                    self.take(name.len())?;
                    self.take_all(value, inner)
                })
            }
        }
    }
}

/// An integer of 64 bits as a number. `-0` is a float, as it is to readers of JSON, so that it is no id.
fn integer(literal: &str) -> Result<Json, GraphQlProblem> {
    if literal == "-0" {
        return float(literal);
    }
    let number = literal.parse::<i64>().map(Number::from).or_else(|_| literal.parse::<u64>().map(Number::from));
    // Only the canonical spelling comes back: no sign before it, no zero.
    let number = number.ok().filter(|number| number.to_string() == literal);
    number.map(Json::Number).ok_or(GraphQlProblem::Literal)
}

fn float(literal: &str) -> Result<Json, GraphQlProblem> {
    let number = literal.parse().ok().and_then(Number::from_f64);
    number.map(Json::Number).ok_or(GraphQlProblem::Literal)
}

/// How much text there is in a value, in bytes.
fn text_size(json: &Json) -> usize {
    let (mut size, mut left) = (0_usize, vec![json]);
    while let Some(json) = left.pop() {
        match json {
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
            Json::String(text) => size = size.saturating_add(text.len()),
            Json::Array(elements) => left.extend(elements),
            Json::Object(members) => {
                for (name, value) in members {
                    size = size.saturating_add(name.len());
                    left.push(value);
                }
            }
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_numbers_if_they_are_exact() {
        for literal in ["0", "7", "-12", "9223372036854775807", "-9223372036854775808", "18446744073709551615"] {
            let Ok(Json::Number(number)) = integer(literal) else { panic!("{literal}") };
            assert_eq!(number.to_string(), literal);
            assert!(!number.is_f64(), "{literal}");
        }
        assert_eq!(integer("-0"), Ok(Json::Number(Number::from_f64(-0.0).unwrap())));
        assert!(integer("-0").unwrap().id_text().is_err());
        for literal in ["18446744073709551616", "-9223372036854775809", "01", "+1", "-", "", "1.0", "1e3", "--1"] {
            assert_eq!(integer(literal), Err(GraphQlProblem::Literal), "{literal}");
        }
    }

    #[test]
    fn floats_are_finite() {
        for (literal, expected) in [("1.5", 1.5), ("-0.25", -0.25), ("1e3", 1000.0), ("2E-1", 0.2), ("1.0", 1.0)] {
            let number = Number::from_f64(expected).unwrap();
            assert_eq!(float(literal), Ok(Json::Number(number)), "{literal}");
            assert!(float(literal).unwrap().id_text().is_err(), "{literal}");
        }
        for literal in ["1e999", "-1e999", "nan", "inf", "1e"] {
            assert_eq!(float(literal), Err(GraphQlProblem::Literal), "{literal}");
        }
    }
}
