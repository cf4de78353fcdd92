//! Reads a model from the JSON of OpenFGA's HTTP API.

use std::{borrow::Cow, collections::HashMap, fmt::Display, str::FromStr};

use serde_json::value::RawValue;

use super::super::{
    placed_json::{Field, Fields, Places, malformed, text},
    report::Report,
};
use crate::{
    access::{Place, RelationName},
    policy::{
        ConditionName, ConditionSource, ModelSource, Origin, ParameterSource, ParameterType, Placed, RelationSource,
        RestrictionSource, Rewrite, SchemaVersion, Shape, TypeSource,
    },
};

/// So deep may rewrites and types be nested.
const DEEPEST: usize = 70;

/// Reads a model, as it is written to the API, or as the API gives it (also under `authorization_model`).
///
/// As protobuf's JSON has it, keys are in snake case or camel case, `null` says nothing, and unknown keys are ignored.
/// Repeated keys are refused.
pub(in crate::compile) fn read(text: &str, report: &mut Report) -> ModelSource {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match serde_json::from_str::<&RawValue>(text) {
        Ok(document) => Reader { places: Places::new(text, Place { line: 1, column: 1 }), report }.model(document),
        Err(error) => {
            malformed(report, Place::default(), &error);
            ModelSource::default()
        }
    }
}

struct Reader<'a, 'r> {
    places: Places<'a>,
    report: &'r mut Report,
}

/// The fields of an object that say something, by their names in snake case, and where the object is.
struct Object<'a> {
    place: Place,
    fields: HashMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.get(name).copied()
    }
}

