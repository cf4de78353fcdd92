//! Whether a media type says that a body is JSON.

/// Which media types are JSON to whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonKind {
    /// `application/json` alone.
    Plain,
    /// `application/json`, and `application/*+json`: other formats in the syntax of JSON (RFC 6839, section 3.1).
    AnySyntax,
}

/// Whether a media type is JSON in UTF-8: one of this kind, with `charset` absent or UTF-8. Other parameters do not
/// matter. What is no media type is not JSON.
pub fn is_json(media_type: &str, kind: JsonKind) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
    let subtype = essence.strip_prefix("application/").filter(|subtype| subtype.bytes().all(is_of_token));
    let is_kind = subtype.is_some_and(|subtype| match kind {
        JsonKind::Plain => subtype == "json",
        JsonKind::AnySyntax => subtype == "json" || subtype.ends_with("+json"),
    });
    is_kind
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            Some(_) => true,
            None => parameter.is_empty(),
        })
}

/// Whether names of media types may have this byte (RFC 6838, section 4.2).
const fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'#' | b'$' | b'&' | b'-' | b'^' | b'_' | b'.' | b'+')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_json_in_utf_8() {
        for good in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;",
            "application/json; charset=\"utf-8\"; x=y",
        ] {
            assert!(is_json(good, JsonKind::Plain) && is_json(good, JsonKind::AnySyntax), "{good}");
        }
        for bad in [
            "text/plain",
            "application/json; charset=utf-16",
            "application/json; charset",
            "application/json, text/plain",
            "multipart/form-data; boundary=x",
            "application/x-www-form-urlencoded",
            "json",
            "",
            "application/x-www-form-urlencoded,+json",
            "application/x-www-form-urlencoded +json",
        ] {
            assert!(!is_json(bad, JsonKind::Plain) && !is_json(bad, JsonKind::AnySyntax), "{bad}");
        }
    }

    #[test]
    fn a_format_in_the_syntax_of_json_is_not_plain() {
        assert!(is_json("application/merge-patch+json", JsonKind::AnySyntax));
        assert!(!is_json("application/merge-patch+json", JsonKind::Plain));
    }
}
