//! The grammar of header fields, and which of them travel on.

use http::{HeaderMap, HeaderName, HeaderValue, Version, header};
use smallvec::SmallVec;

use super::{
    bytes::ByteClasses,
    ending::{ends_here, ends_or_frames, is_reserved},
    head_rules::{HeadRules, Underscores},
    request::Malformed,
};

/// What happens to the credential that the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CredentialHandling {
    /// It ends here; the upstream never sees it.
    #[default]
    Strip,
    /// The upstream gets it too.
    Forward,
}

/// Fields that a request may carry once only: two of them have two readings.
static SINGLE: [HeaderName; 13] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONTENT_ENCODING,
    header::EXPECT,
    header::ORIGIN,
    header::RANGE,
    HeaderName::from_static("dpop"),
    HeaderName::from_static("mcp-method"),
    HeaderName::from_static("mcp-name"),
    HeaderName::from_static("mcp-protocol-version"),
    HeaderName::from_static("mcp-session-id"),
];

/// Fields that `Connection` may not name, because dropping them would change what was decided.
const PROTECTED: &[&str] = &[
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "dpop",
    "expect",
    "forwarded",
    "host",
    "origin",
    "transfer-encoding",
    "via",
];

const UNDERSCORE: u8 = 1;
const ODD: u8 = 2;

/// The bytes of names.
static NAME_BYTES: ByteClasses =
    ByteClasses::of(&[(b"abcdefghijklmnopqrstuvwxyz0123456789-", 0), (b"_", UNDERSCORE)], ODD);

/// At most this many fields in a head, whatever the protocol.
/// Each cookie of HTTP/2 is counted (RFC 9113, section 8.2.3).
const FIELDS: usize = 100;

/// At most this many names in all `Connection` fields together.
const CONNECTION_TOKENS: usize = 20;

/// Whether some `Connection` field names the field.
pub(super) fn connection_names(headers: &HeaderMap, name: &HeaderName) -> bool {
    connection_tokens(headers).any(|token| token.eq_ignore_ascii_case(name.as_str()))
}

/// The fields that change how a head is read and passed on, looked for once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Noted {
    /// There is a `Connection`.
    pub(super) connection: bool,
    /// There is an `Upgrade`.
    pub(super) upgrade: bool,
    /// There is a `TE`.
    pub(super) te: bool,
    /// There is a `Content-Length` or a `Transfer-Encoding`.
    framing: bool,
    expect: bool,
    cookie: bool,
    /// Some field's name holds `_`.
    underscore: bool,
    /// Some field's name holds something else than letters, digits, `-` and `_`.
    pub(super) odd: bool,
}

impl Noted {
    fn of(headers: &HeaderMap) -> Self {
        let mut noted = Self::default();
        for name in headers.keys() {
            match *name {
                header::CONNECTION => noted.connection = true,
                header::UPGRADE => noted.upgrade = true,
                header::TE => noted.te = true,
                header::CONTENT_LENGTH | header::TRANSFER_ENCODING => noted.framing = true,
                header::EXPECT => noted.expect = true,
                header::COOKIE => noted.cookie = true,
                _ => {
                    let class = NAME_BYTES.all(name.as_str().as_bytes());
                    noted.underscore |= class & UNDERSCORE != 0;
                    noted.odd |= class & ODD != 0;
                }
            }
        }
        noted
    }
}

/// Refuses what has more than one reading (rules for names, single fields, framing, `Connection`, `Expect`).
///
/// What the rules drop is not in the fields any more.
pub(super) fn check(headers: &mut HeaderMap, version: Version, rules: HeadRules) -> Result<Noted, Malformed> {
    rules.check(version)?;
    if headers.len() > FIELDS {
        return Err(Malformed::TooLarge);
    }
    let noted = Noted::of(headers);
    if noted.underscore {
        match rules.underscores {
            Underscores::Refuse => return Err(Malformed::Header("a field's name holds `_`")),
            Underscores::Drop => drop_underscores(headers),
        }
    }
    if noted.odd && headers.keys().any(is_twin) {
        return Err(Malformed::Header("a field's name is another's to servers that read `-` for what is no letter"));
    }
    // Most heads repeat no field at all, and then none that must be single.
    let repeats = headers.keys_len() < headers.len();
    for name in SINGLE.iter().filter(|_| repeats) {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(match *name {
                header::CONTENT_LENGTH | header::TRANSFER_ENCODING => Malformed::Framing("a framing field is repeated"),
                _ => Malformed::Repeated,
            });
        }
    }
    if noted.framing {
        check_framing(headers, version)?;
    }
    if noted.connection {
        check_connection(headers)?;
    }
    match noted.expect.then(|| headers.get(header::EXPECT)).flatten() {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Err(Malformed::Expectation),
        Some(_) | None => Ok(noted),
    }
}

fn drop_underscores(headers: &mut HeaderMap) {
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
}

/// Whether one of the `TE` fields says that trailers can be taken (RFC 9110, section 10.1.4).
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::TE).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Whether another field's name is this one to a server that takes every other character for `-`.
pub(super) fn has_twin(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.keys().any(|other| other != name && as_by_cgi(other).trim_matches('-') == name.as_str())
}

