//! What is wrong with a text that is not the YAML that is read, in plain words.

use serde_saphyr::{Error, budget::BudgetBreach};

use super::yaml_tree::place;
use crate::access::Place;

/// What is wrong, where, and what to do about it.
#[derive(Debug)]
pub struct YamlFault {
    /// Where; line 0 if it is the whole.
    pub place: Place,
    /// What is wrong there.
    pub message: String,
    /// What to write instead, where there is something to say.
    pub help: Option<&'static str>,
}

impl YamlFault {
    /// What an error of the reader means to whoever wrote the text.
    pub fn of(error: &Error) -> Self {
        let place = error.location().map(|location| place(&location)).unwrap_or_default();
        let (message, help) = said(error.without_snippet());
        Self { place, message, help }
    }
}

fn said(error: &Error) -> (String, Option<&'static str>) {
    let plain = |message: &str, help| (message.to_owned(), help);
    match error {
        Error::DuplicateMappingKey { key, .. } => {
            let message = match key {
                Some(key) => format!("the key `{key}` is here a second time"),
                None => "a key is here a second time".to_owned(),
            };
            (message, Some("remove one of the two, or put what is below them together"))
        }
        Error::MultipleDocuments { .. } => plain(
            "a second document begins here, but a file holds one",
            Some("remove the line `---` or what is after it"),
        ),
        Error::Budget { breach: BudgetBreach::Aliases { .. } | BudgetBreach::Anchors { .. }, .. } => plain(
            "anchors and aliases (`&name`, `*name`) are not read here",
            Some("write what the alias stands for in its place"),
        ),
        Error::Budget { breach: BudgetBreach::Depth { .. }, .. } => {
            plain("this is nested too deeply", Some("take levels of lists and mappings away"))
        }
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => plain(
            "this is more than is read: it is too long, or aliases (`*name`) make too much of it",
            Some("write it without aliases, or make it shorter"),
        ),
        Error::Unexpected { expected, .. } => (wanted(expected), None),
        Error::InvalidScalar { ty, .. } => whole_number(ty),
        Error::InvalidUtf8Input => plain("it is not UTF-8", Some("save the file as UTF-8")),
        Error::NullIntoString { .. } => plain("nothing is written here, but a text is expected", None),
        Error::InvalidBooleanStrict { .. } => plain("this is neither `true` nor `false`", None),
        Error::UnknownAnchor { .. } => plain("this alias (`*name`) has no anchor (`&name`) before it", None),
        Error::Eof { .. } => plain("the text ends too early", None),
        Error::AliasError { error, .. } => said(error),
        _ => (others(error), None),
    }
}

/// What the reader says of faults that it alone can explain, without the place, which a diagnostic has already.
fn others(error: &Error) -> String {
    let text = error.to_string();
    let message = text.lines().next().unwrap_or_default();
    if message.contains("recursion limit exceeded") {
        return "this is nested too deeply".to_owned();
    }
    message.split(" at line ").next().unwrap_or(message).trim_start_matches("error: ").to_owned()
}

fn wanted(expected: &str) -> String {
    match expected {
        "sequence start" => "a list is expected here: begin each element with `- `, or write `[]` for none".to_owned(),
        "mapping start" => "a mapping is expected here: write `key: value`".to_owned(),
        "string scalar" | "scalar" => "a single value is expected here".to_owned(),
        other => format!("something else is expected here: {other}"),
    }
}

fn whole_number(wanted: &str) -> (String, Option<&'static str>) {
    let most = match wanted {
        "u8" => u64::from(u8::MAX),
        "u16" => u64::from(u16::MAX),
        "u32" => u64::from(u32::MAX),
        "u64" => u64::MAX,
        other => return (format!("this is no {other}"), None),
    };
    (format!("this is no whole number from 0 to {most}"), Some("write it in digits alone, such as `1000`"))
}
