//! Documents for the tests, and what is said about them.

use std::collections::HashMap;

use crate::{
    access::Diagnostic,
    compile::{ModelDocument, ModelFormat},
};

/// Reads a document whose other files are these.
pub(super) fn read(file: &str, text: &str, others: &[(&str, &str)]) -> Result<ModelDocument, Vec<String>> {
    let others: HashMap<_, _> = others.iter().copied().collect();
    let mut beside = |name: &str| others.get(name).map(|text| (*text).to_owned()).ok_or("no such file".to_owned());
    ModelDocument::read(&file.into(), text, ModelFormat::of_file_name(file), &mut beside).map_err(|found| shown(&found))
}

pub(super) fn shown(problems: &[Diagnostic]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[track_caller]
pub(super) fn dsl(text: &str) -> ModelDocument {
    read("model.fga", text, &[]).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"))
}

#[track_caller]
pub(super) fn json(text: &str) -> ModelDocument {
    read("model.json", text, &[]).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"))
}

pub(super) fn problems(file: &str, text: &str) -> Vec<String> {
    read(file, text, &[]).err().unwrap_or_default()
}

/// The first lines of the problems begin with these.
#[track_caller]
pub(super) fn begin_with(found: &[String], begins: &[&str]) {
    assert_eq!(found.len(), begins.len(), "{found:#?}");
    for (problem, begin) in found.iter().zip(begins) {
        assert!(problem.starts_with(begin), "{problem}\nbegins not with\n{begin}");
    }
}