/// The name as CGI has it, in the spelling of HTTP.
fn as_by_cgi(name: &HeaderName) -> String {
    name.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// Whether the name is one that ends here, or that something is decided by, to a server that takes every other character
/// for `-`, as CGI does.
fn is_twin(name: &HeaderName) -> bool {
    let folded = as_by_cgi(name);
    if folded == name.as_str() {
        return false;
    }
    let trimmed = folded.trim_matches('-');
    let is_single = SINGLE.iter().any(|single| single.as_str() == trimmed);
    is_single || PROTECTED.contains(&trimmed) || HeaderName::try_from(trimmed).is_ok_and(|name| ends_here(&name))
}

/// Fields of a request that was sent.
pub(super) type Kept = SmallVec<[(HeaderName, HeaderValue); 1]>;

/// What travels on: everything but the hop-by-hop, the `Connection`-listed, the reserved, the framing and `removed`. The
/// caller replaces `Host`. The fields that are `kept` are returned too, whether they travel on or not.
pub(super) fn outbound(
    mut headers: HeaderMap,
    noted: Noted,
    removed: &[HeaderName],
    kept: &[HeaderName],
) -> (HeaderMap, Kept) {
    let ends = |name: &HeaderName| {
        ends_or_frames(name) || removed.contains(name) || (noted.connection && connection_names(&headers, name))
    };
    // Few fields end here: to take them out is less than to copy all others.
    let mut ending: SmallVec<[HeaderName; 8]> = SmallVec::new();
    for name in headers.keys() {
        if ends(name) {
            ending.push(name.clone());
        }
    }
    let mut left = Kept::new();
    for name in ending {
        if let Some(value) = headers.remove(&name)
            && kept.contains(&name)
        {
            left.push((name, value));
        }
    }
    // Most often all have ended here.
    if left.len() < kept.len() {
        for name in kept {
            left.extend(headers.get(name).map(|value| (name.clone(), value.clone())));
        }
    }
    if noted.cookie {
        join_cookies(&mut headers);
    }
    (headers, left)
}

/// One Cookie field of several, as HTTP/2 may send them (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(header::COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
    // An empty one would leave white space at an end, which the next reader takes away.
    let crumbs: Vec<&[u8]> = crumbs.filter(|crumb| !crumb.is_empty()).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(header::COOKIE, whole);
    }
}

fn check_framing(headers: &HeaderMap, version: Version) -> Result<(), Malformed> {
    let length = headers.get(header::CONTENT_LENGTH);
    let coding = headers.get(header::TRANSFER_ENCODING);
    if let Some(coding) = coding {
        if length.is_some() {
            return Err(Malformed::Framing("both Content-Length and Transfer-Encoding"));
        }
        if version != Version::HTTP_11 {
            return Err(Malformed::Framing("Transfer-Encoding outside HTTP/1.1"));
        }
        if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Malformed::Framing("a transfer coding other than `chunked`"));
        }
    }
    let digits = |value: &HeaderValue| {
        let bytes = value.as_bytes();
        // 18 digits are below 2^63.
        (1..=18).contains(&bytes.len()) && bytes.iter().all(u8::is_ascii_digit)
    };
    if length.is_some_and(|length| !digits(length)) {
        return Err(Malformed::Framing("Content-Length is not a number"));
    }
    Ok(())
}

fn check_connection(headers: &HeaderMap) -> Result<(), Malformed> {
    if headers.get_all(header::CONNECTION).iter().any(|value| value.to_str().is_err()) {
        return Err(Malformed::Header("Connection is not text"));
    }
    let mut count = 0;
    for token in connection_tokens(headers) {
        count += 1;
        let name =
            HeaderName::from_bytes(token.as_bytes()).map_err(|_| Malformed::Header("Connection holds no name"))?;
        if PROTECTED.contains(&name.as_str()) || is_reserved(&name) {
            return Err(Malformed::Header("Connection names a protected field"));
        }
    }
    if count > CONNECTION_TOKENS { Err(Malformed::Header("Connection names too many fields")) } else { Ok(()) }
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|token| token.trim_matches([' ', '\t']))
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_with_two_readings_are_refused() {
        use crate::access::Reason::{
            HeadTooLarge, MalformedFraming, MalformedHeader, RepeatedHeader, UnsupportedExpectation,
        };
        let checked = |fields: &[(&str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            check(&mut headers, Version::HTTP_11, HeadRules::default()).map(|_| ()).map_err(Malformed::reason)
        };
        let names = "a,".repeat(21);
        for (fields, reason) in [
            (&[("x_user", "root")][..], MalformedHeader),
            (&[("x.user", "root")], MalformedHeader),
            (&[("content~length", "5")], MalformedHeader),
            (&[("host!", "a")], MalformedHeader),
            (&[("x.portcullis.subject", "a")], MalformedHeader),
            (&[("connection", "close, Host")], MalformedHeader),
            (&[("connection", "x-forwarded-for")], MalformedHeader),
            (&[("connection", "a b")], MalformedHeader),
            (&[("connection", names.as_str())], MalformedHeader),
            (&[("authorization", "a"), ("authorization", "a")], RepeatedHeader),
            (&[("mcp-name", "a"), ("mcp-name", "b")], RepeatedHeader),
            (&[("expect", "x")], UnsupportedExpectation),
            (&[("content-length", "1"), ("transfer-encoding", "chunked")], MalformedFraming),
        ] {
            assert_eq!(checked(fields), Err(reason), "{fields:?}");
        }
        let many: Vec<(String, String)> = (0..101).map(|number| (format!("x-{number}"), "1".to_owned())).collect();
        let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(checked(&many), Err(HeadTooLarge));
        assert_eq!(checked(&[("connection", "close, x-a"), ("x.custom", "y"), ("expect", "100-Continue")]), Ok(()));
        let mut headers = HeaderMap::new();
        headers.insert("x-tenant", HeaderValue::from_static("a"));
        assert!(!has_twin(&headers, &HeaderName::from_static("x-tenant")));
        headers.insert("x.tenant", HeaderValue::from_static("b"));
        assert!(has_twin(&headers, &HeaderName::from_static("x-tenant")));
    }
}
