//! What the escapes in quoted text stand for.

/// The text between the quotes, its escapes decoded. `None` where an escape means nothing.
pub(super) fn unescape_text(body: &str) -> Option<String> {
    let mut text = String::with_capacity(body.len());
    let mut rest = body.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => text.push(match escape(&mut rest)? {
                Escape::Char(c) => c,
                Escape::Number(number, _) => char::from_u32(number)?,
            }),
            c => text.push(c),
        }
    }
    Some(text)
}

/// The bytes between the quotes, their escapes decoded. `None` where an escape means nothing.
pub(super) fn unescape_bytes(body: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(body.len());
    let mut buffer = [0; 4];
    let mut rest = body.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match escape(&mut rest)? {
                Escape::Char(c) => bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
                Escape::Number(_, true) => return None,
                Escape::Number(number, false) => bytes.push(u8::try_from(number).ok()?),
            },
            c => bytes.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    Some(bytes)
}

enum Escape {
    Char(char),
    /// A number, and whether it was written as a character of Unicode.
    Number(u32, bool),
}

fn escape(rest: &mut std::str::Chars<'_>) -> Option<Escape> {
    Some(match rest.next()? {
        'a' => Escape::Char('\u{7}'),
        'b' => Escape::Char('\u{8}'),
        'f' => Escape::Char('\u{c}'),
        'n' => Escape::Char('\n'),
        'r' => Escape::Char('\r'),
        't' => Escape::Char('\t'),
        'v' => Escape::Char('\u{b}'),
        c @ ('\\' | '\'' | '"' | '`' | '?') => Escape::Char(c),
        'x' | 'X' => Escape::Number(digits(rest, 2, 16, 0)?, false),
        'u' => Escape::Number(digits(rest, 4, 16, 0)?, true),
        'U' => Escape::Number(digits(rest, 8, 16, 0)?, true),
        c @ '0'..='3' => Escape::Number(digits(rest, 2, 8, c.to_digit(8)?)?, false),
        _ => return None,
    })
}

fn digits(rest: &mut std::str::Chars<'_>, count: usize, radix: u32, first: u32) -> Option<u32> {
    (0..count).try_fold(first, |number, _| {
        let digit = rest.next()?.to_digit(radix)?;
        number.checked_mul(radix)?.checked_add(digit)
    })
}
