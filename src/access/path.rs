//! The one spelling of a path that is decided on and forwarded.

use std::{borrow::Cow, sync::Arc};

use super::{
    bytes::{ALPHANUMERIC, ByteClasses},
    head_rules::HeadRules,
    lenient::{folded, percent_decoded},
};
use thiserror::Error;

const SLASH: u8 = 1;
const DOT: u8 = 2;
/// An escape, or a parameter.
const SPECIAL: u8 = 4;
const ILLEGAL: u8 = 8;

/// The bytes of a path: `pchar`, slash and escapes (RFC 3986, section 3.3).
static BYTES: ByteClasses = ByteClasses::of(
    &[(ALPHANUMERIC, 0), (b"-_~!$&'()*+,=:@", 0), (b"/", SLASH), (b".", DOT), (b";%", SPECIAL)],
    ILLEGAL,
);

/// Why a path is refused. The texts name no byte of the request, so they are safe to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NonCanonical {
    /// The path does not begin with `/`.
    #[error("the path does not begin with a slash")]
    Relative,
    /// `//`, or a `/` at the end.
    #[error("a segment is empty")]
    EmptySegment,
    /// `.` or `..`, spelled in any way.
    #[error("a segment is a dot segment")]
    DotSegment,
    /// A byte that a path may not hold raw (RFC 3986, section 3.3: not a `pchar`).
    #[error("a byte is not allowed raw in a path")]
    RawByte,
    /// `%` without two hexadecimal digits.
    #[error("a percent escape is malformed")]
    BadEscape,
    /// An escape of a delimiter or of a control character.
    #[error("a delimiter or control character is escaped")]
    EscapedDelimiter,
    /// The decoded bytes are not UTF-8.
    #[error("the decoded path is not UTF-8")]
    NotUtf8,
    /// A second decoding, NFKC or a best fit makes a delimiter, a control character or a dot segment of it.
    #[error("a segment folds to a delimiter or a dot segment")]
    FoldsToDelimiter,
}

/// A path in canonical spelling: no empty or dot segments, unreserved characters decoded, other escapes in upper case.
///
/// What cannot be spelled in one way is refused, never repaired (rules of RFC 3986, sections 3.3 and 6.2.2). A `;` is a
/// literal of its segment; `%25` stays as it is and is never decoded a second time. What would be a delimiter or a dot
/// segment to whoever does decode it again is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CanonicalPath {
    // INVARIANT: begins with `/`; every segment passed `canonical_segment`, between its escaped slashes. Shared with the record.
    text: Arc<str>,
}

/// An escaped slash in canonical spelling.
const ESCAPED_SLASH: &str = "%2F";

impl CanonicalPath {
    /// The canonical spelling of a raw path without escaped slashes, or why it has none.
    pub fn parse(raw: &str) -> Result<Self, NonCanonical> {
        Self::parse_by(HeadRules::default(), raw)
    }

    /// The same by these rules.
    pub fn parse_by(rules: HeadRules, raw: &str) -> Result<Self, NonCanonical> {
        if is_canonical(raw.as_bytes()) {
            return Ok(Self { text: raw.into() });
        }
        let rest = raw.strip_prefix('/').ok_or(NonCanonical::Relative)?;
        let mut text = String::with_capacity(raw.len());
        if rest.is_empty() {
            text.push('/');
            return Ok(Self { text: text.into() });
        }
        for segment in rest.split('/') {
            text.push('/');
            if rules.escaped_slashes {
                canonical_pieces(segment, &mut text)?;
            } else {
                canonical_segment(segment, &mut text)?;
            }
        }
        Ok(Self { text: text.into() })
    }

    /// Whether a segment holds an escaped slash.
    pub fn has_escaped_slash(&self) -> bool {
        self.text.contains(ESCAPED_SLASH)
    }

    /// The path `/`.
    pub(super) fn root() -> Self {
        Self { text: "/".into() }
    }

    /// The spelling that is forwarded.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same, shared.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The segments in their canonical spelling; none for `/`.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        let mut rest = self.text.get(1..).filter(|rest| !rest.is_empty());
        // Segments are short: to look at each byte is quicker than any search.
        std::iter::from_fn(move || {
            let text = rest?;
            let end = text.bytes().position(|byte| byte == b'/');
            rest = end.and_then(|end| text.get(end + 1..));
            end.map_or(Some(text), |end| text.get(..end))
        })
    }
}

/// The text that a canonical segment stands for. Refuses nothing: a canonical segment always decodes. One with an escaped slash
/// stands for itself, as it is spelled: decoded it would be two.
pub fn decoded_segment(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') || segment.contains(ESCAPED_SLASH) {
        return Cow::Borrowed(segment);
    }
    Cow::Owned(String::from_utf8_lossy(&percent_decoded(segment)).into_owned())
}

/// The byte of two hexadecimal digits.
pub fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

