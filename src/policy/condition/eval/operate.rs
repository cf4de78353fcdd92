//! Equality, order and arithmetic.

use std::cmp::Ordering;

use super::{
    function::Function,
    value::{List, Octets, Text, Value},
};
use crate::policy::condition::problem::EvaluationFault;

type Computed<'a> = Result<Value<'a>, EvaluationFault>;

/// Whether two values are the same. Values of different types differ, but numbers are compared as numbers.
pub(super) fn equal(one: &Value<'_>, other: &Value<'_>) -> Result<bool, EvaluationFault> {
    Ok(match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::Null, _) | (_, Value::Null) => false,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::String(one), Value::String(other)) => **one == **other,
        (Value::Bytes(one), Value::Bytes(other)) => **one == **other,
        (Value::Timestamp(one), Value::Timestamp(other)) => one == other,
        (Value::Duration(one), Value::Duration(other)) => one == other,
        (Value::Type(one), Value::Type(other)) => one == other,
        (Value::IpAddress(one), Value::IpAddress(other)) => one == other,
        // Here alone OpenFGA refuses to compare.
        (Value::IpAddress(_), _) => return Err(EvaluationFault::NoOverload),
        (Value::List(one), Value::List(other)) => {
            // An element that cannot be compared is not what makes the lists differ (cel-go).
            one.len() == other.len()
                && one.iter().zip(other.iter()).all(|(one, other)| equal(&one, &other).unwrap_or(true))
        }
        (Value::Map(one), Value::Map(other)) => {
            let same = |(key, value)| other.get(&key).is_some_and(|found| equal(&value, &found).unwrap_or(true));
            one.len() == other.len() && (0..one.len()).filter_map(|index| one.entry(index)).all(same)
        }
        _ => order_of_numbers(one, other) == Some(Ordering::Equal),
    })
}

/// `<`, `<=`, `>` or `>=`.
pub(super) fn compare(function: Function, one: &Value<'_>, other: &Value<'_>) -> Result<bool, EvaluationFault> {
    let not_a_number = |value: &Value<'_>| matches!(value, Value::Double(double) if double.is_nan());
    if not_a_number(one) || not_a_number(other) {
        return Ok(false);
    }
    let order = match (one, other) {
        (Value::Int(one), Value::Int(other)) => one.cmp(other),
        (Value::Timestamp(one), Value::Timestamp(other)) => one.cmp(*other),
        (Value::Duration(one), Value::Duration(other)) => one.cmp(other),
        (Value::String(one), Value::String(other)) => (**one).cmp(other),
        (Value::Bytes(one), Value::Bytes(other)) => (**one).cmp(other),
        (Value::Bool(one), Value::Bool(other)) => one.cmp(other),
        _ => order_of_numbers(one, other).ok_or(EvaluationFault::NoOverload)?,
    };
    Ok(match function {
        Function::Less => order.is_lt(),
        Function::LessOrEqual => order.is_le(),
        Function::Greater => order.is_gt(),
        _ => order.is_ge(),
    })
}

/// The order of two numbers of any types. `None` for what is not a number, and for the number that is not one.
fn order_of_numbers(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
        (Value::Uint(one), Value::Uint(other)) => Some(one.cmp(other)),
        (Value::Double(one), Value::Double(other)) => one.partial_cmp(other),
        (Value::Int(one), Value::Uint(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
        (Value::Uint(one), Value::Int(other)) => Some(i128::from(*one).cmp(&i128::from(*other))),
        // An integer is rounded to a double before it is compared, as in cel-go.
        (Value::Int(one), Value::Double(other)) => (*one as f64).partial_cmp(other),
        (Value::Double(one), Value::Int(other)) => one.partial_cmp(&(*other as f64)),
        (Value::Uint(one), Value::Double(other)) => (*one as f64).partial_cmp(other),
        (Value::Double(one), Value::Uint(other)) => one.partial_cmp(&(*other as f64)),
        _ => None,
    }
}

/// `value in collection`.
pub(super) fn contained(value: &Value<'_>, collection: &Value<'_>) -> Result<bool, EvaluationFault> {
    match collection {
        Value::List(list) => Ok(list.iter().any(|element| equal(value, &element) == Ok(true))),
        Value::Map(map) => Ok(map.get(value).is_some()),
        _ => Err(EvaluationFault::NoOverload),
    }
}

/// `-x`.
pub(super) fn negate<'a>(value: &Value<'a>) -> Computed<'a> {
    match value {
        Value::Int(int) => int.checked_neg().map(Value::Int).ok_or(EvaluationFault::Overflow),
        Value::Double(double) => Ok(Value::Double(-double)),
        Value::Duration(nanos) => nanos.checked_neg().map(Value::Duration).ok_or(EvaluationFault::Overflow),
        _ => Err(EvaluationFault::NoOverload),
    }
}

