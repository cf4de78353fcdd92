//! Relationship tuples that a person wrote, each with its place.

use std::{hash::BuildHasher, sync::Arc};

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::{
    csv, json,
    report::Report,
    tuple_condition::{TupleCondition, WrittenCondition},
    yaml,
};
use crate::{
    access::{Diagnostic, Entity, Place, RelationName},
    policy::{Model, RelationshipTuple, User, did_you_mean},
};

/// How a document of tuples is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TupleFormat {
    /// A list of `{user, relation, object}`, alone or under `tuples:`.
    Yaml,
    /// The same as JSON. Each entry may stand under `key`, as OpenFGA's API writes it.
    Json,
    /// One JSON object on each line.
    JsonLines,
    /// Comma-separated values under a header.
    Csv,
}

impl TupleFormat {
    /// The format that a file's name stands for.
    pub fn of_file_name(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// Distinct, well-formed tuples and where each was written.
#[derive(Debug, Default)]
pub struct TupleDocument {
    file: Arc<str>,
    // INVARIANT: the texts of all tuples, one after the other, each as user, relation and object.
    text: String,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    // Users are at most 512 bytes long, relations 50 characters and objects 256.
    user: u16,
    relation: u16,
    object: u16,
    place: Place,
}

impl TupleDocument {
    /// How many tuples there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The user, the relation and the object of each tuple, in the order they were written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        self.entries.iter().map(|entry| self.parts(entry))
    }

    /// Every tuple that the model does not allow: what a person writes by mistake, and a store would refuse.
    pub fn check_against(&self, model: &Model) -> Vec<Diagnostic> {
        let mut report = Report::new(&self.file);
        for entry in &self.entries {
            if let Some((message, help)) = objection(model, self.parts(entry)) {
                report.add(entry.place, message, help);
            }
        }
        report.finish()
    }

    fn parts(&self, entry: &Entry) -> (&str, &str, &str) {
        let from = entry.start;
        let (user, relation) = (from + usize::from(entry.user), usize::from(entry.relation));
        let part = |start: usize, end: usize| self.text.get(start..end).unwrap_or_default();
        let object = user + relation;
        (part(from, user), part(user, object), part(object, object + usize::from(entry.object)))
    }
}

/// Reads a document of tuples. Refuses malformed and repeated tuples, unknown keys and conditions, all in one report.
pub fn tuples(file: &Arc<str>, text: &str, format: TupleFormat) -> Result<TupleDocument, Vec<Diagnostic>> {
    let mut collector = Collector::new(file);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match format {
        TupleFormat::Yaml => yaml::read(text, &mut collector),
        TupleFormat::Json => json::read(text, &mut collector),
        TupleFormat::JsonLines => json::read_lines(text, &mut collector),
        TupleFormat::Csv => csv::read(text, &mut collector),
    }
    collector.finish()
}

/// A tuple's field as it was written, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'a> {
    pub(super) text: &'a str,
    pub(super) place: Place,
}

/// The fields of a tuple.
#[derive(Debug, Clone, Copy)]
pub(super) struct WrittenTuple<'a> {
    pub(super) place: Place,
    pub(super) user: Option<Written<'a>>,
    pub(super) relation: Option<Written<'a>>,
    pub(super) object: Option<Written<'a>>,
    pub(super) condition: Option<WrittenCondition<'a>>,
}

/// Takes tuples one by one and checks each by itself.
pub(super) struct Collector {
    pub(super) report: Report,
    document: TupleDocument,
    // The hash of each tuple, and the number of its entry. Texts are compared where hashes are equal.
    seen: HashMap<u64, u32, RandomState>,
    hasher: RandomState,
}

impl Collector {
    pub(super) fn new(file: &Arc<str>) -> Self {
        let document = TupleDocument { file: Arc::clone(file), ..TupleDocument::default() };
        Self { report: Report::new(file), document, seen: HashMap::default(), hasher: RandomState::default() }
    }

    /// The tuples, or everything that is wrong with them.
    pub(super) fn finish(self) -> Result<TupleDocument, Vec<Diagnostic>> {
        if self.report.is_empty() { Ok(self.document) } else { Err(self.report.finish()) }
    }

