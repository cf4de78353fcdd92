//! Tuples as comma-separated values, as OpenFGA's command line has them.

use super::{
    report::Report,
    tuple_condition::WrittenCondition,
    tuples::{Collector, Written, WrittenTuple},
};
use crate::{access::Place, policy::did_you_mean};

const COLUMNS: [&str; 8] = [
    "user_type",
    "user_id",
    "user_relation",
    "relation",
    "object_type",
    "object_id",
    "condition_name",
    "condition_context",
];
const NEEDED: [&str; 5] = ["user_type", "user_id", "relation", "object_type", "object_id"];

/// Reads a header and one tuple in each record. The columns may come in any order.
pub(super) fn read(text: &str, collector: &mut Collector<'_, '_>) {
    let mut records = Records { rest: text, place: Place { line: 1, column: 1 } };
    let Some(header) = records.next(&mut collector.report) else {
        let help = format!("the first line names the columns: {}", COLUMNS.join(","));
        collector.report.add(Place { line: 1, column: 1 }, "the header is missing", Some(help));
        return;
    };
    let Some(columns) = columns(&header, &mut collector.report) else { return };
    while let Some(record) = records.next(&mut collector.report) {
        // A record with a fault was reported, and is empty.
        if record.is_empty() {
            continue;
        }
        if record.len() != columns.len() {
            let place = record.first().map(|cell| cell.place).unwrap_or_default();
            let message = format!("this line has {} values, the header has {}", record.len(), columns.len());
            collector.report.add(place, message, None);
            continue;
        }
        tuple(&columns, &record, collector);
    }
}

/// A value and where it begins.
struct Cell {
    text: String,
    place: Place,
}

fn columns(header: &[Cell], report: &mut Report) -> Option<Vec<&'static str>> {
    let mut columns = Vec::new();
    for cell in header {
        match COLUMNS.iter().find(|column| **column == cell.text) {
            Some(column) if columns.contains(column) => {
                report.add(cell.place, format!("the column `{column}` is there twice"), None);
            }
            Some(column) => columns.push(*column),
            None => {
                let help =
                    did_you_mean(&cell.text, COLUMNS).unwrap_or_else(|| format!("columns are {}", COLUMNS.join(",")));
                report.add(cell.place, format!("`{}` is not a column that is known here", cell.text), Some(help));
            }
        }
    }
    for needed in NEEDED.iter().filter(|needed| !columns.contains(needed)) {
        report.add(Place { line: 1, column: 1 }, format!("the column `{needed}` is missing"), None);
    }
    report.is_empty().then_some(columns)
}

fn tuple(columns: &[&str], record: &[Cell], collector: &mut Collector<'_, '_>) {
    let find = |name: &str| columns.iter().position(|column| *column == name).and_then(|number| record.get(number));
    let text = |name: &str| find(name).map(|cell| cell.text.as_str()).unwrap_or_default();
    let place = |name: &str| find(name).map(|cell| cell.place).unwrap_or_default();
    let written = |name: &str| find(name).map(|cell| Written { text: &cell.text, place: cell.place });
    let mut user = format!("{}:{}", text("user_type"), text("user_id"));
    if !text("user_relation").is_empty() {
        user = format!("{user}#{}", text("user_relation"));
    }
    let object = format!("{}:{}", text("object_type"), text("object_id"));
    let filled = |name: &str| written(name).filter(|written| !written.text.is_empty());
    let condition = filled("condition_name").or(filled("condition_context")).map(|first| WrittenCondition {
        place: first.place,
        name: filled("condition_name"),
        context: filled("condition_context"),
    });
    collector.add(WrittenTuple {
        place: record.first().map(|cell| cell.place).unwrap_or_default(),
        user: Some(Written { text: &user, place: place("user_type") }),
        relation: written("relation"),
        object: Some(Written { text: &object, place: place("object_type") }),
        condition,
    });
}

/// Records of RFC 4180. Blank lines are skipped.
struct Records<'a> {
    rest: &'a str,
    place: Place,
}

impl<'a> Records<'a> {
    fn next(&mut self, report: &mut Report) -> Option<Vec<Cell>> {
        while self.rest.starts_with(['\r', '\n']) {
            self.skip(1);
        }
        if self.rest.is_empty() {
            return None;
        }
        let mut record = Vec::new();
        loop {
            let place = self.place;
            let text = match self.value() {
                Ok(text) => text,
                Err(message) => {
                    let help = "put the value in quotation marks, and write each of its own twice".to_owned();
                    report.add(place, message, Some(help));
                    self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
                    return Some(Vec::new());
                }
            };
            record.push(Cell { text, place });
            if !self.rest.starts_with(',') {
                self.skip(self.rest.find('\n').map_or(self.rest.len(), |newline| newline + 1));
                return Some(record);
            }
            self.skip(1);
        }
    }

    /// A value, up to the comma or the end of its line.
    fn value(&mut self) -> Result<String, &'static str> {
        let mut text = String::new();
        if !self.rest.starts_with('"') {
            let length = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
            let value = self.skip(length);
            text.push_str(value.strip_suffix('\r').filter(|_| !self.rest.starts_with(',')).unwrap_or(value));
            return if text.contains('"') { Err("a quotation mark stands within a value") } else { Ok(text) };
        }
        loop {
            self.skip(1);
            let Some(length) = self.rest.find('"') else {
                self.skip(self.rest.len());
                return Err("a quoted value has no end");
            };
            text.push_str(self.skip(length));
            self.skip(1);
            if !self.rest.starts_with('"') {
                break;
            }
            text.push('"');
        }
        let is_end = self.rest.is_empty() || self.rest.starts_with([',', '\n']) || self.rest.starts_with("\r\n");
        if is_end { Ok(text) } else { Err("something follows a quoted value") }
    }

    /// Goes on by so many bytes, and gives them.
    fn skip(&mut self, length: usize) -> &'a str {
        let (skipped, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        self.rest = rest;
        let count = |text: &str| u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        match skipped.rsplit_once('\n') {
            Some((before, last)) => {
                let newlines = u32::try_from(before.matches('\n').count()).unwrap_or(u32::MAX).saturating_add(1);
                self.place.line = self.place.line.saturating_add(newlines);
                self.place.column = count(last).saturating_add(1);
            }
            None => self.place.column = self.place.column.saturating_add(count(skipped)),
        }
        skipped
    }
}
