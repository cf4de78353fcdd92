//! Tuples in the one form of YAML that almost every long list of them has.

use super::tuples::{Collector, Written, WrittenTuple};
use crate::access::Place;

/// Texts that YAML takes for something else than a text, in lower case.
const NOT_TEXTS: [&str; 11] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"];

/// Reads a list whose entries have three lines, each a key and a text without quotes. False, and nothing is read, if
/// there is anything else.
pub(super) fn read(text: &str, collector: &mut Collector<'_, '_>) -> bool {
    if !entries(text, |_| {}) {
        return false;
    }
    entries(text, |tuple| collector.add(tuple))
}

/// Tells of each entry. False if there is anything else than plain entries.
fn entries<'a>(text: &'a str, mut tell: impl FnMut(WrittenTuple<'a>)) -> bool {
    let mut indent = None;
    let mut tuple: Option<WrittenTuple<'a>> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if line.is_empty() || (number == 1 && line == "tuples:") {
            continue;
        }
        let body = line.trim_start_matches(' ');
        let begins = body.starts_with("- ");
        let depth = line.len() - body.len() + if begins { 2 } else { 0 };
        if *indent.get_or_insert(depth) != depth {
            return false;
        }
        let Some((key, value)) = field(body.strip_prefix("- ").unwrap_or(body)) else { return false };
        let column = |before: usize| u32::try_from(depth + before + 1).unwrap_or(u32::MAX);
        if begins {
            if let Some(tuple) = tuple.take() {
                tell(tuple);
            }
            let place = Place { line: number, column: column(0) };
            tuple = Some(WrittenTuple { place, user: None, relation: None, object: None, condition: None });
        }
        let Some(tuple) = &mut tuple else { return false };
        let field = match key {
            "user" => &mut tuple.user,
            "relation" => &mut tuple.relation,
            _ => &mut tuple.object,
        };
        if field.is_some() {
            return false;
        }
        *field = Some(Written { text: value, place: Place { line: number, column: column(key.len() + 2) } });
    }
    tuple.into_iter().for_each(tell);
    indent.is_some()
}

/// A key that is known and a value that is surely a text.
fn field(text: &str) -> Option<(&str, &str)> {
    let (key, value) = text.split_once(": ")?;
    let is_key = matches!(key, "user" | "relation" | "object");
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b":#*_-./@|+,=".contains(&byte);
    let is_plain = value.bytes().all(legal)
        && value.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        && !value.ends_with(':')
        && !NOT_TEXTS.iter().any(|other| value.eq_ignore_ascii_case(other));
    (is_key && is_plain).then_some((key, value))
}
