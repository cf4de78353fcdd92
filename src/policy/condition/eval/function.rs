//! The functions a program may call, and what a call costs.

use super::value::Value;

/// A function or operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy::condition) enum Function {
    Not,
    Negate,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    In,
    Index,
    Size,
    Contains,
    StartsWith,
    EndsWith,
    Matches,
    TypeOf,
    Dynamic,
    ToBool,
    ToBytes,
    ToDouble,
    ToDuration,
    ToInt,
    ToString,
    ToTimestamp,
    ToUint,
    FullYear,
    Month,
    Date,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    Hours,
    Minutes,
    Seconds,
    Milliseconds,
    ToIpAddress,
    InCidr,
}

impl Function {
    /// Whether a call with a constant is computed once, when the condition is compiled.
    pub(in crate::policy::condition) const fn is_conversion(self) -> bool {
        matches!(
            self,
            Self::TypeOf
                | Self::Dynamic
                | Self::ToBool
                | Self::ToBytes
                | Self::ToDouble
                | Self::ToDuration
                | Self::ToInt
                | Self::ToString
                | Self::ToTimestamp
                | Self::ToUint
        )
    }
}

/// What a call costs (cel-go's runtime cost model).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy::condition) enum Charge {
    /// One.
    One,
    /// A tenth of the first argument's size.
    FirstTenth,
    /// A tenth of the second argument's size.
    SecondTenth,
    /// The second argument's size.
    SecondSize,
    /// A tenth of the shorter argument's size.
    Shorter,
    /// A tenth of both sizes together.
    Sum,
    /// A tenth of the one size times a tenth of the other.
    Product,
    /// A tenth of the text's size and one times a quarter of the pattern's.
    Pattern,
}

impl Charge {
    /// What a call with one argument costs. One without a value has the size one.
    pub(super) fn of_one(self, argument: Option<&Value<'_>>) -> u64 {
        match self {
            Self::FirstTenth => tenth(size(argument)),
            Self::One
            | Self::SecondTenth
            | Self::SecondSize
            | Self::Shorter
            | Self::Sum
            | Self::Product
            | Self::Pattern => 1,
        }
    }

    /// What a call with two arguments costs.
    pub(super) fn of_two(self, first: &Value<'_>, second: Option<&Value<'_>>) -> u64 {
        let (first, second) = (Some(first), second);
        match self {
            Self::One => 1,
            Self::FirstTenth => tenth(size(first)),
            Self::SecondTenth => tenth(size(second)),
            Self::SecondSize => size(second),
            Self::Shorter => tenth(size(first).min(size(second))),
            Self::Sum => tenth(size(first).saturating_add(size(second))),
            Self::Product => tenth(size(first)).saturating_mul(tenth(size(second))),
            Self::Pattern => pattern_cost(size(first), size(second)),
        }
    }
}

/// What matching a text of one size by a pattern of another costs.
pub(super) fn pattern_cost(text: u64, pattern: u64) -> u64 {
    tenth(text.saturating_add(1)).saturating_mul(part(pattern, 0.25))
}

fn size(value: Option<&Value<'_>>) -> u64 {
    value.map_or(1, |value| value.size() as u64)
}

fn tenth(size: u64) -> u64 {
    part(size, 0.1)
}

/// A part of a size, in doubles as cel-go reckons it, so that the same sizes are rounded up.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a size is a size")]
fn part(size: u64, factor: f64) -> u64 {
    (size as f64 * factor).ceil() as u64
}
