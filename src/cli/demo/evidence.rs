//! What the proxy recorded and what the upstream saw, side by side.

use std::{fs, path::Path};

use anyhow::Context;
use serde::Deserialize;

use super::upstream::Seen;

/// One record of the audit log, as far as it is compared.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub(super) decision_id: String,
    pub(super) revision: u64,
    pub(super) outcome: String,
    pub(super) reason: String,
    pub(super) principal: Option<Principal>,
    #[serde(default)]
    pub(super) denied_member: Option<String>,
    #[serde(default)]
    pub(super) route: Option<String>,
    #[serde(default)]
    pub(super) method: Option<String>,
    #[serde(default)]
    pub(super) status: Option<u16>,
    #[serde(default)]
    pub(super) upstream_status: Option<u16>,
    #[serde(default)]
    pub(super) items: Option<Items>,
    pub(super) complete: bool,
}

/// The chain, as it is recorded.
#[derive(Debug, Deserialize)]
pub(super) struct Principal {
    pub(super) subject: String,
    pub(super) actors: Vec<String>,
    #[serde(default)]
    pub(super) task: Option<String>,
}

/// How many elements of a list were shown.
#[derive(Debug, Deserialize)]
pub(super) struct Items {
    pub(super) kept: usize,
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
        let records: Result<Vec<Record>, _> = text.lines().map(serde_json::from_str).collect();
        Ok(Self { records: records.context("a record is not one line of JSON")?, seen })
    }

    pub(super) fn records_of<'a>(&'a self, decision_id: &'a str) -> impl Iterator<Item = &'a Record> {
        self.records.iter().filter(move |record| record.decision_id == decision_id)
    }

    pub(super) fn seen_of<'a>(&'a self, decision_id: &'a str) -> impl Iterator<Item = &'a Seen> {
        self.seen.iter().filter(move |seen| seen.decision_id == decision_id)
    }
}
