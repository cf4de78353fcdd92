//! Points in time and spans between them, as Go reads and writes them.

use std::cmp::Ordering;

use super::calendar::{Civil, days_in_month, seconds_of};

/// The first second of year 1 and the last of year 9999.
const BOUNDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const NANOS: i64 = 1_000_000_000;

/// A point in time, to the nanosecond. The offset it was written with is kept, for printing only.
#[derive(Debug, Clone, Copy)]
pub(in crate::policy::condition) struct Timestamp {
    seconds: i64,
    nanos: u32,
    /// In minutes, east of UTC.
    offset: i16,
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(*other) == Ordering::Equal
    }
}

impl Timestamp {
    /// A whole second since 1970, in the years 1 to 9999.
    pub(super) fn from_seconds(seconds: i64) -> Option<Self> {
        BOUNDS.contains(&seconds).then_some(Self { seconds, nanos: 0, offset: 0 })
    }

    /// Microseconds since 1970.
    pub(super) fn from_microseconds(microseconds: i64) -> Self {
        let nanos = u32::try_from(microseconds.rem_euclid(1_000_000)).unwrap_or(0) * 1000;
        Self { seconds: microseconds.div_euclid(1_000_000), nanos, offset: 0 }
    }

    /// What Go's `time.Parse` takes for RFC 3339: one-digit hours and a comma before the fraction too.
    pub(in crate::policy::condition) fn parse(text: &str) -> Option<Self> {
        let mut reader = Reader { rest: text.as_bytes() };
        let year = reader.digits(4)?;
        let month = reader.after(b'-')?.digits(2)?;
        let day = reader.after(b'-')?.digits(2)?;
        let hour = reader.after(b'T')?.hour()?;
        let minute = reader.after(b':')?.digits(2)?;
        let second = reader.after(b':')?.digits(2)?;
        let nanos = reader.fraction()?;
        let offset = reader.offset()?;
        let in_range = (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60
            && reader.rest.is_empty();
        if !in_range {
            return None;
        }
        let seconds = seconds_of(year, month, day, hour * 3600 + minute * 60 + second) - offset * 60;
        Some(Self { seconds, nanos, offset: i16::try_from(offset).ok()? })
    }

    /// What CEL's `timestamp(text)` takes: RFC 3339 to the letter, in the years 1 to 9999.
    pub(super) fn parse_strict(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let strict = bytes.get(13) == Some(&b':') && !bytes.contains(&b',') && has_strict_offset(bytes);
        Self::parse(text).filter(|time| strict && BOUNDS.contains(&time.seconds))
    }

    pub(super) fn cmp(self, other: Self) -> Ordering {
        (self.seconds, self.nanos).cmp(&(other.seconds, other.nanos))
    }

    pub(super) const fn seconds(self) -> i64 {
        self.seconds
    }

    pub(super) const fn nanos(self) -> u32 {
        self.nanos
    }

    /// The time after a span, unless it leaves the years 1 to 9999.
    pub(super) fn plus(self, nanos: i64) -> Option<Self> {
        let total = i64::from(self.nanos) + nanos.rem_euclid(NANOS);
        let seconds = self.seconds.checked_add(nanos.div_euclid(NANOS))?.checked_add(total.div_euclid(NANOS))?;
        let nanos = u32::try_from(total.rem_euclid(NANOS)).ok()?;
        BOUNDS.contains(&seconds).then_some(Self { seconds, nanos, offset: self.offset })
    }

    /// The span from an earlier time, in nanoseconds, if it fits.
    pub(super) fn since(self, earlier: Self) -> Option<i64> {
        let seconds = i128::from(self.seconds) - i128::from(earlier.seconds);
        let nanos = i128::from(self.nanos) - i128::from(earlier.nanos);
        i64::try_from(seconds * i128::from(NANOS) + nanos).ok()
    }

    /// The time as RFC 3339 writes it, in the offset it came with.
    pub(super) fn print(self) -> String {
        let offset = i64::from(self.offset);
        let civil = Civil::of(self.seconds + offset * 60);
        let mut text = format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
            civil.year, civil.month, civil.day, civil.hour, civil.minute, civil.second
        );
        if self.nanos > 0 {
            text.push_str(format!(".{:09}", self.nanos).trim_end_matches('0'));
        }
        match offset {
            0 => text.push('Z'),
            _ => {
                let sign = if offset < 0 { '-' } else { '+' };
                text.push_str(&format!("{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60));
            }
        }
        text
    }
}

/// `Z`, or two digits, a colon and two digits after a sign, none of them out of a day.
fn has_strict_offset(bytes: &[u8]) -> bool {
    if bytes.last() == Some(&b'Z') {
        return true;
    }
    let number = |from_end: usize| {
        let two = bytes.get(bytes.len().checked_sub(from_end)?..bytes.len().checked_sub(from_end - 2)?)?;
        std::str::from_utf8(two).ok()?.parse::<u8>().ok()
    };
    number(5).is_some_and(|hours| hours < 24) && number(2).is_some_and(|minutes| minutes < 60)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn next(&mut self, wanted: impl Fn(u8) -> bool) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        wanted(*first).then(|| {
            self.rest = rest;
            *first
        })
    }

    fn after(&mut self, sign: u8) -> Option<&mut Self> {
        self.next(|byte| byte == sign)?;
        Some(self)
    }

    fn digit(&mut self) -> Option<i64> {
        self.next(|byte| byte.is_ascii_digit()).map(|byte| i64::from(byte - b'0'))
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        (0..count).try_fold(0, |number, _| Some(number * 10 + self.digit()?))
    }

    fn hour(&mut self) -> Option<i64> {
        let first = self.digit()?;
        Some(self.digit().map_or(first, |second| first * 10 + second))
    }

    /// Nanoseconds after a dot or comma. Digits after the ninth are dropped.
    fn fraction(&mut self) -> Option<u32> {
        if self.next(|byte| matches!(byte, b'.' | b',')).is_none() {
            return Some(0);
        }
        let mut nanos: i64 = self.digit()? * 100_000_000;
        let mut unit = 10_000_000;
        while let Some(digit) = self.digit() {
            nanos += digit * unit;
            unit /= 10;
        }
        u32::try_from(nanos).ok()
    }

    /// Minutes east of UTC. Go lets 24 hours and 60 minutes pass.
    fn offset(&mut self) -> Option<i64> {
        if self.next(|byte| byte == b'Z').is_some() {
            return Some(0);
        }
        let sign = if self.next(|byte| matches!(byte, b'+' | b'-'))? == b'-' { -1 } else { 1 };
        let hours = self.digits(2)?;
        let minutes = self.after(b':')?.digits(2)?;
        (hours <= 24 && minutes <= 60).then_some(sign * (hours * 60 + minutes))
    }
}

/// The nanoseconds that Go's `time.ParseDuration` reads: `1h30m`, `-1.5s`, `0`.
pub(in crate::policy::condition) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (nanos, after) = one_unit(rest)?;
        total = total.checked_add(nanos).filter(|total| *total <= 1 << 63)?;
        rest = after;
    }
    if negative { 0_i64.checked_sub_unsigned(total) } else { i64::try_from(total).ok() }
}

/// `1.5h` at the start of a text, in nanoseconds, and what follows it.
fn one_unit(text: &str) -> Option<(u64, &str)> {
    let (whole, rest) = split_digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => split_digits(after),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let end = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at_checked(end)?;
    let unit: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let whole = whole.checked_mul(unit).filter(|nanos| *nanos <= 1 << 63)?;
    let total = whole.checked_add(part_of_unit(fraction, unit))?;
    (total <= 1 << 63).then_some((total, rest))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The fraction of a unit, cut off at the nanosecond. Digits that 63 bits cannot hold are dropped, as in Go.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "less than a unit, which is less than 2^42"
)]
fn part_of_unit(fraction: &str, unit: u64) -> u64 {
    let mut number: u64 = 0;
    let mut scale = 1.0;
    for digit in fraction.bytes().map(|byte| u64::from(byte - b'0')) {
        let Some(next) = number.checked_mul(10).and_then(|ten| ten.checked_add(digit)).filter(|next| *next <= 1 << 63)
        else {
            break;
        };
        number = next;
        scale *= 10.0;
    }
    (number as f64 * (unit as f64 / scale)) as u64
}
