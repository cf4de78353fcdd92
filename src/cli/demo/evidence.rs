//! What the proxy recorded and what the upstream saw, side by side.

use std::{fs, path::Path};

use anyhow::Context;
use serde_json::Value;

use super::upstream::Seen;

/// One record of the audit log, as it is written.
#[derive(Debug)]
pub(super) struct Record(pub(super) Value);

impl Record {
    /// The text at this JSON pointer, if there is one.
    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer)?.as_str()
    }

    /// The number at this JSON pointer, if there is one.
    pub(super) fn number(&self, pointer: &str) -> Option<u64> {
        self.0.pointer(pointer)?.as_u64()
    }

    /// The texts of the array at this JSON pointer.
    pub(super) fn texts(&self, pointer: &str) -> Vec<&str> {
        self.0.pointer(pointer).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
    }

    pub(super) fn decision_id(&self) -> &str {
        self.text("/decision_id").unwrap_or_default()
    }
}

/// All records, and all that the upstream saw.
#[derive(Debug)]
pub(super) struct Evidence {
    pub(super) records: Vec<Record>,
    pub(super) seen: Vec<Seen>,
}

impl Evidence {
    /// Reads the audit log.
    pub(super) fn read(audit: &Path, seen: Vec<Seen>) -> anyhow::Result<Self> {
        let text = fs::read_to_string(audit).context("the audit log cannot be read")?;
        let records: Result<Vec<Record>, _> = text.lines().map(|line| serde_json::from_str(line).map(Record)).collect();
        Ok(Self { records: records.context("a record is not one line of JSON")?, seen })
    }

    pub(super) fn records_of<'a>(&'a self, decision_id: &'a str) -> impl Iterator<Item = &'a Record> {
        self.records.iter().filter(move |record| record.decision_id() == decision_id)
    }

    pub(super) fn seen_of<'a>(&'a self, decision_id: &'a str) -> impl Iterator<Item = &'a Seen> {
        self.seen.iter().filter(move |seen| seen.decision_id == decision_id)
    }
}
