//! Reads store files.

use std::{fmt::Display, str::FromStr, sync::Arc};

use serde_json::{Map, Value as JsonValue};

use super::document::{
    StoreAssertion, StoreCheck, StoreFile, StoreListObjects, StoreListUsers, StoreTest, StoreTuple, StoreUserFilter,
};
use crate::{
    access::{Diagnostic, Place},
    compile::{
        api_json::{Json, JsonForm},
        model::{ModelDocument, ModelFormat, ReadBeside},
        report::Report,
        tuples::{Collector, TakeTuple, TupleFormat, tuples},
        yaml,
        yaml_tree::{self, Entry, Node, Value, find},
    },
    policy::{Added, ContextMap, GraphBuilder, Model, Placed, RelationshipTuple},
};

/// Reads a store file. `beside` reads the files that it names; names that lead out of its folder are refused.
///
/// Refuses unknown keys, and what is wrong in any of the files, all in one report.
pub fn store_file(file: &Arc<str>, text: &str, beside: &mut ReadBeside<'_>) -> Result<StoreFile, Vec<Diagnostic>> {
    let mut reader = Reader { file, text, report: Report::new(file), problems: Vec::new(), beside, graph: None };
    let store = reader.store();
    let Reader { report, mut problems, .. } = reader;
    let mut found = report.finish();
    found.append(&mut problems);
    match store {
        Some((name, (model, model_json), tuples, tests)) if found.is_empty() => {
            Ok(StoreFile { file: Arc::clone(file), name, model, model_json, tuples, tests })
        }
        Some(_) | None => Err(found),
    }
}

struct Reader<'a, 'b> {
    file: &'a Arc<str>,
    text: &'a str,
    report: Report,
    // Those of the files that it names.
    problems: Vec<Diagnostic>,
    beside: &'a mut ReadBeside<'b>,
    // Says which tuples the model allows; `None` if the model is not right.
    graph: Option<GraphBuilder>,
}

type Parts = (Option<String>, (Arc<Model>, Json), Vec<StoreTuple>, Vec<StoreTest>);

impl Reader<'_, '_> {
    fn store(&mut self) -> Option<Parts> {
        const KEYS: [&str; 7] = ["name", "model", "model_file", "tuples", "tuple_file", "tuple_files", "tests"];
        let document = yaml_tree::read(self.text, &mut self.report)?;
        let entries = document.entries("a store file", &KEYS, &mut self.report);
        let name = self.text(entries, "name");
        let model = self.model(&document, entries).map(|document| {
            let json = document.to_json(JsonForm::Api { id: "" });
            (Arc::new(document.into_model()), json)
        });
        self.graph = model.as_ref().map(|(model, _)| GraphBuilder::new(Arc::clone(model)));
        let further = self.list(entries, "tuple_files", "a list of files");
        let tuples = self.tuples(entries, further);
        let mut tests = Vec::new();
        for node in self.list(entries, "tests", "a list of tests") {
            tests.push(self.test(node));
        }
        Some((name, model?, tuples, tests))
    }

    fn model(&mut self, document: &Node, entries: &[Entry]) -> Option<ModelDocument> {
        if let Some(node) = present(entries, "model") {
            let text = node.text("a model", &mut self.report)?;
            let mut beside = |_: &str| Err("a model within a store file names no files".to_owned());
            let read = ModelDocument::read(self.file, text, ModelFormat::Dsl, &mut beside);
            return read.map_err(|problems| self.problems.extend(within(self.text, node.place, problems))).ok();
        }
        let Some(node) = present(entries, "model_file") else {
            let help = "write the model under `model`, or name its file under `model_file`".to_owned();
            self.report.add(document.place, "the model is missing", Some(help));
            return None;
        };
        let (name, text) = self.read(node)?;
        let folder = name.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
        let beside = &mut *self.beside;
        let mut modules = |module: &str| beside(&format!("{folder}{module}"));
        let shown = shown(self.file, &name);
        let read = ModelDocument::read(&shown, &text, ModelFormat::of_file_name(&name), &mut modules);
        read.map_err(|problems| self.problems.extend(problems)).ok()
    }

