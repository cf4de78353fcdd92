//! Query parameters that a decision may use: declared, single, and spelled in one way.

use std::borrow::Cow;

use thiserror::Error;

use crate::access::{hex_byte, parameter_name, percent_decoded};

/// Why a query parameter has no one value that a decision may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum QueryProblem {
    /// It is not there.
    #[error("is missing")]
    Missing,
    /// It is there twice.
    #[error("is repeated")]
    Repeated,
    /// It is there in a spelling that some readers take for the same name: `Q`, `q[]`, `%71`, after a `;`.
    #[error("occurs in another spelling")]
    OtherSpelling,
    /// It is there, and may not be.
    #[error("says what the body says")]
    Unexpected,
    /// Its value has a malformed escape, a `+`, or is not UTF-8 without control characters.
    #[error("has a value with more than one reading")]
    AmbiguousValue,
}

/// The one value of the parameter `name`, its escapes decoded once.
pub(super) fn parameter<'a>(query: Option<&'a str>, name: &str) -> Result<Cow<'a, str>, QueryProblem> {
    let folded = parameter_name(name);
    let mut value = None;
    for pair in query.unwrap_or_default().split('&') {
        let (key, raw) = pair.split_once('=').unwrap_or((pair, ""));
        if key == name {
            if value.replace(raw).is_some() {
                return Err(QueryProblem::Repeated);
            }
        } else if parameter_name(key) == folded {
            return Err(QueryProblem::OtherSpelling);
        }
        // Some servers also split at `;` or at another `?`, and would find another parameter inside of this one.
        let mut hidden = pair.split([';', '?']).skip(1).map(|part| part.split_once('=').map_or(part, |(key, _)| key));
        if hidden.any(|key| parameter_name(key) == folded) {
            return Err(QueryProblem::OtherSpelling);
        }
    }
    decode(value.ok_or(QueryProblem::Missing)?)
}

/// Refuses a query that has this parameter in any spelling, in any place where a server could find it.
pub(super) fn check_absent(query: Option<&str>, name: &str) -> Result<(), QueryProblem> {
    let folded = parameter_name(name);
    let mut names =
        query.unwrap_or_default().split(['&', ';', '?']).map(|pair| pair.split('=').next().unwrap_or_default());
    if names.any(|other| parameter_name(other) == folded) { Err(QueryProblem::Unexpected) } else { Ok(()) }
}

fn decode(raw: &str) -> Result<Cow<'_, str>, QueryProblem> {
    if raw.contains(['+', ';']) {
        return Err(QueryProblem::AmbiguousValue);
    }
    if !raw.contains('%') {
        return Ok(Cow::Borrowed(raw));
    }
    let well_formed = raw.split('%').skip(1).all(|after| {
        let mut digits = after.bytes();
        digits.next().zip(digits.next()).and_then(|(high, low)| hex_byte(high, low)).is_some()
    });
    let text = String::from_utf8(percent_decoded(raw)).map_err(|_| QueryProblem::AmbiguousValue)?;
    if well_formed && !text.chars().any(char::is_control) {
        Ok(Cow::Owned(text))
    } else {
        Err(QueryProblem::AmbiguousValue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quarter(query: &str) -> Result<String, QueryProblem> {
        parameter(Some(query), "quarter").map(Cow::into_owned)
    }

    #[test]
    fn a_single_parameter_has_its_value() {
        assert_eq!(quarter("year=2026&quarter=Q2").unwrap(), "Q2");
        assert_eq!(quarter("quarter=a%20b&x").unwrap(), "a b");
        assert_eq!(quarter("quarter=a=b").unwrap(), "a=b");
        assert_eq!(quarter("quarter=").unwrap(), "");
        assert_eq!(quarter("quarters=1"), Err(QueryProblem::Missing));
        assert_eq!(parameter(None, "quarter"), Err(QueryProblem::Missing));
    }

    #[test]
    fn what_must_not_be_there_is_there_in_no_spelling() {
        for query in [None, Some(""), Some("a=query"), Some("queries=1&q=query=1")] {
            assert_eq!(check_absent(query, "query"), Ok(()), "{query:?}");
        }
        for query in
            ["query=1", "a&query", "Query=1", "%71uery=1", "a=1;query=2", "a?query=1", "query[]=1", "query%00=1"]
        {
            assert_eq!(check_absent(Some(query), "query"), Err(QueryProblem::Unexpected), "{query}");
        }
    }

    #[test]
    fn a_parameter_with_two_readings_is_refused() {
        assert_eq!(quarter("quarter=Q1&quarter=Q2"), Err(QueryProblem::Repeated));
        assert_eq!(quarter("quarter=Q1&quarter"), Err(QueryProblem::Repeated));
        for query in [
            "quarter[]=Q1",
            "quarter=Q1&quarter[]=Q2",
            "quarter=Q1&Quarter=Q2",
            "quarter=Q1&%71uarter=Q2",
            "quarter=Q1&x=1;quarter=Q2",
            "quarter=Q1;quarter=Q2",
            "quarter=Q1&quarter%00=Q2",
            "quarter=Q1&quarter%5B0%5D=Q2",
            "quarter=Q1&+quarter=Q2",
            "quarter=Q1&quarter%20=Q2",
            "quarter=Q1&%2571uarter=Q2",
            "quarter=Q1&%quarter=Q2",
            "x=1?quarter=Q2&quarter=Q1",
        ] {
            assert!(quarter(query).is_err(), "{query}");
        }
        for query in ["quarter=%zz", "quarter=a+b", "quarter=%ff", "quarter=%00", "quarter=a;b", "quarter=%4"] {
            assert_eq!(quarter(query), Err(QueryProblem::AmbiguousValue), "{query}");
        }
    }
}
