//! Reads a model or a module in OpenFGA's language, statement by statement.

use std::collections::HashSet;

use super::{
    super::report::Report,
    condition::condition,
    expression::{Cursor, Faulty},
    lexer::{Line, Token, lines},
    names::{is_keyword, is_plain},
};
use crate::{
    access::{Place, RelationName},
    policy::{ConditionSource, Placed, RelationSource, Rewrite, SchemaVersion, TypeSource, did_you_mean},
};

/// One text, as far as it could be read.
#[derive(Debug, Default)]
pub(in crate::compile) struct Parsed {
    /// The name behind `module`, if it is one.
    pub(in crate::compile) module: Option<Placed<String>>,
    pub(in crate::compile) schema: SchemaVersion,
    pub(in crate::compile) types: Vec<TypeStatement>,
    pub(in crate::compile) conditions: Vec<ConditionSource>,
    /// The places of relations whose rule is faulty. They still count as defined.
    pub(in crate::compile) unfinished: HashSet<Place>,
}

/// `type name`, or `extend type name`.
#[derive(Debug)]
pub(in crate::compile) struct TypeStatement {
    pub(in crate::compile) written: TypeSource,
    pub(in crate::compile) extends: bool,
}

/// Reads a text without comments, whose first line has this number. Every fault is reported; a faulty statement costs
/// only itself.
pub(in crate::compile) fn parse(code: &str, first_line: u32, report: &mut Report) -> Parsed {
    let lines = lines(code, first_line, report);
    let mut parser = Parser { parsed: Parsed::default(), report, section: Section::Start, empty_relations: None };
    parser.header(&lines, first_line);
    for line in &lines {
        // What is wrong with the line was reported.
        let (Ok(()) | Err(Faulty)) = parser.statement(line);
    }
    parser.no_empty_relations();
    parser.parsed
}

/// What the statement before allows the next one to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Start,
    Model,
    Schema,
    Type,
    Relations,
    // A statement of unknown meaning: its relations are skipped.
    Skipped,
    Conditions,
}

struct Parser<'r> {
    parsed: Parsed,
    report: &'r mut Report,
    section: Section,
    // A `relations` that no `define` has followed yet.
    empty_relations: Option<Place>,
}