    /// The tuples under `tuples`, in the file of `tuple_file`, and in further files.
    fn tuples(&mut self, entries: &[Entry], further: &[Node]) -> Vec<StoreTuple> {
        let mut kept = Vec::new();
        if let Some(list) = present(entries, "tuples") {
            let model = self.graph.as_ref().map(|graph| Arc::clone(graph.model()));
            let mut keep = keeper(&mut kept, self.graph.as_mut());
            let mut collector = Collector::new(self.file, model.as_deref(), &mut keep);
            yaml::read_list(list, &mut collector);
            self.problems.extend(collector.finish().err().into_iter().flatten());
        }
        for node in present(entries, "tuple_file").into_iter().chain(further) {
            self.tuple_file(node, &mut kept);
        }
        kept
    }

    fn tuple_file(&mut self, node: &Node, kept: &mut Vec<StoreTuple>) {
        let Some((name, text)) = self.read(node) else { return };
        let Some(format) = TupleFormat::of_file_name(&name) else {
            let help = "tuples are in files that end in `.yaml`, `.yml`, `.json`, `.jsonl` or `.csv`".to_owned();
            self.report.add(node.place, format!("`{name}` is not a kind of tuple file"), Some(help));
            return;
        };
        let model = self.graph.as_ref().map(|graph| Arc::clone(graph.model()));
        let mut keep = keeper(kept, self.graph.as_mut());
        let read = tuples(&shown(self.file, &name), &mut text.as_bytes(), format, model.as_deref(), &mut keep);
        self.problems.extend(read.err().into_iter().flatten());
    }

    /// The name and the text of a file that a node names.
    fn read(&mut self, node: &Node) -> Option<(String, String)> {
        let written = node.text("a file's name", &mut self.report)?;
        let name = written.replace('\\', "/");
        let name = name.strip_prefix("./").unwrap_or(&name);
        if name.is_empty() || name.starts_with('/') || name.split('/').any(|part| part == "..") {
            let help = "name a file beside the store file or below".to_owned();
            self.report.add(node.place, format!("`{written}` leads out of the store's folder"), Some(help));
            return None;
        }
        match (self.beside)(name) {
            Ok(text) => Some((name.to_owned(), text)),
            Err(problem) => {
                self.report.add(node.place, format!("`{written}` cannot be read: {problem}"), None);
                None
            }
        }
    }

    fn test(&mut self, node: &Node) -> StoreTest {
        const KEYS: [&str; 7] = ["name", "description", "tuples", "tuple_file", "check", "list_objects", "list_users"];
        let entries = node.entries("a test", &KEYS, &mut self.report);
        let mut test = StoreTest {
            place: node.place,
            name: self.text(entries, "name"),
            description: self.text(entries, "description"),
            tuples: self.tuples(entries, &[]),
            checks: Vec::new(),
            list_objects: Vec::new(),
            list_users: Vec::new(),
        };
        for node in self.list(entries, "check", "a list of checks") {
            test.checks.extend(self.check(node));
        }
        for node in self.list(entries, "list_objects", "a list of questions") {
            test.list_objects.extend(self.objects(node));
        }
        for node in self.list(entries, "list_users", "a list of questions") {
            test.list_users.extend(self.users(node));
        }
        test
    }

