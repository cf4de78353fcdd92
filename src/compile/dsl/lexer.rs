//! Cuts a model's text into logical lines of words and symbols, and conditions.

use super::super::report::Report;
use crate::{access::Place, policy::Placed};

/// A word or a symbol, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind<'a>,
    pub(super) place: Place,
}

/// What a token is. Which words are keywords is for the parser to say: some keywords may be names.
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

/// One statement: a line, or several if a bracket stays open. A condition has a body.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    pub(super) tokens: Vec<Token<'a>>,
    /// The place just after the last token.
    pub(super) end: Place,
    /// What stands between a condition's braces.
    pub(super) body: Option<Placed<String>>,
}

impl<'a> Line<'a> {
    fn append(mut self, mut next: Self) -> Self {
        self.tokens.append(&mut next.tokens);
        self.end = next.end;
        self
    }

    fn begins_with(&self, word: &str) -> bool {
        self.tokens.first().and_then(|token| token.word()) == Some(word)
    }

    fn is_open(&self, open: char, close: char) -> bool {
        let brackets = [TokenKind::Symbol(open), TokenKind::Symbol(close)];
        let last = self.tokens.iter().rfind(|token| brackets.contains(&token.kind));
        last.is_some_and(|token| token.kind == TokenKind::Symbol(open))
    }
}

/// Whether a row is surely no part of a list of types or parameters: two words in a row are never inside brackets. So an
/// unclosed bracket costs one statement and not all.
fn begins_statement(row: &str) -> bool {
    let mut words = row.split_whitespace();
    let keyword = matches!(words.next(), Some("define" | "type" | "extend" | "condition"));
    keyword && words.next().is_some_and(|word| word.starts_with(is_word))
}

/// The text as OpenFGA's preprocessor leaves it, line for line: a line that begins with `#` is blank, and what follows
/// the first ` #` of a line is cut, even inside a condition's strings.
pub(in crate::compile) fn without_comments(text: &str) -> String {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut code = String::with_capacity(text.len());
    for line in text.split('\n') {
        let begins_comment = line.trim_start().starts_with('#');
        let kept = if begins_comment { "" } else { line.split(" #").next().unwrap_or_default() };
        code.push_str(kept.trim_end());
        code.push('\n');
    }
    code.truncate(code.len().saturating_sub(1));
    code
}

/// The statements of a text without comments, whose first line has this number. Blank lines are dropped.
pub(super) fn lines<'a>(code: &'a str, first_line: u32, report: &mut Report) -> Vec<Line<'a>> {
    let mut rows = Rows { code, offset: 0, number: first_line };
    let mut lines: Vec<Line<'a>> = Vec::new();
    let mut open_bracket: Option<Line<'a>> = None;
    while let Some(row) = rows.next() {
        let (number, text) = row;
        let mut next = line(number, text.split('{').next().unwrap_or_default(), report);
        if next.begins_with("condition") {
            lines.extend(open_bracket.take());
            lines.push(condition(next, row, &mut rows, report));
            continue;
        }
        if let Some((before, _)) = text.split_once('{') {
            let place = Place { line: number, column: width(before).saturating_add(1) };
            report.add(place, "`{` does not belong here", Some("only conditions have braces".to_owned()));
        }
        if next.tokens.is_empty() {
            continue;
        }
        if let Some(begun) = open_bracket.take() {
            if begins_statement(text) {
                lines.push(begun);
            } else {
                next = begun.append(next);
            }
        }
        if next.is_open('[', ']') { open_bracket = Some(next) } else { lines.push(next) }
    }
    lines.extend(open_bracket);
    lines
}

/// The lines of a text that are left.
struct Rows<'a> {
    code: &'a str,
    offset: usize,
    number: u32,
}

impl<'a> Rows<'a> {
    fn next(&mut self) -> Option<(u32, &'a str)> {
        let rest = self.code.get(self.offset..).filter(|_| self.offset <= self.code.len())?;
        let row = rest.split('\n').next()?;
        self.offset += row.len() + 1;
        let number = self.number;
        self.number = self.number.saturating_add(1);
        Some((number, row))
    }

    fn peek(&self) -> Option<&'a str> {
        self.code.get(self.offset..)?.split('\n').next()
    }

    /// Everything from this part of the row before on.
    fn from(&self, row: &'a str, part: &'a str) -> &'a str {
        let start = self.offset.saturating_sub(row.len() + 1) + (row.len() - part.len());
        self.code.get(start..).unwrap_or_default()
    }

    /// Goes on behind `taken`, which begins in the row before.
    fn skip(&mut self, row: &str, part: &str, taken: &str) {
        let start = self.offset.saturating_sub(row.len() + 1) + (row.len() - part.len());
        self.offset = start + taken.len();
        let newlines = u32::try_from(taken.matches('\n').count()).unwrap_or(u32::MAX);
        self.number = self.number.saturating_sub(1).saturating_add(newlines);
    }
}

