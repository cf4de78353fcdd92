//! Documents of relationship tuples, handed on one by one.

use std::{
    io::{self, BufRead},
    sync::Arc,
};

use super::{
    csv, json, json_document,
    report::Report,
    seen::Seen,
    tuple_condition::{self, WrittenCondition},
    yaml,
};
use crate::{
    access::{Diagnostic, Entity, Place, RelationName},
    policy::{
        Added, ConditionName, InvalidTuple, Model, RelationshipTuple, SetAsideReason, TupleCondition, TupleText, User,
        did_you_mean,
    },
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
    /// Comma-separated values under a header, as OpenFGA's command line writes them.
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

/// What was in a document of tuples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TuplesRead {
    /// How many tuples there were.
    pub tuples: usize,
    /// Whether there was nothing but white space.
    pub is_blank: bool,
    /// Whether every repeated tuple was found. If not, [`repetitions`] finds those that the graph has counted.
    pub is_free_of_repetitions: bool,
}

/// Where the tuples of a document go.
pub type TakeTuple<'t> = dyn FnMut(TupleText<'_>, Option<TupleCondition>) -> Result<Added, InvalidTuple> + 't;

/// Reads a document of tuples and hands each of them on, without keeping it.
///
/// Refuses malformed and repeated tuples, unknown keys, and with a model what is set aside: what a person writes by
/// mistake, and a store would refuse. All is in one report, and what was handed on is worth nothing then.
pub fn tuples(
    file: &Arc<str>,
    input: &mut dyn BufRead,
    format: TupleFormat,
    model: Option<&Model>,
    take: &mut TakeTuple<'_>,
) -> Result<TuplesRead, Vec<Diagnostic>> {
    read(Collector::new(file, model, take), input, format)
}

/// Where a document repeats any of these tuples.
pub fn repetitions(
    file: &Arc<str>,
    input: &mut dyn BufRead,
    format: TupleFormat,
    of: &[RelationshipTuple],
) -> Vec<Diagnostic> {
    let take: &mut TakeTuple<'_> = &mut |_, _| Ok(Added::Stored);
    let collector = Collector { report: Report::new(file), model: None, take, seen: Seen::only(of), tuples: 0 };
    read(collector, input, format).err().unwrap_or_default()
}

fn read(
    mut collector: Collector<'_, '_>,
    input: &mut dyn BufRead,
    format: TupleFormat,
) -> Result<TuplesRead, Vec<Diagnostic>> {
    let done = match format {
        TupleFormat::Yaml => yaml::read(input, &mut collector),
        TupleFormat::Json => json_document::read(input, &mut collector),
        TupleFormat::JsonLines => json::read_lines(input, &mut collector),
        TupleFormat::Csv => whole(input).map(|text| {
            csv::read(text.strip_prefix('\u{feff}').unwrap_or(&text), &mut collector);
            text.trim().is_empty()
        }),
    };
    let is_blank = done.unwrap_or_else(|error| {
        collector.report.add(Place::default(), format!("cannot be read: {error}"), None);
        false
    });
    if !collector.report.is_empty() {
        return Err(collector.report.finish());
    }
    Ok(TuplesRead { tuples: collector.tuples, is_blank, is_free_of_repetitions: collector.seen.saw_all() })
}

