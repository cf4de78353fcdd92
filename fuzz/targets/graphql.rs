//! Requests of GraphQL: what is accepted asks for the fields that another parser finds, and for no others.
#![no_main]

use std::collections::{BTreeSet, HashMap};

use async_graphql_parser::{
    Positioned, parse_query,
    types::{FragmentDefinition, OperationType, Selection, SelectionSet},
};
use async_graphql_value::Name;
use libfuzzer_sys::fuzz_target;
use portcullis::protocol::{GraphQlField, GraphQlKind, GraphQlLimits, GraphQlRequest, Json, JsonLimits, parse_json};
use serde_json::{Map, Value};

type Fragments = HashMap<Name, Positioned<FragmentDefinition>>;

// A query, and behind a NUL what the other members of its body are.
fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (query, rest) = text.split_once('\0').unwrap_or((text, "{}"));
    let Ok(Value::Object(mut body)) = serde_json::from_str(rest) else { return };
    body.insert("query".to_owned(), query.into());
    let body = Value::Object(body);
    let Ok(document) = parse_json(body.to_string().as_bytes(), JsonLimits::default()) else { return };
    let Ok(request) = GraphQlRequest::parse(&document, GraphQlLimits::default()) else { return };
    // It may refuse what was accepted, such as deeper nesting: nothing is asked for then.
    let Ok(other) = parse_query(query) else { return };
    let named = body.get("operationName").and_then(Value::as_str);
    let chosen: Vec<_> = other
        .operations
        .iter()
        .filter(|(name, _)| named.is_none_or(|named| name.is_some_and(|name| name == named)))
        .collect();
    let [(_, operation)] = &chosen[..] else { panic!("{} operations of {body}", chosen.len()) };
    let kind = match operation.node.ty {
        OperationType::Query => GraphQlKind::Query,
        OperationType::Mutation => GraphQlKind::Mutation,
        OperationType::Subscription => GraphQlKind::Subscription,
    };
    assert_eq!(request.kind, kind, "{body}");
    let mut found = BTreeSet::new();
    if !collect(&operation.node.selection_set.node, &other.fragments, (&body, 0), &mut found) {
        return;
    }
    let asked = request.fields.iter().map(|field| field.name.to_string());
    assert_eq!(asked.collect::<BTreeSet<_>>(), found.iter().map(|(name, _)| name.clone()).collect(), "{body}");
    // What is called without variables and lists is called with the same in both.
    for (name, arguments) in found {
        let Some(arguments) = arguments else { continue };
        let is_same = |field: &GraphQlField| *field.name == *name && json_text(&field.arguments) == arguments;
        assert!(request.fields.iter().any(is_same), "{name} {arguments}: {:?} of {body}", request.fields);
    }
});

fn json_text(arguments: &Json) -> String {
    serde_json::to_value(arguments).unwrap().to_string()
}

/// The fields at the top, with what they are called with where neither a variable nor a list is in it; whether there can be
/// an answer to them.
fn collect(
    set: &SelectionSet,
    fragments: &Fragments,
    (body, depth): (&Value, usize),
    found: &mut BTreeSet<(String, Option<String>)>,
) -> bool {
    assert!(depth < 100, "a fragment in itself: {body}");
    for selection in &set.items {
        let inner = match &selection.node {
            Selection::Field(Positioned { node: field, .. }) => {
                let constant = |(name, value): &(Positioned<Name>, Positioned<async_graphql_value::Value>)| {
                    let value = value.node.clone().into_const()?.into_json().ok()?;
                    (!has_list(&value)).then(|| (name.node.to_string(), value))
                };
                let arguments: Option<Map<String, Value>> = field.arguments.iter().map(constant).collect();
                found.insert((
                    field.name.node.to_string(),
                    arguments.map(|arguments| Value::Object(arguments).to_string()),
                ));
                continue;
            }
            Selection::FragmentSpread(Positioned { node: spread, .. }) => {
                let name = &spread.fragment_name.node;
                let Some(fragment) = fragments.get(name) else {
                    // Where a comment stands behind `on`, it takes that for a fragment's name.
                    assert_eq!(name, "on", "a fragment that is there: {body}");
                    return false;
                };
                &fragment.node.selection_set
            }
            Selection::InlineFragment(Positioned { node: inline, .. }) => &inline.selection_set,
        };
        if !collect(&inner.node, fragments, (body, depth + 1), found) {
            return false;
        }
    }
    true
}

/// It takes `nullable` in a list for `null` and `able`, where a name is one token (GraphQL October 2021, section 2.1.9). Nothing
/// in a list is ever decided by.
fn has_list(value: &Value) -> bool {
    match value {
        Value::Array(_) => true,
        Value::Object(members) => members.values().any(has_list),
        _ => false,
    }
}
