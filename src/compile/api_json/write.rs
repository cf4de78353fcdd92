//! Writes a model as OpenFGA's HTTP API does.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    access::RelationName,
    policy::{
        ConditionSource, ModelSource, Origin, ParameterType, Placed, RelationSource, RestrictionSource, Rewrite, Shape,
        TypeSource,
    },
};

/// Which fields are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonForm<'a> {
    /// Those that say something, in the order of the model: what the API takes.
    Short,
    /// All, and the entries of maps by name: what the API gives for the model of this id.
    Api {
        /// The model's id.
        id: &'a str,
    },
}

/// A JSON value whose fields keep their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// An object.
    Object(Vec<(String, Self)>),
}

impl fmt::Display for Json {
    /// On one line, or with `{:#}` indented on many.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = if f.alternate() { serde_json::to_string_pretty(self) } else { serde_json::to_string(self) };
        f.write_str(&text.map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(elements) => serializer.collect_seq(elements),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

/// The model in this form.
pub(in crate::compile) fn write(source: &ModelSource, form: JsonForm<'_>) -> Json {
    let (writer, id) = match form {
        JsonForm::Short => (Writer { all_fields: false }, ""),
        JsonForm::Api { id } => (Writer { all_fields: true }, id),
    };
    let conditions = source.conditions.iter().map(|condition| {
        let origin = source.condition_origins.get(&condition.name.value);
        (condition.name.value.to_string(), writer.condition(condition, origin))
    });
    let conditions = writer.map(conditions);
    let types = source.types.iter().map(|written| writer.type_definition(written)).collect();
    writer.object([
        ("id", Json::Text(id.to_owned()), Kept::IfFilled),
        ("schema_version", Json::Text(source.schema.to_string()), Kept::Always),
        ("type_definitions", Json::List(types), Kept::Always),
        ("conditions", conditions, Kept::IfFilled),
    ])
}

/// Whether a field is written although it is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Always,
    IfFilled,
}

#[derive(Debug, Clone, Copy)]
struct Writer {
    all_fields: bool,
}

impl Writer {
    fn object<const N: usize>(self, fields: [(&str, Json, Kept); N]) -> Json {
        let is_kept = |value: &Json, kept: Kept| {
            let is_empty = match value {
                Json::Null => true,
                Json::Text(text) => text.is_empty(),
                Json::List(elements) => elements.is_empty(),
                Json::Object(fields) => fields.is_empty(),
            };
            self.all_fields || kept == Kept::Always || !is_empty
        };
        let kept = fields.into_iter().filter(|(_, value, kept)| is_kept(value, *kept));
        Json::Object(kept.map(|(key, value, _)| (key.to_owned(), value)).collect())
    }

    fn map(self, entries: impl Iterator<Item = (String, Json)>) -> Json {
        let mut entries: Vec<_> = entries.collect();
        if self.all_fields {
            entries.sort_by(|(one, _), (other, _)| one.cmp(other));
        }
        Json::Object(entries)
    }

    fn type_definition(self, written: &TypeSource) -> Json {
        let name = |relation: &RelationSource| relation.name.value.to_string();
        let rewrites = written.relations.iter().map(|relation| (name(relation), self.rewrite(&relation.rewrite)));
        let details = written.relations.iter().map(|relation| (name(relation), self.relation(relation)));
        let metadata = if written.relations.is_empty() && written.origin.is_none() {
            Json::Null
        } else {
            let [module, source_info] = self.origin(written.origin.as_ref());
            self.object([("relations", self.map(details), Kept::IfFilled), module, source_info])
        };
        self.object([
            ("type", Json::Text(written.name.value.to_string()), Kept::Always),
            ("relations", self.map(rewrites), Kept::IfFilled),
            ("metadata", metadata, Kept::IfFilled),
        ])
    }

    fn relation(self, relation: &RelationSource) -> Json {
        let users = relation.restrictions.iter().map(|restriction| self.restriction(restriction)).collect();
        let [module, source_info] = self.origin(relation.origin.as_ref());
        self.object([("directly_related_user_types", Json::List(users), Kept::IfFilled), module, source_info])
    }

