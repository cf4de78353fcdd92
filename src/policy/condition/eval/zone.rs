//! The time zones a clock is read in, and what it shows.

use jiff::tz::TimeZoneDatabase;

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
            Ok(Value::Int(part_of_time(function, *time, offset(zone, *time)?)?))
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

/// Seconds east of UTC at a time: `+02:00`, `-8:30`, `UTC`, `Europe/Vienna`.
///
/// The zones are those of the IANA database that is built in, by their exact names, so that every machine reads the same
/// clock. `Local` is none of them.
fn offset(zone: &str, time: Timestamp) -> Result<i64, EvaluationFault> {
    let Some((hours, minutes)) = zone.split_once(':') else {
        return if matches!(zone, "" | "UTC") { Ok(0) } else { offset_of_place(zone, time) };
    };
    let west = hours.starts_with('-');
    let hours: i64 = hours.parse().map_err(|_| EvaluationFault::UnknownTimeZone)?;
    let minutes: i64 = minutes.parse().map_err(|_| EvaluationFault::UnknownTimeZone)?;
    if !(-23..=23).contains(&hours) || !(0..=59).contains(&minutes) {
        return Err(EvaluationFault::UnknownTimeZone);
    }
    Ok((hours * 60 + if west { -minutes } else { minutes }) * 60)
}

fn offset_of_place(zone: &str, time: Timestamp) -> Result<i64, EvaluationFault> {
    let known = TimeZoneDatabase::bundled().get(zone).map_err(|_| EvaluationFault::UnknownTimeZone)?;
    // The database is searched without regard to case, and has a name for a zone that is not known.
    if known.iana_name() != Some(zone) || known.is_unknown() {
        return Err(EvaluationFault::UnknownTimeZone);
    }
    // The last day of the year 9999 is out of its range. No zone changes its offset then.
    let bounds = (jiff::Timestamp::MIN.as_second(), jiff::Timestamp::MAX.as_second());
    let moment = jiff::Timestamp::from_second(time.seconds().clamp(bounds.0, bounds.1));
    let moment = moment.map_err(|_| EvaluationFault::UnknownTimeZone)?;
    Ok(i64::from(known.to_offset(moment).seconds()))
}