/// Whether this is canonical at first sight, as almost all paths are: no escape, and no segment that is empty, begins
/// with a dot or has parameters.
fn is_canonical(raw: &[u8]) -> bool {
    let mut before = 0;
    let found = raw.iter().fold(0, |found, byte| {
        let class = BYTES.class(*byte);
        // After a slash a segment begins: not by another slash, nor by a dot.
        let begun_badly = (before & SLASH) & (class | class >> 1);
        before = class;
        found | (class & (SPECIAL | ILLEGAL)) | begun_badly
    });
    found == 0 && raw.first() == Some(&b'/') && before & SLASH == 0
}

/// A segment that may hold escaped slashes: what is between them is what a server that decodes them takes for segments.
fn canonical_pieces(raw: &str, text: &mut String) -> Result<(), NonCanonical> {
    let mut rest = raw;
    while let Some((piece, after)) = split_at_escaped_slash(rest) {
        canonical_segment(piece, text)?;
        text.push_str(ESCAPED_SLASH);
        rest = after;
    }
    canonical_segment(rest, text)
}

fn split_at_escaped_slash(text: &str) -> Option<(&str, &str)> {
    let is_slash = |at: &usize| text.get(at + 1..at + 3).is_some_and(|digits| digits.eq_ignore_ascii_case("2f"));
    let at = text.match_indices('%').map(|(at, _)| at).find(is_slash)?;
    Some((text.get(..at)?, text.get(at + ESCAPED_SLASH.len()..)?))
}

fn canonical_segment(raw: &str, text: &mut String) -> Result<(), NonCanonical> {
    // A server that cuts `;parameters` would see an empty segment in `;x`.
    if raw.is_empty() || raw.starts_with(';') {
        return Err(NonCanonical::EmptySegment);
    }
    let start = text.len();
    let mut escaped = false;
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            if !is_pchar(byte) {
                return Err(NonCanonical::RawByte);
            }
            text.push(char::from(byte));
            continue;
        }
        let value = bytes.next().zip(bytes.next()).and_then(|(high, low)| hex_byte(high, low));
        match value.ok_or(NonCanonical::BadEscape)? {
            value if is_unreserved(value) => text.push(char::from(value)),
            b'/' | b'\\' | b'?' | b'#' | b';' | 0x00..=0x1f | 0x7f => return Err(NonCanonical::EscapedDelimiter),
            value => {
                escaped = true;
                push_escape(value, text);
            }
        }
    }
    let segment = text.get(start..).unwrap_or_default();
    if escaped { check_escaped(segment) } else { check_dots(segment) }
}

fn push_escape(value: u8, text: &mut String) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    text.push('%');
    for digit in [value >> 4, value & 0xf] {
        text.extend(DIGITS.get(usize::from(digit)));
    }
}

fn check_dots(segment: &str) -> Result<(), NonCanonical> {
    // A server that cuts `;parameters` before it resolves dots would see a dot segment in `..;x`, one that trims in `.. `.
    match segment.split(';').next().map(str::trim) {
        Some("." | "..") => Err(NonCanonical::DotSegment),
        _ => Ok(()),
    }
}

