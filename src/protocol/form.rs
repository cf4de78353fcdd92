//! The names in a form, as leniently as anybody would find them.

/// How a form is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FormKind {
    /// `application/x-www-form-urlencoded`.
    Urlencoded,
    /// `multipart/form-data`, and every other multipart, which some servers read as one.
    Multipart,
}

impl FormKind {
    /// Which form a media type is to anybody, if it is one.
    pub fn of(media_type: &str) -> Option<Self> {
        let begins = |with: &str| media_type.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
        if begins("application/x-www-form-urlencoded") {
            Some(Self::Urlencoded)
        } else if begins("multipart/") {
            Some(Self::Multipart)
        } else {
            None
        }
    }

    /// Whether some name of the form is one of these, in any place where a reader could find one, or could be one: a name
    /// in pieces (RFC 2231) or in an encoded word (RFC 2047) is put together by some readers only. The names are not decoded.
    pub fn has(self, form: &[u8], is_one: impl Fn(&str) -> bool) -> bool {
        let text = String::from_utf8_lossy(form);
        match self {
            Self::Urlencoded => {
                text.split(['&', ';', '?']).any(|pair| is_one(pair.split('=').next().unwrap_or_default()))
            }
            // Where parts begin depends on the reader: `name=` is looked for everywhere, `name*=` too (RFC 8187).
            Self::Multipart => {
                let lower = text.to_ascii_lowercase();
                // And what a backslash is before another character (RFC 9110, section 5.6.4).
                let unescaped = lower.replace('\\', "");
                let mut names = [&lower, &unescaped].into_iter().flat_map(|text| text.split("name").skip(1));
                names.any(|text| match parameter(text) {
                    Some(Parameter::Plain(name)) => is_one(name),
                    Some(Parameter::InPieces) => true,
                    None => false,
                })
            }
        }
    }
}

/// What a parameter says.
enum Parameter<'t> {
    Plain(&'t str),
    InPieces,
}

/// The value of a parameter whose name was just read.
fn parameter(text: &str) -> Option<Parameter<'_>> {
    let text = text.trim_start();
    let extended = text.strip_prefix('*').map(str::trim_start);
    if extended.is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit())) {
        return Some(Parameter::InPieces);
    }
    let value = extended.unwrap_or(text).strip_prefix('=')?.trim_start();
    let value = match value.strip_prefix(['"', '\'']) {
        Some(quoted) => quoted.split(['"', '\'', '\r', '\n']).next(),
        None => value.split([';', '\r', '\n', ' ', '\t']).next(),
    }?;
    if value.contains("=?") {
        return Some(Parameter::InPieces);
    }
    // The charset and the language of an extended value.
    Some(Parameter::Plain(value.rsplit('\'').next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_wherever_a_reader_could() {
        assert_eq!(FormKind::of("Application/X-WWW-Form-Urlencoded; charset=x"), Some(FormKind::Urlencoded));
        assert_eq!(FormKind::of("MULTIPART/mixed"), Some(FormKind::Multipart));
        assert_eq!(FormKind::of("application/json"), None);
        let has = |kind: FormKind, form: &str| kind.has(form.as_bytes(), |name| name == "id");
        for form in ["id=1", "a=b&id", "a;id=1", "a?id=1"] {
            assert!(has(FormKind::Urlencoded, form), "{form}");
        }
        assert!(!has(FormKind::Urlencoded, "a=id&b"));
        let parts = [
            "name=\"id\"",
            "name=id\r\n",
            "NAME = 'id'",
            "name*=utf-8''id",
            "filename=x; name=id;",
            "name=id",
            "name=\"i\\d\"",
            "name=i\\d",
            "n\\ame=\"id\"",
            "name*0=i; name*1=d",
            "name*0*=utf-8''i; name*1=d",
            "name=\"=?utf-8?q?id?=\"",
        ];
        for part in parts {
            assert!(has(FormKind::Multipart, &format!("--b\r\ncontent-disposition: form-data; {part}")), "{part}");
        }
        for part in ["name=\"a\"\r\n\r\nid", "name=\"a\"; filename=\"C:\\x\\id\"\r\n\r\n"] {
            assert!(!has(FormKind::Multipart, &format!("--b\r\ncontent-disposition: form-data; {part}")), "{part}");
        }
    }
}