impl<'a> Reader<'a, '_> {
    fn fault<T>(&mut self, place: Place, message: impl Into<String>, help: Option<&str>) -> Option<T> {
        self.report.add(place, message, help.map(str::to_owned));
        None
    }

    fn model(&mut self, document: &'a RawValue) -> ModelSource {
        let Some(mut object) = self.object(document) else { return ModelSource::default() };
        if let Some(inner) = object.get("authorization_model").filter(|_| object.get("type_definitions").is_none()) {
            let Some(inner) = self.object(inner) else { return ModelSource::default() };
            object = inner;
        }
        let schema = match object.get("schema_version") {
            Some(version) => self.schema(version),
            None => {
                self.fault(object.place, "`schema_version` is missing", Some("write `\"schema_version\": \"1.1\"`"))
            }
        };
        let mut source = ModelSource { schema: schema.unwrap_or_default(), ..ModelSource::default() };
        for written in self.list(object.get("type_definitions")) {
            source.types.extend(self.type_definition(written));
        }
        for (key, value) in self.entries(object.get("conditions")) {
            if let Some((condition, origin)) = self.condition(&key, value) {
                let name = condition.name.value.clone();
                source.conditions.push(condition);
                source.condition_origins.extend(origin.map(|origin| (name, origin)));
            }
        }
        source
    }

    fn schema(&mut self, version: &'a RawValue) -> Option<SchemaVersion> {
        let place = self.places.of(version.get());
        match self.text(version)?.parse() {
            Ok(version) => Some(version),
            Err(unknown) => self.fault(place, format!("{unknown}"), Some("write `\"1.1\"` or `\"1.2\"`")),
        }
    }

    fn type_definition(&mut self, written: &'a RawValue) -> Option<TypeSource> {
        let object = self.object(written)?;
        let name = self.required_name(&object, "type", "a type");
        let metadata = object.get("metadata").and_then(|metadata| self.object(metadata));
        let details = metadata.as_ref().and_then(|metadata| metadata.get("relations"));
        let mut details: HashMap<Cow<'a, str>, &'a RawValue> = self.entries(details).into_iter().collect();
        let mut relations = Vec::new();
        for (key, rewrite) in self.entries(object.get("relations")) {
            let place = self.places.of(rewrite.get());
            let name = self.parsed(&key, place);
            let rewrite = self.rewrite(rewrite, 0);
            let details = details.remove(&key).and_then(|details| self.object(details));
            let users = self.list(details.as_ref().and_then(|details| details.get("directly_related_user_types")));
            let restrictions = users.into_iter().filter_map(|user| self.restriction(user)).collect();
            let origin = details.and_then(|details| self.origin(&details));
            if let (Some(name), Some(rewrite)) = (name, rewrite) {
                relations.push(RelationSource { name, restrictions, rewrite, origin });
            }
        }
        let origin = metadata.and_then(|metadata| self.origin(&metadata));
        Some(TypeSource { name: name?, relations, origin })
    }

    fn origin(&mut self, metadata: &Object<'a>) -> Option<Origin> {
        let module = metadata.get("module").and_then(|module| self.text(module)).filter(|name| !name.is_empty());
        let source_info = metadata.get("source_info").and_then(|info| self.object(info));
        let file = source_info.and_then(|info| info.get("file")).and_then(|file| self.text(file));
        let file = file.filter(|name| !name.is_empty()).map(|name| name.into());
        Some(Origin { module: module?.into(), file })
    }

    fn restriction(&mut self, written: &'a RawValue) -> Option<RestrictionSource> {
        let object = self.object(written)?;
        let user_type = self.required_name(&object, "type", "a type");
        let filled = |reader: &mut Self, name: &str| {
            let value = object.get(name)?;
            reader.text(value).filter(|text| !text.is_empty()).map(|text| (text, reader.places.of(value.get())))
        };
        let condition = filled(self, "condition").map(|(name, place)| self.parsed(&name, place));
        let relation = filled(self, "relation").map(|(name, place)| self.parsed(&name, place));
        let shape = match (relation, object.get("wildcard")) {
            (Some(_), Some(_)) => {
                return self.fault(object.place, "a user type has `relation` or `wildcard`, not both", None);
            }
            (Some(relation), None) => Shape::Userset(relation?),
            (None, Some(wildcard)) => {
                self.object(wildcard)?;
                Shape::Wildcard
            }
            (None, None) => Shape::Plain,
        };
        let condition = match condition {
            Some(condition) => Some(condition?),
            None => None,
        };
        Some(RestrictionSource { user_type: user_type?, shape, condition })
    }

    fn rewrite(&mut self, written: &'a RawValue, depth: usize) -> Option<Rewrite<Placed<RelationName>>> {
        const KINDS: [&str; 6] =
            ["this", "computed_userset", "tuple_to_userset", "union", "intersection", "difference"];
        let object = self.object(written)?;
        if depth > DEEPEST {
            return self.fault(object.place, format!("rewrites are nested more than {DEEPEST} levels deep"), None);
        }
        let mut found = KINDS.iter().filter_map(|kind| object.get(kind).map(|value| (*kind, value)));
        let (Some((kind, value)), None) = (found.next(), found.next()) else {
            let help = "a relation is one of `this`, `computedUserset`, `tupleToUserset`, `union`, `intersection` and \
                        `difference`";
            return self.fault(object.place, "this is not a rewrite", Some(help));
        };
        match kind {
            "this" => self.object(value).map(|_| Rewrite::Direct),
            "computed_userset" => self.relation_of(value).map(Rewrite::Computed),
            "tuple_to_userset" => {
                let object = self.object(value)?;
                let computed = self.required(&object, "computed_userset").and_then(|value| self.relation_of(value));
                let tupleset = self.required(&object, "tupleset").and_then(|value| self.relation_of(value));
                Some(Rewrite::TupleToUserset { computed: computed?, tupleset: tupleset? })
            }
            "difference" => {
                let object = self.object(value)?;
                let base = self.required(&object, "base").and_then(|value| self.rewrite(value, depth + 1));
                let subtract = self.required(&object, "subtract").and_then(|value| self.rewrite(value, depth + 1));
                Some(Rewrite::Exclusion { base: Box::new(base?), subtract: Box::new(subtract?) })
            }
            _ => {
                let object = self.object(value)?;
                let children = self.list(object.get("child"));
                let operands: Vec<_> = children.iter().map(|child| self.rewrite(child, depth + 1)).collect();
                let operands: Vec<_> = operands.into_iter().collect::<Option<_>>()?;
                Some(if kind == "union" { Rewrite::Union(operands) } else { Rewrite::Intersection(operands) })
            }
        }
    }

    /// The relation of `{relation}`, beside which older models write an `object` that says nothing.
    fn relation_of(&mut self, written: &'a RawValue) -> Option<Placed<RelationName>> {
        let object = self.object(written)?;
        self.required_name(&object, "relation", "a relation")
    }

    fn condition(&mut self, key: &str, written: &'a RawValue) -> Option<(ConditionSource, Option<Origin>)> {
        let object = self.object(written)?;
        let name: Option<Placed<ConditionName>> = self.required_name(&object, "name", "a condition");
        if let Some(name) = name.as_ref().filter(|name| name.value.as_str() != key) {
            let message = format!("condition `{}` stands under the key `{key}`", name.value);
            self.fault::<()>(name.place, message, Some("key and name must be the same"));
        }
        let expression = self.required(&object, "expression").and_then(|value| {
            let place = self.places.of(value.get());
            // Behind the quotation mark.
            let place = Place { line: place.line, column: place.column.saturating_add(1) };
            self.text(value).map(|text| Placed::new(text.into_owned(), place))
        });
        let mut parameters = Vec::new();
        for (name, kind) in self.entries(object.get("parameters")) {
            let place = self.places.of(kind.get());
            if let Some(kind) = self.kind(kind, 0) {
                parameters.push(ParameterSource { name: Placed::new(name.into_owned(), place), kind });
            }
        }
        let metadata = object.get("metadata").and_then(|metadata| self.object(metadata));
        let origin = metadata.and_then(|metadata| self.origin(&metadata));
        Some((ConditionSource { name: name?, parameters, expression: expression? }, origin))
    }

    fn kind(&mut self, written: &'a RawValue, depth: usize) -> Option<ParameterType> {
        let object = self.object(written)?;
        if depth > DEEPEST {
            return self.fault(object.place, format!("types are nested more than {DEEPEST} levels deep"), None);
        }
        let value = self.required(&object, "type_name")?;
        let place = self.places.of(value.get());
        let name = self.text(value)?;
        let generics = self.list(object.get("generic_types"));
        let container: fn(Box<ParameterType>) -> ParameterType = match name.strip_prefix("TYPE_NAME_") {
            Some("LIST") => ParameterType::List,
            Some("MAP") => ParameterType::Map,
            kind => {
                let scalar = kind.and_then(scalar);
                let help = "types are `TYPE_NAME_STRING`, `TYPE_NAME_INT` and so on";
                let Some(scalar) = scalar else {
                    return self.fault(place, format!("`{name}` is not a parameter's type"), Some(help));
                };
                if !generics.is_empty() {
                    return self.fault(object.place, format!("`{name}` holds no other types"), None);
                }
                return Some(scalar);
            }
        };
        let [inner] = generics.as_slice() else {
            let help = "write `\"generic_types\": [{\"type_name\": \"TYPE_NAME_STRING\"}]`";
            return self.fault(object.place, format!("`{name}` holds one type, not {}", generics.len()), Some(help));
        };
        self.kind(inner, depth + 1).map(|inner| container(Box::new(inner)))
    }

    fn required(&mut self, object: &Object<'a>, name: &str) -> Option<&'a RawValue> {
        match object.get(name) {
            Some(value) => Some(value),
            None => self.fault(object.place, format!("`{name}` is missing"), None),
        }
    }

    fn required_name<N: FromStr<Err: Display>>(
        &mut self,
        object: &Object<'a>,
        field: &str,
        what: &str,
    ) -> Option<Placed<N>> {
        let Some(value) = object.get(field) else {
            return self.fault(object.place, format!("`{field}` is missing, {what}"), None);
        };
        let place = self.places.of(value.get());
        let text = self.text(value)?;
        self.parsed(&text, place)
    }

    fn parsed<N: FromStr<Err: Display>>(&mut self, text: &str, place: Place) -> Option<Placed<N>> {
        match text.parse() {
            Ok(name) => Some(Placed::new(name, place)),
            Err(error) => self.fault(place, format!("{error}"), None),
        }
    }

    fn text(&mut self, value: &'a RawValue) -> Option<Cow<'a, str>> {
        match text(value) {
            Some(text) => Some(text),
            None => {
                let place = self.places.of(value.get());
                self.fault(place, "a text is expected", None)
            }
        }
    }

    fn list(&mut self, value: Option<&'a RawValue>) -> Vec<&'a RawValue> {
        let Some(value) = value else { return Vec::new() };
        serde_json::from_str(value.get()).unwrap_or_else(|_| {
            let place = self.places.of(value.get());
            self.fault::<()>(place, "a list is expected", Some("write `[…]`"));
            Vec::new()
        })
    }

    /// The entries of a map from names to values.
    fn entries(&mut self, value: Option<&'a RawValue>) -> Vec<Field<'a>> {
        let Some(value) = value else { return Vec::new() };
        let Ok(Fields(fields)) = serde_json::from_str::<Fields<'a>>(value.get()) else {
            let place = self.places.of(value.get());
            self.fault::<()>(place, "an object is expected", Some("write `{…}`"));
            return Vec::new();
        };
        let mut seen = std::collections::HashSet::new();
        for (key, value) in &fields {
            if !seen.insert(key) {
                let place = self.places.of(value.get());
                self.fault::<()>(place, format!("`{key}` is there twice"), None);
            }
        }
        fields
    }

    /// The fields of a message. The two spellings of a name are one name.
    fn object(&mut self, value: &'a RawValue) -> Option<Object<'a>> {
        let place = self.places.of(value.get());
        let Ok(Fields(written)) = serde_json::from_str::<Fields<'a>>(value.get()) else {
            return self.fault(place, "an object is expected", Some("write `{…}`"));
        };
        let mut fields = HashMap::new();
        for (key, value) in written {
            let name = snake_case(&key);
            if fields.insert(name, value).is_some() {
                let place = self.places.of(value.get());
                return self.fault(place, format!("`{key}` is there twice"), None);
            }
        }
        fields.retain(|_, value| value.get() != "null");
        Some(Object { place, fields })
    }
}

fn snake_case(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 2);
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

fn scalar(name: &str) -> Option<ParameterType> {
    Some(match name {
        "BOOL" => ParameterType::Bool,
        "STRING" => ParameterType::String,
        "INT" => ParameterType::Int,
        "UINT" => ParameterType::Uint,
        "DOUBLE" => ParameterType::Double,
        "DURATION" => ParameterType::Duration,
        "TIMESTAMP" => ParameterType::Timestamp,
        "IPADDRESS" => ParameterType::IpAddress,
        "ANY" => ParameterType::Any,
        _ => return None,
    })
}