impl Parser<'_> {
    fn header(&mut self, lines: &[Line<'_>], first_line: u32) {
        let mut first = lines.iter().filter_map(|line| line.tokens.first().copied());
        let start = first.next();
        let has_header = matches!(start.and_then(Token::word), Some("model" | "module"));
        if !has_header {
            let place = start.map_or(Place { line: first_line, column: 1 }, |token| token.place);
            let help = "begin with `model` and, on the next line, `schema 1.1`".to_owned();
            self.report.add(place, "the header is missing", Some(help));
            self.section = Section::Schema;
        } else if start.and_then(Token::word) == Some("model") && first.next().and_then(Token::word) != Some("schema") {
            let place = start.map(|token| token.place).unwrap_or_default();
            self.report.add(place, "`model` is followed by `schema 1.1` on a line of its own", None);
        }
    }

    fn statement(&mut self, line: &Line<'_>) -> Result<(), Faulty> {
        let Some(first) = line.tokens.first().copied() else { return Ok(()) };
        if first.word() != Some("define") {
            self.no_empty_relations();
        }
        let mut cursor = Cursor::new(line, self.report);
        cursor.advance();
        match first.word() {
            Some("model") if self.section == Section::Start => {
                self.section = Section::Model;
                cursor.end()
            }
            Some("module") if self.section == Section::Start => {
                self.section = Section::Schema;
                self.parsed.module = Some(module(&mut cursor));
                cursor.end()
            }
            Some("schema") if self.section == Section::Model => {
                self.section = Section::Schema;
                self.parsed.schema = schema(&mut cursor)?;
                cursor.end()
            }
            Some("type" | "extend") => self.type_statement(line, first.place),
            Some("relations") if self.section == Section::Type => {
                self.section = Section::Relations;
                self.empty_relations = Some(first.place);
                cursor.end()
            }
            Some("relations") if self.section == Section::Skipped => Ok(()),
            Some("define") => self.define(line, first.place),
            Some("condition") => {
                self.section = Section::Conditions;
                self.parsed.conditions.push(condition(line, &mut cursor)?);
                Ok(())
            }
            Some("relations" | "model" | "module" | "schema") => {
                let message = format!("`{}` does not belong here", first.text());
                let help = if first.word() == Some("relations") {
                    "`relations` follows a `type`, once"
                } else {
                    "a model begins with `model` and `schema`, a module with `module`, once"
                };
                cursor.fault(first.place, message, Some(help.to_owned()))
            }
            word => cursor.fault(first.place, unknown(first), Some(nearest_statement(word))),
        }
    }

    fn type_statement(&mut self, line: &Line<'_>, place: Place) -> Result<(), Faulty> {
        let is_late = self.section == Section::Conditions;
        self.section = Section::Skipped;
        let mut cursor = Cursor::new(line, self.report);
        let extends = cursor.takes_word("extend");
        if !cursor.takes_word("type") {
            let help = "write `extend type name`".to_owned();
            return cursor.fault(cursor.place(), "`type` is missing after `extend`".to_owned(), Some(help));
        }
        let name = cursor.name("the type's name")?;
        if is_late {
            let help = "write conditions at the end, behind all types".to_owned();
            cursor.report.add(place, "a type stands behind a condition", Some(help));
        }
        if extends && self.parsed.module.is_none() {
            let help = "begin the file with `module name`, and list it in `fga.mod`".to_owned();
            cursor.report.add(place, "only modules extend types", Some(help));
        }
        let written = TypeSource { name, relations: Vec::new(), origin: None };
        self.parsed.types.push(TypeStatement { written, extends });
        self.section = Section::Type;
        cursor.end()
    }

    fn define(&mut self, line: &Line<'_>, place: Place) -> Result<(), Faulty> {
        self.empty_relations = None;
        let mut cursor = Cursor::new(line, self.report);
        cursor.advance();
        let name: Placed<RelationName> = cursor.name("the relation's name")?;
        match self.section {
            Section::Relations => {}
            Section::Skipped => return Err(Faulty),
            Section::Type => {
                let help = "write `relations` on the line before the first `define`".to_owned();
                cursor.report.add(place, "`relations` is missing", Some(help));
                self.section = Section::Relations;
            }
            Section::Start | Section::Model | Section::Schema | Section::Conditions => {
                return cursor.fault(place, "a relation belongs to a type".to_owned(), None);
            }
        }
        let rule = if cursor.takes(':') {
            cursor.rule()
        } else {
            let help = format!("write `define {}: …`", name.value);
            cursor.fault(cursor.place(), "`:` is missing after the relation's name".to_owned(), Some(help))
        };
        let Some(current) = self.parsed.types.last_mut() else { return Err(Faulty) };
        let (rewrite, restrictions) = rule.unwrap_or_else(|Faulty| {
            self.parsed.unfinished.insert(name.place);
            (Rewrite::Direct, Vec::new())
        });
        current.written.relations.push(RelationSource { name, restrictions, rewrite, origin: None });
        Ok(())
    }

    fn no_empty_relations(&mut self) {
        if let Some(place) = self.empty_relations.take() {
            let help = "write `define name: …` below it, or remove it".to_owned();
            self.report.add(place, "`relations` has no relation", Some(help));
        }
    }
}

fn unknown(first: Token<'_>) -> String {
    format!("`{}` is not the beginning of a statement", first.text())
}

fn nearest_statement(word: Option<&str>) -> String {
    let known = ["type", "relations", "define", "model", "schema", "module", "extend", "condition"];
    let help = word.and_then(|word| did_you_mean(word, known));
    help.unwrap_or_else(|| "a line begins with `type`, `relations`, `define` or `condition`".to_owned())
}

/// The module's name. After a fault it has none, and the file still counts as a module.
fn module(cursor: &mut Cursor<'_, '_>) -> Placed<String> {
    let place = cursor.place();
    let word = cursor.advance().and_then(Token::word);
    match word {
        Some(word) if is_plain(word) && !is_keyword(word) => return Placed::new(word.to_owned(), place),
        Some(word) => {
            let help = "a module's name has letters, digits, `_` and `-`".to_owned();
            cursor.report.add(place, format!("`{word}` is not a module's name"), Some(help));
        }
        None => cursor.report.add(place, "the module's name is missing", None),
    }
    Placed::new(String::new(), place)
}

fn schema(cursor: &mut Cursor<'_, '_>) -> Result<SchemaVersion, Faulty> {
    let place = cursor.place();
    let help = || Some("write `schema 1.1`".to_owned());
    match cursor.advance().map(|token| token.text().parse::<SchemaVersion>()) {
        Some(Ok(version)) => Ok(version),
        Some(Err(unknown)) => cursor.fault(place, unknown.to_string(), help()),
        None => cursor.fault(place, "the schema's version is missing".to_owned(), help()),
    }
}
