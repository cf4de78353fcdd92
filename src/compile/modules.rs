//! Modular models: `fga.mod`, and the modules that it lists as one model.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    dsl::{Parsed, TypeStatement, parse, without_comments},
    model::ReadBeside,
    report::Report,
    yaml_tree::{self, Node, Value, find},
};
use crate::{
    access::{Place, RelationName, TypeName},
    policy::{
        ConditionName, ConditionSource, ModelSource, Origin, Placed, RelationSource, SchemaVersion, TypeSource,
        did_you_mean,
    },
};

/// So many modules are read.
const MOST_MODULES: usize = 1000;
/// The longest text of all modules together, in bytes.
const LONGEST: usize = 4 * 1024 * 1024;

/// Reads a model of modules. The report counts the lines of all its files as if they were one. The places that come with
/// the model are those of relations with a faulty rule.
pub(super) fn read(
    file: &Arc<str>,
    text: &str,
    beside: &mut ReadBeside<'_>,
    report: &mut Report,
) -> (ModelSource, HashSet<Place>) {
    let mut merge =
        Merge { source: ModelSource { schema: SchemaVersion::V1_2, ..ModelSource::default() }, ..Merge::default() };
    let mut first_line = line_count(text).saturating_add(1);
    let mut length = 0;
    for name in contents(text, report) {
        let text = match beside(&name.value) {
            Ok(text) => text,
            Err(problem) => {
                report.add(name.place, format!("`{}` cannot be read: {problem}", name.value), None);
                continue;
            }
        };
        length += text.len();
        if length > LONGEST {
            report.add(name.place, format!("the modules are longer than {LONGEST} bytes"), None);
            break;
        }
        report.begin_file(&beside_name(file, &name.value), first_line);
        let parsed = parse(&without_comments(&text), first_line, report);
        merge.add(name.value.as_str().into(), parsed, first_line, report);
        first_line = first_line.saturating_add(line_count(&text)).saturating_add(1);
    }
    merge.finish(report)
}

/// The files that an `fga.mod` lists, as far as it can be read.
pub fn module_files(text: &str) -> Vec<String> {
    contents(text, &mut Report::new(&Arc::default())).into_iter().map(|name| name.value).collect()
}

/// How the reader of a diagnostic knows a file that `file` names.
fn beside_name(file: &str, name: &str) -> Arc<str> {
    match file.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}").into(),
        None => name.into(),
    }
}

fn line_count(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX).saturating_add(1)
}

/// The files that `fga.mod` lists.
fn contents(text: &str, report: &mut Report) -> Vec<Placed<String>> {
    let Some(document) = yaml_tree::read(text, report) else { return Vec::new() };
    let entries = document.entries("`fga.mod`", &["schema", "contents"], report);
    match find(entries, "schema") {
        Some(Node { value: Value::Text(version), .. }) if version == "1.2" => {}
        Some(node) => {
            let help = "only schema 1.2 has modules: write `schema: \"1.2\"`, in quotes".to_owned();
            report.add(node.place, "this is not a schema that has modules", Some(help));
        }
        None => report.add(document.place, "`schema` is missing", Some("write `schema: \"1.2\"`".to_owned())),
    }
    let Some(list) = find(entries, "contents") else {
        let help = "list the modules' files, as in `contents: [core.fga]`".to_owned();
        report.add(document.place, "`contents` is missing", Some(help));
        return Vec::new();
    };
    let mut names: Vec<Placed<String>> = Vec::new();
    for node in list.list("a list of files", report).iter().take(MOST_MODULES) {
        let Some(written) = node.text("a file's name", report) else { continue };
        match file_name(written) {
            Ok(name) if names.iter().any(|known| known.value == name) => {
                report.add(node.place, format!("`{written}` is listed twice"), None);
            }
            Ok(name) => names.push(Placed::new(name, node.place)),
            Err(help) => {
                report.add(
                    node.place,
                    format!("`{written}` is not the name of a module's file"),
                    Some(help.to_owned()),
                );
            }
        }
    }
    names
}

