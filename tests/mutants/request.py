"""Faults in how requests are read: each is an attack that would pass, and a test must see it."""

ACCESS, ROUTE, PROTOCOL = (["--lib", "access::"], ["--lib", "route::"], ["--lib", "protocol::"])
CHUNKS, FRAMING = "net/chunks.rs", ["--lib", "net::chunks"]
PATH, FIELDS, ENDING, REQUEST, LENIENT, HEAD_BOUNDS = (
    f"access/{name}.rs" for name in ["path", "fields", "ending", "request", "lenient", "head_bounds"]
)

MUTANTS = [
    ("dot segments pass", PATH, 'Some("." | "..") => Err(NonCanonical::DotSegment),', 'Some("." | "..") if false => Err(NonCanonical::DotSegment),', ACCESS),
    ("parameters hide dot segments", PATH, "match segment.split(';').next().map(str::trim) {", "match Some(segment) {", ACCESS),
    ("escaped delimiters pass", PATH, "b'/' | b'\\\\' | b'?' | b'#' | b';' | 0x00..=0x1f | 0x7f => return", "0x00 => return", ACCESS),
    ("bad escapes pass", PATH, "match value.ok_or(NonCanonical::BadEscape)? {", "match value.unwrap_or(b'x') {", ACCESS),
    ("any bytes are UTF-8", PATH, "String::from_utf8(percent_decoded(segment)).map_err(|_| NonCanonical::NotUtf8)?", "String::from_utf8_lossy(&percent_decoded(segment)).into_owned()", ACCESS),
    ("what folds to a delimiter passes", PATH, "let folded = folded(&text);", "let folded = text.clone();", ACCESS),
    ("what a second decoder cuts passes", PATH, "if text.contains('%') && folded.contains(", "if false && folded.contains(", ACCESS),
    ("raw bytes pass", PATH, "if !is_pchar(byte) {", "if false {", ACCESS),
    ("empty segments pass", PATH, "if raw.is_empty() || raw.starts_with(';') {", "if false {", ACCESS),
    ("escapes are folded once", LENIENT, "for _ in 0..ROUNDS {", "for _ in 0..1 {", ACCESS),
    ("names of parameters have their case", LENIENT, "flat_map(char::to_lowercase)", "flat_map(|c| [c])", ACCESS),
    ("names of fields hold `_`", FIELDS, "if noted.underscore {", "if false {", ACCESS),
    ("names of fields have twins", FIELDS, "if noted.odd && headers.keys().any(is_twin) {", "if false {", ACCESS),
    ("routed fields have twins", FIELDS, "other != name && as_by_cgi(other).trim_matches('-') == name.as_str()", "false && other != name", ACCESS),
    ("single fields repeat", FIELDS, "if headers.get_all(name).iter().nth(1).is_some() {", "if false {", ACCESS),
    ("two framings pass", FIELDS, "        if length.is_some() {\n", "        if false {\n", ACCESS),
    ("any transfer coding passes", FIELDS, 'if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {', "if false {", ACCESS),
    ("any length passes", FIELDS, "if length.is_some_and(|length| !digits(length)) {", "if false {", ACCESS),
    ("Connection names what is protected", FIELDS, "if PROTECTED.contains(&name.as_str()) || is_reserved(&name) {", "if false {", ACCESS),
    ("Connection names any number", FIELDS, "if count > CONNECTION_TOKENS {", "if false {", ACCESS),
    ("reserved fields pass", ENDING, "RESERVED_BEGINNINGS.may_hold(name.as_bytes()) && (", "false && (", ACCESS),
    ("any expectation passes", FIELDS, 'if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => Err', "if false && !value.is_empty() => Err", ACCESS),
    ("the target and Host may disagree", REQUEST, "(Some(target), Some(Some(host))) if target == host => Ok(target),", "(Some(target), Some(Some(_))) if true => Ok(target),", ACCESS),
    ("Host repeats", REQUEST, "if hosts.next().is_some() {", "if false {", ACCESS),
    ("the query overrides the method", REQUEST, "if may_override && names.any(is_method_override) {", "if false && may_override && names.any(is_method_override) {", ACCESS),
    ("methods are any letters", REQUEST, "!name.bytes().all(|byte| byte.is_ascii_uppercase())", "false", ACCESS),
    ("lines have any length", HEAD_BOUNDS, "if line(parts) > self.line {", "if false {", ACCESS),
    ("fields have any length", HEAD_BOUNDS, "if length > self.field {", "if cookies.is_some() && length > self.field {", ACCESS),
    ("cookies in pieces have any length", HEAD_BOUNDS, 'cookies.map_or(alone, |before: usize| before + "; ".len() + value.len())', "cookies.map_or(alone, |_: usize| alone)", ACCESS),
    ("parameters repeat", "route/query.rs", "if value.replace(raw).is_some() {", "if value.replace(raw).is_some() && false {", ROUTE),
    ("parameters have other spellings", "route/query.rs", "} else if parameter_name(key) == folded {", "} else if false {", ROUTE),
    ("parameters hide in others", "route/query.rs", "if hidden.any(|key| parameter_name(key) == folded) {", "if false && hidden.any(|key| parameter_name(key) == folded) {", ROUTE),
    ("members have look-alikes", "protocol/json.rs", "} else if fold(other).eq(folded.chars()) {", "} else if false {", PROTOCOL),
    ("members repeat", "protocol/json.rs", "if names.is_sorted_by(|one, next| one < next) {", "if true {", PROTOCOL),
    ("forms are not looked at", "protocol/form.rs", "any(|pair| is_one(pair.split('=').next().unwrap_or_default()))", "any(|_| false)", PROTOCOL),
    ("names in forms have backslashes", "protocol/form.rs", "lower.replace('\\\\', \"\")", "lower.clone()", PROTOCOL),
    ("names in forms come in pieces", "protocol/form.rs", "Some(Parameter::InPieces) => true,", "Some(Parameter::InPieces) => false,", PROTOCOL),
    ("trailers end in a bare LF", CHUNKS, "(Place::Trailer, b'\\r') => Some(Place::LastEnd),", "(Place::Trailer, b'\\r') => Some(Place::LastEnd),\n            (Place::Trailer | Place::InTrailer, b'\\n') => Some(Place::Trailer),", FRAMING),
    ("lines of chunks end in a bare LF", CHUNKS, "(Place::SizeEnd, b'\\n') if self.size == 0 => Some(Place::Trailer),", "(Place::SizeEnd, b'\\n') if self.size == 0 => Some(Place::Trailer),\n            (Place::Extension, b'\\n') => Some(Place::Data(self.size)),", FRAMING),
    ("anything follows data", CHUNKS, "(Place::DataEnd, b'\\r') => Some(Place::DataLineEnd),", "(Place::DataEnd, _) => Some(Place::DataLineEnd),", FRAMING),
    ("quoted strings of extensions stay open", CHUNKS, "(Place::Quoted, b'\\\\') => Some(Place::Escaped),", "(Place::Quoted, b'\\r') => Some(Place::SizeEnd),", FRAMING),
    ("extensions have any length", CHUNKS, "self.extensions > EXTENSIONS || ", "", FRAMING),
    ("sizes have any number of digits", CHUNKS, "(digits < DIGITS).then(|| Place::Size(digits + 1))", "Some(Place::Size((digits + 1).min(DIGITS)))", FRAMING),
]
