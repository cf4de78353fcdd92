//! Gathers every problem of one file, so that they are reported together.

use std::{fmt::Display, path::Path, str::FromStr, sync::Arc, time::Duration};

use crate::access::{Diagnostic, Place};

use super::located::Located;

/// The problems of one file.
#[derive(Debug)]
pub struct Problems {
    file: Arc<str>,
    found: Vec<Diagnostic>,
}

impl Problems {
    /// No problems yet.
    pub fn of_file(file: &Path) -> Self {
        Self { file: file.display().to_string().into(), found: Vec::new() }
    }

    /// The file's name.
    pub fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// Adds a problem.
    pub fn add(&mut self, place: Place, message: impl Into<String>) {
        self.found.push(Diagnostic::new(&self.file, place, message));
    }

    /// Adds a problem with advice.
    pub fn add_with_help(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.found.push(Diagnostic::new(&self.file, place, message).with_help(help));
    }

    /// Adds the problems of other files.
    pub fn extend(&mut self, others: impl IntoIterator<Item = Diagnostic>) {
        self.found.extend(others);
    }

    /// The value, if there has been no problem at all.
    pub fn settle<T>(self, value: Option<T>) -> Result<T, Vec<Diagnostic>> {
        match value {
            Some(value) if self.found.is_empty() => Ok(value),
            Some(_) | None => Err(self.into_found()),
        }
    }

    /// All problems, by place.
    pub fn into_found(mut self) -> Vec<Diagnostic> {
        self.found.sort_by(|one, other| (&one.file, one.place).cmp(&(&other.file, other.place)));
        self.found
    }

    /// The parsed text.
    pub(super) fn parse<T: FromStr<Err: Display>>(&mut self, text: &Located<String>) -> Option<T> {
        match text.value.parse() {
            Ok(value) => Some(value),
            Err(problem) => {
                self.add(text.place, named(&text.value, &problem.to_string()));
                None
            }
        }
    }

    /// An `IP:PORT`.
    pub(super) fn address(&mut self, text: &Located<String>) -> Option<std::net::SocketAddr> {
        let address = text.value.parse().ok();
        if address.is_none() {
            let message = format!("`{}` is not an address and a port", text.value);
            self.add_with_help(text.place, message, "write `127.0.0.1:8080`, `0.0.0.0:8080` or `[::1]:8080`");
        }
        address
    }

    /// A duration such as `60s`, above zero; the default if there is none.
    pub(super) fn duration(&mut self, text: Option<&Located<String>>, default: Duration) -> Duration {
        self.optional_duration(text).unwrap_or(default)
    }

    /// A duration such as `60s`, above zero, if there is one.
    pub(super) fn optional_duration(&mut self, text: Option<&Located<String>>) -> Option<Duration> {
        let text = text?;
        match humantime::parse_duration(&text.value) {
            Ok(duration) if !duration.is_zero() => Some(duration),
            Ok(_) => {
                self.add(text.place, format!("`{}` is no time at all", text.value));
                None
            }
            Err(humantime::DurationError::NumberOverflow) => {
                let message = format!("`{}` is longer than a duration can be", text.value);
                self.add_with_help(text.place, message, "write less: a hundred years are `36500d`");
                None
            }
            Err(_) => {
                let message = format!("`{}` is not a duration", text.value);
                self.add_with_help(text.place, message, "write a number and a unit, such as `500ms`, `60s` or `5m`");
                None
            }
        }
    }

    /// How many problems there are.
    pub(super) fn count(&self) -> usize {
        self.found.len()
    }

    /// A number above zero; the default if there is none.
    pub(super) fn count_of(&mut self, number: Option<&Located<u32>>, default: usize) -> usize {
        let Some(number) = number else { return default };
        if number.value == 0 {
            self.add(number.place, "0 would refuse everything, write a number above zero");
        }
        usize::try_from(number.value).unwrap_or(usize::MAX)
    }
}

/// The problem, with the text it is about if it does not name it.
fn named(text: &str, problem: &str) -> String {
    if problem.contains('`') { problem.to_owned() } else { format!("`{text}`: {problem}") }
}