/// `+`, `-`, `*`, `/` or `%`. What does not fit its type is an error.
pub(super) fn calculate<'a>(function: Function, one: &Value<'a>, other: &Value<'a>) -> Computed<'a> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => calculate_ints(function, *one, *other),
        (Value::Uint(one), Value::Uint(other)) => calculate_uints(function, *one, *other),
        (Value::Double(one), Value::Double(other)) => calculate_doubles(function, *one, *other),
        _ => match function {
            Function::Add => add(one, other),
            Function::Subtract => subtract(one, other),
            _ => Err(EvaluationFault::NoOverload),
        },
    }
}

fn calculate_ints<'a>(function: Function, one: i64, other: i64) -> Computed<'a> {
    let result = match function {
        Function::Add => one.checked_add(other),
        Function::Subtract => one.checked_sub(other),
        Function::Multiply => one.checked_mul(other),
        _ if other == 0 => return Err(EvaluationFault::DivisionByZero),
        Function::Divide => one.checked_div(other),
        _ => one.checked_rem(other),
    };
    result.map(Value::Int).ok_or(EvaluationFault::Overflow)
}

fn calculate_uints<'a>(function: Function, one: u64, other: u64) -> Computed<'a> {
    let result = match function {
        Function::Add => one.checked_add(other),
        Function::Subtract => one.checked_sub(other),
        Function::Multiply => one.checked_mul(other),
        _ if other == 0 => return Err(EvaluationFault::DivisionByZero),
        Function::Divide => one.checked_div(other),
        _ => one.checked_rem(other),
    };
    result.map(Value::Uint).ok_or(EvaluationFault::Overflow)
}

fn calculate_doubles<'a>(function: Function, one: f64, other: f64) -> Computed<'a> {
    Ok(Value::Double(match function {
        Function::Add => one + other,
        Function::Subtract => one - other,
        Function::Multiply => one * other,
        Function::Divide => one / other,
        _ => return Err(EvaluationFault::NoOverload),
    }))
}

fn add<'a>(one: &Value<'a>, other: &Value<'a>) -> Computed<'a> {
    match (one, other) {
        (Value::Timestamp(time), Value::Duration(nanos)) | (Value::Duration(nanos), Value::Timestamp(time)) => {
            time.plus(*nanos).map(Value::Timestamp).ok_or(EvaluationFault::Overflow)
        }
        (Value::Duration(one), Value::Duration(other)) => {
            one.checked_add(*other).map(Value::Duration).ok_or(EvaluationFault::Overflow)
        }
        (Value::String(one), Value::String(other)) => {
            let mut text = String::with_capacity(one.len() + other.len());
            text.push_str(one);
            text.push_str(other);
            Ok(Value::String(Text::Made(text.into())))
        }
        (Value::Bytes(one), Value::Bytes(other)) => Ok(Value::Bytes(Octets::Made([&**one, &**other].concat().into()))),
        (Value::List(one), Value::List(other)) => Ok(Value::List(List::Made(one.iter().chain(other.iter()).collect()))),
        _ => Err(EvaluationFault::NoOverload),
    }
}

fn subtract<'a>(one: &Value<'a>, other: &Value<'a>) -> Computed<'a> {
    match (one, other) {
        (Value::Timestamp(one), Value::Timestamp(other)) => {
            one.since(*other).map(Value::Duration).ok_or(EvaluationFault::Overflow)
        }
        (Value::Timestamp(time), Value::Duration(nanos)) => {
            let back = nanos.checked_neg().ok_or(EvaluationFault::Overflow)?;
            time.plus(back).map(Value::Timestamp).ok_or(EvaluationFault::Overflow)
        }
        (Value::Duration(one), Value::Duration(other)) => {
            one.checked_sub(*other).map(Value::Duration).ok_or(EvaluationFault::Overflow)
        }
        _ => Err(EvaluationFault::NoOverload),
    }
}
