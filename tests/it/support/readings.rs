//! Every way in which a sloppy server could read a request. It shares no code with what it judges.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;

/// A set of names with their values.
pub(crate) type Pairs = BTreeSet<(String, String)>;

/// What some server could take the bytes of a request for.
#[derive(Debug, Default, Clone)]
pub(crate) struct Readings {
    pub(crate) methods: BTreeSet<String>,
    pub(crate) hosts: BTreeSet<String>,
    pub(crate) paths: BTreeSet<String>,
    /// Of the query and of forms.
    pub(crate) parameters: Pairs,
    /// Names in lower case, `_` and whatever else CGI makes `_` of as `-`.
    pub(crate) fields: Pairs,
    /// Of a JSON body, at any depth.
    pub(crate) members: Pairs,
    /// Whether some framing leaves bytes over, which would be the beginning of another request.
    pub(crate) left_over: bool,
}

/// Fields that some frameworks take another method from.
const METHOD_OVERRIDES: &[&str] = &["x-http-method-override", "x-http-method", "x-method-override", "x-method"];
/// Fields that some servers take another path from.
const PATH_OVERRIDES: &[&str] = &[
    "x-original-url",
    "x-original-uri",
    "x-rewrite-url",
    "x-override-url",
    "x-forwarded-path",
    "x-forwarded-uri",
    "x-forwarded-prefix",
    "x-matched-path",
    "x-invoke-path",
    "x-proxy-url",
    "request-uri",
    "x-http-destinationurl",
];
const HOST_OVERRIDES: &[&str] =
    &["x-forwarded-host", "x-host", "x-http-host-override", "x-original-host", "x-forwarded-server"];

impl Readings {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut readings = Self::default();
        let (head, body) = split_head(bytes);
        let mut lines = head.split(['\r', '\n']).filter(|line| !line.is_empty());
        let mut words = lines.next().unwrap_or_default().split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default().to_owned();
        readings.fields = lines.filter_map(field).collect();
        let one = |name: &str| values(&readings.fields, name);
        let target = match target.split_once("://").filter(|_| !target.starts_with('/')) {
            Some((_, rest)) => {
                let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
                readings.hosts.insert(host(authority));
                path.to_owned()
            }
            None => target,
        };
        readings.hosts.extend(one("host").iter().map(|value| host(value)));
        let hosts: Vec<_> = HOST_OVERRIDES.iter().flat_map(|name| one(name)).map(|value| host(&value)).collect();
        readings.hosts.extend(hosts);
        readings.methods.extend([method.to_ascii_uppercase(), method]);
        let methods: Vec<_> = METHOD_OVERRIDES.iter().flat_map(|name| one(name)).collect();
        readings.methods.extend(methods.iter().map(|value| value.to_ascii_uppercase()));
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        readings.paths = spellings(path);
        let overrides: Vec<_> = PATH_OVERRIDES.iter().flat_map(|name| one(name)).collect();
        readings.paths.extend(overrides.iter().flat_map(|value| spellings(value)));
        readings.parameters = parameters(query);
        readings.read_bodies(body);
        let is_override = |name: &str| name == "_method" || METHOD_OVERRIDES.contains(&name.replace('_', "-").as_str());
        let named = readings.parameters.iter().chain(&readings.members).filter(|(name, _)| is_override(name));
        let methods: Vec<_> = named.map(|(_, value)| value.to_ascii_uppercase()).collect();
        readings.methods.extend(methods);
        readings
    }

    /// The values of this parameter, field or member.
    pub(crate) fn values(pairs: &Pairs, name: &str) -> BTreeSet<String> {
        values(pairs, name)
    }

    /// The body as any length and as chunks.
    fn read_bodies(&mut self, body: &[u8]) {
        let lengths = values(&self.fields, "content-length");
        let chunked = values(&self.fields, "transfer-encoding")
            .iter()
            .any(|value| value.to_ascii_lowercase().contains("chunked"));
        let mut bodies = Vec::new();
        for length in lengths.iter().flat_map(|value| value.split(',')) {
            let digits: String = length.chars().filter(char::is_ascii_digit).collect();
            let length = digits.parse().unwrap_or(usize::MAX);
            bodies.push(body.split_at_checked(length).unwrap_or((body, b"")));
        }
        let whole;
        if chunked {
            let (data, rest) = chunks(body);
            whole = data;
            bodies.push((&whole, rest));
        }
        if bodies.is_empty() {
            bodies.push((b"", body));
        }
        let media_types = values(&self.fields, "content-type");
        for (body, rest) in bodies {
            self.left_over |= !rest.is_empty();
            if media_types.iter().any(|media_type| media_type.contains("multipart")) {
                self.parameters.extend(parts(&String::from_utf8_lossy(body)));
            }
            // Some servers take a body without a type for a form.
            if media_types.is_empty() || media_types.iter().any(|media_type| media_type.contains("urlencoded")) {
                self.parameters.extend(parameters(&String::from_utf8_lossy(body)));
            }
            for text in texts(body) {
                self.members.extend(members(&text));
            }
        }
    }
}

