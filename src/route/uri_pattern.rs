//! Which resources of an MCP server a rule is for, by their URIs.

use thiserror::Error;

/// The text is not a pattern of URIs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidUriPattern {
    /// It does not begin with a scheme.
    #[error("`{0}` is not a URI with variables: write it like `file:///reports/{{report}}`")]
    NotAUri(String),
    /// A brace without its partner, or a name that is none.
    #[error("`{0}` has a `{{…}}` that is not one name of letters, digits and `_`")]
    Variable(String),
    /// Two variables touch.
    #[error(
        "`{0}` has two variables without a text between them that has a character which they cannot have, such as `/`"
    )]
    Touching(String),
    /// Two variables have one name.
    #[error("`{{{0}}}` is there twice")]
    Repeated(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Variable,
}

/// A URI with variables: `file:///reports/{report}`.
///
/// A variable takes one character or more, of those that mean the same to every reader: letters, digits, `-`, `.`, `_` and
/// `~` (RFC 3986, section 2.3), and neither `.` nor `..`. All else has to be there byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriPattern {
    // INVARIANT: begins with a literal; no two variables touch.
    parts: Box<[Part]>,
    names: Box<[Box<str>]>,
}

impl UriPattern {
    /// Reads a pattern, or says why it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidUriPattern> {
        let scheme = text.split_once(':').map(|(scheme, _)| scheme).unwrap_or_default();
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(legal) {
            return Err(InvalidUriPattern::NotAUri(text.to_owned()));
        }
        let (mut parts, mut names): (Vec<Part>, Vec<Box<str>>) = (Vec::new(), Vec::new());
        let mut rest = text;
        while !rest.is_empty() {
            let (literal, after) = rest.split_once('{').map_or((rest, None), |(literal, after)| (literal, Some(after)));
            if literal.contains('}') {
                return Err(InvalidUriPattern::Variable(text.to_owned()));
            }
            // What parts two variables may be in neither, or another reader would part them elsewhere.
            let parts_none = literal.bytes().all(is_unreserved);
            if !parts.is_empty() && (literal.is_empty() || after.is_some() && parts_none) {
                return Err(InvalidUriPattern::Touching(text.to_owned()));
            }
            parts.push(Part::Literal(literal.into()));
            let Some(after) = after else { break };
            let (name, after) = after.split_once('}').ok_or_else(|| InvalidUriPattern::Variable(text.to_owned()))?;
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return Err(InvalidUriPattern::Variable(text.to_owned()));
            }
            if names.iter().any(|known| **known == *name) {
                return Err(InvalidUriPattern::Repeated(name.to_owned()));
            }
            parts.push(Part::Variable);
            names.push(name.into());
            rest = after;
        }
        Ok(Self { parts: parts.into(), names: names.into() })
    }

    /// The index of a variable.
    pub fn variable(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| **known == *name)
    }

    /// What the variables take of this URI, from left to right; `None` if it is another one. A variable ends where the text
    /// after it stands for the first time.
    pub fn captures<'u>(&self, uri: &'u str) -> Option<Vec<&'u str>> {
        let mut captures = Vec::with_capacity(self.names.len());
        let mut rest = uri;
        let mut parts = self.parts.iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Literal(text) => rest = rest.strip_prefix(&**text)?,
                Part::Variable => {
                    let end = match parts.peek() {
                        Some(Part::Literal(text)) => rest.find(&**text)?,
                        Some(Part::Variable) | None => rest.len(),
                    };
                    let (value, after) = rest.split_at_checked(end)?;
                    captures.push(Some(value).filter(|value| is_plain(value))?);
                    rest = after;
                }
            }
        }
        rest.is_empty().then_some(captures)
    }
}

fn is_plain(value: &str) -> bool {
    !matches!(value, "" | "." | "..") && value.bytes().all(is_unreserved)
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captures<'u>(pattern: &str, uri: &'u str) -> Option<Vec<&'u str>> {
        UriPattern::parse(pattern).unwrap().captures(uri)
    }

    #[test]
    fn a_variable_takes_what_every_reader_reads_alike() {
        assert_eq!(captures("file:///reports/{report}", "file:///reports/q1.md"), Some(vec!["q1.md"]));
        assert_eq!(captures("crm://{tenant}/a/{id}/x", "crm://acme/a/7/x"), Some(vec!["acme", "7"]));
        assert_eq!(captures("config://app", "config://app"), Some(vec![]));
        for uri in [
            "file:///reports/",
            "file:///reports/q1/x",
            "file:///reports/..",
            "file:///reports/.",
            "file:///reports/q%31",
            "file:///reports/q1?x",
            "file:///reports/q1#x",
            "file:///reports/q1:x",
            "file:///reports/q1 ",
            "file:///reports/ä",
            "file:///reports//q1",
            "FILE:///reports/q1",
            "file:///reports/q1\u{0}",
        ] {
            assert_eq!(captures("file:///reports/{report}", uri), None, "{uri}");
        }
        assert_eq!(captures("config://app", "config://app/"), None);
    }

    #[test]
    fn a_pattern_is_a_uri_with_names() {
        for text in [
            "",
            "reports/{x}",
            "{scheme}://x",
            "1a:x",
            "a:{}",
            "a:{x-y}",
            "a:{x",
            "a:x}",
            "a:{x}{y}",
            "a:{x}-{y}",
            "a:{x}.{y}",
        ] {
            assert!(UriPattern::parse(text).is_err(), "{text}");
        }
        assert_eq!(UriPattern::parse("a:{x}/{x}"), Err(InvalidUriPattern::Repeated("x".to_owned())));
        assert_eq!(UriPattern::parse("a:{x}/{y}").unwrap().variable("y"), Some(1));
    }
}
