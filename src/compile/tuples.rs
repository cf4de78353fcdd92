//! stub
use crate::{
    access::Diagnostic,
    policy::{Model, RelationshipTuple},
};
use std::{path::Path, sync::Arc};
#[derive(Debug, Clone, Copy)]
pub enum TupleFormat {
    Yaml,
}
impl TupleFormat {
    pub fn of_file(_: &Path) -> Option<Self> {
        Some(Self::Yaml)
    }
}
#[derive(Debug)]
pub struct TupleReader;
impl TupleReader {
    pub fn new(_: Option<&Model>) -> Self {
        Self
    }
    pub fn read(
        &mut self,
        _: &Arc<str>,
        text: &str,
        _: TupleFormat,
        mut take: impl FnMut(&RelationshipTuple),
    ) -> Result<(), Vec<Diagnostic>> {
        for line in text.lines() {
            let Some(rest) = line.trim().strip_prefix("- { user: ") else { continue };
            let rest = rest.trim_end_matches(" }");
            let mut parts = rest.split(", ");
            let user = parts.next().unwrap_or_default();
            let relation = parts.next().unwrap_or_default().trim_start_matches("relation: ");
            let object = parts.next().unwrap_or_default().trim_start_matches("object: ");
            if let Ok(t) = RelationshipTuple::parse(user, relation, object) {
                take(&t);
            }
        }
        Ok(())
    }
}