    fn check(&mut self, node: &Node) -> Option<StoreCheck> {
        const KEYS: [&str; 6] = ["user", "users", "object", "objects", "context", "assertions"];
        let entries = node.entries("a check", &KEYS, &mut self.report);
        let users = self.one_or_many(node, entries, "user", "users");
        let objects = self.one_or_many(node, entries, "object", "objects");
        let context = self.context(entries);
        let assertions = self.assertions(node, entries, |reader, node| match node.value {
            Value::Bool(expected) => Some(expected),
            Value::Null | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
                reader.report.add(node.place, "`true` or `false` is expected", None);
                None
            }
        });
        Some(StoreCheck { users: users?, objects: objects?, context, assertions })
    }

    fn objects(&mut self, node: &Node) -> Option<StoreListObjects> {
        let entries = node.entries("a question", &["user", "type", "context", "assertions"], &mut self.report);
        let user = self.needed(node, entries, "user");
        let object_type = self.needed(node, entries, "type");
        let context = self.context(entries);
        let assertions = self.assertions(node, entries, |reader, node| Some(reader.names(node, "a list of objects")));
        Some(StoreListObjects { user: user?, object_type: object_type?, context, assertions })
    }

    fn users(&mut self, node: &Node) -> Option<StoreListUsers> {
        let keys = ["object", "user_filter", "context", "assertions"];
        let entries = node.entries("a question", &keys, &mut self.report);
        let object = self.needed(node, entries, "object");
        let mut filters = Vec::new();
        for filter in self.list(entries, "user_filter", "a list of filters") {
            filters.extend(self.filter(filter));
        }
        let named = present(entries, "user_filter");
        let is_empty = named.is_some_and(|node| matches!(&node.value, Value::List(filters) if filters.is_empty()));
        if named.is_none() || is_empty {
            let help = "say which users are asked for, as in `user_filter: [{type: user}]`".to_owned();
            self.report.add(node.place, "`user_filter` is missing", Some(help));
        }
        let context = self.context(entries);
        let assertions = self.assertions(node, entries, |reader, node| {
            let entries = node.entries("an answer", &["users"], &mut reader.report);
            Some(present(entries, "users").map(|list| reader.names(list, "a list of users")).unwrap_or_default())
        });
        Some(StoreListUsers { object: object?, filters, context, assertions })
    }

    fn filter(&mut self, node: &Node) -> Option<StoreUserFilter> {
        let entries = node.entries("a filter", &["type", "relation"], &mut self.report);
        let user_type = self.needed(node, entries, "type")?;
        let relation = match present(entries, "relation") {
            Some(node) => Some(self.parsed(node)?),
            None => None,
        };
        Some(StoreUserFilter { user_type, relation })
    }

    fn assertions<T>(
        &mut self,
        node: &Node,
        entries: &[Entry],
        expected: impl Fn(&mut Self, &Node) -> Option<T>,
    ) -> Vec<StoreAssertion<T>> {
        let Some(found) = present(entries, "assertions") else {
            let help = "write relations and what is right for each, as in `assertions: {viewer: true}`".to_owned();
            self.report.add(node.place, "`assertions` is missing", Some(help));
            return Vec::new();
        };
        let mut assertions = Vec::new();
        for entry in found.map("a map from relations to answers", &mut self.report) {
            let relation = self.name(&entry.key, entry.place);
            let expected = expected(self, &entry.value);
            assertions.extend(relation.zip(expected).map(|(relation, expected)| StoreAssertion { relation, expected }));
        }
        assertions
    }

    fn context(&mut self, entries: &[Entry]) -> ContextMap {
        let Some(node) = present(entries, "context") else { return ContextMap::default() };
        let entries = node.map("a map from names to values", &mut self.report);
        let values: Map<_, _> = entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect();
        // The strict reader of JSON holds what is written here to the bounds of a request's context.
        let context = JsonValue::Object(values).to_string().parse::<ContextMap>();
        context
            .map_err(|problem| self.report.add(node.place, format!("not a context: {problem}"), None))
            .unwrap_or_default()
    }

    /// The name under one key, or the names under another.
    fn one_or_many<N: FromStr<Err: Display>>(
        &mut self,
        node: &Node,
        entries: &[Entry],
        one: &str,
        many: &str,
    ) -> Option<Vec<Placed<N>>> {
        match (present(entries, one), present(entries, many)) {
            (Some(one), None) => Some(vec![self.parsed(one)?]),
            (None, Some(list)) => {
                let names = self.names(list, &format!("a list of {many}"));
                let is_empty = matches!(&list.value, Value::List(elements) if elements.is_empty());
                if is_empty {
                    self.report.add(list.place, format!("`{many}` is empty"), None);
                }
                (!names.is_empty()).then_some(names)
            }
            (Some(_), Some(both)) => {
                self.report.add(both.place, format!("`{one}` and `{many}` stand side by side"), None);
                None
            }
            (None, None) => {
                self.report.add(node.place, format!("`{one}` or `{many}` is missing"), None);
                None
            }
        }
    }

    fn needed<N: FromStr<Err: Display>>(&mut self, node: &Node, entries: &[Entry], key: &str) -> Option<Placed<N>> {
        match present(entries, key) {
            Some(node) => self.parsed(node),
            None => {
                self.report.add(node.place, format!("`{key}` is missing"), None);
                None
            }
        }
    }

    fn names<N: FromStr<Err: Display>>(&mut self, list: &Node, what: &str) -> Vec<Placed<N>> {
        let nodes = list.list(what, &mut self.report);
        nodes.iter().filter_map(|node| self.parsed(node)).collect()
    }

    fn parsed<N: FromStr<Err: Display>>(&mut self, node: &Node) -> Option<Placed<N>> {
        let text = node.text("a name", &mut self.report)?;
        self.name(text, node.place)
    }

    fn name<N: FromStr<Err: Display>>(&mut self, text: &str, place: Place) -> Option<Placed<N>> {
        match text.parse() {
            Ok(name) => Some(Placed::new(name, place)),
            Err(error) => {
                self.report.add(place, format!("{error}"), None);
                None
            }
        }
    }

    fn text(&mut self, entries: &[Entry], key: &str) -> Option<String> {
        present(entries, key)?.text(&format!("`{key}`"), &mut self.report).map(str::to_owned)
    }

    fn list<'n>(&mut self, entries: &'n [Entry], key: &str, what: &str) -> &'n [Node] {
        present(entries, key).map(|node| node.list(what, &mut self.report)).unwrap_or_default()
    }
}

