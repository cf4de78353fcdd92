//! Conversions between the types, as `int(x)` and its relatives make them.

use super::{
    address::IpAddress,
    function::Function,
    time::{Timestamp, parse_duration},
    value::{Octets, Value},
};
use crate::policy::condition::problem::EvaluationFault;

/// `int(x)`, `string(x)` and so on.
pub(super) fn convert<'a>(function: Function, value: Value<'a>) -> Result<Value<'a>, EvaluationFault> {
    match function {
        Function::Dynamic => Ok(value),
        Function::TypeOf => Ok(Value::Type(value.type_name())),
        Function::ToBool => to_bool(value),
        Function::ToBytes => to_bytes(value),
        Function::ToDouble => to_double(value),
        Function::ToDuration => to_duration(value),
        Function::ToInt => to_int(&value),
        Function::ToString => to_string(value),
        Function::ToTimestamp => to_timestamp(value),
        Function::ToUint => to_uint(&value),
        Function::ToIpAddress => match value {
            Value::String(text) => IpAddress::parse(&text).map(Value::IpAddress).ok_or(EvaluationFault::BadAddress),
            _ => Err(EvaluationFault::NoOverload),
        },
        _ => Err(EvaluationFault::NoOverload),
    }
}

fn to_bool(value: Value<'_>) -> Result<Value<'_>, EvaluationFault> {
    match value {
        Value::Bool(_) => Ok(value),
        Value::String(text) => match &*text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(Value::Bool(false)),
            _ => Err(EvaluationFault::BadConversion),
        },
        _ => Err(EvaluationFault::NoOverload),
    }
}

fn to_bytes(value: Value<'_>) -> Result<Value<'_>, EvaluationFault> {
    match value {
        Value::Bytes(_) => Ok(value),
        Value::String(text) => Ok(Value::Bytes(Octets::Made(text.as_bytes().into()))),
        _ => Err(EvaluationFault::NoOverload),
    }
}

fn to_double(value: Value<'_>) -> Result<Value<'_>, EvaluationFault> {
    match value {
        Value::Double(_) => Ok(value),
        Value::Int(int) => Ok(Value::Double(int as f64)),
        Value::Uint(uint) => Ok(Value::Double(uint as f64)),
        Value::String(text) => {
            let double: f64 = text.parse().map_err(|_| EvaluationFault::BadConversion)?;
            // A number too large for a double is no double. The word for infinity is.
            let word = !text.contains(|c: char| c.is_ascii_digit());
            if double.is_finite() || word { Ok(Value::Double(double)) } else { Err(EvaluationFault::BadConversion) }
        }
        _ => Err(EvaluationFault::NoOverload),
    }
}

fn to_duration(value: Value<'_>) -> Result<Value<'_>, EvaluationFault> {
    match value {
        Value::Duration(_) => Ok(value),
        Value::String(text) => parse_duration(&text).map(Value::Duration).ok_or(EvaluationFault::BadConversion),
        _ => Err(EvaluationFault::NoOverload),
    }
}

fn to_timestamp(value: Value<'_>) -> Result<Value<'_>, EvaluationFault> {
    match value {
        Value::Timestamp(_) => Ok(value),
        Value::Int(seconds) => Timestamp::from_seconds(seconds).map(Value::Timestamp).ok_or(EvaluationFault::Overflow),
        Value::String(text) => {
            Timestamp::parse_strict(&text).map(Value::Timestamp).ok_or(EvaluationFault::BadConversion)
        }
        _ => Err(EvaluationFault::NoOverload),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it is in bounds, and the fraction is dropped on purpose")]
fn to_int<'a>(value: &Value<'a>) -> Result<Value<'a>, EvaluationFault> {
    Ok(Value::Int(match value {
        Value::Int(int) => *int,
        Value::Uint(uint) => i64::try_from(*uint).map_err(|_| EvaluationFault::Overflow)?,
        Value::Double(double) if *double > -9_223_372_036_854_775_808.0 && *double < 9_223_372_036_854_775_808.0 => {
            *double as i64
        }
        Value::Double(_) => return Err(EvaluationFault::Overflow),
        Value::String(text) => text.parse().map_err(|_| EvaluationFault::BadConversion)?,
        Value::Timestamp(time) => time.seconds(),
        Value::Duration(nanos) => *nanos,
        _ => return Err(EvaluationFault::NoOverload),
    }))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is in bounds, and the fraction is dropped on purpose"
)]
fn to_uint<'a>(value: &Value<'a>) -> Result<Value<'a>, EvaluationFault> {
    Ok(Value::Uint(match value {
        Value::Uint(uint) => *uint,
        Value::Int(int) => u64::try_from(*int).map_err(|_| EvaluationFault::Overflow)?,
        Value::Double(double) if *double >= 0.0 && *double < 18_446_744_073_709_551_616.0 => *double as u64,
        Value::Double(_) => return Err(EvaluationFault::Overflow),
        Value::String(text) if text.starts_with('+') => return Err(EvaluationFault::BadConversion),
        Value::String(text) => text.parse().map_err(|_| EvaluationFault::BadConversion)?,
        _ => return Err(EvaluationFault::NoOverload),
    }))
}

fn to_string(value: Value<'_>) -> Result<Value<'_>, EvaluationFault> {
    Ok(match value {
        Value::String(_) => value,
        Value::Bool(bool) => Value::text(if bool { "true" } else { "false" }),
        Value::Int(int) => Value::text(&int.to_string()),
        Value::Uint(uint) => Value::text(&uint.to_string()),
        Value::Double(double) => Value::text(&print_double(double)),
        Value::Bytes(bytes) => Value::text(std::str::from_utf8(&bytes).map_err(|_| EvaluationFault::BadConversion)?),
        Value::Timestamp(time) => Value::text(&time.print()),
        Value::Duration(nanos) => {
            let (seconds, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
            Value::text(&format!("{}s", seconds as f64 + rest as f64 / 1e9))
        }
        _ => return Err(EvaluationFault::NoOverload),
    })
}

/// A double as Go's `%g` prints it: with an exponent if that is below -4, or above 5.
fn print_double(double: f64) -> String {
    if double.is_nan() {
        return "NaN".to_owned();
    }
    if double.is_infinite() {
        return if double > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() };
    }
    let scientific = format!("{double:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..LARGEST_PLAIN).contains(&exponent) {
        return format!("{double}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// Numbers with this exponent and above are printed with it.
const LARGEST_PLAIN: i32 = 6;
