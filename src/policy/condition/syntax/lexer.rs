//! The words of an expression.

use super::{
    escape::{unescape_bytes, unescape_text},
    tree::Literal,
};
use crate::policy::condition::problem::{ConditionFault, ConditionProblem};

/// Signs, longest first, so that `<=` is not read as `<`.
const SIGNS: &[&str] = &[
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "?", ":", "+", "-", "*", "/", "%", ".", ",", "(", ")", "[", "]",
    "{", "}",
];
/// Words that name nothing (CEL's list).
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// One word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    /// A name that may only stand after a dot.
    Reserved(String),
    In,
    Literal(Literal),
    /// Digits without a suffix: `-` before them may belong to the number.
    Digits {
        text: String,
        radix: u32,
    },
    Sign(&'static str),
    End,
}

/// A word and the byte where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Word {
    pub(super) at: usize,
    pub(super) token: Token,
}

/// Splits a whole text. The last word is the end.
pub(super) fn words(text: &str) -> Result<Vec<Word>, ConditionProblem> {
    let mut lexer = Lexer { text, at: 0 };
    let mut words = Vec::new();
    loop {
        lexer.skip_blanks();
        let at = lexer.at;
        let token = lexer.token().ok_or_else(|| ConditionProblem::new(at, lexer.unreadable(at)))?;
        let end = token == Token::End;
        words.push(Word { at, token });
        if end {
            return Ok(words);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn unreadable(&self, at: usize) -> ConditionFault {
        let sign: String = self.text.get(at..).unwrap_or_default().chars().take(12).collect();
        ConditionFault::Unreadable(sign)
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']).len();
            self.at += blank;
            if self.rest().starts_with("//") {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            } else if blank == 0 {
                return;
            }
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = self.rest().get(..length).unwrap_or_default();
        self.at += taken.len();
        taken
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        self.take(rest.find(|c| !wanted(c)).unwrap_or(rest.len()))
    }

    fn token(&mut self) -> Option<Token> {
        let rest = self.rest();
        let mut chars = rest.chars();
        let Some(first) = chars.next() else { return Some(Token::End) };
        let second = chars.next();
        if let Some(quoted) = self.quoted() {
            return quoted.map(Token::Literal);
        }
        if first.is_ascii_digit() || (first == '.' && second.is_some_and(|c| c.is_ascii_digit())) {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Some(word(self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')));
        }
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign))?;
        self.take(sign.len());
        Some(Token::Sign(sign))
    }

    /// `None` if no quoted text begins here.
    fn quoted(&mut self) -> Option<Option<Literal>> {
        let rest = self.rest();
        let body = rest.trim_start_matches(['b', 'B']);
        let bytes = match rest.len() - body.len() {
            0 => false,
            1 => true,
            _ => return None,
        };
        let quotes = body.trim_start_matches(['r', 'R']);
        let raw = match body.len() - quotes.len() {
            0 => false,
            1 => true,
            _ => return None,
        };
        let mark = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|mark| quotes.starts_with(mark))?;
        let inside = quotes.get(mark.len()..).unwrap_or_default();
        let Some(length) = closing(inside, mark, raw) else { return Some(None) };
        let content = inside.get(..length).unwrap_or_default();
        self.take(rest.len() - inside.len() + length + mark.len());
        Some(match (bytes, raw) {
            (true, true) => Some(Literal::Bytes(content.as_bytes().into())),
            (true, false) => unescape_bytes(content).map(|content| Literal::Bytes(content.into())),
            (false, true) => Some(Literal::String(content.into())),
            (false, false) => unescape_text(content).map(|content| Literal::String(content.into())),
        })
    }

    fn number(&mut self) -> Option<Token> {
        let rest = self.rest();
        if let Some(digits) = rest.strip_prefix("0x") {
            let length = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
            if length > 0 {
                self.take(2);
                let text = self.take(length).to_owned();
                return self.integer(text, 16);
            }
        }
        let mut text = self.take_while(|c| c.is_ascii_digit()).to_owned();
        let mut double = false;
        let fraction =
            self.rest().strip_prefix('.').is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()));
        if fraction {
            text.push_str(self.take(1));
            text.push_str(self.take_while(|c| c.is_ascii_digit()));
            double = true;
        }
        let exponent = self.rest().strip_prefix(['e', 'E']);
        let digits = exponent.map(|after| after.strip_prefix(['+', '-']).unwrap_or(after));
        if digits.is_some_and(|digits| digits.starts_with(|c: char| c.is_ascii_digit())) {
            text.push_str(self.take(1));
            text.push_str(self.take_while(|c| matches!(c, '+' | '-')));
            text.push_str(self.take_while(|c| c.is_ascii_digit()));
            double = true;
        }
        if double {
            let number: f64 = text.parse().ok()?;
            return number.is_finite().then_some(Token::Literal(Literal::Double(number)));
        }
        self.integer(text, 10)
    }

    fn integer(&mut self, text: String, radix: u32) -> Option<Token> {
        if self.rest().starts_with(['u', 'U']) {
            self.take(1);
            return u64::from_str_radix(&text, radix).ok().map(|number| Token::Literal(Literal::Uint(number)));
        }
        Some(Token::Digits { text, radix })
    }
}

/// Where the quoted text ends. A single quote ends on its own line.
fn closing(inside: &str, mark: &str, raw: bool) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' && !raw {
            escaped = true;
        } else if inside.get(at..).is_some_and(|rest| rest.starts_with(mark)) {
            return Some(at);
        }
        if mark.len() == 1 && matches!(c, '\n' | '\r') {
            return None;
        }
    }
    None
}

fn word(text: &str) -> Token {
    match text {
        "true" => Token::Literal(Literal::Bool(true)),
        "false" => Token::Literal(Literal::Bool(false)),
        "null" => Token::Literal(Literal::Null),
        "in" => Token::In,
        text if RESERVED.contains(&text) => Token::Reserved(text.to_owned()),
        text => Token::Name(text.to_owned()),
    }
}
