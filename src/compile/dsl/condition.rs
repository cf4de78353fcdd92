//! Reads `condition name(parameter: type, …) { expression }`.

use super::{
    expression::{CONDITION_NAMES, Cursor, Faulty},
    lexer::{Line, Token},
    names::is_declarable,
};
use crate::policy::{ConditionName, ConditionSource, ParameterSource, ParameterType, Placed, did_you_mean};

const TYPES: [&str; 10] =
    ["bool", "string", "int", "uint", "double", "duration", "timestamp", "ipaddress", "list", "map"];

/// Reads a condition. With a fault in its parameters or its body it still counts as declared.
pub(super) fn condition(line: &Line<'_>, cursor: &mut Cursor<'_, '_>) -> Result<ConditionSource, Faulty> {
    let place = cursor.place();
    let Some(word) = cursor.advance().and_then(Token::word) else {
        return cursor.fault(place, "the condition's name is missing".to_owned(), None);
    };
    let Some(name) = word.parse::<ConditionName>().ok().filter(|_| is_declarable(word)) else {
        let message = format!("`{word}` is not a condition's name");
        return cursor.fault(place, message, Some(CONDITION_NAMES.to_owned()));
    };
    let mut parameters = Vec::new();
    // What is wrong with the parameters was reported.
    let is_whole = read_parameters(cursor, &mut parameters).is_ok() && cursor.end().is_ok();
    if is_whole && line.body.is_none() {
        let help = format!("write `condition {name}(…) {{ … }}`");
        cursor.report.add(cursor.place(), "`{` is missing", Some(help));
    }
    let mut expression = line.body.clone().unwrap_or_else(|| Placed::new(String::new(), line.end));
    if expression.value.is_empty() {
        if line.body.is_some() {
            cursor.report.add(expression.place, format!("condition `{name}` has no expression"), None);
        }
        // What is missing was reported, and is to cause no other problem.
        "true".clone_into(&mut expression.value);
    }
    Ok(ConditionSource { name: Placed::new(name, place), parameters, expression })
}

fn read_parameters(cursor: &mut Cursor<'_, '_>, parameters: &mut Vec<ParameterSource>) -> Result<(), Faulty> {
    if !cursor.takes('(') {
        let help = "write the parameters in parentheses, as in `condition name(ip: ipaddress) { … }`".to_owned();
        return cursor.fault(cursor.place(), "`(` is missing".to_owned(), Some(help));
    }
    loop {
        let parameter = parameter(cursor)?;
        parameters.push(parameter);
        if cursor.takes(')') {
            return Ok(());
        }
        if !cursor.takes(',') {
            let help = "parameters are separated by `,` and end with `)`".to_owned();
            return cursor.fault(cursor.place(), "`,` or `)` is missing".to_owned(), Some(help));
        }
    }
}

fn parameter(cursor: &mut Cursor<'_, '_>) -> Result<ParameterSource, Faulty> {
    let place = cursor.place();
    let name = match cursor.advance().map(|token| (token, token.word())) {
        Some((_, Some(word))) if is_declarable(word) => Placed::new(word.to_owned(), place),
        Some((token, _)) => {
            let help = "a parameter is `name: type`, and its name is not a type's".to_owned();
            return cursor.fault(place, format!("a parameter is expected, not `{}`", token.text()), Some(help));
        }
        None => return cursor.fault(place, "a parameter is missing".to_owned(), None),
    };
    if !cursor.takes(':') {
        let help = format!("write `{}: string`, or another type", name.value);
        return cursor.fault(cursor.place(), "`:` is missing after the parameter's name".to_owned(), Some(help));
    }
    Ok(ParameterSource { name, kind: kind(cursor)? })
}

fn kind(cursor: &mut Cursor<'_, '_>) -> Result<ParameterType, Faulty> {
    let place = cursor.place();
    let written = cursor.advance();
    let container: fn(Box<ParameterType>) -> ParameterType = match written.and_then(Token::word) {
        Some("list") => ParameterType::List,
        Some("map") => ParameterType::Map,
        word => {
            let found = word.and_then(scalar);
            return found.map_or_else(|| unknown_type(cursor, place, written), Ok);
        }
    };
    if !cursor.takes('<') {
        let help = "say what it holds, as in `list<string>` or `map<int>`".to_owned();
        return cursor.fault(cursor.place(), "`<` is missing".to_owned(), Some(help));
    }
    let place = cursor.place();
    let written = cursor.advance();
    let Some(inner) = written.and_then(Token::word).and_then(scalar) else {
        return unknown_type(cursor, place, written);
    };
    if !cursor.takes('>') {
        return cursor.fault(cursor.place(), "`>` is missing".to_owned(), None);
    }
    Ok(container(Box::new(inner)))
}

fn unknown_type<T>(
    cursor: &mut Cursor<'_, '_>,
    place: crate::access::Place,
    written: Option<Token<'_>>,
) -> Result<T, Faulty> {
    let Some(written) = written.map(Token::text) else {
        return cursor.fault(place, "the parameter's type is missing".to_owned(), None);
    };
    let help = match written.as_str() {
        "list" | "map" => "lists and maps hold neither lists nor maps".to_owned(),
        "any" => "only the JSON form of a model has parameters of any type".to_owned(),
        other => did_you_mean(other, TYPES).unwrap_or_else(|| format!("types are {}", TYPES.join(", "))),
    };
    cursor.fault(place, format!("`{written}` is not a parameter's type here"), Some(help))
}

fn scalar(word: &str) -> Option<ParameterType> {
    Some(match word {
        "bool" => ParameterType::Bool,
        "string" => ParameterType::String,
        "int" => ParameterType::Int,
        "uint" => ParameterType::Uint,
        "double" => ParameterType::Double,
        "duration" => ParameterType::Duration,
        "timestamp" => ParameterType::Timestamp,
        "ipaddress" => ParameterType::IpAddress,
        _ => return None,
    })
}
