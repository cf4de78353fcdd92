//! Cuts a model's text into logical lines of words and symbols.

use super::report::Report;
use crate::access::Place;

/// A word or a symbol, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind<'a>,
    pub(super) place: Place,
}

/// What a token is. Which words are keywords is for the parser to say: keywords may be names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind<'a> {
    /// Letters, digits, `_`, `/`, `.` and `-`.
    Word(&'a str),
    /// One of `:`, `,`, `#`, `*` and the brackets.
    Symbol(char),
}

impl<'a> Token<'a> {
    pub(super) fn word(self) -> Option<&'a str> {
        match self.kind {
            TokenKind::Word(word) => Some(word),
            TokenKind::Symbol(_) => None,
        }
    }

    /// The token as it was written.
    pub(super) fn text(self) -> String {
        match self.kind {
            TokenKind::Word(word) => word.to_owned(),
            TokenKind::Symbol(symbol) => symbol.to_string(),
        }
    }
}

/// One statement: a line, or several if a `[` stays open.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    pub(super) tokens: Vec<Token<'a>>,
    /// The place just after the last token.
    pub(super) end: Place,
}

/// The statements of a model. Blank lines and comments are dropped: a line that begins with `#`, and what follows the
/// first ` #` of a line, even inside a condition (OpenFGA's rule). The body of a condition is dropped too.
pub(super) fn lines<'a>(text: &'a str, report: &mut Report) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    let mut open_bracket: Option<Line<'a>> = None;
    let mut condition: Option<Braces> = None;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, raw) in (1..).zip(text.lines()) {
        let code = without_comment(raw);
        if let Some(braces) = &mut condition {
            if braces.end_in(code) {
                condition = None;
            }
            continue;
        }
        if first_word(code) == Some("condition") && open_bracket.is_none() {
            lines.push(line(number, code.split(['(', '{']).next().unwrap_or_default(), report));
            let mut braces = Braces::default();
            condition = (!braces.end_in(code)).then_some(braces);
            continue;
        }
        let mut next = line(number, code, report);
        if next.tokens.is_empty() {
            continue;
        }
        if let Some(mut begun) = open_bracket.take() {
            if begins_statement(&next) {
                lines.push(begun);
            } else {
                begun.tokens.append(&mut next.tokens);
                begun.end = next.end;
                next = begun;
            }
        }
        if is_open(&next) { open_bracket = Some(next) } else { lines.push(next) }
    }
    lines.extend(open_bracket);
    lines
}

/// Whether a line is surely no part of a list of types: two words in a row are never inside brackets. So an unclosed
/// bracket costs one statement and not all.
fn begins_statement(line: &Line<'_>) -> bool {
    let mut words = line.tokens.iter().map(|token| token.word());
    let keyword = matches!(words.next().flatten(), Some("define" | "type" | "extend" | "condition"));
    keyword && words.next().flatten().is_some()
}

fn without_comment(raw: &str) -> &str {
    if raw.trim_start().starts_with('#') {
        return "";
    }
    raw.split(" #").next().unwrap_or_default()
}

fn first_word(code: &str) -> Option<&str> {
    code.split(|c: char| !is_word(c)).find(|word| !word.is_empty())
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-')
}

fn is_open(line: &Line<'_>) -> bool {
    let last = line.tokens.iter().rfind(|token| matches!(token.kind, TokenKind::Symbol('[' | ']')));
    last.is_some_and(|token| token.kind == TokenKind::Symbol('['))
}

/// A condition ends at the first `}` after its `{`.
#[derive(Debug, Default)]
struct Braces {
    opened: bool,
}

impl Braces {
    fn end_in(&mut self, code: &str) -> bool {
        let body = if self.opened { Some(code) } else { code.split_once('{').map(|(_, body)| body) };
        self.opened |= body.is_some();
        body.is_some_and(|body| body.contains('}'))
    }
}

fn line<'a>(number: u32, code: &'a str, report: &mut Report) -> Line<'a> {
    let mut tokens: Vec<Token<'a>> = Vec::new();
    let place = |column: u32| Place { line: number, column };
    let mut column = 1_u32;
    let mut rest = code;
    let mut end = place(1);
    while let Some(first) = rest.chars().next() {
        let length =
            if is_word(first) { rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (piece, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        let width = u32::try_from(piece.chars().count()).unwrap_or(u32::MAX);
        if is_word(first) {
            tokens.push(Token { kind: TokenKind::Word(piece), place: place(column) });
            end = place(column.saturating_add(width));
        } else if matches!(first, ':' | ',' | '#' | '*' | '[' | ']' | '(' | ')') {
            tokens.push(Token { kind: TokenKind::Symbol(first), place: place(column) });
            end = place(column.saturating_add(width));
        } else if !matches!(first, ' ' | '\t' | '\u{c}' | '\r') {
            report.add(place(column), format!("`{}` does not belong here", first.escape_debug()), None);
        }
        column = column.saturating_add(width);
        rest = after;
    }
    Line { tokens, end }
}