/// The name of a file beside `fga.mod` or below. What a URL would escape may be escaped, as OpenFGA has it.
fn file_name(written: &str) -> Result<String, &'static str> {
    let mut name = written.to_owned();
    for (escaped, plain) in
        [("%2e", "."), ("%2E", "."), ("%2f", "/"), ("%2F", "/"), ("%5c", "/"), ("%5C", "/"), ("\\", "/")]
    {
        name = name.replace(escaped, plain);
    }
    if name.starts_with('/') || name.split('/').any(|part| part == "..") {
        return Err("modules lie beside `fga.mod` or below");
    }
    if !name.ends_with(".fga") { Err("a module's file ends in `.fga`") } else { Ok(name) }
}

/// Modules, put together one by one.
#[derive(Default)]
struct Merge {
    source: ModelSource,
    unfinished: HashSet<Place>,
    types: HashMap<TypeName, usize>,
    conditions: HashMap<ConditionName, Place>,
    // They may come before the type that they extend.
    extensions: Vec<(TypeSource, Origin)>,
}

impl Merge {
    fn add(&mut self, file: Arc<str>, parsed: Parsed, first_line: u32, report: &mut Report) {
        let Some(module) = parsed.module else {
            if !parsed.types.is_empty() || !parsed.conditions.is_empty() {
                let place = Place { line: first_line, column: 1 };
                let help = "begin with `module name` instead of `model` and `schema`".to_owned();
                report.add(place, "this file is not a module", Some(help));
            }
            return;
        };
        let origin = Origin { module: module.value.into(), file: Some(file) };
        self.unfinished.extend(parsed.unfinished);
        let mut extended: HashSet<TypeName> = HashSet::new();
        for TypeStatement { written, extends } in parsed.types {
            match extends {
                true if extended.insert(written.name.value.clone()) => self.extensions.push((written, origin.clone())),
                true => {
                    let message = format!("type `{}` is already extended in this file", written.name.value);
                    report.add(written.name.place, message, None);
                }
                false => self.add_type(written, &origin, report),
            }
        }
        for condition in parsed.conditions {
            self.add_condition(condition, &origin, report);
        }
    }

    fn add_type(&mut self, mut written: TypeSource, origin: &Origin, report: &mut Report) {
        let name = &written.name;
        if let Some(first) = self.types.get(&name.value).and_then(|number| self.source.types.get(*number)) {
            return already(report, &format!("type `{}`", name.value), name.place, first.name.place);
        }
        written.relations = distinct(Vec::new(), std::mem::take(&mut written.relations), report);
        written.origin = Some(origin.clone());
        self.types.insert(written.name.value.clone(), self.source.types.len());
        self.source.types.push(written);
    }

    fn add_condition(&mut self, condition: ConditionSource, origin: &Origin, report: &mut Report) {
        let name = &condition.name;
        if let Some(first) = self.conditions.get(&name.value) {
            return already(report, &format!("condition `{}`", name.value), name.place, *first);
        }
        self.conditions.insert(name.value.clone(), name.place);
        self.source.condition_origins.insert(name.value.clone(), origin.clone());
        self.source.conditions.push(condition);
    }

    fn finish(mut self, report: &mut Report) -> (ModelSource, HashSet<Place>) {
        for (extension, origin) in self.extensions {
            let name = &extension.name;
            let Some(number) = self.types.get(&name.value) else {
                let help = did_you_mean(name.value.as_str(), self.types.keys().map(TypeName::as_str));
                report.add(name.place, format!("`{}` is not a type of this model", name.value), help);
                continue;
            };
            let Some(original) = self.source.types.get_mut(*number) else { continue };
            let mut added = extension.relations;
            added.iter_mut().for_each(|relation| relation.origin = Some(origin.clone()));
            original.relations = distinct(std::mem::take(&mut original.relations), added, report);
        }
        (self.source, self.unfinished)
    }
}

/// The relations, and those of the added that have other names.
fn distinct(
    mut relations: Vec<RelationSource>,
    added: Vec<RelationSource>,
    report: &mut Report,
) -> Vec<RelationSource> {
    let mut places: HashMap<RelationName, Place> =
        relations.iter().map(|relation| (relation.name.value.clone(), relation.name.place)).collect();
    for relation in added {
        let name = &relation.name;
        match places.get(&name.value) {
            Some(first) => already(report, &format!("relation `{}`", name.value), name.place, *first),
            None => {
                places.insert(name.value.clone(), name.place);
                relations.push(relation);
            }
        }
    }
    relations
}

fn already(report: &mut Report, what: &str, place: Place, first: Place) {
    let (file, within) = report.locate(first);
    report.add(place, format!("{what} is already defined in {file} on line {}", within.line), None);
}