fn values(pairs: &Pairs, name: &str) -> BTreeSet<String> {
    pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
}

fn split_head(bytes: &[u8]) -> (String, &[u8]) {
    let ends = [&b"\r\n\r\n"[..], b"\n\n", b"\n\r\n"];
    let find = |end: &[u8]| bytes.windows(end.len()).position(|window| window == end).map(|at| (at, at + end.len()));
    let (end, body) = ends.iter().filter_map(|end| find(end)).min().unwrap_or((bytes.len(), bytes.len()));
    (bytes[..end].iter().map(|byte| char::from(*byte)).collect(), &bytes[body..])
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    Some((name.trim().chars().map(plain).collect(), value.trim().to_owned()))
}

fn host(text: &str) -> String {
    let host = text.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
    host.trim_end_matches(":80").trim_end_matches('.').to_owned()
}

fn chunks(mut bytes: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut data = Vec::new();
    while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&bytes[..end]);
        let size = line.split(';').next().map(str::trim).and_then(|size| usize::from_str_radix(size, 16).ok());
        let Some(size) = size else { break };
        let chunk = &bytes[end + 1..];
        if size == 0 {
            // Trailers, to the empty line.
            let end = chunk.windows(4).position(|window| window == b"\r\n\r\n").map_or(2, |at| at + 4);
            return (data, chunk.get(if chunk.starts_with(b"\r\n") { 2 } else { end }..).unwrap_or_default());
        }
        let (inside, rest) = chunk.split_at_checked(size).unwrap_or((chunk, b""));
        data.extend_from_slice(inside);
        bytes = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    }
    (data, bytes)
}

/// What the path may become, each change made in any order, escapes decoded at most twice.
pub(crate) fn spellings(path: &str) -> BTreeSet<String> {
    const CHANGES: &[fn(&str) -> String] = &[
        resolved,
        |path| path.replace('\\', "/"),
        |path| {
            path.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect::<Vec<_>>().join("/")
        },
        str::to_lowercase,
        |path| path.nfkc().collect(),
        |path| path.replace(['\u{2044}', '\u{2215}', '\u{29f8}'], "/").replace(['\u{2216}', '\u{29f5}'], "\\"),
        |path| {
            path.chars()
                .filter(|c| !matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'))
                .collect()
        },
        |path| path.split(['\0', '\r', '\n']).next().unwrap_or_default().to_owned(),
        |path| path.split('?').next().unwrap_or_default().to_owned(),
        |path| path.split('#').next().unwrap_or_default().to_owned(),
        |path| path.split('/').map(str::trim).collect::<Vec<_>>().join("/"),
        |path| {
            let mut merged = path.to_owned();
            while merged.contains("//") {
                merged = merged.replace("//", "/");
            }
            merged
        },
    ];
    let mut known = BTreeSet::from([(path.to_owned(), 0)]);
    let mut open: Vec<_> = known.iter().cloned().collect();
    while let Some((text, decodings)) = open.pop() {
        let changed = CHANGES.iter().map(|change| (change(&text), decodings));
        let decoded = (decodings < 2 && text.contains('%')).then(|| (unescaped(&text), decodings + 1));
        for next in changed.chain(decoded) {
            if known.len() < 5_000 && known.insert(next.clone()) {
                open.push(next);
            }
        }
    }
    known.into_iter().map(|(text, _)| text).collect()
}

/// Dot segments resolved (RFC 3986, section 5.2.4).
fn resolved(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." if kept.len() > 1 => drop(kept.pop()),
            ".." => {}
            other => kept.push(other),
        }
    }
    kept.join("/")
}

/// Escapes decoded once, those of `%u` and overlong ones too. What is no escape stays.
fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let hex = |from: usize, to: usize| {
        let digits = bytes.get(from..to)?;
        let digits = digits.iter().all(u8::is_ascii_hexdigit).then(|| String::from_utf8_lossy(digits))?;
        u32::from_str_radix(&digits, 16).ok()
    };
    let mut decoded = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let wide = matches!(bytes.get(at + 1), Some(b'u' | b'U')).then(|| hex(at + 2, at + 6)).flatten();
        match (byte, wide.and_then(char::from_u32), hex(at + 1, at + 3)) {
            (b'%', Some(wide), _) => {
                decoded.extend(wide.to_string().into_bytes());
                at += 6;
            }
            (b'%', None, Some(value)) => {
                decoded.push(u8::try_from(value).unwrap());
                at += 3;
            }
            _ => {
                decoded.push(*byte);
                at += 1;
            }
        }
    }
    overlong(&decoded)
}

