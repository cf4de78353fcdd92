//! The text of a document, before it is parsed: its characters, tokens, brackets and strings.

use apollo_parser::{Lexer, TokenKind};

use super::problem::GraphQlProblem;

/// The longest document that is read, in bytes: the tokens are counted, but each may be long.
const LONGEST: usize = 1 << 20;

/// How deep brackets of all kinds may be in each other. What reads the document calls itself no deeper.
pub(super) const NESTING: usize = 64;

/// Reads every token once. Refuses what is no token (GraphQL October 2021, section 2.1), more tokens than the limit
/// (white space, commas and comments are tokens, too), brackets that do not close in order or are too deep, strings of
/// which there are two readings, and strings outside of any bracket.
pub(super) fn check_text(query: &str, limit: usize) -> Result<(), GraphQlProblem> {
    if query.len() > LONGEST {
        return Err(GraphQlProblem::TooLarge);
    }
    if !has_one_line_end(query) {
        return Err(GraphQlProblem::Syntax);
    }
    let (mut left, mut open) = (limit, Vec::new());
    for token in Lexer::new(query) {
        let token = token.map_err(|_| GraphQlProblem::Syntax)?;
        if token.kind() == TokenKind::Eof {
            break;
        }
        left = left.checked_sub(1).ok_or(GraphQlProblem::TooManyTokens)?;
        match token.kind() {
            TokenKind::LCurly => open.push(TokenKind::RCurly),
            TokenKind::LParen => open.push(TokenKind::RParen),
            TokenKind::LBracket => open.push(TokenKind::RBracket),
            kind @ (TokenKind::RCurly | TokenKind::RParen | TokenKind::RBracket) => {
                open.pop_if(|due| *due == kind).ok_or(GraphQlProblem::Syntax)?;
            }
            // The description of a definition (section 3.2): those of operations and fragments are newer, and the parser
            // takes one for a keyword.
            TokenKind::StringValue if open.is_empty() => return Err(GraphQlProblem::Syntax),
            TokenKind::StringValue => drop(decode(token.data())?),
            _ => {}
        }
        if open.len() > NESTING {
            return Err(GraphQlProblem::TooDeep);
        }
    }
    if open.is_empty() { Ok(()) } else { Err(GraphQlProblem::Syntax) }
}

/// Whether lines, and so comments, end at the same places to all readers, and no character is invisible to some only:
/// there are no control characters but tabs and line ends, no carriage return alone, no Unicode line ends and no byte
/// order mark. Inside of strings, too: there they can be written as escapes.
fn has_one_line_end(query: &str) -> bool {
    let mut rest = query.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\t' | '\n' => {}
            '\r' if rest.peek() == Some(&'\n') => {}
            '\u{2028}' | '\u{2029}' | '\u{feff}' => return false,
            other if other.is_control() => return false,
            _ => {}
        }
    }
    true
}

/// The value of a string, its escapes decoded once (GraphQL October 2021, section 2.9.4). Refuses block strings, line ends,
/// escaped surrogates and escapes in braces: older and newer readers differ on them.
pub(super) fn decode(literal: &str) -> Result<String, GraphQlProblem> {
    let inner = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(GraphQlProblem::Literal)?;
    let mut decoded = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(character) = rest.next() {
        match character {
            '\\' => decoded.push(escaped(&mut rest).ok_or(GraphQlProblem::Literal)?),
            // A quotation mark is in block strings alone.
            '"' | '\n' | '\r' => return Err(GraphQlProblem::Literal),
            other => decoded.push(other),
        }
    }
    Ok(decoded)
}

