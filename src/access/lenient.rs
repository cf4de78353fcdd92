//! What sloppy readers make of a text, so that it is refused before one of them reads it.

use unicode_normalization::UnicodeNormalization;

use super::path::hex_byte;

/// Escapes decoded once. What is no escape stays as it is.
pub fn percent_decoded(raw: &str) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escape = match after {
            [high, low, ..] if *first == b'%' => hex_byte(*high, *low),
            _ => None,
        };
        decoded.push(escape.unwrap_or(*first));
        rest = if escape.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    decoded
}

/// So often a text is decoded: it costs no more than so many times its length.
const ROUNDS: usize = 8;

/// The text as every decoder together would leave it: escapes decoded as often as there are any, compatible characters
/// made one (NFKC), look-alikes of slashes made slashes, what cannot be seen left out. What is escaped too often ends in
/// U+FFFD.
pub(super) fn folded(text: &str) -> String {
    let mut folded = text.to_owned();
    for _ in 0..ROUNDS {
        let decoded = percent_decoded(&folded);
        let visible = String::from_utf8_lossy(&decoded).nfkc().filter(|c| !is_invisible(*c)).map(plain).collect();
        if visible == folded {
            return folded;
        }
        folded = visible;
    }
    // What is escaped so often is nothing that anybody means.
    folded.push(char::REPLACEMENT_CHARACTER);
    folded
}

/// A parameter's name as the most lenient framework takes it: without case, brackets, surrounding space, and with `_` for
/// `.` and space, as PHP has it, and without a `%` that begins no escape, as ASP has it.
pub fn parameter_name(raw: &str) -> String {
    // Almost all names are plain.
    if raw.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'-')) {
        return raw.to_owned();
    }
    let name = folded(&raw.replace('+', " "));
    let without = wide_decoded(&name).replace('%', "");
    let base = without.split(['[', '\0']).next().unwrap_or_default().trim();
    base.chars().flat_map(char::to_lowercase).map(|c| if matches!(c, '.' | ' ') { '_' } else { c }).collect()
}

/// Whether frameworks read another method from a parameter of this name than the one that is decided.
pub fn is_method_override(raw: &str) -> bool {
    let name = parameter_name(raw).replace('-', "_");
    matches!(name.as_str(), "_method" | "x_http_method_override" | "x_http_method" | "x_method_override")
}

/// Escapes such as `%u0069`, which are IIS's own.
fn wide_decoded(text: &str) -> String {
    let mut parts = text.split("%u");
    let mut decoded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        decoded.extend(digits);
        decoded.push_str(if digits.is_some() { part.get(4..).unwrap_or_default() } else { part });
    }
    decoded
}

/// Slashes that best-fit decoders make of others, which NFKC leaves alone.
fn plain(c: char) -> char {
    match c {
        '\u{2044}' | '\u{2215}' | '\u{29f8}' => '/',
        '\u{2216}' | '\u{29f5}' | '\u{29f9}' => '\\',
        other => other,
    }
}

/// Characters that take no room, which some readers leave out.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_folded_until_nothing_changes() {
        for text in ["%252e%252E", "%25252e.", "\u{ff0e}.", "\u{2025}", "\u{ff05}2e.", ".\u{200b}.", "%25ef%25bc%258e."]
        {
            assert_eq!(folded(text), "..", "{text}");
        }
        assert_eq!(folded("a\u{2044}b\u{2216}"), "a/b\\");
        assert_eq!(folded("100%"), "100%");
        assert_eq!(folded("%252525"), "%");
        assert!(folded(&format!("%{}", "25".repeat(30_000))).ends_with('\u{fffd}'));
    }

    #[test]
    fn names_of_parameters_are_read_as_leniently_as_anybody_does() {
        for name in ["id", "ID", "%69d", "%2569d", "id[]", "id%00x", "+id", "%20id%20", "i%d", "%u0069d", "\u{ff49}d"] {
            assert_eq!(parameter_name(name), "id", "{name}");
        }
        for name in ["_method", "_METHOD", "%5fmethod", ".method", " method_x", "X-HTTP-Method-Override", "_method[a]"]
        {
            assert_eq!(is_method_override(name), name != " method_x", "{name}");
        }
        assert!(!is_method_override("method") && !is_method_override("http_method"));
    }
}