    /// Adds a tuple, or reports what is wrong with it.
    pub(super) fn add(&mut self, tuple: WrittenTuple<'_>) {
        let mut needs = |field: Option<Written<'_>>, name: &str| {
            if field.is_none() {
                let help = "a tuple has `user`, `relation` and `object`".to_owned();
                self.report.add(tuple.place, format!("`{name}` is missing"), Some(help));
            }
        };
        needs(tuple.user, "user");
        needs(tuple.relation, "relation");
        needs(tuple.object, "object");
        let (Some(user), Some(relation), Some(object)) = (tuple.user, tuple.relation, tuple.object) else { return };
        let mut wrong = false;
        let mut part = |place: Place, problem: Option<String>, help: &str| {
            if let Some(problem) = problem {
                wrong = true;
                self.report.add(place, problem, (!help.is_empty()).then(|| help.to_owned()));
            }
        };
        let problem = user.text.parse::<User>().err().map(|error| error.to_string());
        part(user.place, problem, "a user is `type:id`, `type:*` or `type:id#relation`");
        let problem = relation.text.parse::<RelationName>().err().map(|error| error.to_string());
        part(relation.place, problem, "");
        let problem = Entity::split(object.text).err().map(|error| error.to_string());
        part(object.place, problem, "");
        if let Some(written) = &tuple.condition {
            wrong = true;
            // INVARIANT: the one place that refuses conditions, until graphs can hold them.
            if let Some(TupleCondition { name, .. }) = TupleCondition::read(written, &mut self.report) {
                let message = format!("conditions are not supported yet: `{name}`");
                self.report.add(written.place, message, None);
            }
        }
        if !wrong {
            self.keep(tuple.place, [user.text, relation.text, object.text]);
        }
    }

    fn keep(&mut self, place: Place, [user, relation, object]: [&str; 3]) {
        let hash = self.hasher.hash_one((user, relation, object));
        let number = u32::try_from(self.document.entries.len()).unwrap_or(u32::MAX);
        let first = *self.seen.entry(hash).or_insert(number);
        if first != number
            && let Some(entry) = self.document.entries.get(first as usize)
            && self.document.parts(entry) == (user, relation, object)
        {
            let Place { line, column } = entry.place;
            let message = format!("`{user} {relation} {object}` is already on line {line}, column {column}");
            return self.report.add(place, message, Some("remove one of them".to_owned()));
        }
        let length = |text: &str| u16::try_from(text.len()).unwrap_or(u16::MAX);
        let start = self.document.text.len();
        [user, relation, object].iter().for_each(|part| self.document.text.push_str(part));
        let entry = Entry { start, user: length(user), relation: length(relation), object: length(object), place };
        self.document.entries.push(entry);
    }
}

type Objection = (String, Option<String>);

fn objection(model: &Model, (user, relation, object): (&str, &str, &str)) -> Option<Objection> {
    let tuple = RelationshipTuple::parse(user, relation, object).ok()?;
    let object_type = tuple.object.type_name();
    if !model.has_type(object_type) {
        return unknown_type(model, object_type);
    }
    if !model.has_relation(object_type, relation) {
        return unknown_relation(model, object_type, relation);
    }
    let (user_type, member) = match &tuple.user {
        User::Object(entity) => (entity.type_name(), None),
        User::Wildcard(user_type) => (user_type.as_str(), None),
        User::Userset(entity, member) => (entity.type_name(), Some(member.as_str())),
    };
    if !model.has_type(user_type) {
        return unknown_type(model, user_type);
    }
    if let Some(member) = member.filter(|member| !model.has_relation(user_type, member)) {
        return unknown_relation(model, user_type, member);
    }
    if user == format!("{object}#{relation}") {
        return Some((format!("`{user}` has `{relation}` on `{object}` anyway"), Some("remove it".to_owned())));
    }
    if model.allows(object_type, relation, &tuple.user, None) {
        return None;
    }
    let allowed = model.restrictions(object_type, relation);
    let help = if allowed.is_empty() {
        format!("`{relation}` is computed from other relations, write a tuple for one of those")
    } else {
        format!("`{relation}` may be given to {}", allowed.join(", "))
    };
    Some((format!("`{user}` may not be given `{relation}` on type `{object_type}`"), Some(help)))
}

fn unknown_type(model: &Model, name: &str) -> Option<Objection> {
    let help = did_you_mean(name, model.types().map(|known| known.as_str()));
    Some((format!("`{name}` is not a type of the model"), help))
}

fn unknown_relation(model: &Model, type_name: &str, name: &str) -> Option<Objection> {
    let help = did_you_mean(name, model.relations(type_name).map(|known| known.as_str()));
    Some((format!("`{name}` is not a relation of type `{type_name}`"), help))
}
