//! From what a context says to values of the declared types (OpenFGA's rules).

use super::{
    context::ContextValue,
    eval::{Datum, IpAddress, Timestamp, parse_duration},
    number::{parse_double, parse_int},
    problem::Unconvertible::{self, BadValue, WrongKind},
    source::ParameterType,
};

/// The value of a parameter of that type. Refuses what the type cannot hold.
pub(super) fn convert(value: &ContextValue, wanted: &ParameterType) -> Result<Datum, Unconvertible> {
    match wanted {
        ParameterType::Any => Ok(any(value)),
        ParameterType::Bool => match value {
            ContextValue::Bool(value) => Ok(Datum::Bool(*value)),
            _ => Err(WrongKind),
        },
        ParameterType::String => text(value).map(|text| Datum::String(text.into())),
        ParameterType::Int => int(value).map(Datum::Int),
        ParameterType::Uint => {
            // OpenFGA reads an int and refuses the negative, so that a uint is never above the largest int.
            let int = int(value)?;
            u64::try_from(int).map(Datum::Uint).map_err(|_| BadValue)
        }
        ParameterType::Double => double(value).map(Datum::Double),
        ParameterType::Duration => parse_duration(text(value)?).map(Datum::Duration).ok_or(BadValue),
        ParameterType::Timestamp => Timestamp::parse(text(value)?).map(Datum::Timestamp).ok_or(BadValue),
        ParameterType::IpAddress => IpAddress::parse(text(value)?).map(Datum::IpAddress).ok_or(BadValue),
        ParameterType::List(element) => match value {
            ContextValue::List(elements) => {
                elements.iter().map(|value| convert(value, element)).collect::<Result<_, _>>().map(Datum::List)
            }
            _ => Err(WrongKind),
        },
        ParameterType::Map(element) => match value {
            ContextValue::Map(values) => {
                let entry =
                    |(name, value): (&str, &ContextValue)| Ok((Datum::String(name.into()), convert(value, element)?));
                values.iter().map(entry).collect::<Result<_, _>>().map(Datum::Map)
            }
            _ => Err(WrongKind),
        },
    }
}

fn text(value: &ContextValue) -> Result<&str, Unconvertible> {
    match value {
        ContextValue::String(text) => Ok(text),
        _ => Err(WrongKind),
    }
}

/// A whole number, or a text that is one. Numbers beyond 64 bits become the outermost ones, as in OpenFGA.
#[expect(clippy::cast_possible_truncation, reason = "it has no fraction, and OpenFGA saturates as the cast does")]
fn int(value: &ContextValue) -> Result<i64, Unconvertible> {
    match value {
        ContextValue::Number(number) if number.fract() == 0.0 => Ok(*number as i64),
        ContextValue::Number(_) => Err(BadValue),
        ContextValue::String(text) => parse_int(text).ok_or(BadValue),
        _ => Err(WrongKind),
    }
}

fn double(value: &ContextValue) -> Result<f64, Unconvertible> {
    match value {
        ContextValue::Number(number) => Ok(*number),
        ContextValue::String(text) => parse_double(text).ok_or(BadValue),
        _ => Err(WrongKind),
    }
}

fn any(value: &ContextValue) -> Datum {
    match value {
        ContextValue::Null => Datum::Null,
        ContextValue::Bool(value) => Datum::Bool(*value),
        ContextValue::Number(number) => Datum::Double(*number),
        ContextValue::String(text) => Datum::String((&**text).into()),
        ContextValue::List(elements) => Datum::List(elements.iter().map(any).collect()),
        ContextValue::Map(values) => {
            Datum::Map(values.iter().map(|(name, value)| (Datum::String(name.into()), any(value))).collect())
        }
    }
}