fn whole(input: &mut dyn BufRead) -> io::Result<String> {
    let mut text = String::new();
    input.read_to_string(&mut text)?;
    Ok(text)
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

/// Takes tuples one by one, checks each and hands it on.
pub(super) struct Collector<'a, 't> {
    pub(super) report: Report,
    model: Option<&'a Model>,
    take: &'a mut TakeTuple<'t>,
    seen: Seen,
    tuples: usize,
}

impl<'a, 't> Collector<'a, 't> {
    /// Nothing read yet.
    pub(super) fn new(file: &Arc<str>, model: Option<&'a Model>, take: &'a mut TakeTuple<'t>) -> Self {
        Self { report: Report::new(file), model, take, seen: Seen::all(), tuples: 0 }
    }

    /// Everything that is wrong.
    pub(super) fn finish(self) -> Result<(), Vec<Diagnostic>> {
        if self.report.is_empty() { Ok(()) } else { Err(self.report.finish()) }
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
        let text = TupleText { user: user.text, relation: relation.text, object: object.text };
        let before = self.report.count();
        let condition = tuple.condition.and_then(|written| tuple_condition::read(&written, &mut self.report));
        if self.report.count() > before {
            return;
        }
        let Err(problem) = self.add_text(text, condition, tuple.place) else { return };
        let before = self.report.count();
        let mut part = |place: Place, problem: Option<String>, help: &str| {
            if let Some(problem) = problem {
                self.report.add(place, problem, (!help.is_empty()).then(|| help.to_owned()));
            }
        };
        let user_problem = user.text.parse::<User>().err().map(|error| error.to_string());
        part(user.place, user_problem, "a user is `type:id`, `type:*` or `type:id#relation`");
        let relation_problem = relation.text.parse::<RelationName>().err().map(|error| error.to_string());
        part(relation.place, relation_problem, "");
        let object_problem = Entity::split(object.text).err().map(|error| error.to_string());
        part(object.place, object_problem, "");
        if self.report.count() == before {
            self.report.add(tuple.place, problem.to_string(), None);
        }
    }

    /// Adds a tuple that is known to have all fields. Reports nothing of a malformed one.
    pub(super) fn add_text(
        &mut self,
        tuple: TupleText<'_>,
        condition: Option<TupleCondition>,
        place: Place,
    ) -> Result<(), InvalidTuple> {
        let name = condition.as_ref().map(|condition| condition.name.clone());
        let added = (self.take)(tuple, condition)?;
        self.tuples += 1;
        if let Some(Place { line, column }) = self.seen.earlier(tuple, place) {
            let TupleText { user, relation, object } = tuple;
            let message = format!("`{user} {relation} {object}` is already on line {line}, column {column}");
            self.report.add(place, message, Some("remove one of them".to_owned()));
        } else if (added != Added::Stored || is_implied(tuple))
            && let Some((message, help)) = self.model.and_then(|model| objection(model, tuple, name.as_ref(), added))
        {
            self.report.add(place, message, help);
        }
        Ok(())
    }
}

/// Whether the user is the very userset that the tuple is about.
fn is_implied(tuple: TupleText<'_>) -> bool {
    tuple.user.rsplit_once('#').is_some_and(|(object, relation)| relation == tuple.relation && object == tuple.object)
}

type Objection = (String, Option<String>);

fn objection(model: &Model, text: TupleText<'_>, condition: Option<&ConditionName>, added: Added) -> Option<Objection> {
    let TupleText { user, relation, object } = text;
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
    if is_implied(text) {
        return Some((format!("`{user}` has `{relation}` on `{object}` anyway"), Some("remove it".to_owned())));
    }
    if let Some(name) = condition.filter(|name| model.conditions().get(name.as_str()).is_none()) {
        let known = model.conditions().iter().map(|known| known.name().as_str());
        return Some((format!("`{name}` is not a condition of the model"), did_you_mean(name.as_str(), known)));
    }
    if let (Some(name), Added::SetAside(SetAsideReason::UndeclaredContext)) = (condition, added) {
        let declared = model.conditions().get(name.as_str());
        let parameters = declared.iter().flat_map(|known| known.parameters());
        let names: Vec<&str> = parameters.map(|parameter| parameter.name.value.as_str()).collect();
        let help = format!("the parameters of `{name}` are {}", names.join(", "));
        return Some((format!("the context of `{name}` names a value that is no parameter"), Some(help)));
    }
    if model.allows(object_type, relation, &tuple.user, condition) {
        return None;
    }
    let allowed = model.restrictions(object_type, relation);
    let help = if allowed.is_empty() {
        format!("`{relation}` is computed from other relations, write a tuple for one of those")
    } else {
        format!("`{relation}` may be given to {}", allowed.join(", "))
    };
    let with = condition.map(|name| format!(" with `{name}`")).unwrap_or_default();
    Some((format!("`{user}` may not be given `{relation}` on type `{object_type}`{with}"), Some(help)))
}

fn unknown_type(model: &Model, name: &str) -> Option<Objection> {
    let help = did_you_mean(name, model.types().map(|known| known.as_str()));
    Some((format!("`{name}` is not a type of the model"), help))
}

fn unknown_relation(model: &Model, type_name: &str, name: &str) -> Option<Objection> {
    let help = did_you_mean(name, model.relations(type_name).map(|known| known.as_str()));
    Some((format!("`{name}` is not a relation of type `{type_name}`"), help))
}
