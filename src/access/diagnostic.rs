//! A problem in a document that a person wrote, with its place.

use std::{fmt, sync::Arc};

/// A place in a document: line and column count characters and begin at 1; 0 means that the place is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

impl Place {
    /// The place of the byte at `offset` in `text`.
    pub fn of_offset(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count();
        let line = before.bytes().filter(|byte| *byte == b'\n').count();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1);
        Self { line: number(line), column: number(column) }
    }
}

/// What is wrong in a document, where, and what would be right.
///
/// Shown as `file:line:column: what is wrong`, followed by `  help: what to do` on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The document, as its reader knows it.
    pub file: Arc<str>,
    /// Where in it.
    pub place: Place,
    /// What is wrong: lower case, no full stop, the user's text in back-ticks.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A problem without advice.
    pub fn new(file: &Arc<str>, place: Place, message: impl Into<String>) -> Self {
        Self { file: Arc::clone(file), place, message: message.into(), help: None }
    }

    /// The same problem with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.place.line > 0 {
            write!(f, ":{}:{}", self.place.line, self.place.column)?;
        }
        write!(f, ": {}", self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n  help: {help}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_lines_and_characters_from_one() {
        assert_eq!(Place::of_offset("ab\nécd", 6), Place { line: 2, column: 3 });
        assert_eq!(Place::of_offset("", 0), Place { line: 1, column: 1 });
    }

    #[test]
    fn a_diagnostic_reads_as_file_line_column() {
        let file: Arc<str> = "model.fga".into();
        let diagnostic = Diagnostic::new(&file, Place { line: 3, column: 7 }, "`viewr` is not a relation")
            .with_help("did you mean `viewer`?");
        assert_eq!(diagnostic.to_string(), "model.fga:3:7: `viewr` is not a relation\n  help: did you mean `viewer`?");
        assert_eq!(Diagnostic::new(&file, Place::default(), "cannot be read").to_string(), "model.fga: cannot be read");
    }
}