    fn origin(self, origin: Option<&Origin>) -> [(&'static str, Json, Kept); 2] {
        let module = origin.map(|origin| origin.module.to_string()).unwrap_or_default();
        let file = origin.and_then(|origin| origin.file.as_ref());
        let source_info =
            file.map_or(Json::Null, |file| self.object([("file", Json::Text(file.to_string()), Kept::IfFilled)]));
        [("module", Json::Text(module), Kept::IfFilled), ("source_info", source_info, Kept::IfFilled)]
    }

    fn restriction(self, restriction: &RestrictionSource) -> Json {
        let condition = restriction.condition.as_ref().map(|name| name.value.to_string()).unwrap_or_default();
        let user_type = ("type", Json::Text(restriction.user_type.value.to_string()), Kept::Always);
        let condition = ("condition", Json::Text(condition), Kept::IfFilled);
        match &restriction.shape {
            Shape::Plain => self.object([user_type, condition]),
            Shape::Wildcard => self.object([user_type, ("wildcard", empty(), Kept::Always), condition]),
            Shape::Userset(relation) => {
                let relation = ("relation", Json::Text(relation.value.to_string()), Kept::Always);
                self.object([user_type, relation, condition])
            }
        }
    }

    fn rewrite(self, rewrite: &Rewrite<Placed<RelationName>>) -> Json {
        let relation = |name: &Placed<RelationName>| {
            let name = ("relation", Json::Text(name.value.to_string()), Kept::Always);
            self.object([("object", Json::Text(String::new()), Kept::IfFilled), name])
        };
        let children = || {
            let operands = rewrite.operands().map(|operand| self.rewrite(operand)).collect();
            self.object([("child", Json::List(operands), Kept::Always)])
        };
        let (kind, value) = match rewrite {
            Rewrite::Direct => ("this", empty()),
            Rewrite::Computed(name) => ("computedUserset", relation(name)),
            Rewrite::TupleToUserset { computed, tupleset } => {
                let tupleset = ("tupleset", relation(tupleset), Kept::Always);
                ("tupleToUserset", self.object([tupleset, ("computedUserset", relation(computed), Kept::Always)]))
            }
            Rewrite::Union(_) => ("union", children()),
            Rewrite::Intersection(_) => ("intersection", children()),
            Rewrite::Exclusion { base, subtract } => {
                let base = ("base", self.rewrite(base), Kept::Always);
                ("difference", self.object([base, ("subtract", self.rewrite(subtract), Kept::Always)]))
            }
        };
        Json::Object(vec![(kind.to_owned(), value)])
    }

    fn condition(self, condition: &ConditionSource, origin: Option<&Origin>) -> Json {
        let parameters =
            condition.parameters.iter().map(|parameter| (parameter.name.value.clone(), self.kind(&parameter.kind)));
        let metadata = origin.map_or(Json::Null, |origin| self.object(self.origin(Some(origin))));
        self.object([
            ("name", Json::Text(condition.name.value.to_string()), Kept::Always),
            ("expression", Json::Text(condition.expression.value.clone()), Kept::Always),
            ("parameters", self.map(parameters), Kept::IfFilled),
            ("metadata", metadata, Kept::IfFilled),
        ])
    }

    fn kind(self, kind: &ParameterType) -> Json {
        let (name, inner) = match kind {
            ParameterType::Bool => ("BOOL", None),
            ParameterType::String => ("STRING", None),
            ParameterType::Int => ("INT", None),
            ParameterType::Uint => ("UINT", None),
            ParameterType::Double => ("DOUBLE", None),
            ParameterType::Duration => ("DURATION", None),
            ParameterType::Timestamp => ("TIMESTAMP", None),
            ParameterType::IpAddress => ("IPADDRESS", None),
            ParameterType::Any => ("ANY", None),
            ParameterType::List(inner) => ("LIST", Some(inner)),
            ParameterType::Map(inner) => ("MAP", Some(inner)),
        };
        let inner = inner.iter().map(|inner| self.kind(inner)).collect();
        self.object([
            ("type_name", Json::Text(format!("TYPE_NAME_{name}")), Kept::Always),
            ("generic_types", Json::List(inner), Kept::IfFilled),
        ])
    }
}

fn empty() -> Json {
    Json::Object(Vec::new())
}