/// The character that the text after a backslash stands for.
fn escaped(rest: &mut std::str::Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        same @ ('"' | '\\' | '/') => same,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let mut code = 0;
            for _ in 0..4 {
                code = code * 16 + rest.next()?.to_digit(16)?;
            }
            char::from_u32(code)?
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_decoded_once() {
        for (literal, expected) in [
            (r#""""#, ""),
            (r#""a b""#, "a b"),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u0041\u00e9\u00E9\u0000""#, "Aéé\0"),
            (r#""\\u0041""#, "\\u0041"),
            (r#""\\\\n""#, "\\\\n"),
            (r#""\u005cn""#, "\\n"),
            ("\"\u{1f600} # {\"", "\u{1f600} # {"),
        ] {
            assert_eq!(decode(literal).as_deref(), Ok(expected), "{literal}");
        }
    }

    #[test]
    fn strings_with_two_readings_are_refused() {
        for literal in [
            r#""\ud83d\ude00""#,
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\u{41}""#,
            r#""\u{1F600}""#,
            r#""\u004""#,
            r#""\u+041""#,
            r#""\u00 41""#,
            r#""\x41""#,
            r#""\'""#,
            r#""\U0041""#,
            r#""\0""#,
            r#""\""#,
            "\"a\nb\"",
            "\"\nb\"",
            "\"\r\"",
            "\"\\\n\"",
            r#""""a""""#,
            r#""""""""#,
            r#"""""#,
            "a",
            "\"",
            "",
        ] {
            assert_eq!(decode(literal), Err(GraphQlProblem::Literal), "{literal}");
        }
    }

    #[test]
    fn characters_that_end_lines_for_some_readers_are_refused() {
        for text in ["{a}\u{0}", "{a\u{b}b}", "{a\u{c}}", "{a # b\rc\n}", "{a}\r", "{a # \u{2028}\n}", "{a # \u{85}\n}"]
        {
            assert_eq!(check_text(text, 100), Err(GraphQlProblem::Syntax), "{text:?}");
        }
        for text in
            ["\u{feff}{a}", "{a\u{feff}}", "{a # \u{2029}\n}", "{a(b:\"\u{2028}\")}", "{a\u{a0}}", "{a\u{200b}}", "{é}"]
        {
            assert_eq!(check_text(text, 100), Err(GraphQlProblem::Syntax), "{text:?}");
        }
        for text in ["{a\r\n}", "{\ta\n}", "{a # é \u{1f600}\r\n}", "{a(b:\"é\u{a0}\")}"] {
            assert_eq!(check_text(text, 100), Ok(()), "{text:?}");
        }
    }

    #[test]
    fn text_is_bounded() {
        assert_eq!(check_text("{a b}", 5), Ok(()));
        assert_eq!(check_text("{a b}", 4), Err(GraphQlProblem::TooManyTokens));
        let nested = |open: &str, close: &str, levels| format!("{}{}", open.repeat(levels), close.repeat(levels));
        for (open, close) in [("{", "}"), ("[", "]"), ("(", ")")] {
            assert_eq!(check_text(&nested(open, close, 64), 1000), Ok(()));
            assert_eq!(check_text(&nested(open, close, 65), 1000), Err(GraphQlProblem::TooDeep));
        }
        let long = |length: usize| format!("{{a}}#{}", "x".repeat(length - 4));
        assert_eq!(check_text(&long(1 << 20), 100), Ok(()));
        assert_eq!(check_text(&long((1 << 20) + 1), 100), Err(GraphQlProblem::TooLarge));
    }

    #[test]
    fn brackets_close_in_order() {
        for text in ["{", "}", "{)", "{(})", "{[}]", "{}}", "(", "]"] {
            assert_eq!(check_text(text, 100), Err(GraphQlProblem::Syntax), "{text}");
        }
    }

    #[test]
    fn strings_stand_in_brackets_alone() {
        for text in ["\"x\" {a}", "\"x\" fragment on T {a}", "query \"x\" {a}", "{a} \"x\"", "\"\"\"x\"\"\" query {a}"]
        {
            assert_eq!(check_text(text, 100), Err(GraphQlProblem::Syntax), "{text}");
        }
        assert_eq!(check_text("{a(b:\"\"\"x\"\"\")}", 100), Err(GraphQlProblem::Literal));
        assert_eq!(check_text("{a(b:\"\\u{41}\")}", 100), Err(GraphQlProblem::Literal));
        assert_eq!(check_text("{a(b:\"\\u{41\")}", 100), Err(GraphQlProblem::Syntax));
    }
}