/// Reads a condition to its end. `header` is what stands in its first row before any `{`.
fn condition<'a>(
    header: Line<'a>,
    (mut number, mut row): (u32, &'a str),
    rows: &mut Rows<'a>,
    report: &mut Report,
) -> Line<'a> {
    let mut header = header;
    while !row.contains('{') {
        let begins_body = rows.peek().is_some_and(|next| next.trim_start().starts_with('{'));
        if !header.is_open('(', ')') && !begins_body {
            return header;
        }
        if rows.peek().is_none_or(begins_statement) {
            return header;
        }
        let Some(following) = rows.next() else { return header };
        (number, row) = following;
        if begins_body {
            let place = Place { line: number, column: width(row.split('{').next().unwrap_or_default()) + 1 };
            report.add(place, "`{` belongs on the line of the parameters' `)`", None);
        }
        header = header.append(line(number, row.split('{').next().unwrap_or_default(), report));
    }
    let Some((before, part)) = row.split_once('{') else { return header };
    let brace = Place { line: number, column: width(before).saturating_add(1) };
    let rest = rows.from(row, part);
    let body = Body::read(rest);
    let place_of = |offset: usize| {
        let found = Place::of_offset(rest, offset);
        let behind_brace = if found.line == 1 { brace.column } else { 0 };
        Place { line: number.saturating_add(found.line - 1), column: found.column.saturating_add(behind_brace) }
    };
    if let Some(offset) = body.open_string {
        report.add(
            place_of(offset),
            "this text is not closed",
            Some("text ends at ` #` and at the line's end".to_owned()),
        );
    }
    if !body.is_closed {
        report.add(brace, "`}` is missing, for this `{`", None);
    }
    header.body = Some(Placed::new(body.expression.trim().to_owned(), place_of(body.first.unwrap_or(0))));
    rows.skip(row, part, rest.get(..body.length).unwrap_or(rest));
    let behind = rows.peek().unwrap_or_default();
    if !behind.trim().is_empty() {
        let place = place_of(body.length + (behind.len() - behind.trim_start().len()));
        report.add(place, "after `}` a new line begins", Some("write nothing behind a condition's `}`".to_owned()));
    }
    // The rest of the row is blank, or was reported.
    rows.next();
    header
}

/// What stands between a condition's braces. It ends at the first `}` outside of texts and `//` comments: maps cannot be
/// written in this language, which has this from OpenFGA's.
#[derive(Debug, Default)]
struct Body {
    /// Without `//` comments, as OpenFGA keeps it.
    expression: String,
    /// Up to and with the `}`.
    length: usize,
    is_closed: bool,
    /// Where the first character stands that is not blank.
    first: Option<usize>,
    /// Where a text begins that has no end.
    open_string: Option<usize>,
}

impl Body {
    fn read(text: &str) -> Self {
        let mut body = Self { length: text.len(), ..Self::default() };
        let mut offset = 0;
        let mut word = 0;
        while let Some(c) = text.get(offset..).and_then(|rest| rest.chars().next()) {
            let rest = text.get(offset..).unwrap_or_default();
            let length = match c {
                '}' => {
                    body.is_closed = true;
                    body.length = offset + 1;
                    break;
                }
                '/' if rest.starts_with("//") => {
                    offset += rest.find('\n').unwrap_or(rest.len());
                    word = offset;
                    // Lines end without blanks, so that an expression that is printed is read again as it was.
                    body.expression.truncate(body.expression.trim_end_matches([' ', '\t']).len());
                    continue;
                }
                '"' | '\'' => {
                    let prefix = text.get(word..offset).unwrap_or_default().to_ascii_lowercase();
                    let (length, is_closed) = text_length(rest, c, matches!(prefix.as_str(), "r" | "br"));
                    if !is_closed {
                        body.open_string = body.open_string.or(Some(offset));
                    }
                    length
                }
                _ => c.len_utf8(),
            };
            if !c.is_whitespace() {
                body.first = body.first.or(Some(offset));
            }
            body.expression.push_str(rest.get(..length).unwrap_or(rest));
            offset += length;
            if !(c.is_ascii_alphanumeric() || c == '_') {
                word = offset;
            }
        }
        body
    }
}

/// How long the text is that begins here, and whether it has an end.
fn text_length(text: &str, quote: char, is_raw: bool) -> (usize, bool) {
    let triple: String = [quote; 3].iter().collect();
    let is_triple = text.starts_with(&triple);
    let end = if is_triple { triple.as_str() } else { triple.get(..1).unwrap_or_default() };
    let mut offset = end.len();
    while let Some(rest) = text.get(offset..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(end) {
            return (offset + end.len(), true);
        }
        if rest.starts_with('\n') && !is_triple {
            return (offset, false);
        }
        let mut characters = rest.chars();
        let escape = !is_raw && characters.next() == Some('\\');
        let escaped = characters.next().filter(|c| escape && *c != '\n').map_or(0, char::len_utf8);
        offset += if escape { 1 + escaped } else { rest.chars().next().map_or(1, char::len_utf8) };
    }
    (text.len(), false)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '.' | '-')
}

fn width(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
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
        let width = width(piece);
        if is_word(first) {
            tokens.push(Token { kind: TokenKind::Word(piece), place: place(column) });
            end = place(column.saturating_add(width));
        } else if matches!(first, ':' | ',' | '#' | '*' | '[' | ']' | '(' | ')' | '<' | '>') {
            tokens.push(Token { kind: TokenKind::Symbol(first), place: place(column) });
            end = place(column.saturating_add(width));
        } else if !matches!(first, ' ' | '\t' | '\u{c}' | '\r') {
            report.add(place(column), format!("`{}` does not belong here", first.escape_debug()), None);
        }
        column = column.saturating_add(width);
        rest = after;
    }
    Line { tokens, end, body: None }
}
