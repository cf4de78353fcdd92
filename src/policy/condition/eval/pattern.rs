//! Regular expressions in the dialect of Go's RE2, tried in linear time.

use regex::{Regex, RegexBuilder};

use crate::policy::condition::problem::EvaluationFault;

/// The most bytes that a compiled pattern may take.
const LARGEST_PATTERN: usize = 1 << 20;
/// The most times that a part may be repeated (RE2's limit).
const MOST_REPEATS: u32 = 1_000;

/// Compiles a pattern. Refuses what is not RE2, and what would take too much memory.
pub(in crate::policy::condition) fn compile_pattern(pattern: &str) -> Result<Regex, EvaluationFault> {
    let translated = translate(pattern).ok_or(EvaluationFault::BadPattern)?;
    let built = RegexBuilder::new(&translated).size_limit(LARGEST_PATTERN).nest_limit(100).build();
    built.map_err(|_| EvaluationFault::BadPattern)
}

/// The same pattern for the `regex` crate, which differs: its `\d` matches more than ten digits, `[` nests.
fn translate(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    let mut in_class = false;
    let mut class_begins = false;
    let mut repeated = false;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..)?;
        let begins = std::mem::take(&mut class_begins);
        let again = std::mem::take(&mut repeated);
        match c {
            // A part is repeated once, greedily or not.
            '*' | '+' | '?' if again => return None,
            '*' | '+' | '?' if !in_class => {
                out.push(c);
                rest = lazy(after, &mut out);
                repeated = true;
            }
            '\\' => rest = escape(after, in_class, &mut out)?,
            '[' if !in_class => {
                in_class = true;
                class_begins = true;
                let inner = after.strip_prefix('^');
                out.push_str(if inner.is_some() { "[^" } else { "[" });
                rest = inner.unwrap_or(after);
            }
            '[' => {
                rest = named_class(rest, &mut out).unwrap_or_else(|| {
                    out.push_str("\\[");
                    after
                })
            }
            ']' if in_class && begins => {
                out.push_str("\\]");
                rest = after;
            }
            ']' => {
                out.push_str(if in_class { "]" } else { "\\]" });
                in_class = false;
                rest = after;
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
                rest = after;
            }
            '-' if in_class && (begins || after.starts_with(']')) => {
                out.push_str("\\-");
                rest = after;
            }
            '{' if !in_class => match repetition(after, &mut out)? {
                Some(_) if again => return None,
                Some(counted) => {
                    rest = lazy(counted, &mut out);
                    repeated = true;
                }
                None => rest = after,
            },
            '(' if !in_class => rest = group(after, &mut out)?,
            c => {
                out.push(c);
                rest = after;
            }
        }
    }
    (!in_class).then_some(out)
}

/// What follows a backslash.
fn escape<'a>(after: &'a str, in_class: bool, out: &mut String) -> Option<&'a str> {
    let c = after.chars().next()?;
    let rest = after.get(c.len_utf8()..)?;
    let class = match c {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => "\\t\\n\\f\\r ",
        'D' => "^0-9",
        'W' => "^0-9A-Za-z_",
        'S' => "^\\t\\n\\f\\r ",
        'b' | 'B' if in_class || rest.starts_with('{') => return None,
        // Between letters as ASCII has them.
        'b' => {
            out.push_str("(?-u:\\b)");
            return Some(rest);
        }
        'B' => {
            out.push_str("(?-u:\\B)");
            return Some(rest);
        }
        'Q' => return Some(quoted(rest, out)),
        // An end without a beginning, and what only the crate knows.
        'E' | 'C' | 'u' | 'U' | 'K' | 'R' | 'X' | 'h' | 'H' | 'V' | 'N' | 'G' | 'Z' => return None,
        '<' | '>' => {
            out.push(c);
            return Some(rest);
        }
        _ => {
            out.push('\\');
            out.push(c);
            return Some(rest);
        }
    };
    match (in_class, class.starts_with('^')) {
        (true, false) => out.push_str(class),
        _ => {
            out.push('[');
            out.push_str(class);
            out.push(']');
        }
    }
    Some(rest)
}

/// `\Q…\E`: everything between stands for itself.
fn quoted<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let (text, after) = rest.split_once("\\E").unwrap_or((rest, ""));
    out.push_str(&regex::escape(text));
    after
}

/// `[:alpha:]` inside a class.
fn named_class<'a>(rest: &'a str, out: &mut String) -> Option<&'a str> {
    let end = rest.strip_prefix("[:")?.find(":]")?;
    let (name, after) = rest.split_at_checked(end + 4)?;
    out.push_str(name);
    Some(after)
}

/// The mark that makes a repetition take as little as it can.
fn lazy<'a>(after: &'a str, out: &mut String) -> &'a str {
    let rest = after.strip_prefix('?');
    out.push_str(if rest.is_some() { "?" } else { "" });
    rest.unwrap_or(after)
}

/// What follows `{2,3}`. Any other `{` stands for itself, and there is nothing after it. `None` for too many.
fn repetition<'a>(after: &'a str, out: &mut String) -> Option<Option<&'a str>> {
    let counts = after.split_once('}').filter(|(counts, _)| {
        let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        !least.is_empty() && digits(least) && digits(most)
    });
    let Some((counts, rest)) = counts else {
        out.push_str("\\{");
        return Some(None);
    };
    let too_many = |count: &str| !count.is_empty() && count.parse::<u32>().map_or(true, |count| count > MOST_REPEATS);
    if counts.split(',').any(too_many) {
        return None;
    }
    out.push('{');
    out.push_str(counts);
    out.push('}');
    Some(Some(rest))
}

/// A group. The flags that only the crate knows are refused.
fn group<'a>(after: &'a str, out: &mut String) -> Option<&'a str> {
    out.push('(');
    let Some(flags) = after.strip_prefix('?') else { return Some(after) };
    let end = flags.find([':', ')', '<']).unwrap_or(flags.len());
    let flags = flags.get(..end)?;
    (flags == "P" || flags.bytes().all(|byte| matches!(byte, b'i' | b'm' | b's' | b'U' | b'-'))).then_some(after)
}