fn check_escaped(segment: &str) -> Result<(), NonCanonical> {
    check_dots(segment)?;
    let text = String::from_utf8(percent_decoded(segment)).map_err(|_| NonCanonical::NotUtf8)?;
    if text.chars().any(char::is_control) {
        return Err(NonCanonical::EscapedDelimiter);
    }
    let folded = folded(&text);
    if folded.contains(['/', '\\', '\u{fffd}']) || folded.chars().any(char::is_control) || check_dots(&folded).is_err()
    {
        return Err(NonCanonical::FoldsToDelimiter);
    }
    // A second decoder would end the path there. In one that was not escaped twice they are letters of some language.
    if text.contains('%') && folded.contains(['?', '#', ';']) {
        return Err(NonCanonical::FoldsToDelimiter);
    }
    Ok(())
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_pchar(byte: u8) -> bool {
    BYTES.class(byte) & (ILLEGAL | SLASH) == 0 && byte != b'%'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(raw: &str) -> Result<String, NonCanonical> {
        CanonicalPath::parse(raw).map(|path| path.as_str().to_owned())
    }

    #[test]
    fn these_bytes_stand_for_themselves() {
        let legal = "-._~!$&'()*+,;=:@ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        for byte in 0..=u8::MAX {
            assert_eq!(is_pchar(byte), legal.as_bytes().contains(&byte), "{byte}");
        }
    }

    #[test]
    fn unreserved_escapes_are_decoded_and_others_upper_cased() {
        assert_eq!(canonical("/a%41%7e/b%3ac%c3%a9").unwrap(), "/aA~/b%3Ac%C3%A9");
        assert_eq!(canonical("/").unwrap(), "/");
        assert_eq!(canonical("/a;b=c/d").unwrap(), "/a;b=c/d");
        assert_eq!(canonical("/%2541%25").unwrap(), "/%2541%25");
    }

    #[test]
    fn what_has_more_than_one_reading_is_refused() {
        use NonCanonical::*;
        let cases = [
            ("", Relative),
            ("a", Relative),
            ("*", Relative),
            ("//", EmptySegment),
            ("/a//b", EmptySegment),
            ("/a/", EmptySegment),
            ("/.", DotSegment),
            ("/a/..", DotSegment),
            ("/%2e%2E/b", DotSegment),
            ("/.%2e", DotSegment),
            ("/..;x/b", DotSegment),
            ("/.;", DotSegment),
            ("/a%2Fb", EscapedDelimiter),
            ("/a%5cb", EscapedDelimiter),
            ("/%00", EscapedDelimiter),
            ("/%1f", EscapedDelimiter),
            ("/%7f", EscapedDelimiter),
            ("/%3f", EscapedDelimiter),
            ("/%23", EscapedDelimiter),
            ("/%3B", EscapedDelimiter),
            ("/%c2%85", EscapedDelimiter),
            ("/a\\b", RawByte),
            ("/a b", RawByte),
            ("/a\"", RawByte),
            ("/{a}", RawByte),
            ("/é", RawByte),
            ("/a|b", RawByte),
            ("/[a]", RawByte),
            ("/a^b", RawByte),
            ("/a`b", RawByte),
            ("/a?b", RawByte),
            ("/%zz", BadEscape),
            ("/%", BadEscape),
            ("/%4", BadEscape),
            ("/%u2215", BadEscape),
            ("/%c0%af", NotUtf8),
            ("/%ff", NotUtf8),
            ("/%ed%a0%80", NotUtf8),
            ("/%ef%bc%8f", FoldsToDelimiter),
            ("/a%ef%bc%bcb", FoldsToDelimiter),
            ("/%ef%bc%8e%ef%bc%8e", FoldsToDelimiter),
            ("/%e2%80%a5", FoldsToDelimiter),
            ("/%252e%252e", FoldsToDelimiter),
            ("/a%252Fb", FoldsToDelimiter),
            ("/a%253fb", FoldsToDelimiter),
            ("/a%2500", FoldsToDelimiter),
            ("/%25252e.", FoldsToDelimiter),
            ("/%25c0%25ae", FoldsToDelimiter),
            ("/a%e2%88%95b", FoldsToDelimiter),
            ("/.%e2%80%8b.", FoldsToDelimiter),
            ("/..%20", FoldsToDelimiter),
            ("/a/;b", EmptySegment),
        ];
        for (raw, problem) in cases {
            assert_eq!(canonical(raw), Err(problem), "{raw}");
        }
    }

    #[test]
    fn a_slash_that_stays_escaped_parts_segments_all_the_same() {
        let rules = HeadRules { escaped_slashes: true, ..HeadRules::default() };
        let canonical = |raw: &str| CanonicalPath::parse_by(rules, raw).map(|path| path.as_str().to_owned());
        for (raw, expected) in [
            ("/projects/group%2fproject", "/projects/group%2Fproject"),
            ("/a%2Fb%2fc%20d/%65", "/a%2Fb%2Fc%20d/e"),
            ("/a%2525/b", "/a%2525/b"),
            ("/a/b", "/a/b"),
        ] {
            assert_eq!(canonical(raw).as_deref(), Ok(expected), "{raw}");
            assert_eq!(canonical(expected).as_deref(), Ok(expected));
        }
        for raw in [
            "/%2F",
            "/%2fa",
            "/a%2F",
            "/a%2F%2Fb",
            "/a%2F..",
            "/..%2Fa",
            "/a%2F%2e%2E%2Fb",
            "/a%2F.%2Fb",
            "/a%2F..;x",
            "/a%2F;x",
            "/a%2F%ef%bc%8e.",
            "/a%5cb",
            "/a%2F%5Cb",
            "/a%252Fb",
            "/a%252fb%2Fc",
            "/a%2F%00",
            "/a%2",
            "/a%2F/b%2f",
            "/a%c0%af",
            "/a%2F%EF%BC%8Fb",
            "/a%3Fb%2Fc",
        ] {
            assert!(canonical(raw).is_err(), "{raw}");
        }
        assert_eq!(decoded_segment("a%20b%2Fc"), "a%20b%2Fc");
    }

    #[test]
    fn canonical_is_a_fixed_point() {
        for raw in ["/a%41/%e2%82%ac", "/x;y=%26", "/%25%34%31", "/~user/-._"] {
            let once = canonical(raw).unwrap();
            assert_eq!(canonical(&once).unwrap(), once);
        }
    }

    #[test]
    fn segments_decode_to_their_text() {
        let path = CanonicalPath::parse("/a%20b/%e2%82%ac").unwrap();
        assert_eq!(path.segments().map(decoded_segment).collect::<Vec<_>>(), ["a b", "€"]);
        assert_eq!(CanonicalPath::parse("/").unwrap().segments().count(), 0);
    }
}
