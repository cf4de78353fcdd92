//! Reads a model in OpenFGA's language, statement by statement.

use super::{
    expression::{Cursor, Faulty},
    lexer::{Line, Token, lines},
    report::Report,
};
use crate::{
    access::{Place, RelationName, TypeName},
    policy::{ModelSource, Placed, RelationSource, RestrictionSource, Rewrite, Shape, TypeSource, did_you_mean},
};

/// The longest model, in bytes (OpenFGA's limit).
const LONGEST: usize = 256 * 1024;

/// Reads a model, schema 1.1, or 1.2 in one file. Every fault is reported; a faulty statement costs only itself, and
/// a relation with a faulty rule still counts as defined.
pub(super) fn parse(text: &str, report: &mut Report) -> ModelSource {
    if text.len() > LONGEST {
        report.add(Place::default(), format!("the model is longer than {LONGEST} bytes"), None);
        return ModelSource::default();
    }
    let lines = lines(text, report);
    let mut parser = Parser { source: ModelSource::default(), report, section: Section::Start, unfinished: Vec::new() };
    parser.header(&lines);
    for line in &lines {
        // What is wrong with the line was reported.
        let (Ok(()) | Err(Faulty)) = parser.statement(line);
    }
    parser.finish()
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
}

struct Parser<'r> {
    source: ModelSource,
    report: &'r mut Report,
    section: Section,
    // The relations whose rule is faulty, by the numbers of their type and themselves.
    unfinished: Vec<(usize, usize)>,
}

impl Parser<'_> {
    fn header(&mut self, lines: &[Line<'_>]) {
        let mut first = lines.iter().filter_map(|line| line.tokens.first().copied());
        let start = first.next();
        let has_header = matches!(start.and_then(Token::word), Some("model" | "module"));
        if !has_header {
            let place = start.map_or(Place { line: 1, column: 1 }, |token| token.place);
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
        let mut cursor = Cursor::new(line, self.report);
        cursor.advance();
        match first.word() {
            Some("model") if self.section == Section::Start => {
                self.section = Section::Model;
                cursor.end()
            }
            Some("schema") if self.section == Section::Model => {
                self.section = Section::Schema;
                schema(&mut cursor)
            }
            Some("type") => {
                self.section = Section::Skipped;
                let name = cursor.name("the type's name")?;
                self.section = Section::Type;
                self.source.types.push(TypeSource { name, relations: Vec::new() });
                cursor.end()
            }
            Some("relations") if self.section == Section::Type => {
                self.section = Section::Relations;
                cursor.end()
            }
            Some("relations") if self.section == Section::Skipped => Ok(()),
            Some("define") => self.define(line, first.place),
            Some(word @ ("module" | "extend" | "condition")) => {
                self.section = if word == "condition" { self.section } else { Section::Skipped };
                let what = if word == "condition" { "conditions are" } else { "modules are" };
                let rest: Vec<String> = line.tokens.iter().take(3).map(|token| token.text()).collect();
                cursor.fault(first.place, format!("{what} not supported yet: `{}`", rest.join(" ")), None)
            }
            Some("relations" | "model" | "schema") => {
                let message = format!("`{}` does not belong here", first.text());
                cursor.fault(first.place, message, Some("`relations` follows a `type`, once".to_owned()))
            }
            word => cursor.fault(first.place, unknown(first), Some(nearest_statement(word))),
        }
    }

    fn define(&mut self, line: &Line<'_>, place: Place) -> Result<(), Faulty> {
        let section = self.section;
        let types = self.source.types.len();
        let mut cursor = Cursor::new(line, self.report);
        cursor.advance();
        let name: Placed<RelationName> = cursor.name("the relation's name")?;
        match section {
            Section::Relations => {}
            Section::Skipped => return Err(Faulty),
            Section::Type => {
                let help = "write `relations` on the line before the first `define`".to_owned();
                cursor.report.add(place, "`relations` is missing", Some(help));
                self.section = Section::Relations;
            }
            Section::Start | Section::Model | Section::Schema => {
                return cursor.fault(place, "a relation belongs to a type".to_owned(), None);
            }
        }
        let rule = if cursor.takes(':') {
            cursor.rule()
        } else {
            let help = format!("write `define {}: …`", name.value);
            cursor.fault(cursor.place(), "`:` is missing after the relation's name".to_owned(), Some(help))
        };
        let Some(current) = self.source.types.last_mut() else { return Err(Faulty) };
        let (rewrite, restrictions) = rule.unwrap_or_else(|Faulty| {
            self.unfinished.push((types.saturating_sub(1), current.relations.len()));
            (Rewrite::Direct, Vec::new())
        });
        current.relations.push(RelationSource { name, restrictions, rewrite });
        Ok(())
    }

    /// Lets relations with a faulty rule take any user, so that they cause no other problems.
    fn finish(mut self) -> ModelSource {
        let names: Vec<Placed<TypeName>> = self.source.types.iter().map(|written| written.name.clone()).collect();
        for (type_number, relation) in self.unfinished {
            let written = self.source.types.get_mut(type_number);
            if let Some(relation) = written.and_then(|written| written.relations.get_mut(relation)) {
                let plain = |user_type: &Placed<TypeName>| RestrictionSource {
                    user_type: user_type.clone(),
                    shape: Shape::Plain,
                    condition: None,
                };
                relation.restrictions = names.iter().map(plain).collect();
            }
        }
        self.source
    }
}

fn unknown(first: Token<'_>) -> String {
    format!("`{}` is not the beginning of a statement", first.text())
}

fn nearest_statement(word: Option<&str>) -> String {
    let known = ["type", "relations", "define", "model", "schema"];
    let help = word.and_then(|word| did_you_mean(word, known));
    help.unwrap_or_else(|| "a line begins with `type`, `relations` or `define`".to_owned())
}

fn schema(cursor: &mut Cursor<'_, '_>) -> Result<(), Faulty> {
    let place = cursor.place();
    let help = || Some("write `schema 1.1`".to_owned());
    match cursor.advance().map(Token::text).as_deref() {
        Some("1.1" | "1.2") => cursor.end(),
        Some(version) => cursor.fault(place, format!("schema `{version}` is not supported"), help()),
        None => cursor.fault(place, "the schema's version is missing".to_owned(), help()),
    }
}
