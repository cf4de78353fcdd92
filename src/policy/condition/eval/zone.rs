//! The time zones a clock is read in, and what it shows.

use super::{calendar::Civil, function::Function, time::Timestamp, value::Value};
use crate::policy::condition::problem::EvaluationFault;

/// `time.getHours()` and its relatives, in UTC or in a zone.
pub(super) fn read_clock(
    function: Function,
    value: &Value<'_>,
    zone: Option<&Value<'_>>,
) -> Result<Value<'static>, EvaluationFault> {
    match (value, zone) {
        (Value::Timestamp(time), None) => Ok(Value::Int(part_of_time(function, *time, 0)?)),
        (Value::Timestamp(time), Some(Value::String(zone))) => {
            Ok(Value::Int(part_of_time(function, *time, offset(zone)?)?))
        }
        (Value::Duration(nanos), None) => Ok(Value::Int(part_of_span(function, *nanos)?)),
        _ => Err(EvaluationFault::NoOverload),
    }
}

fn part_of_time(function: Function, time: Timestamp, offset: i64) -> Result<i64, EvaluationFault> {
    let civil = Civil::of(time.seconds() + offset);
    Ok(match function {
        Function::FullYear => civil.year,
        Function::Month => civil.month - 1,
        Function::Date => civil.day,
        Function::DayOfMonth => civil.day - 1,
        Function::DayOfWeek => civil.weekday,
        Function::DayOfYear => civil.day_of_year,
        Function::Hours => civil.hour,
        Function::Minutes => civil.minute,
        Function::Seconds => civil.second,
        Function::Milliseconds => i64::from(time.nanos() / 1_000_000),
        _ => return Err(EvaluationFault::NoOverload),
    })
}

fn part_of_span(function: Function, nanos: i64) -> Result<i64, EvaluationFault> {
    Ok(match function {
        Function::Hours => nanos / 3_600_000_000_000,
        Function::Minutes => nanos / 60_000_000_000,
        Function::Seconds => nanos / 1_000_000_000,
        Function::Milliseconds => nanos / 1_000_000,
        _ => return Err(EvaluationFault::NoOverload),
    })
}

/// Seconds east of UTC: `+02:00`, `-8:30`, `UTC`. There is no clock here, so names of places are unknown.
fn offset(zone: &str) -> Result<i64, EvaluationFault> {
    let Some((hours, minutes)) = zone.split_once(':') else {
        return if matches!(zone, "" | "UTC") { Ok(0) } else { Err(EvaluationFault::UnknownTimeZone) };
    };
    let west = hours.starts_with('-');
    let hours: i64 = hours.parse().map_err(|_| EvaluationFault::UnknownTimeZone)?;
    let minutes: i64 = minutes.parse().map_err(|_| EvaluationFault::UnknownTimeZone)?;
    if !(-23..=23).contains(&hours) || !(0..=59).contains(&minutes) {
        return Err(EvaluationFault::UnknownTimeZone);
    }
    Ok((hours * 60 + if west { -minutes } else { minutes }) * 60)
}