/// The value of a key, unless it is null.
fn present<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Node> {
    find(entries, key).filter(|node| node.value != Value::Null)
}

/// How the reader of a diagnostic knows a file that the store file names.
fn shown(file: &str, name: &str) -> Arc<str> {
    match file.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}").into(),
        None => name.into(),
    }
}

/// Problems of a text that is a value of the document at `place`, at their places in the document. Within anything but a
/// block of literal lines (`|`) they are all at that place.
fn within(document: &str, place: Place, problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let block = literal_block(document, place);
    let moved = |mut problem: Diagnostic| {
        problem.place = match (problem.place, block) {
            (Place { line: 1.., column }, Some(opening)) => Place {
                line: opening.saturating_add(problem.place.line),
                column: column.saturating_add(place.column).saturating_sub(1),
            },
            (Place { .. }, Some(_) | None) => place,
        };
        problem
    };
    problems.into_iter().map(moved).collect()
}

/// The line of the `|` that opens the literal block whose first character is at `place`, if there is one.
fn literal_block(document: &str, place: Place) -> Option<u32> {
    let before = usize::try_from(place.line).ok()?.checked_sub(1)?;
    let mut above = (1..).zip(document.lines()).take(before);
    let (number, opening) = above.by_ref().filter(|(_, line)| !line.trim().is_empty()).last()?;
    let code = opening.split(" #").next().unwrap_or_default().trim_end();
    code.rsplit([' ', ':']).next().unwrap_or_default().starts_with('|').then_some(number)
}

/// Takes tuples by keeping them, and says which of them the graph's model does not allow.
fn keeper<'k>(kept: &'k mut Vec<StoreTuple>, mut graph: Option<&'k mut GraphBuilder>) -> Box<TakeTuple<'k>> {
    Box::new(move |text, condition| {
        let tuple = RelationshipTuple::parse(text.user, text.relation, text.object)?;
        kept.push(StoreTuple { tuple, condition: condition.clone() });
        graph.as_mut().map_or(Ok(Added::Stored), |graph| graph.add_with(text, condition))
    })
}
