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

    /// Whether some name of the form is one of these, in any place where a reader could find one. The names are not decoded.
    pub fn has(self, form: &[u8], is_one: impl Fn(&str) -> bool) -> bool {
        let text = String::from_utf8_lossy(form);
        match self {
            Self::Urlencoded => {
                text.split(['&', ';', '?']).any(|pair| is_one(pair.split('=').next().unwrap_or_default()))
            }
            // Where parts begin depends on the reader: `name=` is looked for everywhere, `name*=` too (RFC 8187).
            Self::Multipart => {
                let lower = text.to_ascii_lowercase();
                lower.split("name").skip(1).filter_map(parameter).any(is_one)
            }
        }
    }
}

/// The value of a parameter whose name was just read.
fn parameter(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let value = text.strip_prefix('*').unwrap_or(text).trim_start().strip_prefix('=')?.trim_start();
    let value = match value.strip_prefix(['"', '\'']) {
        Some(quoted) => quoted.split(['"', '\'', '\r', '\n']).next(),
        None => value.split([';', '\r', '\n', ' ', '\t']).next(),
    }?;
    // The charset and the language of an extended value.
    Some(value.rsplit('\'').next().unwrap_or_default())
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
        let parts = ["name=\"id\"", "name=id\r\n", "NAME = 'id'", "name*=utf-8''id", "filename=x; name=id;", "name=id"];
        for part in parts {
            assert!(has(FormKind::Multipart, &format!("--b\r\ncontent-disposition: form-data; {part}")), "{part}");
        }
        assert!(!has(FormKind::Multipart, "--b\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\nid"));
    }
}