/// UTF-8 as readers take it that do not ask for the shortest form.
fn overlong(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        let tail =
            |index: usize| after.get(index).filter(|byte| **byte & 0xc0 == 0x80).map(|byte| u32::from(*byte & 0x3f));
        let lead = u32::from(*first);
        let (value, length) = match *first {
            0xc0..=0xdf => (tail(0).map(|one| (lead & 0x1f) << 6 | one), 2),
            0xe0..=0xef => (tail(0).zip(tail(1)).map(|(one, two)| (lead & 0xf) << 12 | one << 6 | two), 3),
            0xf0..=0xf7 => {
                let tail = tail(0).zip(tail(1)).zip(tail(2));
                (tail.map(|((one, two), three)| (lead & 7) << 18 | one << 12 | two << 6 | three), 4)
            }
            _ => (Some(lead).filter(|lead| *lead < 0x80), 1),
        };
        let length = if value.is_some() { length } else { 1 };
        text.push(value.and_then(char::from_u32).unwrap_or('\u{fffd}'));
        rest = &rest[length..];
    }
    text
}

/// The parameters of a query or a form: every one, and all of one name joined.
fn parameters(text: &str) -> Pairs {
    let mut found: Vec<(String, String)> = Vec::new();
    for separators in [&['&'][..], &['&', ';'], &['&', '?'], &['&', ';', '?']] {
        for pair in text.split(separators) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            for value in [value.to_owned(), value.replace('+', " ")] {
                let once = unescaped(&value);
                let cut = |text: &str| text.split(['\0', '#']).next().unwrap_or_default().to_owned();
                for value in [unescaped(&once), cut(&once), once] {
                    found.extend(names(name).into_iter().map(|name| (name, value.clone())));
                }
            }
        }
    }
    let mut pairs: Pairs = found.iter().cloned().collect();
    for (name, _) in &found {
        // ASP joins, and so do others.
        let all: Vec<_> = pairs.iter().filter(|(other, _)| other == name).map(|(_, value)| value.clone()).collect();
        if all.len() > 1 && all.len() < 4 {
            pairs.insert((name.clone(), all.join(",")));
        }
    }
    pairs
}

/// What a parameter's name may become.
fn names(name: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::from([name.to_owned()]);
    for _ in 0..2 {
        let next: Vec<_> = names.iter().map(|name| unescaped(&name.replace('+', " "))).collect();
        names.extend(next);
    }
    let fold = |name: &String| {
        let name = name.split(['[', '\0']).next().unwrap_or_default().trim().to_lowercase();
        // ASP leaves a `%` out that begins no escape; PHP makes `_` of dots and spaces.
        let name: String = name.nfkc().filter(|c| !matches!(c, '%' | '\u{200b}'..='\u{200f}' | '\u{ad}')).collect();
        name.replace(['.', ' '], "_")
    };
    names.iter().map(fold).collect()
}

/// The fields of a multipart form.
fn parts(text: &str) -> Pairs {
    let mut pairs = Pairs::new();
    for part in text.split("\n--") {
        let Some((_, name)) = part.split_once("name=") else { continue };
        let name = name.trim_start_matches('"').split(['"', '\r', '\n', ';']).next().unwrap_or_default();
        let value = part.split_once("\r\n\r\n").map_or("", |(_, value)| value).trim_end();
        pairs.insert((name.to_lowercase(), value.to_owned()));
    }
    pairs
}

/// The text of a body in every charset that readers sniff.
fn texts(body: &[u8]) -> Vec<String> {
    let wide = |pair: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = body.chunks_exact(2).map(|two| pair([two[0], two[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    let mut texts = vec![overlong(body), wide(u16::from_be_bytes), wide(u16::from_le_bytes)];
    texts.push(body.iter().filter(|byte| **byte != 0).map(|byte| char::from(*byte)).collect());
    texts
}

/// Every member of what looks like JSON, whatever stands between.
fn members(text: &str) -> Pairs {
    let mut pairs = Pairs::new();
    let text = without_comments(text);
    for (at, quote) in text.char_indices().filter(|(_, c)| matches!(c, '"' | '\'')) {
        let Some((name, after)) = string(&text[at + 1..], quote) else { continue };
        let Some(value) = after.trim_start().strip_prefix(':') else { continue };
        let value = value.trim_start();
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => string(&value[1..], quote).map(|(value, _)| value),
            _ => value.split([',', '}', ']']).next().map(|value| value.trim().to_owned()),
        };
        let folded: String = name
            .nfkc()
            .filter(|c| {
                !c.is_control() && !c.is_whitespace() && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{ad}' | '\u{feff}')
            })
            .collect();
        let folded = folded.to_uppercase().to_lowercase();
        pairs.extend(value.map(|value| (folded.replace('\u{307}', ""), value)));
    }
    pairs
}

fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("/*") {
        kept.push_str(&rest[..at]);
        rest = rest[at..].split_once("*/").map_or("", |(_, rest)| rest);
    }
    kept + rest
}

/// A string's value, and what follows it.
fn string(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()? {
                (at, 'u') => {
                    let code = text.get(at + 1..at + 5).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                    value.push(code.and_then(char::from_u32).unwrap_or('\u{fffd}'));
                    chars.nth(3);
                }
                (_, other) => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}
